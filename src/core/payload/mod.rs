//! From a verified body to its elements: decompression, then the split.

mod decode;
mod split;

pub use decode::{DecodeError, decode, decode_stored, is_compressed};
pub use split::{Elements, Probe, elements};
