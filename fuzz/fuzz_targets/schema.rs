//! Whatever classifies is JSON, keeps its row id however it is spelt, and becomes a record of one line that holds every
//! member, under a key that it cannot steer.
#![no_main]

use std::{collections::BTreeMap, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use tracebit_lake::core::{
    lake::{Batch, Prefix, ReceiveContext, Source, Table},
    payload::elements,
    schema::{Schemas, probe},
    time,
};

type Members<'a> = BTreeMap<String, &'a RawValue>;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::embedded().unwrap());

fuzz_target!(|text: &[u8]| {
    let log = match SCHEMAS.classify(text) {
        Ok(log) => log,
        Err(violation) => return assert!(!violation.to_string().contains(char::is_control)),
    };
    let text = str::from_utf8(text).unwrap();
    let again = respell(text);
    assert_eq!(SCHEMAS.classify(again.as_bytes()).unwrap().row_id, log.row_id, "{again}");

    let source = Source { id: None, label: "fuzz".to_owned() };
    let context = ReceiveContext { received: time::parse("2026-11-22T10:20:30Z").unwrap(), source: &source };
    let array = format!("[{text}]");
    let batch = Batch::build(elements(array.as_bytes(), probe), &SCHEMAS, context);
    let prefix = Prefix::default();
    let [object] = batch.objects(&prefix).collect::<Vec<_>>().try_into().unwrap();
    assert!(matches!(object.summary.table, Table::LogType(_)), "{array}");
    let lines = object.body();
    let line = str::from_utf8(&lines).unwrap().strip_suffix('\n').unwrap();
    assert!(!line.contains(['\n', '\r']));
    let (sent, kept): (Members<'_>, Members<'_>) =
        (serde_json::from_str(text).unwrap(), serde_json::from_str(line).unwrap());
    for (name, value) in &sent {
        assert_eq!(respell(value.get()), respell(kept[name].get()), "{name}");
    }
    assert!(kept.keys().all(|name| name.starts_with("p_") != sent.contains_key(name)));

    let key = object.key;
    assert!(key.split('/').all(|segment| !["", ".", ".."].contains(&segment)), "{key}");
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_=-.".contains(&byte)), "{key}");
});

/// The same JSON with other white space, other escapes in its strings, and members in another order.
fn respell(json: &str) -> String {
    let parts: Vec<String> = match json.trim_ascii_start().as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(json).unwrap();
            let member = |(name, value): (&String, &&RawValue)| {
                format!("{} :\r\n{}", serde_json::to_string(name).unwrap(), respell(value.get()))
            };
            return format!("{{ {}\t}}", members.iter().rev().map(member).collect::<Vec<_>>().join(" ,"));
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(json).unwrap();
            values.iter().map(|value| respell(value.get())).collect()
        }
        Some(b'"') => {
            return serde_json::to_string(&serde_json::from_str::<String>(json).unwrap()).unwrap();
        }
        _ => return json.trim_ascii().to_owned(),
    };
    format!("[{} ]", parts.join("\n,"))
}
