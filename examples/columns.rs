//! Rewrites what follows from `schemas/` in other files: the tables' columns in `template.yaml`, and the reference of the
//! tables in `docs/query.md`.
//!
//! ```text
//! cargo run --example columns
//! ```
//!
//! It writes between a line with `begin …` and one with `end …`, and leaves the rest as it is. `tests/template.rs` fails
//! where a file is not as this would write it.

use std::{error::Error, fs, path::Path};

use tracebit_lake::{
    indicator::Indicator,
    schema::{Field, Rule, Schema, Schemas, Type},
};

/// The files that have such blocks.
pub(crate) const FILES: [&str; 2] = ["template.yaml", "docs/query.md"];

/// The standard fields, in the order in which a record has them. Only the two times are written as Hive reads a timestamp.
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
const INDICATOR_COLUMNS: [Column<'static>; 8] = [
    Column("p_any_ip_addresses", "array<string>", "IP addresses that the log names"),
    Column("p_any_domain_names", "array<string>", "Domain names that the log names"),
    Column("p_any_aws_account_ids", "array<string>", "AWS accounts that the log names"),
    Column("p_any_aws_arns", "array<string>", "ARNs that the log names"),
    Column("p_any_aws_instance_ids", "array<string>", "EC2 instances that the log names"),
    Column("p_any_actor_ids", "array<string>", "Principals that the log names"),
    Column("p_any_usernames", "array<string>", "User names that the log names"),
    Column("p_any_emails", "array<string>", "E-mail addresses that the log names"),
];

/// Name, type in Hive's words, and comment.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a>(pub(crate) &'a str, pub(crate) &'a str, pub(crate) &'a str);

fn main() -> Result<(), Box<dyn Error>> {
    let schemas = Schemas::embedded()?;
    for file in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(&path)?;
        fs::write(path, rewritten(&text, &schemas)?)?;
    }
    Ok(())
}

/// `text` with every block made anew.
pub(crate) fn rewritten(text: &str, schemas: &Schemas) -> Result<String, String> {
    let mut new = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        new += line;
        if let Some(block) = block_begun_by(line, schemas)? {
            new += &block;
            new +=
                lines.find(|line| line.contains("# end ") || line.contains("<!-- end ")).ok_or("a block has no end")?;
        }
    }
    Ok(new)
}

/// What belongs below `# begin columns Tracebit.Alert` or `<!-- begin reference … -->`.
fn block_begun_by(line: &str, schemas: &Schemas) -> Result<Option<String>, String> {
    let line = line.trim();
    if line.starts_with("<!-- begin reference") {
        return Ok(Some(schemas.iter().map(reference).collect::<String>() + "\n"));
    }
    let Some(log_type) = line.strip_prefix("# begin columns ") else { return Ok(None) };
    match schemas.iter().find(|schema| schema.log_type == log_type) {
        Some(schema) => Ok(Some(glue_columns(schema))),
        None => Err(format!("no schema has the log type {log_type}")),
    }
}

// ------------------------------------------------------------------------------------------------ template.yaml

/// How far the columns are indented in the template.
const INDENT: &str = "            ";

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
pub(crate) fn columns_added_to(schema: &Schema) -> impl Iterator<Item = Column<'static>> {
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
fn yaml_text(text: &str) -> String {
    let is_plain =
        text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(": ") && !text.contains(" #");
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

// ------------------------------------------------------------------------------------------------ docs/query.md

fn reference(schema: &Schema) -> String {
    let Schema { log_type, description, version, fields } = schema;
    let (table, rows) = (schema.table(), rows("", fields));
    format!(
        "\n### {table}\n\n{description} Log type `{log_type}`, version {version}.\n\n\
         | column | type | required | meaning | indicator |\n| --- | --- | --- | --- | --- |\n{rows}"
    )
}

fn rows(parent: &str, fields: &[Field]) -> String {
    fields.iter().map(|field| row_and_those_below(parent, field)).collect()
}

fn row_and_those_below(parent: &str, Field { name, required, description, rule }: &Field) -> String {
    let path = format!("{parent}{name}");
    let shown_type = shown_type(rule);
    let required = if *required { "yes" } else { "" };
    let indicators = rule.indicators.iter().copied().map(name_of).collect::<Vec<_>>().join(", ");
    let below = match &rule.kind {
        Type::Object(members) => rows(&format!("{path}."), members),
        Type::Array(element) if let Type::Object(members) = &element.kind => rows(&format!("{path}[]."), members),
        _ => String::new(),
    };
    format!("| `{path}` | {shown_type} | {required} | {description} | {indicators} |\n{below}")
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
