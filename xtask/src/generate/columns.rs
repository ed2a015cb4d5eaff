//! The Glue tables in `template.yaml`, and the reference of tables and metrics in `docs/schema.md`.

use std::{iter, path::Path};

use anyhow::Result;
use tracebit_lake::{
    core::{
        lake::FAILURES_TABLE,
        schema::{Counted, Field, Indicator, Rule, Schema, Type},
    },
    metrics::METRICS,
};

use super::{File, schemas};

/// A log type's Glue table.
const TABLE: &str = r"
  <LOGICAL_ID>:
    Type: AWS::Glue::Table
    Condition: HasCatalog
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref Database
      TableInput:
        Name: <NAME>
        Description: <DESCRIPTION>
        TableType: EXTERNAL_TABLE
        PartitionKeys:
          - {Name: day, Type: string, Comment: 'Day of <TIME> in UTC, such as 2026-03-08'}
        Parameters:
          EXTERNAL: 'TRUE'
          classification: json
          projection.enabled: 'true'
          projection.day.type: date
          projection.day.format: yyyy-MM-dd
          projection.day.range: 2024-01-01,NOW+1DAYS
          projection.day.interval: '1'
          projection.day.interval.unit: DAYS
          storage.location.template: !Sub
            - s3://${Bucket}/${LakePrefix}<NAME>/day=${!day}/
            - Bucket: !If [MakesBucket, !Ref LakeBucket, !Ref ExistingBucket]
        StorageDescriptor:
          Location: !Sub
            - s3://${Bucket}/${LakePrefix}<NAME>/
            - Bucket: !If [MakesBucket, !Ref LakeBucket, !Ref ExistingBucket]
          InputFormat: org.apache.hadoop.mapred.TextInputFormat
          OutputFormat: org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat
          SerdeInfo:
            SerializationLibrary: org.apache.hive.hcatalog.data.JsonSerDe
          Columns:
<COLUMNS>";

/// The standard fields, in the order in which a record has them. Only the two times are written as Hive reads a
/// timestamp.
const STANDARD_COLUMNS: [Column<'static>; 7] = [
    Column("p_log_type", "string", "Log type, the schema that the log fits"),
    Column("p_event_time", "timestamp", "When it happened, in UTC"),
    Column("p_parse_time", "timestamp", "When it was received, in UTC"),
    Column("p_row_id", "string", "Identity of the log, the same for every delivery of it"),
    Column("p_schema_version", "int", "Version of the schema"),
    Column("p_source_id", "string", "SOURCE_ID of the function"),
    Column("p_source_label", "string", "SOURCE_LABEL of the function"),
];

/// The indicators, for log types that have any.
const INDICATOR_COLUMNS: [Column<'static>; 9] = [
    Column("p_any_ip_addresses", "array<string>", "IP addresses that the log names"),
    Column("p_any_domain_names", "array<string>", "Domain names that the log names"),
    Column("p_any_aws_account_ids", "array<string>", "AWS accounts that the log names"),
    Column("p_any_aws_arns", "array<string>", "ARNs that the log names"),
    Column("p_any_aws_instance_ids", "array<string>", "EC2 instances that the log names"),
    Column("p_any_actor_ids", "array<string>", "Principals that the log names"),
    Column("p_any_usernames", "array<string>", "User names that the log names"),
    Column("p_any_emails", "array<string>", "E-mail addresses that the log names"),
    Column("p_any_trace_ids", "array<string>", "Access keys and event ids that the log names"),
];

/// The columns of what fits no schema.
pub(super) const FAILURE_COLUMNS: [Column<'static>; 8] = [
    Column("error", "string", "Why the payload, or this piece of it, fits no schema"),
    Column("payload", "string", "The text as it was sent, or its base64"),
    Column("payload_encoding", "string", "utf-8, or base64 where the payload is not UTF-8"),
    Column("log_type", "string", "The log type that its discriminator names, if any"),
    Column("p_parse_time", "timestamp", "When it was received, in UTC"),
    Column("p_row_id", "string", "Identity of the payload, the same for every delivery of it"),
    Column("p_source_id", "string", "SOURCE_ID of the function"),
    Column("p_source_label", "string", "SOURCE_LABEL of the function"),
];

/// Name, type in Hive's words, and comment.
#[derive(Clone, Copy)]
pub(super) struct Column<'a>(pub(super) &'a str, pub(super) &'a str, &'a str);

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let schemas = schemas(project)?;
    let tables = schemas.iter().map(glue_table).collect::<String>() + &failures_table() + "\n";
    let reference = schemas.iter().map(reference).collect::<String>() + "\n";
    Ok(vec![File::block("template.yaml", "tables", tables), File::block("docs/schema.md", "reference", reference)])
}

// ------------------------------------------------------------------------------------------------ template.yaml

/// How far the columns are indented in the template.
const INDENT: &str = "            ";

fn glue_table(schema: &Schema) -> String {
    TABLE
        .replace("<LOGICAL_ID>", &logical_id(&schema.log_type))
        .replace("<NAME>", &schema.table)
        .replace("<DESCRIPTION>", &yaml_text(&schema.description))
        .replace("<TIME>", "p_event_time")
        .replace("<COLUMNS>", &glue_columns(schema))
}

fn failures_table() -> String {
    let columns = FAILURE_COLUMNS.map(|Column(name, hive_type, comment)| glue_column(name, hive_type, comment));
    TABLE
        .replace("<LOGICAL_ID>", "ClassificationFailuresTable")
        .replace("<NAME>", FAILURES_TABLE)
        .replace("<DESCRIPTION>", "Signed payloads that fit no schema, by the time of receipt")
        .replace("<TIME>", "p_parse_time")
        .replace("<COLUMNS>", &columns.concat())
}

/// `TracebitAlertTable` for `Tracebit.Alert`: a logical id has only letters and digits.
fn logical_id(log_type: &str) -> String {
    log_type.chars().filter(char::is_ascii_alphanumeric).chain("Table".chars()).collect()
}

fn glue_columns(schema: &Schema) -> String {
    let own = schema.fields.iter().map(|field| {
        let hive_type = hive_type(&field.rule, 1);
        let yaml = if hive_type.contains('\n') { format!("\"{hive_type}\"") } else { hive_type };
        glue_column(&field.name, &yaml, &field.description)
    });
    let added = columns_added_to(schema).map(|Column(name, hive_type, comment)| glue_column(name, hive_type, comment));
    own.chain(added).collect()
}

/// The columns of what the function adds to a log.
pub(super) fn columns_added_to(schema: &Schema) -> impl Iterator<Item = Column<'static>> {
    let indicators =
        if schema.fields.iter().any(|field| has_indicator(&field.rule)) { &INDICATOR_COLUMNS[..] } else { &[] };
    STANDARD_COLUMNS.iter().chain(indicators).copied()
}

fn has_indicator(rule: &Rule) -> bool {
    !rule.indicators.is_empty()
        || match &rule.kind {
            Type::Object(fields) => fields.iter().any(|field| has_indicator(&field.rule)),
            Type::Array(element) => has_indicator(element),
            _ => false,
        }
}

fn glue_column(name: &str, hive_type: &str, comment: &str) -> String {
    let comment = yaml_text(comment);
    format!("{INDENT}- Name: {name}\n{INDENT}  Type: {hive_type}\n{INDENT}  Comment: {comment}\n")
}

/// The type in Hive's words. A struct's members stand on a line each, joined by YAML's escaped line breaks.
fn hive_type(rule: &Rule, depth: usize) -> String {
    match &rule.kind {
        // Only the function's own times are in the one form that a Hive timestamp reads; others stay as they were sent.
        Type::String | Type::Timestamp | Type::Json => "string".to_owned(),
        Type::Integer(16) => "smallint".to_owned(),
        Type::Integer(64) => "bigint".to_owned(),
        Type::Integer(_) => "int".to_owned(),
        Type::Float => "double".to_owned(),
        Type::Boolean => "boolean".to_owned(),
        Type::Array(element) => format!("array<{}>", hive_type(element, depth)),
        Type::Object(fields) => {
            let indent = "  ".repeat(depth + 1);
            let member =
                |field: &Field| format!("\\\n{INDENT}{indent}{}:{}", field.name, hive_type(&field.rule, depth + 1));
            format!("struct<{}>", fields.iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}

/// Quoted where YAML would take it for something else than text.
pub(super) fn yaml_text(text: &str) -> String {
    let is_plain =
        text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(": ") && !text.contains(" #");
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

// ------------------------------------------------------------------------------------------------ docs/schema.md

fn reference(schema: &Schema) -> String {
    let Schema { log_type, table, description, version, fields, .. } = schema;
    let rows = rows("", fields);
    format!(
        "\n### {table}\n\n{description} Log type `{log_type}`, version {version}.\n\n\
         | column | type | meaning |\n| --- | --- | --- |\n{rows}"
    )
}

fn rows(parent: &str, fields: &[Field]) -> String {
    fields.iter().map(|field| row_and_those_below(parent, field)).collect()
}

fn row_and_those_below(parent: &str, Field { name, required, description, rule }: &Field) -> String {
    let path = format!("{parent}{name}");
    let shown_type = shown_type(rule);
    let required = if *required { ", required" } else { "" };
    let indicators = rule.indicators.iter().copied().map(name_of);
    let meaning = iter::once(description.clone()).chain(indicators).collect::<Vec<_>>().join("; ");
    let below = match &rule.kind {
        Type::Object(members) => rows(&format!("{path}."), members),
        Type::Array(element) if let Type::Object(members) = &element.kind => rows(&format!("{path}[]."), members),
        _ => String::new(),
    };
    format!("| `{path}` | {shown_type}{required} | {meaning} |\n{below}")
}

/// The type in a reader's words.
fn shown_type(rule: &Rule) -> String {
    match &rule.kind {
        Type::Timestamp => "string, RFC 3339".to_owned(),
        Type::Json => "string, JSON".to_owned(),
        Type::Object(_) => "struct".to_owned(),
        Type::Array(element) => format!("array of {}", shown_type(element)),
        _ => hive_type(rule, 0),
    }
}

/// The schema language's name of it, as code.
fn name_of(indicator: Indicator) -> String {
    serde_json::to_string(&indicator).unwrap_or_default().replace('"', "`")
}

// ---------------------------------------------------------------------------------------------------- the metrics

/// The table of the list in `src/metrics.rs` and of the rules in the schemas.
pub(super) fn metrics(project: &Path) -> Result<Vec<File>> {
    let mut table = "\n| metric | dimension | counts |\n| --- | --- | --- |\n".to_owned();
    for metric in METRICS {
        table += &metric_row(metric.name, metric.dimension, metric.counts);
    }
    for metric in schemas(project)?.iter().flat_map(|schema| &schema.metrics) {
        let dimension = match &metric.counted {
            Counted::By { dimension, .. } => Some(dimension.as_str()),
            Counted::All | Counted::When { .. } | Counted::Unless { .. } => None,
        };
        table += &metric_row(&metric.name, dimension, &metric.description);
    }
    Ok(vec![File::block("docs/schema.md", "metrics", table + "\n")])
}

fn metric_row(name: &str, dimension: Option<&str>, counts: &str) -> String {
    let dimension = dimension.map(|dimension| format!("`{dimension}`")).unwrap_or_default();
    format!("| `{name}` | {dimension} | {counts} |\n")
}
