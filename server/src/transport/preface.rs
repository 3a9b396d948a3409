//! The first bytes of a connection, read before HTTP/2 is spoken so that they have a deadline.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time,
};

/// What every HTTP/2 client says first:
/// <https://www.rfc-editor.org/rfc/rfc9113.html#section-3.4>.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client of HTTP/1 is told.
const NOT_HTTP_1: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
    content-type: text/plain\r\n\
    connection: close\r\n\
    \r\n\
    This port speaks gRPC: HTTP/2 without TLS, from the first byte (prior knowledge).\n";

/// How much, and for how long, is read after an answer to HTTP/1.
///
/// Closing with unread bytes makes the system reset the connection, which takes the answer away
/// from a client that has not read it yet.
const FAREWELL_BYTES: u64 = 64 * 1024;
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection never came to speak HTTP/2.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The peer took too long.
    #[error("silent before the HTTP/2 preface was whole")]
    TimedOut,
    /// The peer speaks HTTP/1.
    #[error("speaks HTTP/1")]
    Http1,
    /// The peer speaks something else: TLS, or garbage.
    #[error("does not speak HTTP/2")]
    Garbage,
    /// The connection broke.
    #[error("ended before the HTTP/2 preface was whole")]
    Broken(#[source] io::Error),
}

/// Reads the preface, and gives the stream that begins with it.
///
/// A client of HTTP/1 is answered.
pub(super) async fn read(mut stream: TcpStream, limit: Duration) -> Result<Greeted, Error> {
    match time::timeout(limit, compare(&mut stream)).await {
        Err(_) => Err(Error::TimedOut),
        Ok(Ok(())) => Ok(Greeted {
            stream,
            replayed: 0,
        }),
        Ok(Err(error)) => {
            if let Error::Http1 = error {
                // Whether the peer hears it is its own affair.
                let _ = time::timeout(FAREWELL, answer_http_1(&mut stream)).await;
            }
            Err(error)
        }
    }
}

async fn compare(stream: &mut TcpStream) -> Result<(), Error> {
    let mut buf = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < buf.len() {
        let count = stream
            .read(&mut buf[filled..])
            .await
            .map_err(Error::Broken)?;
        if count == 0 {
            return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        filled += count;
        let said = &buf[..filled];
        if !PREFACE.starts_with(said) {
            let is_method = said
                .iter()
                .all(|byte| byte.is_ascii_graphic() || b" \r\n".contains(byte))
                && said[0].is_ascii_uppercase();
            return Err(if is_method {
                Error::Http1
            } else {
                Error::Garbage
            });
        }
    }
    Ok(())
}

async fn answer_http_1(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(NOT_HTTP_1).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

/// A stream whose preface was read; it is read from it again.
#[derive(Debug)]
pub(super) struct Greeted {
    stream: TcpStream,
    replayed: usize,
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &PREFACE[self.replayed..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.replayed += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
