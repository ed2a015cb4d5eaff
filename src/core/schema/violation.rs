//! What is wrong with a log, and where.

use std::{borrow::Cow, fmt};

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};

/// How deep a log may be nested. Tracebit's logs go five deep. Engines that read the lake have limits of their own.
pub(super) const MAX_DEPTH: usize = 64;

/// How many characters of a name or value from outside an error quotes.
const MAX_QUOTED_CHARS: usize = 64;

/// The path of a value and its problem: `canary.aws.account_id: expected string, found array`.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    path: String,
    problem: Cow<'static, str>,
}

impl Violation {
    pub(super) fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }

    pub(super) fn expected(kind: &str, found: &str) -> Self {
        Self::new(format!("expected {kind}, found {found}"))
    }

    pub(super) fn missing() -> Self {
        Self::new("required, but missing")
    }

    pub(super) fn syntax(error: &JiterError, jiter: &Jiter<'_>) -> Self {
        match error.error_type {
            JiterErrorType::JsonError(JsonErrorType::RecursionLimitExceeded) => return Self::too_deep(),
            // The parser's own limit, because the work grows with the square of the digits.
            JiterErrorType::JsonError(JsonErrorType::NumberOutOfRange) => {
                return Self::new("number has more than 4300 digits");
            }
            _ => {}
        }
        let place = jiter.error_position(error.index);
        Self::new(format!("not valid JSON: {} at line {} column {}", error.error_type, place.line, place.column))
    }

    pub(super) fn too_deep() -> Self {
        Self::new(format!("nested deeper than {MAX_DEPTH} levels"))
    }

    /// The violation as seen from the object that holds it as member `name`.
    pub(super) fn within(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        // A payload can have millions of violations.
        self.path = [name, dot, &self.path].concat();
        self
    }

    /// The violation as seen from the array that holds it at `index`.
    pub(super) fn within_element(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

impl fmt::Debug for Violation {
    /// Not the text, because it can quote a name or a value of the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Violation({} bytes)", self.path.len() + self.problem.len())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.path, self.problem) }
    }
}

/// A name or value from outside, made safe for an error: cut, and with control characters escaped.
pub(super) fn sanitize(text: &str) -> String {
    let cut: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", cut.escape_debug())
}

/// The kind of a JSON value, as errors call it.
pub(super) fn kind_of(peek: Peek) -> &'static str {
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
