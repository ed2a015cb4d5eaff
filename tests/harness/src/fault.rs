//! What can go wrong between a client and a service, on demand.

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
    socket::Travel,
};

/// What goes wrong with a request, in place of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not performed; answered with this status and an error body in the service's own form. A redirect leads nowhere.
    Status {
        /// The HTTP status.
        status: u16,
        /// The error code: `Code` in S3's XML, `__type` in the JSON of the others.
        code: &'static str,
    },
    /// Not performed; the connection is reset in the middle of the request, or with its first bytes if it is small.
    ResetInRequest,
    /// Not performed; the connection is reset without an answer.
    Reset,
    /// Not performed; no answer until healed, and then the connection is reset without one.
    Hang,
    /// Not performed, and answered as a success whose checksum (or whole body, where there is none) is of something else.
    WrongChecksum,
    /// Performed, and answered only after this long.
    SlowAnswer(Duration),
    /// Performed; the answer comes byte by byte, with this long before each.
    Drip(Duration),
    /// Performed; the connection is reset in the middle of the answer.
    ResetInAnswer,
    /// Performed, but the connection is reset without an answer.
    LoseAnswer,
}

/// The faults to come: first those in the queue, one a request, then the standing one.
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

/// What a service says that did not do what it was asked to.
pub(crate) struct Excuses {
    /// An error in the service's own form.
    pub(crate) refusal: fn(status: u16, code: &str) -> Reply,
    /// A success with a checksum of something else.
    pub(crate) mistake: fn() -> Reply,
}

impl Faults {
    pub(crate) fn fail_next(&self, n: usize, fault: Fault) {
        self.with(|plan| plan.next.extend(std::iter::repeat_n(fault, n)));
    }

    pub(crate) fn fail_always(&self, fault: Fault) {
        self.with(|plan| plan.always = Some(fault));
    }

    /// How many requests met a fault so far.
    pub(crate) fn met(&self) -> usize {
        self.with(|plan| plan.met)
    }

    pub(crate) fn heal(&self) {
        self.with(|plan| *plan = Plan { met: plan.met, ..Plan::default() });
        self.healed.notify_waiters();
    }

    /// Answers one request under its fault, if it has one. `None` resets the connection.
    pub(crate) async fn apply<F: Future<Output = Option<Reply>>>(
        &self,
        request: Request<Incoming>,
        excuses: &Excuses,
        perform: impl FnOnce(Request<Bytes>) -> F,
    ) -> Option<Reply> {
        // Made before the plan is read, so that no `heal` falls between the two.
        let healed = self.healed.notified();
        let fault = self.with(|plan| {
            let fault = plan.next.pop_front().or(plan.always);
            plan.met += usize::from(fault.is_some());
            fault
        });
        if fault == Some(Fault::ResetInRequest) {
            request.into_body().frame().await;
            return None;
        }
        let request = whole(request).await?;
        match fault {
            None => perform(request).await,
            Some(Fault::Status { status, code }) => Some((excuses.refusal)(status, code)),
            Some(Fault::WrongChecksum) => Some((excuses.mistake)()),
            Some(Fault::ResetInRequest | Fault::Reset) => None,
            Some(Fault::Hang) => {
                healed.await;
                None
            }
            Some(Fault::SlowAnswer(late)) => {
                let reply = perform(request).await;
                sleep(late).await;
                reply
            }
            Some(Fault::Drip(pause)) => Some(Travel::Drip(pause).of(perform(request).await?)),
            Some(Fault::ResetInAnswer) => Some(Travel::Broken.of(perform(request).await?)),
            Some(Fault::LoseAnswer) => {
                perform(request).await;
                None
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Plan) -> T) -> T {
        act(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
