//! S3: `s3s-fs` on a folder, which verifies signatures. Around it, this module records requests, injects faults,
//! refuses what leads out of the buckets, and corrects what `s3s-fs` does unlike S3.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::pending,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use data_encoding::BASE64URL_NOPAD;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{DATE, ETAG, LOCATION},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use serde_json::Value;
use tempfile::TempDir;

pub use self::rules::AccessKey;
use self::rules::Rules;
use crate::{
    fault::{ErrorReplies, Fault, Faults},
    front::Front,
    guard,
    server::{LOOPBACK, Reply, reply, unique_id, whole},
};

/// The access key id that the server of the tests knows.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Its secret; a request signed with another one is rejected.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

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
    pub async fn on_folder(path: impl AsRef<Path>, addr: SocketAddr) -> Self {
        let published = AccessKey { id: ACCESS_KEY.to_owned(), secret: SECRET_KEY.to_owned() };
        Self::with_access_key(path, addr, published).await
    }

    /// The same with another access key.
    pub async fn with_access_key(path: impl AsRef<Path>, addr: SocketAddr, access_key: AccessKey) -> Self {
        fs::create_dir_all(&path).expect("creating the folder");
        let folder = path.as_ref().canonicalize().expect("a folder");
        let mut service = S3ServiceBuilder::new(FileSystem::new(&folder).expect("a folder"));
        let rules = Rules::new(folder.clone(), access_key);
        service.set_auth(rules.clone());
        service.set_access(rules.clone());
        let backend = Arc::new(Backend {
            service: service.build(),
            folder,
            rules,
            address: addr.ip(),
            turn: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
            withheld: Mutex::default(),
            read_faults: Faults::default(),
        });
        let front = Front::start(addr, Arc::clone(&backend), Backend::answer).await;
        Self { backend, front, _temporary: None }
    }

    /// The access key that the server knows.
    pub fn access_key(&self) -> &AccessKey {
        self.backend.rules.access_key()
    }

    /// The folder that holds the buckets.
    pub fn folder(&self) -> &Path {
        &self.backend.folder
    }

    /// Creates a bucket.
    pub fn create_bucket(&self, name: &str) {
        fs::create_dir_all(self.backend.folder.join(name)).expect("creating the bucket");
        self.backend.rules.add_bucket(name);
    }

    /// Every object in the bucket, by key.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let folder = self.backend.folder.join(bucket);
        let read = |key: String| (key.clone(), fs::read(folder.join(key)).expect("an object"));
        self.keys(bucket).into_iter().map(read).collect()
    }

    /// The key of every object in the bucket.
    pub fn keys(&self, bucket: &str) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let bucket = self.backend.folder.join(bucket);
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("reading a bucket's folder") {
                let entry = entry.expect("an entry");
                let (path, kind) = (entry.path(), entry.file_type().expect("a file type"));
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    let key = path.strip_prefix(&bucket).expect("below its bucket");
                    keys.insert(key.to_str().expect("UTF-8").to_owned());
                }
            }
        }
        keys
    }

    /// The content type stored with an object.
    pub fn content_type(&self, bucket: &str, key: &str) -> Option<String> {
        let path = self.backend.folder.join(metadata_file(bucket, key));
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
    service: S3Service,
    folder: PathBuf,
    rules: Rules,
    /// Where the server listens.
    address: IpAddr,
    turn: tokio::sync::Mutex<()>,
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
        if let Some(problem) = guard::refusal(&request, self.address) {
            // An answer before the end of the request could be lost.
            whole(request).await?;
            return Some(error_with_message(403, "AccessDenied", problem));
        }
        let object = object(request.uri());
        if [Method::GET, Method::HEAD].contains(request.method()) {
            self.withhold_from(object.as_ref().map_or("", |(_, key)| key)).await;
            return self.read_faults.apply(request, &ERRORS, |request| self.perform(request)).await;
        }
        let Some((bucket, key)) = object else {
            return self.perform(whole(request).await?).await;
        };
        if request.method() != Method::PUT {
            return self.perform(whole(request).await?).await;
        }

        let index = self.seen(|seen| {
            let (bucket, key, headers) = (bucket.clone(), key.clone(), request.headers().clone());
            seen.puts.push(PutRequest { bucket, key, headers, status: 0 });
            seen.puts.len() - 1
        });
        let reply = faults.apply(request, &ERRORS, |request| self.put(&bucket, &key, request)).await?;
        self.seen(|seen| seen.puts[index].status = reply.status().as_u16());
        Some(reply)
    }

    async fn put(&self, bucket: &str, key: &str, request: Request<Bytes>) -> Option<Reply> {
        self.withhold_from(key).await;
        // s3s-fs would write the object and then fail, because the name of its metadata file is too long.
        if metadata_file(bucket, key).len() > 255 {
            return Some(error_reply(400, "KeyTooLongError"));
        }
        // s3s-fs checks for the object before it writes, not atomically: two simultaneous requests could both pass
        // `If-None-Match`.
        let _turn = self.turn.lock().await;
        self.perform(request).await
    }

    /// Never ends for a key that is withheld.
    async fn withhold_from(&self, key: &str) {
        let withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if withheld.is_some_and(|text| key.contains(&text)) {
            pending::<()>().await;
        }
    }

    async fn perform(&self, request: Request<Bytes>) -> Option<Reply> {
        let reply = self.service.call(request.map(s3s::Body::from)).await.ok()?;
        let (head, body) = reply.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Reply::from_parts(head, Full::new(body)))
    }

    fn seen<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The bucket and key of a request in path style, the only style an IP address allows.
fn object(uri: &Uri) -> Option<(String, String)> {
    let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (bucket, key) = uri.path().strip_prefix('/')?.split_once('/')?;
    (!key.is_empty()).then(|| (decode(bucket), decode(key)))
}

/// The file in which s3s-fs keeps the metadata of an object, in the folder of the buckets.
fn metadata_file(bucket: &str, key: &str) -> String {
    let [bucket, key] = [bucket, key].map(|text| BASE64URL_NOPAD.encode(text.as_bytes()));
    format!(".bucket-{bucket}.object-{key}.metadata.json")
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

fn error_with_message(status: u16, code: &str, message: &str) -> Reply {
    let id = unique_id();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>{id}</RequestId></Error>"
    );
    reply(status, "application/xml", body)
}

fn error_reply(status: u16, code: &str) -> Reply {
    let mut reply = error_with_message(status, code, &format!("{code}, from the test harness"));
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

mod rules;
#[cfg(test)]
mod tests;
