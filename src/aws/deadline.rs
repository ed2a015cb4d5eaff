//! The time policy: who may use how much of an invocation, and the timeouts and retries of each call.
//!
//! A fault ends one attempt. An outage leaves time for the response. `docs/reliability.md` shows the shares as a table.

use std::time::{Duration, SystemTime};

use aws_config::{retry::RetryConfig, timeout::TimeoutConfig};
use tokio::time::{Instant, timeout_at};

/// The response's reserve: a tenth of the time left, between these bounds.
const RESPONSE_RESERVE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// What fetching the secret and opening the connection to S3 may take of INIT's ten seconds.
const INIT_TIME: Duration = Duration::from_secs(3);

/// The most that a delivery waits for the secret, for S3 if a queue can step in, and for the queue. Webhook senders
/// give up after 5 to 15 seconds, so a sender is answered within 5 s if S3 hangs, and within 10 s if everything does.
const MAX_SECRET_WAIT: Duration = Duration::from_millis(3500);
const MAX_STORE_WAIT: Duration = Duration::from_millis(3500);
const MAX_QUEUE_WAIT: Duration = Duration::from_millis(2500);

/// One attempt, and the connection it may need. A healthy service answers within tens of milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The deadline ends the attempts, so their number is only a backstop.
const MAX_ATTEMPTS: u32 = 100;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The throughput that an attempt may count on: hashing and sending take time on a small share of a processor.
const MIN_BYTES_PER_SECOND: usize = 1024 * 1024;

/// The moment by which a piece of work must be done.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of the work of an invocation that Lambda ends at `end`. The rest is kept for the response.
    #[must_use]
    pub fn of_invocation(end: SystemTime) -> Self {
        let left = end.duration_since(SystemTime::now()).unwrap_or_default();
        let (min, max) = RESPONSE_RESERVE;
        Self::after(left.saturating_sub((left / 10).clamp(min, max)))
    }

    /// The deadline of what INIT makes ready.
    #[must_use]
    pub fn of_init() -> Self {
        Self::after(INIT_TIME)
    }

    /// The deadline of work that starts now and may take this long.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left until the deadline.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The share of the secret: half of what is left, so that a delivery that verifies can still be stored.
    pub(crate) fn for_secret(self) -> Self {
        Self::after((self.left() / 2).min(MAX_SECRET_WAIT))
    }

    /// The share of reading a payload: half of what is left. So what cannot be interrupted, such as the end of a large
    /// object, leaves time to store the delivery as it was sent.
    pub(crate) fn for_reading(self) -> Self {
        self.share_of(2)
    }

    /// The share of S3 if the spill queue can step in: two thirds of what is left.
    pub(crate) fn for_store_before_queue(self) -> Self {
        Self::after((self.left() * 2 / 3).min(MAX_STORE_WAIT))
    }

    /// The share of one of several pieces of work that are done one after the other. A piece that hangs does not use
    /// the time of the others.
    #[must_use]
    pub fn share_of(self, pieces: usize) -> Self {
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX).max(1);
        Self::after(self.left() / pieces)
    }

    /// The share of the spill queue.
    pub(crate) fn for_queue(self) -> Self {
        Self::after(self.left().min(MAX_QUEUE_WAIT))
    }

    /// The timeouts and retries of a call that sends `bytes`. `None` if the deadline has passed, because no call may
    /// start then.
    pub(crate) fn call(self, bytes: usize) -> Option<CallPolicy> {
        let left = self.left();
        (!left.is_zero()).then(|| CallPolicy::of(left, bytes))
    }

    /// Runs `work` and drops it at the deadline. `None` if it did not finish in time.
    pub(crate) async fn bound<F: Future>(self, work: F) -> Option<F::Output> {
        timeout_at(self.0, work).await.ok()
    }
}

/// Timeouts and retries of one call.
#[derive(Debug)]
pub(crate) struct CallPolicy {
    pub(crate) timeouts: TimeoutConfig,
    pub(crate) retries: RetryConfig,
}

impl CallPolicy {
    /// What every client starts with. The connect timeout is the same for every call, because the SDK keeps a separate
    /// connection pool for each connect timeout.
    pub(crate) fn of_clients() -> Self {
        let Self { timeouts, retries } = Self::of(Duration::MAX, 0);
        Self { timeouts: timeouts.to_builder().connect_timeout(CONNECT_TIMEOUT).build(), retries }
    }

    fn of(left: Duration, bytes: usize) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt_timeout(left, bytes)).build();
        let retries = RetryConfig::standard()
            .with_max_attempts(MAX_ATTEMPTS)
            .with_initial_backoff(FIRST_BACKOFF.min(left / 20))
            .with_max_backoff(MAX_BACKOFF.min(left / 8));
        Self { timeouts, retries }
    }
}

impl CallPolicy {
    /// The same for a service that says itself how long to wait (`Retry-After`).
    pub(crate) fn with_waits_up_to(self, longest: Duration) -> Self {
        Self { retries: self.retries.with_max_backoff(longest), ..self }
    }
}

/// A large body gets more time. Otherwise the timeout leaves room for a second attempt.
fn attempt_timeout(left: Duration, bytes: usize) -> Duration {
    let sending = Duration::from_secs(u64::try_from(bytes / MIN_BYTES_PER_SECOND).unwrap_or(u64::MAX));
    ATTEMPT_TIMEOUT.min(left / 2).saturating_add(sending).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_time_is_kept_for_the_response() {
        for (left, kept) in [(30_000, 1_000), (5_000, 500), (1_000, 200), (100, 100), (0, 0)] {
            let deadline = Deadline::of_invocation(SystemTime::now() + Duration::from_millis(left));
            let used = deadline.left().as_millis();
            let expected = u128::from(left - kept);
            assert!(used <= expected && used + 50 >= expected, "{left} ms left: {used}, expected {expected}");
        }
    }

    #[test]
    fn a_sender_is_answered_within_ten_seconds() {
        let deadline = Deadline::of_invocation(SystemTime::now() + Duration::from_mins(1));
        assert!(deadline.for_store_before_queue().left() < Duration::from_secs(5));
        let waits = [deadline.for_secret(), deadline.for_store_before_queue(), deadline.for_queue()];
        assert!(waits.map(Deadline::left).iter().sum::<Duration>() < Duration::from_secs(10));
    }

    #[test]
    fn work_that_hangs_leaves_the_rest_its_share() {
        let after = |seconds| Deadline::after(Duration::from_secs(seconds));
        for (deadline, milliseconds) in [
            (after(4).for_secret(), 2_000),
            (after(60).for_secret(), 3_500),
            (after(3).for_store_before_queue(), 2_000),
            (after(60).for_store_before_queue(), 3_500),
            (after(2).for_queue(), 2_000),
            (after(60).for_queue(), 2_500),
            (after(60).share_of(0), 60_000),
            (after(60).share_of(1), 60_000),
            (after(60).share_of(5), 12_000),
        ] {
            let (left, share) = (deadline.left(), Duration::from_millis(milliseconds));
            // A busy machine may take half a second from one line to the next.
            assert!(left <= share && left + Duration::from_millis(500) > share, "{left:?}, expected {share:?}");
        }
    }

    #[tokio::test]
    async fn at_the_deadline_calls_and_work_end() {
        let (past, future) = (Deadline::after(Duration::ZERO), Deadline::after(Duration::from_mins(1)));
        assert!(past.call(0).is_none() && future.call(0).is_some());
        assert_eq!(past.bound(std::future::pending::<()>()).await, None);
        assert_eq!(future.bound(async { 1 }).await, Some(1));
    }

    #[test]
    fn an_attempt_leaves_time_for_another_unless_there_is_much_to_send() {
        let seconds = Duration::from_secs;
        for (bytes, left, expected) in [
            (2_000, 29, seconds(5)),
            (2_000, 4, seconds(2)),
            (2_000, 0, seconds(0)),
            (16 * 1024 * 1024, 29, seconds(21)),
            (16 * 1024 * 1024, 9, seconds(9)),
        ] {
            assert_eq!(attempt_timeout(seconds(left), bytes), expected, "{bytes} bytes, {left} s left");
        }
    }

    #[test]
    fn waits_and_attempts_shrink_with_the_time_left() {
        let mut before = [Duration::MAX; 3];
        for left in [30_000, 10_000, 3_000, 1_000, 100, 10, 0].map(Duration::from_millis) {
            let CallPolicy { timeouts, retries } = CallPolicy::of(left, 2_000);
            let attempt = timeouts.operation_attempt_timeout().unwrap();
            let now = [attempt, retries.initial_backoff(), retries.max_backoff()];
            assert!(now.iter().zip(before).all(|(now, before)| *now <= before), "{left:?}: {now:?}");
            // A first attempt that uses its whole timeout leaves room for the wait and a second attempt.
            assert!(attempt + retries.initial_backoff() <= left * 3 / 4, "{left:?}: {now:?}");
            assert!(retries.max_backoff() <= left / 4, "{left:?}: {now:?}");
            before = now;
        }
    }
}
