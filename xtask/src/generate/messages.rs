//! The messages of three samples in `docs/notifications.md`, as the notifier publishes them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tracebit_lake::{
    core::{
        lake::{Batch, Prefix, ReceiveContext, Source},
        payload::elements,
        schema::{Schemas, probe},
        time,
    },
    notify::{Places, Preview},
};
use tracebit_lake_harness::s3;

use super::File;

/// The samples of the page, each with the time at which its lake received it.
const SAMPLES: [(&str, &str); 3] = [
    ("alert-aws", "2026-11-20T03:04:10Z"),
    ("alert-credential-used", "2026-11-21T03:05:21Z"),
    ("unclassifiable", "2026-11-21T14:20:31Z"),
];

/// Where the page's lake is.
const BUCKET: &str = "lake";
const REGION: &str = "eu-west-1";

const BLOCK: &str = "
The e-mail of the sample [<NAME>](../events/logs/<NAME>.json):

```text
Subject: <SUBJECT>

<EMAIL>
```

<details><summary>The same in chat, as the custom notification that Amazon Q Developer draws.</summary>

```json
<CHAT>
```

</details>
";

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let mut blocks = String::new();
    for (name, received) in SAMPLES {
        let path = format!("events/logs/{name}.json");
        let log = fs::read(project.join(&path)).with_context(|| format!("cannot read {path}"))?;
        // Tracebit sends no white space, which the message of a payload that fits no schema shows.
        let log = serde_json::from_slice::<Value>(&log)?.to_string();
        blocks += &block(name, log.as_bytes(), received).with_context(|| format!("{path} makes no message"))?;
    }
    blocks.push('\n');
    Ok(vec![File::block("docs/notifications.md", "messages", blocks)])
}

fn block(name: &str, log: &[u8], received: &str) -> Option<String> {
    let schemas = Schemas::embedded().ok()?;
    let source = Source { id: None, label: "tracebit".to_owned() };
    let context = ReceiveContext { received: time::parse(received).ok()?, source: &source };
    let batch = Batch::build(elements(log, probe), &schemas, context);
    let prefix = Prefix::default();
    let object = batch.objects(&prefix).next()?;
    let created = s3::created(BUCKET, &object.key, object.body().len());
    let places = Places {
        database: Some("tracebit_lake".to_owned()),
        workgroup: Some("tracebit-lake".to_owned()),
        runbook: None,
        stack: Some("tracebit-lake".to_owned()),
        account: Some("123456789012".to_owned()),
    };
    let preview = Preview::of(&created, &object.body(), BUCKET, Some(REGION), places, &schemas)?;
    let first = preview.messages.first()?;
    let texts: Value = serde_json::from_str(&first.texts).ok()?;
    let text = |protocol: &str| texts.get(protocol).and_then(Value::as_str);
    let chat: Value = serde_json::from_str(text("default")?).ok()?;
    Some(
        BLOCK
            .replace("<NAME>", name)
            .replace("<SUBJECT>", &first.subject)
            .replace("<EMAIL>", text("email")?.trim_end())
            .replace("<CHAT>", &format!("{chat:#}")),
    )
}
