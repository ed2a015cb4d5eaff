//! The functions that are compared, and how each is made ready to run.

use std::{
    fs,
    io::{Cursor, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use zip::{ZipWriter, write::SimpleFileOptions};

/// The versions that are compared, as their registries name them.
const BOTO3: &str = "boto3==1.43.11";
const NODE_SDK: &str = "@aws-sdk/client-s3@3.1169.0";

/// The name of the function that all others are compared with.
pub(crate) const OURS: &str = "tracebit-lake";
pub(crate) const EMPTY: &str = "empty";
pub(crate) const EMPTY_LEAN: &str = "empty-lean";
pub(crate) const PUT_OBJECT_LEAN: &str = "put-object-lean";

/// A function that can be started.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Lambda's `bootstrap`.
    pub(crate) bootstrap: PathBuf,
    /// What is uploaded, in bytes, where that is the bootstrap alone.
    pub(crate) zip_bytes: Option<usize>,
    /// Whether it is a build of tracebit-lake, which takes the secret from Secrets Manager and stores each log by
    /// itself.
    pub(crate) is_ours: bool,
    /// Whether it refuses what is not signed.
    pub(crate) verifies: bool,
    /// Whether it takes a large payload.
    pub(crate) takes_large_batch: bool,
}

impl Function {
    /// Those of the names given (all if none) that can be had on this machine.
    pub(crate) fn all(root: &Path, only: &[String]) -> Result<Vec<Self>> {
        let here = root.join("benches/cold-start");
        let mut functions = Vec::new();
        let wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
        for name in [EMPTY, EMPTY_LEAN, PUT_OBJECT_LEAN].into_iter().filter(|name| wanted(name)) {
            cargo(&here, &["--profile", "function", "--package", name])?;
            functions.push(Self::native(name, here.join("target/function").join(name))?);
        }
        if wanted(OURS) {
            cargo(root, &["--release", "--bin", OURS])?;
            functions.push(Self::ours(OURS, root.join("target/release").join(OURS))?);
        }
        for (name, make) in [("python", python as fn(&Path) -> Result<Self>), ("node", node), ("bento", bento)] {
            if wanted(name) {
                match make(&here) {
                    Ok(function) => functions.push(function),
                    Err(error) => eprintln!("Without {name}: {error:#}"),
                }
            }
        }
        Ok(functions)
    }

    /// A build of tracebit-lake.
    pub(crate) fn ours(name: &str, bootstrap: PathBuf) -> Result<Self> {
        Ok(Self { is_ours: true, verifies: true, ..Self::native(name, bootstrap)? })
    }

    fn native(name: &str, bootstrap: PathBuf) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            zip_bytes: Some(zip_bytes(&bootstrap)?),
            bootstrap,
            is_ours: false,
            verifies: false,
            takes_large_batch: ![EMPTY, EMPTY_LEAN].contains(&name),
        })
    }

    fn script(name: &str, bootstrap: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            bootstrap,
            zip_bytes: None,
            is_ours: false,
            verifies: true,
            takes_large_batch: false,
        }
    }
}

pub(crate) fn cargo(folder: &Path, options: &[&str]) -> Result<()> {
    // In a folder known beforehand, whatever the environment says.
    let target = folder.join("target");
    let mut command = Command::new(env!("CARGO"));
    run(command.current_dir(folder).env("CARGO_TARGET_DIR", target).arg("build").args(options))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// The size of a zip that holds the binary as `bootstrap`, as cargo-lambda makes it.
fn zip_bytes(binary: &Path) -> Result<usize> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))?;
    zip.write_all(&fs::read(binary)?)?;
    Ok(zip.finish()?.into_inner().len())
}

fn python(here: &Path) -> Result<Function> {
    let environment = here.join("target/python");
    let python = environment.join("bin/python");
    if !environment.join("ready").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", BOTO3]))?;
        // As Lambda's runtime has it: compiled beforehand.
        fs::write(environment.join("ready"), BOTO3)?;
    }
    let bootstrap = script(&environment, &[&python, &here.join("functions/python/handler.py")])?;
    Ok(Function::script("python", bootstrap))
}

fn node(here: &Path) -> Result<Function> {
    let folder = here.join("target/node");
    fs::create_dir_all(&folder)?;
    if !folder.join("ready").exists() {
        let flags = ["--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix"];
        run(Command::new("npm").arg("install").args(flags).arg(&folder).arg(NODE_SDK))?;
        fs::write(folder.join("ready"), NODE_SDK)?;
    }
    // Beside its packages, where Node looks for them.
    fs::copy(here.join("functions/node/handler.mjs"), folder.join("handler.mjs"))?;
    let node = Command::new("node").args(["-p", "process.execPath"]).output()?;
    let node = PathBuf::from(String::from_utf8(node.stdout)?.trim());
    Ok(Function::script("node", script(&folder, &[&node, &folder.join("handler.mjs")])?))
}

/// A build for deployment: without symbols, and without the protocol of Lambda's earlier Go runtime (`lambda.norpc`).
fn bento(here: &Path) -> Result<Function> {
    let bootstrap = here.join("target/bento/bootstrap");
    let mut command = Command::new("go");
    command.args([
        "build",
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags=-s -w",
        "-tags=lambda.norpc",
        "-o",
    ]);
    command.arg(&bootstrap).arg(".");
    run(command.current_dir(here.join("functions/bento")).env("CGO_ENABLED", "0"))?;
    Ok(Function { verifies: true, takes_large_batch: false, ..Function::native("bento", bootstrap)? })
}

/// A `bootstrap` that becomes this command.
fn script(folder: &Path, command: &[&Path]) -> Result<PathBuf> {
    let bootstrap = folder.join("bootstrap");
    let words: Vec<_> = command.iter().map(|word| format!("'{}'", word.display())).collect();
    fs::write(&bootstrap, format!("#!/bin/sh\nexec {}\n", words.join(" ")))?;
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755))?;
    Ok(bootstrap)
}
