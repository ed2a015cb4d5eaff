//! Bytes and texts that no log line and no error may show.

use std::{fmt, ops::Deref};

/// A body, a payload or a text from outside. Its `Debug` shows the size alone, so that a type which holds one can
/// derive `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Redacted<T>(pub T);

impl<T: AsRef<[u8]>> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.as_ref().len())
    }
}

impl<T> Deref for Redacted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_size() {
        assert_eq!(format!("{:?}", Redacted("four")), "4 bytes");
    }
}
