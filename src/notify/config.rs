//! The configuration of the notifier: environment variables, all read and checked at INIT.

use crate::{
    config::{ConfigError, Vars, bucket_name, topic_arn},
    core::{lake::Prefix, severity::Severity},
};

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct NotifyConfig {
    /// `LAKE_BUCKET`.
    pub bucket: String,
    /// `LAKE_PREFIX`.
    pub prefix: Prefix,
    /// `ALERT_TOPIC_ARN`: the SNS topic for people.
    pub topic_arn: String,
    /// `EVENT_BUS_NAME`: the EventBridge bus for machines, by name or ARN.
    pub bus: String,
    /// `NOTIFY_SEVERITY`: the lowest severity of which people are notified.
    pub threshold: Severity,
    /// `QUIET_RULES`: whether `config/quiet.json` in the lake says what is known and harmless.
    pub has_quiet_rules: bool,
    /// `STACK_NAME`: the dimension `Stack` of all metrics.
    pub stack: Option<String>,
    /// Whether S3 is addressed path-style.
    pub path_style: bool,
    /// What a message names.
    pub places: Places,
}

/// Places that a message names, so that a person need not look for them. What is not set is left out.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `ATHENA_DATABASE`: the database of the lake's tables. Without it a message names neither Athena nor SQL.
    pub database: Option<String>,
    /// `ATHENA_WORKGROUP`: the workgroup for queries.
    pub workgroup: Option<String>,
    /// `RUNBOOK_URL`: what to do about an alert.
    pub runbook: Option<String>,
    /// `STACK_NAME`.
    pub stack: Option<String>,
    /// The account of the topic, and so of the stack.
    pub account: Option<String>,
}

impl NotifyConfig {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(Vars::of_env())
    }

    fn read(mut vars: Vars<impl Fn(&str) -> Result<Option<String>, ()>>) -> Result<Self, ConfigError> {
        let bucket = vars.required("LAKE_BUCKET", "the name of the bucket that the objects are in", bucket_name);
        let prefix = vars.prefix();
        let topic_arn = vars.required("ALERT_TOPIC_ARN", "the ARN of the SNS topic for alerts", topic_arn);
        let bus = vars.optional("EVENT_BUS_NAME", bus);
        let threshold = vars.optional("NOTIFY_SEVERITY", str::parse);
        let quiet_rules = vars.optional("QUIET_RULES", yes_or_no);
        let stack = vars.get("STACK_NAME");
        let path_style = vars.path_style();
        let places = Places {
            database: vars.optional("ATHENA_DATABASE", athena_name),
            workgroup: vars.optional("ATHENA_WORKGROUP", athena_name),
            runbook: vars.optional("RUNBOOK_URL", runbook_url),
            stack: stack.clone(),
            account: topic_arn.as_deref().and_then(|arn| arn.split(':').nth(4)).map(str::to_owned),
        };
        match (bucket, topic_arn, vars.finish()) {
            (Some(bucket), Some(topic_arn), Ok(())) => Ok(Self {
                bucket,
                prefix,
                topic_arn,
                bus: bus.unwrap_or_else(|| "default".to_owned()),
                threshold: threshold.unwrap_or(Severity::DEFAULT_THRESHOLD),
                has_quiet_rules: quiet_rules.unwrap_or(false),
                stack,
                path_style,
                places,
            }),
            (.., result) => Err(result.err().unwrap_or_default()),
        }
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "Yes" => Ok(true),
        "No" => Ok(false),
        _ => Err("expected Yes or No".to_owned()),
    }
}

/// A name that stands in a message as it is, and in SQL between quotation marks.
fn athena_name(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=255).contains(&text.len()) && text.bytes().all(is_fit) {
        Ok(text.to_owned())
    } else {
        Err("expected letters, digits, dots, hyphens and underscores".to_owned())
    }
}

fn runbook_url(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Ok(url.into()),
        _ => Err("expected the address of a page, https://…".to_owned()),
    }
}

/// EventBridge's pattern of a bus's name, or an ARN.
fn bus(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte);
    let is_name = (1..=256).contains(&text.len()) && text.bytes().all(is_fit);
    if is_name || (text.starts_with("arn:") && text.contains(":events:")) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of an EventBridge bus, or its ARN, arn:…:events:…".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: (&str, &str) = ("ALERT_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:alerts");
    const BUCKET: (&str, &str) = ("LAKE_BUCKET", "lake");

    fn read(vars: &[(&str, &str)]) -> Result<NotifyConfig, String> {
        let lookup =
            |name: &str| Ok(vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
        NotifyConfig::read(Vars::new(lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_the_contracts() {
        let config = read(&[BUCKET, TOPIC, ("NOTIFY_SEVERITY", "")]).unwrap();
        assert_eq!((config.bus.as_str(), config.threshold), ("default", Severity::Medium));
        assert!(!config.path_style);
        let arn = "arn:aws:events:eu-west-1:123456789012:event-bus/security";
        let config = read(&[BUCKET, TOPIC, ("EVENT_BUS_NAME", arn), ("NOTIFY_SEVERITY", "critical")]).unwrap();
        assert_eq!((config.bus.as_str(), config.threshold), (arn, Severity::Critical));
    }

    #[test]
    fn every_mistake_is_in_one_message_and_no_value_is() {
        let message = read(&[
            ("LAKE_PREFIX", "my logs"),
            ("ALERT_TOPIC_ARN", "my-topic"),
            ("EVENT_BUS_NAME", "my bus"),
            ("NOTIFY_SEVERITY", "urgent"),
            ("ATHENA_DATABASE", "my \"lake\""),
            ("ATHENA_WORKGROUP", "my group"),
            ("RUNBOOK_URL", "http://my.example/runbook"),
            ("QUIET_RULES", "maybe"),
        ])
        .unwrap_err();
        for name in [
            "LAKE_BUCKET: not set",
            "LAKE_PREFIX: ",
            "ALERT_TOPIC_ARN: ",
            "EVENT_BUS_NAME: ",
            "NOTIFY_SEVERITY: ",
            "ATHENA_DATABASE: ",
            "ATHENA_WORKGROUP: ",
            "RUNBOOK_URL: ",
            "QUIET_RULES: ",
        ] {
            assert!(message.contains(name), "{name} in {message}");
        }
        for value in ["my logs", "my-topic", "my bus", "urgent", "my \"lake", "my group", "my.example"] {
            assert!(!message.contains(value), "{value} in {message}");
        }
        let access_point = ("LAKE_BUCKET", "arn:aws:s3:eu-west-1:123456789012:accesspoint/lake");
        assert!(read(&[access_point, TOPIC]).unwrap_err().contains("access point"));
    }
}
