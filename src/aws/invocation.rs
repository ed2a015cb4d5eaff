//! What Lambda hands the function for an invocation.

use std::time::{Duration, SystemTime};

use lambda_runtime::Diagnostic;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::deadline::Deadline;

/// An invocation of the function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// When Lambda ends it.
    pub end: SystemTime,
}

impl Invocation {
    /// The moment by which everything but the response must be done.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline::of_invocation(self.end)
    }
}

impl From<lambda_runtime::Context> for Invocation {
    fn from(context: lambda_runtime::Context) -> Self {
        let end = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
        Self { request_id: context.request_id, end }
    }
}

/// A kind of event that a function takes.
pub trait Event: DeserializeOwned {
    /// What such an event is and how to get one, for whoever invokes the function with another.
    const EXPECTED: &'static str;
}

/// The event of an invocation, or the error that it is another than the function takes.
///
/// The runtime reads events, too. But its error names Rust types and a log level that is compiled out.
pub struct Received<T>(Result<T, UnexpectedEvent>);

impl<T: Event> Received<T> {
    /// The event.
    ///
    /// # Errors
    /// [`UnexpectedEvent`] if it is not a `T`. The error is in the log, too.
    pub fn event(self) -> Result<T, UnexpectedEvent> {
        self.0.inspect_err(|UnexpectedEvent(expected)| tracing::error!("{expected}"))
    }
}

impl<'de, T: Event> Deserialize<'de> for Received<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        // The error of serde_json can quote the event.
        Ok(Self(serde_json::from_str(json.get()).map_err(|_| UnexpectedEvent(T::EXPECTED))))
    }
}

/// What the function expected in place of the event.
#[derive(Debug)]
pub struct UnexpectedEvent(&'static str);

impl From<UnexpectedEvent> for Diagnostic {
    fn from(UnexpectedEvent(expected): UnexpectedEvent) -> Self {
        Self { error_type: "UnexpectedEvent".to_owned(), error_message: expected.to_owned() }
    }
}
