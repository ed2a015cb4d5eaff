//! What an intruder can write stands in messages, and none of it works.

use serde_json::{Value, json};

use super::setup::Setup;
use crate::support::alert;

const HOSTILE: &str = "x\r\n\r\nSubject: paid <!channel> <@U01> @here [click](https://evil.example/a) <https://evil.example|ok> \
                       *bold* _it_ `code` www.evil.example eve@evil.example mailto:eve \u{202e}\u{200b}\u{2028}Nextline";

/// The alert with this text wherever an intruder may choose one.
fn alert_by(text: &str) -> Value {
    let mut log = alert();
    for pointer in [
        "/message",
        "/canary/name",
        "/canary/type",
        "/principal/id",
        "/principal/aws/arn",
        "/principal/aws/username",
        "/event/operation",
        "/event/request/user_agent/raw",
        "/event/request/ip",
        "/alert_id",
    ] {
        *log.pointer_mut(pointer).unwrap() = json!(text);
    }
    log["tracebit_portal_url"] = json!(format!("https://evil.example/.tracebit.com {text}"));
    log["canary_credential"] = json!({"name": text, "type": text, "labels": [{"name": text, "value": text}]});
    log
}

/// The number of lines of the e-mail and of the chat's description.
fn lines(setup: &Setup) -> (usize, usize) {
    let chat = setup.chats().remove(0);
    (setup.email().lines().count(), chat["content"]["description"].as_str().unwrap().lines().count())
}

#[tokio::test]
async fn no_line_break_link_mention_or_mark_up_works() {
    let (tame, hostile) = (Setup::start().await, Setup::start().await);
    tame.publish(&[alert_by("x")]).await;
    hostile.publish(&[alert_by(HOSTILE)]).await;
    assert_eq!(lines(&hostile), lines(&tame));
    // The brackets that are there are those around the kind of the credential.
    let brackets =
        |setup: &Setup| setup.chats()[0]["content"]["description"].as_str().unwrap().matches(['(', ')']).count();
    assert_eq!(brackets(&hostile), brackets(&tame));

    let message = hostile.emails().remove(0);
    let subject = message.subject.clone().unwrap();
    let chat = hostile.chats().remove(0);
    let steps = chat["content"]["nextSteps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    let email = message.text("email");
    let console = "https://console.aws.amazon.com/athena/home?region=us-east-1#/query-editor";
    assert_eq!(email.matches("://").count(), 1, "{email}");
    assert!(email.contains(console), "{email}");
    assert!(email.contains("hxxps[:]//evil[.]example"), "{email}");
    for text in [&email, &message.text("sms"), &subject] {
        assert!(!text.contains("evil.example") && !text.replace("[@]", "").contains('@'), "{text}");
    }
    let content = &chat["content"];
    for text in [&content["title"], &content["description"], &chat["metadata"]["summary"]] {
        let text = text.as_str().unwrap();
        assert!(!text.contains("://") && !text.contains("evil.example"), "{text}");
        assert!(!text.contains(['<', '>', '*', '`', '|']), "{text}");
        assert!(!text.replace("[@]", "").contains('@'), "{text}");
    }
    let thread = chat["metadata"]["threadId"].as_str().unwrap();
    assert!(thread.len() == 32 && thread.bytes().all(|byte| byte.is_ascii_hexdigit()), "{thread}");
}

#[tokio::test]
async fn nothing_of_an_intruder_gets_into_the_sql() {
    let setup = Setup::start().await;
    setup.publish(&[alert_by("x' OR '1'='1")]).await;
    let email = setup.email();
    let query = email.lines().find(|line| line.contains("SELECT")).unwrap();
    assert!(query.contains("AND p_row_id = '") && !query.contains("OR '"), "{query}");
}

#[tokio::test]
async fn values_of_megabytes_make_a_small_message() {
    let setup = Setup::start().await;
    setup.publish(&[alert_by(&"@<\n".repeat(50_000))]).await;
    for message in setup.sns.published() {
        assert!(message.message.len() < 64 * 1024, "{}", message.message.len());
        assert!(message.text("sms").len() <= 140 && message.text("sms").is_ascii());
    }
    assert_eq!(setup.chats().len(), 1);
}
