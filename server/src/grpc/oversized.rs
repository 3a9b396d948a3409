//! Requests that the transport refuses for their size, told as every other failure is.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

use super::status;

/// A gRPC service whose refusals of large requests carry reason and details.
///
/// tonic refuses a message above the limit by its length prefix, before it is read, with
/// `OUT_OF_RANGE` and no details; the contract says `RESOURCE_EXHAUSTED` and `LIMIT_EXCEEDED`.
#[derive(Clone, Debug)]
pub struct Oversized<S>(S);

impl<S> Oversized<S> {
    /// Wraps a service.
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S: NamedService> NamedService for Oversized<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Oversized<S>
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
        let response = self.0.call(request);
        Box::pin(async move {
            let response = response.await?;
            // Only a refusal before the response began stands in the headers.
            Ok(match Status::from_header_map(response.headers()) {
                Some(refused) if refused.code() == Code::OutOfRange => {
                    status::status(&status::of_broken_stream(&refused)).into_http()
                }
                Some(_) | None => response,
            })
        })
    }
}
