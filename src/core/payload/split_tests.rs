use proptest::prelude::*;

use super::*;
use crate::core::schema::probe;

fn split(payload: &str) -> Vec<&str> {
    elements(payload.as_bytes(), probe).map(|element| std::str::from_utf8(element).unwrap()).collect()
}

#[test]
fn one_object_is_one_element_however_it_is_printed() {
    assert_eq!(split(" {\"a\": 1}\r\n"), ["{\"a\": 1}"]);
    assert_eq!(split("{\n  \"a\": {\n    \"b\": \"}{\"\n  }\n}\n"), ["{\n  \"a\": {\n    \"b\": \"}{\"\n  }\n}"]);
    assert_eq!(split("\u{feff}{}"), ["{}"]);
}

#[test]
fn an_array_is_split_at_its_own_commas() {
    assert_eq!(split("[{\"a\":[1,2]}, {\"b\":\"x,\\\",]\"} ,3]"), ["{\"a\":[1,2]}", "{\"b\":\"x,\\\",]\"}", "3"]);
    assert_eq!(split("[\n{\"a\":tru},\n{\"b\":2}\n]"), ["{\"a\":tru}", "{\"b\":2}"]);
    assert_eq!(split("[{\"a\":1},{\"b\":"), ["{\"a\":1}", "{\"b\":"]);
    assert_eq!(split("[{\"a\":1},]"), ["{\"a\":1}"]);
    assert_eq!(split("[{\"a\":1}},{\"b\":2}]"), ["{\"a\":1}}", "{\"b\":2}"]);
    assert_eq!(split("[{\"a\":[1},{\"b\":2}]"), ["{\"a\":[1}", "{\"b\":2}"]);
    assert_eq!(split("[\n{\"a\":1}},\n{\"b\":2},\n{\"c\":3}\n]"), ["{\"a\":1}}", "{\"b\":2}", "{\"c\":3}"]);
    assert_eq!(split("[{\"a\":1},{\"b\":2}}"), ["{\"a\":1}", "{\"b\":2}}"]);
}

#[test]
fn lines_are_split_and_blank_ones_skipped() {
    assert_eq!(split("{\"a\":1}\r\n\n  \n{\"b\":2}"), ["{\"a\":1}", "{\"b\":2}"]);
    assert_eq!(split("{\"a\":\"cut\n{\"b\":2}\nrubbish"), ["{\"a\":\"cut", "{\"b\":2}", "rubbish"]);
    assert_eq!(split("[1]\n{\"b\":2}"), ["[1]", "{\"b\":2}"]);
    assert_eq!(split("[broken\n{\"b\":2}"), ["[broken", "{\"b\":2}"]);
}

/// A log on a line of its own.
fn log(n: usize) -> String {
    format!(r#"{{"discriminator":{{"type":"x"}},"n":{n}}}"#)
}

proptest! {
    #[test]
    fn a_whole_log_on_a_line_is_found_whatever_the_other_lines_are(
        lines in prop::collection::vec(
            prop_oneof![
                Just(None),
                prop::sample::select(vec![
                    "not json at all", "[", "]", "{", "}", "\"", ",", "x,", "[1", "[1]", "[1,", "1", "null", "tru",
                    "{}", "{\"a\":1", "{\"a\":\"b", "{\"a\":1},", "{\"a\":[1}", "{\"a\":{", "},", "],", "[{", "}]",
                    "# comment", "data: x", "\u{feff}", "{\"a\":1}}", "[[", ":", "\"a\":1,",
                ]).prop_map(Some),
            ],
            1..6,
        ),
    ) {
        let mut whole = Vec::new();
        let text: Vec<_> = lines.iter().enumerate().map(|(n, line)| match line {
            Some(line) => (*line).to_owned(),
            None => {
                whole.push(log(n));
                log(n)
            }
        }).collect();
        let payload = text.join("\n");
        let found: Vec<_> = split(&payload).into_iter().map(str::to_owned).collect();
        for log in whole {
            prop_assert!(found.contains(&log), "{log} is not among {found:?} of {payload:?}");
        }
    }
}

#[test]
fn a_damaged_object_stays_in_one_piece() {
    assert_eq!(split("{\n \"a\": {\n \"b\": 1\n"), ["{\n \"a\": {\n \"b\": 1"]);
    assert_eq!(split("hello\nworld"), ["hello\nworld"]);
}

#[test]
fn an_empty_payload_has_no_elements() {
    for payload in ["", " \r\n\t\n ", "[]", " [ ] ", "[\n]"] {
        assert_eq!(split(payload), [""; 0], "{payload:?}");
    }
}

const A: &str = r#"{"discriminator":{"type":1},"in":[{"x":"]}"},{"y":2}]}"#;
const B: &str = "{\n  \"discriminator\": {\"type\": \"b\"},\n  \"in\": [\n    {\n      \"x\": 1\n    }\n  ]\n}";

#[test]
fn a_broken_element_of_an_array_takes_no_neighbour_with_it() {
    for (whole, broken) in [
        // A string without its end, a member without its value, a bracket too few and one too many.
        (A, r#"{"discriminator":{"type":0},"in":[{"x":"]},{"y":2}]}"#),
        (A, r#"{"discriminator":{"type":0},"in":[{"x"]},{"y":2}]}"#),
        (A, r#"{"discriminator":{"type":0},"in":[{"x":"]}"},{"y":2}"#),
        (A, r#"{"discriminator":{"type":0},"in":[{"x":"]}"},{"y":2}]}]}"#),
        (A, r#"{"discriminator":{"type":0},"in":[{"x":"]}"},{"y":"#),
        (A, r#""text""#),
        (A, r#""text"#),
        (B, "{\n  \"discriminator\": {\"type\": \"b\"},\n  \"in\": [\n    {\n      \"x: 1\n    }\n  ]\n}"),
        (B, "{\n  \"discriminator\": {\"type\": \"b\"},\n  \"in\": [\n    {\n      \"x\": 1\n  ]\n}"),
        (B, "{\n  \"discriminator\": {\"type\": \"b\"},\n  \"in\": [\n    {\n      \"x\": 1\n    }\n"),
    ] {
        for separator in [",", ",\n", "\n,", " ,\r\n  "] {
            for at in 0..4 {
                let mut parts = [whole; 4];
                parts[at] = broken;
                for (open, close) in [("[", "]"), ("[\n", "\n]")] {
                    let payload = format!("{open}{}{close}", parts.join(separator));
                    let elements = split(&payload);
                    let good = elements.iter().filter(|element| **element == whole).count();
                    assert_eq!(good, 3, "{payload}: {elements:?}");
                    assert_eq!(elements.len(), 4, "{payload}: {elements:?}");
                }
            }
        }
    }
}

#[test]
fn a_missing_comma_costs_no_log() {
    for separator in ["\n", "\n\n", " \r\n"] {
        assert_eq!(split(&format!("[{A}{separator}{A},{B}]")), [A, A, B], "{separator:?}");
    }
}

#[test]
fn a_bad_line_takes_no_neighbour_with_it() {
    for bad in [&format!("{A},"), "{\"in\":\"", "}", "]", "[", "rubbish,", "{", r#"{"in":[}"#] {
        for at in 0..3 {
            let mut lines = [A; 3];
            lines[at] = bad;
            assert_eq!(split(&lines.join("\n")), lines, "{bad}");
        }
    }
}

#[test]
fn an_object_over_several_lines_is_one_element_among_lines() {
    assert_eq!(split(&[A, B, A].join("\n")), [A, B, A]);
    assert_eq!(split(&[B, B].join("\n")), [B, B]);
    assert_eq!(split(&format!("{}\n{B}", &B[..20])), [B[..20].trim_end(), B]);
}

#[test]
fn broken_elements_cost_no_search_of_the_rest_each() {
    let nested = r#"{"x":["#.repeat(60);
    for broken in
        ["{\"", "{\"\n,", "{}}{,", "{ {", "{{\"x\":1},{,", "{\"discriminator\":{\"type\":1},\"x\":[,", &nested]
    {
        let payload = format!("[{},{A}]", broken.repeat(200_000 / broken.len()));
        // A search that grew with the square of the size would take minutes here.
        assert!(split(&payload).len() > usize::from(broken != nested), "{broken}");
    }
}

#[test]
fn brackets_and_commas_alone_are_kept() {
    for payload in ["[", "[,", "[,]", "[,,,", ",", "]", "[]]", "[],[]"] {
        assert_eq!(split(payload), [payload]);
    }
    assert_eq!(split("[}"), ["}"]);
}

#[test]
fn brackets_without_a_pair_cost_no_search() {
    let many = 1_000_000;
    for (open, close) in [("{", "]"), ("[", "}")] {
        let payload = format!("[{}{}", open.repeat(many), close.repeat(many));
        assert_eq!(split(&payload).len(), 1);
    }
}

#[test]
fn deep_nesting_is_scanned_without_recursion() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(split(&deep).len(), 1);
}

proptest! {
    #[test]
    fn no_payload_panics_or_loses_a_byte(payload in prop::collection::vec(prop::sample::select(&b"{}[],\"\\\n a1"[..]), 0..60)) {
        // The split leaves out white space, separators and the brackets of an array.
        let kept: Vec<u8> = elements(&payload, probe).flatten().copied().filter(|b| !b" \n,[]".contains(b)).collect();
        let sent: Vec<u8> = payload.iter().copied().filter(|b| !b" \n,[]".contains(b)).collect();
        prop_assert_eq!(kept, sent);
    }

    #[test]
    fn serialised_logs_come_back_whatever_the_stream_type(
        texts in prop::collection::vec("\\PC*", 1..6),
    ) {
        let logs: Vec<serde_json::Value> = texts.iter().map(|text| serde_json::json!({ text.clone(): [text, {}] })).collect();
        let lines = logs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for payload in [serde_json::to_string(&logs).unwrap(), serde_json::to_string_pretty(&logs).unwrap(), lines] {
            let back: Vec<serde_json::Value> = elements(payload.as_bytes(), probe).map(|element| serde_json::from_slice(element).unwrap()).collect();
            prop_assert_eq!(&back, &logs);
        }
    }
}
