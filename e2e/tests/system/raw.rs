//! A client that knows HTTP/2 alone, so that it can say what no gRPC client would.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use taiwa_e2e::{World, call::PATIENCE};
use tokio::{net::TcpStream, time::timeout};
use tonic::Status;

/// A connection of its own.
#[derive(Debug)]
pub(crate) struct Raw(SendRequest<Full<Bytes>>);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) http: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Raw {
    pub(crate) async fn connect(world: &World) -> Self {
        let stream = TcpStream::connect(world.server.local_addr()).await.unwrap();
        // Head and body are written apart, and must not wait for each other.
        stream.set_nodelay(true).unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        // Ends with the sender.
        tokio::spawn(connection);
        Self(sender)
    }

    /// Posts a body to a method of the agent service, or to any path that begins with a slash.
    pub(crate) async fn post(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, hyper::Error> {
        let path = match method.starts_with('/') {
            true => method.to_owned(),
            false => format!("/taiwa.v1.AgentService/{method}"),
        };
        let mut request = Request::post(format!("http://localhost{path}")).header("te", "trailers");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        timeout(PATIENCE, self.send(request))
            .await
            .expect("an answer comes in time")
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error> {
        let (head, body) = self.0.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Reply {
            http: head.status,
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }
}

impl Reply {
    /// The gRPC status, wherever it stands.
    pub(crate) fn status(&self) -> Status {
        let status = Status::from_header_map(&self.trailers);
        status
            .or_else(|| Status::from_header_map(&self.headers))
            .unwrap_or_else(|| panic!("no grpc-status in {self:?}"))
    }
}

/// A message with its length, as gRPC frames it.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}
