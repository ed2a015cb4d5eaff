//! What counts depend on besides the project's code.

use std::{env::consts::ARCH, fs, process::Command};

use anyhow::{Context as _, Result};

/// Extensions of the processor for which libraries have code of their own.
const EXTENSIONS: [&str; 5] = ["avx2", "avx512f", "bmi2", "erms", "sha_ni"];

/// The versions of compiler, valgrind and C library, and the processor's extensions. Counts of machines that differ in
/// one of them are not comparable.
pub(super) fn machine() -> Result<String> {
    let versions = [("rustc", "--version"), ("valgrind", "--version"), ("getconf", "GNU_LIBC_VERSION")];
    let mut parts =
        versions.map(|(program, argument)| version(program, argument)).into_iter().collect::<Result<Vec<_>>>()?;
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = processor.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let extensions = EXTENSIONS.into_iter().filter(|extension| flags.split_whitespace().any(|flag| flag == *extension));
    parts.push([ARCH].into_iter().chain(extensions).collect::<Vec<_>>().join(" "));
    Ok(parts.join(", "))
}

fn version(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).output().with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
