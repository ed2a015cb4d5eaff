//! The samples in `events/`: each gets the answer that `events/README.md` promises.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tracebit_lake_harness::DEVELOPMENT_SECRET;

use crate::support::{TestLake, counts};

/// Name, status, and the counts of a 200: stored, duplicates, failures.
const SAMPLES: [(&str, u16, [u64; 3]); 11] = [
    ("alert-aws", 200, [1, 0, 0]),
    ("alert-azure", 200, [1, 0, 0]),
    ("alert-credential-used", 200, [1, 0, 0]),
    ("alert-google-cloud", 200, [1, 0, 0]),
    ("alert-okta", 200, [1, 0, 0]),
    ("batch", 200, [3, 0, 1]),
    ("gzip", 200, [1, 0, 0]),
    ("health-check", 200, [1, 0, 0]),
    ("health-check-unhealthy", 200, [1, 0, 0]),
    ("unclassifiable", 200, [0, 0, 1]),
    ("wrong-signature", 401, [0, 0, 0]),
];

#[tokio::test]
async fn every_sample_gets_its_documented_answer() {
    let lake = TestLake::with_env(&[("TRACEBIT_SECRET", DEVELOPMENT_SECRET)]).await;
    for (name, status, expected) in SAMPLES {
        let event: Value = serde_json::from_str(&fs::read_to_string(format!("events/{name}.json")).unwrap()).unwrap();
        let response = lake.invoke(&event).await;
        assert_eq!(response.status, status, "{name}: {response:?}");
        if status == 200 {
            assert_eq!(counts(&response), expected, "{name}");
        }
    }
}

#[test]
fn every_sample_is_listed_here_and_in_the_readme() {
    let files: BTreeSet<String> = fs::read_dir("events")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().strip_suffix(".json").map(str::to_owned))
        .collect();
    assert_eq!(files, SAMPLES.map(|(name, ..)| name.to_owned()).into());
    let readme = fs::read_to_string("events/README.md").unwrap();
    for name in files {
        assert!(readme.contains(&format!("| `{name}.json` |")), "{name}");
    }
}
