//! The outside: a client for each service of AWS, one way to call it, and how long that may take.
//!
//! | module | what it does |
//! | --- | --- |
//! | `client` | credentials, region and endpoints, the same for every client |
//! | `http` | the root certificates of TLS, and which connections are trusted |
//! | `call` | one call: its timeouts and attempts, and an error in words for an operator |
//! | `deadline` | the time policy of an invocation |
//! | `invocation`, [`sqs_event`] | what Lambda hands a function |
//! | [`s3`], [`secrets`], [`sqs`], [`sns`], [`eventbridge`] | the services |
//! | [`https`] | an API that is not AWS's, called in the same way |

mod call;
mod client;
mod deadline;
pub mod eventbridge;
mod http;
pub mod https;
pub mod invocation;
pub mod s3;
pub mod secrets;
pub mod sns;
pub mod sqs;
pub mod sqs_event;

pub use self::{
    call::CallError,
    client::{load, load_for},
    deadline::Deadline,
    http::NoRoots,
    invocation::Invocation,
};
