//! No type of the library shows with `Debug` what no log line may show.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic, as the tests do")]

use std::{borrow::Cow, fmt::Debug};

use chrono::Utc;
use tracebit_lake::{
    aws::sqs_event::SqsEvent,
    core::{
        delivery::{Delivery, Header},
        envelope::Envelope,
        lake::{Batch, Failure, Prefix, ReceiveContext, Source},
        payload::elements,
        redacted::Redacted,
        schema::{Schemas, probe},
        signature::{Secret, verify},
    },
    ingest::webhook::HttpEvent,
};

/// Text that stands in every body, header, signature and secret below.
const MARK: &str = "private";

fn assert_hidden(value: &impl Debug) {
    let shown = format!("{value:?} {value:#?}");
    assert!(!shown.contains(MARK), "{shown}");
    // Nor is the text there as a list of bytes.
    assert!(!shown.contains("112, 114, 105"), "{shown}");
}

#[test]
fn no_type_shows_a_body_a_header_a_payload_or_a_signature() {
    let body = format!(
        r#"{{"discriminator":{{"type":"health_check","subtype":"{MARK}"}},"timestamp":"2026-11-22T09:00:00Z","is_healthy":true}}"#
    );
    let secret = Secret::new(&format!("{MARK}, a secret for unit tests")).unwrap();
    let signature = secret.sign(body.as_bytes());
    let mut header = Header::default();
    header.add(MARK.to_owned());
    let delivery = Delivery {
        received: Utc::now(),
        signature: Ok(signature),
        is_labelled_compressed: false,
        body: Redacted(body.clone().into_bytes()),
    };
    let verified = verify(body.as_bytes(), &signature, std::slice::from_ref(&secret)).unwrap();
    let envelope = Envelope::seal(&delivery, verified, &signature);
    let sqs = format!(r#"{{"Records":[{{"messageId":"1","body":"{MARK}"}}]}}"#);
    let http = serde_json::json!({
        "requestContext": {"http": {"method": "POST"}},
        "headers": {"x-tracebit-signature-256": MARK, "content-encoding": MARK},
        "body": MARK,
    });

    assert_hidden(&secret);
    assert_hidden(&signature);
    assert_hidden(&header);
    assert_hidden(&delivery);
    assert_hidden(&verified);
    assert_hidden(&envelope);
    assert_hidden(&serde_json::from_str::<SqsEvent>(&sqs).unwrap());
    assert_hidden(&serde_json::from_str::<HttpEvent>(&http.to_string()).unwrap());

    let schemas = Schemas::embedded().unwrap();
    let source = Source { id: None, label: "tracebit".to_owned() };
    let context = ReceiveContext { received: Utc::now(), source: &source };
    let alert = format!(
        r#"{{"discriminator":{{"type":"tracebit_alert_log"}},"timestamp":"2026-11-22T09:00:00Z","id":"1","alert_id":"2","principal":{{"id":"{MARK}"}}}}"#
    );
    let payload = format!("{body}\n{MARK}\n{alert}");
    assert_hidden(&elements(payload.as_bytes(), probe));
    assert_hidden(&schemas.classify(body.as_bytes()).unwrap());
    assert_hidden(&schemas.classify(alert.as_bytes()).unwrap());
    let unknown = body.replace("health_check", MARK);
    assert_hidden(&schemas.classify(unknown.as_bytes()).unwrap_err());
    let batch = Batch::build(elements(payload.as_bytes(), probe), &schemas, context);
    assert_hidden(&batch);
    let prefix = Prefix::default();
    let objects: Vec<_> = batch.objects(&prefix).collect();
    assert_eq!(objects.len(), 3);
    assert_hidden(&objects);
    assert_hidden(&Failure {
        error: Redacted(MARK.to_owned()),
        payload: Redacted(Cow::Borrowed(MARK.as_bytes())),
        log_type: None,
    });
}
