//! What a schema says: the fields of a log type, their rules, and its metrics.

use serde_json::Value;

use super::indicator::Indicator;

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
    pub counted_fields: usize,
}

/// A member of an object, as the schema knows it.
#[derive(Debug, Clone)]
pub struct Field {
    /// The member's name.
    pub name: String,
    /// Whether a log without it, or with null there, is a violation.
    pub required: bool,
    /// What it is, in a sentence. Empty if the schema does not say.
    pub description: String,
    /// What its value must be.
    pub rule: Rule,
}

/// What a value must be, and what the lake takes from it.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The value's type.
    pub kind: Type,
    /// The only values that are allowed. If empty, any value is.
    pub allow: Vec<String>,
    /// The indicators that the value holds.
    pub indicators: Vec<Indicator>,
    /// Whether the value is the log's event time.
    pub is_event_time: bool,
    /// Its place among the values that metrics count by, if a metric rule names the field.
    pub counted_as: Option<FieldIndex>,
}

/// The types of the schema language.
#[derive(Debug, Clone)]
pub enum Type {
    /// A JSON string, number or boolean.
    String,
    /// A whole number of 16 (`smallint`), 32 (`int`) or 64 (`bigint`) bits.
    Integer(u32),
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// An RFC 3339 text.
    Timestamp,
    /// Any JSON value.
    Json,
    /// An object. Members that the schema does not know are allowed.
    Object(Vec<Field>),
    /// An array. The rule applies to each element.
    Array(Box<Rule>),
}

/// The place of a field's value in `Log::counted_values`.
pub(super) type FieldIndex = usize;

/// The place of a value among those of a metric's dimension.
pub(super) type ValueIndex = usize;

/// A metric of a log type, with the values of its dimension if it has one.
#[derive(Debug, Clone)]
pub struct Metric {
    /// The metric's name in CloudWatch.
    pub name: String,
    /// What it counts, in a few words.
    pub description: String,
    /// What is counted.
    pub counted: Counted,
}

/// What a metric counts.
#[derive(Debug, Clone)]
pub enum Counted {
    /// Every log.
    All,
    /// The logs whose field has this value.
    When {
        /// The field.
        field: FieldIndex,
        /// The value.
        is: Value,
    },
    /// The logs whose field has none of these values.
    Unless {
        /// The field.
        field: FieldIndex,
        /// The values.
        is: Vec<Value>,
    },
    /// The logs by a field's value.
    By {
        /// The field.
        field: FieldIndex,
        /// The dimension's name.
        dimension: String,
        /// The dimension's values. The last one stands for every value that is not among the others.
        values: Vec<String>,
    },
}

/// The field called `name`.
pub(super) fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == name)
}
