//! What the lake keeps of a payload, and where: records, batches of objects, keys, and the store.

mod batch;
mod record;
mod store;
mod table;

pub use batch::{Batch, Contents, Object, RECORDS_PER_OBJECT};
pub use record::{Failure, ReceiveContext, Source};
pub use store::{PutOutcome, Store, StoreError, Stored};
pub use table::{BadPrefix, FAILURES_TABLE, Partition, Prefix, Table};
