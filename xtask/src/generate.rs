//! `generate`: writes what follows from the schemas, from the list of samples, and from the notifier.

mod columns;
mod events;
mod messages;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets::NOTHING};

use crate::project;

/// Write what follows from schemas/, from events/samples.yml and from the notifier
///
/// `events` are the signed events in events/ and the table in events/README.md. `columns` are the Glue tables in
/// template.yaml and the reference in docs/query.md. `messages` are those in docs/respond.md. A file that has other text
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
    Messages,
}

/// A file as it should be, named from the project's folder.
struct File {
    path: String,
    text: String,
}

/// Makes files from what the project's folder holds.
type Maker = fn(&Path) -> Result<Vec<File>>;

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut files = Vec::new();
    let makers: [(What, Maker); 3] =
        [(What::Events, events::files), (What::Columns, columns::files), (What::Messages, messages::files)];
    for (what, make) in makers {
        if options.what.is_none_or(|wanted| wanted == what) {
            files.extend(make(&options.project)?);
        }
    }
    let outdated: Vec<_> =
        files.iter().filter(|file| read(&options.project, &file.path).ok().as_ref() != Some(&file.text)).collect();
    if options.check && !outdated.is_empty() {
        let paths = outdated.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
        bail!("out of date: {paths}; run `cargo xtask generate`");
    }
    for file in &outdated {
        fs::write(options.project.join(&file.path), &file.text)
            .with_context(|| format!("cannot write {}", file.path))?;
    }
    let mut table = Table::new();
    table.load_preset(NOTHING);
    for file in &files {
        let is_outdated = outdated.iter().any(|other| other.path == file.path);
        table.add_row([file.path.as_str(), if is_outdated { "written" } else { "up to date" }]);
    }
    println!("{table}");
    Ok(())
}

fn read(project: &Path, path: &str) -> Result<String> {
    fs::read_to_string(project.join(path)).with_context(|| format!("cannot read {path}"))
}

/// The file with another block between the line that says `begin NAME` and the one that says `end NAME`.
fn with_block(project: &Path, path: &str, name: &str, block: &str) -> Result<File> {
    let text = read(project, path)?;
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
    Ok(File { path: path.to_owned(), text: before.concat() + block + &after.concat() })
}

/// Whether a line is a comment of YAML or HTML that begins with these words.
fn is_marker(line: &str, words: &str) -> bool {
    let comment = line.trim();
    let comment = comment.strip_prefix("# ").or_else(|| comment.strip_prefix("<!-- "));
    let rest = comment.and_then(|comment| comment.strip_prefix(words));
    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}
