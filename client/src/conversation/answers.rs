//! Runs the tool calls of one conversation, and keeps their results until they are sent.

use std::collections::{BTreeMap, VecDeque};

use tokio::task::{AbortHandle, Id, JoinSet};

use crate::{Event, Tools, event::Payload, pb};

/// The tool calls under way. Dropping it stops them.
#[derive(Debug, Default)]
pub(super) struct Answers {
    tools: Option<Tools>,
    running: JoinSet<pb::ToolResult>,
    calls: BTreeMap<Id, Call>,
    results: VecDeque<pb::ToolResult>,
}

#[derive(Debug)]
struct Call {
    tool_call_id: String,
    turn_id: String,
    abort: AbortHandle,
}

impl Answers {
    pub(super) fn begin(&mut self, tools: Tools) {
        self.tools = Some(tools);
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// The oldest result that is not sent.
    pub(super) fn next_result(&self) -> Option<&pb::ToolResult> {
        self.results.front()
    }

    pub(super) fn remove_result(&mut self) {
        self.results.pop_front();
    }

    /// Drops what can no longer be told anybody.
    pub(super) fn abandon(&mut self) {
        self.running.abort_all();
        self.results.clear();
    }

    /// Starts the call that the event brings, or stops those whose results it
    /// says are not wanted.
    pub(super) fn follow(&mut self, event: &Event) {
        if let Some(call) = event.client_tool_call() {
            self.start(call, &event.turn_id);
        } else if let Payload::ToolCallsCancelled(cancelled) = &event.payload {
            self.stop(|call| cancelled.tool_call_ids.contains(&call.tool_call_id));
        } else if event.turn_ended().is_some() {
            self.stop(|call| call.turn_id == event.turn_id);
        }
    }

    /// Waits until one of the running calls is done. Cancel-safe.
    pub(super) async fn collect(&mut self) {
        let Some(done) = self.running.join_next_with_id().await else {
            return;
        };
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        self.results.push_back(match done {
            Ok((_, result)) => result,
            Err(_panicked) => pb::ToolResult {
                tool_call_id: call.tool_call_id,
                text: "the tool broke down".to_owned(),
                is_error: true,
                ..Default::default()
            },
        });
    }

    fn start(&mut self, call: &pb::ToolCall, turn_id: &str) {
        let Some(tools) = &self.tools else { return };
        let abort = self.running.spawn(tools.run(call));
        let call = Call {
            tool_call_id: call.tool_call_id.clone(),
            turn_id: turn_id.to_owned(),
            abort,
        };
        self.calls.insert(call.abort.id(), call);
    }

    /// Stops calls and drops their results, also those that wait to be sent.
    fn stop(&mut self, unwanted: impl Fn(&Call) -> bool) {
        self.calls.retain(|_, call| {
            let unwanted = unwanted(call);
            if unwanted {
                call.abort.abort();
                self.results
                    .retain(|result| result.tool_call_id != call.tool_call_id);
            }
            !unwanted
        });
    }
}
