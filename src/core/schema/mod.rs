//! Schemas in Panther's schema language, embedded from `schemas/*.yml`. They are the single source of truth for
//! classification, validation, indicators and metrics, and for the columns and tables in the docs and the template.

mod canonical;
mod discriminator;
mod indicator;
mod language;
mod metric;
mod registry;
mod surrogates;
#[cfg(test)]
mod tests;
mod types;
mod validate;
mod violation;

pub use discriminator::{DISCRIMINATOR, probe, values_of as discriminator_values};
pub use indicator::{Indicator, Indicators};
pub use metric::{LogCounts, Tally};
#[cfg(test)]
pub(crate) use registry::json_of;
pub use registry::{SchemaError, Schemas, Unclassified};
pub use surrogates::replace_lone_surrogates;
pub use types::{Counted, Field, Metric, Rule, Schema, Type};
pub use validate::Log;
pub use violation::Violation;

/// The log type of alerts, of which people are notified.
pub const ALERT: &str = "Tracebit.Alert";
