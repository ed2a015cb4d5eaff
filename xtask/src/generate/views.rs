//! The views in `template.yaml`, of the files in `views/`.
//!
//! Athena keeps a view as JSON in base64, with its columns in Trino's words, and once more in Hive's for Glue. Here a
//! column stands once: behind it in the SQL there is a comment with its type in Trino's words, and after a colon what
//! it means.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::{
    File,
    columns::yaml_text,
    queries::{description, sql_files},
};

const VIEW: &str = r#"
  # <DESCRIPTION>.
  # Athena keeps a view as JSON in base64; Fn::Base64 makes it of the text here.
  <LOGICAL_ID>:
    Type: AWS::Glue::Table
    Condition: HasCatalog
    DependsOn: TracebitAlertTable
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref Database
      TableInput:
        Name: tracebit_alert_<NAME>
        # Without a Description, which Athena's engine would take for the comment that marks a view.
        Owner: tracebit-lake
        TableType: VIRTUAL_VIEW
        Parameters:
          presto_view: 'true'
          comment: Presto View
        ViewExpandedText: /* Presto View */
        ViewOriginalText: !Sub
          - '/* Presto View: ${View} */'
          - View:
              Fn::Base64: !Sub
                - >-
                  {"originalSql":"${Select}","catalog":"awsdatacatalog","schema":"${DatabaseName}",
                  "columns":[${Columns}]}
                - Select: >-
<SELECT>
                  Columns: >-
<PRESTO>
        StorageDescriptor:
          SerdeInfo: {}
          Columns:
<GLUE>"#;

/// How far the texts of a view are indented in the template.
const INDENT: &str = "                    ";

struct Column {
    name: String,
    trino_type: String,
    meaning: Option<String>,
}

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let mut views = String::new();
    for path in sql_files(&project.join("views"))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let sql = fs::read_to_string(&path)?;
        views += &view(&name, &sql).with_context(|| format!("views/{name}.sql"))?;
    }
    Ok(vec![File::block("template.yaml", "views", views + "\n")])
}

fn view(name: &str, sql: &str) -> Result<String> {
    let (select, columns) = parse(sql)?;
    let presto = columns
        .iter()
        .map(|Column { name, trino_type, .. }| format!(r#"{INDENT}{{"name":"{name}","type":"{trino_type}"}}"#));
    let mut logical_id = name.to_owned();
    logical_id[..1].make_ascii_uppercase();
    Ok(VIEW
        .replace("<LOGICAL_ID>", &format!("{logical_id}View"))
        .replace("<NAME>", name)
        .replace("<DESCRIPTION>", description(sql)?)
        .replace("<SELECT>", &select.iter().map(|line| format!("{INDENT}{line}")).collect::<Vec<_>>().join("\n"))
        .replace("<PRESTO>", &presto.collect::<Vec<_>>().join(",\n"))
        .replace("<GLUE>", &columns.iter().map(glue_column).collect::<String>()))
}

/// The lines of the SQL without its comments, and the columns that the comments describe.
fn parse(sql: &str) -> Result<(Vec<String>, Vec<Column>)> {
    let (mut select, mut columns) = (Vec::new(), Vec::new());
    for line in sql.lines().map(str::trim).skip_while(|line| line.starts_with("--")) {
        ensure!(!line.contains(['"', '\\']), "this text would break the JSON of the view: {line}");
        let (code, comment) =
            line.split_once("-- ").map_or((line, None), |(code, comment)| (code.trim(), Some(comment)));
        if !code.is_empty() {
            select.push(code.to_owned());
        }
        if let Some(comment) = comment {
            let before = select.last().map(|code| code.trim_end_matches(',')).unwrap_or_default();
            let name = before.rsplit(' ').next().filter(|name| !name.is_empty()).context("no column before a type")?;
            let (trino_type, meaning) =
                comment.split_once(": ").map_or((comment, None), |(of, meaning)| (of, Some(meaning)));
            columns.push(Column {
                name: name.to_owned(),
                trino_type: trino_type.to_owned(),
                meaning: meaning.map(str::to_owned),
            });
        }
    }
    Ok((select, columns))
}

fn glue_column(Column { name, trino_type, meaning }: &Column) -> String {
    let indent = "            ";
    let comment = meaning.as_ref().map(|meaning| format!("{indent}  Comment: {}\n", yaml_text(meaning)));
    format!("{indent}- Name: {name}\n{indent}  Type: {}\n{}", hive_type(trino_type), comment.unwrap_or_default())
}

/// `array(row(name varchar, type_id integer))` as `array<struct<name:string,type_id:int>>`.
fn hive_type(trino_type: &str) -> String {
    let hive = trino_type.replace(", ", ",").replace("row(", "struct<").replace("array(", "array<").replace(')', ">");
    let words = hive.split_inclusive([' ', ',', '<', '>']).map(|word| {
        let (name, end) = word.split_at(word.trim_end_matches([' ', ',', '<', '>']).len());
        let name = match name {
            "varchar" => "string",
            "integer" => "int",
            other => other,
        };
        format!("{name}{}", end.replace(' ', ":"))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_trino_becomes_one_of_hive() {
        for (trino, hive) in [
            ("varchar", "string"),
            ("bigint", "bigint"),
            ("array(row(name varchar, type_id integer))", "array<struct<name:string,type_id:int>>"),
            ("row(a row(b varchar, c array(varchar)), d integer)", "struct<a:struct<b:string,c:array<string>>,d:int>"),
        ] {
            assert_eq!(hive_type(trino), hive);
        }
    }

    #[test]
    fn a_column_is_named_before_its_type() {
        let sql =
            "-- A view\nSELECT\n  1 AS one, -- integer\n  ROW(\n  'x') AS two -- row(x varchar): What it is\nFROM t\n";
        let (select, columns) = parse(sql).unwrap();
        assert_eq!(select, ["SELECT", "1 AS one,", "ROW(", "'x') AS two", "FROM t"]);
        let columns: Vec<_> = columns.iter().map(|column| (column.name.as_str(), column.meaning.as_deref())).collect();
        assert_eq!(columns, [("one", None), ("two", Some("What it is"))]);
    }
}
