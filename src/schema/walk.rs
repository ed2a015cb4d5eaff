//! One pass over a log, beside its schema: syntax, violations, event time, indicators and the canonical form, without a
//! tree of values.

use std::{cmp::Ordering, fmt};

use chrono::{DateTime, Utc};
use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};

use super::language::{Field, Rule, Type, find};
use super::{DISCRIMINATOR, Schema};
use crate::{indicator::Indicators, record::RowId, time};

/// How deep a log may be nested. Tracebit's go five deep; the engines that read the lake give up somewhere.
const MAX_DEPTH: usize = 64;

/// How many members are open at a time in an alert, at most, so that there is room for them from the start.
const USUAL_MEMBERS: usize = 32;

/// How many characters of a name or value from outside an error shows.
const SHOWN_CHARS: usize = 64;

/// A log that fits its schema.
#[derive(Debug)]
pub struct Log<'s, 't> {
    /// The schema it fits.
    pub schema: &'s Schema,
    /// The log as it was sent: one JSON object, valid UTF-8.
    pub text: &'t [u8],
    /// The same for the same log, however it is spaced and in whichever order its members come.
    pub row_id: RowId,
    /// The value of the field that the schema marks as event time.
    pub event_time: DateTime<Utc>,
    /// What the schema marks as indicators.
    pub indicators: Indicators,
    /// The raw JSON of the top-level field `severity`, where the schema has one.
    pub severity: Option<&'t [u8]>,
    /// The raw JSON of the top-level field `is_healthy`, where the schema has one.
    pub is_healthy: Option<&'t [u8]>,
}

/// What is wrong with a log, and where: `canary.aws.account_id: expected string, found array`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    path: String,
    problem: String,
}

impl Violation {
    fn new(problem: impl Into<String>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }

    fn expected(kind: &str, found: &str) -> Self {
        Self::new(format!("expected {kind}, found {found}"))
    }

    pub(super) fn unknown_discriminator<'n>(found: &str, known: impl Iterator<Item = &'n String>) -> Self {
        let known: Vec<_> = known.map(String::as_str).collect();
        Self::new(format!("{} names no log type; known are {}", shown(found), known.join(", "))).within_discriminator()
    }

    fn within_discriminator(self) -> Self {
        DISCRIMINATOR.iter().rev().fold(self, |violation, name| violation.within(name))
    }

    /// The violation as seen from the object that holds it as member `name`.
    fn within(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    /// The violation as seen from the array that holds it at `index`.
    fn within_element(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    fn syntax(error: &JiterError, jiter: &Jiter<'_>) -> Self {
        match error.error_type {
            JiterErrorType::JsonError(JsonErrorType::RecursionLimitExceeded) => return Self::too_deep(),
            // The parser's own limit, against work that grows with the square of the digits.
            JiterErrorType::JsonError(JsonErrorType::NumberOutOfRange) => {
                return Self::new("a number of more digits than can be read (4300)");
            }
            _ => {}
        }
        let place = jiter.error_position(error.index);
        Self::new(format!("not valid JSON: {} at line {} column {}", error.error_type, place.line, place.column))
    }

    fn too_deep() -> Self {
        Self::new(format!("nested deeper than {MAX_DEPTH} levels"))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.path, self.problem) }
    }
}

/// A name or value from outside, fit for an error: cut, and with control characters escaped.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", cut.escape_debug())
}

fn kind_of(peek: Peek) -> &'static str {
    match peek {
        Peek::Null => "null",
        Peek::True | Peek::False => "boolean",
        Peek::String => "string",
        Peek::Array => "array",
        Peek::Object => "object",
        number if number.is_num() => "number",
        _ => "no JSON",
    }
}

/// Reads just far enough to find the discriminator.
pub(super) fn discriminator(text: &[u8]) -> Result<String, Violation> {
    let mut jiter = Jiter::new(text);
    let [object, member] = DISCRIMINATOR;
    let found = enter(&mut jiter, object)?;
    if !matches!(found, Some(Peek::Object)) {
        let problem = match found {
            None | Some(Peek::Null) => Violation::new("required, but missing"),
            Some(other) => Violation::expected("object", kind_of(other)),
        };
        return Err(problem.within(object));
    }
    match enter(&mut jiter, member)? {
        Some(Peek::String) => {
            let value = jiter.known_str().map(str::to_owned);
            value.map_err(|error| Violation::syntax(&error, &jiter).within_discriminator())
        }
        None | Some(Peek::Null) => Err(Violation::new("required, but missing").within_discriminator()),
        Some(other) => Err(Violation::expected("string", kind_of(other)).within_discriminator()),
    }
}

/// Enters the object that comes next and goes forward to its member `name`, if it has one.
fn enter(jiter: &mut Jiter<'_>, name: &str) -> Result<Option<Peek>, Violation> {
    let result = (|| {
        let peek = jiter.peek()?;
        if peek != Peek::Object {
            // Text that is no JSON at all is better told as such.
            jiter.known_skip(peek)?;
            return Ok(Err(Violation::expected("one JSON object", kind_of(peek))));
        }
        let mut found = jiter.known_object()?.map(|key| key == name);
        while let Some(is_it) = found {
            let peek = jiter.peek()?;
            if is_it {
                return Ok(Ok(Some(peek)));
            }
            jiter.known_skip(peek)?;
            found = jiter.next_key()?.map(|key| key == name);
        }
        Ok(Ok(None))
    })();
    result.unwrap_or_else(|error: JiterError| Err(Violation::syntax(&error, jiter)))
}

/// Checks `text` against `schema`.
pub(super) fn check<'s, 't>(text: &'t [u8], schema: &'s Schema) -> Result<Log<'s, 't>, Violation> {
    let mut walk = Walk {
        text,
        jiter: Jiter::new(text),
        canonical: Vec::with_capacity(text.len()),
        reordered: Vec::with_capacity(text.len()),
        members: Vec::with_capacity(USUAL_MEMBERS),
        depth: 0,
        event_time: None,
        indicators: Indicators::default(),
        severity: None,
        is_healthy: None,
    };
    walk.jiter.peek().map_err(|error| Violation::syntax(&error, &walk.jiter))?;
    walk.object(Some(&schema.fields))?;
    walk.jiter.finish().map_err(|error| Violation::syntax(&error, &walk.jiter))?;
    Ok(Log {
        schema,
        text,
        row_id: RowId::of(&schema.log_type, &walk.canonical),
        event_time: walk.event_time.ok_or_else(|| Violation::new("no event time"))?,
        indicators: walk.indicators,
        severity: walk.severity,
        is_healthy: walk.is_healthy,
    })
}

struct Walk<'a> {
    text: &'a [u8],
    jiter: Jiter<'a>,
    /// The canonical form so far: no white space, members sorted by name, strings with the fewest escapes, numbers to
    /// the digit as sent (two numbers of 40 digits are not the same because their first 17 are).
    canonical: Vec<u8>,
    /// Room for putting an object's members in order.
    reordered: Vec<u8>,
    /// The members of the objects that are open, innermost last.
    members: Vec<Member>,
    depth: usize,
    event_time: Option<DateTime<Utc>>,
    indicators: Indicators,
    severity: Option<&'a [u8]>,
    is_healthy: Option<&'a [u8]>,
}

/// Where a member lies in the canonical form: `"name":value`.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
    /// How the name begins, as a number that sorts like it; most names are told apart by it.
    beginning: u64,
}

impl Member {
    fn new(canonical: &[u8], start: usize, name_end: usize) -> Self {
        let mut beginning = [0; 8];
        // A name ends in a quote, so what fills up a short one decides nothing.
        let name = canonical.get(start + 1..name_end).unwrap_or_default();
        match name.first_chunk() {
            Some(chunk) => beginning = *chunk,
            None => beginning.iter_mut().zip(name).for_each(|(to, from)| *to = *from),
        }
        Self { start, name_end, end: canonical.len(), beginning: u64::from_be_bytes(beginning) }
    }

    fn name<'c>(&self, canonical: &'c [u8]) -> &'c [u8] {
        canonical.get(self.start..self.name_end).unwrap_or_default()
    }

    fn cmp_by_name(&self, other: &Self, canonical: &[u8]) -> Ordering {
        self.beginning.cmp(&other.beginning).then_with(|| self.name(canonical).cmp(other.name(canonical)))
    }

    fn is_null(&self, canonical: &[u8]) -> bool {
        canonical.get(self.name_end..self.end) == Some(b":null")
    }
}

impl Walk<'_> {
    fn syntax<T>(&self, result: Result<T, JiterError>) -> Result<T, Violation> {
        result.map_err(|error| Violation::syntax(&error, &self.jiter))
    }

    /// Any value; a rule is at hand where the schema knows it.
    fn value(&mut self, peek: Peek, rule: Option<&Rule>) -> Result<(), Violation> {
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
                self.canonical.extend_from_slice(b"null");
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
        push_string(&mut self.canonical, text, self.text);
        let Some(rule) = rule else { return Ok(()) };
        match rule.kind {
            Type::String => take_text(rule, text, &mut self.indicators),
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
        self.canonical.extend_from_slice(text.as_bytes());
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
        self.canonical.extend_from_slice(digits);
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
        self.canonical.push(b'[');
        let first = self.jiter.known_array();
        let mut next = self.syntax(first)?;
        let mut index = 0;
        while let Some(peek) = next {
            if index > 0 {
                self.canonical.push(b',');
            }
            self.value(peek, element).map_err(|violation| violation.within_element(index))?;
            let step = self.jiter.array_step();
            next = self.syntax(step)?;
            index += 1;
        }
        self.canonical.push(b']');
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, fields: Option<&[Field]>) -> Result<(), Violation> {
        self.descend()?;
        let start = self.canonical.len();
        let first_member = self.members.len();
        self.canonical.push(b'{');
        let mut next = self.jiter.known_object();
        loop {
            let name = match next {
                Ok(Some(name)) => name,
                Ok(None) => break,
                Err(error) => return Err(Violation::syntax(&error, &self.jiter)),
            };
            if self.depth == 1 && name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("p_")) {
                return Err(Violation::new("names that begin with p_ are the lake's own").within(&shown(name)));
            }
            let field = fields.and_then(|fields| find(fields, name));
            if self.members.len() > first_member {
                self.canonical.push(b',');
            }
            let start = self.canonical.len();
            push_string(&mut self.canonical, name, self.text);
            let name_end = self.canonical.len();
            self.canonical.push(b':');
            self.member(field).map_err(|violation| match field {
                Some(field) => violation.within(&field.name),
                None => violation.within(&self.name_at(start, name_end)),
            })?;
            self.members.push(Member::new(&self.canonical, start, name_end));
            next = self.jiter.next_key();
        }
        self.canonical.push(b'}');
        self.require(fields.unwrap_or_default(), first_member)?;
        self.sort(start, first_member)?;
        self.members.truncate(first_member);
        self.depth -= 1;
        Ok(())
    }

    /// A member's value.
    fn member(&mut self, field: Option<&Field>) -> Result<(), Violation> {
        let peek = self.jiter.peek();
        let peek = self.syntax(peek)?;
        let start = self.jiter.current_index();
        self.value(peek, field.map(|field| &field.rule))?;
        if let (1, Some(field)) = (self.depth, field) {
            let raw = Some(self.jiter.slice_to_current(start));
            match field.name.as_str() {
                "severity" => self.severity = raw,
                "is_healthy" => self.is_healthy = raw,
                _ => {}
            }
        }
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Violation> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Violation::too_deep()) } else { Ok(()) }
    }

    fn name_at(&self, start: usize, end: usize) -> String {
        let quoted = self.canonical.get(start..end).unwrap_or_default();
        shown(&serde_json::from_slice::<String>(quoted).unwrap_or_default())
    }

    /// Every required field must be among the members of the object that ends here, and not be null.
    fn require(&self, fields: &[Field], first_member: usize) -> Result<(), Violation> {
        let members = self.members.get(first_member..).unwrap_or_default();
        let is_there = |field: &Field| {
            members.iter().any(|member| {
                let quoted = member.name(&self.canonical);
                let name = quoted.get(1..quoted.len().saturating_sub(1));
                name == Some(field.name.as_bytes()) && !member.is_null(&self.canonical)
            })
        };
        match fields.iter().find(|field| field.required && !is_there(field)) {
            Some(field) => Err(Violation::new("required, but missing").within(&field.name)),
            None => Ok(()),
        }
    }

    /// Puts the members of the object that began at `start` in order of their names, no two of which may be the same.
    fn sort(&mut self, start: usize, first_member: usize) -> Result<(), Violation> {
        let canonical = &self.canonical;
        let members = self.members.get_mut(first_member..).unwrap_or_default();
        if members.is_sorted_by(|a, b| a.cmp_by_name(b, canonical).is_lt()) {
            return Ok(());
        }
        members.sort_unstable_by(|a, b| a.cmp_by_name(b, canonical));
        let repeated = members.array_windows().find(|[a, b]| a.cmp_by_name(b, canonical).is_eq());
        if let Some([Member { start, name_end, .. }, _]) = repeated.copied() {
            let name = self.name_at(start, name_end);
            return Err(Violation::new("repeated member").within(&name));
        }
        self.reordered.clear();
        for member in members {
            self.reordered.push(if self.reordered.is_empty() { b'{' } else { b',' });
            self.reordered.extend_from_slice(canonical.get(member.start..member.end).unwrap_or_default());
        }
        self.reordered.push(b'}');
        self.canonical.truncate(start);
        self.canonical.extend_from_slice(&self.reordered);
        Ok(())
    }
}

/// What a string's rule says of its text; numbers and booleans count as the text they were sent as.
fn take_text(rule: &Rule, text: &str, indicators: &mut Indicators) -> Result<(), Violation> {
    if !rule.allow.is_empty() && !rule.allow.iter().any(|allowed| allowed == text) {
        return Err(Violation::new(format!("expected {}, found {}", rule.allow.join(" or "), shown(text))));
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

/// Appends `text`, a string of `log`, as a JSON string with the fewest escapes.
fn push_string(to: &mut Vec<u8>, text: &str, log: &[u8]) {
    if let Some(quoted) = quoted_in(log, text) {
        to.extend_from_slice(quoted);
        return;
    }
    #[expect(clippy::expect_used, reason = "writing a str into memory as JSON has no way to fail")]
    serde_json::to_writer(to, text).expect("a str into memory");
}

/// `text` with its quotes, where it is a part of `log`: what the parser had to unescape lies elsewhere in memory.
fn quoted_in<'l>(log: &'l [u8], text: &str) -> Option<&'l [u8]> {
    let start = text.as_ptr().addr().checked_sub(log.as_ptr().addr())?;
    log.get(start.checked_sub(1)?..=start + text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{Schemas, json_of};
    use crate::record::RowId;

    fn alert() -> Value {
        json!({
            "discriminator": {"type": "tracebit_alert_log", "subtype": "canary_resource_accessed"},
            "id": "log-1",
            "alert_id": "alert-1",
            "timestamp": "2026-11-22T09:59:59.123456Z",
            "severity": "High",
            "canary": {"aws": {"account_id": "123456789012", "arn": "arn:aws:s3:::decoy"}},
            "canary_credential": {"labels": [{"name": "host", "value": "web-1"}], "issued_at": "2026-01-01T00:00:00Z"},
            "principal": {"id": "AROA1", "aws": {"username": "alice"}},
            "event": {"request": {"ip": "192.0.2.1"}, "resources": [{"id": "x"}]},
        })
    }

    /// The log type, or the violation.
    fn classify(text: &str) -> Result<String, String> {
        let schemas = Schemas::embedded().unwrap();
        let result = schemas.classify(text.as_bytes());
        result.map(|log| log.schema.log_type.clone()).map_err(|unclassified| unclassified.to_string())
    }

    /// The alert, with the member at `path` set to `value` (and removed where that is `None`).
    fn changed(path: &str, value: Option<Value>) -> String {
        let mut log = alert();
        let (object, member) = path.rsplit_once('/').unwrap();
        let object = log.pointer_mut(object).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => drop(object.insert(member.to_owned(), value)),
            None => drop(object.remove(member)),
        }
        log.to_string()
    }

    #[test]
    fn a_log_is_told_by_its_discriminator_wherever_it_stands() {
        assert_eq!(classify(&alert().to_string()).unwrap(), "Tracebit.Alert");
        let last = r#"{"timestamp":"2026-11-22T09:00:00Z","x":[{"discriminator":1}],"is_healthy":true,
            "discriminator":{"subtype":"s","type":"health_check"}}"#;
        assert_eq!(classify(last).unwrap(), "Tracebit.HealthCheck");
    }

    #[test]
    fn what_is_taken_from_a_log() {
        let schemas = Schemas::embedded().unwrap();
        let text = alert().to_string();
        let log = schemas.classify(text.as_bytes()).unwrap();
        assert_eq!(crate::time::sql(log.event_time), "2026-11-22 09:59:59.123");
        assert_eq!(log.severity, Some(&b"\"High\""[..]));
        assert_eq!(
            serde_json::to_value(&log.indicators).unwrap(),
            json!({
                "p_any_ip_addresses": ["192.0.2.1"],
                "p_any_aws_account_ids": ["123456789012"],
                "p_any_aws_arns": ["arn:aws:s3:::decoy"],
                "p_any_actor_ids": ["AROA1"],
                "p_any_usernames": ["alice"],
            })
        );
    }

    #[test]
    fn violations_name_the_path_and_the_problem() {
        for (path, value, expected) in [
            ("/id", None, "id: required, but missing"),
            ("/id", Some(Value::Null), "id: required, but missing"),
            ("/timestamp", Some(json!("soon")), "timestamp: expected an RFC 3339 timestamp"),
            ("/timestamp", Some(json!(1_700_000_000)), "timestamp: expected timestamp, found number"),
            ("/canary/aws/account_id", Some(json!(["1"])), "canary.aws.account_id: expected string, found array"),
            ("/canary/aws", Some(json!("aws")), "canary.aws: expected object, found string"),
            ("/canary_credential/labels", Some(json!({})), "canary_credential.labels: expected array, found object"),
            (
                "/canary_credential/labels",
                Some(json!([{"name": "a"}, {"name": {}}])),
                "canary_credential.labels[1].name: expected string, found object",
            ),
            (
                "/canary_credential/labels",
                Some(json!([null, 5])),
                "canary_credential.labels[1]: expected object, found number",
            ),
            (
                "/canary_credential/expires_at",
                Some(json!("")),
                "canary_credential.expires_at: expected an RFC 3339 timestamp",
            ),
            ("/discriminator/type", None, "discriminator.type: required, but missing"),
            ("/discriminator/type", Some(json!(["x"])), "discriminator.type: expected string, found array"),
            ("/discriminator", Some(json!("x")), "discriminator: expected object, found string"),
            ("/discriminator", None, "discriminator: required, but missing"),
            ("/p_log_type", Some(json!("x")), "p_log_type: names that begin with p_ are the lake's own"),
            ("/P_x", Some(json!(1)), "P_x: names that begin with p_ are the lake's own"),
        ] {
            assert_eq!(classify(&changed(path, value)), Err(expected.to_owned()), "{path}");
        }
    }

    #[test]
    fn an_unknown_discriminator_is_answered_with_all_that_are_known() {
        let schemas = Schemas::embedded().unwrap();
        let mut known: Vec<_> = schemas.iter().flat_map(crate::schema::Schema::discriminators).cloned().collect();
        known.sort();
        let expected = format!("discriminator.type: other\\n names no log type; known are {}", known.join(", "));
        assert_eq!(classify(&changed("/discriminator/type", Some(json!("other\n")))), Err(expected));
    }

    #[test]
    fn what_the_schema_language_lets_pass() {
        for (path, value) in [
            ("/message", json!(5)),
            ("/message", json!(true)),
            ("/message", Value::Null),
            ("/canary", Value::Null),
            ("/canary_credential/expires_at", Value::Null),
            ("/canary_credential/labels", json!([null, {"name": null}, {}])),
            ("/unknown", json!({"p_inner": {"deep": [1, "x", null]}})),
            ("/event/request/ip", json!("not an address")),
            ("/Id", json!("another name")),
            ("/p", json!("too short to be the lake's")),
        ] {
            assert_eq!(classify(&changed(path, Some(value))), Ok("Tracebit.Alert".to_owned()), "{path}");
        }
    }

    #[test]
    fn booleans_are_booleans() {
        let check = |healthy: &str| {
            classify(&format!(
                r#"{{"discriminator":{{"type":"health_check","subtype":"s"}},"timestamp":"2026-11-22T09:00:00Z","is_healthy":{healthy}}}"#
            ))
        };
        assert!(check("true").is_ok() && check("false").is_ok());
        for (healthy, found) in [("\"true\"", "string"), ("1", "number"), ("[]", "array")] {
            assert_eq!(check(healthy), Err(format!("is_healthy: expected boolean, found {found}")));
        }
        assert_eq!(check("null"), Err("is_healthy: required, but missing".to_owned()));
    }

    #[test]
    fn repeated_members_are_violations_at_any_depth() {
        let text = alert().to_string();
        let twice = text.replacen('{', r#"{"id":"other","#, 1);
        assert_eq!(classify(&twice), Err("id: repeated member".to_owned()));
        let escaped = text.replacen('{', r#"{"\u0069d":"other","#, 1);
        assert_eq!(classify(&escaped), Err("id: repeated member".to_owned()));
        let inner = text.replacen('{', r#"{"x":[{"b":1,"a":2,"b":3}],"#, 1);
        assert_eq!(classify(&inner), Err("x[0].b: repeated member".to_owned()));
        let long = text.replacen('{', r#"{"x":{"a long name 1":1,"a long name 2":2,"a long name 1":3},"#, 1);
        assert_eq!(classify(&long), Err("x.a long name 1: repeated member".to_owned()));
    }

    #[test]
    fn the_row_id_is_that_of_members_in_the_order_of_their_quoted_names() {
        let names = [
            "",
            " ",
            "!",
            "\"",
            "a",
            "a!",
            "a\"",
            "a\u{1}",
            "ab",
            "abcdefg",
            "abcdefgh",
            "abcdefgh!",
            "abcdefghij",
            "é",
        ];
        let quoted = |name: &&str| json!(name).to_string();
        let object = |names: &[&str]| {
            let members: Vec<_> = names.iter().map(|name| format!("{}:[{{}}]", quoted(name))).collect();
            format!("{{{}}}", members.join(","))
        };
        let log = |x: &str| {
            format!(
                r#"{{"discriminator":{{"subtype":"s","type":"health_check"}},"is_healthy":true,"timestamp":"2026-11-22T09:00:00Z","x":{x}}}"#
            )
        };
        let mut sorted = names;
        sorted.sort_by_key(quoted);
        let canonical = log(&object(&sorted));
        let schemas = Schemas::embedded().unwrap();
        let expected = RowId::of("Tracebit.HealthCheck", canonical.as_bytes());
        for turn in 0..names.len() {
            let mut turned = names;
            turned.rotate_left(turn);
            let text = log(&object(&turned));
            assert_eq!(schemas.classify(text.as_bytes()).unwrap().row_id, expected, "{text}");
        }
    }

    #[test]
    fn members_are_found_in_any_order() {
        let Value::Object(members) = alert() else { unreachable!() };
        let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        for turn in 0..members.len() {
            let mut turned = members.clone();
            turned.rotate_left(turn);
            turned.insert(turn, r#""unknown":1"#.to_owned());
            assert_eq!(classify(&format!("{{{}}}", turned.join(","))), Ok("Tracebit.Alert".to_owned()), "{turned:?}");
            let mistaken = turned.join(",").replace("\"192.0.2.1\"", "[]");
            let expected = Err("event.request.ip: expected string, found array".to_owned());
            assert_eq!(classify(&format!("{{{mistaken}}}")), expected);
        }
    }

    #[test]
    fn what_is_no_json_object_is_told_so() {
        for (text, expected) in [
            ("[1]", "expected one JSON object, found array"),
            ("null", "expected one JSON object, found null"),
            ("12", "expected one JSON object, found number"),
            ("hello", "not valid JSON: "),
            ("{\"a\":tru}", "not valid JSON: "),
            ("{\"a\":1", "not valid JSON: "),
            ("{\"a\":NaN}", "not valid JSON: "),
            ("{'a':1}", "not valid JSON: "),
            ("{\"a\":01}", "not valid JSON: "),
            ("{\"a\":\"\u{1}\"}", "not valid JSON: "),
            ("{\"a\":\"\\ud800\"}", "not valid JSON: "),
        ] {
            let error = classify(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let trailing = format!("{}{{}}", alert());
        assert!(classify(&trailing).unwrap_err().starts_with("not valid JSON: "), "{trailing}");
        let syntax = alert().to_string().replace("\"alice\"", "alice");
        assert!(classify(&syntax).unwrap_err().starts_with("principal.aws.username: not valid JSON: "));
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_violation() {
        let schemas = Schemas::embedded().unwrap();
        let mut text = alert().to_string().into_bytes();
        let at = text.windows(5).position(|window| window == b"alice").unwrap();
        text[at] = 0xff;
        assert!(schemas.classify(&text).unwrap_err().to_string().contains("not valid JSON"));
    }

    #[test]
    fn nesting_has_a_limit_that_says_so() {
        let nested = |depth: usize| {
            changed("/x", Some(json!(0)))
                .replace("\"x\":0", &format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)))
        };
        assert!(classify(&nested(63)).is_ok());
        for depth in [64, 300, 10_000] {
            let error = classify(&nested(depth)).unwrap_err();
            assert!(error.ends_with("nested deeper than 64 levels"), "{error}");
        }
    }

    #[test]
    fn names_and_values_from_outside_are_cut_and_escaped_in_errors() {
        let name = format!("p_{}\u{1b}[31m", "x".repeat(10_000));
        let error = classify(&changed(&format!("/{name}"), Some(json!(1)))).unwrap_err();
        assert!(error.len() < 200, "{error}");
        let error = classify(&changed("/p_\u{1b}[31m\n", Some(json!(1)))).unwrap_err();
        assert!(error.starts_with("p_\\u{1b}[31m\\n: "), "{error}");
    }

    #[test]
    fn numbers_have_their_own_types() {
        let schema = "schema: A.B\ndescription: d\nversion: 1\nfields:\n\
            - {name: t, type: timestamp, timeFormats: [rfc3339], isEventTime: true, required: true}\n\
            - {name: discriminator, type: object, required: true, fields: [{name: type, type: string, required: true, validate: {allow: [x]}}]}\n\
            - {name: s, type: smallint}\n- {name: i, type: int}\n- {name: b, type: bigint}\n- {name: f, type: float}\n- {name: j, type: json}\n";
        let schemas = Schemas::load(&[("a.yml", &json_of(schema))]).unwrap();
        let check = |member: &str| {
            let text = format!(r#"{{"t":"2026-01-01T00:00:00Z","discriminator":{{"type":"x"}},{member}}}"#);
            schemas.classify(text.as_bytes()).map(drop).map_err(|error| error.to_string())
        };
        for good in
            [r#""s":-32768"#, r#""i":2147483647"#, r#""b":-9223372036854775808"#, r#""f":1.5e3"#, r#""j":{"a":[1]}"#]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, expected) in [
            (r#""s":32768"#, "s: expected a whole number of 16 bits"),
            (r#""i":-2147483649"#, "i: expected a whole number of 32 bits"),
            (r#""b":9223372036854775808"#, "b: expected a whole number of 64 bits"),
            (r#""i":1.0"#, "i: expected a whole number of 32 bits"),
            (r#""f":"1""#, "f: expected number, found string"),
        ] {
            assert_eq!(check(bad), Err(expected.to_owned()));
        }
    }

    #[test]
    fn two_schemas_cannot_share_a_discriminator() {
        let file = json_of(include_str!("../../schemas/tracebit_healthcheck.yml"));
        let error = Schemas::load(&[("a.yml", &file), ("b.yml", &file)]).unwrap_err().to_string();
        assert_eq!(error, "schemas/b.yml: discriminator.type \"health_check\" is taken by another schema");
    }

    proptest! {
        #[test]
        fn no_input_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Schemas::embedded().unwrap().classify(&text);
        }

        #[test]
        fn no_damaged_log_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = alert().to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            // What is accepted is JSON in serde_json's eyes too.
            if Schemas::embedded().unwrap().classify(&text).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&text).is_ok());
            }
        }
    }
}
