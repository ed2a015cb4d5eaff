//! The HTTP/1.1 server under every peer here, and the faults that can be put in front of it.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// An answer whole in memory; everything served here is small.
pub(crate) type Reply = Response<Full<Bytes>>;

/// Any free port of 127.0.0.1.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What goes wrong with a request, in place of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not performed; answered with this status and an error body in the service's own form.
    Status {
        /// The HTTP status.
        code: u16,
        /// The error code: `Code` in S3's XML, `__type` in Secrets Manager's JSON.
        s3_code: &'static str,
    },
    /// Not performed; the connection closes without an answer.
    Reset,
    /// Not performed; no answer until healed, and then the connection closes without one.
    Hang,
    /// Performed, and answered only after this long.
    SlowAnswer(Duration),
    /// Performed, but the connection closes without an answer.
    LoseAnswer,
}

/// The faults to come: first those in the queue, one a request, then the standing one.
#[derive(Default)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
    healed: Notify,
}

#[derive(Default)]
struct Plan {
    next: VecDeque<Fault>,
    always: Option<Fault>,
}

impl Faults {
    pub(crate) fn fail_next(&self, n: usize, fault: Fault) {
        self.with(|plan| plan.next.extend(std::iter::repeat_n(fault, n)));
    }

    pub(crate) fn fail_always(&self, fault: Fault) {
        self.with(|plan| plan.always = Some(fault));
    }

    pub(crate) fn heal(&self) {
        self.with(|plan| *plan = Plan::default());
        self.healed.notify_waiters();
    }

    /// Answers one request under its fault, if it has one. `None` closes the connection.
    pub(crate) async fn apply(
        &self,
        perform: impl Future<Output = Option<Reply>>,
        refuse: impl FnOnce(u16, &str) -> Reply,
    ) -> Option<Reply> {
        // Made before the plan is read, so that no `heal` falls between the two.
        let healed = self.healed.notified();
        let fault = self.with(|plan| plan.next.pop_front().or(plan.always));
        match fault {
            None => perform.await,
            Some(Fault::Status { code, s3_code }) => Some(refuse(code, s3_code)),
            Some(Fault::Reset) => None,
            Some(Fault::Hang) => {
                healed.await;
                None
            }
            Some(Fault::SlowAnswer(late)) => {
                let reply = perform.await;
                sleep(late).await;
                reply
            }
            Some(Fault::LoseAnswer) => {
                perform.await;
                None
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Plan) -> T) -> T {
        act(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A server on a port of its own. Dropping it closes the port and every connection.
pub(crate) struct Server {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `handle`, which gets each request with its whole body; its `None` closes the
    /// connection without an answer.
    pub(crate) async fn start<H, F>(addr: SocketAddr, handle: H) -> Self
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
        F: Future<Output = Option<Reply>> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.expect("binding the address");
        let addr = listener.local_addr().expect("a bound address");
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.expect("accepting a connection");
                connections.spawn(serve(socket, handle.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { addr, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns when the port refuses connections and those that were open are closed.
    pub(crate) async fn stop(&self) {
        self.task.abort();
        while !self.task.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<H, F>(socket: TcpStream, handle: H)
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    // Answers go out at once: benchmarks would otherwise measure Nagle's algorithm.
    socket.set_nodelay(true).ok();
    let service = service_fn(move |request: Request<Incoming>| {
        let handle = handle.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            handle(Request::from_parts(head, body)).await.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))
        }
    });
    // An error here is a client that left, or a fault that closed the connection on it.
    http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
}

/// An answer with a body of the given type.
pub(crate) fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(Full::new(body.into()))
        .expect("a valid status and content type")
}

/// A value in the form of a UUID, never twice the same in a process.
pub(crate) fn unique_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{n:012x}", std::process::id())
}
