use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Schemas, discriminator::values_of, json_of};
use crate::core::{redacted::Redacted, row_id::RowId};

fn alert() -> Value {
    json!({
        "discriminator": {"type": "tracebit_alert_log", "subtype": "canary_resource_accessed"},
        "id": "log-1",
        "alert_id": "alert-1",
        "timestamp": "2026-11-22T09:59:59.123456Z",
        "severity": "High",
        "canary": {"aws": {"account_id": "123456789012", "arn": "arn:aws:s3:::decoy"}},
        "canary_credential": {"labels": [{"name": "host", "value": "web-1"}], "issued_at": "2026-01-01T00:00:00Z"},
        "principal": {"id": "AROA1", "aws": {"username": "alice"}},
        "event": {"request": {"ip": "192.0.2.1"}, "resources": [{"id": "x"}]},
    })
}

/// The log type, or the violation.
fn classify(text: &str) -> Result<String, String> {
    let schemas = Schemas::embedded().unwrap();
    let result = schemas.classify(text.as_bytes());
    result.map(|log| log.schema.log_type.clone()).map_err(|unclassified| unclassified.to_string())
}

/// The alert with the member at `path` set to `value`, or removed if that is `None`.
fn changed(path: &str, value: Option<Value>) -> String {
    let mut log = alert();
    let (object, member) = path.rsplit_once('/').unwrap();
    let object = log.pointer_mut(object).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(object.insert(member.to_owned(), value)),
        None => drop(object.remove(member)),
    }
    log.to_string()
}

#[test]
fn a_log_is_known_by_its_discriminator_wherever_it_stands() {
    assert_eq!(classify(&alert().to_string()).unwrap(), "Tracebit.Alert");
    let last = r#"{"timestamp":"2026-11-22T09:00:00Z","x":[{"discriminator":1}],"is_healthy":true,
        "discriminator":{"subtype":"s","type":"health_check"}}"#;
    assert_eq!(classify(last).unwrap(), "Tracebit.HealthCheck");
}

#[test]
fn what_is_taken_from_a_log() {
    let schemas = Schemas::embedded().unwrap();
    let text = alert().to_string();
    let log = schemas.classify(text.as_bytes()).unwrap();
    assert_eq!(crate::core::time::sql(log.event_time), "2026-11-22 09:59:59.123");
    let values = [&b"\"canary_resource_accessed\""[..], b"\"High\""];
    assert_eq!(log.counted_values, values.map(|value| Some(Redacted(value))));
    assert_eq!(
        serde_json::to_value(&log.indicators).unwrap(),
        json!({
            "p_any_ip_addresses": ["192.0.2.1"],
            "p_any_aws_account_ids": ["123456789012"],
            "p_any_aws_arns": ["arn:aws:s3:::decoy"],
            "p_any_actor_ids": ["AROA1"],
            "p_any_usernames": ["alice"],
        })
    );
}

#[test]
fn violations_name_the_path_and_the_problem() {
    for (path, value, expected) in [
        ("/id", None, "id: required, but missing"),
        ("/id", Some(Value::Null), "id: required, but missing"),
        ("/timestamp", Some(json!("soon")), "timestamp: expected an RFC 3339 timestamp"),
        ("/timestamp", Some(json!(1_700_000_000)), "timestamp: expected timestamp, found number"),
        ("/canary/aws/account_id", Some(json!(["1"])), "canary.aws.account_id: expected string, found array"),
        ("/canary/aws", Some(json!("aws")), "canary.aws: expected object, found string"),
        ("/canary_credential/labels", Some(json!({})), "canary_credential.labels: expected array, found object"),
        (
            "/canary_credential/labels",
            Some(json!([{"name": "a"}, {"name": {}}])),
            "canary_credential.labels[1].name: expected string, found object",
        ),
        (
            "/canary_credential/labels",
            Some(json!([null, 5])),
            "canary_credential.labels[1]: expected object, found number",
        ),
        (
            "/canary_credential/expires_at",
            Some(json!("soon")),
            "canary_credential.expires_at: expected an RFC 3339 timestamp",
        ),
        ("/discriminator/type", None, "discriminator.type: required, but missing"),
        ("/discriminator/type", Some(json!(["x"])), "discriminator.type: expected string, found array"),
        ("/discriminator", Some(json!("x")), "discriminator: expected object, found string"),
        ("/discriminator", None, "discriminator: required, but missing"),
        ("/p_log_type", Some(json!("x")), "p_log_type: names that begin with p_ are the lake's own"),
        ("/P_x", Some(json!(1)), "P_x: names that begin with p_ are the lake's own"),
        ("/_col0", Some(json!(1)), "_col0: names such as _col0 are the query engine's own"),
        ("/canary/_col12", Some(json!(1)), "canary._col12: names such as _col0 are the query engine's own"),
        ("/Id", Some(json!(null)), "Id: is the field id in another case"),
        ("/canary/aWs", Some(json!({"account_id": []})), "canary.aWs: is the field aws in another case"),
        ("/\u{212a}", Some(json!({"k": 1, "\u{212a}": 2})), "\u{212a}.\u{212a}: repeated member in another case"),
        ("/x", Some(json!([{"ab": 1, "c": 2, "aB": 3}])), "x[0].ab: repeated member in another case"),
    ] {
        assert_eq!(classify(&changed(path, value)), Err(expected.to_owned()), "{path}");
    }
}

#[test]
fn the_violation_of_an_unknown_discriminator_names_the_known_ones() {
    let schemas = Schemas::embedded().unwrap();
    let mut known: Vec<_> = schemas.iter().flat_map(values_of).cloned().collect();
    known.sort();
    let expected = format!("discriminator.type: other\\n names no log type; known are {}", known.join(", "));
    assert_eq!(classify(&changed("/discriminator/type", Some(json!("other\n")))), Err(expected));
}

#[test]
fn what_the_schema_language_lets_pass() {
    for (path, value) in [
        ("/message", json!(5)),
        ("/message", json!(true)),
        ("/message", Value::Null),
        ("/canary", Value::Null),
        ("/canary_credential/expires_at", Value::Null),
        ("/canary_credential/labels", json!([null, {"name": null}, {}])),
        ("/unknown", json!({"p_inner": {"deep": [1, "x", null]}})),
        ("/event/request/ip", json!("not an address")),
        ("/idd", json!("another name")),
        ("/_col", json!("another name")),
        ("/_col1x", json!("another name")),
        ("/p", json!("too short to be the lake's")),
    ] {
        assert_eq!(classify(&changed(path, Some(value))), Ok("Tracebit.Alert".to_owned()), "{path}");
    }
}

#[test]
fn booleans_are_booleans() {
    let check = |healthy: &str| {
        classify(&format!(
            r#"{{"discriminator":{{"type":"health_check","subtype":"s"}},"timestamp":"2026-11-22T09:00:00Z","is_healthy":{healthy}}}"#
        ))
    };
    assert!(check("true").is_ok() && check("false").is_ok());
    for (healthy, found) in [("\"true\"", "string"), ("1", "number"), ("[]", "array")] {
        assert_eq!(check(healthy), Err(format!("is_healthy: expected boolean, found {found}")));
    }
    assert_eq!(check("null"), Err("is_healthy: required, but missing".to_owned()));
}

#[test]
fn repeated_members_are_violations_at_any_depth() {
    let text = alert().to_string();
    let twice = text.replacen('{', r#"{"id":"other","#, 1);
    assert_eq!(classify(&twice), Err("id: repeated member".to_owned()));
    let escaped = text.replacen('{', r#"{"\u0069d":"other","#, 1);
    assert_eq!(classify(&escaped), Err("id: repeated member".to_owned()));
    let inner = text.replacen('{', r#"{"x":[{"b":1,"a":2,"b":3}],"#, 1);
    assert_eq!(classify(&inner), Err("x[0].b: repeated member".to_owned()));
    let long = text.replacen('{', r#"{"x":{"a long name 1":1,"a long name 2":2,"a long name 1":3},"#, 1);
    assert_eq!(classify(&long), Err("x.a long name 1: repeated member".to_owned()));
}

#[test]
fn the_row_id_is_that_of_members_in_the_order_of_their_quoted_names() {
    let names =
        ["", " ", "!", "\"", "a", "a!", "a\"", "a\u{1}", "ab", "abcdefg", "abcdefgh", "abcdefgh!", "abcdefghij", "é"];
    let quoted = |name: &&str| json!(name).to_string();
    let object = |names: &[&str]| {
        let members: Vec<_> = names.iter().map(|name| format!("{}:[{{}}]", quoted(name))).collect();
        format!("{{{}}}", members.join(","))
    };
    let log = |x: &str| {
        format!(
            r#"{{"discriminator":{{"subtype":"s","type":"health_check"}},"is_healthy":true,"timestamp":"2026-11-22T09:00:00Z","x":{x}}}"#
        )
    };
    let mut sorted = names;
    sorted.sort_by_key(quoted);
    let canonical = log(&object(&sorted));
    let schemas = Schemas::embedded().unwrap();
    let expected = RowId::of("Tracebit.HealthCheck", canonical.as_bytes());
    for turn in 0..names.len() {
        let mut turned = names;
        turned.rotate_left(turn);
        let text = log(&object(&turned));
        assert_eq!(schemas.classify(text.as_bytes()).unwrap().row_id, expected, "{text}");
    }
}

#[test]
fn row_ids_never_change() {
    // Computed with Python's `json` and `hashlib`. Keys of existing lakes depend on them: never edit these ids.
    let odd = r#"{ "\u00e9" : "\u0001\u20ac\u005c/\"", "timestamp":"2026-11-22T09:00:00Z","n":[ 1.50 , -0, 1E+2 ],
        "is_healthy":true, "discriminator":{"type":"health_check","subtype":"\u0073"}}"#;
    let schemas = Schemas::embedded().unwrap();
    for (text, id) in
        [(odd, "954289b53e18dc863597abf04d95246b"), (&alert().to_string(), "bc3042527cc9897426e6a7ced2c921ff")]
    {
        assert_eq!(schemas.classify(text.as_bytes()).unwrap().row_id.to_string(), id, "{text}");
    }
}

#[test]
fn members_are_found_in_any_order() {
    let Value::Object(members) = alert() else { unreachable!() };
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    for turn in 0..members.len() {
        let mut turned = members.clone();
        turned.rotate_left(turn);
        turned.insert(turn, r#""unknown":1"#.to_owned());
        assert_eq!(classify(&format!("{{{}}}", turned.join(","))), Ok("Tracebit.Alert".to_owned()), "{turned:?}");
        let mistaken = turned.join(",").replace("\"192.0.2.1\"", "[]");
        let expected = Err("event.request.ip: expected string, found array".to_owned());
        assert_eq!(classify(&format!("{{{mistaken}}}")), expected);
    }
}

#[test]
fn what_is_no_json_object_is_reported_so() {
    for (text, expected) in [
        ("[1]", "expected one JSON object, found array"),
        ("null", "expected one JSON object, found null"),
        ("12", "expected one JSON object, found number"),
        ("hello", "not valid JSON: "),
        ("{\"a\":tru}", "not valid JSON: "),
        ("{\"a\":1", "not valid JSON: "),
        ("{\"a\":NaN}", "not valid JSON: "),
        ("{'a':1}", "not valid JSON: "),
        ("{\"a\":01}", "not valid JSON: "),
        ("{\"a\":\"\u{1}\"}", "not valid JSON: "),
        ("{\"a\":\"\\ud800\"}", "not valid JSON: "),
    ] {
        let error = classify(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let trailing = format!("{}{{}}", alert());
    assert!(classify(&trailing).unwrap_err().starts_with("not valid JSON: "), "{trailing}");
    let syntax = alert().to_string().replace("\"alice\"", "alice");
    assert!(classify(&syntax).unwrap_err().starts_with("principal.aws.username: not valid JSON: "));
}

#[test]
fn a_name_has_a_limit() {
    assert!(classify(&changed(&format!("/{}", "n".repeat(10_000)), Some(json!(1)))).is_ok());
    for path in [format!("/{}", "n".repeat(10_001)), format!("/event/{}", "é".repeat(5_001))] {
        let error = classify(&changed(&path, Some(json!(1)))).unwrap_err();
        assert!(error.ends_with(": name longer than 10000 bytes") && error.len() < 300, "{error}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_a_violation() {
    let schemas = Schemas::embedded().unwrap();
    let mut text = alert().to_string().into_bytes();
    let at = text.windows(5).position(|window| window == b"alice").unwrap();
    text[at] = 0xff;
    assert!(schemas.classify(&text).unwrap_err().to_string().contains("not valid JSON"));
}

#[test]
fn nesting_has_a_limit_that_says_so() {
    let nested = |depth: usize| {
        changed("/x", Some(json!(0))).replace("\"x\":0", &format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)))
    };
    assert!(classify(&nested(63)).is_ok());
    for depth in [64, 300, 10_000] {
        let error = classify(&nested(depth)).unwrap_err();
        assert!(error.ends_with("nested deeper than 64 levels"), "{error}");
    }
}

#[test]
fn names_and_values_from_outside_are_cut_and_escaped_in_errors() {
    let name = format!("p_{}\u{1b}[31m", "x".repeat(10_000));
    let error = classify(&changed(&format!("/{name}"), Some(json!(1)))).unwrap_err();
    assert!(error.len() < 200, "{error}");
    let error = classify(&changed("/p_\u{1b}[31m\n", Some(json!(1)))).unwrap_err();
    assert!(error.starts_with("p_\\u{1b}[31m\\n: "), "{error}");
}

#[test]
fn numbers_have_their_own_types() {
    let schema = "schema: A.B\ndescription: d\nversion: 1\nfields:\n\
        - {name: t, type: timestamp, timeFormats: [rfc3339], isEventTime: true, required: true}\n\
        - {name: discriminator, type: object, required: true, fields: [{name: type, type: string, required: true, validate: {allow: [x]}}]}\n\
        - {name: s, type: smallint}\n- {name: i, type: int}\n- {name: b, type: bigint}\n- {name: f, type: float}\n- {name: j, type: json}\n";
    let schemas = Schemas::load(&[("a.yml", &json_of(schema))]).unwrap();
    let check = |member: &str| {
        let text = format!(r#"{{"t":"2026-01-01T00:00:00Z","discriminator":{{"type":"x"}},{member}}}"#);
        schemas.classify(text.as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    for good in
        [r#""s":-32768"#, r#""i":2147483647"#, r#""b":-9223372036854775808"#, r#""f":1.5e3"#, r#""j":{"a":[1]}"#]
    {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for (bad, expected) in [
        (r#""s":32768"#, "s: expected a whole number of 16 bits"),
        (r#""i":-2147483649"#, "i: expected a whole number of 32 bits"),
        (r#""b":9223372036854775808"#, "b: expected a whole number of 64 bits"),
        (r#""i":1.0"#, "i: expected a whole number of 32 bits"),
        (r#""f":"1""#, "f: expected number, found string"),
    ] {
        assert_eq!(check(bad), Err(expected.to_owned()));
    }
}

#[test]
fn two_schemas_cannot_share_a_discriminator() {
    let file = json_of(include_str!("../../../schemas/tracebit_healthcheck.yml"));
    let error = Schemas::load(&[("a.yml", &file), ("b.yml", &file)]).unwrap_err().to_string();
    assert_eq!(error, "schemas/b.yml: discriminator.type \"health_check\" is taken by another schema");
}

proptest! {
    #[test]
    fn no_input_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Schemas::embedded().unwrap().classify(&text);
    }

    #[test]
    fn no_damaged_log_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = alert().to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        // serde_json accepts each accepted text.
        if Schemas::embedded().unwrap().classify(&text).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&text).is_ok());
        }
    }
}
