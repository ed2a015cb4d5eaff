//! The messages of one sample in `docs/respond.md`, as the notifier publishes them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tracebit_lake::{
    core::{
        lake::{Batch, Prefix, ReceiveContext, Source},
        payload::elements,
        schema::{Schemas, probe},
        time,
    },
    notify::Preview,
};

use super::{File, with_block};

/// The log of the page's alert.
const LOG: &str = "events/logs/alert-aws.json";

/// Where the page's lake is.
const REGION: &str = "eu-west-1";

const BLOCK: &str = "
The picture is a rendering. This is the text of the e-mail of the sample [alert-aws](../<LOG>):

```text
Subject: <SUBJECT>

<EMAIL>
```

SMS gets one line:

```text
<SMS>
```

<details><summary>Chat gets a custom notification, which Amazon Q Developer draws as in the picture.</summary>

```json
<CHAT>
```

</details>

";

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let log = fs::read(project.join(LOG)).with_context(|| format!("cannot read {LOG}"))?;
    let block = block(&log).with_context(|| format!("{LOG} makes no message"))?;
    Ok(vec![with_block(project, "docs/respond.md", "messages", &block)?])
}

fn block(log: &[u8]) -> Option<String> {
    let schemas = Schemas::embedded().ok()?;
    let source = Source { id: None, label: "tracebit".to_owned() };
    // No message shows the time of receipt.
    let context = ReceiveContext { received: time::parse("2026-11-20T03:04:05Z").ok()?, source: &source };
    let batch = Batch::build(elements(log, probe), &schemas, context);
    let prefix = Prefix::default();
    let object = batch.objects(&prefix).next()?;
    let created = json!({
        "source": "aws.s3", "detail-type": "Object Created",
        "detail": {"bucket": {"name": "lake"}, "object": {"key": object.key}},
    });
    let preview = Preview::of(&created.to_string(), &object.body(), "lake", Some(REGION), &schemas)?;
    let first = preview.messages.first()?;
    let texts: Value = serde_json::from_str(&first.texts).ok()?;
    let text = |protocol: &str| texts.get(protocol).and_then(Value::as_str);
    let chat: Value = serde_json::from_str(text("default")?).ok()?;
    Some(
        BLOCK
            .replace("<LOG>", LOG)
            .replace("<SUBJECT>", &first.subject)
            .replace("<EMAIL>", text("email")?.trim_end())
            .replace("<SMS>", text("sms")?)
            .replace("<CHAT>", &format!("{chat:#}")),
    )
}
