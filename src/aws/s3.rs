//! The bucket of the lake. Objects are created and never overwritten.

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{
        Builder,
        retry::{ClassifyRetry, RetryAction, RetryConfig},
    },
    primitives::{ByteStream, ByteStreamError},
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use chrono::{DateTime, Utc};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::{
    call::{CallError, call, error_chain},
    client::{preflight, retry_partition, warm},
    deadline::Deadline,
};

const GET: &str = "GetObject";

/// The metadata of an object of which nobody is notified and which puts nothing on the bus: imported history.
const QUIET: &str = "quiet";

/// The wait before an object is read again whose body broke off. The SDK retries all else.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether an object was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was created.
    Created,
    /// It was there already.
    AlreadyExists,
}

/// An object that was read, as far as it is not too large.
#[derive(Debug)]
pub enum Read {
    /// All of it.
    Whole {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether its metadata says that nobody is to be notified of it.
        is_quiet: bool,
    },
    /// It is larger than the limit.
    TooLarge,
}

/// What stands for an object that is too large to be read.
#[derive(Debug)]
pub struct Digest {
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// As [`Read::Whole`] has it.
    pub is_quiet: bool,
}

/// An object as a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The size in bytes.
    pub bytes: usize,
    /// When it was put there.
    pub modified: DateTime<Utc>,
}

/// The objects under a prefix, in the order of their keys.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects.
    pub objects: Vec<Listed>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// A client of one bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    is_quiet: bool,
}

impl Bucket {
    /// A client of the bucket called `name`. `path_style` puts the name into the URL's path, as S3-compatible servers
    /// need it.
    #[must_use]
    pub fn new(sdk: &SdkConfig, name: String, path_style: bool) -> Self {
        let s3 = Builder::from(sdk)
            .force_path_style(path_style)
            .retry_partition(retry_partition())
            .retry_classifier(ConflictIsTransient)
            .build();
        Self { client: Client::from_conf(s3), name, is_quiet: false }
    }

    /// The same bucket for history: nobody is notified of the objects that this client creates.
    #[must_use]
    pub fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Resolves the credentials and opens the connection that the first `PutObject` will use, by a CORS preflight.
    /// Failures are logged and ignored, because the first delivery tries again.
    pub async fn warm(&self, deadline: Deadline) {
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let put = self.client.put_object().bucket(&self.name).key("-").if_none_match("*").customize();
        let put = put.mutate_request(|request| preflight(request, "PUT")).config_override(once);
        warm("S3", deadline, put.send()).await;
    }

    /// Creates an object, unless one has its key.
    ///
    /// # Errors
    /// [`CallError`] if the object is not in the bucket, as far as anybody knows.
    pub async fn create(
        &self,
        key: &str,
        body: Vec<u8>,
        content_type: &str,
        deadline: Deadline,
    ) -> Result<PutOutcome, CallError> {
        const OPERATION: &str = "PutObject";
        let bytes = body.len();
        let checksum = BASE64.encode(&crc32fast::hash(&body).to_be_bytes());
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(content_type)
            .if_none_match("*")
            .checksum_crc32(&checksum)
            .set_metadata(self.is_quiet.then(|| HashMap::from([(QUIET.to_owned(), "true".to_owned())])))
            .body(ByteStream::from(body));
        match call(OPERATION, deadline, bytes, |attempts| put.customize().interceptor(attempts).send()).await {
            // S3 names the checksum that it compared. A store that names none is trusted.
            Ok(output) if output.checksum_crc32().is_some_and(|theirs| theirs != checksum) => {
                Err(CallError::of_answer(OPERATION, "checksum mismatch: S3 stored different bytes"))
            }
            Ok(_) => Ok(PutOutcome::Created),
            // The object is most likely our own: an attempt succeeded and its answer was lost. So it counts as new.
            Err(error) if error.status() == Some(412) && error.may_have_succeeded() => Ok(PutOutcome::Created),
            Err(error) if error.status() == Some(412) => Ok(PutOutcome::AlreadyExists),
            Err(error) => Err(error),
        }
    }

    /// Whether an object has this key.
    ///
    /// # Errors
    /// [`CallError`] if nobody knows.
    pub async fn has(&self, key: &str, deadline: Deadline) -> Result<bool, CallError> {
        let head = self.client.head_object().bucket(&self.name).key(key);
        match call("HeadObject", deadline, 0, |attempts| head.customize().interceptor(attempts).send()).await {
            Ok(_) => Ok(true),
            Err(error) => match error.status() {
                Some(404) => Ok(false),
                Some(403) => {
                    Err(error.with_advice("grant s3:GetObject, and s3:ListBucket so that a missing object is a 404"))
                }
                _ => Err(error),
            },
        }
    }

    /// The keys that begin with `prefix`, at most a thousand.
    ///
    /// # Errors
    /// [`CallError`] if S3 does not list them.
    pub async fn list(&self, prefix: &str, deadline: Deadline) -> Result<Vec<String>, CallError> {
        let list = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let page = call("ListObjectsV2", deadline, 0, |attempts| list.customize().interceptor(attempts).send()).await?;
        Ok(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
    }

    /// The objects under `prefix` whose keys come after `after`, of at most `pages` pages of a thousand.
    ///
    /// # Errors
    /// [`CallError`] if S3 does not list them all.
    pub async fn list_after(
        &self,
        prefix: &str,
        after: &str,
        pages: usize,
        deadline: Deadline,
    ) -> Result<Listing, CallError> {
        let mut listing = Listing::default();
        let mut after = after.to_owned();
        for _ in 0..pages {
            let next = self.client.list_objects_v2().bucket(&self.name).prefix(prefix).start_after(&after);
            let page =
                call("ListObjectsV2", deadline, 0, |attempts| next.customize().interceptor(attempts).send()).await?;
            let objects = page.contents.unwrap_or_default().into_iter().filter_map(listed);
            listing.objects.extend(objects);
            listing.is_cut = page.is_truncated.unwrap_or_default();
            match listing.objects.last() {
                Some(last) if listing.is_cut => after.clone_from(&last.key),
                _ => break,
            }
        }
        Ok(listing)
    }

    /// The folders in `folder`, each with its whole path.
    ///
    /// # Errors
    /// [`CallError`] if S3 does not list them all.
    pub async fn folders(&self, folder: &str, deadline: Deadline) -> Result<Vec<String>, CallError> {
        let (mut folders, mut token) = (Vec::new(), None);
        loop {
            let next = self.client.list_objects_v2().bucket(&self.name).prefix(folder).delimiter("/");
            let next = next.set_continuation_token(token);
            let page =
                call("ListObjectsV2", deadline, 0, |attempts| next.customize().interceptor(attempts).send()).await?;
            folders.extend(page.common_prefixes.unwrap_or_default().into_iter().filter_map(|common| common.prefix));
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(folders);
            }
        }
    }

    /// Fetches an object of at most `limit` bytes. Of a larger one it reads nothing but the size.
    ///
    /// # Errors
    /// [`CallError`] if the object cannot be read whole.
    pub async fn read(&self, key: &str, limit: usize, deadline: Deadline) -> Result<Read, CallError> {
        let mut broken = None;
        loop {
            let object = match self.get(key, limit, deadline).await {
                Ok(object) => object,
                Err(error) if error.status().is_none() => return Err(broken.unwrap_or(error)),
                Err(error) => return Err(error),
            };
            if object.bytes > limit {
                return Ok(Read::TooLarge);
            }
            let Object { body, is_quiet, .. } = object;
            broken = match deadline.bound(body.collect()).await {
                Some(Ok(bytes)) => return Ok(Read::Whole { bytes: bytes.to_vec(), is_quiet }),
                Some(Err(error)) => Some(CallError::broke_off(GET, &error_chain(&error))),
                None => return Err(broken.unwrap_or_else(|| CallError::out_of_time(GET))),
            };
            deadline.bound(sleep(PAUSE)).await;
        }
    }

    /// The digest of an object of any size, which is never in memory as a whole.
    ///
    /// # Errors
    /// [`CallError`] if the object cannot be read whole.
    pub async fn digest(&self, key: &str, deadline: Deadline) -> Result<Digest, CallError> {
        let Object { mut body, bytes, is_quiet } = self.get(key, 0, deadline).await?;
        let mut hash = Sha256::new();
        let hashed = async {
            while let Some(chunk) = body.try_next().await? {
                hash.update(&chunk);
            }
            Ok::<_, ByteStreamError>(())
        };
        match deadline.bound(hashed).await {
            Some(Ok(())) => Ok(Digest { sha256: HEXLOWER.encode(&hash.finalize()), bytes, is_quiet }),
            Some(Err(error)) => Err(CallError::broke_off(GET, &error_chain(&error))),
            None => Err(CallError::out_of_time(GET)),
        }
    }

    async fn get(&self, key: &str, bytes: usize, deadline: Deadline) -> Result<Object, CallError> {
        let get = self.client.get_object().bucket(&self.name).key(key);
        match call(GET, deadline, bytes, |attempts| get.customize().interceptor(attempts).send()).await {
            Ok(output) => Ok(Object {
                bytes: output.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX),
                is_quiet: output.metadata().and_then(|all| all.get(QUIET)).is_some_and(|value| value == "true"),
                body: output.body,
            }),
            Err(error) => Err(match error.status() {
                Some(404) => error.with_advice("the object is gone"),
                // S3 does not say 404 to a role that may not list the bucket.
                Some(403) => error.with_advice("the role may not read the object, or the object is gone"),
                _ => error,
            }),
        }
    }
}

fn listed(object: aws_sdk_s3::types::Object) -> Option<Listed> {
    let modified = object.last_modified?;
    Some(Listed {
        key: object.key?,
        bytes: object.size.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX),
        modified: DateTime::from_timestamp(modified.secs(), modified.subsec_nanos())?,
    })
}

/// An object whose body is still to be read.
struct Object {
    body: ByteStream,
    bytes: usize,
    is_quiet: bool,
}

/// S3 answers 409 if two conditional writes of one key meet. Nothing was written then, so the call is retried.
#[derive(Debug)]
struct ConflictIsTransient;

impl ClassifyRetry for ConflictIsTransient {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response() {
            Some(response) if response.status().as_u16() == 409 => RetryAction::server_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "conflict is transient"
    }
}
