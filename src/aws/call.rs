//! One call to AWS: its timeouts and attempts follow from a deadline, and its error says in words what an operator
//! needs.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::http::{Response, StatusCode};

use super::deadline::{CallPolicy, Deadline};

/// A call did not succeed. Its text names the operation, and the service's status, code and message or the transport's
/// error. It holds nothing of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {problem}")]
pub struct CallError {
    operation: &'static str,
    problem: String,
    status: Option<u16>,
    code: Option<String>,
    may_have_succeeded: bool,
}

/// Sends a request of `bytes` and waits for its answer until the deadline. `send` adds the [`Attempts`] to the request,
/// which bound its attempts, and sends it.
///
/// # Errors
/// [`CallError`]. If the deadline has passed, nothing is sent.
pub(crate) async fn call<T, E, F>(
    operation: &'static str,
    deadline: Deadline,
    bytes: usize,
    send: impl FnOnce(Attempts) -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, SdkError<E, Response>>>,
    E: ProvideErrorMetadata + Error + 'static,
{
    let policy = deadline.call(bytes).ok_or_else(|| CallError::out_of_time(operation))?;
    call_by(policy, operation, deadline, send).await
}

/// The same by a policy of the caller's.
pub(crate) async fn call_by<T, E, F>(
    policy: CallPolicy,
    operation: &'static str,
    deadline: Deadline,
    send: impl FnOnce(Attempts) -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, SdkError<E, Response>>>,
    E: ProvideErrorMetadata + Error + 'static,
{
    let attempts = Attempts(Arc::new(Shared { policy, log: Mutex::default() }));
    match deadline.bound(send(attempts.clone())).await {
        Some(answer) => answer.map_err(|error| CallError::of(operation, &error, &attempts)),
        None => Err(CallError::timed_out(operation, &attempts)),
    }
}

impl CallError {
    /// `problem` follows the operation's name.
    pub(crate) fn new(operation: &'static str, problem: String) -> Self {
        Self { operation, problem, status: None, code: None, may_have_succeeded: false }
    }

    /// The answer is there and is not what it must be.
    pub(crate) fn of_answer(operation: &'static str, problem: &str) -> Self {
        Self::new(operation, format!("failed: {problem}"))
    }

    /// No time is left for the call, so nothing was sent.
    pub(crate) fn out_of_time(operation: &'static str) -> Self {
        Self::new(operation, "timed out without an answer".to_owned())
    }

    /// The time ran out after an answer whose body broke off.
    pub(crate) fn broke_off(operation: &'static str, fault: &str) -> Self {
        Self::new(operation, format!("timed out; the body broke off: {fault}"))
    }

    fn timed_out(operation: &'static str, attempts: &Attempts) -> Self {
        match attempts.log(|log| log.last_fault.take()) {
            Some(fault) => Self::new(operation, format!("timed out; the last attempt failed: {fault}")),
            None => Self::out_of_time(operation),
        }
    }

    fn of<E>(operation: &'static str, error: &SdkError<E, Response>, attempts: &Attempts) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let service = error.as_service_error();
        let code = service.and_then(ProvideErrorMetadata::code);
        let problem = match (service, status) {
            (Some(service), Some(status)) => {
                let (code, message) = (code.unwrap_or("no code"), service.message().unwrap_or("no message"));
                format!("failed: {status} {code}: {message}")
            }
            _ => format!("failed: {}", error_chain(error)),
        };
        let may_have_succeeded = attempts.log(|log| log.is_in_doubt);
        Self { status, code: code.map(str::to_owned), may_have_succeeded, ..Self::new(operation, problem) }
    }

    /// The same error, followed by what to do about it.
    #[must_use]
    pub(crate) fn with_advice(self, advice: &str) -> Self {
        Self { problem: format!("{}; {advice}", self.problem), ..self }
    }

    /// The status of the last answer.
    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }

    /// The service's name of the error.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Whether an earlier attempt may have succeeded, because its answer was lost or a server error.
    pub(crate) fn may_have_succeeded(&self) -> bool {
        self.may_have_succeeded
    }
}

/// The attempts of one call: sets their timeouts and number, and records how they end, so that a timeout can name the
/// last fault.
#[derive(Debug, Clone)]
pub(crate) struct Attempts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    policy: CallPolicy,
    log: Mutex<AttemptLog>,
}

#[derive(Debug, Default)]
struct AttemptLog {
    /// Whether an attempt ended without an answer that says what the service did.
    is_in_doubt: bool,
    last_fault: Option<String>,
}

impl Attempts {
    fn log<T>(&self, read: impl FnOnce(&mut AttemptLog) -> T) -> T {
        read(&mut self.0.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    /// The SDK merges these with the client's own settings, such as its connect timeout.
    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let CallPolicy { timeouts, retries } = &self.0.policy;
        config.interceptor_state().store_put(timeouts.clone()).store_put(retries.clone());
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let status = context.response().map(Response::status);
        let fault = context.output_or_error().and_then(Result::err);
        self.log(|log| {
            log.is_in_doubt |= status.is_none_or(StatusCode::is_server_error);
            if let Some(fault) = fault {
                let fault = fault.as_operation_error().map_or_else(|| error_chain(fault), |error| error_chain(error));
                log.last_fault = Some(match status {
                    Some(status) => format!("{} {fault}", status.as_u16()),
                    None => fault,
                });
            }
        });
        Ok(())
    }
}

/// An error and its causes in one line. `Debug` is not used, because it can contain a request or a response.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
