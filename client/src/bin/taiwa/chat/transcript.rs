//! What a conversation looks like, as lines.

use std::time::Duration;

use taiwa_client::{Event, Payload, pb};

use crate::{
    answer::Answer,
    connection,
    failure::Failure,
    output::Output,
    render::{bold, dim, red},
};

/// Lines that are final and lines that still change, from the events of a
/// conversation and the prompts sent in it.
#[derive(Debug)]
pub(super) struct Transcript<'a> {
    output: &'a Output,
    finished: Vec<String>,
    /// Prompts that were sent and have not started a turn.
    pending: Vec<Pending>,
    /// The running turn.
    answer: Option<Answer>,
    interrupting: bool,
}

#[derive(Debug)]
struct Pending {
    frame_id: String,
    prompt: String,
    note: String,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            finished: Vec::new(),
            pending: Vec::new(),
            answer: None,
            interrupting: false,
        }
    }

    pub(super) fn is_answering(&self) -> bool {
        self.answer.is_some()
    }

    pub(super) fn is_interrupting(&self) -> bool {
        self.interrupting
    }

    /// Whether the server is to speak next.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_answering() || !self.pending.is_empty()
    }

    /// The user asked for the answer to stop.
    pub(super) fn interrupt(&mut self) {
        self.interrupting = true;
    }

    /// A prompt is under way; it becomes part of the conversation when its turn starts.
    pub(super) fn sent(&mut self, frame_id: String, prompt: String) {
        self.pending.push(Pending {
            frame_id,
            prompt,
            note: String::new(),
        });
    }

    /// Adds a line between what was said so far and what follows.
    pub(super) fn say(&mut self, line: String) {
        self.end();
        self.finished.push(line);
    }

    /// Ends what is unfinished as it stands.
    pub(super) fn end(&mut self) {
        if let Some(answer) = &mut self.answer {
            answer.end();
            self.finished.extend(answer.take_finished());
        }
    }

    /// Takes an event in.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not about the conversation is about the answer"
    )]
    pub(super) fn follow(&mut self, event: &Event) {
        match &event.payload {
            Payload::FrameAccepted(accepted) => self.accepted(accepted),
            Payload::FrameRejected(rejected) => self.rejected(rejected),
            Payload::GoAway(go_away) => self.say(dim(connection::explain(go_away))),
            Payload::TurnStarted(started) => {
                if let Some(pending) = self.take_pending(&started.frame_id) {
                    self.echo(&pending.prompt);
                }
                self.interrupting = false;
                self.answer = Some(Answer::new(self.output));
            }
            Payload::TurnEnded(result) => {
                self.add(event);
                self.answer = None;
                self.ended(result);
            }
            _ => self.add(event),
        }
    }

    /// Takes in what a script of the user's answered.
    pub(super) fn answered(&mut self, result: &pb::ToolResult, took: Duration) {
        if let Some(answer) = &mut self.answer {
            answer.answered(result, took);
            self.finished.extend(answer.take_finished());
        }
    }

    /// Hands out the lines that became final.
    pub(super) fn take_finished(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }

    /// The lines that still change; `mark` stands before what is awaited.
    pub(super) fn unfinished(&self, mark: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(answer) = &self.answer {
            lines.extend(answer.unfinished(mark));
            let what = if self.interrupting {
                "interrupting"
            } else {
                "answering"
            };
            lines.push(dim(&format!("{mark} {what}")));
        }
        for pending in &self.pending {
            let room = self.output.width().saturating_sub(36);
            let first = pending.prompt.lines().next().unwrap_or_default();
            let first: String = first.chars().take(room).collect();
            lines.push(dim(format!("{mark} {first} {}", pending.note).trim_end()));
        }
        lines
    }

    fn accepted(&mut self, accepted: &pb::FrameAccepted) {
        let remark = match accepted.outcome() {
            pb::FrameOutcome::Queued => {
                let note = match accepted.queue_position {
                    0 => "(waits for the answer to end)".to_owned(),
                    ahead => format!("(waits, {ahead} ahead)"),
                };
                return self.note(&accepted.frame_id, note);
            }
            pb::FrameOutcome::Interrupted => {
                let note = "(interrupts the answer)".to_owned();
                return self.note(&accepted.frame_id, note);
            }
            pb::FrameOutcome::Steered => "joins the answer",
            pb::FrameOutcome::TooLate => "too late",
            pb::FrameOutcome::Unspecified
            | pb::FrameOutcome::Applied
            | pb::FrameOutcome::StartedTurn => return,
        };
        if let Some(pending) = self.take_pending(&accepted.frame_id) {
            self.say(dim(&format!("› {} ({remark})", pending.prompt)));
        }
    }

    fn rejected(&mut self, rejected: &pb::FrameRejected) {
        let error = rejected.error.clone().unwrap_or_default();
        let refused = match self.take_pending(&rejected.frame_id) {
            Some(pending) => format!("refused: {} ({})", pending.prompt, error.message),
            None => format!("refused: {}", error.message),
        };
        self.say(red(&refused));
    }

    fn ended(&mut self, result: &pb::TurnResult) {
        if let Some(failure) = Failure::of_result(result) {
            let line = failure.line();
            let interrupted = result.status() == pb::TurnStatus::Interrupted;
            self.say(if interrupted { dim(line) } else { red(line) });
        }
        for remark in self.output.remarks(result, self.output.columns()) {
            self.say(dim(&remark));
        }
        self.say(String::new());
        self.interrupting = false;
    }

    fn add(&mut self, event: &Event) {
        if let Some(answer) = &mut self.answer {
            answer.follow(event);
            self.finished.extend(answer.take_finished());
        }
    }

    fn echo(&mut self, prompt: &str) {
        for (index, line) in prompt.lines().enumerate() {
            let lead = if index == 0 { "› " } else { "  " };
            self.finished.push(bold(&format!("{lead}{line}")));
        }
        self.finished.push(String::new());
    }

    fn note(&mut self, frame_id: &str, note: String) {
        let mut pending = self.pending.iter_mut();
        if let Some(pending) = pending.find(|pending| pending.frame_id == frame_id) {
            pending.note = note;
        }
    }

    fn take_pending(&mut self, frame_id: &str) -> Option<Pending> {
        let mut pending = self.pending.iter();
        let at = pending.position(|pending| pending.frame_id == frame_id)?;
        Some(self.pending.remove(at))
    }
}

#[cfg(test)]
mod tests;
