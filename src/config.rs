//! The configuration: environment variables, all read and checked at INIT.

use std::{env, fmt};

use crate::{
    aws::{NoRoots, secrets::SecretSource},
    core::{
        lake::{Prefix, Source},
        rotation::SecretError,
        schema::SchemaError,
        severity::Severity,
        signature::{Secret, SecretTooShort},
    },
};

/// `MAX_PAYLOAD_BYTES` if it is not set: 16 MiB.
const DEFAULT_MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

/// A function cannot start.
#[derive(thiserror::Error)]
pub enum InitError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// TLS cannot work.
    #[error(transparent)]
    Roots(#[from] NoRoots),
    /// An embedded schema is wrong.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The secret that the configuration names cannot be used.
    #[error("TRACEBIT_SECRET_ARN: {0}")]
    Secret(#[from] SecretError),
}

impl fmt::Debug for InitError {
    /// The same as `Display`, because Rust shows the error of `main` with `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SecretSource {
    /// Reads `TRACEBIT_SECRET` and `TRACEBIT_SECRET_ARN` from the process's environment, and nothing else.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn from_env() -> Result<Self, ConfigError> {
        let mut vars = Vars::of_env();
        vars.secret().ok_or(ConfigError(vars.mistakes))
    }
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `LAKE_BUCKET`.
    pub bucket: String,
    /// `LAKE_PREFIX`.
    pub prefix: Prefix,
    /// `TRACEBIT_SECRET` or `TRACEBIT_SECRET_ARN`.
    pub secret: SecretSource,
    /// `SPILL_QUEUE_URL`: the queue for deliveries that S3 does not store in time.
    pub spill_queue_url: Option<String>,
    /// `SOURCE_ID` and `SOURCE_LABEL`.
    pub source: Source,
    /// `MAX_PAYLOAD_BYTES`: the limit on a payload after decompression.
    pub max_payload_bytes: usize,
    /// `NOTIFY_SEVERITY`: the lowest severity of which people are notified, for the metric `AlertsToNotify`.
    pub threshold: Severity,
    /// `STACK_NAME`: the dimension `Stack` of all metrics.
    pub stack: Option<String>,
    /// Whether S3 is addressed path-style. An endpoint override turns it on, because S3-compatible servers need it.
    pub path_style: bool,
}

/// Every mistake in the configuration, in one message that names the variables and shows no value.
#[derive(PartialEq, Eq, Default)]
pub struct ConfigError(Vec<String>);

impl fmt::Debug for ConfigError {
    /// The same as `Display`, because Rust shows the error of `main` with `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(env_lookup)
    }

    /// Reads variables from `lookup`, which fails for a value that is not UTF-8. An empty value counts as unset.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn read(lookup: impl Fn(&str) -> Result<Option<String>, ()>) -> Result<Self, ConfigError> {
        let mut vars = Vars::new(lookup);
        let bucket = vars.required("LAKE_BUCKET", "the name of the bucket that the objects go to", bucket);
        let prefix = vars.prefix();
        let secret = vars.secret();
        let spill_queue_url = vars.optional("SPILL_QUEUE_URL", queue_url);
        let source_id = vars.get("SOURCE_ID");
        let source_label = vars.get("SOURCE_LABEL");
        let max_payload_bytes = vars.optional("MAX_PAYLOAD_BYTES", positive);
        let threshold = vars.optional("NOTIFY_SEVERITY", str::parse);
        let stack = vars.get("STACK_NAME");
        let path_style = vars.path_style();
        match (bucket, secret) {
            (Some(bucket), Some(secret)) if vars.mistakes.is_empty() => Ok(Self {
                bucket,
                prefix,
                secret,
                spill_queue_url,
                source: Source { id: source_id, label: source_label.unwrap_or_else(|| "tracebit".to_owned()) },
                max_payload_bytes: max_payload_bytes.unwrap_or(DEFAULT_MAX_PAYLOAD_BYTES),
                threshold: threshold.unwrap_or(Severity::DEFAULT_THRESHOLD),
                stack,
                path_style,
            }),
            _ => Err(ConfigError(vars.mistakes)),
        }
    }
}

fn env_lookup(name: &str) -> Result<Option<String>, ()> {
    env::var_os(name).map(|value| value.into_string().map_err(drop)).transpose()
}

/// The variables, and the mistakes found in them so far.
pub(crate) struct Vars<L> {
    lookup: L,
    mistakes: Vec<String>,
}

impl Vars<fn(&str) -> Result<Option<String>, ()>> {
    /// The variables of the process's environment.
    pub(crate) fn of_env() -> Self {
        Self::new(env_lookup)
    }
}

impl<L: Fn(&str) -> Result<Option<String>, ()>> Vars<L> {
    /// The variables that `lookup` returns. It fails for a value that is not UTF-8.
    pub(crate) fn new(lookup: L) -> Self {
        Self { lookup, mistakes: Vec::new() }
    }

    /// `LAKE_PREFIX`.
    pub(crate) fn prefix(&mut self) -> Prefix {
        let prefix = self.optional("LAKE_PREFIX", |text| Prefix::new(text).map_err(|error| error.to_string()));
        prefix.unwrap_or_default()
    }

    /// Whether S3 is addressed path-style: an endpoint override asks for it.
    pub(crate) fn path_style(&mut self) -> bool {
        self.get("AWS_ENDPOINT_URL").is_some() | self.get("AWS_ENDPOINT_URL_S3").is_some()
    }

    /// # Errors
    /// Every mistake that was found.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(ConfigError(self.mistakes)) }
    }

    pub(crate) fn get(&mut self, name: &str) -> Option<String> {
        match (self.lookup)(name) {
            Ok(value) => value.filter(|value| !value.is_empty()),
            Err(()) => {
                self.mistake(name, "not UTF-8");
                None
            }
        }
    }

    pub(crate) fn optional<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.get(name)?;
        read(&value).map_err(|problem| self.mistake(name, &problem)).ok()
    }

    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let known_mistakes = self.mistakes.len();
        let value = self.optional(name, read);
        if value.is_none() && self.mistakes.len() == known_mistakes {
            self.mistake(name, &format!("not set; set it to {what}"));
        }
        value
    }

    fn secret(&mut self) -> Option<SecretSource> {
        let known_mistakes = self.mistakes.len();
        let fixed = self
            .optional("TRACEBIT_SECRET", |text| Secret::new(text).map_err(|error: SecretTooShort| error.to_string()));
        let arn = self.optional("TRACEBIT_SECRET_ARN", secret_arn);
        if self.mistakes.len() > known_mistakes {
            return None;
        }
        match (fixed, arn) {
            (Some(secret), None) => Some(SecretSource::Fixed(secret)),
            (None, Some(arn)) => Some(SecretSource::SecretsManager { arn }),
            (fixed, _) => {
                let found = if fixed.is_some() { "both are set" } else { "neither is set" };
                self.mistake("TRACEBIT_SECRET_ARN, TRACEBIT_SECRET", &format!("{found}; set one of the two"));
                None
            }
        }
    }

    pub(crate) fn mistake(&mut self, name: &str, problem: &str) {
        self.mistakes.push(format!("{name}: {problem}"));
    }
}

/// A bucket name (by S3's rules of today or of before 2018) or an access point ARN. S3 itself checks the finer points.
pub(crate) fn bucket(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if text.starts_with("arn:") || ((3..=255).contains(&text.len()) && text.bytes().all(is_fit)) {
        Ok(text.to_owned())
    } else {
        Err("not a bucket name: expected 3 to 63 lower-case letters, digits, dots and hyphens".to_owned())
    }
}

/// An access point's ARN would not do, because S3's events name the bucket.
pub(crate) fn bucket_name(text: &str) -> Result<String, String> {
    if text.starts_with("arn:") {
        return Err(
            "expected the name of a bucket, because S3's events name the bucket and not its access point".to_owned()
        );
    }
    bucket(text)
}

pub(crate) fn topic_arn(text: &str) -> Result<String, String> {
    if text.starts_with("arn:") && text.contains(":sns:") {
        Ok(text.to_owned())
    } else {
        Err("expected the ARN of an SNS topic, arn:…:sns:…".to_owned())
    }
}

pub(crate) fn secret_arn(text: &str) -> Result<String, String> {
    if text.starts_with("arn:") && text.contains(":secretsmanager:") {
        Ok(text.to_owned())
    } else {
        Err("expected the ARN of a Secrets Manager secret, arn:…:secretsmanager:…".to_owned())
    }
}

pub(crate) fn queue_url(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if url.has_host() => Ok(text.to_owned()),
        _ => Err("expected the URL of an SQS queue, https://sqs.…".to_owned()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number of bytes above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret for unit tests";
    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:tracebit-AbCdEf";

    fn read(vars: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|name| Ok(vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_the_contracts() {
        let config = read(&[("LAKE_BUCKET", "lake"), ("TRACEBIT_SECRET", SECRET), ("SOURCE_ID", "")]).unwrap();
        assert_eq!(config.prefix, Prefix::default());
        assert_eq!(config.source, Source { id: None, label: "tracebit".to_owned() });
        assert_eq!(config.max_payload_bytes, 16_777_216);
        assert!(!config.path_style);
    }

    #[test]
    fn an_endpoint_override_means_path_style() {
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
            let config = read(&[("LAKE_BUCKET", "lake"), ("TRACEBIT_SECRET_ARN", ARN), (name, "http://127.0.0.1:1")]);
            assert!(config.unwrap().path_style);
        }
    }

    #[test]
    fn every_mistake_is_in_one_message_and_no_value_is() {
        let message = read(&[
            ("LAKE_PREFIX", "my logs"),
            ("TRACEBIT_SECRET", "tooshort"),
            ("MAX_PAYLOAD_BYTES", "16MB"),
            ("SPILL_QUEUE_URL", "my-queue"),
            ("NOTIFY_SEVERITY", "urgent"),
        ])
        .unwrap_err();
        for name in [
            "LAKE_BUCKET: not set",
            "LAKE_PREFIX: expected",
            "TRACEBIT_SECRET: shorter",
            "MAX_PAYLOAD_BYTES: ",
            "SPILL_QUEUE_URL: ",
            "NOTIFY_SEVERITY: expected one of",
        ] {
            assert!(message.contains(name), "{name} in {message}");
        }
        for value in ["my logs", "tooshort", "16MB", "my-queue", "urgent"] {
            assert!(!message.contains(value), "{value} in {message}");
        }
    }

    #[test]
    fn exactly_one_source_of_the_secret() {
        let bucket = ("LAKE_BUCKET", "lake");
        assert!(read(&[bucket]).unwrap_err().contains("neither is set"));
        let both = [bucket, ("TRACEBIT_SECRET", SECRET), ("TRACEBIT_SECRET_ARN", ARN)];
        assert!(read(&both).unwrap_err().contains("both are set"));
        assert!(read(&[bucket, ("TRACEBIT_SECRET_ARN", "tracebit")]).unwrap_err().contains("expected the ARN"));
    }

    #[test]
    fn values_that_are_not_utf_8_are_mistakes() {
        let error = Config::read(|_| Err(())).unwrap_err().to_string();
        assert!(error.contains("LAKE_BUCKET: not UTF-8; LAKE_PREFIX: not UTF-8"), "{error}");
    }
}
