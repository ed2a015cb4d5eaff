//! Options that several commands share, and how they are read.

use std::env;

use anyhow::{Result, anyhow};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;
use tracebit_lake::{
    aws::{https::Token, secrets::TokenSource},
    core::{lake::Prefix, time as event_time},
    watch::{ListConfig, api_url},
};

/// The lake.
#[derive(Args)]
pub(crate) struct LakeOptions {
    /// The lake's bucket
    #[arg(long, env = "LAKE_BUCKET")]
    pub(crate) bucket: String,
    /// The lake's prefix, as in `LAKE_PREFIX`
    #[arg(long, env = "LAKE_PREFIX", default_value = "", value_parser = prefix)]
    pub(crate) prefix: Prefix,
    /// `p_source_id` of records from Tracebit's API, as in `SOURCE_ID`
    #[arg(long, env = "SOURCE_ID")]
    pub(crate) source_id: Option<String>,
}

/// Tracebit's API.
#[derive(Args)]
pub(crate) struct ApiOptions {
    /// The address of Tracebit's API, `https://TENANT.tracebit.com`
    #[arg(long, env = "TRACEBIT_API_URL")]
    api_url: Option<String>,
    /// The ARN of the secret that holds the API's token; or set `TRACEBIT_API_TOKEN` to the token
    #[arg(long, env = "TRACEBIT_API_TOKEN_ARN")]
    token_secret: Option<String>,
}

impl ApiOptions {
    /// Where the list is, if it is named.
    pub(crate) fn list(&self) -> Result<Option<ListConfig>> {
        let set = |value: Option<String>| value.filter(|value| !value.is_empty());
        let token = set(env::var("TRACEBIT_API_TOKEN").ok());
        let token = match (set(self.token_secret.clone()), token) {
            (Some(arn), None) => Some(TokenSource::SecretsManager { arn }),
            (None, Some(token)) => {
                Some(TokenSource::Fixed(Token::new(&token).map_err(|error| anyhow!("TRACEBIT_API_TOKEN: {error}"))?))
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(anyhow!("--token-secret and TRACEBIT_API_TOKEN are both set; set one of them"));
            }
        };
        match (set(self.api_url.clone()), token) {
            (Some(url), Some(token)) => {
                let url = api_url(&url).map_err(|problem| anyhow!("--api-url: {problem}"))?;
                Ok(Some(ListConfig { url, token }))
            }
            (None, None) => Ok(None),
            _ => Err(anyhow!("Tracebit's API needs --api-url and a token: --token-secret, or TRACEBIT_API_TOKEN")),
        }
    }
}

/// Whether the environment names another server than AWS's. Such servers need path-style addresses.
pub(crate) fn has_endpoint() -> bool {
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]
        .into_iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

pub(crate) fn prefix(text: &str) -> Result<Prefix, String> {
    if text.is_empty() { Ok(Prefix::default()) } else { Prefix::new(text).map_err(|error| error.to_string()) }
}

/// A day, which begins at midnight in UTC, or a time.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    match text.parse::<NaiveDate>() {
        Ok(day) => Ok(day.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => {
            event_time::parse(text).map_err(|_| "expected a day such as 2026-11-01, or an RFC 3339 time".to_owned())
        }
    }
}
