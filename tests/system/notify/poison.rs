//! Records that a holder of the key made to exhaust the notifier. None of them may cost another message of its batch
//! its publication, at the smallest memory size that Lambda offers.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tracebit_lake_harness::s3;

use super::{
    alert_of,
    setup::{Setup, created},
};
use crate::support::{ALERTS, BUCKET, FAILURES, peak_memory};

/// The smallest memory size of a function.
const MEMORY: usize = 128 * 1024 * 1024;

/// A record of an alert with this text in place of `"message":""`.
fn record(name: &str, member: &str) -> String {
    let mut record = alert_of(name, name);
    record["message"] = json!("");
    record["p_row_id"] = json!(name);
    record.to_string().replacen(r#""message":"""#, member, 1)
}

/// `make(0)`, `make(1)`, … with commas between them, until there are as many bytes.
fn list(bytes: usize, make: impl Fn(usize) -> String) -> String {
    let mut text = make(0);
    for n in 1.. {
        if text.len() > bytes {
            break;
        }
        write!(text, ",{}", make(n)).unwrap();
    }
    text
}

#[tokio::test]
async fn a_poison_record_costs_no_other_message_its_publication() {
    const MEGABYTE: usize = 1024 * 1024;
    let labels = list(6 * MEGABYTE, |n| format!(r#"{{"name":"n{n}","value":"v"}}"#));
    let members = list(15 * MEGABYTE, |n| format!(r#""m{n}":0"#));
    let long = "x".repeat(15 * MEGABYTE);
    let deep = "[".repeat(7 * MEGABYTE) + &"]".repeat(7 * MEGABYTE);
    let poison = [
        ("labels", record("labels", &format!(r#""canary_credential":{{"labels":[{labels}]}}"#))),
        ("members", record("members", &members)),
        ("below", record("below", &format!(r#""event":{{{members}}}"#))),
        ("message", record("message", &format!(r#""message":"{long}""#))),
        ("identity", record("identity", &format!(r#""alert_id":"{long}""#))),
        ("deep", record("deep", &format!(r#""x":{deep}"#))),
    ];
    for (name, record) in poison {
        let setup = Setup::start().await;
        let folder = format!("{ALERTS}/day=2026-11-24/hour=10");
        let key = format!("{folder}/20261124T100000Z-{name}.json");
        setup.put(&key, format!("{record}\n").as_bytes());
        let mut bodies = vec![s3::created(BUCKET, &key, record.len())];
        assert_others_are_published(&setup, &mut bodies, name).await;
        assert_eq!(setup.emails().len(), 10, "{name}: the poison record notifies too");
        assert_eq!(setup.events().len(), 10, "{name}");
    }
}

#[tokio::test]
async fn an_object_too_large_to_be_read_is_named_by_its_digest() {
    // A payload of sixteen megabytes of control characters.
    let payload = "\\u0000".repeat(16 * 1024 * 1024);
    let record = format!(r#"{{"error":"bad","payload":"{payload}","payload_encoding":"utf-8","p_row_id":"large"}}"#);
    for (table, detail_type) in [(FAILURES, "ClassificationFailure"), (ALERTS, "Tracebit.Alert")] {
        let setup = Setup::start().await;
        let key = format!("{table}/day=2026-11-24/hour=10/20261124T100000Z-large.json");
        setup.put(&key, format!("{record}\n").as_bytes());
        // The event does not name the size, as an event that somebody forged may not.
        let mut bodies = vec![created(BUCKET, &key)];
        assert_others_are_published(&setup, &mut bodies, table).await;
        assert_eq!(setup.emails().len(), 10, "{table}");
        let events = setup.events();
        let event = events.iter().find(|event| event.detail["p_row_id"] == "large").unwrap();
        assert_eq!(event.detail_type, detail_type);
        assert_eq!((&event.detail["key"], &event.detail["size"]), (&json!(key), &json!(record.len() + 1)));
    }
}

/// Adds nine alerts behind the first message; passes the batch to the notifier, which must publish all of them.
async fn assert_others_are_published(setup: &Setup, bodies: &mut Vec<String>, name: &str) {
    let others: Vec<Value> = (0..9).map(|n| alert_of(&format!("log-{n}"), &format!("alert-{n}"))).collect();
    bodies.extend(setup.deliver(&others).await.iter().map(|key| created(BUCKET, key)));
    assert_eq!(setup.left_of(bodies).await, [""; 0], "{name}: {}", setup.notifier.output());
    let peak = peak_memory(setup.notifier.pid());
    println!("{name}: peak memory {} MB", peak >> 20);
    assert!(peak < MEMORY, "{name}: {peak} bytes");
}
