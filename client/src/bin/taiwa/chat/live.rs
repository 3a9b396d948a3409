//! A conversation on a terminal: the answer streams above the line being typed.

use std::{io, time::Duration};

use crossterm::{
    event::{DisableBracketedPaste, EnableBracketedPaste, Event as Key, EventStream},
    execute, terminal,
};
use taiwa_client::{Conversation, Error, Event, Receiver, Sender};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_stream::StreamExt as _;

use crate::{
    failure::Failure,
    output::Output,
    render::{dim, red},
    screen::Screen,
};

use super::{
    Aside,
    editor::{Asks, Editor},
    transcript::Transcript,
};

const HELP: &str = "Enter sends · Alt-Enter breaks the line · Ctrl-C interrupts · Ctrl-D ends";
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

pub(super) async fn run(
    conversation: Conversation,
    aside: Aside,
    output: &Output,
) -> Result<(), Failure> {
    let session = conversation.session();
    let greeting = format!("{} · session {}", session.agent_id, session.session_id);
    let mut transcript = Transcript::new(output);
    for line in [dim(&greeting), dim(HELP), String::new()] {
        transcript.say(line);
    }
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
        transcript,
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
    transcript: Transcript<'a>,
}

/// What the loop woke up for.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, on the stack"
)]
enum Happened {
    Event(Result<Option<Event>, Error>),
    News(String),
    Key(Option<io::Result<Key>>),
    Tick,
}

impl Chat<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            self.draw()?;
            let happened = tokio::select! {
                Some(remark) = self.news.recv() => Happened::News(remark),
                event = self.receiver.next() => Happened::Event(event),
                key = self.keys.next() => Happened::Key(key),
                _ = self.ticks.tick(), if self.transcript.is_waiting() => Happened::Tick,
            };
            match happened {
                Happened::Event(Ok(Some(event))) => self.transcript.follow(&event),
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
            Asks::End => self.sender = None,
        }
        Ok(false)
    }

    async fn send(&mut self, prompt: String) {
        // After the end of input, as after that of the call, nothing is taken.
        let Some(sender) = &self.sender else { return };
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
        let cursor = self.sender.is_some().then(|| {
            let (rows, mut cursor) = self.editor.rows(width);
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
