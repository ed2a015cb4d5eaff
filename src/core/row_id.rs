//! The identity of a record.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// `p_row_id`: 16 bytes, written as 32 hex digits. It is the same for the same log, however often it is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId([u8; 16]);

impl RowId {
    /// The first half of the SHA-256 of `kind` (a log type, or the failures' table), a newline and `content` (a log in
    /// canonical form, or a payload).
    #[must_use]
    pub fn of(kind: &str, content: &[u8]) -> Self {
        Self::from_digest(Sha256::new().chain_update(kind).chain_update(b"\n").chain_update(content))
    }

    /// The identity of several records together. Their order does not matter.
    #[must_use]
    pub fn of_all(ids: &[Self]) -> Self {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        Self::from_digest(sorted.iter().fold(Sha256::new(), |digest, id| digest.chain_update(id.0)))
    }

    fn from_digest(digest: Sha256) -> Self {
        let bytes: [u8; 32] = digest.finalize().into();
        let (half, _) = bytes.split_at(16);
        let mut id = [0; 16];
        id.copy_from_slice(half);
        Self(id)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RowId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_several_ignores_their_order() {
        let (a, b) = (RowId::of("t", b"a"), RowId::of("t", b"b"));
        assert_eq!(RowId::of_all(&[a, b]), RowId::of_all(&[b, a]));
        assert_ne!(RowId::of_all(&[a, b]), RowId::of_all(&[a, a]));
        assert_ne!(RowId::of("t", b"a"), RowId::of("u", b"a"));
        assert_eq!(format!("{a:?}"), a.to_string());
    }
}
