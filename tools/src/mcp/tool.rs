//! One tool of an MCP server.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use http::HeaderMap;
use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{
        self, CallToolRequest, CallToolRequestParams, CancelledNotificationParam, ClientRequest,
        GetExtensions as _, MetaObject, RequestId, RequestMetaObject, ServerResult,
    },
    service::PeerRequestOptions,
};
use serde_json::Value;
use tokio::{runtime::Handle, time};

use super::{
    failure::{self, Effect},
    http::Forwarded,
    link::{Link, State},
    result,
};
use crate::{Call, Caller, Definition, Error, Output, Tool};

/// Key of the idempotency key in a call's `_meta`.
const IDEMPOTENCY_KEY: &str = "taiwa.v1/idempotency-key";

/// Headers of the trace that a call belongs to, which go along under the same names in `_meta`.
/// <https://modelcontextprotocol.io/specification/2026-07-28/basic/index#_meta>
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// A tool of an MCP server, called on whatever connection there is.
#[derive(Debug)]
pub(super) struct McpTool {
    definition: Definition,
    target: Arc<Target>,
}

/// What a call is made to.
#[derive(Debug)]
struct Target {
    link: Arc<Link>,
    /// The tool's name with its server.
    name: String,
    effect: Effect,
}

/// Tells the server that a call's result is not wanted any more, unless it has come.
struct Abandoned {
    call: Option<(Peer<RoleClient>, RequestId)>,
}

impl McpTool {
    pub(super) fn new(link: Arc<Link>, definition: Definition, listed: &model::Tool) -> Self {
        let hints = listed.annotations.clone().unwrap_or_default();
        let effect = if hints.read_only_hint == Some(true) {
            Effect::None
        } else if hints.is_idempotent() {
            Effect::Repeatable
        } else {
            Effect::Any
        };
        let target = Target {
            link,
            name: listed.name.to_string(),
            effect,
        };
        Self {
            definition,
            target: Arc::new(target),
        }
    }
}

impl Tool for McpTool {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Output, Error>> {
        let target = Arc::clone(&self.target);
        async move { target.call(call).await }.boxed()
    }
}

impl Target {
    async fn call(&self, call: Call) -> Result<Output, Error> {
        let server = &*self.link.name;
        let peer = match self.link.state() {
            State::Up(peer) => peer,
            State::Down(why) => return Err(failure::not_reached(server, &why)),
        };
        let mut request = CallToolRequest::new(
            CallToolRequestParams::new(self.name.clone()).with_arguments(call.input),
        );
        request
            .extensions_mut()
            .insert(Forwarded(self.forwarded(&call.caller.metadata)));
        let request = ClientRequest::CallToolRequest(request);
        let options =
            PeerRequestOptions::default().with_meta(meta(&call.idempotency_key, &call.caller));
        // No limits of the SDK's: the call's deadline is the only one.
        let mut sent = peer
            .send_request_with_option(request, options)
            .await
            .map_err(|_| failure::not_reached(server, "the connection has just been closed"))?;
        let mut abandoned = Abandoned {
            call: Some((peer, sent.id.clone())),
        };
        let listening = self.link.listen(sent.progress_token.clone(), call.progress);
        let answer = time::timeout_at(call.deadline.into(), &mut sent.rx).await;
        drop(listening);
        let Ok(answer) = answer else {
            let why = "it had not answered when the call's time was over, and was told to stop";
            return Err(failure::lost(server, self.effect, why));
        };
        abandoned.call = None;
        match answer.unwrap_or(Err(ServiceError::TransportClosed)) {
            Ok(answer) => self.output(answer, &call.id, call.max_result_bytes),
            Err(error) => {
                if failure::leaves_doubt(&error) {
                    self.link.changed.notify_one();
                }
                Err(failure::of_call(server, self.effect, error))
            }
        }
    }

    fn output(&self, answer: ServerResult, id: &str, max_bytes: usize) -> Result<Output, Error> {
        let server = &*self.link.name;
        if let ServerResult::CallToolResult(result) = answer {
            return Ok(result::output(result, id, max_bytes));
        }
        if let ServerResult::EmptyResult(_) = answer {
            let nothing = model::CallToolResult::default();
            return Ok(result::output(nothing, id, max_bytes));
        }
        if let ServerResult::InputRequiredResult(_) = answer {
            return Err(Error::Failed(format!(
                "the tool did not finish: the MCP server '{server}' asks for more input from a \
                 user or a model, which this service does not give"
            )));
        }
        Err(failure::of_call(
            server,
            self.effect,
            ServiceError::UnexpectedResponse,
        ))
    }

    fn forwarded(&self, metadata: &HeaderMap) -> HeaderMap {
        let listed = self.link.forward_metadata.iter();
        listed
            .filter_map(|name| Some((name.clone(), metadata.get(name)?.clone())))
            .collect()
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some((peer, id)) = self.call.take() else {
            return;
        };
        let notice = CancelledNotificationParam::new(Some(id), Some("not wanted any more".into()));
        // A task of its own, as dropping cannot wait; it ends with the notice sent or the
        // connection lost. Without a runtime there is no connection either.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // A connection that is lost needs no notice.
                let _ = peer.notify_cancelled(notice).await;
            });
        }
    }
}

fn meta(idempotency_key: &str, caller: &Caller) -> RequestMetaObject {
    let mut meta = MetaObject::new();
    let mut insert = |name: &str, value: &str| {
        meta.0
            .insert(name.to_owned(), Value::String(value.to_owned()));
    };
    insert(IDEMPOTENCY_KEY, idempotency_key);
    for name in TRACE_HEADERS {
        let value = caller.metadata.get(name);
        if let Some(value) = value.and_then(|value| value.to_str().ok()) {
            insert(name, value);
        }
    }
    RequestMetaObject(meta)
}
