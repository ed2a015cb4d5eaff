//! Whatever a record holds, the notifier's messages keep to SNS's limits, and nothing of an intruder's text ends a line
//! or becomes a link in them.
#![no_main]

use std::{collections::BTreeMap, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tracebit_lake::{
    core::schema::Schemas,
    notify::{Places, Preview},
};

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::embedded().unwrap());

/// SNS's limit of a message with all its forms.
const MAX_BYTES: usize = 256 * 1024;

/// The longest description of a chat notification that Slack takes.
const MAX_DESCRIPTION: usize = 3000;

fuzz_target!(|object: &[u8]| {
    for table in ["tracebit_alert", "classification_failures"] {
        let key = format!("{table}/day=2026-11-24/hour=10/20261124T100000Z-0f.json");
        let event = json!({
            "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "lake"}, "object": {"key": key}},
        });
        let preview = Preview::of(&event.to_string(), object, "lake", Some("eu-west-1"), Places::default(), &SCHEMAS);
        for message in preview.expect("an object of the lake").messages {
            let (subject, texts) = (message.subject.as_str(), message.texts.as_str());
            assert!((1..100).contains(&subject.len()) && is_ascii_line(subject), "{subject:?}");
            assert!(texts.len() <= MAX_BYTES, "{} bytes", texts.len());
            let texts: BTreeMap<String, String> = serde_json::from_str(texts).unwrap();
            assert!((1..=140).contains(&texts["sms"].len()) && is_ascii_line(&texts["sms"]), "{:?}", texts["sms"]);
            let chat: Value = serde_json::from_str(&texts["default"]).unwrap();
            assert!(chat["content"]["description"].as_str().unwrap().chars().count() <= MAX_DESCRIPTION);
            for text in texts.values() {
                assert!(!text.contains(['\u{2028}', '\u{202e}', '\u{200b}', '\r']), "{text:?}");
                for link in text.match_indices("://").map(|(at, _)| &text[..at]) {
                    assert!(link.ends_with("https"), "only our links and Tracebit's: {text:?}");
                }
            }
        }
    }
});

fn is_ascii_line(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
