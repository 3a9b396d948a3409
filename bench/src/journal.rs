//! The simulator's journal, read over HTTP.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{load::PATIENCE, scenario::Answer};

/// Pause between two looks at the journal.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What the simulator saw of one call.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Entry {
    /// When the request was read, in microseconds since 1970.
    pub(crate) received_at: u64,
    /// When it ended, likewise.
    pub(crate) ended_at: Option<u64>,
    /// How it ended.
    pub(crate) outcome: Value,
    request: Value,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
}

impl Entry {
    /// Whether the caller's side closed it before its end.
    pub(crate) fn was_closed(&self) -> bool {
        self.outcome == "client_closed"
    }

    /// The text of the first message.
    fn first_prompt(&self) -> Option<&str> {
        self.request["messages"][0]["content"][0]["text"].as_str()
    }

    /// The text of the last message.
    fn prompt(&self) -> Option<&str> {
        let message = self.request["messages"].as_array()?.last()?;
        message["content"][0]["text"].as_str()
    }
}

/// Forgets what was written so far.
pub(crate) async fn clear(simulator: SocketAddr) -> Result<()> {
    ask(simulator, Method::DELETE).await.map(|_| ())
}

/// Waits until so many calls for an answer have ended, and gives them by number.
pub(crate) async fn ended(
    simulator: SocketAddr,
    answer: Answer,
    calls: usize,
) -> Result<BTreeMap<usize, Entry>> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let page: Page = serde_json::from_slice(&ask(simulator, Method::GET).await?)?;
        let ended: BTreeMap<usize, Entry> = page
            .entries
            .into_iter()
            .filter(|entry| entry.ended_at.is_some())
            .filter_map(|entry| Some((answer.number(entry.prompt()?)?, entry)))
            .collect();
        if ended.len() == calls {
            return Ok(ended);
        }
        if Instant::now() > limit {
            bail!("of {calls} model calls only {} have ended", ended.len());
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Gives the time between the two model calls of each turn of an answer: from the end of the first
/// until the second was read.
pub(crate) async fn between(
    simulator: SocketAddr,
    answer: Answer,
    turns: usize,
) -> Result<Vec<Duration>> {
    let page: Page = serde_json::from_slice(&ask(simulator, Method::GET).await?)?;
    let mut calls: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
    for entry in page.entries {
        if let Some(number) = entry
            .first_prompt()
            .and_then(|prompt| answer.number(prompt))
        {
            calls.entry(number).or_default().push(entry);
        }
    }
    if calls.len() != turns {
        bail!("of {turns} turns {} are in the journal", calls.len());
    }
    let between = calls.into_iter().map(|(number, calls)| match &calls[..] {
        [first, second] => {
            let ended = first.ended_at.context("a model call has not ended")?;
            Ok(Duration::from_micros(
                second.received_at.saturating_sub(ended),
            ))
        }
        _ => bail!("turn {number} made {} model calls", calls.len()),
    });
    between.collect()
}

async fn ask(simulator: SocketAddr, method: Method) -> Result<Bytes> {
    let stream = TcpStream::connect(simulator).await;
    let stream = TokioIo::new(stream.context("cannot reach the simulator")?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    // Ends with the sender, at the end of this function.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri("/_simulator/journal")
        .header("host", simulator.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status != StatusCode::OK {
        bail!("the journal answers {status}: {body:?}");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_tells_its_call_and_how_it_ended() {
        let page: Page = serde_json::from_value(serde_json::json!({"entries": [{
            "number": 1, "received_at": 10, "ended_at": 12, "outcome": "client_closed",
            "request": {"messages": [{"role": "user", "content": [{"text": "silent 4"}]}]},
        }]}))
        .unwrap();
        assert!(page.entries[0].was_closed());
        assert_eq!(page.entries[0].prompt(), Some("silent 4"));
    }
}
