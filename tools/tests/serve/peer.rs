//! A running `serve`, and what is sent to it.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials, SharedCredentialsProvider},
    presigning::{PresignedRequest, PresigningConfig},
};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tracebit_lake::aws;

pub(crate) const BUCKET: &str = "tracebit-lake-local";
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../events/logs/alert-aws.json");

/// A running `serve`. It ends with its owner.
pub(crate) struct Serve {
    child: Child,
    /// Kept open, because the program prints each delivery.
    _stdout: BufReader<ChildStdout>,
    pub(crate) folder: PathBuf,
    /// The address and port of the function URL.
    pub(crate) url: String,
    /// The address and port of S3.
    pub(crate) s3: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    /// The signature of the sample.
    signature: String,
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serve {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tracebit-lake-tools"))
            .args(["serve", "--s3", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--folder"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("Stop with Ctrl-C") {
            assert_ne!(stdout.read_line(&mut printed).unwrap(), 0, "it ended: {printed}");
        }
        let after = |label: &str| {
            let (_, rest) = printed.split_once(label).unwrap_or_else(|| panic!("no {label} in {printed}"));
            rest.trim_start().split(['\'', ' ', '\n']).next().unwrap().to_owned()
        };
        let (id, secret) = (after("AWS_ACCESS_KEY_ID="), after("AWS_SECRET_ACCESS_KEY="));
        assert!(printed.contains(&format!("KEY_ID '{id}', SECRET '{secret}');")), "the same in DuckDB: {printed}");
        let address = |label| after(label).trim_start_matches("http://").to_owned();
        Self {
            folder: folder.to_owned(),
            url: address("Deliveries "),
            s3: address("AWS_ENDPOINT_URL_S3="),
            signature: after("X-Tracebit-Signature-256:"),
            id,
            secret,
            child,
            _stdout: stdout,
        }
    }

    /// A client with the server's access key that takes `host` for the server.
    pub(crate) async fn client(&self, host: &str) -> Client {
        client(host, &self.id, &self.secret).await
    }

    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.join(BUCKET)
    }

    /// Sends a signed request to S3, with these further headers.
    pub(crate) fn send(&self, request: &PresignedRequest, headers: &str, body: &str) -> (u16, String) {
        let (host, target) = request.uri().strip_prefix("http://").unwrap().split_once('/').unwrap();
        http(&self.s3, &format!("{} /{target} HTTP/1.1\r\nHost: {host}\r\n{headers}", request.method()), body)
    }

    /// The answer to a `GetObject` with the server's access key.
    pub(crate) async fn get(&self, bucket: &str, key: &str) -> (u16, String) {
        let get = self.client(&self.s3).await.get_object().bucket(bucket).key(key).presigned(soon()).await.unwrap();
        self.send(&get, "", "")
    }

    /// Delivers the sample, which Tracebit signed.
    pub(crate) fn deliver(&self, host: &str, headers: &str) -> (u16, String) {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             X-Tracebit-Signature-256: {}\r\n{headers}",
            self.signature
        );
        http(&self.url, &head, &fs::read_to_string(SAMPLE).unwrap())
    }

    /// The files in the bucket's folder and below.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        files(&self.bucket())
    }
}

pub(crate) async fn client(host: &str, id: &str, secret: &str) -> Client {
    let credentials = SharedCredentialsProvider::new(Credentials::new(id, secret, None, None, "test"));
    let sdk = aws::load_for(&format!("http://{host}"), "us-east-1", credentials).await;
    Client::from_conf(Builder::from(&sdk).force_path_style(true).build())
}

pub(crate) fn soon() -> PresigningConfig {
    PresigningConfig::expires_in(Duration::from_mins(5)).unwrap()
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The status and all the rest of the answer to a request whose head is this.
pub(crate) fn http(address: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The body of a form that uploads a file to S3, signed with this access key, and its content type.
pub(crate) fn form(id: &str, secret: &str) -> (String, &'static str) {
    let now = chrono::Utc::now();
    let (day, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
    let credential = format!("{id}/{day}/us-east-1/s3/aws4_request");
    let expiration = (now + chrono::TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%S.000Z");
    let policy = format!(
        r#"{{"expiration":"{expiration}","conditions":[{{"bucket":"{BUCKET}"}},["starts-with","$key",""],
            {{"x-amz-algorithm":"AWS4-HMAC-SHA256"}},{{"x-amz-credential":"{credential}"}},
            {{"x-amz-date":"{time}"}}]}}"#
    );
    let policy = BASE64.encode(policy.as_bytes());
    let parts = [&day, "us-east-1", "s3", "aws4_request"];
    let key = parts.into_iter().fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
    let signature = HEXLOWER.encode(&hmac(&key, &policy));
    let mut body = String::new();
    for (name, value) in [
        ("key", "tracebit_alert/forged.json"),
        ("policy", &policy),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", &time),
        ("x-amz-signature", &signature),
        ("file\"; filename=\"forged.json", "{}"),
    ] {
        write!(body, "--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").unwrap();
    }
    (body + "--edge--\r\n", "Content-Type: multipart/form-data; boundary=edge\r\n")
}
