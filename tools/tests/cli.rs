//! What a newcomer meets: the demo, and a clear line for each mistake.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic, as the tests do")]

use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

use tracebit_lake_harness::DEVELOPMENT_SECRET;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracebit-lake-tools"))
        .args(arguments)
        .env_remove("TRACEBIT_SECRET")
        .env_remove("TRACEBIT_SECRET_ARN")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_shows_each_violation_and_can_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let demo = || run(&["demo", "--folder", folder.path().to_str().unwrap()]);
    let first = demo();
    assert!(first.status.success(), "{}", text(&first.stderr));
    let printed = text(&first.stdout);
    assert_eq!(printed.matches("violation: ").count(), 2, "{printed}");
    assert!(printed.ends_with("Run it again: the same logs are duplicates.\n"), "{printed}");

    let second = demo();
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert!(text(&second.stdout).contains(r#"{"stored":0,"duplicates":3,"failures":1}"#), "{}", text(&second.stdout));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    // Nobody can create a file in /proc, not even root.
    let folders = if cfg!(target_os = "linux") { vec![file, "/proc/self"] } else { vec![file] };
    for folder in folders {
        let started = Instant::now();
        let output = run(&["demo", "--folder", folder]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("error: cannot write to ") && stderr.contains("--folder"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(started.elapsed() < Duration::from_secs(5), "{folder}: {:?}", started.elapsed());
    }
}

#[cfg(unix)]
#[test]
fn a_bucket_that_is_a_symbolic_link_is_an_error_at_once() {
    let [folder, outside] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    std::os::unix::fs::symlink(outside.path(), folder.path().join("tracebit-lake-local")).unwrap();
    let output = run(&["demo", "--folder", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("choose another folder with --folder: a symbolic link"), "{stderr}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_server_is_not_opened_to_the_network_unasked() {
    for option in ["--s3", "--listen"] {
        let output = run(&["serve", option, "0.0.0.0:0"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("--allow-network"), "{}", text(&output.stderr));
    }
}

#[test]
fn sign_needs_a_secret_and_no_other_variable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "{}").unwrap();
    let path = file.path().to_str().unwrap();
    let without = run(&["sign", path]);
    assert_eq!(without.status.code(), Some(1));
    assert!(text(&without.stderr).contains("TRACEBIT_SECRET_ARN, TRACEBIT_SECRET: neither is set"));
    assert!(!text(&without.stderr).contains("LAKE_BUCKET"));

    let signed = Command::new(env!("CARGO_BIN_EXE_tracebit-lake-tools"))
        .args(["sign", path])
        .env("TRACEBIT_SECRET", DEVELOPMENT_SECRET)
        .env_remove("TRACEBIT_SECRET_ARN")
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let printed = text(&signed.stdout);
    // Nothing but the command, so that a shell can run what is printed.
    assert!(printed.starts_with(r"curl -w '\n' ") && printed.contains("'X-Tracebit-Signature-256: "), "{printed}");
}

#[test]
fn a_usage_error_ends_with_2() {
    assert_eq!(run(&["redrive"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn the_program_needs_no_file_of_its_sources() {
    let program = fs::read(env!("CARGO_BIN_EXE_tracebit-lake-tools")).unwrap();
    for folder in [concat!(env!("CARGO_MANIFEST_DIR"), "/.."), concat!(env!("CARGO_MANIFEST_DIR"), "/../events")] {
        let mut parts = program.windows(folder.len());
        assert!(!parts.any(|part| part == folder.as_bytes()), "the program names {folder}");
    }
}
