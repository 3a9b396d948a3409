//! A conversation on a terminal: the answer streams above the line being typed.

use std::{
    io,
    time::{Duration, SystemTime},
};

use crossterm::{
    event::{DisableBracketedPaste, EnableBracketedPaste, Event as Key, EventStream},
    execute, terminal,
};
use taiwa_client::{Conversation, Error, Event, Receiver, Sender, pb};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_stream::StreamExt as _;

use crate::{
    consent::Step,
    failure::Failure,
    output::Output,
    render::{bold, dim, dotted, red},
    screen::Screen,
};

use super::{
    Aside,
    desk::{Desk, Sent, Todo},
    editor::{Asks, Editor},
    transcript::Transcript,
};

const HELP: [&str; 4] = [
    "Enter sends",
    "Alt-Enter breaks the line",
    "Ctrl-C stops the answer, else clears the line or ends",
    "Ctrl-D ends",
];
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

pub(super) async fn run(
    conversation: Conversation,
    aside: Aside,
    desk: Desk,
    output: &Output,
) -> Result<(), Failure> {
    let session = conversation.session();
    let greeting = [
        session.agent_id.clone(),
        format!("session {}", session.session_id),
    ];
    let mut transcript = Transcript::new(output);
    for parts in [&greeting[..], &HELP.map(str::to_owned)] {
        for line in dotted(parts, output.columns()) {
            transcript.say(dim(&line));
        }
    }
    transcript.say(String::new());
    for line in &aside.recap {
        transcript.say(dim(line));
    }
    let (sender, receiver) = conversation.split();
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let _raw = RawMode::begin()?;
    let mut chat = Chat {
        output,
        sender,
        receiver,
        news: aside.news,
        keys: EventStream::new(),
        ticks,
        tick: 0,
        screen: Screen::new(output.painted),
        editor: Editor::default(),
        answer: Editor::default(),
        transcript,
        desk,
        ends: false,
    };
    let outcome = chat.run().await;
    // What was said stays on the screen, what was only for the moment goes.
    chat.transcript.end();
    chat.screen
        .draw(&chat.transcript.take_finished(), &[], None)?;
    outcome
}

struct Chat<'a> {
    output: &'a Output,
    sender: Option<Sender>,
    receiver: Receiver,
    news: mpsc::Receiver<String>,
    keys: EventStream,
    ticks: Interval,
    tick: usize,
    screen: Screen,
    editor: Editor,
    /// The line that answers a question.
    answer: Editor,
    transcript: Transcript<'a>,
    desk: Desk,
    /// No more prompts follow.
    ends: bool,
}

/// What the loop woke up for.
enum Happened {
    Event(Result<Option<Event>, Error>),
    News(String),
    Key(Option<io::Result<Key>>),
    /// A script gave its result.
    Answered(pb::ToolResult, Duration),
    Tick,
}

impl Chat<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            if self.ends && !self.transcript.is_waiting() {
                // Until then scripts and consent have something to send.
                self.sender = None;
            }
            self.draw()?;
            let happened = tokio::select! {
                Some(remark) = self.news.recv() => Happened::News(remark),
                event = self.receiver.next() => Happened::Event(event),
                key = self.keys.next() => Happened::Key(key),
                Some((result, took)) = self.desk.answered(), if self.desk.is_running() => {
                    Happened::Answered(result, took)
                }
                _ = self.ticks.tick(), if self.transcript.is_waiting() => Happened::Tick,
            };
            match happened {
                Happened::Event(Ok(Some(event))) => {
                    let todo = self.desk.follow(&event);
                    self.transcript.follow(&event);
                    self.act(todo).await;
                }
                Happened::Answered(result, took) => {
                    self.transcript.answered(&result, took);
                    let call_id = result.tool_call_id.clone();
                    if let Some(frame_id) = self.send_result(result).await {
                        self.desk.sent(frame_id, Sent::Result(call_id));
                    }
                }
                Happened::Event(Ok(None)) => return Ok(()),
                Happened::Event(Err(error @ Error::EventsLost { .. })) => {
                    self.transcript.say(red(&error.to_string()));
                }
                Happened::Event(Err(error)) => return Err(error.into()),
                Happened::News(remark) => self.transcript.say(dim(&remark)),
                Happened::Key(Some(key)) => {
                    if self.key(key?).await? {
                        return Ok(());
                    }
                }
                // The terminal is gone.
                Happened::Key(None) => return Err(Failure::interrupted()),
                Happened::Tick => self.tick = self.tick.wrapping_add(1),
            }
        }
    }

    /// Acts on a key; true when it ends the chat at once.
    async fn key(&mut self, key: Key) -> Result<bool, Failure> {
        let has_question = self.desk.has_question();
        let editor = if has_question {
            &mut self.answer
        } else {
            &mut self.editor
        };
        let asks = match key {
            Key::Key(key) => editor.key(key),
            Key::Paste(text) => {
                editor.paste(&text);
                Asks::Nothing
            }
            Key::Resize(..) | Key::FocusGained | Key::FocusLost | Key::Mouse(_) => Asks::Nothing,
        };
        match asks {
            Asks::Nothing => {}
            Asks::Send(line) if has_question => self.answer_question(&line).await,
            Asks::Empty if has_question => self.answer_question("").await,
            Asks::Empty => {}
            Asks::Send(prompt) => self.send(prompt).await,
            // Between answers it throws away what was typed, or else ends the chat.
            Asks::Interrupt if !self.transcript.is_answering() => return Ok(!self.editor.clear()),
            Asks::Interrupt if self.transcript.is_interrupting() => {
                return Err(Failure::interrupted());
            }
            Asks::Interrupt => {
                self.transcript.interrupt();
                if let Some(sender) = &self.sender {
                    // An ended call is told by the receiving half.
                    let _ = sender.interrupt().await;
                }
            }
            // A second time it does not wait for what scripts and consent may still have to send.
            Asks::End if self.ends => self.sender = None,
            Asks::End => self.ends = true,
        }
        Ok(false)
    }

    /// Does what the desk asks for.
    async fn act(&mut self, todo: Option<Todo>) {
        match todo {
            None => return,
            Some(Todo::Decide(decision, said)) => {
                self.transcript.say(dim(&said));
                self.decide(decision).await;
                return;
            }
            Some(Todo::Answer(result)) => {
                self.send_result(result).await;
                return;
            }
            // Refusals are told among what was said.
            Some(Todo::Ask | Todo::Refused(_)) => {}
            Some(Todo::Settled(how)) => self.transcript.say(dim(how)),
        }
        self.ask();
    }

    /// Puts the first question, if there is one, whole and for good: what is drawn again and
    /// again may be cut.
    fn ask(&mut self) {
        self.answer = Editor::default();
        if let Some(question) = self.desk.question() {
            for line in question.question() {
                self.transcript.say(line);
            }
        }
    }

    async fn answer_question(&mut self, line: &str) {
        let Some(question) = self.desk.question() else {
            return;
        };
        match question.answer(line) {
            Step::Ask => self.answer = Editor::default(),
            Step::Edit(text) => self.answer = Editor::with(text),
            Step::Again(why) => self.transcript.say(dim(&why)),
            Step::Decided(decision, said) => {
                self.transcript.say(dim(&said));
                let answered = self.desk.take_question();
                let sent = self.decide(decision.into()).await;
                if let (Some(frame_id), Some(question)) = (sent, answered) {
                    self.desk.sent(frame_id, Sent::Consent(question.into()));
                }
                self.ask();
            }
        }
    }

    /// Sends a decision; no name of a frame comes where the call has ended, which the receiving
    /// half tells.
    async fn decide(&self, decision: pb::ApprovalDecision) -> Option<String> {
        self.sender.as_ref()?.decide(decision).await.ok()
    }

    /// Sends a result, as [`decide`](Self::decide) does a decision.
    async fn send_result(&self, result: pb::ToolResult) -> Option<String> {
        self.sender.as_ref()?.send_tool_result(result).await.ok()
    }

    async fn send(&mut self, prompt: String) {
        // After the end of input, as after that of the call, nothing is taken.
        let Some(sender) = self.sender.as_ref().filter(|_| !self.ends) else {
            return;
        };
        match sender.send_prompt(&prompt).await {
            Ok(frame_id) => self.transcript.sent(frame_id, prompt),
            Err(error) => self.transcript.say(dim(&format!("not sent: {error}"))),
        }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let width = self.output.width();
        let mut live = self
            .transcript
            .unfinished(SPINNER[self.tick % SPINNER.len()]);
        let question = self.desk.question();
        let is_typing = question.is_some() || !self.ends;
        let editor = match question {
            Some(question) => {
                live.push(bold(&question.prompt(SystemTime::now())));
                &self.answer
            }
            None => &self.editor,
        };
        let cursor = (self.sender.is_some() && is_typing).then(|| {
            let (rows, mut cursor) = editor.rows(width);
            cursor.row += live.len();
            live.extend(rows);
            cursor
        });
        self.screen
            .draw(&self.transcript.take_finished(), &live, cursor)
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
