//! What Lambda says about an invocation.

use std::time::{Duration, SystemTime};

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
