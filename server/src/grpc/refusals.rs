//! Requests that are refused before the service sees them, told as every other failure is.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use taiwa_core::Failure;
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

use super::status;

/// What a request's content type begins with; a subtype may follow.
///
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
const GRPC: &str = "application/grpc";

/// A gRPC service whose every refusal carries reason and details.
///
/// tonic takes any content type; a page in a browser may send `text/plain` anywhere without
/// asking, so what is not gRPC is refused with 415. tonic refuses a message above the limit, by
/// its length prefix, with `OUT_OF_RANGE`, and broken framing with `INTERNAL`, both without
/// details; the contract says `LIMIT_EXCEEDED` and `INVALID_REQUEST`.
#[derive(Clone, Debug)]
pub struct Refusals<S>(S);

impl<S> Refusals<S> {
    /// Wraps a service.
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S: NamedService> NamedService for Refusals<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Refusals<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !is_grpc(request.headers()) {
            return Box::pin(async { Ok(not_grpc()) });
        }
        let response = self.0.call(request);
        Box::pin(async move {
            let response = response.await?;
            // Only a refusal before the response began stands in the headers.
            Ok(match Status::from_header_map(response.headers()) {
                Some(refused) if is_tonics(&refused) => {
                    status::status(&status::of_broken_stream(&refused)).into_http()
                }
                Some(_) | None => response,
            })
        })
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok()?.strip_prefix(GRPC))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

fn not_grpc() -> Response<Body> {
    let failure = Failure::invalid("content-type", "must be application/grpc");
    let mut response = status::status(&failure).into_http();
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

/// True for what tonic says of a request that it cannot read; our own failures have details.
fn is_tonics(refused: &Status) -> bool {
    refused.details().is_empty() && matches!(refused.code(), Code::OutOfRange | Code::Internal)
}
