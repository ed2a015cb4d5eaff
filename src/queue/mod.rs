//! The spill queue: deliveries wait here if S3 does not store them in time.

mod client;
mod envelope;
mod event;

pub use client::{QueueError, SpillQueue};
pub use envelope::{Envelope, NotAnEnvelope};
pub use event::{SqsBatchResponse, SqsEvent, SqsMessage};
