//! Single members of a JSON text, read one by one.
//!
//! The rest of the text is skipped without being understood: a record may hold numbers that no `f64` holds and be nested
//! deeper than a parser likes, and people must be notified all the same.

use std::{collections::BTreeMap, fmt};

use serde_json::value::RawValue;

/// A JSON object, whose members are still text.
#[derive(Default)]
pub(super) struct Json<'t>(BTreeMap<String, &'t RawValue>);

impl<'t> Json<'t> {
    /// The object, if the text is one. Of a repeated member the last one counts.
    pub(super) fn object(text: &'t str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// The text of the string, number or boolean at the end of this path of member names. An empty one counts as missing.
    pub(super) fn text(&self, path: &[&str]) -> Option<String> {
        let raw = self.get(path)?;
        let text = match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok()?,
            b'{' | b'[' | b'n' => return None,
            _ => raw.to_owned(),
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// The objects in the array at the end of this path.
    pub(super) fn objects(&self, path: &[&str]) -> Vec<Self> {
        let elements = self.get(path).and_then(|raw| serde_json::from_str::<Vec<&'t RawValue>>(raw).ok());
        elements.unwrap_or_default().into_iter().filter_map(|element| Self::object(element.get())).collect()
    }

    fn get(&self, path: &[&str]) -> Option<&'t str> {
        let (name, rest) = path.split_first()?;
        let raw = self.0.get(*name)?.get();
        if rest.is_empty() { Some(raw) } else { Self::object(raw)?.get(rest) }
    }
}

impl fmt::Debug for Json<'_> {
    /// The number of members alone, because the text is a record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} members)", self.0.len())
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
        let elements = json.objects(&["a", "b"]);
        assert_eq!(elements.len(), 1);
        assert_eq!(elements[0].text(&["c"]).unwrap(), "d");
        assert!(json.objects(&["a"]).is_empty());
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = format!(r#"{{"deep":{}{},"severity":"High"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Json::object(&deep).unwrap().text(&["severity"]).unwrap(), "High");
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        for text in ["", "[]", "1", "null", "{", r#"{"a":}"#, r#"{"a":1} x"#] {
            assert!(Json::object(text).is_none(), "{text}");
        }
    }
}
