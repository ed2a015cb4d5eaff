//! The names of all tables, wherever the template and the pages list them.
//!
//! A role that lacks a table fails only in AWS, which denies the first delivery of a new log type. A wildcard in place
//! of a list would let the webhook create markers, which silence the notifier.

use std::path::Path;

use anyhow::Result;
use tracebit_lake::core::{
    lake::FAILURES_TABLE,
    schema::{Schema, discriminator_values},
};

use super::{File, schemas};

/// The lists in the template: the name of the block, how far it is indented, and what stands there for each table.
const LISTS: [(&str, usize, &str); 8] = [
    ("siem-policy-tables", 16, "- !Sub ${LakeBucket.Arn}/${LakePrefix}<TABLE>/*"),
    ("webhook-tables", 18, OBJECTS),
    ("drain-tables", 18, OBJECTS),
    ("siem-rule-tables", 14, "- prefix: !Sub ${LakePrefix}<TABLE>/"),
    ("analyst-tables", 14, OBJECTS),
    ("analyst-prefixes", 18, "- !Sub ${LakePrefix}<TABLE>/*"),
    ("deletion-tables", 14, "- prefix: !Sub ${LakePrefix}<TABLE>/"),
    ("siem-statement-tables", 12, "- !Sub arn:${AWS::Partition}:s3:::${ExistingBucket}/${LakePrefix}<TABLE>/*"),
];

/// The objects of a table in the bucket that the stack made or was given.
const OBJECTS: &str = "- !Sub ['arn:${AWS::Partition}:s3:::${Bucket}/${LakePrefix}<TABLE>/*',\n        \
                       {Bucket: !If [MakesBucket, !Ref LakeBucket, !Ref ExistingBucket]}]";

/// How an operator moves the records of a lake.
const MOVE: &str = r#"
```sh
for table in <TABLES>; do
  aws s3 cp --recursive "s3://OLD_BUCKET/OLD_PREFIX$table/" "s3://NEW_BUCKET/NEW_PREFIX$table/" \
    --metadata-directive REPLACE --metadata quiet=true --content-type application/x-ndjson
done
```

"#;

const LOG_TYPES: &str = "\n| log type | table | `discriminator.type` |\n| --- | --- | --- |\n";

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let schemas = schemas(project)?;
    let tables: Vec<&str> = schemas.iter().map(|schema| schema.table.as_str()).chain([FAILURES_TABLE]).collect();
    let lists = LISTS.map(|(block, indent, item)| File::block("template.yaml", block, list(&tables, indent, item)));
    let log_types = LOG_TYPES.to_owned() + &schemas.iter().map(row).collect::<String>() + "\n";
    let pages = [
        File::block("docs/parameters.md", "move", MOVE.replace("<TABLES>", &tables.join(" "))),
        File::block("docs/contract.md", "log-types", log_types),
    ];
    Ok(lists.into_iter().chain(pages).collect())
}

fn list(tables: &[&str], indent: usize, item: &str) -> String {
    let indent = " ".repeat(indent);
    let lines = tables.iter().flat_map(|table| item.split('\n').map(|line| line.replace("<TABLE>", table)));
    lines.map(|line| [&indent, line.as_str(), "\n"].concat()).collect()
}

fn row(schema: &Schema) -> String {
    let Schema { log_type, table, .. } = schema;
    let values: Vec<_> = discriminator_values(schema).iter().map(|value| format!("`{value}`")).collect();
    format!("| `{log_type}` | `{table}` | {} |\n", values.join(", "))
}
