//! Which secrets verify a signature, and when to read them again: a pure state machine. The client feeds it with what
//! Secrets Manager answers and with the time.
//!
//! This is by hand, because AWS's caching client for Secrets Manager knows neither deadlines nor `AWSPREVIOUS`.

use std::time::{Duration, SystemTime};

use super::signature::Secret;

/// How long secrets are used before they are read again.
const FRESH: Duration = Duration::from_mins(10);

/// How long known secrets verify while Secrets Manager gives no better ones.
const MAX_AGE: Duration = Duration::from_hours(24);

/// The shortest time between two fetches for signatures that do not verify. A flood of forgeries must not become a
/// flood of calls. The pause is short, because a delivery under a new secret gets a 503 during it.
const MISMATCH_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait after a failed fetch if no known secret is good.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// How long to wait after a failed fetch if a known secret is good. Each of these fetches can delay a delivery.
const FAILURE_PAUSE_WHILE_KNOWN: Duration = Duration::from_mins(1);

/// The shared secret is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager could not be reached in time, or refused.
    #[error("{0}")]
    Unavailable(String),
    /// The secret, or this version of it, does not exist.
    #[error("{0}")]
    Missing(String),
    /// The secret has a value that cannot be used.
    #[error("the secret cannot be used: {0}")]
    Unusable(String),
}

/// What Secrets Manager says about one version of the secret.
#[derive(Debug)]
pub(crate) enum Version {
    /// It is a secret.
    Secret(Secret),
    /// It is not there.
    Missing(String),
    /// It is there and cannot be used.
    Unusable(String),
    /// Secrets Manager could not be asked.
    Unavailable(String),
    /// Nobody asked for it yet.
    Unread,
}

/// The secrets that are known, and how well.
///
/// Times are of the wall clock, because Lambda freezes the process between invocations and monotonic clocks may stop.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    secrets: Vec<Secret>,
    /// When Secrets Manager last answered with secrets that can be used.
    confirmed: Option<SystemTime>,
    /// The time of the last fetch that a mismatch caused.
    mismatched: Option<SystemTime>,
    /// Since when a previous version that is known could not be read.
    kept_since: Option<SystemTime>,
    /// When the last fetch failed, if it did.
    failed: Option<SystemTime>,
    /// Whether a version was not read, so that a signature that does not verify may still be right.
    is_in_doubt: bool,
    /// Whether nobody asked for the previous version yet.
    is_previous_unread: bool,
}

impl Rotation {
    /// The secrets that verify, if they are not too old. The current one is the first, if it can be used.
    pub(crate) fn secrets(&self, now: SystemTime) -> &[Secret] {
        if is_within(self.confirmed, now, MAX_AGE) { &self.secrets } else { &[] }
    }

    /// Whether the secrets are older than they should be.
    pub(crate) fn is_stale(&self, now: SystemTime) -> bool {
        !is_within(self.confirmed, now, FRESH)
    }

    /// Whether a signature that no known secret verifies may still be right.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Lets the first delivery try again at once after INIT could not fetch the secrets.
    pub(crate) fn forget_failure(&mut self) {
        self.failed = None;
    }

    /// Whether to fetch the secrets before a signature is verified.
    pub(crate) fn must_fetch(&self, now: SystemTime) -> bool {
        let pause = if self.secrets(now).is_empty() { FAILURE_PAUSE } else { FAILURE_PAUSE_WHILE_KNOWN };
        self.is_stale(now) && !is_within(self.failed, now, pause)
    }

    /// Whether to fetch the secrets again because a signature did not verify. If so, the pause begins; but not if that
    /// reads the previous version for the first time, because the signature may well be right then.
    pub(crate) fn begin_refetch(&mut self, now: SystemTime) -> bool {
        if std::mem::take(&mut self.is_previous_unread) {
            return true;
        }
        let may_fetch = !is_within(self.mismatched, now, MISMATCH_PAUSE);
        if may_fetch {
            self.begin_pause(now);
        }
        may_fetch
    }

    /// Begins the pause after a signature that no version of the secret verifies.
    pub(crate) fn begin_pause(&mut self, now: SystemTime) {
        self.mismatched = Some(now);
    }

    /// Takes what Secrets Manager says about `AWSCURRENT` and `AWSPREVIOUS`.
    ///
    /// # Errors
    /// [`SecretError`] if it gives no secret. Known secrets stay, unless Secrets Manager says that there is none.
    pub(crate) fn update(&mut self, current: Version, previous: Version, now: SystemTime) -> Result<(), SecretError> {
        // A delivery may be signed with a version that could not be read.
        self.is_in_doubt = matches!(current, Version::Unavailable(_) | Version::Unusable(_))
            || matches!(previous, Version::Unavailable(_) | Version::Unread);
        self.is_previous_unread = matches!(previous, Version::Unread);
        let previous_is_unread = matches!(previous, Version::Unavailable(_) | Version::Unread);
        let (secrets, error) = match (current, previous) {
            (Version::Secret(current), Version::Secret(previous)) => (vec![current, previous], None),
            (Version::Secret(current), previous) => {
                warn_about("previous", &previous);
                (vec![current], None)
            }
            (Version::Unusable(problem), Version::Secret(previous)) => {
                tracing::error!("the current version of the secret cannot be used, the previous one is: {problem}");
                (vec![previous], None)
            }
            (Version::Unusable(problem), _) => (vec![], Some(SecretError::Unusable(problem))),
            (Version::Missing(problem), _) => (vec![], Some(SecretError::Missing(problem))),
            (Version::Unavailable(problem), _) => (vec![], Some(SecretError::Unavailable(problem))),
            (Version::Unread, _) => (vec![], Some(SecretError::Unavailable("was not asked for the secret".to_owned()))),
        };
        match error {
            Some(error) => {
                self.failed = Some(now);
                // Secrets Manager answered that there is no secret.
                if matches!(error, SecretError::Missing(_)) {
                    self.secrets.clear();
                    self.confirmed = None;
                }
                Err(error)
            }
            None => {
                let known = std::mem::replace(&mut self.secrets, secrets);
                self.kept_since = previous_is_unread.then(|| self.kept_since.unwrap_or(now));
                if is_within(self.kept_since, now, MAX_AGE) {
                    // The previous version is among the secrets that are known, if it is known at all.
                    let read = self.secrets.clone();
                    self.secrets.extend(known.into_iter().filter(|known| !read.contains(known)).take(2));
                }
                self.confirmed = Some(now);
                self.failed = None;
                Ok(())
            }
        }
    }
}

fn warn_about(stage: &str, version: &Version) {
    match version {
        Version::Secret(_) | Version::Missing(_) | Version::Unread => {}
        Version::Unusable(problem) => tracing::warn!("the {stage} version of the secret cannot be used: {problem}"),
        Version::Unavailable(problem) => {
            tracing::warn!("cannot fetch the {stage} version of the secret: {problem}");
        }
    }
}

/// Whether `then` is less than `span` before `now`. A clock that was set back makes it false.
fn is_within(then: Option<SystemTime>, now: SystemTime, span: Duration) -> bool {
    then.is_some_and(|then| now.duration_since(then).is_ok_and(|age| age < span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str) -> Secret {
        Secret::new(&format!("{name}, a secret for unit tests")).unwrap()
    }

    fn version(name: &str) -> Version {
        match name {
            "missing" => Version::Missing(String::new()),
            "unusable" => Version::Unusable(String::new()),
            "down" => Version::Unavailable(String::new()),
            "unread" => Version::Unread,
            name => Version::Secret(secret(name)),
        }
    }

    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(1)
    }

    fn secrets(names: &[&str]) -> Vec<Secret> {
        names.iter().map(|name| secret(name)).collect()
    }

    fn rotation(current: &str, previous: &str) -> Rotation {
        let mut rotation = Rotation::default();
        rotation.update(version(current), version(previous), start()).unwrap();
        rotation
    }

    #[test]
    fn secrets_are_fresh_for_ten_minutes_and_good_for_a_day() {
        let rotation = rotation("a", "missing");
        for (seconds, is_stale, is_good) in
            [(0, false, true), (599, false, true), (600, true, true), (86_399, true, true), (86_400, true, false)]
        {
            let now = start() + Duration::from_secs(seconds);
            assert_eq!((rotation.is_stale(now), !rotation.secrets(now).is_empty()), (is_stale, is_good), "{seconds} s");
            assert_eq!(rotation.must_fetch(now), is_stale, "{seconds} s");
        }
        assert!(rotation.must_fetch(start() - Duration::from_secs(1)), "a clock that was set back");
        assert!(Rotation::default().must_fetch(start()));
    }

    #[test]
    fn a_failed_fetch_is_not_repeated_at_once() {
        for (known, pause) in [(Rotation::default(), 2), (rotation("a", "missing"), 60)] {
            let mut rotation = known;
            let now = start() + Duration::from_mins(20);
            assert!(rotation.must_fetch(now));
            rotation.update(version("down"), version("down"), now).unwrap_err();
            assert!(!rotation.must_fetch(now + Duration::from_secs(pause - 1)));
            assert!(rotation.must_fetch(now + Duration::from_secs(pause)));
        }
    }

    #[test]
    fn a_mismatch_fetches_once_in_ten_seconds() {
        let mut rotation = rotation("a", "missing");
        let after = |seconds| start() + Duration::from_secs(seconds);
        assert_eq!([0, 9, 10, 19, 20].map(|s| rotation.begin_refetch(after(s))), [true, false, true, false, true]);
    }

    #[test]
    fn a_previous_version_that_is_never_read_is_dropped_after_a_day() {
        let mut rotation = rotation("b", "a");
        let mut now = start();
        for hour in 1..=25 {
            now = start() + Duration::from_hours(hour);
            rotation.update(version("b"), version("down"), now).unwrap();
            assert_eq!(rotation.secrets(now).len(), if hour < 25 { 2 } else { 1 }, "after {hour} h");
        }
        assert_eq!(rotation.secrets(now), secrets(&["b"]));
    }

    #[test]
    fn a_missing_secret_is_looked_for_again() {
        let mut rotation = rotation("a", "missing");
        rotation.update(version("missing"), version("missing"), start()).unwrap_err();
        assert!(rotation.secrets(start()).is_empty());
        assert!(rotation.must_fetch(start() + Duration::from_secs(2)));
    }

    #[test]
    fn the_first_delivery_after_init_tries_at_once() {
        let mut rotation = Rotation::default();
        rotation.update(version("down"), version("down"), start()).unwrap_err();
        assert!(!rotation.must_fetch(start()));
        rotation.forget_failure();
        assert!(rotation.must_fetch(start()));
    }

    #[test]
    fn the_first_read_of_the_previous_version_begins_no_pause() {
        let mut rotation = rotation("b", "unread");
        assert!(rotation.is_in_doubt());
        assert_eq!([rotation.begin_refetch(start()), rotation.begin_refetch(start())], [true, true]);
        assert!(!rotation.begin_refetch(start()), "the second one did");
        rotation.update(version("b"), version("a"), start()).unwrap();
        assert_eq!((rotation.secrets(start()).len(), rotation.is_in_doubt()), (2, false));
    }

    #[test]
    fn known_secrets_survive_what_cannot_be_read() {
        let later = start() + Duration::from_mins(20);
        for (current, previous, known, is_in_doubt) in [
            ("down", "down", &["b", "a"][..], true),
            ("unusable", "missing", &["b", "a"], true),
            ("unusable", "down", &["b", "a"], true),
            ("missing", "missing", &[], false),
            ("b", "down", &["b", "a"], true),
            ("c", "down", &["c", "b", "a"], true),
            ("c", "unread", &["c", "b", "a"], true),
            ("c", "b", &["c", "b"], false),
            ("c", "unusable", &["c"], false),
            ("unusable", "b", &["b"], true),
            ("b", "missing", &["b"], false),
        ] {
            let mut rotation = rotation("b", "a");
            let result = rotation.update(version(current), version(previous), later);
            assert_eq!(rotation.secrets(later), secrets(known), "{current}, {previous}");
            assert_eq!(rotation.is_in_doubt(), is_in_doubt, "{current}, {previous}");
            let is_read = current.len() == 1 || previous.len() == 1;
            assert_eq!((result.is_ok(), rotation.is_stale(later)), (is_read, !is_read), "{current}, {previous}");
        }
    }
}
