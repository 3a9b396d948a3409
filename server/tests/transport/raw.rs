//! A client of HTTP/2 that does only what it is told, frame by frame.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::within;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const CANCEL: u32 = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Bytes,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Bytes>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_uint(self.payload.len() as u64, 3);
        out.put_u8(self.kind);
        out.put_u8(self.flags);
        out.put_u32(self.stream);
        out.put_slice(&self.payload);
    }
}

/// A call's headers, which the server's table then holds.
pub(crate) fn headers(stream: u32, path: &str) -> Frame {
    let mut block = BytesMut::new();
    block.put_slice(&[0x83, 0x86]); // :method POST, :scheme http
    for (name, value) in [(0x44, path), (0x41, "probe")] {
        block.put_u8(name);
        block.put_u8(value.len() as u8);
        block.put_slice(value.as_bytes());
    }
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        block.put_u8(0x40);
        block.put_u8(name.len() as u8);
        block.put_slice(name.as_bytes());
        block.put_u8(value.len() as u8);
        block.put_slice(value.as_bytes());
    }
    Frame::new(HEADERS, END_HEADERS, stream, block)
}

/// The headers of the last call again, as short as they can be: by their places in the table.
pub(crate) fn same_headers(stream: u32) -> Frame {
    let block: &[u8] = &[0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];
    Frame::new(HEADERS, END_HEADERS, stream, block)
}

pub(crate) fn reset(stream: u32) -> Frame {
    Frame::new(RST_STREAM, 0, stream, CANCEL.to_be_bytes().to_vec())
}

pub(crate) fn data(stream: u32, bytes: &'static [u8]) -> Frame {
    Frame::new(DATA, 0, stream, bytes)
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Frame {
    Frame::new(WINDOW_UPDATE, 0, stream, bytes.to_be_bytes().to_vec())
}

pub(crate) struct Raw {
    pub(crate) socket: TcpStream,
    received: BytesMut,
    /// Answers SETTINGS and PING, as a healthy client does.
    pub(crate) is_healthy: bool,
}

impl Raw {
    /// Connects, and says what a client says first.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut raw = Self {
            socket,
            received: BytesMut::new(),
            is_healthy: true,
        };
        raw.write(PREFACE).await;
        // The connection's window is opened wide: no test is about it.
        raw.send(&[
            Frame::new(SETTINGS, 0, 0, Bytes::new()),
            window_update(0, 1 << 30),
        ])
        .await;
        raw
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        let mut out = BytesMut::new();
        for frame in frames {
            frame.write(&mut out);
        }
        self.write(&out).await;
    }

    /// Opens a call, and waits for the first byte of its answer.
    pub(crate) async fn call(&mut self, stream: u32, path: &str) -> Frame {
        self.send(&[headers(stream, path)]).await;
        self.next_of(DATA, stream).await
    }

    /// The next frame; `None` when the server closed.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        within(Duration::from_secs(20), self.read()).await
    }

    async fn read(&mut self) -> Option<Frame> {
        let frame = loop {
            if let Some(frame) = self.parse() {
                break frame;
            }
            match self.socket.read_buf(&mut self.received).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        };
        if self.is_healthy && frame.flags & ACK == 0 && matches!(frame.kind, SETTINGS | PING) {
            let payload = if frame.kind == PING {
                frame.payload.clone()
            } else {
                Bytes::new()
            };
            let mut answer = BytesMut::new();
            Frame::new(frame.kind, ACK, 0, payload).write(&mut answer);
            // The server may have closed since; what it said before is still read.
            let _ = self.socket.write_all(&answer).await;
        }
        Some(frame)
    }

    fn parse(&mut self) -> Option<Frame> {
        let header: [u8; 9] = self.received.get(..9)?.try_into().unwrap();
        let length =
            usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        if self.received.len() < 9 + length {
            return None;
        }
        self.received.advance(9);
        Some(Frame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes(header[5..].try_into().unwrap()),
            payload: self.received.split_to(length).freeze(),
        })
    }

    /// The next frame of a kind on a stream; others are passed over.
    #[track_caller]
    pub(crate) fn next_of(&mut self, kind: u8, stream: u32) -> impl Future<Output = Frame> {
        let caller = std::panic::Location::caller();
        async move {
            let mut seen = Vec::new();
            while let Some(frame) = self.frame().await {
                if (frame.kind, frame.stream) == (kind, stream) {
                    return frame;
                }
                seen.push((frame.kind, frame.stream));
            }
            panic!("closed before a frame of kind {kind} on {stream} ({caller}); seen: {seen:?}")
        }
    }

    /// All frames up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}

/// The last stream id of a GOAWAY, and its error code.
pub(crate) fn goaway(frame: &Frame) -> (u32, u32) {
    assert_eq!(frame.kind, GOAWAY, "{frame:?}");
    let mut payload = frame.payload.clone();
    (payload.get_u32(), payload.get_u32())
}
