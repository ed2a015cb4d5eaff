//! The HTTP/1.1 server that every peer here uses.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::socket::{ConnectionFault, Socket};

/// A response with its whole body in memory, because everything served here is small.
pub(crate) type Reply = Response<Full<Bytes>>;

/// Any free port of 127.0.0.1.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server on a port of its own. Dropping it closes the port and every connection.
pub(crate) struct Server {
    addr: SocketAddr,
    /// A bound socket that never listens. It reserves the port while the server is stopped.
    _claim: Option<TcpSocket>,
    serve: Box<dyn Fn() -> JoinHandle<()> + Send + Sync>,
    task: Mutex<JoinHandle<()>>,
    connections: Arc<AtomicUsize>,
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
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        let serve = Box::new(move || {
            let listener = bind(addr, is_shared).listen(1024).expect("listening");
            tokio::spawn(accept(listener, Arc::clone(&count), handle.clone()))
        });
        Self { addr, _claim: claim, task: Mutex::new(serve()), serve, connections }
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
        self.connections.load(Ordering::Relaxed)
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

/// A socket on this address; a shared one may be bound while another of ours is.
fn bind(addr: SocketAddr, is_shared: bool) -> TcpSocket {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
    socket.set_reuseaddr(true).expect("setting SO_REUSEADDR");
    socket.set_reuseport(is_shared).expect("setting SO_REUSEPORT");
    socket.bind(addr).expect("binding the address");
    socket
}

async fn accept<H, F>(listener: TcpListener, count: Arc<AtomicUsize>, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    // The connections close when this task is aborted, because it owns them.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("accepting a connection");
        count.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(stream, handle.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<H, F>(stream: TcpStream, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    // Responses leave at once, because benchmarks would otherwise measure Nagle's algorithm.
    stream.set_nodelay(true).ok();
    let fault = ConnectionFault::default();
    let socket = Socket::new(stream, fault.clone());
    let service = service_fn(move |request| {
        let (answer, fault) = (handle(request), fault.clone());
        async move { fault.take(answer.await) }
    });
    // An error here is a client that left, or a fault that closed the connection.
    http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
}

/// The request with its whole body; `None` if the client leaves in the middle of it.
pub(crate) async fn whole(request: Request<Incoming>) -> Option<Request<Bytes>> {
    let (head, body) = request.into_parts();
    Some(Request::from_parts(head, body.collect().await.ok()?.to_bytes()))
}

/// A response with a body of the given type.
pub(crate) fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(Full::new(body.into()))
        .expect("a valid status and content type")
}

/// A unique value within this process, in the form of a UUID.
pub(crate) fn unique_id() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{n:012x}", std::process::id())
}
