//! Whom the server serves, and what it refuses even them, because `s3s-fs` would leave the bucket's folder for it.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    s3_error,
};

use super::metadata_file;

/// What the function, the redrive, DuckDB and `aws s3` need. Other operations name a second object or bucket, or list
/// and make buckets. A form's upload (`PostObject`) is what a web page can send.
const OPERATIONS: [&str; 13] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CreateMultipartUpload",
    "DeleteObject",
    "GetBucketLocation",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "UploadPart",
];

/// The access key that a server knows.
pub struct AccessKey {
    /// The id, which each request names.
    pub id: String,
    /// The secret, which signs each request.
    pub secret: String,
}

/// The buckets are those that were created here. Another folder beside them is none.
#[derive(Clone)]
pub(super) struct Rules {
    folder: PathBuf,
    access_key: Arc<AccessKey>,
    buckets: Arc<Mutex<BTreeSet<String>>>,
}

impl Rules {
    pub(super) fn new(folder: PathBuf, access_key: AccessKey) -> Self {
        Self { folder, access_key: Arc::new(access_key), buckets: Arc::default() }
    }

    pub(super) fn access_key(&self) -> &AccessKey {
        &self.access_key
    }

    pub(super) fn add_bucket(&self, name: &str) {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    fn has_bucket(&self, name: &str) -> bool {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Whether a symbolic link stands for the bucket, on the way to the object, or for what `s3s-fs` keeps about it.
    fn leads_over_a_link(&self, bucket: &str, key: &str) -> bool {
        let metadata = metadata_file(bucket, key);
        let beside = [metadata.replace(".metadata.", ".internal."), metadata];
        let object = Path::new(bucket).join(key);
        let mut ways = object.ancestors().chain(beside.iter().map(Path::new));
        // The last ancestor is empty: the folder itself, which its user has chosen.
        ways.any(|way| self.folder.join(way).is_symlink())
    }
}

#[async_trait::async_trait]
impl S3Auth for Rules {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        if id == self.access_key.id {
            return Ok(self.access_key.secret.clone().into());
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "this server has another access key; use the one that it printed at its last start"
        ))
    }
}

#[async_trait::async_trait]
impl S3Access for Rules {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(s3_error!(
                AccessDenied,
                "this request is not signed; sign it with the access key of this server"
            ));
        }
        let operation = request.s3_op().name();
        if !OPERATIONS.contains(&operation) {
            return Err(s3_error!(
                AccessDenied,
                "this server refuses {operation}; it puts, gets, lists and deletes single objects of its bucket"
            ));
        }
        let bucket = request.s3_path().get_bucket_name().unwrap_or_default();
        if !self.has_bucket(bucket) {
            return Err(s3_error!(NoSuchBucket, "this server has no bucket of this name; use the one that it printed"));
        }
        let key = request.s3_path().get_object_key().unwrap_or_default();
        if !Path::new(key).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(s3_error!(AccessDenied, "this key leads out of the bucket; use one without .. and a first /"));
        }
        if self.leads_over_a_link(bucket, key) {
            return Err(s3_error!(
                AccessDenied,
                "a symbolic link is on the way to this object, and this server follows none; \
                 put a file or folder in its place"
            ));
        }
        Ok(())
    }
}
