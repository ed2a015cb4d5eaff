//! The configuration of the watcher: environment variables, all read and checked at INIT.

use chrono::TimeDelta;
use url::Url;

use crate::{
    aws::{https::Token, secrets::TokenSource},
    config::{ConfigError, Vars, bucket_name, queue_url, secret_arn, topic_arn},
    core::{lake::Prefix, severity::Severity},
};

/// `WATCH_DAYS` and `WATCH_GRACE_MINUTES` if they are not set.
const DEFAULT_DAYS: i64 = 7;
const DEFAULT_GRACE_MINUTES: i64 = 60;

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// `LAKE_BUCKET`.
    pub bucket: String,
    /// `LAKE_PREFIX`.
    pub prefix: Prefix,
    /// `ALERT_TOPIC_ARN`: the SNS topic for people, whose markers and subscriptions count.
    pub topic_arn: String,
    /// `ALARM_TOPIC_ARN`: the SNS topic of the alarms.
    pub alarm_topic_arn: Option<String>,
    /// `NOTIFY_QUEUE_URL`: the notifier's queue.
    pub queue_url: String,
    /// `NOTIFY_SEVERITY`: the lowest severity of which people are notified.
    pub threshold: Severity,
    /// Tracebit's list, if it is to be compared.
    pub list: Option<ListConfig>,
    /// `WATCH_DAYS`: how old an alert may be to be compared.
    pub window: TimeDelta,
    /// `WATCH_GRACE_MINUTES`: how old an alert must be to be missed.
    pub grace: TimeDelta,
    /// `SOURCE_ID`.
    pub source_id: Option<String>,
    /// `STACK_NAME`: the dimension `Stack` of all metrics.
    pub stack: Option<String>,
    /// Whether S3 is addressed path-style.
    pub path_style: bool,
}

/// Where Tracebit's list is.
#[derive(Debug, Clone)]
pub struct ListConfig {
    /// `TRACEBIT_API_URL`.
    pub url: Url,
    /// `TRACEBIT_API_TOKEN` or `TRACEBIT_API_TOKEN_ARN`.
    pub token: TokenSource,
}

impl WatchConfig {
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
        let topic = vars.required("ALERT_TOPIC_ARN", "the ARN of the SNS topic for alerts", topic_arn);
        let alarm_topic_arn = vars.optional("ALARM_TOPIC_ARN", topic_arn);
        let queue_url = vars.required("NOTIFY_QUEUE_URL", "the URL of the notifier's queue", queue_url);
        let threshold = vars.optional("NOTIFY_SEVERITY", str::parse);
        let list = list(&mut vars);
        let days = vars.optional("WATCH_DAYS", |text| whole(text, 1..=90));
        let minutes = vars.optional("WATCH_GRACE_MINUTES", |text| whole(text, 0..=10_080));
        let source_id = vars.get("SOURCE_ID");
        let stack = vars.get("STACK_NAME");
        let path_style = vars.path_style();
        match (bucket, topic, queue_url, vars.finish()) {
            (Some(bucket), Some(topic_arn), Some(queue_url), Ok(())) => Ok(Self {
                bucket,
                prefix,
                topic_arn,
                alarm_topic_arn,
                queue_url,
                threshold: threshold.unwrap_or(Severity::DEFAULT_THRESHOLD),
                list,
                window: TimeDelta::days(days.unwrap_or(DEFAULT_DAYS)),
                grace: TimeDelta::minutes(minutes.unwrap_or(DEFAULT_GRACE_MINUTES)),
                source_id,
                stack,
                path_style,
            }),
            (.., result) => Err(result.err().unwrap_or_default()),
        }
    }
}

/// The URL and one of the two tokens, or none of them.
fn list(vars: &mut Vars<impl Fn(&str) -> Result<Option<String>, ()>>) -> Option<ListConfig> {
    let url = vars.get("TRACEBIT_API_URL");
    let token = vars.get("TRACEBIT_API_TOKEN");
    let arn = vars.get("TRACEBIT_API_TOKEN_ARN");
    let mut checked =
        |name: &str, problem: Option<String>| problem.map(|problem| vars.mistake(name, &problem)).is_none();
    match (url, token, arn) {
        (None, None, None) => None,
        (Some(url), token, arn) if token.is_some() != arn.is_some() => {
            let url = api_url(&url);
            let is_good = checked("TRACEBIT_API_URL", url.as_ref().err().cloned());
            let token = match (token, arn) {
                (Some(token), _) => Token::new(&token).map(TokenSource::Fixed).map_err(|error| error.to_string()),
                (None, arn) => secret_arn(&arn.unwrap_or_default()).map(|arn| TokenSource::SecretsManager { arn }),
            };
            let name = if matches!(token, Ok(TokenSource::Fixed(_))) { "TRACEBIT_API_TOKEN" } else { TOKEN };
            let is_good = checked(name, token.as_ref().err().cloned()) && is_good;
            is_good.then_some(ListConfig { url: url.ok()?, token: token.ok()? })
        }
        (url, token, arn) => {
            let found = match (url, token, arn) {
                (None, ..) => "a token is set and TRACEBIT_API_URL is not; set both or neither",
                (_, Some(_), Some(_)) => "both are set; set one of the two",
                _ => "TRACEBIT_API_URL is set and neither of these; set both or neither",
            };
            vars.mistake(TOKEN, found);
            None
        }
    }
}

const TOKEN: &str = "TRACEBIT_API_TOKEN_ARN, TRACEBIT_API_TOKEN";

/// Reads `TRACEBIT_API_URL`. The token goes there, so it must be TLS, or a test's server on this machine.
///
/// # Errors
/// What was expected.
pub fn api_url(text: &str) -> Result<Url, String> {
    let expected = || "expected the address of Tracebit's API, https://TENANT.tracebit.com".to_owned();
    let url = Url::parse(text).map_err(|_| expected())?;
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_origin = url.has_host() && url.path() == "/" && url.fragment().is_none();
    if is_safe && is_plain && is_origin { Ok(url) } else { Err(expected()) }
}

fn whole(text: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, String> {
    let (least, most) = (range.start(), range.end());
    let expected = format!("expected a whole number from {least} to {most}");
    text.parse().ok().filter(|number| range.contains(number)).ok_or(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 3] = [
        ("LAKE_BUCKET", "lake"),
        ("ALERT_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:alerts"),
        ("NOTIFY_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/notify"),
    ];
    const URL: (&str, &str) = ("TRACEBIT_API_URL", "https://acme.tracebit.com");
    const TOKEN: (&str, &str) = ("TRACEBIT_API_TOKEN", "secret-token");

    fn read(more: &[(&str, &str)]) -> Result<WatchConfig, String> {
        let vars = [more, &GOOD].concat();
        let lookup =
            |name: &str| Ok(vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
        WatchConfig::read(Vars::new(lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_the_contracts() {
        let config = read(&[]).unwrap();
        assert_eq!((config.window, config.grace), (TimeDelta::days(7), TimeDelta::minutes(60)));
        assert!(config.list.is_none() && config.alarm_topic_arn.is_none());
        assert_eq!(config.threshold, Severity::Medium);
    }

    #[test]
    fn url_and_token_are_both_there_or_neither() {
        let arn = ("TRACEBIT_API_TOKEN_ARN", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:api-AbCdEf");
        assert!(read(&[URL, TOKEN]).unwrap().list.is_some());
        assert!(read(&[URL, arn]).unwrap().list.is_some());
        for mistake in [&[URL][..], &[TOKEN], &[arn], &[URL, TOKEN, arn]] {
            let message = read(mistake).unwrap_err();
            assert!(message.contains("TRACEBIT_API_TOKEN_ARN, TRACEBIT_API_TOKEN: "), "{message}");
        }
    }

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for good in ["https://acme.tracebit.com/", "http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"] {
            assert!(read(&[("TRACEBIT_API_URL", good), TOKEN]).is_ok(), "{good}");
        }
        for bad in [
            "http://acme.tracebit.com",
            "http://127.0.0.1.evil.example",
            "https://user:password@acme.tracebit.com",
            "https://acme.tracebit.com/api/v1",
            "https://acme.tracebit.com/?a",
            "ftp://127.0.0.1",
            "acme",
        ] {
            let message = read(&[("TRACEBIT_API_URL", bad), TOKEN]).unwrap_err();
            assert!(message.contains("TRACEBIT_API_URL: expected") && !message.contains(bad), "{message}");
        }
    }

    #[test]
    fn every_mistake_is_in_one_message_and_no_value_is() {
        let message = read(&[
            ("LAKE_BUCKET", "My Bucket"),
            ("ALARM_TOPIC_ARN", "my-topic"),
            ("NOTIFY_QUEUE_URL", "my-queue"),
            URL,
            ("TRACEBIT_API_TOKEN", "two words"),
            ("WATCH_DAYS", "forever"),
            ("WATCH_GRACE_MINUTES", "-1"),
        ])
        .unwrap_err();
        for name in [
            "LAKE_BUCKET: ",
            "ALARM_TOPIC_ARN: ",
            "NOTIFY_QUEUE_URL: ",
            "TRACEBIT_API_TOKEN: ",
            "WATCH_DAYS: ",
            "WATCH_GRACE_MINUTES: ",
        ] {
            assert!(message.contains(name), "{name} in {message}");
        }
        for value in ["My Bucket", "my-topic", "my-queue", "two words", "forever", "-1"] {
            assert!(!message.contains(value), "{value} in {message}");
        }
    }
}
