//! What the notifier would publish of an object, without a service: for the pages that show it, and for benchmarks.

use super::{
    config::Places,
    event::CreatedObject,
    markers::Before,
    message::{FirstMessage, Writer},
    record::Records,
};
use crate::{
    aws::eventbridge,
    core::{lake::Prefix, redacted::Redacted, schema::Schemas, severity::Severity},
};

/// Everything that is published of an object of whose alerts nobody was notified on this day.
#[derive(Debug)]
pub struct Preview {
    /// A message for each record of which people are notified.
    pub messages: Vec<FirstMessage>,
    /// The events, as JSON, call by call.
    pub events: Vec<Vec<Redacted<String>>>,
}

impl Preview {
    /// What the default configuration publishes in this Region, with these places, of an object. `message` is S3's
    /// event about it. `None` if the notifier would reject that message.
    #[must_use]
    pub fn of(
        message: &str,
        object: &[u8],
        bucket: &str,
        region: Option<&str>,
        places: Places,
        schemas: &Schemas,
    ) -> Option<Self> {
        let created = CreatedObject::open(message).ok()?;
        let place = created.place(bucket, &Prefix::default(), schemas).ok()?;
        let writer = Writer::new(region, places);
        let Records { records, .. } = Records::of(object, place);
        let alerts = records.iter().filter_map(|record| record.alert(Severity::DEFAULT_THRESHOLD));
        let messages = alerts.map(|alert| writer.first(&alert, Before::Nothing)).collect();
        let entries = records.iter().map(|record| record.entry(&created.key, None)).collect();
        let calls = eventbridge::calls(entries, |entry| entry).into_iter();
        Some(Self {
            messages,
            events: calls
                .map(|call| call.into_iter().map(|entry| Redacted(entry.detail.into_owned())).collect())
                .collect(),
        })
    }
}
