//! The records of one payload, and the objects that they become.
//!
//! One log becomes one object, named after the log itself, so a log is one row however it is delivered. Only if a
//! payload holds more than [`RECORDS_PER_OBJECT`] records of one table and hour do they share objects.
//!
//! Records are kept in contents until their object is stored, so that a payload of many small logs does not take
//! several times its size in memory.

use std::{borrow::Cow, ops::Range};

use chrono::{DateTime, Utc};

use super::{
    record::{Failure, ReceiveContext, push_failure, push_log, standard_fields},
    table::{Partition, Prefix, Table},
};
use crate::core::{
    payload::Elements,
    redacted::Redacted,
    row_id::RowId,
    schema::{Log, LogCounts, Schemas, Tally, Unclassified, replace_lone_surrogates},
};

/// How many records of one payload, table and hour get an object each. If there are more, each object holds this many.
pub const RECORDS_PER_OBJECT: usize = 500;

/// How many classification failures of one payload get a record each. The others share one record, so that a payload of
/// a million tiny elements cannot become a hundred times as large.
const MAX_FAILURE_RECORDS: usize = 10_000;

/// How many elements are read between two looks at the clock.
const ELEMENTS_PER_LOOK: usize = 64;

/// Everything that one payload becomes.
#[derive(Debug)]
pub struct Batch<'s, 't> {
    context: ReceiveContext<'s>,
    /// In the order of table, hour and row id.
    records: Vec<Record<'s, 't>>,
    /// How many logs came more than once within the payload. They are stored once.
    pub repeats: usize,
}

#[derive(Debug)]
struct Record<'s, 't> {
    table: Table<'s>,
    partition: Partition,
    time: DateTime<Utc>,
    id: RowId,
    contents: Contents<'s, 't>,
}

#[derive(Debug)]
enum Contents<'s, 't> {
    Log {
        /// The log as it was sent, but for lone surrogates.
        text: Redacted<Cow<'t, [u8]>>,
        /// What the lake adds to it.
        standard_fields: Redacted<Box<[u8]>>,
        counts: LogCounts,
    },
    Failure {
        failure: Box<Failure<'s, 't>>,
        /// How many elements the record stands for.
        count: usize,
    },
}

/// One object, ready to be stored.
#[derive(Debug)]
pub struct Object<'b, 's, 't> {
    /// Its key in the bucket.
    pub key: String,
    /// What metrics and the response say about it.
    pub summary: Summary<'s>,
    context: ReceiveContext<'s>,
    records: &'b [Record<'s, 't>],
}

/// What metrics and the response say about an object.
#[derive(Debug)]
pub struct Summary<'s> {
    /// The table of its records.
    pub table: Table<'s>,
    /// How many logs it holds, or how many elements its classification failures stand for.
    pub count: usize,
    /// What the metrics of its log type count.
    pub tally: Tally,
}

impl<'s, 't> Batch<'s, 't> {
    /// Classifies every element of a payload.
    #[must_use]
    pub fn build(elements: Elements<'t>, schemas: &'s Schemas, context: ReceiveContext<'s>) -> Self {
        let mut batch = BatchBuilder::new(context);
        for element in elements {
            batch.element(element, schemas, &|| false);
        }
        batch.finish()
    }

    /// The same, but gives up soon after `is_late` is true. `None` then.
    #[must_use]
    pub fn build_in_time(
        elements: Elements<'t>,
        schemas: &'s Schemas,
        context: ReceiveContext<'s>,
        is_late: &dyn Fn() -> bool,
    ) -> Option<Self> {
        let mut batch = BatchBuilder::new(context);
        for (index, element) in elements.enumerate() {
            if index % ELEMENTS_PER_LOOK == 0 && is_late() {
                return None;
            }
            batch.element(element, schemas, is_late);
        }
        // An element that was read when it was late may have a violation that is none, so nothing of it is kept.
        if is_late() { None } else { Some(batch.finish()) }
    }

    /// The batch of a payload that cannot be decoded: one classification failure.
    #[must_use]
    pub fn of_failure(failure: Failure<'s, 't>, context: ReceiveContext<'s>) -> Self {
        let mut batch = BatchBuilder::new(context);
        batch.failure_record(failure, 1);
        batch.finish()
    }

    /// The violations of what fits no schema, each with the number of elements that have it.
    pub fn failures(&self) -> impl Iterator<Item = (&str, usize)> {
        self.records.iter().filter_map(|record| match &record.contents {
            Contents::Failure { failure, count } => Some((failure.error.as_str(), *count)),
            Contents::Log { .. } => None,
        })
    }

    /// The objects, each with the body that it will have.
    pub fn objects<'b>(&'b self, prefix: &'b Prefix) -> impl Iterator<Item = Object<'b, 's, 't>> {
        self.ranges().filter_map(move |range| self.object(range, prefix))
    }

    fn object(&self, range: Range<usize>, prefix: &Prefix) -> Option<Object<'_, 's, 't>> {
        let records = self.records.get(range)?;
        let first = records.first()?;
        let id = match records {
            [only] => only.id,
            several => RowId::of_all(&several.iter().map(|record| record.id).collect::<Vec<_>>()),
        };
        let time = records.iter().map(|record| record.time).min().unwrap_or(first.time);
        Some(Object {
            key: first.table.key(prefix, first.partition, time, id),
            summary: Summary::of(first.table, records),
            context: self.context,
            records,
        })
    }

    /// Which records become an object each.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        let hours = self.records.chunk_by(|a, b| a.place() == b.place());
        hours.flat_map(move |hour| {
            let step = if hour.len() > RECORDS_PER_OBJECT { RECORDS_PER_OBJECT } else { 1 };
            let (from, to) = (start, start + hour.len());
            start = to;
            (from..to).step_by(step).map(move |first| first..(first + step).min(to))
        })
    }
}

impl Object<'_, '_, '_> {
    /// Its bytes: a line of JSON for each record.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for record in self.records {
            match &record.contents {
                Contents::Log { text, standard_fields, .. } => push_log(&mut lines, text, standard_fields),
                Contents::Failure { failure, .. } => push_failure(&mut lines, failure, record.id, self.context),
            }
        }
        lines
    }
}

impl<'s> Summary<'s> {
    fn of(table: Table<'s>, records: &[Record<'s, '_>]) -> Self {
        let mut summary = Self { table, count: 0, tally: Tally::default() };
        for record in records {
            match (&record.contents, table) {
                (Contents::Log { counts, .. }, Table::LogType(_)) => {
                    summary.count += 1;
                    summary.tally.add(counts);
                }
                (Contents::Log { .. }, Table::Failures) => {}
                (Contents::Failure { count, .. }, _) => summary.count += count,
            }
        }
        summary
    }
}

impl Record<'_, '_> {
    fn place(&self) -> (&str, Partition) {
        (self.table.name(), self.partition)
    }
}

struct BatchBuilder<'s, 't> {
    context: ReceiveContext<'s>,
    records: Vec<Record<'s, 't>>,
    failures: usize,
    overflow: Overflow,
}

/// The failures that get no record of their own.
#[derive(Default)]
struct Overflow {
    count: usize,
    first_error: String,
    payloads: Vec<u8>,
}

impl<'s, 't> BatchBuilder<'s, 't> {
    fn new(context: ReceiveContext<'s>) -> Self {
        Self { context, records: Vec::new(), failures: 0, overflow: Overflow::default() }
    }

    fn element(&mut self, element: &'t [u8], schemas: &'s Schemas, is_late: &dyn Fn() -> bool) {
        let replaced = replace_lone_surrogates(element);
        match schemas.classify_in_time(replaced.as_deref().unwrap_or(element), is_late) {
            Ok(log) => {
                let kept = self.kept(&log, element, replaced.clone());
                self.push(Table::LogType(log.schema), log.event_time, log.row_id, kept);
            }
            Err(unclassified) => self.failed_element(element, &unclassified),
        }
    }

    /// What is kept of a log that was sent as `element`.
    fn kept(&self, log: &Log<'s, '_>, element: &'t [u8], replaced: Option<Vec<u8>>) -> Contents<'s, 't> {
        Contents::Log {
            text: Redacted(replaced.map_or(Cow::Borrowed(element), Cow::Owned)),
            standard_fields: Redacted(standard_fields(log, self.context).into_boxed_slice()),
            counts: LogCounts::of(log),
        }
    }

    fn push(&mut self, table: Table<'s>, time: DateTime<Utc>, id: RowId, contents: Contents<'s, 't>) {
        let partition = table.partition(time, self.context.received);
        self.records.push(Record { table, partition, time, id, contents });
    }

    fn failed_element(&mut self, element: &'t [u8], unclassified: &Unclassified<'s>) {
        self.failures += 1;
        if self.failures <= MAX_FAILURE_RECORDS {
            let failure = Failure {
                error: Redacted(unclassified.to_string()),
                payload: Redacted(Cow::Borrowed(element)),
                log_type: unclassified.schema.map(|schema| schema.log_type.as_str()),
            };
            self.failure_record(failure, 1);
            return;
        }
        if self.overflow.count == 0 {
            self.overflow.first_error = unclassified.to_string();
        }
        self.overflow.count += 1;
        self.overflow.payloads.extend_from_slice(element);
        self.overflow.payloads.push(b'\n');
    }

    /// A record that stands for `count` elements.
    fn failure_record(&mut self, failure: Failure<'s, 't>, count: usize) {
        let id = failure.row_id();
        let contents = Contents::Failure { failure: Box::new(failure), count };
        self.push(Table::Failures, self.context.received, id, contents);
    }

    fn finish(mut self) -> Batch<'s, 't> {
        let Overflow { count, first_error, payloads } = std::mem::take(&mut self.overflow);
        if count > 0 {
            let error =
                format!("{count} more elements of this payload fit no schema, a line each; the first: {first_error}");
            self.failure_record(
                Failure { error: Redacted(error), payload: Redacted(Cow::Owned(payloads)), log_type: None },
                count,
            );
        }
        self.records.sort_unstable_by(|a, b| (a.place(), a.id).cmp(&(b.place(), b.id)));
        let mut repeats = 0;
        self.records.dedup_by(|repeated, first| {
            let is_repeated = (repeated.place(), repeated.id) == (first.place(), first.id);
            match (&repeated.contents, &mut first.contents) {
                (Contents::Failure { count: more, .. }, Contents::Failure { count, .. }) if is_repeated => {
                    *count += more;
                }
                _ => repeats += usize::from(is_repeated),
            }
            is_repeated
        });
        Batch { context: self.context, records: self.records, repeats }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
