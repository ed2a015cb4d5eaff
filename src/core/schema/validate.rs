//! Reads a log once beside its schema: checks syntax and types, and collects event time, indicators, the values that
//! metrics count by, and the canonical form. No tree of values is built.

use chrono::{DateTime, Utc};
use jiter::{Jiter, JiterError, Peek};

use super::{
    canonical::{Canonical, Repeated, fold_case},
    indicator::Indicators,
    types::{Field, Rule, Schema, Type, find},
    violation::{MAX_DEPTH, Violation, kind_of, sanitize},
};
use crate::core::{redacted::Redacted, row_id::RowId, time};

/// The longest name of a member, in bytes. Athena's engine fails every query that meets a name of 50,000 characters.
const MAX_NAME_BYTES: usize = 10_000;

/// A log that fits its schema.
#[derive(Debug)]
pub struct Log<'s, 't> {
    /// The schema that it fits.
    pub schema: &'s Schema,
    /// The log as it was sent: one JSON object, valid UTF-8.
    pub text: Redacted<&'t [u8]>,
    /// Its identity. Spacing and the order of members do not change it.
    pub row_id: RowId,
    /// The value of the field that the schema marks as event time.
    pub event_time: DateTime<Utc>,
    /// The values that the schema marks as indicators.
    pub indicators: Indicators,
    /// The raw JSON of each field that a metric rule of the schema names, in the order of [`Schema::counted_fields`].
    pub counted_values: Vec<Option<Redacted<&'t [u8]>>>,
    /// Whether it has fields that the schema does not know. The record keeps them, and a metric reports them.
    pub has_unknown_fields: bool,
}

/// How many values are read between two looks at the clock.
const VALUES_PER_LOOK: usize = 1024;

/// Checks `text` against `schema`. Ends with a violation soon after `is_late` is true.
pub(super) fn validate<'s, 't>(
    text: &'t [u8],
    schema: &'s Schema,
    is_late: &dyn Fn() -> bool,
) -> Result<Log<'s, 't>, Violation> {
    let mut walk = Walk {
        jiter: Jiter::new(text),
        is_late,
        values: 0,
        canonical: Canonical::new(text),
        depth: 0,
        event_time: None,
        indicators: Indicators::default(),
        counted_values: vec![None; schema.counted_fields],
        has_unknown_fields: false,
    };
    walk.jiter.peek().map_err(|error| Violation::syntax(&error, &walk.jiter))?;
    walk.object(Some(&schema.fields))?;
    walk.jiter.finish().map_err(|error| Violation::syntax(&error, &walk.jiter))?;
    Ok(Log {
        schema,
        text: Redacted(text),
        row_id: RowId::of(&schema.log_type, walk.canonical.bytes()),
        event_time: walk.event_time.ok_or_else(|| Violation::new("no event time"))?,
        indicators: walk.indicators,
        counted_values: walk.counted_values,
        has_unknown_fields: walk.has_unknown_fields,
    })
}

struct Walk<'t, 'c> {
    jiter: Jiter<'t>,
    is_late: &'c dyn Fn() -> bool,
    values: usize,
    canonical: Canonical<'t>,
    depth: usize,
    event_time: Option<DateTime<Utc>>,
    indicators: Indicators,
    counted_values: Vec<Option<Redacted<&'t [u8]>>>,
    has_unknown_fields: bool,
}

impl Walk<'_, '_> {
    fn syntax<T>(&self, result: Result<T, JiterError>) -> Result<T, Violation> {
        result.map_err(|error| Violation::syntax(&error, &self.jiter))
    }

    /// Any value. `rule` is the schema's rule, if the schema knows the field.
    fn value(&mut self, peek: Peek, rule: Option<&Rule>) -> Result<(), Violation> {
        self.values += 1;
        if self.values.is_multiple_of(VALUES_PER_LOOK) && (self.is_late)() {
            return Err(Violation::new("takes too long to read"));
        }
        match peek {
            Peek::Object => match rule.map(|rule| &rule.kind) {
                Some(Type::Object(fields)) => self.object(Some(fields)),
                None | Some(Type::Json) => self.object(None),
                Some(other) => Err(mismatch(other, peek)),
            },
            Peek::Array => match rule.map(|rule| &rule.kind) {
                Some(Type::Array(element)) => self.array(Some(element)),
                None | Some(Type::Json) => self.array(None),
                Some(other) => Err(mismatch(other, peek)),
            },
            Peek::String => self.string(rule),
            Peek::Null => {
                let result = self.jiter.known_null();
                self.syntax(result)?;
                self.canonical.push(b"null");
                Ok(())
            }
            Peek::True | Peek::False => self.boolean(peek, rule),
            _ => self.number(peek, rule),
        }
    }

    fn string(&mut self, rule: Option<&Rule>) -> Result<(), Violation> {
        let text = match self.jiter.known_str() {
            Ok(text) => text,
            Err(error) => return Err(Violation::syntax(&error, &self.jiter)),
        };
        self.canonical.push_string(text);
        let Some(rule) = rule else { return Ok(()) };
        match rule.kind {
            Type::String => take_text(rule, text, &mut self.indicators),
            // As null: absent.
            Type::Timestamp if text.is_empty() && !rule.is_event_time => Ok(()),
            Type::Timestamp => {
                let time = time::parse(text).map_err(Violation::new)?;
                if rule.is_event_time {
                    self.event_time = Some(time);
                }
                Ok(())
            }
            Type::Json => Ok(()),
            ref other => Err(mismatch(other, Peek::String)),
        }
    }

    fn boolean(&mut self, peek: Peek, rule: Option<&Rule>) -> Result<(), Violation> {
        let result = self.jiter.known_bool(peek);
        let text = if self.syntax(result)? { "true" } else { "false" };
        self.canonical.push(text.as_bytes());
        match rule {
            None => Ok(()),
            Some(rule) => match rule.kind {
                Type::String => take_text(rule, text, &mut self.indicators),
                Type::Boolean | Type::Json => Ok(()),
                ref other => Err(mismatch(other, peek)),
            },
        }
    }

    fn number(&mut self, peek: Peek, rule: Option<&Rule>) -> Result<(), Violation> {
        let digits = match self.jiter.known_number_bytes(peek) {
            Ok(digits) => digits,
            Err(error) => return Err(Violation::syntax(&error, &self.jiter)),
        };
        self.canonical.push(digits);
        let Some(rule) = rule else { return Ok(()) };
        let text = std::str::from_utf8(digits).unwrap_or_default();
        match rule.kind {
            Type::String => take_text(rule, text, &mut self.indicators),
            Type::Integer(bits) if fits(text, bits) => Ok(()),
            Type::Integer(bits) => Err(Violation::new(format!("expected a whole number of {bits} bits"))),
            Type::Float | Type::Json => Ok(()),
            ref other => Err(mismatch(other, peek)),
        }
    }

    fn array(&mut self, element: Option<&Rule>) -> Result<(), Violation> {
        self.descend()?;
        self.canonical.push(b"[");
        let first = self.jiter.known_array();
        let mut next = self.syntax(first)?;
        let mut index = 0;
        while let Some(peek) = next {
            if index > 0 {
                self.canonical.push(b",");
            }
            self.value(peek, element).map_err(|violation| violation.within_element(index))?;
            let step = self.jiter.array_step();
            next = self.syntax(step)?;
            index += 1;
        }
        self.canonical.push(b"]");
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, fields: Option<&[Field]>) -> Result<(), Violation> {
        self.descend()?;
        let object = self.canonical.open_object();
        let mut next = self.jiter.known_object();
        loop {
            let name = match next {
                Ok(Some(name)) => name,
                Ok(None) => break,
                Err(error) => return Err(Violation::syntax(&error, &self.jiter)),
            };
            if self.depth == 1 && name.is_empty() {
                return Err(Violation::new("a member without a name, which DuckDB takes for no column"));
            }
            if self.depth == 1 && name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("p_")) {
                return Err(Violation::new("names that begin with p_ are the lake's own").within(&sanitize(name)));
            }
            if is_positional(name) {
                return Err(Violation::new("names such as _col0 are the query engine's own").within(&sanitize(name)));
            }
            if name.len() > MAX_NAME_BYTES {
                return Err(Violation::new(format!("name longer than {MAX_NAME_BYTES} bytes")).within(&sanitize(name)));
            }
            let field = fields.and_then(|fields| find(fields, name));
            if field.is_none()
                && let Some(known) = fields.and_then(|fields| find_in_another_case(fields, name))
            {
                return Err(Violation::new(format!("is the field {known} in another case")).within(&sanitize(name)));
            }
            self.has_unknown_fields |= fields.is_some() && field.is_none();
            let member = self.canonical.open_member(object, name);
            self.member(field).map_err(|violation| match field {
                Some(field) => violation.within(&field.name),
                None => violation.within(&sanitize(&self.canonical.name(member))),
            })?;
            self.canonical.close_member(member);
            next = self.jiter.next_key();
        }
        let is_missing = |field: &&Field| field.required && !self.canonical.has_value(object, &field.name);
        if let Some(field) = fields.unwrap_or_default().iter().find(is_missing) {
            return Err(Violation::missing().within(&field.name));
        }
        self.canonical.close_object(object).map_err(|repeated| match repeated {
            Repeated::Exactly(name) => Violation::new("repeated member").within(&sanitize(&name)),
            Repeated::InAnotherCase(name) => Violation::new("repeated member in another case").within(&sanitize(&name)),
        })?;
        self.depth -= 1;
        Ok(())
    }

    /// A member's value.
    fn member(&mut self, field: Option<&Field>) -> Result<(), Violation> {
        let peek = self.jiter.peek();
        let peek = self.syntax(peek)?;
        let start = self.jiter.current_index();
        let rule = field.map(|field| &field.rule);
        self.value(peek, rule)?;
        if let Some(index) = rule.and_then(|rule| rule.counted_as)
            && let Some(value) = self.counted_values.get_mut(index)
        {
            *value = Some(Redacted(self.jiter.slice_to_current(start)));
        }
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Violation> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Violation::too_deep()) } else { Ok(()) }
    }
}

/// Whether Hive's JSON reader takes the name for a column's number: `_col0`. Such a name would overwrite that column,
/// or end every query that meets the record.
fn is_positional(name: &str) -> bool {
    name.strip_prefix("_col")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The field whose name is `name` in another case. Athena matches names without case, so a query would read the member
/// as the field, or fail on its type.
fn find_in_another_case<'f>(fields: &'f [Field], name: &str) -> Option<&'f str> {
    if name.is_ascii() {
        let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        return field.map(|field| field.name.as_str());
    }
    // Once, because a log can have a million such names.
    let lower: String = name.chars().flat_map(fold_case).collect();
    let is_same = |field: &&Field| field.name.chars().flat_map(fold_case).eq(lower.chars());
    fields.iter().find(is_same).map(|field| field.name.as_str())
}

/// Applies a string's rule to its text. Numbers and booleans count as the text that was sent.
fn take_text(rule: &Rule, text: &str, indicators: &mut Indicators) -> Result<(), Violation> {
    if !rule.allow.is_empty() && !rule.allow.iter().any(|allowed| allowed == text) {
        return Err(Violation::new(format!("expected {}, found {}", rule.allow.join(" or "), sanitize(text))));
    }
    for indicator in &rule.indicators {
        indicators.add(*indicator, text);
    }
    Ok(())
}

fn fits(digits: &str, bits: u32) -> bool {
    digits.parse::<i64>().is_ok_and(|number| {
        let spare = 64 - bits;
        (number << spare) >> spare == number
    })
}

fn mismatch(expected: &Type, found: Peek) -> Violation {
    let expected = match expected {
        Type::String => "string",
        Type::Integer(_) => "whole number",
        Type::Float => "number",
        Type::Boolean => "boolean",
        Type::Timestamp => "timestamp",
        Type::Json => "JSON",
        Type::Object(_) => "object",
        Type::Array(_) => "array",
    };
    Violation::expected(expected, kind_of(found))
}
