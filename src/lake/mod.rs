//! What the lake keeps of a payload, and where: records, batches of objects, keys, and the store.

mod batch;
mod record;
mod store;
mod table;

pub use batch::{Batch, Object, RECORDS_PER_OBJECT, Summary};
pub use record::{Failure, ReceiveContext, Source};
pub use store::{PutOutcome, PutResult, Store, StoreError};
pub use table::{BadPrefix, FAILURES_TABLE, Partition, Prefix, Table};
