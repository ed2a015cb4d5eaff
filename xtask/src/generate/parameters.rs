//! The tables of parameters in `docs/parameters.md`, of `template.yaml`.
//!
//! The groups are those of the template's metadata. What a later change of a parameter does stands in
//! `docs/parameters.yml`, and no parameter may lack it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{File, read};

const HEADER: &str = "\n\n| parameter | meaning | changing it later |\n| --- | --- | --- |\n";
const CHANGES: &str = "docs/parameters.yml";

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "AWS::CloudFormation::Interface")]
    interface: Interface,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Interface {
    parameter_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    label: Label,
    parameters: Vec<String>,
}

#[derive(Deserialize)]
struct Label {
    default: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    description: String,
    constraint_description: String,
    default: Value,
}

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let template = read(project, "template.yaml")?;
    let metadata: Metadata = section(&template, "Metadata")?;
    let mut parameters: BTreeMap<String, Parameter> = section(&template, "Parameters")?;
    let mut changes: BTreeMap<String, String> = serde_saphyr::from_str(&read(project, CHANGES)?).context(CHANGES)?;
    let mut tables = String::new();
    for Group { label, parameters: names } in metadata.interface.parameter_groups {
        tables += &["\n### ", &label.default, HEADER].concat();
        for name in names {
            let parameter = parameters
                .remove(&name)
                .with_context(|| format!("template.yaml has no parameter {name}, but a group has"))?;
            let change = changes
                .remove(&name)
                .with_context(|| format!("{CHANGES} must say what a later change of {name} does"))?;
            tables += &row(&name, &parameter, &change);
        }
    }
    let left: Vec<_> = parameters.into_keys().collect();
    ensure!(left.is_empty(), "template.yaml: in no group: {}", left.join(", "));
    let left: Vec<_> = changes.into_keys().collect();
    ensure!(left.is_empty(), "{CHANGES}: no such parameters: {}", left.join(", "));
    Ok(vec![File::block("docs/parameters.md", "parameters", tables + "\n")])
}

fn row(name: &str, parameter: &Parameter, change: &str) -> String {
    let Parameter { description, constraint_description, default } = parameter;
    let default = match default {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    format!("| `{name}` | {description}.<br>Default: {default}. It {constraint_description} | {change} |\n")
}

/// A section of the template. The others have tags of their own, which no parser of YAML knows.
fn section<T: DeserializeOwned>(template: &str, name: &str) -> Result<T> {
    let begin = format!("{name}:");
    let is_inside = |line: &&str| line.is_empty() || line.starts_with([' ', '#']);
    let lines: Vec<_> = template.lines().skip_while(|line| *line != begin).skip(1).take_while(is_inside).collect();
    serde_saphyr::from_str(&lines.join("\n")).with_context(|| format!("template.yaml: {name}"))
}
