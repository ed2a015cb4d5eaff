//! Faults between a client and a service, on demand.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{sync::Notify, time::sleep};

use crate::{
    server::{Reply, whole},
    socket::ResponseFault,
};

/// A fault that a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not performed; answered with this status and an error body in the service's own form. A redirect points to a
    /// closed port.
    Status {
        /// The HTTP status.
        status: u16,
        /// The error code: `Code` in S3's XML, `__type` in the JSON of the others.
        code: &'static str,
    },
    /// Not performed; the connection is reset in the middle of the request, or after its first bytes if it is small.
    ResetInRequest,
    /// Not performed; the connection is reset without an answer.
    Reset,
    /// Not performed and not answered; the connection is reset when the service is healed.
    Hang,
    /// Not performed; answered as a success that carries the checksum of something else. A service without checksums
    /// sends a damaged body.
    WrongChecksum,
    /// Performed; answered only after this delay.
    SlowAnswer(Duration),
    /// Performed; the answer comes byte by byte, with this pause before each.
    Drip(Duration),
    /// Performed; the connection is reset in the middle of the answer.
    ResetInAnswer,
    /// Performed; the connection is reset without an answer.
    LoseAnswer,
}

/// The faults of the requests to come: `next` for one request each, then `always` for the rest.
#[derive(Default)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
    healed: Notify,
}

#[derive(Default)]
struct Plan {
    next: VecDeque<Fault>,
    always: Option<Fault>,
    met: usize,
}

/// The wrong replies of a service, each in the service's own form.
pub(crate) struct ErrorReplies {
    /// An error.
    pub(crate) error: fn(status: u16, code: &str) -> Reply,
    /// A success that carries the checksum of something else.
    pub(crate) wrong_checksum: fn() -> Reply,
}

impl Faults {
    pub(crate) fn fail_next(&self, n: usize, fault: Fault) {
        self.with(|plan| plan.next.extend(std::iter::repeat_n(fault, n)));
    }

    pub(crate) fn fail_always(&self, fault: Fault) {
        self.with(|plan| plan.always = Some(fault));
    }

    /// How many requests have met a fault.
    pub(crate) fn met(&self) -> usize {
        self.with(|plan| plan.met)
    }

    pub(crate) fn heal(&self) {
        self.with(|plan| *plan = Plan { met: plan.met, ..Plan::default() });
        self.healed.notify_waiters();
    }

    /// Answers one request, under its fault if it has one. `None` resets the connection.
    pub(crate) async fn apply<F: Future<Output = Option<Reply>>>(
        &self,
        request: Request<Incoming>,
        errors: &ErrorReplies,
        perform: impl FnOnce(Request<Bytes>) -> F,
    ) -> Option<Reply> {
        // Created before the fault is taken, so that no `heal` falls between the two.
        let healed = self.healed.notified();
        let performed = async |request| perform(whole(request).await?).await;
        let Some(fault) = self.take() else { return performed(request).await };
        match fault {
            Fault::Status { status, code } => {
                whole(request).await?;
                Some((errors.error)(status, code))
            }
            Fault::ResetInRequest => {
                request.into_body().frame().await;
                None
            }
            Fault::Reset => {
                whole(request).await;
                None
            }
            Fault::Hang => {
                whole(request).await?;
                healed.await;
                None
            }
            Fault::WrongChecksum => {
                whole(request).await?;
                Some((errors.wrong_checksum)())
            }
            Fault::SlowAnswer(delay) => {
                let reply = performed(request).await;
                sleep(delay).await;
                reply
            }
            Fault::Drip(pause) => Some(ResponseFault::Drip(pause).mark(performed(request).await?)),
            Fault::ResetInAnswer => Some(ResponseFault::Truncate.mark(performed(request).await?)),
            Fault::LoseAnswer => {
                performed(request).await;
                None
            }
        }
    }

    /// The fault of the request that has just arrived.
    fn take(&self) -> Option<Fault> {
        self.with(|plan| {
            let fault = plan.next.pop_front().or(plan.always);
            plan.met += usize::from(fault.is_some());
            fault
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Plan) -> T) -> T {
        act(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
