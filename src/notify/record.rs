//! The lines of an object.

use std::borrow::Cow;

use chrono::NaiveDate;
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    event::Place,
    facts::{self, Alert},
    json::Json,
    quiet::Rules,
    text,
};
use crate::{
    aws::{eventbridge::Entry, s3::Digest},
    core::{lake::Table, redacted::Redacted, schema::ALERT, severity::Severity},
};

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
        let detail_type = detail_type(place.table);
        let row_id = json.text(&["p_row_id"]).filter(|id| text::is_token(id));
        Some(Self { line: Redacted(line), detail_type, row_id, json, place })
    }

    /// The event of the record, or of its digest where the record is too large for an event. It says why the record is
    /// quiet, in a member that no log can have.
    pub(super) fn entry(&self, key: &str, quiet: Option<&str>) -> Entry<'t> {
        let line = *self.line;
        let detail = match quiet {
            Some(reason) => with_reason(line, reason).into(),
            None => line.into(),
        };
        let whole = Entry { detail_type: self.detail_type.into(), detail };
        if whole.fits() {
            return whole;
        }
        let sha256 = HEXLOWER.encode(&Sha256::digest(line));
        let detail = digest(key, &sha256, line.len(), self.row_id.as_deref(), self.detail_type);
        let detail = match quiet {
            Some(reason) => with_reason(&detail, reason).into(),
            None => detail,
        };
        Entry { detail, ..whole }
    }

    /// Why this record is known and harmless, if a rule says so.
    pub(super) fn quiet_reason<'r>(&self, rules: &'r Rules, today: NaiveDate) -> Option<&'r str> {
        rules.reason(&self.json, self.place.table, today)
    }

    /// The `alert_id` of the log, or of the payload that fits no schema.
    pub(super) fn alert_id(&self) -> Option<String> {
        match self.place.table {
            Table::LogType(_) => self.json.text(&["alert_id"]),
            Table::Failures => Json::object(&self.json.text(&["payload"])?)?.text(&["alert_id"]),
        }
    }

    /// `p_source_label`.
    pub(super) fn source_label(&self) -> Option<String> {
        self.json.text(&["p_source_label"])
    }

    /// The alert, if people are notified of this record: a log whose severity is at least `threshold` or is not known,
    /// or any classification failure.
    pub(super) fn alert(&self, threshold: Severity) -> Option<Alert> {
        let row_id = || self.row_id.clone().unwrap_or_default();
        match self.place.table {
            Table::LogType(schema) if schema.log_type == ALERT => facts::severity(&self.json)
                .is_none_or(|severity| severity >= threshold)
                .then(|| Alert::of_log(&self.json, row_id(), self.place)),
            Table::LogType(_) => None,
            Table::Failures => {
                let log_type = self.json.text(&["log_type"]);
                Some(Alert::of_failure(&self.json, log_type.as_deref(), row_id(), self.place))
            }
        }
    }
}

/// A JSON object with one member more.
fn with_reason(object: &str, reason: &str) -> String {
    let object = object.trim_end().strip_suffix('}').unwrap_or(object);
    format!("{object},\"p_quiet_reason\":{}}}", json!(reason))
}

/// The detail type of the events about a table's records.
fn detail_type(table: Table<'_>) -> &str {
    match table {
        Table::LogType(schema) => schema.log_type.as_str(),
        Table::Failures => FAILURE,
    }
}

/// The event of an object that is too large to be read.
pub(super) fn entry_of_large<'t>(key: &str, place: Place<'t>, object: &Digest) -> Entry<'t> {
    let detail_type = detail_type(place.table);
    let detail = digest(key, &object.sha256, object.bytes, Some(place.id), detail_type);
    Entry { detail_type: detail_type.into(), detail }
}

/// The detail of an event about a record that is too large for it.
fn digest<'t>(key: &str, sha256: &str, size: usize, row_id: Option<&str>, log_type: &str) -> Cow<'t, str> {
    let detail = json!({"key": key, "sha256": sha256, "p_row_id": row_id, "log_type": log_type, "size": size});
    Cow::Owned(detail.to_string())
}
