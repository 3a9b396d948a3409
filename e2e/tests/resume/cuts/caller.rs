//! A caller of turns that is cut, and resumes.

use std::time::Duration;

use rand::{Rng as _, rngs::SmallRng};
use taiwa::v1 as pb;
use taiwa_e2e::{Client, call};

use super::random::Tally;
use crate::{
    listener::{listen, listen_to_turn},
    seen::Seen,
    weather::{self, calls_in, result_of},
};

/// The caller, between its calls.
pub(super) struct Caller {
    session_id: String,
    stream: pb::StreamOptions,
    /// What came, over all calls.
    pub(super) seen: Seen,
    requests: usize,
}

impl Caller {
    pub(super) fn new(session_id: &str, stream: pb::StreamOptions) -> Self {
        Self {
            session_id: session_id.to_owned(),
            stream,
            seen: Seen::default(),
            requests: 0,
        }
    }

    /// Runs a turn to its end, cut wherever it happens.
    pub(super) async fn ask(
        &mut self,
        client: &mut Client,
        prompt: &str,
        tally: &mut Tally,
        rng: &mut SmallRng,
    ) {
        tally.add_turn(prompt);
        let mut request = pb::InvokeRequest {
            session_id: self.session_id.clone(),
            options: Some(weather::options()),
            stream: Some(self.stream),
            ..call::prompt(prompt)
        };
        loop {
            self.requests += 1;
            request.request_id = format!("{}-{}", self.session_id, self.requests);
            let first = self.seen.events().len();
            while !self.seen.events()[first..].last().is_some_and(call::is_end) {
                tally.cuts += usize::from(self.read(client, &request, first, rng).await);
            }
            let events = &self.seen.events()[first..];
            let Some(pb::event::Payload::TurnEnded(result)) =
                events.last().and_then(|event| event.payload.as_ref())
            else {
                unreachable!("read to its end");
            };
            if result.status() != pb::TurnStatus::Paused {
                assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
                return;
            }
            request.prompt.clear();
            request.tool_results = calls_in(events).into_iter().map(result_of).collect();
        }
    }

    /// Reads on in one of the ways there are; tells whether it was cut.
    async fn read(
        &mut self,
        client: &mut Client,
        request: &pb::InvokeRequest,
        first: usize,
        rng: &mut SmallRng,
    ) -> bool {
        let most = rng.random_range(0..20);
        match rng.random_range(0..6) {
            0 | 1 if self.seen.cursor() > 0 => {
                listen(client, &self.session_id, &mut self.seen, most).await;
                true
            }
            2 if self.seen.events().len() > first => {
                let turn = listen_to_turn(client, &self.session_id, &self.seen, most);
                let (events, was_cut) = turn.await;
                events.into_iter().for_each(|event| self.seen.take(event));
                was_cut
            }
            _ => {
                // At times too short for an answer.
                let patience = if rng.random_ratio(1, 8) {
                    Duration::from_micros(rng.random_range(100..5_000))
                } else {
                    call::PATIENCE
                };
                let calling = client.invoke_stream(request.clone());
                let Ok(called) = tokio::time::timeout(patience, calling).await else {
                    assert!(patience < call::PATIENCE, "InvokeStream answers in time");
                    return true;
                };
                let mut stream = called.unwrap().into_inner();
                for _ in 0..most {
                    match call::next_of(&mut stream).await.unwrap() {
                        Some(event) => self.seen.take_or_check(event),
                        None => return false,
                    }
                }
                true
            }
        }
    }
}
