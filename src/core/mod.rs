//! What becomes of a delivery, as pure functions of bytes, schemas and a clock that is passed in. Nothing here knows
//! AWS, the environment or the time of day, so it can be tested, fuzzed and measured without a server.

pub mod delivery;
pub mod envelope;
pub mod lake;
pub mod payload;
pub mod redacted;
pub mod rotation;
pub mod row_id;
pub mod schema;
pub mod severity;
pub mod signature;
pub mod time;
