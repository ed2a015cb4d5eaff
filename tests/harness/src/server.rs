//! The HTTP/1.1 server of every peer here, whose connections can fail and whose port can close.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header::AUTHORIZATION};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::sleep,
};
pub(crate) use tracebit_lake_local::server::{LOOPBACK, Reply, reply, unique_id, whole};
use tracebit_lake_local::server::{accept, bind};

use crate::{
    s3::ACCESS_KEY,
    socket::{ConnectionFault, Socket},
};

/// A server on a port of its own. Dropping it closes the port and every connection.
pub(crate) struct Server {
    addr: SocketAddr,
    /// A bound socket that never listens. It reserves the port while the server is stopped.
    _claim: Option<TcpSocket>,
    serve: Box<dyn Fn() -> JoinHandle<()> + Send + Sync>,
    task: Mutex<JoinHandle<()>>,
    counts: Arc<Counts>,
}

/// Connections that were opened, that are silent (the first ones), and that got something while they were silent.
#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    silent: AtomicUsize,
    unheard: AtomicUsize,
}

impl Server {
    /// Serves `handle`, which returns `None` to reset the connection without a response.
    #[expect(clippy::unused_async, reason = "it spawns a task, so it must run inside a runtime")]
    pub(crate) async fn start<H, F>(addr: SocketAddr, handle: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Reply>> + Send + 'static,
    {
        let claim = (addr.port() == 0).then(|| bind(addr, true));
        let addr = claim.as_ref().map_or(addr, |claim| claim.local_addr().expect("a bound address"));
        let is_shared = claim.is_some();
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        let serve = Box::new(move || {
            let listener = bind(addr, is_shared).listen(1024).expect("listening");
            let (counts, handle) = (Arc::clone(&shared), handle.clone());
            tokio::spawn(accept(listener, move |stream| {
                let number = counts.opened.fetch_add(1, Ordering::Relaxed);
                serve(stream, Silence { counts: Arc::clone(&counts), number }, handle.clone())
            }))
        });
        Self { addr, _claim: claim, task: Mutex::new(serve()), serve, counts }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns once the port refuses connections and the open ones are closed.
    pub(crate) async fn stop(&self) {
        while !self.task(|task| {
            task.abort();
            task.is_finished()
        }) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many connections have been opened.
    pub(crate) fn connections(&self) -> usize {
        self.counts.opened.load(Ordering::Relaxed)
    }

    /// Answers nothing more on the connections that are open, and keeps them open.
    pub(crate) fn silence(&self) {
        self.counts.silent.store(self.connections(), Ordering::Relaxed);
    }

    /// How many silent connections a client has sent something on.
    pub(crate) fn unheard(&self) -> usize {
        self.counts.unheard.load(Ordering::Relaxed)
    }

    /// Serves on the same port again.
    pub(crate) fn resume(&self) {
        self.task(|task| *task = (self.serve)());
    }

    fn task<T>(&self, act: impl FnOnce(&mut JoinHandle<()>) -> T) -> T {
        act(&mut self.task.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task(|task| task.abort());
    }
}

/// Whether a connection is silent.
pub(crate) struct Silence {
    counts: Arc<Counts>,
    number: usize,
}

impl Silence {
    pub(crate) fn is_on(&self) -> bool {
        self.number < self.counts.silent.load(Ordering::Relaxed)
    }

    pub(crate) fn count_unheard(&self) {
        self.counts.unheard.fetch_add(1, Ordering::Relaxed);
    }
}

async fn serve<H, F>(stream: TcpStream, silence: Silence, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    let fault = ConnectionFault::default();
    let socket = Socket::new(stream, fault.clone(), silence);
    let service = service_fn(move |request| {
        let (answer, fault) = (handle(request), fault.clone());
        async move { fault.take(answer.await) }
    });
    // An error here is a client that left, or a fault that closed the connection.
    http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
}

pub(crate) fn header<'request>(request: &'request Request<impl Sized>, name: &str) -> &'request str {
    let value = request.headers().get(name);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Whether the request names the known access key in its signature. Only S3 verifies signatures.
pub(crate) fn is_signed(request: &Request<Bytes>) -> bool {
    header(request, AUTHORIZATION.as_str()).starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/"))
}

/// The reply of a service that speaks JSON, when something is wrong.
pub(crate) fn error_reply(status: u16, code: &str) -> Reply {
    let message = format!("{code}, from the test harness");
    json_reply(status, &json!({ "__type": code, "message": message }))
}

pub(crate) fn json_reply(status: u16, body: &Value) -> Reply {
    reply(status, "application/x-amz-json-1.1", body.to_string())
}
