use serde_json::{Value, json};

use super::*;
use crate::{
    core::{lake::Table, schema::Schemas},
    notify::{event::Place, json::Json},
};

const REGION: Option<&str> = Some("eu-west-1");

fn places() -> Places {
    Places {
        database: Some("tracebit_lake".to_owned()),
        workgroup: Some("tracebit-lake".to_owned()),
        runbook: Some("https://acme.example/runbook".to_owned()),
        stack: Some("tracebit".to_owned()),
        account: Some("111122223333".to_owned()),
    }
}

/// A sample of `events/logs` as a record of the lake.
fn sample(name: &str) -> Value {
    let path = format!("{}/events/logs/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut log: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    log["p_event_time"] = json!("2026-11-20 02:58:41.207");
    log["p_parse_time"] = json!("2026-11-20 03:04:10.001");
    log
}

fn alert(log: &Value) -> Alert {
    let schemas = Schemas::embedded().unwrap();
    let schema = schemas.iter().find(|schema| schema.log_type == "Tracebit.Alert").unwrap();
    let place = Place { table: Table::LogType(schema), day: "2026-11-24", id: "0123456789abcdef" };
    Alert::of_log(&Json::object(&log.to_string()).unwrap(), "0123456789abcdef".to_owned(), place)
}

fn first(log: &Value) -> FirstMessage {
    Writer::new(REGION, places()).first(&alert(log), Before::Nothing)
}

fn texts(log: &Value) -> Value {
    serde_json::from_str(&first(log).texts).unwrap()
}

fn email(log: &Value) -> String {
    texts(log)["email"].as_str().unwrap().to_owned()
}

#[test]
fn the_subject_says_how_bad_what_who_and_from_where() {
    for (name, subject) in [
        ("alert-aws", "Tracebit MEDIUM: GetObject on acme-payroll-exports by dana[@]acme[.]example from 203.0.113.57"),
        (
            "alert-credential-used",
            "Tracebit HIGH: planted credential \"acme/shop release\" used, GetCallerIdentity from 192.0.2.146",
        ),
        (
            "alert-okta",
            "Tracebit HIGH: user[.]authentication[.]sso on Legacy VPN by sam[@]acme[.]example from 198.51.100.23",
        ),
        ("alert-google-cloud", "Tracebit MEDIUM: storage[.]objects[.]list on acme-model-weights by repo:acme/site"),
    ] {
        assert_eq!(*first(&sample(name)).subject, subject);
        assert_eq!(texts(&sample(name))["sms"], subject);
    }
    // The longest value is cut, and the address is not.
    let subject = first(&sample("alert-azure")).subject.0;
    assert!(subject.starts_with("Tracebit MEDIUM: ListBlobs on acmevmbackups by 1b73"), "{subject}");
    assert!(subject.ends_with(" from 2001:db8:4:2::19") && subject.len() <= MAX_SUBJECT, "{subject}");
}

/// The page says what must arrive after the stack's `TestCommand`.
#[test]
fn the_test_alert_of_the_stack_has_the_subject_that_the_page_names() {
    let page = include_str!("../../docs/install.md");
    let template = include_str!("../../template.yaml");
    let body = template.split_once("  TestCommand:").unwrap().1.split_once("body='").unwrap().1;
    let body = body.split_once("}}';").unwrap().0.replace("'$id'", "test-alert-1");
    let body = body.replace("'$(date -u +%FT%TZ)'", "2026-11-20T02:58:41Z") + "}}";
    let subject = first(&serde_json::from_str(&body).unwrap()).subject.0;
    assert!(page.contains(&format!("*{subject}*")), "{subject}");
}

#[test]
fn a_severity_that_rises_or_is_not_known_is_named() {
    let mut log = sample("alert-aws");
    let writer = Writer::new(REGION, places());
    let message = writer.first(&alert(&log), Before::LessSevere);
    assert!(message.subject.starts_with("Tracebit now MEDIUM: GetObject on "), "{}", *message.subject);
    for severity in [json!("Urgent"), json!(null), json!(7)] {
        log["severity"] = severity;
        let subject = first(&log).subject.0;
        assert!(subject.starts_with("Tracebit alert, severity unknown: GetObject on "), "{subject}");
    }
    log["severity"] = json!("Urgent");
    assert!(email(&log).contains("\nSeverity as sent: Urgent\n"), "{}", email(&log));
}

#[test]
fn an_e_mail_answers_the_questions_of_a_person_on_call_in_their_order() {
    let expected = "\
What: GetObject on acme-payroll-exports (AWS::S3::Bucket). Result: Success
Who: role session DataEngineer/dana[@]acme[.]example
From: 203.0.113.57
When: 2026-11-20 02:58:41 UTC, received 03:04:10
This is a decoy. Treat it as an intrusion until the owner confirms.

Do now
1. Ask the owner of role DataEngineer (whoever assumes a role chooses the session's name) on a channel that the intruder \
cannot read: \"Did you just do this?\" No answer in 5 minutes means no.
2. If no: IAM > Roles > DataEngineer > Revoke sessions.
3. Open the alert: https://acme.tracebit.com/alerts/0c6f7f0e-6b3d-4f0a-8a0e-5a6f1f2d3c4b

More
Account: finance-production, 210987654321, eu-west-1
Client: [aws-cli/2.31.2 md/awscrt#0.27.6]
Principal: arn:aws:sts::210987654321:assumed-role/DataEngineer/dana[@]acme[.]example
Message: Canary resource activity detected in AWS
Severity: Medium
Athena, workgroup tracebit-lake: https://console.aws.amazon.com/athena/home?region=eu-west-1#/query-editor
SELECT * FROM \"tracebit_lake\".\"tracebit_alert\" WHERE day >= '2026-11-24' \
AND alert_id = '0c6f7f0e-6b3d-4f0a-8a0e-5a6f1f2d3c4b'
Stack: tracebit, account 111122223333
Runbook: https://acme.example/runbook
Later logs of this alert send no e-mail before the next day (UTC), unless they are more severe.
";
    assert_eq!(email(&sample("alert-aws")), expected);
}

#[test]
fn a_used_credential_points_to_where_it_was_planted() {
    let email = email(&sample("alert-credential-used"));
    for line in [
        "What: planted credential acme/shop release (aws_temporary_security_credentials) was used: GetCallerIdentity. \
         Result: Success",
        "From: 192.0.2.146",
        "1. Isolate the place where the credential was planted. Somebody has read it there.",
        "2. Rotate every other secret that could be read in that place.",
    ] {
        assert!(email.lines().any(|found| found == line), "{line} in {email}");
    }
    assert!(email.contains("\nPlanted in: source=github, source_type=ci, github[.]repo=acme/shop, "), "{email}");
    assert!(email.contains(", github[.]run_id=19420187345, "), "{email}");
    assert!(!email.to_lowercase().contains("disable"), "{email}");
}

#[test]
fn each_kind_of_principal_has_the_step_that_stops_it() {
    for (name, step) in [
        (
            "alert-okta",
            "2. If no: Okta > Directory > People > sam[@]acme[.]example > clear the sessions, then suspend.",
        ),
        (
            "alert-azure",
            "2. If no: Entra > Enterprise applications > 1b730954-1685-4b74-9bfd-dac224a7b894 > block sign-in, and remove its secrets.",
        ),
        (
            "alert-google-cloud",
            "2. If no: IAM & Admin > Workload Identity Federation > disable the provider that this subject used.",
        ),
    ] {
        let email = email(&sample(name));
        assert!(email.lines().any(|line| line == step), "{step} in {email}");
    }
}

#[test]
fn a_value_that_is_missing_takes_its_words_with_it() {
    let log = json!({"alert_id": "a-1", "severity": "High"});
    assert_eq!(*first(&log).subject, "Tracebit HIGH: a canary was touched");
    let email = email(&log);
    let start = "What: a canary was touched\nThis is a decoy.";
    assert!(email.starts_with(start), "{email}");
    assert!(email.contains("1. Ask the owner of the canary's account on a channel"), "{email}");
    assert!(email.contains("3. Open Tracebit's portal and look for the alert."), "{email}");

    let log = json!({"severity": "High", "canary_credential": {}, "event": {"request": {"ip": "AWS Internal"}}});
    assert_eq!(*first(&log).subject, "Tracebit HIGH: planted credential used from AWS Internal");
    let bare = Writer::new(None, Places::default()).first(&alert(&log), Before::Nothing).texts;
    let bare: Value = serde_json::from_str(&bare).unwrap();
    let email = bare["email"].as_str().unwrap();
    for missing in ["Athena", "SELECT", "workgroup", "Runbook", "Stack"] {
        assert!(!email.contains(missing), "{missing} in {email}");
    }
    let places = Places { database: Some("lake".to_owned()), ..Places::default() };
    let named = Writer::new(None, places).first(&alert(&log), Before::Nothing).texts;
    let named: Value = serde_json::from_str(&named).unwrap();
    let email = named["email"].as_str().unwrap();
    assert!(
        email.contains("\nSELECT * FROM \"lake\".\"tracebit_alert\" WHERE day >= '2026-11-24' AND p_row_id = '01"),
        "{email}"
    );
    assert!(email.contains("\nAthena: https://") && !email.contains("workgroup"), "{email}");
}

#[test]
fn a_failure_says_what_did_not_fit_and_shows_the_payload() {
    let payload = json!({"alert_id": "a-2", "severity": "Info", "canary": {"name": ["x"]}, "event": {"request": {"ip": "192.0.2.7"}}});
    let failure = json!({"error": "canary.name: expected string, found array", "payload": payload.to_string(),
                         "payload_encoding": "utf-8", "p_parse_time": "2026-11-24 10:00:00.000"});
    let place = Place { table: Table::Failures, day: "2026-11-24", id: "00ff" };
    let text = failure.to_string();
    let json = Json::object(&text).unwrap();
    for (log_type, subject, words) in [
        (
            Some("Tracebit.Alert"),
            "Tracebit alert in a format that this lake does not know",
            "It is an alert. Nobody knows how severe it is until somebody reads it.",
        ),
        (
            Some("Tracebit.HealthCheck"),
            "Tracebit sent something that this lake cannot read",
            "Tracebit signed it, so it may be an alert.",
        ),
        (None, "Tracebit sent something that this lake cannot read", "What: something that this lake cannot read"),
    ] {
        let alert = Alert::of_failure(&json, log_type, "00ff".to_owned(), place);
        let message = Writer::new(REGION, places()).first(&alert, Before::Nothing);
        assert_eq!(*message.subject, subject);
        let texts: Value = serde_json::from_str(&message.texts).unwrap();
        let email = texts["email"].as_str().unwrap();
        for text in [
            words,
            "Problem: canary[.]name: expected string, found array",
            "From: 192.0.2.7",
            "When: received 2026-11-24 10:00:00 UTC",
            "Payload: {\"alert_id\":\"a-2\"",
            "SELECT * FROM \"tracebit_lake\".\"classification_failures\" WHERE day = '2026-11-24' AND p_row_id = '00ff'",
        ] {
            assert!(email.contains(text), "{text} in {email}");
        }
    }
}

#[test]
fn a_payload_that_is_not_text_is_not_shown() {
    let failure =
        json!({"error": "payload: not UTF-8", "payload": "H4sIAAAA", "payload_encoding": "base64"}).to_string();
    let place = Place { table: Table::Failures, day: "2026-11-24", id: "00ff" };
    let alert = Alert::of_failure(&Json::object(&failure).unwrap(), None, "00ff".to_owned(), place);
    let message = Writer::new(REGION, places()).first(&alert, Before::Nothing);
    assert!(message.texts.contains("Problem: payload: not UTF-8"), "{:?}", *message.texts);
    assert!(!message.texts.contains("H4sI"), "{:?}", *message.texts);
}

#[test]
fn an_object_too_large_to_be_read_says_so_if_it_may_be_an_alert() {
    let schemas = Schemas::embedded().unwrap();
    let tables = schemas.iter().map(Table::LogType).chain([Table::Failures]);
    let subjects = tables.filter_map(|table| {
        let alert = Alert::of_large(Place { table, day: "2026-11-24", id: "00ff" }, 21_000_000)?;
        let message = Writer::new(REGION, places()).first(&alert, Before::Nothing);
        let problem = "Problem: its object of 21000000 bytes is too large to be read here";
        assert!(message.texts.contains(problem), "{:?}", *message.texts);
        Some(message.subject.0.clone())
    });
    assert_eq!(
        subjects.collect::<Vec<_>>(),
        [
            "Tracebit alert, severity unknown: a canary was touched",
            "Tracebit sent something that this lake cannot read"
        ]
    );
}

#[test]
fn chat_has_the_same_lines_and_steps_and_no_sql() {
    for name in ["alert-aws", "alert-credential-used", "alert-okta", "alert-azure", "alert-google-cloud"] {
        let texts = texts(&sample(name));
        let chat: Value = serde_json::from_str(texts["default"].as_str().unwrap()).unwrap();
        let description = chat["content"]["description"].as_str().unwrap();
        let labels =
            |text: &str| text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
        let (first, _) = texts["email"].as_str().unwrap().split_once("\n\n").unwrap();
        assert_eq!(labels(description), labels(first));
        assert_eq!(chat["content"]["nextSteps"].as_array().unwrap().len(), 3);
        assert!(!chat.to_string().contains("SELECT"), "{chat}");
    }
}

#[test]
fn a_message_of_huge_values_stays_small() {
    for huge in ["@".repeat(1_000_000), "<&".repeat(500_000)] {
        let mut log = sample("alert-credential-used");
        log["message"] = json!(huge);
        log["canary"] = json!({"name": huge, "type": huge});
        log["alert_id"] = json!(huge);
        log["tracebit_portal_url"] = json!(format!("https://portal.tracebit.com/{huge}"));
        log["event"] = json!({"operation": huge, "request": {"ip": huge, "user_agent": {"raw": huge}}});
        log["principal"] = json!({"aws": {"arn": huge}});
        log["canary_credential"] = json!({"name": huge, "labels": vec![json!({"name": huge, "value": huge}); 20]});
        let first = first(&log);
        assert!(first.texts.len() < 32 * 1024, "{}", first.texts.len());
        assert!(first.subject.len() <= MAX_SUBJECT && first.subject.is_ascii(), "{}", *first.subject);
        let texts = texts(&log);
        let sms = texts["sms"].as_str().unwrap();
        assert!(sms.len() <= MAX_SMS && sms.is_ascii(), "{sms}");
        let chat: Value = serde_json::from_str(texts["default"].as_str().unwrap()).unwrap();
        assert!(chat["content"]["title"].as_str().unwrap().chars().count() <= MAX_TITLE);
        // Slack's limit of a block.
        assert!(chat["content"]["description"].as_str().unwrap().chars().count() < 3000);
    }
}

#[test]
fn the_console_is_that_of_the_partition() {
    for (region, start) in [
        (Some("cn-north-1"), "https://console.amazonaws.cn/athena/home?region=cn-north-1#"),
        (Some("us-gov-west-1"), "https://console.amazonaws-us-gov.com/athena/home?region=us-gov-west-1#"),
        (Some("eusc-de-east-1"), "https://console.amazonaws-eusc.eu/athena/home?region=eusc-de-east-1#"),
        (None, "https://console.aws.amazon.com/athena/home#"),
    ] {
        assert!(console(region).starts_with(start), "{region:?}");
    }
}
