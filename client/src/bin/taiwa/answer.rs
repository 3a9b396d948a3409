//! An answer on a terminal: the events of a turn become lines.

use std::time::Duration;

use taiwa_client::{Event, Payload, pb};

use crate::{
    calls::Calls,
    output::Output,
    render::{DIM, Piece, Renderer, wrap},
};

/// The lines of one turn, final ones and those that still change.
#[derive(Debug)]
pub(crate) struct Answer {
    width: usize,
    shows_reasoning: bool,
    text: Renderer,
    reasoning: String,
    /// Tool calls, where they are shown among the words.
    calls: Option<Calls>,
    finished: Vec<String>,
    has_lines: bool,
}

impl Answer {
    /// An answer with its tool calls among the words.
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            calls: Some(Calls::drawn(output)),
            ..Self::without_calls(output)
        }
    }

    /// An answer whose tool calls are told elsewhere.
    pub(crate) fn without_calls(output: &Output) -> Self {
        let width = output.width();
        Self {
            width,
            shows_reasoning: output.reasoning,
            text: Renderer::new(width),
            reasoning: String::new(),
            calls: None,
            finished: Vec::new(),
            has_lines: false,
        }
    }

    /// Takes an event in.
    pub(crate) fn follow(&mut self, event: &Event) {
        if let Some(text) = event.text() {
            self.end_reasoning();
            self.text.push(text);
            let lines = self.text.take_finished();
            self.finish(lines);
        } else if let Some(reasoning) = event.reasoning().filter(|_| self.shows_reasoning) {
            self.end_text();
            self.reasoning.push_str(reasoning);
        } else if let Payload::BlockStarted(started) = &event.payload {
            if started.kind() == pb::BlockKind::Text {
                self.end();
            }
        } else if event.turn_ended().is_some() || matches!(event.payload, Payload::ToolCall(_)) {
            self.end();
        }
        if let Some(calls) = &mut self.calls {
            let lines = calls.follow(event);
            self.finish(lines);
        }
    }

    /// Takes in what was answered to a call of a tool that runs here.
    pub(crate) fn answered(&mut self, result: &pb::ToolResult, took: Duration) {
        if let Some(calls) = &mut self.calls {
            let lines = calls.answered(result, took);
            self.finish(lines);
        }
    }

    /// Ends what is unfinished as it stands.
    pub(crate) fn end(&mut self) {
        self.end_reasoning();
        self.end_text();
    }

    /// Hands out the lines that became final.
    pub(crate) fn take_finished(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }

    /// The lines that still change; `mark` stands before calls that run.
    pub(crate) fn unfinished(&self, mark: &str) -> Vec<String> {
        let mut lines = self.reasoning_lines();
        lines.extend(self.text.unfinished());
        let calls = self.calls.iter();
        lines.extend(calls.flat_map(|calls| calls.unfinished(mark)));
        lines
    }

    /// Whether nothing of the answer can be seen yet.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_lines && self.unfinished("").is_empty()
    }

    fn end_text(&mut self) {
        self.text.end();
        let lines = self.text.take_finished();
        self.finish(lines);
    }

    fn end_reasoning(&mut self) {
        let mut lines = self.reasoning_lines();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        self.reasoning.clear();
        self.finish(lines);
    }

    fn finish(&mut self, lines: Vec<String>) {
        self.has_lines |= !lines.is_empty();
        self.finished.extend(lines);
    }

    fn reasoning_lines(&self) -> Vec<String> {
        let text = self.reasoning.trim();
        if text.is_empty() {
            return Vec::new();
        }
        let piece = Piece {
            text: text.to_owned(),
            style: DIM,
        };
        wrap(&[piece], self.width, "", "")
    }
}
