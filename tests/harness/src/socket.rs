//! The socket under a connection, on which an answer can be made to travel badly.

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

use crate::server::Reply;

/// How an answer travels.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Travel {
    /// As it should.
    #[default]
    Well,
    /// Byte by byte, with this long before each.
    Drip(Duration),
    /// As far as its middle; then the connection is reset.
    Broken,
    /// Not at all: the connection is reset.
    Reset,
}

impl Travel {
    /// Marks an answer to travel so.
    pub(crate) fn of(self, mut reply: Reply) -> Reply {
        reply.extensions_mut().insert(self);
        reply
    }
}

/// How the next answer on a connection travels, told to its socket.
#[derive(Clone, Default)]
pub(crate) struct Road(Arc<Mutex<Travel>>);

impl Road {
    /// Takes the mark off an answer that is about to leave; without an answer there is a reset.
    pub(crate) fn take(&self, reply: Option<Reply>) -> io::Result<Reply> {
        let travel = match &reply {
            Some(reply) => reply.extensions().get().copied().unwrap_or_default(),
            None => Travel::Reset,
        };
        self.set(travel);
        reply.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    fn set(&self, travel: Travel) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = travel;
    }

    fn get(&self) -> Travel {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A TCP connection with a road.
pub(crate) struct Socket {
    stream: TcpStream,
    road: Road,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, road: Road) -> Self {
        Self { stream, road, pause: None }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if matches!(self.road.get(), Travel::Reset) {
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let stream = Pin::new(&mut socket.stream);
        match socket.road.get() {
            Travel::Well => stream.poll_write(cx, bytes),
            Travel::Drip(pause) => {
                ready!(socket.pause.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx));
                socket.pause = None;
                stream.poll_write(cx, bytes.get(..1).unwrap_or_default())
            }
            Travel::Broken => {
                let written = ready!(stream.poll_write(cx, bytes.get(..bytes.len() / 2).unwrap_or_default()));
                socket.road.set(Travel::Reset);
                Poll::Ready(written)
            }
            Travel::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
