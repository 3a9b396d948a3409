//! Connections: accepted, served by HTTP/1.1 or HTTP/2 as the client speaks, and cut on demand.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{State, route};
use crate::fault::Cut;

/// Streams that one HTTP/2 connection may have open: as many as a load test wants.
const MAX_STREAMS: u32 = 100_000;

/// Pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// Bytes that hyper buffers between a body and the socket; small, so that a client that
/// does not read is felt soon.
const WRITE_BUFFER: usize = 128 * 1024;

/// How long a connection that is cut by FIN waits for the peer's.
const LINGER: Duration = Duration::from_secs(2);

/// Accepts connections until `stop`, then ends all of them.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let connection = serve_connection(stream, Arc::clone(&state));
                connections.spawn(stop.clone().run_until_cancelled_owned(connection));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve_connection(stream: TcpStream, state: Arc<State>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let line = Arc::new(Line::default());
    let io = TokioIo::new(Tap {
        stream: Some(stream),
        line: Arc::clone(&line),
    });
    let service = service_fn(move |request| route(request, Arc::clone(&state), Arc::clone(&line)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .half_close(false)
        .max_buf_size(WRITE_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS);
    if let Err(error) = builder.serve_connection(io, service).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// What a response body and its connection tell each other.
#[derive(Debug, Default)]
pub(crate) struct Line {
    flushes: AtomicU64,
    flushed: AtomicWaker,
    cut: AtomicU8,
    reader: AtomicWaker,
}

impl Line {
    const UNCUT: u8 = 0;
    const CLOSED: u8 = 1;
    const RESET: u8 = 2;

    /// How often everything written has reached the kernel.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Waits until everything written after the count `seen` has reached the kernel.
    pub(crate) fn poll_flushed(&self, seen: u64, cx: &Context<'_>) -> Poll<()> {
        self.flushed.register(cx.waker());
        if self.flushes() > seen {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Ends the connection at its next use.
    pub(crate) fn cut(&self, how: Cut) {
        let how = match how {
            Cut::Reset => Self::RESET,
            Cut::Close => Self::CLOSED,
        };
        self.cut.store(how, Ordering::Release);
        self.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) == Self::UNCUT {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "cut by the scenario",
            ))
        }
    }
}

/// A socket that reports flushes and can be cut from a response body.
#[derive(Debug)]
struct Tap {
    /// Taken only when it is dropped.
    stream: Option<TcpStream>,
    line: Arc<Line>,
}

impl Tap {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        match self.line.cut.load(Ordering::Acquire) {
            Line::RESET => {
                if let Err(error) = stream.set_zero_linger() {
                    tracing::warn!(%error, "cannot reset a connection; it is closed in order");
                }
            }
            Line::CLOSED => {
                // Detached because nobody is left to own it; it ends after `LINGER`.
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(timeout(LINGER, close_in_order(stream)));
                }
            }
            _ => {}
        }
    }
}

/// Sends FIN and reads until the peer does: the kernel sends RST instead when a socket is
/// closed with bytes that nobody read.
async fn close_in_order(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut unread = [0; 4096];
        while matches!(stream.read(&mut unread).await, Ok(1..)) {}
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.reader.register(cx.waker());
        self.line.check()?;
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.line.check()?;
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.check()?;
        self.stream()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream()?.poll_flush(cx)?;
        if flushed.is_ready() {
            self.line.flushes.fetch_add(1, Ordering::AcqRel);
            self.line.flushed.wake();
        }
        flushed.map(Ok)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
