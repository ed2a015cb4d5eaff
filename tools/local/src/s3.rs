//! An S3 server on a folder: `s3s-fs`, which verifies signatures. Around it, this module refuses what leads out of the
//! buckets or comes from a web page, and corrects what `s3s-fs` does unlike S3.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;

pub use self::rules::AccessKey;
use self::rules::Rules;
use crate::{
    guard,
    server::{Reply, Server, reply, unique_id, whole},
};

/// An S3 server. Dropping it closes its port.
pub struct S3 {
    store: Arc<Store>,
    server: Server,
}

impl S3 {
    /// Starts on this folder, which is created if it does not exist; port 0 takes a free port.
    pub async fn start(folder: &Path, addr: SocketAddr, access_key: AccessKey) -> Self {
        let store = Arc::new(Store::new(folder, addr.ip(), access_key));
        let answering = Arc::clone(&store);
        let server = Server::start(addr, move |request| Arc::clone(&answering).answer(request)).await;
        Self { store, server }
    }

    /// The URL to point an SDK at.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }
}

impl Deref for S3 {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// What the server does, without its port.
pub struct Store {
    service: S3Service,
    folder: PathBuf,
    rules: Rules,
    /// Where the server listens.
    address: IpAddr,
    turn: tokio::sync::Mutex<()>,
}

impl Store {
    /// A store on this folder, which is created if it does not exist, for a server that listens at `address`.
    pub fn new(folder: &Path, address: IpAddr, access_key: AccessKey) -> Self {
        fs::create_dir_all(folder).expect("creating the folder");
        let folder = folder.canonicalize().expect("a folder");
        let mut service = S3ServiceBuilder::new(FileSystem::new(&folder).expect("a folder"));
        let rules = Rules::new(folder.clone(), access_key);
        service.set_auth(rules.clone());
        service.set_access(rules.clone());
        Self { service: service.build(), folder, rules, address, turn: tokio::sync::Mutex::default() }
    }

    /// The access key that the server knows.
    pub fn access_key(&self) -> &AccessKey {
        self.rules.access_key()
    }

    /// The folder that holds the buckets.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates a bucket.
    pub fn create_bucket(&self, name: &str) {
        fs::create_dir_all(self.folder.join(name)).expect("creating the bucket");
        self.rules.add_bucket(name);
    }

    /// Every object in the bucket, by key.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let folder = self.folder.join(bucket);
        let read = |key: String| (key.clone(), fs::read(folder.join(key)).expect("an object"));
        self.keys(bucket).into_iter().map(read).collect()
    }

    /// The key of every object in the bucket.
    pub fn keys(&self, bucket: &str) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let bucket = self.folder.join(bucket);
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

    /// The answer to a request that is refused, because a web page may have sent it.
    pub fn refusal<B>(&self, request: &Request<B>) -> Option<Reply> {
        guard::refusal(request, self.address).map(|problem| error(403, "AccessDenied", problem))
    }

    /// Performs a request that is not refused.
    pub async fn perform(&self, request: Request<Bytes>) -> Option<Reply> {
        let mut turn = None;
        if let (Some((bucket, key)), &Method::PUT) = (object(request.uri()), request.method()) {
            // s3s-fs would write the object and then fail, because the name of its metadata file is too long.
            if metadata_file(&bucket, &key).len() > 255 {
                return Some(error(400, "KeyTooLongError", "this key is too long for a file of this server"));
            }
            // s3s-fs checks for the object before it writes, not atomically: two simultaneous requests could both pass
            // `If-None-Match`.
            turn = Some(self.turn.lock().await);
        }
        let reply = self.service.call(request.map(s3s::Body::from)).await.ok()?;
        let (head, body) = reply.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        drop(turn);
        Some(Reply::from_parts(head, Full::new(body)))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Option<Reply> {
        let refusal = self.refusal(&request);
        // An answer before the end of the request could be lost.
        let request = whole(request).await?;
        match refusal {
            Some(refusal) => Some(refusal),
            None => self.perform(request).await,
        }
    }
}

/// The bucket and key of a request in path style, the only style an IP address allows.
pub fn object(uri: &Uri) -> Option<(String, String)> {
    let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (bucket, key) = uri.path().strip_prefix('/')?.split_once('/')?;
    (!key.is_empty()).then(|| (decode(bucket), decode(key)))
}

/// The file in which s3s-fs keeps the metadata of an object, in the folder of the buckets.
pub fn metadata_file(bucket: &str, key: &str) -> String {
    let [bucket, key] = [bucket, key].map(|text| BASE64URL_NOPAD.encode(text.as_bytes()));
    format!(".bucket-{bucket}.object-{key}.metadata.json")
}

/// An error in S3's form.
pub fn error(status: u16, code: &str, message: &str) -> Reply {
    let id = unique_id();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>{id}</RequestId></Error>"
    );
    reply(status, "application/xml", body)
}

mod rules;
