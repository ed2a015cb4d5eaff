//! Finds the member that tells the log types apart, before the schema is known.

use jiter::{Jiter, JiterError, Peek};

use super::{
    types::{Schema, Type, find as find_field},
    violation::{Violation, kind_of, sanitize},
};

/// The path of the member that tells the log types apart.
pub const DISCRIMINATOR: [&str; 2] = ["discriminator", "type"];

/// The discriminators that name `schema`.
#[must_use]
pub fn values_of(schema: &Schema) -> &[String] {
    let [object, member] = DISCRIMINATOR;
    find_field(&schema.fields, object)
        .and_then(|field| match &field.rule.kind {
            Type::Object(fields) => find_field(fields, member),
            _ => None,
        })
        .map_or(&[], |field| &field.rule.allow)
}

/// The violation of a log whose discriminator names no schema.
pub(super) fn unknown<'n>(found: &str, known: impl Iterator<Item = &'n String>) -> Violation {
    let known: Vec<_> = known.map(String::as_str).collect();
    at_discriminator(Violation::new(format!("{} names no log type; known are {}", sanitize(found), known.join(", "))))
}

fn at_discriminator(violation: Violation) -> Violation {
    DISCRIMINATOR.iter().rev().fold(violation, |violation, name| violation.within(name))
}

/// Reads `text` up to its discriminator and returns the discriminator's value.
///
/// # Errors
/// A [`Violation`] if `text` is not a JSON object with a string there.
pub(super) fn find(text: &[u8]) -> Result<String, Violation> {
    let mut jiter = Jiter::new(text);
    match enter_discriminator(&mut jiter).map_err(|error| error.violation(&jiter))? {
        Some(Peek::String) => {
            let value = jiter.known_str().map(str::to_owned);
            value.map_err(|error| at_discriminator(Violation::syntax(&error, &jiter)))
        }
        None | Some(Peek::Null) => Err(at_discriminator(Violation::missing())),
        Some(other) => Err(at_discriminator(Violation::expected("string", kind_of(other)))),
    }
}

/// Whether a log begins at the start of `text`, an object with a discriminator, and how many bytes show it.
#[must_use]
pub fn probe(text: &[u8]) -> (bool, usize) {
    let mut jiter = Jiter::new(text);
    let is_log = matches!(enter_discriminator(&mut jiter), Ok(Some(_)));
    (is_log, jiter.current_index())
}

/// Why a text has no discriminator. It becomes a violation, with a text, only where one is shown: a payload can have
/// millions of these.
enum NoDiscriminator {
    Syntax(JiterError),
    /// The text is a value of this kind, and not an object.
    NotAnObject(Peek),
    Missing,
    /// The member that must hold the discriminator is a value of this kind, and not an object.
    HolderNotAnObject(Peek),
}

impl From<JiterError> for NoDiscriminator {
    fn from(error: JiterError) -> Self {
        Self::Syntax(error)
    }
}

impl NoDiscriminator {
    fn violation(&self, jiter: &Jiter<'_>) -> Violation {
        let [object, _] = DISCRIMINATOR;
        match self {
            Self::Syntax(error) => Violation::syntax(error, jiter),
            Self::NotAnObject(peek) => Violation::expected("one JSON object", kind_of(*peek)),
            Self::Missing => Violation::missing().within(object),
            Self::HolderNotAnObject(peek) => Violation::expected("object", kind_of(*peek)).within(object),
        }
    }
}

/// Reads up to the value of the discriminator, if there is one.
fn enter_discriminator(jiter: &mut Jiter<'_>) -> Result<Option<Peek>, NoDiscriminator> {
    let [object, member] = DISCRIMINATOR;
    let peek = jiter.peek()?;
    if peek != Peek::Object {
        // Text that is not JSON at all gets the parser's message.
        jiter.known_skip(peek)?;
        return Err(NoDiscriminator::NotAnObject(peek));
    }
    match skip_to(jiter, object)? {
        Some(Peek::Object) => Ok(skip_to(jiter, member)?),
        None | Some(Peek::Null) => Err(NoDiscriminator::Missing),
        Some(other) => Err(NoDiscriminator::HolderNotAnObject(other)),
    }
}

/// Enters the object that comes next and reads up to the value of its member `name`, if it has one.
fn skip_to(jiter: &mut Jiter<'_>, name: &str) -> Result<Option<Peek>, JiterError> {
    let mut is_found = jiter.known_object()?.map(|key| key == name);
    while let Some(is_it) = is_found {
        let peek = jiter.peek()?;
        if is_it {
            return Ok(Some(peek));
        }
        jiter.known_skip(peek)?;
        is_found = jiter.next_key()?.map(|key| key == name);
    }
    Ok(None)
}
