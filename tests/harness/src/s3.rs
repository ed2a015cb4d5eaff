//! The S3 server of the tools, which records its requests here and has faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::pending,
    net::SocketAddr,
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{DATE, ETAG, LOCATION},
};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tempfile::TempDir;
use tracebit_lake_local::s3::{AccessKey, Store, error, metadata_file, object};

use crate::{
    fault::{ErrorReplies, Fault, Faults},
    front::Front,
    server::{LOOPBACK, Reply, reply, whole},
};

/// The access key id that the server of the tests knows.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Its secret; a request signed with another one is rejected.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The event that EventBridge passes on when S3 has created an object of so many bytes.
pub fn created(bucket: &str, key: &str, size: usize) -> String {
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-11-24T10:00:00Z",
        "region": "us-east-1",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key, "size": size, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "00617F08299329D189",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "203.0.113.7",
            "reason": "PutObject",
        },
    })
    .to_string()
}

/// A `PutObject` request that arrived.
#[derive(Debug, Clone)]
pub struct PutRequest {
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The status of the reply; 0 as long as there is none.
    pub status: u16,
}

/// An S3 server on loopback. Dropping it closes its port. Faults apply to `PutObject` requests alone, except those of
/// [`S3::fail_reads`].
pub struct S3 {
    backend: Arc<Backend>,
    front: Front,
    _temporary: Option<TempDir>,
}

impl S3 {
    /// Starts on a temporary folder, which is removed when the server is dropped.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let s3 = Self::on_folder(folder.path(), LOOPBACK).await;
        Self { _temporary: Some(folder), ..s3 }
    }

    /// Starts on this folder, which is created if it does not exist; port 0 takes a free port.
    pub async fn on_folder(folder: impl AsRef<Path>, addr: SocketAddr) -> Self {
        let access_key = AccessKey { id: ACCESS_KEY.to_owned(), secret: SECRET_KEY.to_owned() };
        let backend = Arc::new(Backend {
            store: Store::new(folder.as_ref(), addr.ip(), access_key),
            seen: Mutex::default(),
            withheld: Mutex::default(),
            read_faults: Faults::default(),
        });
        let front = Front::start(addr, Arc::clone(&backend), Backend::answer).await;
        Self { backend, front, _temporary: None }
    }

    /// The folder that holds the buckets.
    pub fn folder(&self) -> &Path {
        self.backend.store.folder()
    }

    /// Creates a bucket.
    pub fn create_bucket(&self, name: &str) {
        self.backend.store.create_bucket(name);
    }

    /// Every object in the bucket, by key.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        self.backend.store.objects(bucket)
    }

    /// The key of every object in the bucket.
    pub fn keys(&self, bucket: &str) -> BTreeSet<String> {
        self.backend.store.keys(bucket)
    }

    /// The content type stored with an object.
    pub fn content_type(&self, bucket: &str, key: &str) -> Option<String> {
        let path = self.folder().join(metadata_file(bucket, key));
        let metadata: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        metadata["content_type"].as_str().map(str::to_owned)
    }

    /// Every `PutObject` request, in order of arrival.
    pub fn puts(&self) -> Vec<PutRequest> {
        self.backend.seen(|seen| seen.puts.clone())
    }

    /// Lets every further request hang that puts or gets an object whose key contains this text.
    pub fn withhold(&self, text: &str) {
        *self.backend.withheld.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// Fails the next `n` requests that read: `GetObject`, `HeadObject`, `ListObjectsV2`.
    pub fn fail_reads(&self, n: usize, fault: Fault) {
        self.backend.read_faults.fail_next(n, fault);
    }

    /// Fails every request that reads until [`S3::heal_reads`].
    pub fn fail_all_reads(&self, fault: Fault) {
        self.backend.read_faults.fail_always(fault);
    }

    /// Ends the faults of reads.
    pub fn heal_reads(&self) {
        self.backend.read_faults.heal();
    }

    /// How many requests of any method have arrived.
    pub fn requests(&self) -> usize {
        self.backend.seen(|seen| seen.requests.values().sum())
    }

    /// How many requests of this method have arrived.
    pub fn requests_of(&self, method: &str) -> usize {
        self.backend.seen(|seen| seen.requests.get(method).copied().unwrap_or_default())
    }
}

impl Deref for S3 {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

struct Backend {
    store: Store,
    seen: Mutex<Seen>,
    /// A text whose keys are not stored.
    withheld: Mutex<Option<String>>,
    read_faults: Faults,
}

#[derive(Default)]
struct Seen {
    puts: Vec<PutRequest>,
    requests: BTreeMap<String, usize>,
}

impl Backend {
    async fn answer(self: Arc<Self>, faults: Arc<Faults>, request: Request<Incoming>) -> Option<Reply> {
        let method = request.method().to_string();
        self.seen(|seen| *seen.requests.entry(method).or_default() += 1);
        if let Some(refusal) = self.store.refusal(&request) {
            // An answer before the end of the request could be lost.
            whole(request).await?;
            return Some(refusal);
        }
        let object = object(request.uri());
        if [Method::GET, Method::HEAD].contains(request.method()) {
            self.withhold_from(object.as_ref().map_or("", |(_, key)| key)).await;
            return self.read_faults.apply(request, &ERRORS, |request| self.store.perform(request)).await;
        }
        let Some((bucket, key)) = object else {
            return self.store.perform(whole(request).await?).await;
        };
        if request.method() != Method::PUT {
            return self.store.perform(whole(request).await?).await;
        }

        let index = self.seen(|seen| {
            let (bucket, key, headers) = (bucket.clone(), key.clone(), request.headers().clone());
            seen.puts.push(PutRequest { bucket, key, headers, status: 0 });
            seen.puts.len() - 1
        });
        let reply = faults.apply(request, &ERRORS, |request| self.put(&key, request)).await?;
        self.seen(|seen| seen.puts[index].status = reply.status().as_u16());
        Some(reply)
    }

    async fn put(&self, key: &str, request: Request<Bytes>) -> Option<Reply> {
        self.withhold_from(key).await;
        self.store.perform(request).await
    }

    /// Never ends for a key that is withheld.
    async fn withhold_from(&self, key: &str) {
        let withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if withheld.is_some_and(|text| key.contains(&text)) {
            pending::<()>().await;
        }
    }

    fn seen<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const ERRORS: ErrorReplies = ErrorReplies { error: error_reply, wrong_checksum };

/// The reply of S3 to a request whose body arrived with other bytes.
fn wrong_checksum() -> Reply {
    let mut reply = reply(200, "application/xml", "");
    let headers = reply.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static("\"d41d8cd98f00b204e9800998ecf8427e\""));
    headers.insert("x-amz-checksum-crc32", HeaderValue::from_static("AAAAAA=="));
    reply
}

fn error_reply(status: u16, code: &str) -> Reply {
    let mut reply = error(status, code, &format!("{code}, from the test harness"));
    if reply.status().is_redirection() {
        reply.headers_mut().insert(LOCATION, HeaderValue::from_static("http://127.0.0.1:1/"));
    }
    if code == "RequestTimeTooSkewed" {
        // Far enough off that the SDK corrects its clock, and near enough that s3s accepts a request signed by that
        // clock.
        let date = (Utc::now() + TimeDelta::minutes(10)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        reply.headers_mut().insert(DATE, date.try_into().expect("a date"));
    }
    reply
}

#[cfg(test)]
mod tests;
