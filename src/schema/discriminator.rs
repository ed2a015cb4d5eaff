//! Finds the member that tells the log types apart, before the schema is known.

use jiter::{Jiter, JiterError, Peek};

use super::{
    DISCRIMINATOR,
    violation::{Violation, kind_of},
};

/// Reads `text` up to its discriminator and returns the discriminator's value.
///
/// # Errors
/// A [`Violation`] if `text` is not a JSON object with a string there.
pub(super) fn find(text: &[u8]) -> Result<String, Violation> {
    let mut jiter = Jiter::new(text);
    match enter_discriminator(&mut jiter)? {
        Some(Peek::String) => {
            let value = jiter.known_str().map(str::to_owned);
            value.map_err(|error| Violation::syntax(&error, &jiter).within_discriminator())
        }
        None | Some(Peek::Null) => Err(Violation::missing().within_discriminator()),
        Some(other) => Err(Violation::expected("string", kind_of(other)).within_discriminator()),
    }
}

/// Whether a log begins at the start of `text`, an object with a discriminator, and how many bytes show it.
#[must_use]
pub fn probe(text: &[u8]) -> (bool, usize) {
    let mut jiter = Jiter::new(text);
    let is_log = matches!(enter_discriminator(&mut jiter), Ok(Some(_)));
    (is_log, jiter.current_index())
}

/// Reads up to the value of the discriminator, if there is one.
fn enter_discriminator(jiter: &mut Jiter<'_>) -> Result<Option<Peek>, Violation> {
    let [object, member] = DISCRIMINATOR;
    match enter(jiter, object)? {
        Some(Peek::Object) => enter(jiter, member),
        None | Some(Peek::Null) => Err(Violation::missing().within(object)),
        Some(other) => Err(Violation::expected("object", kind_of(other)).within(object)),
    }
}

/// Enters the object that comes next and reads up to the value of its member `name`, if it has one.
fn enter(jiter: &mut Jiter<'_>, name: &str) -> Result<Option<Peek>, Violation> {
    let peek = jiter.peek().map_err(|error| Violation::syntax(&error, jiter))?;
    if peek != Peek::Object {
        // Text that is not JSON at all gets the parser's message.
        jiter.known_skip(peek).map_err(|error| Violation::syntax(&error, jiter))?;
        return Err(Violation::expected("one JSON object", kind_of(peek)));
    }
    skip_to(jiter, name).map_err(|error| Violation::syntax(&error, jiter))
}

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
