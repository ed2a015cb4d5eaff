//! The schemas that are embedded in the program, and the classification of logs by them.

use std::{collections::BTreeMap, fmt};

use super::{
    discriminator::{self, DISCRIMINATOR},
    language,
    types::Schema,
    validate::{self, Log},
    violation::Violation,
};

/// Every `schemas/*.yml`, as (file name, JSON). `build.rs` writes the list.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/schemas.rs"));

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
            if discriminator::values_of(&schema).is_empty() {
                return Err(error(format!(
                    "{} needs validate.allow with the values that choose it",
                    DISCRIMINATOR.join(".")
                )));
            }
            for value in discriminator::values_of(&schema) {
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
        self.classify_in_time(text, &|| false)
    }

    /// The same, but ends with a violation soon after `is_late` is true.
    pub(in crate::core) fn classify_in_time<'s, 't>(
        &'s self,
        text: &'t [u8],
        is_late: &dyn Fn() -> bool,
    ) -> Result<Log<'s, 't>, Unclassified<'s>> {
        let schema = discriminator::find(text)
            .and_then(|value| {
                self.named_by(&value).ok_or_else(|| discriminator::unknown(&value, self.by_discriminator.keys()))
            })
            .map_err(|violation| Unclassified { schema: None, violation })?;
        validate::validate(text, schema, is_late).map_err(|violation| Unclassified { schema: Some(schema), violation })
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
