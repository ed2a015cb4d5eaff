//! The list of samples, `events/samples.yml`: what each event in `events/` is made of, and what it must produce.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

/// The list, below the project's folder.
pub const FILE: &str = "events/samples.yml";

/// The list, or a body that it names, cannot be used.
#[derive(Debug)]
pub struct SampleError(String);

impl std::fmt::Display for SampleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SampleError {}

/// An event in `events/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The event's file is `events/{name}.json`.
    pub name: String,
    /// One sentence for a reader.
    pub shows: String,
    /// How the body is made.
    pub body: Body,
    /// Whether it is signed with a secret that the function does not know.
    #[serde(default)]
    pub wrong_secret: bool,
    /// The response's status.
    pub status: u16,
    /// How many records it adds to each table of a lake that does not have them yet.
    #[serde(default)]
    pub records: BTreeMap<String, usize>,
    /// The violation of each classification failure.
    #[serde(default)]
    pub violation: Option<String>,
}

/// How a body is made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The bytes of `events/logs/{0}.json`.
    Log(String),
    /// The same log at another time, which makes it another log.
    Later {
        /// The file's name.
        log: String,
        /// The value of the member `timestamp`.
        timestamp: String,
    },
    /// A text, which is a JSON string within an array.
    Text(String),
    /// A JSON array.
    Array(Vec<Self>),
    /// Compressed, and labelled so.
    Gzip(Box<Self>),
}

/// Reads the list of the project in this folder.
///
/// # Errors
/// When the file cannot be read or is not such a list.
pub fn read(project: &Path) -> Result<Vec<Sample>, SampleError> {
    let text = fs::read_to_string(project.join(FILE)).map_err(|error| SampleError(format!("{FILE}: {error}")))?;
    serde_saphyr::from_str(&text).map_err(|error| SampleError(format!("{FILE}: {error}")))
}

impl Sample {
    /// The body before compression.
    ///
    /// # Errors
    /// When a file in `events/logs/` cannot be read.
    pub fn payload(&self, project: &Path) -> Result<Vec<u8>, SampleError> {
        match &self.body {
            Body::Gzip(body) => body.bytes(project),
            body => body.bytes(project),
        }
    }

    /// Whether the body is compressed.
    pub fn is_gzip(&self) -> bool {
        matches!(self.body, Body::Gzip(_))
    }
}

impl Body {
    fn bytes(&self, project: &Path) -> Result<Vec<u8>, SampleError> {
        match self {
            Self::Log(name) => log(name, project),
            Self::Text(text) => Ok(text.clone().into_bytes()),
            body => body.value(project).map(|value| value.to_string().into_bytes()),
        }
    }

    fn value(&self, project: &Path) -> Result<Value, SampleError> {
        Ok(match self {
            Self::Log(name) => json_log(name, project)?,
            Self::Later { log, timestamp } => {
                let mut log = json_log(log, project)?;
                log["timestamp"] = json!(timestamp);
                log
            }
            Self::Text(text) => json!(text),
            Self::Array(elements) => elements.iter().map(|body| body.value(project)).collect::<Result<_, _>>()?,
            Self::Gzip(_) => return Err(SampleError(format!("{FILE}: only a whole body can be compressed"))),
        })
    }
}

fn log(name: &str, project: &Path) -> Result<Vec<u8>, SampleError> {
    let path = format!("events/logs/{name}.json");
    fs::read(project.join(&path)).map_err(|error: io::Error| SampleError(format!("{path}: {error}")))
}

fn json_log(name: &str, project: &Path) -> Result<Value, SampleError> {
    serde_json::from_slice(&log(name, project)?)
        .map_err(|error| SampleError(format!("events/logs/{name}.json: {error}")))
}
