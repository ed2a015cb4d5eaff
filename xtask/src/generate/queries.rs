//! The saved queries in `template.yaml`, and their table in `docs/query.md`, of the files in `queries/`.
//!
//! A query is one file. Its first line is a comment, which describes it. Its name is the file's name.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::File;

/// A saved query.
const QUERY: &str = r"
  <LOGICAL_ID>:
    Type: AWS::Athena::NamedQuery
    Condition: HasCatalog
    Properties:
      Name: <NAME>
      Description: <DESCRIPTION>
      Database: !Ref Database
      WorkGroup: !Ref WorkGroup
      QueryString: <SUB>|
<SQL>";

/// What is not a saved query of Athena: another program's script, which is generated.
const DUCKDB: &str = "duckdb";

/// The logical ids that do not follow from the name. A stack deletes a query whose id changes, and makes another.
const LOGICAL_IDS: [(&str, &str); 9] = [
    ("alerts-by-severity-and-day", "AlertsBySeverity"),
    ("everything-one-actor-did", "OneActor"),
    ("failures-by-error", "FailuresByError"),
    ("first-and-last-sight", "FirstAndLastSight"),
    ("health-checks-missing", "MissingHealthChecks"),
    ("one-row-per-alert", "Alerts"),
    ("the-day-around-an-alert", "DayAround"),
    ("the-event-in-cloudtrail", "EventInCloudTrail"),
    ("which-ci-run-leaked-a-credential", "LeakedBy"),
];

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let mut resources = String::new();
    let mut rows = "\n| name | answers |\n| --- | --- |\n".to_owned();
    for path in sql_files(&project.join("queries"))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == DUCKDB {
            continue;
        }
        let sql = fs::read_to_string(&path)?;
        let description = description(&sql).with_context(|| format!("queries/{name}.sql"))?;
        resources += &resource(&name, description, &sql);
        writeln!(rows, "| `{name}` | {description} |")?;
    }
    Ok(vec![
        File::block("template.yaml", "queries", resources + "\n"),
        File::block("docs/query.md", "queries", rows + "\n"),
    ])
}

/// The SQL files of a folder, by name.
pub(super) fn sql_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut paths: Vec<_> = paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "sql")).collect();
    paths.sort();
    Ok(paths)
}

/// The first comment of a SQL text.
pub(super) fn description(sql: &str) -> Result<&str> {
    let line = sql.lines().next().and_then(|line| line.strip_prefix("-- "));
    line.context("the first line must be a comment that describes the query: -- What it answers")
}

fn resource(name: &str, description: &str, sql: &str) -> String {
    let lines = sql.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("        {line}\n") });
    QUERY
        .replace("<LOGICAL_ID>", &logical_id(name))
        .replace("<NAME>", name)
        .replace("<DESCRIPTION>", &super::columns::yaml_text(description))
        // A query names a parameter of the template as ${Parameter}.
        .replace("<SUB>", if sql.contains("${") { "!Sub " } else { "" })
        .replace("<SQL>", &lines.collect::<String>())
}

fn logical_id(name: &str) -> String {
    let known = LOGICAL_IDS.iter().find(|(known, _)| *known == name).map(|(_, id)| (*id).to_owned());
    known.unwrap_or_else(|| in_capitals(name)) + "Query"
}

/// `LatestAlerts` for `latest-alerts`: a logical id has only letters and digits.
pub(super) fn in_capitals(name: &str) -> String {
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('-').filter(|word| !word.is_empty()).map(capital).collect()
}
