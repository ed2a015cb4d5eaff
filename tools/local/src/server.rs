//! An HTTP/1.1 server on a port of its own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A response with its whole body in memory, because everything served here is small.
pub type Reply = Response<Full<Bytes>>;

/// Any free port of 127.0.0.1.
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server. Dropping it closes the port and every connection.
pub(crate) struct Server {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `handle`, which returns `None` if the client has left.
    #[expect(clippy::unused_async, reason = "it spawns a task, so it must run inside a runtime")]
    pub(crate) async fn start<H, F>(addr: SocketAddr, handle: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Reply>> + Send + 'static,
    {
        let listener = bind(addr, false).listen(1024).expect("listening");
        let addr = listener.local_addr().expect("a bound address");
        let task = tokio::spawn(accept(listener, move |stream| serve(stream, handle.clone())));
        Self { addr, task }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket on this address; a shared one may be bound while another of ours is.
pub fn bind(addr: SocketAddr, is_shared: bool) -> TcpSocket {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
    socket.set_reuseaddr(true).expect("setting SO_REUSEADDR");
    socket.set_reuseport(is_shared).expect("setting SO_REUSEPORT");
    socket.bind(addr).expect("binding the address");
    socket
}

/// Serves every connection. They close when this task is aborted, because it owns them.
pub async fn accept<H, F>(listener: TcpListener, serve: H)
where
    H: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("accepting a connection");
        // Responses leave at once, because benchmarks would otherwise measure Nagle's algorithm.
        stream.set_nodelay(true).ok();
        connections.spawn(serve(stream));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<H, F>(stream: TcpStream, handle: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Option<Reply>>,
{
    let service = service_fn(|request| {
        let answer = handle(request);
        async { answer.await.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset)) }
    });
    // An error here is a client that left.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

/// The request with its whole body; `None` if the client leaves in the middle of it.
pub async fn whole(request: Request<Incoming>) -> Option<Request<Bytes>> {
    let (head, body) = request.into_parts();
    Some(Request::from_parts(head, body.collect().await.ok()?.to_bytes()))
}

/// A response with a body of the given type.
pub fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Full::new(body.into()))
        .expect("a valid status and content type")
}

/// A unique value within this process, in the form of a UUID.
pub fn unique_id() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{n:012x}", std::process::id())
}
