//! `template.yaml`, `docs/schema.md` and `events/` say what `schemas/`, the records and the list of samples say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may panic, as the tests do")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Map, Value, json};
use tracebit_lake::core::{
    lake::{Batch, Prefix, ReceiveContext, Source, Table},
    payload::elements,
    schema::{Schemas, probe},
    time,
};
use tracebit_lake_harness::samples;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn file(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap()
}

fn generate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).arg("generate").args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A copy of what `generate` reads and writes.
fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in ["docs", "events", "events/logs", "queries", "schemas", "views"] {
        fs::create_dir(copy.path().join(folder)).unwrap();
        for entry in fs::read_dir(project().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, copy.path().join(folder).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    for name in ["alarms.yml", "dashboard.json", "template.yaml"] {
        fs::copy(project().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[test]
fn generated_files_are_up_to_date() {
    let output = generate(&["--check"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_block_that_is_out_of_date_is_written_anew_and_the_rest_kept() {
    let copy = copy();
    let path = copy.path().join("template.yaml");
    let outdated = file("template.yaml").replace("- Name: is_healthy", "- Name: was_healthy") + "# a last line\n";
    fs::write(&path, outdated).unwrap();
    fs::remove_file(copy.path().join("events/gzip.json")).unwrap();
    let folder = copy.path().to_str().unwrap();

    let check = generate(&["--check", "--project", folder]);
    assert_eq!(check.status.code(), Some(1));
    assert!(
        stderr(&check).starts_with("error: out of date: events/gzip.json, template.yaml; run"),
        "{}",
        stderr(&check)
    );

    assert!(generate(&["--project", folder]).status.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), file("template.yaml") + "# a last line\n");
    assert_eq!(fs::read_to_string(copy.path().join("events/gzip.json")).unwrap(), file("events/gzip.json"));
}

/// What `generate` makes of a copy of the project with these files: the template, the pages, and the script for DuckDB.
fn generated_with(files: &[(&str, &str)]) -> [String; 5] {
    let copy = copy();
    for (path, text) in files {
        fs::write(copy.path().join(path), text).unwrap();
    }
    let output = generate(&["--project", copy.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    ["template.yaml", "docs/query.md", "docs/schema.md", "queries/duckdb.sql", "docs/operate.md"]
        .map(|path| fs::read_to_string(copy.path().join(path)).unwrap())
}

#[test]
fn a_saved_query_is_one_file() {
    let sql = "-- How many logs each canary has\n--\n-- Of all days.\nSELECT canary.name, count(*) FROM tracebit_alert";
    let [template, page, ..] = generated_with(&[("queries/logs-by-canary.sql", sql)]);
    assert!(page.contains("| `logs-by-canary` | How many logs each canary has |\n"));
    let resource = "\n  LogsByCanaryQuery:\n    Type: AWS::Athena::NamedQuery\n    Condition: HasCatalog\n    Properties:\n      Name: logs-by-canary\n      \
                    Description: How many logs each canary has\n";
    assert!(template.contains(resource));
    assert!(template.contains("\n        SELECT canary.name, count(*) FROM tracebit_alert\n"));
}

#[test]
fn a_column_of_a_view_stands_once() {
    let view = file("views/ocsf.sql").replace("\nFROM ", ",\n  p_row_id AS own_id -- varchar: Its identity\nFROM ");
    let [template, ..] = generated_with(&[("views/ocsf.sql", &view)]);
    assert!(template.contains("\n                    p_row_id AS own_id\n"));
    assert!(template.contains(r#"{"name":"own_id","type":"varchar"}"#));
    assert!(template.contains("- Name: own_id\n              Type: string\n              Comment: Its identity\n"));
}

#[test]
fn an_alarm_is_one_entry_of_a_list() {
    let entries = "\n- name: drained-late\n  urgency: act-now\n  says: It is late. Look.\n  metric: DrainedLate\n  at_least: 5\n\
                   \n- name: drained-early\n  urgency: today\n  condition: WatchesList\n  says: It is early.\n  metric: DrainedEarly\n";
    let [template, _, _, _, page] = generated_with(&[("alarms.yml", &(file("alarms.yml") + entries))]);
    let resource = "\n  DrainedLateAlarm:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n      \
                    AlarmName: !Sub ${AWS::StackName}-drained-late\n      AlarmDescription: !Sub\n        - >-\n          \
                    Act now. It is late. Look.\n          Runbook: ${Runbook}#drained-late\n";
    assert!(template.contains(resource));
    assert!(template.contains("\n      MetricName: DrainedLate\n"));
    assert!(template.contains("\n      Threshold: 5\n"));
    // The dashboard, the composite alarm, and the two rules of the pager.
    assert_eq!(template.matches("!Sub '\"${DrainedLateAlarm.Arn}\"'").count(), 1);
    assert_eq!(template.matches("!Sub 'ALARM(\"${DrainedLateAlarm}\")'").count(), 1);
    assert_eq!(template.matches("!Sub ${AWS::StackName}-drained-late\n").count(), 3);
    let shown = "!If [WatchesList, !Sub '\"${DrainedEarlyAlarm.Arn}\"', !Ref AWS::NoValue]";
    assert_eq!(template.matches(shown).count(), 1);
    assert_eq!(template.matches("!Sub ${AWS::StackName}-drained-early\n").count(), 1);
    assert!(page.contains("| **now** | [drained-late](#drained-late) | It is late |\n"));
    assert!(page.contains("| **today** | [drained-early](#drained-early) | It is early |\n"));
}

#[test]
fn an_alarm_without_a_metric_is_an_error_that_names_it() {
    let copy = copy();
    let entry = "\n- {name: empty, urgency: today, says: Nothing.}\n";
    fs::write(copy.path().join("alarms.yml"), file("alarms.yml") + entry).unwrap();
    let output = generate(&["--check", "--project", copy.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("alarms.yml: empty"), "{}", stderr(&output));
}

/// A log type that the project does not have.
const DEPLOYMENT: &str = "schema: Tracebit.Deployment\ndescription: A canary was deployed.\nversion: 1\nfields:\n  \
        - {name: discriminator, type: object, required: true, description: Kind, fields: [{name: type, type: string, required: \
        true, description: Kind, validate: {allow: [canary_deployed]}}]}\n  \
        - {name: at, type: timestamp, required: true, description: When, timeFormats: [rfc3339], isEventTime: true}\n\
        metrics:\n  - {name: Deployments, description: canaries that were deployed}\n";

#[test]
fn a_log_type_with_a_metric_is_one_schema() {
    let [template, _, page, duckdb, _] = generated_with(&[("schemas/tracebit_deployment.yml", DEPLOYMENT)]);
    assert!(template.contains("\n  TracebitDeploymentTable:\n"));
    assert!(page.contains("\n### tracebit_deployment\n\nA canary was deployed."));
    assert!(page.contains("| `Deployments` |  | canaries that were deployed |\n"));
    assert!(duckdb.contains("CREATE OR REPLACE VIEW tracebit_deployment AS"));
}

#[test]
fn roles_rules_and_policies_name_the_table_of_a_new_log_type() {
    let [template, ..] = generated_with(&[("schemas/tracebit_deployment.yml", DEPLOYMENT)]);
    // A list as the template has it, with TABLE for the table's name.
    let items = |list: &str, table: &str| -> Vec<String> {
        let name = format!("${{LakePrefix}}{table}/");
        let lines = list.lines().filter(|line| line.contains(&name));
        lines.map(|line| line.replace(table, "TABLE")).collect()
    };
    for (resource, kind) in [
        ("WebhookRole", "AWS::IAM::Role"),
        ("DrainRole", "AWS::IAM::Role"),
        ("AnalystPolicy", "AWS::IAM::ManagedPolicy"),
        ("LakeBucketPolicy", "AWS::S3::BucketPolicy"),
        ("SiemRule", "AWS::Events::Rule"),
        ("RecordDeletedRule", "AWS::Events::Rule"),
    ] {
        let begin = format!("\n  {resource}:\n    Type: {kind}\n");
        let (_, text) = template.split_once(&begin).expect(resource);
        let text = text.split("\n\n").next().unwrap();
        assert!(!items(text, "tracebit_alert").is_empty(), "{resource}");
        assert_eq!(items(text, "tracebit_deployment"), items(text, "tracebit_alert"), "{resource}");
    }
    let (_, output) = template.split_once("\n  SiemBucketStatement:\n").unwrap();
    assert_eq!(items(output, "tracebit_deployment"), items(output, "tracebit_alert"));
    // A role that may write below the prefix itself could create markers.
    assert!(!template.contains("${LakePrefix}*"));
}

/// What `generate parameters` says of a copy of the project with another text in one of its files, and the page then.
fn parameters_with(path: &str, from: &str, to: &str) -> (Output, String) {
    let copy = copy();
    assert!(file(path).contains(from), "{from} in {path}");
    fs::write(copy.path().join(path), file(path).replacen(from, to, 1)).unwrap();
    let output = generate(&["parameters", "--project", copy.path().to_str().unwrap()]);
    (output, fs::read_to_string(copy.path().join("docs/parameters.md")).unwrap())
}

#[test]
fn a_parameter_is_explained_with_what_a_later_change_does() {
    let (output, page) =
        parameters_with("docs/parameters.yml", "RejectedBurst: Only the", "RejectedBurst: Nothing but the");
    assert!(output.status.success(), "{}", stderr(&output));
    let row = "| `RejectedBurst` | Requests without a good signature within five minutes that turn the alarm \
               on.<br>Default: `100`. It must be a whole number of at least 1 | Nothing but the alarm changes. |\n";
    assert!(page.contains(row), "{page}");
    let groups: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).take(6).collect();
    assert_eq!(groups, ["Notifications", "Watcher", "Endpoint", "Lake", "Keys and secret", "Function"]);
}

#[test]
fn a_parameter_without_a_text_on_changing_it_later_is_an_error() {
    for (path, from, to, expected) in [
        (
            "docs/parameters.yml",
            "RejectedBurst: ",
            "RejectedBursts: ",
            "error: docs/parameters.yml must say what a later change of RejectedBurst does\n",
        ),
        (
            "docs/parameters.yml",
            "\nRunbookUrl",
            "\nNew: x\nRunbookUrl",
            "error: docs/parameters.yml: no such parameters: New\n",
        ),
        ("template.yaml", "RejectedBurst,\n", "\n", "error: template.yaml: in no group: RejectedBurst\n"),
    ] {
        let (output, page) = parameters_with(path, from, to);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), expected));
        assert_eq!(page, file("docs/parameters.md"), "nothing is written");
    }
}

#[test]
fn a_file_without_its_markers_is_an_error_in_one_line() {
    let copy = copy();
    let path = copy.path().join("template.yaml");
    fs::write(&path, file("template.yaml").replace("# end tables", "# done")).unwrap();
    let output = generate(&["columns", "--project", copy.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let expected =
        "error: template.yaml has no line with `end tables`, which bounds what is generated; restore that line\n";
    assert_eq!(stderr(&output), expected);
}

#[test]
fn an_event_that_is_not_listed_is_an_error() {
    let copy = copy();
    fs::write(copy.path().join("events/other.json"), "{}").unwrap();
    let output = generate(&["--project", copy.path().to_str().unwrap()]);
    assert_eq!(stderr(&output), "error: events/other.json is not in events/samples.yml; list it or delete it\n");
}

#[test]
fn every_log_type_has_a_table_and_a_sample() {
    let template = file("template.yaml");
    let samples = samples::read(&project()).unwrap();
    for schema in Schemas::embedded().unwrap().iter() {
        let line = format!("Name: {}", schema.table);
        assert_eq!(template.lines().filter(|found| found.trim() == line).count(), 1, "{line}");
        assert!(samples.iter().any(|sample| sample.records.contains_key(&schema.table)), "{}", schema.log_type);
    }
}

/// The names of a record's members.
fn members(line: &[u8]) -> BTreeSet<String> {
    serde_json::from_slice::<Map<String, Value>>(line).unwrap().into_iter().map(|(name, _)| name).collect()
}

/// The names of a table's columns in the template.
fn columns(table: &str) -> BTreeSet<String> {
    let template = file("template.yaml");
    let (_, table) = template.split_once(&format!("        Name: {table}\n")).unwrap();
    let (_, columns) = table.split_once("Columns:\n").unwrap();
    let lines = columns.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.trim().strip_prefix("- Name: ")).map(str::to_owned).collect()
}

/// The records that the function makes of a payload from a source that has a name, by table.
fn records(payload: &[u8]) -> Vec<(String, BTreeSet<String>)> {
    let schemas = Schemas::embedded().unwrap();
    let source = Source { id: Some("id".to_owned()), label: "label".to_owned() };
    let context = ReceiveContext { received: time::parse("2026-11-22T10:20:30Z").unwrap(), source: &source };
    let batch = Batch::build(elements(payload, probe), &schemas, context);
    batch
        .objects(&Prefix::default())
        .map(|object| (object.summary.table.name().to_owned(), members(&object.body())))
        .collect()
}

#[test]
fn the_function_adds_no_member_without_a_column() {
    for sample in samples::read(&project()).unwrap() {
        for (table, members) in records(&sample.payload(&project()).unwrap()) {
            let columns = columns(&table);
            for name in members.iter().filter(|name| name.starts_with("p_")) {
                assert!(columns.contains(name), "{}: {name}", sample.name);
            }
        }
    }
}

#[test]
fn every_column_that_the_function_fills_can_be_filled() {
    let alert = json!({
        "discriminator": {"type": "tracebit_alert_log"},
        "id": "1",
        "alert_id": "2",
        "timestamp": "2026-11-22T10:00:00Z",
        "tracebit_portal_url": "https://portal.example.com/alerts/2",
        "canary": {"aws": {"arn": "arn:aws:ec2:eu-west-1:111122223333:instance/i-0abc"}},
        "canary_credential": {"aws": {"access_key_id": "AKIAIOSFODNN7EXAMPLE"}},
        "principal": {
            "id": "AIDA1",
            "aws": {"arn": "arn:aws:sts::111122223333:assumed-role/admin/eve@example.com", "username": "eve"},
        },
        "event": {"request": {"ip": "192.0.2.1"}},
    });
    let [(_, record)] = records(alert.to_string().as_bytes()).try_into().unwrap();
    let empty: Vec<_> =
        columns("tracebit_alert").into_iter().filter(|name| name.starts_with("p_") && !record.contains(name)).collect();
    assert!(empty.is_empty(), "{empty:?}");
}

#[test]
fn a_classification_failure_has_the_columns_of_its_table() {
    let bad = r#"{"discriminator":{"type":"health_check"}}"#;
    let [(table, record)] = records(bad.as_bytes()).try_into().unwrap();
    assert_eq!((table.as_str(), record), (Table::Failures.name(), columns(Table::Failures.name())));
}
