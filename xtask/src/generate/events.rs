//! The signed events in `events/`, and the table in `events/README.md`.

use std::{collections::BTreeSet, fmt::Write as _, fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tracebit_lake::core::signature::Secret;
use tracebit_lake_harness::{
    DEVELOPMENT_SECRET, function_url,
    samples::{self, Sample},
};

use super::File;

/// Signs the samples whose signature must not verify.
const WRONG_SECRET: &str = "a secret that nobody here knows";

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let samples = samples::read(project)?;
    check_listed(project, &samples)?;
    let mut files = samples.iter().map(|sample| event(project, sample)).collect::<Result<Vec<_>>>()?;
    files.push(File::block("events/README.md", "events", table(&samples)));
    Ok(files)
}

/// An event that the list does not know would be sent by nothing and checked by nothing.
fn check_listed(project: &Path, samples: &[Sample]) -> Result<()> {
    let listed: BTreeSet<_> = samples.iter().map(|sample| format!("{}.json", sample.name)).collect();
    for entry in fs::read_dir(project.join("events")).context("cannot read events/")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ensure!(
            path.extension().is_none_or(|ending| ending != "json") || listed.contains(&*name),
            "events/{name} is not in {}; list it or delete it",
            samples::FILE
        );
    }
    Ok(())
}

fn event(project: &Path, sample: &Sample) -> Result<File> {
    let mut body = sample.payload(project)?;
    let mut headers = Vec::new();
    if sample.is_gzip() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&body)?;
        body = gzip.finish()?;
        headers.push(("content-encoding", "gzip"));
    }
    let secret = if sample.wrong_secret { WRONG_SECRET } else { DEVELOPMENT_SECRET };
    let signature = Secret::new(secret)?.sign(&body).to_hex();
    headers.extend([
        ("content-type", "application/json"),
        ("user-agent", "tracebit-lake-events/1"),
        ("x-amzn-trace-id", "Root=1-69200000-0123456789abcdef01234567"),
        ("x-tracebit-signature-256", &signature),
    ]);
    let mut event = function_url::event("POST", &headers, &body);
    // Without this the event would differ from run to run.
    for (member, value) in [
        ("requestId", json!("00000000-0000-4000-8000-000000000000")),
        ("time", json!("21/Nov/2026:06:00:00 +0000")),
        ("timeEpoch", json!(1_795_240_800_000_u64)),
    ] {
        if let Some(context) = event.get_mut("requestContext").and_then(Value::as_object_mut) {
            context.insert(member.to_owned(), value);
        }
    }
    Ok(File::whole(format!("events/{}.json", sample.name), format!("{event:#}\n")))
}

fn table(samples: &[Sample]) -> String {
    let mut table = "\n| event | what it shows | status | records |\n| --- | --- | --- | --- |\n".to_owned();
    for Sample { name, shows, status, records, violation, .. } in samples {
        let mut stored =
            records.iter().map(|(table, count)| format!("{count} `{table}`")).collect::<Vec<_>>().join(", ");
        if let Some(violation) = violation {
            let _ = write!(stored, ": `{violation}`");
        }
        let _ = writeln!(table, "| `{name}.json` | {shows} | {status} | {} |", stored.replace('|', "\\|"));
    }
    table + "\n"
}
