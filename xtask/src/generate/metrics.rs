//! The table of metrics in `docs/schema.md`, of the list in `src/metrics.rs` and of the rules in the schemas.

use std::path::Path;

use anyhow::Result;
use tracebit_lake::{core::schema::Counted, metrics::METRICS};

use super::{File, schemas};

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let mut table = "\n| metric | dimension | counts |\n| --- | --- | --- |\n".to_owned();
    for metric in METRICS {
        table += &row(metric.name, metric.dimension, metric.counts);
    }
    for metric in schemas(project)?.iter().flat_map(|schema| &schema.metrics) {
        let dimension = match &metric.counted {
            Counted::By { dimension, .. } => Some(dimension.as_str()),
            Counted::All | Counted::When { .. } | Counted::Unless { .. } => None,
        };
        table += &row(&metric.name, dimension, &metric.description);
    }
    Ok(vec![File::block("docs/schema.md", "metrics", table + "\n")])
}

fn row(name: &str, dimension: Option<&str>, counts: &str) -> String {
    let dimension = dimension.map(|dimension| format!("`{dimension}`")).unwrap_or_default();
    format!("| `{name}` | {dimension} | {counts} |\n")
}
