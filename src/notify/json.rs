//! Single members of a JSON text, read one by one.
//!
//! The rest of the text is skipped without being understood: a record may hold numbers that no `f64` holds and be
//! nested deeper than a parser likes, and people must be notified all the same.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members that are read, at any depth. All others are skipped, so that a record of a million members takes no more
/// memory than its text.
#[rustfmt::skip]
const WANTED: [&str; 49] = [
    "account_id", "account_name", "alert_id", "alternate_id", "app_id", "arn", "aws", "azure", "canary",
    "canary_credential", "discriminator", "domain", "error", "event", "federated_identity_subject", "google_cloud", "id", "ip",
    "label", "labels", "log_type", "message", "name", "okta", "operation", "outcome", "p_event_time",
    "p_parse_time", "p_row_id", "p_source_label", "payload", "payload_encoding", "principal", "provider_account_id", "provider_id",
    "raw", "region", "request", "resources", "result", "severity", "subscription_name", "subtype", "timestamp",
    "tracebit_portal_url", "type", "user_agent", "username", "value",
];

/// A JSON object, of which the wanted members are kept as text.
#[derive(Default)]
pub(super) struct Json<'t>(BTreeMap<&'static str, &'t RawValue>);

impl<'t> Json<'t> {
    /// The object, if the text is one. Of a repeated member the last one counts.
    pub(super) fn object(text: &'t str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of the string, number or boolean at the end of this path of member names. An empty one counts as
    /// missing.
    pub(super) fn text(&self, path: &[&str]) -> Option<String> {
        let raw = self.get(path)?;
        let text = match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok()?,
            b'{' | b'[' | b'n' => return None,
            _ => raw.to_owned(),
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// The first `max` objects in the array at the end of this path.
    pub(super) fn objects(&self, path: &[&str], max: usize) -> Vec<Self> {
        let mut objects = Vec::new();
        if let Some(raw) = self.get(path) {
            let mut array = serde_json::Deserializer::from_str(raw);
            // An array that breaks off, or is none, has the objects before that.
            array.deserialize_seq(FirstObjects { objects: &mut objects, max }).ok();
        }
        objects
    }

    /// The object at the end of this path.
    pub(super) fn object_at(&self, path: &[&str]) -> Option<Self> {
        Self::object(self.get(path)?)
    }

    /// Whether something else than null is at the end of this path.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.get(path).is_some_and(|raw| raw != "null")
    }

    fn get(&self, path: &[&str]) -> Option<&'t str> {
        let (name, rest) = path.split_first()?;
        debug_assert!(WANTED.contains(name), "{name} is not read");
        let raw = self.0.get(*name)?.get();
        if rest.is_empty() { Some(raw) } else { Self::object(raw)?.get(rest) }
    }
}

impl<'de: 't, 't> Deserialize<'de> for Json<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Json<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
                let mut kept = BTreeMap::new();
                while let Some(name) = members.next_key::<Cow<'de, str>>()? {
                    match WANTED.iter().find(|wanted| **wanted == name) {
                        Some(wanted) => drop(kept.insert(*wanted, members.next_value()?)),
                        None => drop(members.next_value::<&RawValue>()?),
                    }
                }
                Ok(Json(kept))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Keeps the first objects of an array, and reads no further than that.
struct FirstObjects<'v, 't> {
    objects: &'v mut Vec<Json<'t>>,
    max: usize,
}

impl<'de> Visitor<'de> for FirstObjects<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while self.objects.len() < self.max {
            let Some(element) = elements.next_element::<&RawValue>()? else { break };
            self.objects.extend(Json::object(element.get()));
        }
        Ok(())
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
        let text =
            r#"{"aws":{"labels":[{"name":"d"},2,{"name":"e"}],"ip":1e999,"type":true,"raw":null,"arn":" ","x":1}}"#;
        let json = Json::object(text).unwrap();
        assert_eq!(json.text(&["aws", "ip"]).unwrap(), "1e999");
        assert_eq!(json.text(&["aws", "type"]).unwrap(), "true");
        for path in [&["aws"][..], &["aws", "labels"], &["aws", "raw"], &["aws", "arn"], &["id"], &["aws", "ip", "id"]]
        {
            assert_eq!(json.text(path), None, "{path:?}");
        }
        let names =
            |max| json.objects(&["aws", "labels"], max).iter().map(|json| json.text(&["name"])).collect::<Vec<_>>();
        assert_eq!(names(9), [Some("d".to_owned()), Some("e".to_owned())]);
        assert_eq!(names(1), [Some("d".to_owned())]);
        assert!(json.objects(&["aws"], 9).is_empty());
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
