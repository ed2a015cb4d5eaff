//! Fetches the logs of an alert from Tracebit's API and puts them into the lake, as the webhook would have.

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;

use super::{
    SOURCE_LABEL,
    lake::Lake,
    log,
    tracebit::{ListedAlert, Tracebit},
};
use crate::{
    aws::{CallError, Deadline, https::Token, s3::PutOutcome},
    core::{
        lake::{Batch, ReceiveContext, Source},
        payload::elements,
        schema::probe,
    },
    ingest::store,
};

/// What became of an alert's logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How many the API has, as far as it could be read.
    pub logs: usize,
    /// How many are new in the lake.
    pub stored: usize,
    /// The first error. What could be read was stored all the same.
    pub error: Option<CallError>,
}

/// Where logs come from and go to.
#[derive(Debug, Clone, Copy)]
pub struct Recovery<'a> {
    /// Tracebit's API.
    pub tracebit: &'a Tracebit,
    /// Its token.
    pub token: &'a Token,
    /// The lake.
    pub lake: &'a Lake,
    /// `SOURCE_ID`.
    pub source_id: Option<&'a str>,
}

impl Recovery<'_> {
    /// Fetches and stores the logs of `alert`. Records say that they were received `now`.
    pub async fn recover(self, alert: &ListedAlert, now: DateTime<Utc>, deadline: Deadline) -> Recovered {
        let mut logs = Vec::new();
        let error = self.tracebit.logs(&alert.id, self.token, &mut logs, deadline).await.err();
        let mut recovered = Recovered { logs: logs.len(), stored: 0, error };
        let payload = log::payload(alert, logs);
        let source = Source { id: self.source_id.map(str::to_owned), label: SOURCE_LABEL.to_owned() };
        let context = ReceiveContext { received: now, source: &source };
        let batch = Batch::build(elements(&payload, probe), self.lake.schemas(), context);
        let mut objects = store(self.lake.bucket(), batch.objects(self.lake.prefix()), deadline);
        while let Some(object) = objects.next().await {
            match object.result {
                Ok(PutOutcome::Created) => recovered.stored += object.summary.count,
                Ok(PutOutcome::AlreadyExists) => {}
                Err(error) => drop(recovered.error.get_or_insert(error)),
            }
        }
        recovered
    }
}
