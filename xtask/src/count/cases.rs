//! What is counted.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{
    callgrind::{self, Step},
    cloud::{self, Cloud},
};

/// The requests of a series. A start and the first request are not in the count of a warm one, because two series are
/// compared: one of this many requests, and one of twice as many.
const REQUESTS: usize = 50;

/// Something that is counted.
pub(super) struct Case {
    pub(super) name: &'static str,
    binary: &'static str,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// From the start of the process to its first request for an event.
    Init,
    /// One of many requests.
    Request(fn() -> Step),
    /// One of many messages that tell the notifier of an alert.
    Notification,
    /// The steps between the request and the store, for so many bytes of payload.
    Pure(&'static str),
}

const WEBHOOK: &str = "tracebit-lake";
const NOTIFY: &str = "tracebit-lake-notify";
const PURE: &str = "tracebit-lake-pure";

pub(super) fn ours() -> Vec<Case> {
    let case = |name, binary, what| Case { name, binary, what };
    vec![
        case("init", WEBHOOK, What::Init),
        case("warm-delivery", WEBHOOK, What::Request(cloud::delivery)),
        case("forged-request", WEBHOOK, What::Request(cloud::forgery)),
        case("notified-alert", NOTIFY, What::Notification),
        case("pure-2-kb", PURE, What::Pure("2000")),
        case("pure-64-kb", PURE, What::Pure("64000")),
        case("pure-6-mb", PURE, What::Pure("6000000")),
    ]
}

/// The functions of `benches/cold-start` that do less.
pub(super) fn beside() -> Vec<Case> {
    let case = |name, binary, what| Case { name, binary, what };
    vec![
        case("empty-lean: init", "empty-lean", What::Init),
        case("empty-lean: request", "empty-lean", What::Request(cloud::delivery)),
        case("put-object-lean: init", "put-object-lean", What::Init),
        case("put-object-lean: warm-delivery", "put-object-lean", What::Request(cloud::delivery)),
    ]
}

impl Case {
    /// The instructions of this case, by functions in the folder `built`.
    pub(super) async fn count(&self, built: &Path, keep: Option<&Path>) -> Result<u64> {
        let binary = built.join(self.binary);
        let cloud = Cloud::start().await;
        match self.what {
            What::Init => callgrind::of_function(&binary, &cloud.environment(), &[], keep).await,
            What::Request(request) => one_of(&binary, &cloud, &series(request), keep).await,
            What::Notification => {
                callgrind::run(&built.join(WEBHOOK), &cloud.environment(), &series(cloud::delivery)).await?;
                one_of(&binary, &cloud, &cloud.notifications()?, keep).await
            }
            What::Pure(bytes) => callgrind::within(&binary, bytes, "*verify_validate_record*", keep),
        }
    }
}

fn series(request: fn() -> Step) -> Vec<Step> {
    std::iter::repeat_with(request).take(3 * REQUESTS).collect()
}

/// The instructions of one of these steps, in the mean of those by which a long series is longer than a short one.
async fn one_of(binary: &Path, cloud: &Cloud, steps: &[Step], keep: Option<&Path>) -> Result<u64> {
    let (short, long) = steps.split_at_checked(REQUESTS).context("enough steps")?;
    let env = cloud.environment();
    let instructions = [
        callgrind::of_function(binary, &env, short, keep).await?,
        callgrind::of_function(binary, &env, long, keep).await?,
    ];
    let more = instructions[1].checked_sub(instructions[0]).context("the longer series took less")?;
    Ok(more / u64::try_from(long.len() - short.len())?)
}
