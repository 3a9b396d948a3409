//! HTTP: routes, request ids, the signature, and answers.

pub(crate) mod admin;
mod auth;
mod body;
pub(crate) mod connection;
mod modelled;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use uuid::Uuid;

use self::{body::Answer, connection::Line};
use crate::{
    exception::Exception,
    fault::{Cut, Fault, Place},
    journal::{Exchange, Journal, Outcome},
    local::Model,
    pace::Pace,
    player::{Closing, Player},
    reply::{Block, Reply},
    rules,
    script::ScriptCell,
    tokens,
    wire::{Operation, Request, Usage},
};

/// The largest body: 25,000,000 bytes, as InvokeModel's `body` in the service model.
const MAX_BODY: usize = 25_000_000;

/// How much of a body that is too large is read all the same.
///
/// An answer to a body that nobody reads is lost: the connection is reset, and the answer with it.
const MAX_READ: usize = 2 * MAX_BODY;

/// Behind the exception's name in the header, as recorded from Bedrock, for instance in
/// the fixtures of `newrelic/newrelic-node-agent`.
const ERROR_TYPE_SUFFIX: &str = ":http://internal.amazon.com/coral/com.amazon.bedrock/";

/// Headers that the journal keeps: who asked, and which attempt it is.
const JOURNAL_HEADERS: [&str; 6] = [
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "content-type",
    "user-agent",
    "x-amz-user-agent",
    "x-amzn-trace-id",
];

/// What all connections share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) script: ScriptCell,
    pub(crate) journal: Journal,
    pub(crate) pace: Pace,
    pub(crate) model: Option<Model>,
}

type Response = http::Response<Answer>;

/// Answers one request, whatever it is.
async fn route(
    request: http::Request<Incoming>,
    state: Arc<State>,
    line: Arc<Line>,
) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    if let Some(path) = parts.uri.path().strip_prefix("/_simulator/") {
        let path = path.to_owned();
        return Ok(admin::route(&parts, &path, body, &state).await);
    }
    let request_id = Uuid::new_v4().to_string();
    let Some((operation, model_id)) = Operation::of_path(parts.uri.path()) else {
        return Ok(refusal(
            &Exception::new("UnknownOperationException", ""),
            &request_id,
        ));
    };
    if parts.method != Method::POST {
        return Ok(refusal(
            &Exception::new("UnknownOperationException", ""),
            &request_id,
        ));
    }

    let body = read(body).await;
    let size = body.as_ref().map_or(0, Bytes::len);
    let parsed = body
        .as_ref()
        .ok()
        .and_then(|body| serde_json::from_slice(body).ok());
    let well_formed = parsed.is_some();
    let request = Request {
        operation,
        model_id,
        body: parsed.unwrap_or(Value::Null),
    };
    let mut exchange = state.journal.open(
        &request,
        size,
        journal_headers(&parts.headers),
        request_id.clone(),
    );

    let judged = auth::check(&parts.headers)
        .and_then(|()| body.map(|_| ()))
        .and_then(|()| {
            if well_formed {
                rules::check(&request, state.model.as_ref().map(Model::id))
            } else {
                Err(rules::not_json())
            }
        });
    if let Err(exception) = judged {
        exchange.answered(exception.status);
        exchange.end(Outcome::Refused(exception.name.to_string()));
        return Ok(refusal(&exception, &request_id));
    }
    Ok(answer(&request, exchange, &state, line, &request_id).await)
}

async fn read(body: Incoming) -> Result<Bytes, Exception> {
    let too_large = || {
        Exception::new(
            "RequestEntityTooLargeException",
            format!("The request body is larger than {MAX_BODY} bytes."),
        )
    };
    match Limited::new(body, MAX_READ).collect().await {
        Ok(collected) => Some(collected.to_bytes())
            .filter(|bytes| bytes.len() <= MAX_BODY)
            .ok_or_else(too_large),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_broken) => Err(Exception::new(
            "SerializationException",
            "The request body ended before its announced length.",
        )),
    }
}

async fn answer(
    request: &Request,
    mut exchange: Exchange,
    state: &State,
    line: Arc<Line>,
    request_id: &str,
) -> Response {
    let started = Instant::now();
    let script = state.script.current();
    let model = state
        .model
        .as_ref()
        .filter(|model| rules::is_local(&request.model_id, model.id()));
    let chosen = script.choose(request, model.is_some());
    exchange.answered_by(chosen.rule);
    let reply = chosen.reply;
    let model = model.filter(|_| chosen.is_free);
    let pace = reply
        .pace
        .clone()
        .or_else(|| script.pace())
        .unwrap_or_else(|| state.pace.clone());

    match reply.faults.at(Place::BeforeHeaders) {
        Some(Fault::Exception(exception)) => {
            wait(pace.headers_delay).await;
            exchange.answered(exception.status);
            exchange.end(Outcome::Fault(exception.name.to_string()));
            return refusal(exception, request_id);
        }
        Some(Fault::Silence(Some(duration))) => wait(*duration).await,
        Some(Fault::Silence(None)) => std::future::pending().await,
        Some(Fault::Cut { how, .. }) => return cut_before_headers(exchange, &line, *how),
        None => {}
    }
    if let Some(model) = model {
        return modelled::answer(model, request, &reply, exchange, line, request_id).await;
    }
    wait(pace.headers_delay).await;

    let (player, content_type) = match request.operation {
        Operation::CountTokens => {
            let tokens = reply.input_tokens.unwrap_or_else(|| count_tokens(request));
            exchange.answered(200);
            exchange.end(Outcome::Completed);
            let body = Bytes::from(json!({"inputTokens": tokens}).to_string());
            return respond(
                StatusCode::OK,
                "application/json",
                request_id,
                Answer::bytes(body),
            );
        }
        Operation::ConverseStream => {
            let closing = closing(request, &reply, &pace, started);
            (
                Player::stream(reply, closing, pace),
                "application/vnd.amazon.eventstream",
            )
        }
        Operation::Converse => {
            if let Some((Place::AfterChunk(_), Fault::Exception(exception))) = &reply.faults.at {
                wait(whole_duration(&reply, &pace)).await;
                exchange.answered(exception.status);
                exchange.end(Outcome::Fault(exception.name.to_string()));
                return refusal(exception, request_id);
            }
            wait(whole_duration(&reply, &pace)).await;
            let closing = closing(request, &reply, &Pace::default(), started);
            (Player::whole(reply, closing), "application/json")
        }
    };
    exchange.answered(200);
    let body = Answer::playing(player, None, exchange, line);
    respond(StatusCode::OK, content_type, request_id, body)
}

async fn wait(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

/// How long the whole content takes to come, jitter left aside; Converse answers after it.
fn whole_duration(reply: &Reply, pace: &Pace) -> Duration {
    let chunks: u64 = reply.content.iter().map(Block::delta_count).sum();
    let tokens: u64 = reply.content.iter().map(Block::delta_tokens).sum();
    pace.whole_duration(chunks, tokens)
}

fn count_tokens(request: &Request) -> u64 {
    match request.body["input"]["invokeModel"]["body"].as_str() {
        // Four characters of base64 hold three bytes.
        Some(base64) => tokens::of_chars(base64.len() as u64 / 4 * 3),
        None => tokens::of_conversation(request.conversation()),
    }
}

/// What the answer says about itself: `usage`, `metrics`, `trace` and the rest.
fn closing(request: &Request, reply: &Reply, pace: &Pace, started: Instant) -> Closing {
    let usage = reply.usage.clone().unwrap_or_else(|| Usage {
        input_tokens: tokens::of_conversation(&request.body),
        output_tokens: reply.output_tokens(),
        ..Usage::default()
    });
    let latency = reply.latency_ms.unwrap_or_else(|| {
        let expected = started
            .elapsed()
            .saturating_add(whole_duration(reply, pace));
        u64::try_from(expected.as_millis()).unwrap_or(u64::MAX)
    });
    let mut metadata = json!({
        "usage": usage.to_json(),
        "metrics": {"latencyMs": latency},
    });
    if let Some(trace) = reply.trace() {
        metadata["trace"] = trace;
    }
    let latency = reply
        .performance_latency
        .as_ref()
        .map(|latency| json!({"latency": latency}));
    if let Some(config) = latency.or_else(|| request.body.get("performanceConfig").cloned()) {
        metadata["performanceConfig"] = config;
    }
    let tier = reply
        .service_tier
        .as_ref()
        .map(|tier| json!({"type": tier}));
    if let Some(tier) = tier.or_else(|| request.body.get("serviceTier").cloned()) {
        metadata["serviceTier"] = tier;
    }
    Closing { metadata }
}

/// Ends the connection where the status line should be.
fn cut_before_headers(mut exchange: Exchange, line: &Line, how: Cut) -> Response {
    line.cut(how);
    exchange.end(Outcome::Fault("cut".to_owned()));
    // Never sent: the connection fails at its next use, which is the writing of this.
    http::Response::new(Answer::bytes(Bytes::new()))
}

/// An exception as an HTTP response.
fn refusal(exception: &Exception, request_id: &str) -> Response {
    let status = StatusCode::from_u16(exception.status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = Answer::bytes(exception.body());
    let mut response = respond(status, "application/json", request_id, body);
    let error_type = HeaderValue::try_from(format!("{}{ERROR_TYPE_SUFFIX}", exception.name));
    if let Ok(error_type) = error_type {
        response
            .headers_mut()
            .insert("x-amzn-errortype", error_type);
    }
    response
}

fn respond(status: StatusCode, content_type: &'static str, id: &str, body: Answer) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

fn journal_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let kept = JOURNAL_HEADERS.iter().filter_map(|&name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_owned(), value.to_owned()))
    });
    kept.collect()
}
