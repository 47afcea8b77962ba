//! Both sockets of a session, read and written together.
//!
//! A session must never wait for one side alone: a caller that only writes while the target only answers would stop
//! all three. So one poll drives all four directions, and each read's worth of frames leaves in one write.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// What a read asks for at rest: an idle session holds two of these.
const READ_BYTES_MIN: usize = 8 * 1024;
/// What a read asks for while the last one was filled: a stream costs few system calls.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Above this an outbox takes no more and its source is not read: back-pressure reaches the other side's TCP window.
const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Runs up to this size are copied behind what is already queued; a copy is cheaper than one more write segment.
const COPY_BYTES_MAX: usize = 8 * 1024;

/// One side's socket.
pub(crate) enum Socket {
    /// On loopback, or where the configuration says so.
    Plain(TcpStream),
    /// TLS by either side's role.
    Tls(Box<TlsStream<TcpStream>>),
    /// Nobody's socket.
    #[cfg(feature = "fuzzing")]
    Local(tokio::io::DuplexStream),
}

impl Socket {
    pub(crate) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whom it is connected to.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.peer_addr(),
            Self::Tls(stream) => stream.get_ref().0.peer_addr(),
            #[cfg(feature = "fuzzing")]
            Self::Local(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The certificate that the other end showed, in DER.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        let Self::Tls(stream) = self else { return None };
        stream.get_ref().1.peer_certificates()?.first().map(|certificate| certificate.as_ref())
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            #[cfg(feature = "fuzzing")]
            Self::Local(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(socket) => Pin::new(&mut **socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            #[cfg(feature = "fuzzing")]
            Self::Local(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(socket) => Pin::new(&mut **socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            #[cfg(feature = "fuzzing")]
            Self::Local(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(socket) => Pin::new(&mut **socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            #[cfg(feature = "fuzzing")]
            Self::Local(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => Pin::new(&mut **socket).poll_shutdown(cx),
        }
    }
}

/// Bytes on their way out, in order.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Handed-over buffers, before `tail`.
    segments: VecDeque<BytesMut>,
    /// Where messages are appended.
    tail: BytesMut,
    len: usize,
    unflushed: bool,
}

impl Outbox {
    /// Appends what an encoder writes.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.len += self.tail.len() - before;
    }

    /// The same for an encoder that may refuse; then nothing was appended.
    pub(crate) fn put<E>(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<(), E> {
        let before = self.tail.len();
        let written = write(&mut self.tail);
        if written.is_err() {
            self.tail.truncate(before);
        }
        self.len += self.tail.len() - before;
        written
    }

    /// Queues a run of whole or partial frames: small ones by copy, large ones by handing the buffer over.
    pub(crate) fn push(&mut self, run: BytesMut) {
        self.len += run.len();
        if run.len() <= COPY_BYTES_MAX {
            self.tail.extend_from_slice(&run);
            return;
        }
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.segments.push_back(tail);
        }
        self.segments.push_back(run);
    }

    const fn is_full(&self) -> bool {
        self.len >= OUTBOX_BYTES_MAX
    }

    fn poll_write(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.len > 0 {
            let front = match self.segments.front_mut() {
                Some(segment) => segment,
                None => &mut self.tail,
            };
            let written = match Pin::new(&mut *socket).poll_write(cx, front) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            front.advance(written);
            self.len -= written;
            self.unflushed = true;
            if front.is_empty() && self.segments.front().is_some() {
                self.segments.pop_front();
            }
        }
        if self.unflushed {
            match Pin::new(socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// One side: its socket, what was read and not yet understood, what is to be written.
pub(crate) struct Wire {
    pub(crate) socket: Socket,
    pub(crate) inbox: BytesMut,
    pub(crate) outbox: Outbox,
    read_bytes: usize,
    /// The other end has said that it sends no more.
    pub(crate) is_ended: bool,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, inbox: BytesMut::new(), outbox: Outbox::default(), read_bytes: READ_BYTES_MIN, is_ended: false }
    }

    /// Reads once; at the end of the stream answers 0.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// Writes all that is queued.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outbox.poll_write(&mut self.socket, cx)).await
    }

    /// Ends the stream in both directions.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        self.flush().await?;
        poll_fn(|cx| Pin::new(&mut self.socket).poll_shutdown(cx)).await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.reserve(self.read_bytes);
        let before = self.inbox.len();
        // The future of `read_buf` keeps no state between polls, so a fresh one each time is the same read.
        match pin!(self.socket.read_buf(&mut self.inbox)).poll(cx) {
            Poll::Ready(Ok(_)) => {
                let read = self.inbox.len() - before;
                self.is_ended |= read == 0;
                self.read_bytes = if read >= self.read_bytes { READ_BYTES_MAX } else { READ_BYTES_MIN };
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What one step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The caller sent bytes, or ended.
    Caller,
    /// The target sent bytes, or ended.
    Target,
}

/// Which side broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the caller's connection broke")]
    Caller(#[source] io::Error),
    #[error("the target's connection broke")]
    Target(#[source] io::Error),
}

/// Writes what is queued on both sides and reads from whichever has something, unless its counterpart is full.
pub(crate) async fn step(caller: &mut Wire, target: &mut Wire, reads_caller: bool) -> Result<Event, Broken> {
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = caller.outbox.poll_write(&mut caller.socket, cx) {
            return Poll::Ready(Err(Broken::Caller(error)));
        }
        if let Poll::Ready(Err(error)) = target.outbox.poll_write(&mut target.socket, cx) {
            return Poll::Ready(Err(Broken::Target(error)));
        }
        if !target.is_ended && !caller.outbox.is_full() {
            match target.poll_read(cx) {
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(Event::Target)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Target(error))),
                Poll::Pending => {}
            }
        }
        if reads_caller && !caller.is_ended && !target.outbox.is_full() {
            match caller.poll_read(cx) {
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(Event::Caller)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Caller(error))),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}
