//! `docs/notifications.md` shows the messages that the binary publishes.

use std::{fs, path::Path};

use serde_json::Value;

use super::setup::Setup;

/// The blocks of code between the page's markers, without their fences.
fn blocks(page: &str) -> Vec<&str> {
    let (_, rest) = page.split_once("<!-- begin messages").unwrap();
    let (generated, _) = rest.split_once("<!-- end messages").unwrap();
    let fenced = generated.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap().1.trim_end()).collect()
}

/// A text without the time of receipt, which is that of the test. What fits no schema is stored under its day.
fn without_receipt(text: &str) -> String {
    let before = |line: &str, time: &str| line.split_once(time).map_or(line, |(before, _)| before).to_owned();
    let lines = text.split('\n').map(|line| before(&before(line, ", received "), " WHERE day = "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_page_shows_the_messages_that_are_published() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(project.join("docs/notifications.md")).unwrap();
    let blocks = blocks(&page);
    assert_eq!(blocks.len(), 6);
    for (name, shown) in ["alert-aws", "alert-credential-used", "unclassifiable"].into_iter().zip(blocks.chunks(2)) {
        let log = fs::read_to_string(project.join(format!("events/logs/{name}.json"))).unwrap();
        let setup = Setup::with_env(&[
            ("AWS_REGION", "eu-west-1"),
            ("ATHENA_DATABASE", "tracebit_lake"),
            ("ATHENA_WORKGROUP", "tracebit-lake"),
            ("STACK_NAME", "tracebit-lake"),
        ])
        .await;
        setup.publish(&[serde_json::from_str(&log).unwrap()]).await;
        let [message] = setup.emails().try_into().unwrap();
        let email = format!("Subject: {}\n\n{}", message.subject.as_deref().unwrap(), message.text("email").trim_end());
        assert_eq!(without_receipt(shown[0]), without_receipt(&email), "{name}");
        let mut chats = [serde_json::from_str(shown[1]).unwrap(), setup.chats().remove(0)];
        for chat in &mut chats {
            let description: &mut Value = &mut chat["content"]["description"];
            *description = without_receipt(description.as_str().unwrap()).into();
        }
        assert_eq!(chats[0], chats[1], "{name}");
    }
}
