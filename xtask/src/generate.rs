//! `generate`: writes what follows from the schemas, the lists of samples and alarms, the queries, and the notifier.

mod alarms;
mod columns;
mod duckdb;
mod events;
mod messages;
mod parameters;
mod queries;
mod tables;
mod views;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use tracebit_lake::core::schema::Schemas;

use crate::project;

/// Write what follows from schemas/, events/samples.yml, queries/, views/, alarms.yml and the notifier
///
/// `events` are the signed events in events/ and the table in events/README.md. `columns` are the Glue tables in
/// template.yaml, the reference in docs/schema.md, queries/duckdb.sql, and each list of the tables. `queries` and
/// `views` are those of queries/ and views/ in template.yaml and docs/query.md. `metrics` are those in docs/schema.md.
/// `alarms` are those of alarms.yml in template.yaml and docs/operate.md. `messages` are those in
/// docs/notifications.md. `parameters` are those of template.yaml, in docs/parameters.md. A file that has other text
/// keeps it: only the blocks between a line with `begin` and one with `end` are written.
#[derive(Args)]
pub(crate) struct Options {
    /// What to write; everything unless it is given
    what: Option<What>,
    /// Write nothing, and fail where a file is out of date
    #[arg(long)]
    check: bool,
    /// The project's folder
    #[arg(long, default_value_os_t = project().to_owned(), hide_default_value = true)]
    project: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Events,
    Columns,
    Queries,
    Views,
    Metrics,
    Alarms,
    Messages,
    Parameters,
}

/// A file, or a part of one, as it should be. The path is named from the project's folder.
struct File {
    path: String,
    /// The name of the block that has this text; the whole file if there is none.
    block: Option<&'static str>,
    text: String,
}

impl File {
    fn whole(path: impl Into<String>, text: String) -> Self {
        Self { path: path.into(), block: None, text }
    }

    /// The part of a file between a line that says `begin NAME` and one that says `end NAME`.
    fn block(path: impl Into<String>, name: &'static str, text: String) -> Self {
        Self { path: path.into(), block: Some(name), text }
    }

    /// The whole file, of which `before` is what it was.
    fn over(self, before: impl FnOnce() -> Result<String>) -> Result<String> {
        match self.block {
            Some(name) => with_block(&self.path, &before()?, name, &self.text),
            None => Ok(self.text),
        }
    }
}

/// Makes files from what the project's folder holds.
type Maker = fn(&Path) -> Result<Vec<File>>;

pub(crate) fn run(options: &Options) -> Result<()> {
    let makers: [(What, Maker); 10] = [
        (What::Events, events::files),
        (What::Columns, columns::files),
        (What::Columns, duckdb::files),
        (What::Columns, tables::files),
        (What::Queries, queries::files),
        (What::Views, views::files),
        (What::Metrics, columns::metrics),
        (What::Alarms, alarms::files),
        (What::Messages, messages::files),
        (What::Parameters, parameters::files),
    ];
    // A file that has several blocks is written once.
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (_, make) in makers.iter().filter(|(what, _)| options.what.is_none_or(|wanted| wanted == *what)) {
        for file in make(&options.project)? {
            let path = file.path.clone();
            let text = file.over(|| files.get(&path).cloned().map_or_else(|| read(&options.project, &path), Ok))?;
            files.insert(path, text);
        }
    }
    let is_outdated = |path: &str, text: &String| read(&options.project, path).ok().as_ref() != Some(text);
    let outdated: Vec<_> = files.iter().filter(|(path, text)| is_outdated(path, text)).collect();
    if outdated.is_empty() {
        println!("{} files are up to date", files.len());
    }
    if options.check && !outdated.is_empty() {
        let paths = outdated.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>().join(", ");
        bail!("out of date: {paths}; run `cargo xtask generate`");
    }
    for (path, text) in outdated {
        fs::write(options.project.join(path), text).with_context(|| format!("cannot write {path}"))?;
        println!("{path} is written");
    }
    Ok(())
}

/// The schemas in the project's folder, as the functions will have them after their next build.
fn schemas(project: &Path) -> Result<Schemas> {
    let folder = project.join("schemas");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).context("cannot read schemas/")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == "yml") {
            let schema: Value =
                serde_saphyr::from_str(&fs::read_to_string(&path)?).with_context(|| format!("schemas/{name}"))?;
            files.push((name, schema.to_string()));
        }
    }
    files.sort();
    let files: Vec<_> = files.iter().map(|(name, json)| (name.as_str(), json.as_str())).collect();
    Ok(Schemas::load(&files)?)
}

fn read(project: &Path, path: &str) -> Result<String> {
    fs::read_to_string(project.join(path)).with_context(|| format!("cannot read {path}"))
}

/// The text with another block between the line that says `begin NAME` and the one that says `end NAME`.
fn with_block(path: &str, text: &str, name: &str, block: &str) -> Result<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let find = |marker: String| {
        lines.iter().position(|line| is_marker(line, &marker)).with_context(|| {
            format!("{path} has no line with `{marker}`, which bounds what is generated; restore that line")
        })
    };
    let (begin, end) = (find(format!("begin {name}"))?, find(format!("end {name}"))?);
    let (Some(before), Some(after)) = (lines.get(..=begin), lines.get(end.max(begin + 1)..)) else {
        bail!("{path}: nothing follows `begin {name}`");
    };
    Ok(before.concat() + block + &after.concat())
}

/// Whether a line is a comment of YAML or HTML that begins with these words.
fn is_marker(line: &str, words: &str) -> bool {
    let comment = line.trim();
    let comment = comment.strip_prefix("# ").or_else(|| comment.strip_prefix("<!-- "));
    let rest = comment.and_then(|comment| comment.strip_prefix(words));
    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}
