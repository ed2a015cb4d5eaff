//! The three services, and the faults that they get at random.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

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
const BY_THE_NETWORK: [Fault; 6] = [
    Fault::ResetInRequest,
    Fault::Reset,
    Fault::WrongChecksum,
    Fault::SlowAnswer(Duration::from_millis(100)),
    Fault::ResetInAnswer,
    Fault::LoseAnswer,
];
/// These last until an attempt times out, so they are rare.
const SLOW: [Fault; 2] = [Fault::Hang, Fault::Drip(Duration::from_millis(20))];

/// The services of the functions, which fail at random.
pub(super) struct FaultPlan {
    pub(super) s3: S3,
    pub(super) sqs: Sqs,
    pub(super) secrets: SecretsManager,
    /// Locked during an outage, because there is one at a time.
    outage: Mutex<()>,
    is_corrected: AtomicBool,
}

impl FaultPlan {
    pub(super) fn new(s3: S3, sqs: Sqs, secrets: SecretsManager) -> Self {
        Self { s3, sqs, secrets, outage: Mutex::default(), is_corrected: AtomicBool::new(false) }
    }

    /// Sometimes makes the next one to three requests to S3 fail, and sometimes those to SQS too. Any instance may send
    /// them.
    pub(super) fn may_fail_a_delivery(&self, rng: &mut Rng) {
        if rng.f32() < 0.1 {
            self.s3.fail_next(rng.usize(1..4), choose(rng, &BY_S3));
            if rng.f32() < 0.4 {
                self.sqs.fail_next(rng.usize(1..3), choose(rng, &BY_SQS));
            }
        }
    }

    /// Sometimes makes the next one to three requests to Secrets Manager fail. A start sends one for each version.
    pub(super) fn may_fail_a_start(&self, rng: &mut Rng) {
        if rng.f32() < 0.3 {
            self.secrets.fail_next(rng.usize(1..4), choose(rng, &BY_SECRETS_MANAGER));
        }
    }

    /// Rarely makes a service refuse connections for a moment. Returns whether it did.
    pub(super) async fn may_stop_a_service(&self, rng: &mut Rng) -> bool {
        if rng.f32() >= 0.005 {
            return false;
        }
        let Ok(_guard) = self.outage.try_lock() else { return false };
        let length = Duration::from_millis(rng.u64(5..100));
        match rng.usize(0..4) {
            0 => {
                self.sqs.stop().await;
                // The functions use SQS only while S3 fails.
                self.s3.stop().await;
                sleep(length).await;
                self.s3.resume();
                self.sqs.resume();
            }
            1 => {
                self.secrets.stop().await;
                sleep(length).await;
                self.secrets.resume();
            }
            _ => {
                self.s3.stop().await;
                sleep(length).await;
                self.s3.resume();
            }
        }
        true
    }

    /// Deploys the release with the corrected schema. Instances that run stay until they are replaced, as in Lambda.
    pub(super) fn correct_schema(&self) {
        self.is_corrected.store(true, Ordering::Relaxed);
    }

    /// Whether the release with the corrected schema is deployed.
    pub(super) fn is_corrected(&self) -> bool {
        self.is_corrected.load(Ordering::Relaxed)
    }

    /// Ends all faults.
    pub(super) fn heal(&self) {
        self.s3.heal();
        self.sqs.heal();
        self.secrets.heal();
    }

    /// How many requests have met a fault.
    pub(super) fn faults(&self) -> usize {
        self.s3.faults() + self.sqs.faults() + self.secrets.faults()
    }
}

fn choose(rng: &mut Rng, by_service: &[Fault]) -> Fault {
    let kind = match rng.f32() {
        ..0.02 => &SLOW[..],
        ..0.5 => &BY_THE_NETWORK,
        _ => by_service,
    };
    kind[rng.usize(0..kind.len())]
}
