//! Schemas in Panther's schema language, embedded from `schemas/*.yml`. They are the single source of truth for
//! classification, validation, indicators and metrics, and for the columns and tables in the docs and the template.

mod canonical;
mod discriminator;
mod indicator;
mod language;
mod metric;
#[cfg(test)]
mod tests;
mod validate;
mod violation;

use std::{collections::BTreeMap, fmt};

pub use discriminator::probe;
pub use indicator::{Indicator, Indicators};
pub use language::{Field, Rule, Type};
pub use metric::{Counted, Metric, Slots, Tally};
pub use validate::Log;
pub use violation::Violation;

/// The path of the member that tells the log types apart.
pub const DISCRIMINATOR: [&str; 2] = ["discriminator", "type"];

/// How deep a log may be nested. Tracebit's logs go five deep. Engines that read the lake have limits of their own.
const MAX_DEPTH: usize = 64;

/// Every `schemas/*.yml`, as (file name, JSON). `build.rs` writes the list.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/schemas.rs"));

/// A log type: its name, its table and its fields.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The log type's name, such as `Tracebit.Alert`.
    pub log_type: String,
    /// The log type's table: its name in lower case, with `_` for `.`.
    pub table: String,
    /// What the log type is, in a sentence.
    pub description: String,
    /// `p_schema_version` of its records.
    pub version: u32,
    /// The log's top-level fields.
    pub fields: Vec<Field>,
    /// What CloudWatch counts of its logs.
    pub metrics: Vec<Metric>,
    /// How many fields the metrics count by.
    pub metric_fields: usize,
}

impl Schema {
    /// The values of [`DISCRIMINATOR`] that name this schema.
    fn discriminators(&self) -> &[String] {
        let [object, member] = DISCRIMINATOR;
        language::find(&self.fields, object)
            .and_then(|field| match &field.rule.kind {
                Type::Object(fields) => language::find(fields, member),
                _ => None,
            })
            .map_or(&[], |field| &field.rule.allow)
    }
}

/// The schemas by which logs are classified.
#[derive(Debug, Clone)]
pub struct Schemas {
    all: Vec<Schema>,
    by_discriminator: BTreeMap<String, usize>,
}

/// A schema file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("schemas/{file}: {problem}")]
pub struct SchemaError {
    file: String,
    problem: String,
}

impl Schemas {
    /// The schemas that are part of this program.
    ///
    /// # Errors
    /// If a schema is not in the schema language. A test makes sure that no such schema is released.
    pub fn embedded() -> Result<Self, SchemaError> {
        Self::load(EMBEDDED)
    }

    /// Reads schemas from (file name, JSON) pairs.
    ///
    /// # Errors
    /// If a text is not in the schema language, or two schemas have the same discriminator.
    pub fn load(files: &[(&str, &str)]) -> Result<Self, SchemaError> {
        let mut schemas = Self { all: Vec::new(), by_discriminator: BTreeMap::new() };
        for (file, text) in files {
            let error = |problem| SchemaError { file: (*file).to_owned(), problem };
            let schema = language::parse(text).map_err(error)?;
            if schema.discriminators().is_empty() {
                return Err(error(format!(
                    "{} needs validate.allow with the values that choose it",
                    DISCRIMINATOR.join(".")
                )));
            }
            for value in schema.discriminators() {
                if schemas.by_discriminator.insert(value.clone(), schemas.all.len()).is_some() {
                    return Err(error(format!("{} {value:?} is taken by another schema", DISCRIMINATOR.join("."))));
                }
            }
            schemas.all.push(schema);
        }
        Ok(schemas)
    }

    /// All schemas, in the order of their files.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.all.iter()
    }

    fn named_by(&self, discriminator: &str) -> Option<&Schema> {
        self.by_discriminator.get(discriminator).and_then(|index| self.all.get(*index))
    }

    /// Finds the schema that `text`, one JSON value, names, and validates `text` against it.
    ///
    /// # Errors
    /// [`Unclassified`] if `text` names no schema or violates it.
    pub fn classify<'s, 't>(&'s self, text: &'t [u8]) -> Result<Log<'s, 't>, Unclassified<'s>> {
        let schema = discriminator::find(text)
            .and_then(|value| {
                self.named_by(&value)
                    .ok_or_else(|| Violation::unknown_discriminator(&value, self.by_discriminator.keys()))
            })
            .map_err(|violation| Unclassified { schema: None, violation })?;
        validate::validate(text, schema).map_err(|violation| Unclassified { schema: Some(schema), violation })
    }
}

/// A log that does not fit a schema.
#[derive(Debug)]
pub struct Unclassified<'s> {
    /// The schema that its discriminator names, if any.
    pub schema: Option<&'s Schema>,
    /// What was wrong with it.
    pub violation: Violation,
}

impl fmt::Display for Unclassified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.violation.fmt(f)
    }
}

/// The JSON form, in which schemas are embedded, of a schema in YAML.
#[cfg(test)]
pub(crate) fn json_of(yaml: &str) -> String {
    serde_saphyr::from_str::<serde_json::Value>(yaml).unwrap().to_string()
}
