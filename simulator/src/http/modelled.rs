//! Answers of the local model, over the same wire as all others.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::{Response, body::Answer, closing, connection::Line, refusal, respond};
use crate::{
    exception::Exception,
    fault::{Fault, Place},
    journal::{Exchange, Outcome},
    live::Live,
    local::Model,
    pace::Pace,
    player::Player,
    reply::Reply,
    wire::{Operation, Request},
};

/// Lets the model speak; `reply` has nothing but the pace and the faults of the rule.
pub(super) async fn answer(
    model: &Model,
    request: &Request,
    reply: &Reply,
    mut exchange: Exchange,
    line: Arc<Line>,
    request_id: &str,
) -> Response {
    let started = Instant::now();
    // What it answers takes as long as it takes; only a rule can slow it down.
    let pace = reply.pace.clone().unwrap_or_default();
    let mut reply = Reply {
        invoked_model_id: Some(model.id().to_owned()),
        ..reply.clone()
    };
    let begun = match model.ask(request) {
        Ok(mut live) => live.begun().await.map(|tokens| (live, tokens)),
        Err(exception) => Err(exception),
    };
    let (mut live, tokens) = match begun {
        Ok(begun) => begun,
        Err(exception) => return refuse(exchange, &exception, request_id),
    };
    let (player, live, content_type) = match request.operation {
        Operation::CountTokens => {
            exchange.answered(200);
            exchange.end(Outcome::Completed);
            let body = Bytes::from(json!({"inputTokens": tokens}).to_string());
            let body = Answer::bytes(body);
            return respond(StatusCode::OK, "application/json", request_id, body);
        }
        Operation::ConverseStream => {
            let closing = closing(request, &reply, &Pace::default(), started);
            (
                Player::growing(reply, closing, pace),
                Some(live),
                "application/vnd.amazon.eventstream",
            )
        }
        Operation::Converse => {
            let latency = gather(&mut reply, &mut live).await;
            if let Some((Place::AfterChunk(_), Fault::Exception(exception))) = &reply.faults.at {
                let exception = exception.clone();
                exchange.answered(exception.status);
                exchange.end(Outcome::Fault(exception.name.to_string()));
                return refusal(&exception, request_id);
            }
            reply.latency_ms = Some(latency);
            let closing = closing(request, &reply, &Pace::default(), started);
            (
                Player::whole(Arc::new(reply), closing),
                None,
                "application/json",
            )
        }
    };
    exchange.answered(200);
    let body = Answer::playing(player, live, exchange, line);
    respond(StatusCode::OK, content_type, request_id, body)
}

/// Waits for the whole answer, and tells how many milliseconds it took.
async fn gather(reply: &mut Reply, live: &mut Live) -> u64 {
    loop {
        let event = live.next().await;
        let is_last = event.is_last();
        reply.grow(event, Place::AfterChunk(0));
        if is_last {
            return live.latency_ms();
        }
    }
}

fn refuse(mut exchange: Exchange, exception: &Exception, request_id: &str) -> Response {
    exchange.answered(exception.status);
    exchange.end(Outcome::Refused(exception.name.to_string()));
    refusal(exception, request_id)
}
