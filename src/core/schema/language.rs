//! The schema language: Panther's, read strictly, so that a typo in a schema is an error. `build.rs` has turned the
//! YAML into JSON. `metrics` is this project's own addition.
//!
//! Source of the rules: Panther's documentation, "Writing schemas" and "Log schema reference".

use serde::Deserialize;

use super::{
    indicator::Indicator,
    metric::{self, MetricFile},
    types::{Field, Rule, Schema, Type, find},
};

/// Reads one schema file, as JSON.
pub(super) fn parse(text: &str) -> Result<Schema, String> {
    let file: SchemaFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut fields = fields(file.fields)?;
    let (metrics, counted_fields) = metric::resolve(file.metrics, &mut fields)?;
    let schema = Schema {
        table: file.schema.to_lowercase().replace('.', "_"),
        log_type: file.schema,
        description: file.description,
        version: file.version,
        fields,
        metrics,
        counted_fields,
    };
    let at_top = schema.fields.iter().filter(|field| field.rule.is_event_time && field.required).count();
    let anywhere: usize = schema.fields.iter().map(|field| event_times(&field.rule)).sum();
    match (at_top, anywhere) {
        (1, 1) => Ok(schema),
        _ => Err("exactly one top-level field, a required timestamp, must have isEventTime".to_owned()),
    }
}

/// How many event times the rule and the rules below it mark.
fn event_times(rule: &Rule) -> usize {
    let below: usize = match &rule.kind {
        Type::Object(fields) => fields.iter().map(|field| event_times(&field.rule)).sum(),
        Type::Array(element) => event_times(element),
        _ => 0,
    };
    usize::from(rule.is_event_time) + below
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SchemaFile {
    schema: String,
    description: String,
    #[serde(rename = "referenceURL")]
    _reference_url: Option<String>,
    version: u32,
    fields: Vec<FieldFile>,
    #[serde(default)]
    metrics: Vec<MetricFile>,
}

// One struct serves fields and array elements, because `deny_unknown_fields` does not work with `flatten`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldFile {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    fields: Vec<FieldFile>,
    element: Option<Box<FieldFile>>,
    #[serde(default)]
    indicators: Vec<Indicator>,
    #[serde(default)]
    time_formats: Vec<TimeFormat>,
    #[serde(default)]
    is_event_time: bool,
    #[serde(default)]
    validate: Validate,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TimeFormat {
    Rfc3339,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Validate {
    allow: Vec<String>,
}

fn fields(files: Vec<FieldFile>) -> Result<Vec<Field>, String> {
    let mut fields: Vec<Field> = Vec::with_capacity(files.len());
    for mut file in files {
        let name = file.name.take().ok_or("a field needs a name")?;
        if find(&fields, &name).is_some() {
            return Err(format!("{name}: named twice"));
        }
        let (required, description) = (file.required, std::mem::take(&mut file.description));
        let rule = rule(file).map_err(|problem| format!("{name}: {problem}"))?;
        fields.push(Field { name, required, description, rule });
    }
    Ok(fields)
}

fn rule(file: FieldFile) -> Result<Rule, String> {
    let kind = match (file.kind.as_str(), file.element) {
        ("array", Some(element)) if element.name.is_none() && !element.required => {
            Type::Array(Box::new(rule(*element)?))
        }
        ("array", _) => return Err("an array needs an element, without name and required".to_owned()),
        (_, Some(_)) => return Err("only an array has an element".to_owned()),
        ("object", None) => Type::Object(fields(file.fields)?),
        (_, None) if !file.fields.is_empty() => return Err("only an object has fields".to_owned()),
        ("timestamp", None) if file.time_formats.is_empty() => {
            return Err("a timestamp needs timeFormats: [rfc3339]".to_owned());
        }
        (name, None) => scalar(name)?,
    };
    let is_for_text = !file.indicators.is_empty() || !file.validate.allow.is_empty();
    if is_for_text && !matches!(kind, Type::String) {
        return Err("only a string has indicators or validate".to_owned());
    }
    if !matches!(kind, Type::Timestamp) && (file.is_event_time || !file.time_formats.is_empty()) {
        return Err("only a timestamp has timeFormats or isEventTime".to_owned());
    }
    Ok(Rule {
        kind,
        allow: file.validate.allow,
        indicators: file.indicators,
        is_event_time: file.is_event_time,
        counted_as: None,
    })
}

fn scalar(name: &str) -> Result<Type, String> {
    Ok(match name {
        "string" => Type::String,
        "smallint" => Type::Integer(16),
        "int" => Type::Integer(32),
        "bigint" => Type::Integer(64),
        "float" => Type::Float,
        "boolean" => Type::Boolean,
        "timestamp" => Type::Timestamp,
        "json" => Type::Json,
        other => return Err(format!("type {other:?} is not a type of the schema language")),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::core::schema::json_of;

    /// A whole schema around the given fields.
    fn schema(fields: &str) -> Result<super::Schema, String> {
        parse(&json_of(&format!(
            "schema: A.B\ndescription: d\nversion: 1\nfields:\n- {{name: t, type: timestamp, timeFormats: [rfc3339], \
             isEventTime: true, required: true}}\n{fields}"
        )))
    }

    #[test]
    fn typos_are_errors_that_name_the_field() {
        for (fields, expected) in [
            ("- {name: a, type: text}", "a: type \"text\""),
            ("- {name: a, type: string, requird: true}", "requird"),
            ("- {name: a, type: string}\n- {name: a, type: string}", "a: named twice"),
            ("- {name: a, type: array}", "a: an array needs an element"),
            ("- {name: a, type: string, element: {type: string}}", "a: only an array"),
            ("- {name: a, type: string, fields: [{name: b, type: string}]}", "a: only an object"),
            ("- {name: a, type: timestamp}", "a: a timestamp needs timeFormats"),
            ("- {name: a, type: timestamp, timeFormats: [unix]}", "unix"),
            ("- {name: a, type: boolean, indicators: [ip]}", "a: only a string has indicators"),
            ("- {name: a, type: string, indicators: [ipp]}", "ipp"),
            ("- {name: a, type: string, isEventTime: true}", "a: only a timestamp"),
            ("- {name: a, type: timestamp, timeFormats: [rfc3339], isEventTime: true}", "exactly one"),
            (
                "- {name: o, type: object, fields: [{name: a, type: timestamp, timeFormats: [rfc3339], isEventTime: true}]}",
                "exactly one",
            ),
            ("- {name: a, type: array, element: {type: string, required: true}}", "a: an array needs an element"),
            ("- {name: o, type: object, fields: [{name: a, type: nope}]}", "o: a: type"),
            ("- {type: string}", "a field needs a name"),
        ] {
            let error = schema(fields).expect_err(fields);
            assert!(error.contains(expected), "{fields}: {error}");
        }
    }

    #[test]
    fn every_type_of_the_language_is_read() {
        let fields: String = ["string", "smallint", "int", "bigint", "float", "boolean", "json", "object"]
            .map(|kind| format!("- {{name: {kind}, type: {kind}}}\n"))
            .concat();
        assert_eq!(schema(&fields).unwrap().fields.len(), 9);
    }
}
