//! The SQS edge: each message of the spill queue becomes a delivery. A message that is not stored stays in the queue.

use std::time::Instant;

use chrono::Utc;

use super::{
    app::App,
    outcome::{Ingested, Outcome},
    report::{self, Report},
};
use crate::{
    aws::{
        Invocation,
        secrets::Refused,
        sqs_event::{SqsBatchResponse, SqsEvent},
    },
    core::{
        envelope::{Envelope, NotAnEnvelope},
        signature::SignatureError,
    },
};

/// Why a message stays in the queue.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    /// It is not a delivery with a good signature, and a later attempt will most likely not change that.
    #[error("spill queue message {id} rejected: {cause}")]
    Rejected { id: String, cause: String },
    /// It could not be stored this time.
    #[error("spill queue message {id}: {problem}")]
    Failed { id: String, problem: String },
}

/// Stores what S3 did not store when it arrived.
pub async fn handle(app: &App, event: SqsEvent, invocation: &Invocation) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let mut waiting = event.messages.len();
    for message in event.messages {
        let started = Instant::now();
        let deadline = invocation.deadline().share_of(waiting);
        waiting -= 1;
        let ingested = match Envelope::open(&message.body, Utc::now()) {
            Ok(delivery) => Ok(app.ingest(&delivery, deadline).await),
            Err(error) => Err(error),
        };
        let error = error_of(&ingested, &message.message_id);
        if let Some(error) = &error {
            tracing::error!("{error}");
        }
        let report = Report {
            request_id: &invocation.request_id,
            message_id: Some(&message.message_id),
            outcome: match (&error, &ingested) {
                (Some(DrainError::Rejected { .. }), _) | (_, Err(_)) => "message rejected",
                (_, Ok(ingested)) => ingested.outcome.label(),
            },
            reason: None,
            duration: started.elapsed(),
            ingested: ingested.as_ref().ok(),
        };
        report::write(&report, app);
        if error.is_some() {
            response.keep(message.message_id);
        }
    }
    response
}

fn error_of(ingested: &Result<Ingested<'_>, NotAnEnvelope>, id: &str) -> Option<DrainError> {
    let id = id.to_owned();
    match ingested {
        Err(error) => Some(DrainError::Rejected { id, cause: error.to_string() }),
        Ok(Ingested { outcome: Outcome::Refused(Refused::Unauthorized(SignatureError::Mismatch)), .. }) => {
            Some(DrainError::Rejected { id, cause: "the signature does not verify".to_owned() })
        }
        Ok(Ingested { outcome: Outcome::Refused(Refused::Unauthorized(error)), .. }) => {
            Some(DrainError::Rejected { id, cause: format!("signature {error}") })
        }
        Ok(Ingested { outcome: Outcome::Stored, .. }) => None,
        // Whatever is not stored stays in the queue.
        Ok(Ingested { outcome, .. }) => {
            let problem = outcome.problem().unwrap_or_else(|| outcome.label().to_owned());
            Some(DrainError::Failed { id, problem })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aws::CallError, core::rotation::SecretError, ingest::NotStored};

    #[test]
    fn only_a_stored_delivery_leaves_the_queue() {
        let error = |outcome| error_of(&Ok(Ingested { outcome, payload: None }), "m-1").map(|error| error.to_string());
        assert_eq!(error(Outcome::Stored), None);
        for outcome in [
            Outcome::Refused(Refused::TooSoon),
            Outcome::Refused(Refused::Unauthorized(SignatureError::Mismatch)),
            Outcome::Refused(Refused::SecretUnavailable(SecretError::Unavailable("no answer".to_owned()))),
            Outcome::StoreUnavailable(NotStored::S3(CallError::out_of_time("PutObject"))),
            Outcome::StoreUnavailable(NotStored::Unread),
        ] {
            let error = error(outcome).unwrap();
            assert!(error.starts_with("spill queue message m-1"), "{error}");
        }
        let error = error_of(&Err(NotAnEnvelope), "m-1").unwrap().to_string();
        assert!(error.starts_with("spill queue message m-1 rejected"), "{error}");
    }
}
