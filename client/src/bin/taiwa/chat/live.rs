//! A conversation on a terminal: the answer streams above the line being typed.

use std::{io, time::Duration};

use crossterm::{
    event::{DisableBracketedPaste, EnableBracketedPaste, Event as Key, EventStream},
    execute, terminal,
};
use taiwa_client::{Conversation, Error, Event, Payload, Receiver, Sender, pb};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::StreamExt as _;

use crate::{
    answer::Answer,
    failure::Failure,
    output::Output,
    render::{bold, dim, red},
    screen::Screen,
};

use super::editor::{Asks, Editor};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

pub(super) async fn run(conversation: Conversation, output: &Output) -> Result<(), Failure> {
    let session = conversation.session();
    let greeting = format!(
        "{} · session {} · Enter sends, Alt-Enter breaks the line, Ctrl-C interrupts, Ctrl-D ends",
        session.agent_id, session.session_id
    );
    let (sender, receiver) = conversation.split();
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let _raw = RawMode::begin()?;
    let mut chat = Chat {
        output,
        sender,
        receiver,
        keys: EventStream::new(),
        ticks,
        tick: 0,
        screen: Screen::new(output.painted),
        editor: Editor::default(),
        finished: vec![dim(&greeting), String::new()],
        pending: Vec::new(),
        answer: None,
        interrupting: false,
    };
    let outcome = chat.run().await;
    chat.settle()?;
    outcome
}

struct Chat<'a> {
    output: &'a Output,
    sender: Option<Sender>,
    receiver: Receiver,
    keys: EventStream,
    ticks: Interval,
    tick: usize,
    screen: Screen,
    editor: Editor,
    /// Lines that wait to be printed for good.
    finished: Vec<String>,
    /// Prompts that were sent and have not started a turn.
    pending: Vec<Pending>,
    /// The running turn.
    answer: Option<Answer>,
    interrupting: bool,
}

struct Pending {
    frame_id: String,
    prompt: String,
    note: String,
}

/// What the loop woke up for.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, on the stack"
)]
enum Happened {
    Event(Result<Option<Event>, Error>),
    Key(Option<io::Result<Key>>),
    Tick,
}

impl Chat<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            self.draw()?;
            let waiting = self.answer.is_some() || !self.pending.is_empty();
            let happened = tokio::select! {
                event = self.receiver.next() => Happened::Event(event),
                key = self.keys.next() => Happened::Key(key),
                _ = self.ticks.tick(), if waiting => Happened::Tick,
            };
            match happened {
                Happened::Event(event) => match event? {
                    Some(event) => self.event(&event),
                    None => return Ok(()),
                },
                Happened::Key(Some(key)) => {
                    if self.key(key?).await? {
                        return Ok(());
                    }
                }
                // The terminal is gone.
                Happened::Key(None) => return Ok(()),
                Happened::Tick => self.tick = self.tick.wrapping_add(1),
            }
        }
    }

    /// Acts on a key; true when it ends the chat at once.
    async fn key(&mut self, key: Key) -> Result<bool, Failure> {
        let asks = match key {
            Key::Key(key) => self.editor.key(key),
            Key::Paste(text) => {
                self.editor.paste(&text);
                Asks::Nothing
            }
            Key::Resize(..) | Key::FocusGained | Key::FocusLost | Key::Mouse(_) => Asks::Nothing,
        };
        match asks {
            Asks::Nothing => {}
            Asks::Send(prompt) => self.send(prompt).await,
            Asks::Interrupt if self.answer.is_none() => return Ok(true),
            Asks::Interrupt if self.interrupting => return Err(Failure::interrupted()),
            Asks::Interrupt => {
                self.interrupting = true;
                if let Some(sender) = &self.sender {
                    // An ended call is told by the receiving half.
                    let _ = sender.interrupt().await;
                }
            }
            Asks::End => self.sender = None,
        }
        Ok(false)
    }

    async fn send(&mut self, prompt: String) {
        let sent = match &self.sender {
            Some(sender) => sender.send_prompt(&prompt).await,
            None => Err(Error::Closed),
        };
        match sent {
            Ok(frame_id) => self.pending.push(Pending {
                frame_id,
                prompt,
                note: String::new(),
            }),
            Err(error) => self.finished.push(red(&format!("not sent: {error}"))),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not about the conversation is about the answer"
    )]
    fn event(&mut self, event: &Event) {
        match &event.payload {
            Payload::FrameAccepted(accepted) => self.accepted(accepted),
            Payload::FrameRejected(rejected) => {
                let error = rejected.error.clone().unwrap_or_default();
                let refused = match self.take_pending(&rejected.frame_id) {
                    Some(pending) => format!("refused: {} ({})", pending.prompt, error.message),
                    None => format!("refused: {}", error.message),
                };
                self.say(red(&refused));
            }
            Payload::GoAway(_) => {
                self.say(dim(
                    "the server is about to stop, and ends the conversation",
                ));
            }
            Payload::TurnStarted(started) => {
                if let Some(pending) = self.take_pending(&started.frame_id) {
                    self.echo(&pending.prompt);
                }
                self.interrupting = false;
                self.answer = Some(Answer::new(self.output.width(), self.output.reasoning));
            }
            Payload::TurnEnded(result) => {
                self.follow(event);
                self.answer = None;
                self.ended(result);
            }
            _ => self.follow(event),
        }
    }

    fn accepted(&mut self, accepted: &pb::FrameAccepted) {
        let find = |pending: &&mut Pending| pending.frame_id == accepted.frame_id;
        let note = match accepted.outcome() {
            pb::FrameOutcome::Queued => match accepted.queue_position {
                0 => "waits for the answer to end".to_owned(),
                ahead => format!("waits, {ahead} ahead"),
            },
            pb::FrameOutcome::Interrupted => "interrupts the answer".to_owned(),
            pb::FrameOutcome::Steered => {
                if let Some(pending) = self.take_pending(&accepted.frame_id) {
                    self.say(dim(&format!("› {} (joins the answer)", pending.prompt)));
                }
                return;
            }
            pb::FrameOutcome::TooLate => {
                if let Some(pending) = self.take_pending(&accepted.frame_id) {
                    self.say(dim(&format!("› {} (too late)", pending.prompt)));
                }
                return;
            }
            pb::FrameOutcome::Unspecified
            | pb::FrameOutcome::Applied
            | pb::FrameOutcome::StartedTurn => return,
        };
        if let Some(pending) = self.pending.iter_mut().find(find) {
            pending.note = note;
        }
    }

    fn ended(&mut self, result: &pb::TurnResult) {
        if let Some(failure) = Failure::of_result(result) {
            let line = failure.line();
            let interrupted = result.status() == pb::TurnStatus::Interrupted;
            self.finished
                .push(if interrupted { dim(line) } else { red(line) });
        }
        let remarks = self.output.remarks(result);
        self.finished
            .extend(remarks.iter().map(|remark| dim(remark)));
        self.finished.push(String::new());
        self.interrupting = false;
    }

    fn follow(&mut self, event: &Event) {
        if let Some(answer) = &mut self.answer {
            answer.follow(event);
            self.finished.extend(answer.take_finished());
        }
    }

    /// Prints a line between what was said so far and what follows.
    fn say(&mut self, line: String) {
        if let Some(answer) = &mut self.answer {
            answer.end();
            self.finished.extend(answer.take_finished());
        }
        self.finished.push(line);
    }

    fn echo(&mut self, prompt: &str) {
        let lines = prompt.lines().enumerate();
        let lines = lines.map(|(index, line)| match index {
            0 => bold(&format!("› {line}")),
            _ => bold(&format!("  {line}")),
        });
        self.finished.extend(lines);
        self.finished.push(String::new());
    }

    fn take_pending(&mut self, frame_id: &str) -> Option<Pending> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.frame_id == frame_id)?;
        Some(self.pending.remove(at))
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let width = self.output.width();
        let mut live = self
            .answer
            .as_ref()
            .map(Answer::unfinished)
            .unwrap_or_default();
        let spinner = SPINNER[self.tick % SPINNER.len()];
        if self.answer.is_some() {
            let what = if self.interrupting {
                "interrupting"
            } else {
                "answering"
            };
            live.push(dim(&format!("{spinner} {what}")));
        }
        for pending in &self.pending {
            let first = pending.prompt.lines().next().unwrap_or_default();
            let first: String = first.chars().take(width.saturating_sub(32)).collect();
            let note = if pending.note.is_empty() {
                String::new()
            } else {
                format!(" ({})", pending.note)
            };
            live.push(dim(&format!("{spinner} {first}{note}")));
        }
        let cursor = if self.sender.is_some() {
            let (rows, mut cursor) = self.editor.rows(width);
            cursor.row += live.len();
            live.extend(rows);
            Some(cursor)
        } else {
            None
        };
        let finished = std::mem::take(&mut self.finished);
        self.screen.draw(&finished, &live, cursor)
    }

    /// Leaves on the screen what was said, and nothing that was only for now.
    fn settle(&mut self) -> Result<(), Failure> {
        if let Some(answer) = &mut self.answer {
            answer.end();
            self.finished.extend(answer.take_finished());
        }
        let finished = std::mem::take(&mut self.finished);
        self.screen.draw(&finished, &[], None)
    }
}

/// Keys one by one, while it lives.
struct RawMode;

impl RawMode {
    fn begin() -> Result<Self, Failure> {
        terminal::enable_raw_mode()?;
        let raw = Self;
        execute!(io::stdout(), EnableBracketedPaste)?;
        Ok(raw)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no repair.
        let _ = execute!(io::stdout(), DisableBracketedPaste);
        let _ = terminal::disable_raw_mode();
    }
}
