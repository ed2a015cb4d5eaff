//! Single members of a JSON text, read one by one.
//!
//! The rest of the text is skipped without being understood: a record may hold numbers that no `f64` holds and be nested
//! deeper than a parser likes, and it must ring all the same.

use std::{collections::BTreeMap, fmt};

use serde_json::value::RawValue;

/// The text of a JSON value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Json<'t>(&'t str);

impl Default for Json<'_> {
    /// The empty object.
    fn default() -> Self {
        Self("{}")
    }
}

impl<'t> Json<'t> {
    /// The text, if it is a JSON object.
    pub(super) fn object(text: &'t str) -> Option<Self> {
        let json = Self(text.trim());
        json.members().map(|_| json)
    }

    /// The value at the end of this path of member names.
    pub(super) fn get(self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self, |json, name| json.members()?.get(*name).copied())
    }

    /// The text of the string, number or boolean at the end of this path. An empty one counts as missing.
    pub(super) fn text(self, path: &[&str]) -> Option<String> {
        let raw = self.get(path)?.0;
        let text = match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok()?,
            b'{' | b'[' | b'n' => return None,
            _ => raw.to_owned(),
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// The elements of the array at the end of this path.
    pub(super) fn elements(self, path: &[&str]) -> Vec<Self> {
        let raw = self.get(path).map(|json| json.0);
        let elements = raw.and_then(|raw| serde_json::from_str::<Vec<&'t RawValue>>(raw).ok());
        elements.unwrap_or_default().into_iter().map(|element| Self(element.get())).collect()
    }

    /// Of a repeated member the last one counts.
    fn members(self) -> Option<BTreeMap<String, Self>> {
        let members: BTreeMap<String, &'t RawValue> = serde_json::from_str(self.0).ok()?;
        Some(members.into_iter().map(|(name, value)| (name, Self(value.get()))).collect())
    }
}

impl fmt::Debug for Json<'_> {
    /// The size alone, because the text is a record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_their_path() {
        let json = Json::object(r#"{"a":{"b":[{"c":"d"},2],"n":1e999,"t":true,"z":null,"e":" "}}"#).unwrap();
        assert_eq!(json.text(&["a", "n"]).unwrap(), "1e999");
        assert_eq!(json.text(&["a", "t"]).unwrap(), "true");
        for path in [&["a"][..], &["a", "b"], &["a", "z"], &["a", "e"], &["x"], &["a", "n", "x"]] {
            assert_eq!(json.text(path), None, "{path:?}");
        }
        let elements = json.elements(&["a", "b"]);
        assert_eq!(elements.len(), 2);
        assert_eq!(elements[0].text(&["c"]).unwrap(), "d");
        assert!(json.elements(&["a"]).is_empty());
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = format!(r#"{{"deep":{}{},"severity":"High"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Json::object(&deep).unwrap().text(&["severity"]).unwrap(), "High");
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        for text in ["", "[]", "1", "null", "{", r#"{"a":}"#, r#"{"a":1} x"#] {
            assert_eq!(Json::object(text), None, "{text}");
        }
    }
}
