//! The three services, and what goes wrong with them.

use std::time::Duration;

use fastrand::Rng;
use tokio::{sync::Mutex, time::sleep};
use tracebit_lake_harness::{Fault, s3::S3, secrets_manager::SecretsManager, sqs::Sqs};

const fn status(status: u16, code: &'static str) -> Fault {
    Fault::Status { status, code }
}

const BY_S3: [Fault; 7] = [
    status(307, "TemporaryRedirect"),
    status(403, "RequestTimeTooSkewed"),
    status(403, "AccessDenied"),
    status(404, "NoSuchBucket"),
    status(409, "ConditionalRequestConflict"),
    status(500, "InternalError"),
    status(503, "SlowDown"),
];
const BY_SQS: [Fault; 3] = [
    status(400, "AWS.SimpleQueueService.NonExistentQueue"),
    status(403, "AccessDenied"),
    status(500, "InternalFailure"),
];
const BY_SECRETS_MANAGER: [Fault; 3] =
    [status(400, "AccessDeniedException"), status(400, "ThrottlingException"), status(500, "InternalServiceError")];
const OF_THE_NETWORK: [Fault; 6] = [
    Fault::ResetInRequest,
    Fault::Reset,
    Fault::WrongChecksum,
    Fault::SlowAnswer(Duration::from_millis(100)),
    Fault::ResetInAnswer,
    Fault::LoseAnswer,
];
/// These last for an attempt's whole time, and so are rare.
const SLOW: [Fault; 2] = [Fault::Hang, Fault::Drip(Duration::from_millis(20))];

/// Everything that a lake depends on.
pub(super) struct Weather {
    pub(super) s3: S3,
    pub(super) sqs: Sqs,
    pub(super) secrets: SecretsManager,
    /// One outage at a time.
    outage: Mutex<()>,
}

impl Weather {
    pub(super) fn new(s3: S3, sqs: Sqs, secrets: SecretsManager) -> Self {
        Self { s3, sqs, secrets, outage: Mutex::default() }
    }

    /// What a delivery may meet: up to three faults in a row of S3, some of the queue as well. Any instance may get them.
    pub(super) fn may_worsen(&self, rng: &mut Rng) {
        if rng.f32() < 0.1 {
            self.s3.fail_next(rng.usize(1..4), choose(rng, &BY_S3));
            if rng.f32() < 0.4 {
                self.sqs.fail_next(rng.usize(1..3), choose(rng, &BY_SQS));
            }
        }
    }

    /// What a start may meet: one version of the secret, or both, at the first attempt or at two.
    pub(super) fn may_worsen_for_a_start(&self, rng: &mut Rng) {
        if rng.f32() < 0.3 {
            self.secrets.fail_next(rng.usize(1..4), choose(rng, &BY_SECRETS_MANAGER));
        }
    }

    /// Whether, now and then, one service refused connections for a moment.
    pub(super) async fn may_break_down(&self, rng: &mut Rng) -> bool {
        if rng.f32() >= 0.005 {
            return false;
        }
        let Ok(_alone) = self.outage.try_lock() else { return false };
        let moment = Duration::from_millis(rng.u64(5..100));
        match rng.usize(0..4) {
            0 => {
                self.sqs.stop().await;
                // Without S3 it matters.
                self.s3.stop().await;
                sleep(moment).await;
                self.s3.resume();
                self.sqs.resume();
            }
            1 => {
                self.secrets.stop().await;
                sleep(moment).await;
                self.secrets.resume();
            }
            _ => {
                self.s3.stop().await;
                sleep(moment).await;
                self.s3.resume();
            }
        }
        true
    }

    /// Ends all faults that are left.
    pub(super) fn clear(&self) {
        self.s3.heal();
        self.sqs.fail(None);
        self.secrets.fail(None);
    }

    /// How many requests met a fault.
    pub(super) fn faults(&self) -> usize {
        self.s3.faults() + self.sqs.faults() + self.secrets.faults()
    }
}

fn choose(rng: &mut Rng, by_service: &[Fault]) -> Fault {
    let kind = match rng.f32() {
        ..0.02 => &SLOW[..],
        ..0.5 => &OF_THE_NETWORK,
        _ => by_service,
    };
    kind[rng.usize(0..kind.len())]
}
