//! The simulator's own routes, which need no signature.
//!
//! | route | does |
//! | --- | --- |
//! | `GET /_simulator/journal?after=R&wait=5s` | entries changed after revision R; waits for one |
//! | `DELETE /_simulator/journal` | forgets all entries |
//! | `POST /_simulator/scenario` | replaces the script by the TOML of the body |

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Response, State, body::Answer, respond};
use crate::script::Script;

/// A scenario larger than this is a mistake; `repeat` makes large answers from small files.
const MAX_SCENARIO: usize = 16 * 1024 * 1024;

/// The longest time that a poll of the journal may wait.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub(super) async fn route(parts: &Parts, path: &str, body: Incoming, state: &State) -> Response {
    match (&parts.method, path) {
        (&Method::GET, "journal") => match Poll::of_query(parts.uri.query().unwrap_or("")) {
            Ok(poll) => {
                let entries = state.journal.changed_after(poll.after, poll.wait).await;
                json_response(StatusCode::OK, &json!({"entries": entries}))
            }
            Err(message) => json_response(StatusCode::BAD_REQUEST, &json!({"message": message})),
        },
        (&Method::DELETE, "journal") => {
            state.journal.clear();
            json_response(StatusCode::OK, &json!({}))
        }
        (&Method::POST, "scenario") => match replace_script(body, state).await {
            Ok(()) => json_response(StatusCode::OK, &json!({})),
            Err(message) => json_response(StatusCode::BAD_REQUEST, &json!({"message": message})),
        },
        _ => json_response(
            StatusCode::NOT_FOUND,
            &json!({"message": "GET or DELETE /_simulator/journal, POST /_simulator/scenario"}),
        ),
    }
}

async fn replace_script(body: Incoming, state: &State) -> Result<(), String> {
    let body = Limited::new(body, MAX_SCENARIO).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let text = std::str::from_utf8(&body).map_err(|error| error.to_string())?;
    let script = Script::from_toml(text).map_err(|error| error.to_string())?;
    state.script.replace(script);
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Poll {
    after: u64,
    wait: Duration,
}

impl Poll {
    fn of_query(query: &str) -> Result<Self, String> {
        let mut poll = Self {
            after: 0,
            wait: Duration::ZERO,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "after" => {
                    poll.after = value
                        .parse()
                        .map_err(|_| format!("after: not a number: {value}"))?;
                }
                "wait" => {
                    let wait = humantime::parse_duration(value)
                        .map_err(|error| format!("wait: {error}: {value}"))?;
                    poll.wait = wait.min(MAX_WAIT);
                }
                _ => return Err(format!("unknown parameter {name}; known are after, wait")),
            }
        }
        Ok(poll)
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let body = Answer::bytes(Bytes::from(body.to_string()));
    respond(status, "application/json", "simulator", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_says_where_to_begin_and_how_long_to_wait() {
        let wait = Duration::from_secs(5);
        assert_eq!(
            Poll::of_query("after=7&wait=5s"),
            Ok(Poll { after: 7, wait })
        );
        assert_eq!(
            Poll::of_query(""),
            Ok(Poll {
                after: 0,
                wait: Duration::ZERO
            })
        );
        assert_eq!(Poll::of_query("wait=9h").unwrap().wait, MAX_WAIT);
        assert!(Poll::of_query("after=x").unwrap_err().contains("after"));
        assert!(Poll::of_query("befor=1").unwrap_err().contains("befor"));
    }
}
