//! The lines of an object.

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{event::Place, facts::Alert, json::Json, text};
use crate::{
    aws::eventbridge::Entry,
    core::{lake::Table, redacted::Redacted, severity::Severity},
};

/// The log type of whose records people are notified.
const ALERT: &str = "Tracebit.Alert";

/// The detail type of a classification failure's event.
const FAILURE: &str = "ClassificationFailure";

/// A record: one line of an object.
#[derive(Debug)]
pub(super) struct Record<'t> {
    /// The line, as it is in the lake.
    pub(super) line: Redacted<&'t str>,
    /// The detail type of its event.
    pub(super) detail_type: &'t str,
    /// Its identity, if it has one.
    pub(super) row_id: Option<String>,
    json: Json<'t>,
    place: Place<'t>,
}

/// The records of an object.
#[derive(Debug, Default)]
pub(super) struct Records<'t> {
    /// The lines that are records.
    pub(super) records: Vec<Record<'t>>,
    /// The number of the first line that is not, from 1.
    pub(super) bad_line: Option<usize>,
}

impl<'t> Records<'t> {
    /// Reads an object. A bad line does not keep its neighbours from being published.
    pub(super) fn of(bytes: &'t [u8], place: Place<'t>) -> Self {
        let mut found = Self::default();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() && index > 0 {
                continue;
            }
            match std::str::from_utf8(line).ok().and_then(|line| Record::of(line, place)) {
                Some(record) => found.records.push(record),
                None => found.bad_line = found.bad_line.or(Some(index + 1)),
            }
        }
        found
    }
}

impl<'t> Record<'t> {
    fn of(line: &'t str, place: Place<'t>) -> Option<Self> {
        let json = Json::object(line)?;
        let detail_type = match place.table {
            Table::LogType(schema) => schema.log_type.as_str(),
            Table::Failures => FAILURE,
        };
        let row_id = json.text(&["p_row_id"]).filter(|id| text::is_token(id));
        Some(Self { line: Redacted(line), detail_type, row_id, json, place })
    }

    /// The event of the record, or of its digest where the record is too large for an event.
    pub(super) fn entry(&self, key: &str) -> Entry {
        let line = *self.line;
        let whole = Entry { detail_type: self.detail_type.to_owned(), detail: Redacted(line.to_owned()) };
        if whole.fits() {
            return whole;
        }
        let detail = json!({
            "key": key,
            "sha256": HEXLOWER.encode(&Sha256::digest(line)),
            "p_row_id": self.row_id,
            "log_type": self.detail_type,
            "size": line.len(),
        });
        Entry { detail: Redacted(detail.to_string()), ..whole }
    }

    /// The alert, if people are notified of this record: its severity is at least `threshold`, or nobody knows its severity.
    pub(super) fn alert(&self, threshold: Severity) -> Option<Alert> {
        let row_id = self.row_id.clone().unwrap_or_default();
        match self.place.table {
            Table::LogType(schema) if schema.log_type == ALERT => {
                let severity = self.json.text(&["severity"]);
                let known = severity.and_then(|text| text.parse().ok());
                let notifies = known.is_none_or(|severity: Severity| severity >= threshold);
                notifies.then(|| Alert::of_log(&self.json, row_id, self.place.day))
            }
            Table::Failures if self.json.text(&["log_type"]).as_deref() == Some(ALERT) => {
                Some(Alert::of_failure(&self.json, row_id, self.place.day))
            }
            _ => None,
        }
    }
}
