//! A new log type is a new schema file and nothing else. The schemas here are those of the project and one that no code
//! knows; its logs arrive in their own table and are counted by its own metrics. And a corrected schema changes no row.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test should fail loudly")]

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use serde_json::Value;
use tracebit_lake::{
    aws::s3::PutOutcome,
    core::{
        lake::{Batch, Prefix, ReceiveContext, Source, Table},
        payload::elements,
        schema::{Counted, Schemas, probe},
        severity::Severity,
        time,
    },
    ingest::PayloadReport,
};

const NEW: &str = "
schema: Tracebit.Deployment
description: A canary was deployed.
version: 3
fields:
  - name: discriminator
    type: object
    required: true
    description: What kind of log this is
    fields:
      - name: type
        type: string
        required: true
        description: Kind of log
        validate: {allow: [canary_deployed]}
  - name: deployed_at
    type: timestamp
    required: true
    description: When
    timeFormats: [rfc3339]
    isEventTime: true
  - name: region
    type: string
    description: Where
  - name: host
    type: string
    description: On which host
    indicators: [ip]
  - name: severity
    type: string
    description: How bad the deployment was
metrics:
  - name: Deployments
    description: deployments
  - name: DeploymentsByRegion
    description: deployments by Region
    by: {field: region, dimension: Region, values: [eu-west-1, us-east-1], other: Other}
  - name: DeploymentsBySeverity
    description: deployments by severity
    by: {field: severity, dimension: Severity, values: [Info, High], other: Other}
";

static SOURCE: LazyLock<Source> = LazyLock::new(|| Source { id: None, label: "tracebit".to_owned() });

/// The project's schemas, and these, as build.rs embeds them.
fn schemas(more: &[&str]) -> Schemas {
    let mut files: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    files.extend(more.iter().map(|text| (*text).to_owned()));
    let json: Vec<_> = files.iter().map(|yaml| serde_saphyr::from_str::<Value>(yaml).unwrap().to_string()).collect();
    Schemas::load(&json.iter().map(|json| ("test.yml", json.as_str())).collect::<Vec<_>>()).unwrap()
}

/// The objects that a payload becomes: each key and its only record.
fn objects(payload: &str, schemas: &Schemas) -> BTreeMap<String, Value> {
    let context = ReceiveContext { received: time::parse("2026-11-24T10:20:30Z").unwrap(), source: &SOURCE };
    let batch = Batch::build(elements(payload.as_bytes(), probe), schemas, context);
    let prefix = Prefix::new("logs").unwrap();
    batch.objects(&prefix).map(|object| (object.key.clone(), serde_json::from_slice(&object.body()).unwrap())).collect()
}

/// The report of a payload whose objects are stored.
fn report<'s>(payload: &str, schemas: &'s Schemas) -> PayloadReport<'s> {
    let context = ReceiveContext { received: time::parse("2026-11-24T10:20:30Z").unwrap(), source: &SOURCE };
    let batch = Batch::build(elements(payload.as_bytes(), probe), schemas, context);
    let mut report = PayloadReport::new(payload.len(), false);
    for object in batch.objects(&Prefix::default()) {
        report.record(object.key, object.summary, PutOutcome::Created);
    }
    report
}

/// What the metrics of the log types count of such a payload: by name and value of the dimension.
fn metrics(payload: &str, schemas: &Schemas) -> BTreeMap<String, u64> {
    let report = report(payload, schemas);
    let mut metrics = BTreeMap::new();
    for (log_type, of_type) in &report.log_types {
        metrics.insert(format!("LogsStored {log_type}"), of_type.logs as u64);
        for (metric, counts) in of_type.tally.by_metric(&of_type.schema.metrics) {
            match &metric.counted {
                Counted::By { values, .. } => {
                    let values = values.iter().map(|value| format!("{} {value}", metric.name));
                    metrics.extend(values.zip(counts.iter().copied()).filter(|(_, count)| *count > 0));
                }
                _ => drop(metrics.insert(metric.name.clone(), counts.iter().sum())),
            }
        }
    }
    metrics
}

const DEPLOYMENT: &str = r#"{"discriminator":{"type":"canary_deployed"},"deployed_at":"2026-11-23T07:08:09.5Z","region":"eu-west-1","host":"192.0.2.7"}"#;
const HEALTH_CHECK: &str =
    r#"{"discriminator":{"type":"health_check","subtype":"s"},"timestamp":"2026-11-23T07:00:00Z","is_healthy":false}"#;

#[test]
fn a_schema_file_alone_makes_a_log_type() {
    let schemas = schemas(&[NEW]);
    let elsewhere = DEPLOYMENT.replace("eu-west-1", "mars-north-1");
    let bad = DEPLOYMENT.replace("\"2026", "\"soon 2026");
    let payload = format!("{DEPLOYMENT}\n{elsewhere}\n{HEALTH_CHECK}\n{bad}");
    let objects = objects(&payload, &schemas);
    let of =
        |table: &str| objects.iter().filter(|(key, _)| key.starts_with(&format!("logs/{table}/"))).collect::<Vec<_>>();
    let deployments = of("tracebit_deployment");
    assert_eq!((objects.len(), deployments.len()), (4, 2), "{objects:?}");
    for (key, record) in deployments {
        let id = record["p_row_id"].as_str().unwrap();
        assert_eq!(*key, format!("logs/tracebit_deployment/day=2026-11-23/hour=07/20261123T070809Z-{id}.json"));
        assert_eq!(record["p_log_type"], "Tracebit.Deployment");
        assert_eq!(
            (&record["p_event_time"], &record["p_schema_version"]),
            (&"2026-11-23 07:08:09.500".into(), &3.into())
        );
        assert_eq!(record["p_any_ip_addresses"], serde_json::json!(["192.0.2.7"]));
    }
    assert_eq!(of("tracebit_healthcheck").len(), 1);
    let [(_, failure)] = of("classification_failures").try_into().unwrap();
    assert_eq!(failure["log_type"], "Tracebit.Deployment");

    let metrics = metrics(&payload, &schemas);
    for (name, count) in [
        ("LogsStored Tracebit.Deployment", 2),
        ("Deployments", 2),
        ("DeploymentsByRegion eu-west-1", 1),
        ("DeploymentsByRegion Other", 1),
        ("LogsStored Tracebit.HealthCheck", 1),
        ("HealthChecks", 1),
        ("UnhealthyHealthChecks", 1),
    ] {
        assert_eq!(metrics.get(name), Some(&count), "{name} in {metrics:?}");
    }
}

#[test]
fn a_severe_log_of_a_new_type_is_no_alert() {
    let schemas = schemas(&[NEW]);
    let alert = include_str!("../events/logs/alert-aws.json").replace('\n', " ");
    let severe = DEPLOYMENT.replacen('{', r#"{"severity":"High","#, 1);
    let failure = DEPLOYMENT.replace("\"2026", "\"soon 2026");
    for (payload, expected) in [
        (severe.clone(), 0),
        (format!("{severe}\n{alert}"), 1),
        (format!("{severe}\n{alert}\n{failure}\n{HEALTH_CHECK}"), 2),
    ] {
        assert_eq!(report(&payload, &schemas).alerts_to_notify(Severity::DEFAULT_THRESHOLD), expected, "{payload}");
    }
}

#[test]
fn without_its_schema_the_same_log_is_a_failure_in_no_table_of_its_own() {
    let objects = objects(DEPLOYMENT, &schemas(&[]));
    assert_eq!(objects.len(), 1);
    let (key, record) = objects.first_key_value().unwrap();
    assert!(key.starts_with("logs/classification_failures/day=2026-11-24/hour=10/20261124T100000Z-"), "{key}");
    assert!(record.get("log_type").is_none());
}

#[test]
fn a_corrected_schema_changes_no_row() {
    let corrected = NEW
        .replace("version: 3", "version: 4")
        .replace("  - name: region\n", "  - name: team\n    type: string\n    description: Whose\n  - name: region\n");
    assert_ne!(corrected, NEW);
    let log = DEPLOYMENT.replacen('{', r#"{"team":"blue","#, 1);
    let keys = |schemas: &Schemas| objects(&log, schemas).into_keys().collect::<Vec<_>>();
    // Before the correction the field was unknown, and kept.
    assert_eq!(keys(&schemas(&[NEW])), keys(&schemas(&[&corrected])));
    // A log that was a failure gets the key that it would have had, also among others.
    let strict = NEW.replace("allow: [canary_deployed]", "allow: [canary_deployed_by_hand]");
    assert!(keys(&schemas(&[&strict]))[0].contains("/classification_failures/"));
    let together = objects(&format!("[{HEALTH_CHECK},{log}]"), &schemas(&[NEW]));
    assert!(together.contains_key(&keys(&schemas(&[NEW]))[0]));
}

#[test]
fn the_table_of_a_log_type_is_its_name_in_lower_case() {
    let schemas = schemas(&[NEW]);
    let tables: Vec<_> =
        schemas.iter().map(|schema| (schema.log_type.as_str(), Table::LogType(schema).name())).collect();
    assert!(tables.contains(&("Tracebit.Deployment", "tracebit_deployment")), "{tables:?}");
}
