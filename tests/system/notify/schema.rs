//! Checks a custom notification against `custom-notification.schema.json`.

use serde_json::Value;

/// Fails unless Amazon Q Developer would take it.
pub(super) fn assert_is_custom_notification(notification: &Value) {
    let schema: Value = serde_json::from_str(include_str!("custom-notification.schema.json")).unwrap();
    check(&schema, notification, "$");
}

/// The keywords of JSON Schema that the file uses.
fn check(schema: &Value, value: &Value, path: &str) {
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "title" | "description" | "properties" | "additionalProperties" => {}
            "type" => assert_eq!(rule, kind(value), "{path}: {value}"),
            "const" => assert_eq!(rule, value, "{path}"),
            "maxLength" => {
                let length = value.as_str().unwrap().chars().count();
                assert!(length as u64 <= rule.as_u64().unwrap(), "{path} has {length} characters");
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    assert!(value.get(name.as_str().unwrap()).is_some(), "{path} has no {name}");
                }
            }
            "items" => {
                for element in value.as_array().unwrap() {
                    check(rule, element, &format!("{path}[]"));
                }
            }
            other => panic!("the check does not know {other}"),
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let known = schema.get("properties").and_then(|properties| properties.get(name));
        match known.unwrap_or(&schema["additionalProperties"]) {
            Value::Bool(false) => panic!("{path} has an unknown member {name}"),
            rule => check(rule, member, &format!("{path}.{name}")),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn the_check_can_fail() {
    let good = serde_json::json!({"version": "1.0", "source": "custom", "content": {"description": "d"}});
    assert_is_custom_notification(&good);
    for (pointer, wrong) in [
        ("/version", Value::from("2.0")),
        ("/content/description", Value::from(1)),
        ("/content/description", Value::from("x".repeat(8001))),
        ("/content", serde_json::json!({"title": "t"})),
        ("/content", serde_json::json!({"description": "d", "text": "t"})),
        ("/content", serde_json::json!({"description": "d", "nextSteps": [1]})),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(std::panic::catch_unwind(|| assert_is_custom_notification(&bad)).is_err(), "{bad}");
    }
}
