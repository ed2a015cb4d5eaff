//! `docs/respond.md` shows the messages that the binary publishes.

use std::{fs, path::Path};

use serde_json::Value;

use super::bell::Bell;

/// The blocks of code between the page's markers, without their fences.
fn blocks(page: &str) -> Vec<&str> {
    let (_, rest) = page.split_once("<!-- begin messages").unwrap();
    let (generated, _) = rest.split_once("<!-- end messages").unwrap();
    let fenced = generated.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap().1.trim_end()).collect()
}

#[tokio::test]
async fn the_page_shows_the_messages_that_are_published() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(project.join("docs/respond.md")).unwrap();
    let [email, sms, chat] = blocks(&page).try_into().unwrap();
    let log = fs::read_to_string(project.join("events/logs/alert-aws.json")).unwrap();

    let bell = Bell::with_env(&[("AWS_REGION", "eu-west-1")]).await;
    bell.hear(&[serde_json::from_str(&log).unwrap()]).await;
    let [message] = bell.emails().try_into().unwrap();
    let subject = message.subject.as_deref().unwrap();
    assert_eq!(email, format!("Subject: {subject}\n\n{}", message.text("email").trim_end()));
    assert_eq!(sms, message.text("sms"));
    assert_eq!(serde_json::from_str::<Value>(chat).unwrap(), bell.chats()[0]);
}
