//! What the lake keeps of a payload, and under which keys: records, and batches of objects.

mod batch;
mod record;
mod table;

pub use batch::{Batch, Object, RECORDS_PER_OBJECT, Summary};
pub use record::{Failure, ReceiveContext, Source};
pub use table::{BadPrefix, FAILURES_TABLE, Partition, Prefix, Table};
