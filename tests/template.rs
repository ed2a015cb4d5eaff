//! `template.yaml` and `docs/query.md` say what `schemas/` and the records say.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic, as the tests do")]

#[allow(dead_code, reason = "the example's `main` is not called here")]
#[path = "../examples/columns.rs"]
mod columns;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value, json};
use tracebit_lake::{
    config::Source,
    record::{self, Failure, Origin},
    schema::Schemas,
    time,
};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn what_follows_from_the_schemas_is_as_the_command_writes_it() {
    let schemas = Schemas::embedded().unwrap();
    for name in columns::FILES {
        let text = file(name);
        assert!(
            columns::rewritten(&text, &schemas).unwrap() == text,
            "{name} is out of date: cargo run --example columns"
        );
    }
}

#[test]
fn every_log_type_has_a_table_in_the_template() {
    let template = file("template.yaml");
    for schema in Schemas::embedded().unwrap().iter() {
        for line in [format!("# begin columns {}", schema.log_type), format!("Name: {}", schema.table())] {
            assert_eq!(template.lines().filter(|found| found.trim() == line).count(), 1, "{line}");
        }
    }
}

#[test]
fn a_block_that_is_out_of_date_is_made_anew_and_the_rest_left() {
    let template = file("template.yaml");
    let outdated =
        template.replace("              Type: boolean\n", "").replace("- Name: is_healthy", "- Name: was_healthy");
    assert_ne!(outdated, template);
    assert_eq!(columns::rewritten(&outdated, &Schemas::embedded().unwrap()).unwrap(), template);
}

#[test]
fn a_block_without_an_end_or_without_a_schema_is_an_error() {
    let schemas = Schemas::embedded().unwrap();
    assert!(columns::rewritten("# begin columns Tracebit.Alert\n", &schemas).is_err());
    assert!(
        columns::rewritten("# begin columns Tracebit.Nothing\n# end columns Tracebit.Nothing\n", &schemas).is_err()
    );
}

/// The names of a record's members.
fn members(line: &[u8]) -> BTreeSet<String> {
    serde_json::from_slice::<Map<String, Value>>(line).unwrap().into_iter().map(|(name, _)| name).collect()
}

/// A record as `push` writes it, from a source that has a name.
fn record(push: impl FnOnce(&mut Vec<u8>, Origin<'_>)) -> Vec<u8> {
    let source = Source { id: Some("id".to_owned()), label: "label".to_owned() };
    let mut line = Vec::new();
    push(&mut line, Origin { received: time::parse("2026-11-22T10:20:30Z").unwrap(), source: &source });
    line
}

#[test]
fn whatever_the_function_adds_to_a_log_has_a_column() {
    let alert = json!({
        "discriminator": {"type": "tracebit_alert_log"},
        "id": "1",
        "alert_id": "2",
        "timestamp": "2026-11-22T10:00:00Z",
        "tracebit_portal_url": "https://portal.example.com/alerts/2",
        "canary": {"aws": {"arn": "arn:aws:ec2:eu-west-1:111122223333:instance/i-0abc"}},
        "principal": {
            "id": "AIDA1",
            "aws": {"arn": "arn:aws:sts::111122223333:assumed-role/admin/eve@example.com", "username": "eve"},
        },
        "event": {"request": {"ip": "192.0.2.1"}},
    });
    let health_check = json!({
        "discriminator": {"type": "health_check", "subtype": "integration"},
        "timestamp": "2026-11-22T10:00:00Z",
        "is_healthy": true,
    });
    let schemas = Schemas::embedded().unwrap();
    let mut seen = BTreeSet::new();
    for log in [alert, health_check] {
        let text = log.to_string();
        let log = schemas.classify(text.as_bytes()).unwrap();
        let added = members(&record(|line, origin| record::push_log(line, &log, origin)))
            .into_iter()
            .filter(|name| name.starts_with("p_"));
        let columns = columns::columns_added_to(log.schema).map(|column| column.0.to_owned());
        assert_eq!(added.collect::<BTreeSet<_>>(), columns.collect(), "{}", log.schema.log_type);
        seen.insert(log.schema.log_type.clone());
    }
    assert_eq!(seen.len(), schemas.iter().count(), "a log type has no example here");
}

#[test]
fn a_classification_failure_has_the_columns_of_its_table() {
    let failure = Failure { error: "error".to_owned(), payload: b"payload", log_type: Some("Tracebit.Alert") };
    let line = record(|line, origin| record::push_failure(line, &failure, failure.row_id(), origin));
    let template = file("template.yaml");
    let (_, table) = template.split_once("Name: classification_failures\n").unwrap();
    let (_, columns) = table.split_once("Columns:\n").unwrap();
    let names =
        columns.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.trim().strip_prefix("- Name: "));
    assert_eq!(members(&line), names.map(str::to_owned).collect());
}
