//! Who may deliver: the signature of a delivery and the secrets that it is verified with.

mod rotation;
mod secrets;
mod signature;

pub use rotation::SecretError;
pub(crate) use secrets::Authorized;
pub use secrets::{SecretSource, Secrets};
pub use signature::{HEADER, MIN_SECRET_BYTES, Secret, SecretTooShort, Signature, SignatureError, Verified, verify};
