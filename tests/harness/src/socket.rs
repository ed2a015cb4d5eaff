//! The socket of a connection, which can damage a response as it is written.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::server::{Reply, Silence};

/// What happens to a response on the wire.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum ResponseFault {
    /// It is written as it should be.
    #[default]
    None,
    /// It is written byte by byte, with this pause before each.
    Drip(Duration),
    /// Half of it is written; then the connection is reset.
    Truncate,
    /// None of it is written: the connection is reset.
    Reset,
}

impl ResponseFault {
    /// Marks a reply with this fault.
    pub(crate) fn mark(self, mut reply: Reply) -> Reply {
        reply.extensions_mut().insert(self);
        reply
    }
}

/// The fault of the next response on a connection. The server writes it, the socket reads it.
#[derive(Clone, Default)]
pub(crate) struct ConnectionFault(Arc<Mutex<ResponseFault>>);

impl ConnectionFault {
    /// Takes over the fault of a reply that is about to be written; without a reply, the connection is reset.
    pub(crate) fn take(&self, reply: Option<Reply>) -> io::Result<Reply> {
        let fault = match &reply {
            Some(reply) => reply.extensions().get().copied().unwrap_or_default(),
            None => ResponseFault::Reset,
        };
        self.set(fault);
        reply.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    fn set(&self, fault: ResponseFault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn get(&self) -> ResponseFault {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A TCP connection that applies its [`ConnectionFault`], and hands on nothing while it is silent.
pub(crate) struct Socket {
    stream: TcpStream,
    fault: ConnectionFault,
    silence: Silence,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, fault: ConnectionFault, silence: Silence) -> Self {
        Self { stream, fault, silence, pause: None }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if matches!(self.fault.get(), ResponseFault::Reset) {
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let stream = Pin::new(&mut socket.stream);
        if !socket.silence.is_on() {
            return stream.poll_read(cx, buf);
        }
        let mut unheard = [0; 1024];
        let mut unheard = ReadBuf::new(&mut unheard);
        // Nothing wakes the reader after this, so a connection counts once.
        if stream.poll_read(cx, &mut unheard).is_ready() && !unheard.filled().is_empty() {
            socket.silence.count_unheard();
        }
        Poll::Pending
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let stream = Pin::new(&mut socket.stream);
        match socket.fault.get() {
            ResponseFault::None => stream.poll_write(cx, bytes),
            ResponseFault::Drip(pause) => {
                ready!(socket.pause.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx));
                socket.pause = None;
                stream.poll_write(cx, bytes.get(..1).unwrap_or_default())
            }
            ResponseFault::Truncate => {
                let written = ready!(stream.poll_write(cx, bytes.get(..bytes.len() / 2).unwrap_or_default()));
                socket.fault.set(ResponseFault::Reset);
                Poll::Ready(written)
            }
            ResponseFault::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
