//! `queries/duckdb.sql`: the tables of the lake as views in DuckDB, with the columns and types that Athena's tables
//! have.
//!
//! DuckDB would guess the columns from the first files, and a lake has records of every shape. A table without an
//! object is a view without rows: DuckDB refuses a pattern that matches no file, so the script looks first.

use std::path::Path;

use anyhow::Result;
use tracebit_lake::core::{
    lake::FAILURES_TABLE,
    schema::{Field, Rule, Type},
};

use super::{
    File,
    columns::{FAILURE_COLUMNS, columns_added_to},
    schemas,
};

const HEAD: &str = "\
-- The tables of a lake in DuckDB 1.4 or newer, with the columns and types of the Athena tables. First say where the lake is,
-- a folder or s3://BUCKET/PREFIX, with a slash at its end:
--
--   SET VARIABLE lake = 'lake/tracebit-lake-local/';
--
-- Written by cargo xtask generate.
";

/// A table. A record's line may be as large as the largest payload, and a failure's six times that, because JSON may
/// write six bytes for one.
const TABLE: &str = "
SET VARIABLE <NAME> = (SELECT CASE WHEN count(*) > 0 THEN $$
  SELECT <SELECTED>, day
  FROM read_json(getvariable('lake') || '<NAME>/**/*.json', format = 'newline_delimited',
    maximum_object_size = <SIZE>, timestampformat = '%Y-%m-%d %H:%M:%S.%g',
    hive_partitioning = true, hive_types = {'day': VARCHAR}, columns = {
<COLUMNS>
  })
$$ ELSE $$
  SELECT none.* FROM (SELECT unnest(CAST([] AS STRUCT(
<STRUCT>
  )[])) AS none)
$$ END FROM glob(getvariable('lake') || '<NAME>/**/*.json'));
CREATE OR REPLACE VIEW <NAME> AS FROM query(getvariable('<NAME>'));
";

const LOG_BYTES: usize = 32 * 1024 * 1024;
const FAILURE_BYTES: usize = 128 * 1024 * 1024;

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let mut script = HEAD.to_owned();
    for schema in schemas(project)?.iter() {
        let own = schema.fields.iter().map(|field| (field.name.clone(), duckdb_type(&field.rule)));
        let added = columns_added_to(schema).map(|column| (column.0.to_owned(), of_hive(column.1).to_owned()));
        script += &table(&schema.table, &own.chain(added).collect::<Vec<_>>(), LOG_BYTES);
    }
    let columns = FAILURE_COLUMNS.map(|column| (column.0.to_owned(), of_hive(column.1).to_owned()));
    script += &table(FAILURES_TABLE, &columns, FAILURE_BYTES);
    Ok(vec![File::whole("queries/duckdb.sql", script)])
}

fn table(name: &str, columns: &[(String, String)], bytes: usize) -> String {
    let list = |line: &dyn Fn(&(String, String)) -> String, separator: &str| {
        columns.iter().map(line).collect::<Vec<_>>().join(separator)
    };
    TABLE
        .replace("<NAME>", name)
        .replace("<SIZE>", &bytes.to_string())
        .replace("<SELECTED>", &list(&|(name, _)| format!("\"{name}\""), ", "))
        .replace("<COLUMNS>", &list(&|(name, of)| format!("      '{name}': '{of}'"), ",\n"))
        .replace("<STRUCT>", &list(&|(name, of)| format!("    \"{name}\" {of}"), ",\n").clone())
        .replace("\n  )[]))", ",\n    \"day\" VARCHAR\n  )[]))")
}

/// The type in DuckDB's words.
fn duckdb_type(rule: &Rule) -> String {
    match &rule.kind {
        Type::String | Type::Timestamp => "VARCHAR".to_owned(),
        Type::Json => "JSON".to_owned(),
        Type::Integer(16) => "SMALLINT".to_owned(),
        Type::Integer(64) => "BIGINT".to_owned(),
        Type::Integer(_) => "INTEGER".to_owned(),
        Type::Float => "DOUBLE".to_owned(),
        Type::Boolean => "BOOLEAN".to_owned(),
        Type::Array(element) => format!("{}[]", duckdb_type(element)),
        Type::Object(fields) => {
            let member = |field: &Field| format!("\"{}\" {}", field.name, duckdb_type(&field.rule));
            format!("STRUCT({})", fields.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The type of a column that the lake adds.
fn of_hive(hive_type: &str) -> &str {
    match hive_type {
        "timestamp" => "TIMESTAMP",
        "int" => "INTEGER",
        "array<string>" => "VARCHAR[]",
        _ => "VARCHAR",
    }
}
