//! The metric rules of a schema: what CloudWatch counts of its logs.
//!
//! ```yaml
//! metrics:
//!   - name: AlertsStored            # logs by the value of a field
//!     description: alerts by their severity
//!     by: {field: severity, dimension: Severity, values: [Info, Medium, High], other: Other}
//!   - name: UnhealthyHealthChecks   # logs whose field has this value
//!     description: health checks that say unhealthy
//!     when: {field: is_healthy, is: false}
//!   - name: UnknownSubtypes         # logs whose field has none of these values
//!     description: logs of a kind that the schema does not know
//!     unless: {field: discriminator.subtype, is: [canary_resource_accessed, canary_credential_used]}
//!   - name: HealthChecks            # every log
//!     description: health checks
//! ```
//!
//! A field is a path such as `discriminator.subtype`. `values` bounds the dimension, so that no sender can create
//! metrics.

use serde::Deserialize;
use serde_json::Value;

use super::{
    types::{Counted, Field, FieldIndex, Metric, Type, ValueIndex},
    validate::Log,
};

/// The most values that a dimension may have. Each costs as much as a metric.
const MAX_VALUES: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricFile {
    name: String,
    description: String,
    when: Option<WhenFile>,
    unless: Option<UnlessFile>,
    by: Option<ByFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenFile {
    field: String,
    is: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnlessFile {
    field: String,
    is: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByFile {
    field: String,
    dimension: String,
    values: Vec<String>,
    other: String,
}

/// Resolves the fields that the rules name, marks them in `fields`, and returns the rules and the number of fields.
pub(super) fn resolve(files: Vec<MetricFile>, fields: &mut [Field]) -> Result<(Vec<Metric>, usize), String> {
    let mut marked = 0;
    let mut metrics = Vec::with_capacity(files.len());
    for MetricFile { name, description, when, unless, by } in files {
        let mut mark = |field: &str| {
            mark(fields, field, &mut marked).ok_or_else(|| format!("metric {name}: no field is called {field}"))
        };
        let counted = match (when, unless, by) {
            (None, None, None) => Counted::All,
            (Some(when), None, None) => Counted::When { field: mark(&when.field)?, is: when.is },
            (None, Some(unless), None) => Counted::Unless { field: mark(&unless.field)?, is: unless.is },
            (None, None, Some(mut by)) => {
                by.values.push(by.other);
                if by.values.len() > MAX_VALUES {
                    return Err(format!("metric {name}: has more than {MAX_VALUES} values"));
                }
                Counted::By { field: mark(&by.field)?, dimension: by.dimension, values: by.values }
            }
            _ => return Err(format!("metric {name}: expected one of `when`, `unless` and `by`")),
        };
        metrics.push(Metric { name, description, counted });
    }
    Ok((metrics, marked))
}

fn mark(fields: &mut [Field], path: &str, marked: &mut usize) -> Option<usize> {
    let (name, below) = path.split_once('.').map_or((path, None), |(name, below)| (name, Some(below)));
    let field = fields.iter_mut().find(|field| field.name == name)?;
    match (below, &mut field.rule.kind) {
        (Some(below), Type::Object(fields)) => mark(fields, below, marked),
        (Some(_), _) => None,
        (None, _) => Some(*field.rule.counted_as.get_or_insert_with(|| {
            *marked += 1;
            *marked - 1
        })),
    }
}

impl Metric {
    /// Which of the dimension's values `log` counts for, if the rule counts it at all.
    fn value_of(&self, log: &Log<'_, '_>) -> Option<ValueIndex> {
        let value = |field: FieldIndex| {
            let raw = log.counted_values.get(field).copied().flatten()?;
            serde_json::from_slice::<Value>(&raw).ok()
        };
        match &self.counted {
            Counted::All => Some(0),
            Counted::When { field, is } => (value(*field).as_ref() == Some(is)).then_some(0),
            Counted::Unless { field, is } => value(*field).is_none_or(|value| !is.contains(&value)).then_some(0),
            Counted::By { field, values, .. } => {
                let value = value(*field);
                let text = value.as_ref().and_then(Value::as_str).unwrap_or_default();
                let known = values.iter().position(|known| known.eq_ignore_ascii_case(text));
                Some(known.unwrap_or(values.len().saturating_sub(1)))
            }
        }
    }
}

/// What one log counts for: for each metric of its schema, the value of the dimension, if the metric counts it at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogCounts {
    by_metric: Box<[Option<ValueIndex>]>,
    has_unknown_fields: bool,
}

impl LogCounts {
    /// What `log` counts for.
    #[must_use]
    pub fn of(log: &Log<'_, '_>) -> Self {
        Self {
            by_metric: log.schema.metrics.iter().map(|metric| metric.value_of(log)).collect(),
            has_unknown_fields: log.has_unknown_fields,
        }
    }
}

/// How often each metric of a schema was counted, for each value of its dimension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// For each metric, the counts of its values, up to the last one that was counted.
    counts: Vec<Vec<u64>>,
    /// How many logs have fields that the schema does not know.
    pub unknown_fields: u64,
}

impl Tally {
    /// Counts one log of the schema.
    pub fn add(&mut self, log: &LogCounts) {
        self.unknown_fields += u64::from(log.has_unknown_fields);
        for (metric, value) in log.by_metric.iter().enumerate() {
            if let Some(value) = value {
                *self.count(metric, *value) += 1;
            }
        }
    }

    /// Adds the counts of another tally of the same schema.
    pub fn merge(&mut self, other: &Self) {
        self.unknown_fields += other.unknown_fields;
        for (metric, counts) in other.counts.iter().enumerate() {
            for (value, more) in counts.iter().enumerate() {
                *self.count(metric, value) += more;
            }
        }
    }

    /// The count of each metric with its value's place among the values of the dimension.
    pub fn by_metric<'m>(&self, metrics: &'m [Metric]) -> impl Iterator<Item = (&'m Metric, &[u64])> {
        metrics
            .iter()
            .enumerate()
            .map(|(index, metric)| (metric, self.counts.get(index).map_or(&[][..], Vec::as_slice)))
    }

    fn count(&mut self, metric: usize, value: ValueIndex) -> &mut u64 {
        grown(grown(&mut self.counts, metric), value)
    }
}

/// The element at this place. Elements that are missing before it are made.
fn grown<T: Clone + Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    #[expect(clippy::indexing_slicing, reason = "the list was grown")]
    &mut list[index]
}

#[cfg(test)]
mod tests {
    use super::super::Schemas;
    use super::super::json_of;
    use super::*;

    const HEAD: &str = "schema: A.B\ndescription: d\nversion: 1\nfields:\n\
        - {name: t, type: timestamp, timeFormats: [rfc3339], isEventTime: true, required: true}\n\
        - {name: ok, type: boolean}\n\
        - {name: discriminator, type: object, required: true, fields: [\
           {name: type, type: string, required: true, validate: {allow: [x]}}, {name: subtype, type: string}]}\n";

    fn counts(metrics: &str, members: &str) -> Result<Vec<Vec<u64>>, String> {
        let schemas = Schemas::load(&[("a.yml", &json_of(&format!("{HEAD}metrics:\n{metrics}")))])
            .map_err(|error| error.to_string())?;
        let log = format!(r#"{{"t":"2026-01-01T00:00:00Z","discriminator":{{"type":"x"{members}}}}}"#);
        let log = schemas.classify(log.as_bytes()).map_err(|error| error.to_string())?;
        let mut tally = Tally::default();
        tally.add(&LogCounts::of(&log));
        Ok(tally.by_metric(&log.schema.metrics).map(|(_, counts)| counts.to_vec()).collect())
    }

    #[test]
    fn a_rule_counts_all_logs_or_those_with_a_value() {
        let rules = "- {name: All, description: d}\n- {name: Ok, description: d, when: {field: ok, is: true}}\n";
        assert_eq!(counts(rules, r#"},"ok":true,"z":{"a":1"#).unwrap(), [[1], [1]]);
        assert_eq!(counts(rules, r#"},"ok":false,"z":{"a":1"#).unwrap(), [vec![1], vec![]]);
        assert_eq!(counts(rules, "").unwrap(), [vec![1], vec![]]);
    }

    #[test]
    fn a_rule_counts_values_that_it_does_not_list() {
        let rule = "- {name: New, description: d, unless: {field: discriminator.subtype, is: [read, write]}}";
        for (subtype, expected) in [(r#","subtype":"read""#, 0), (r#","subtype":"delete""#, 1), ("", 1)] {
            let count: u64 = counts(rule, subtype).unwrap().iter().flatten().sum();
            assert_eq!(count, expected, "{subtype}");
        }
    }

    #[test]
    fn a_log_with_unknown_fields_is_counted_once() {
        let schemas = Schemas::load(&[("a.yml", &json_of(HEAD))]).unwrap();
        for (members, expected) in [("", 0), (r#","a":1,"b":{"c":2}"#, 1)] {
            let log = format!(r#"{{"t":"2026-01-01T00:00:00Z","discriminator":{{"type":"x"}}{members}}}"#);
            let log = schemas.classify(log.as_bytes()).unwrap();
            let mut tally = Tally::default();
            tally.add(&LogCounts::of(&log));
            assert_eq!(tally.unknown_fields, expected, "{members}");
        }
    }

    #[test]
    fn a_dimension_has_only_the_values_of_the_rule() {
        let rule = "- {name: Kinds, description: d, by: {field: discriminator.subtype, dimension: Kind, values: [read, write], other: Other}}";
        for (subtype, expected) in [
            (r#","subtype":"WRITE""#, vec![0, 1]),
            (r#","subtype":"delete""#, vec![0, 0, 1]),
            (r#","subtype":5"#, vec![0, 0, 1]),
            ("", vec![0, 0, 1]),
        ] {
            assert_eq!(counts(rule, subtype).unwrap(), [expected], "{subtype}");
        }
    }

    #[test]
    fn a_rule_that_names_no_field_is_an_error() {
        let error = counts("- {name: Ok, description: d, when: {field: okay, is: true}}", "").unwrap_err();
        assert_eq!(error, "schemas/a.yml: metric Ok: no field is called okay");
        assert!(counts("- {name: Ok, description: d, wen: {field: ok, is: true}}", "").unwrap_err().contains("wen"));
    }
}
