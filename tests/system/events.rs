//! The samples in `events/`: each does what `events/samples.yml` lists.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use tracebit_lake_harness::{DEVELOPMENT_SECRET, samples};

use crate::support::{FAILURES, TestLake, counts};

/// How many records each table has.
fn records(lake: &TestLake) -> BTreeMap<String, usize> {
    let mut records = BTreeMap::new();
    for (key, body) in lake.objects() {
        let table = key.split('/').next().unwrap().to_owned();
        *records.entry(table).or_default() += String::from_utf8(body).unwrap().lines().count();
    }
    records
}

#[tokio::test]
async fn every_sample_has_its_listed_result() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lake = TestLake::with_env(&[("TRACEBIT_SECRET", DEVELOPMENT_SECRET)]).await;
    let mut expected = BTreeMap::new();
    for sample in samples::read(project).unwrap() {
        let name = &sample.name;
        let event = fs::read_to_string(project.join(format!("events/{name}.json"))).unwrap();
        let event: Value = serde_json::from_str(&event).unwrap();
        let known = lake.records(FAILURES);
        let response = lake.invoke(&event).await;
        assert_eq!(response.status, sample.status, "{name}: {response:?}");
        for (table, count) in &sample.records {
            *expected.entry(table.clone()).or_default() += count;
        }
        assert_eq!(records(&lake), expected, "{name}");
        if response.status == 200 {
            let failures = sample.records.get(FAILURES).copied().unwrap_or_default();
            let logs = sample.records.values().sum::<usize>() - failures;
            assert_eq!(counts(&response), [logs, 0, failures].map(|count| count as u64), "{name}");
        }
        for failure in lake.records(FAILURES).iter().filter(|failure| !known.contains(failure)) {
            assert_eq!(failure["error"].as_str(), sample.violation.as_deref(), "{name}");
        }
    }
}
