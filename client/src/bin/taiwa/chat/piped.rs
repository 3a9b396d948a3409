//! A conversation whose prompts are the lines of standard input; each waits
//! for the answer to the one before.

use taiwa_client::{Conversation, Error, Event, Payload, pb};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::mpsc,
};

use crate::{
    connection,
    failure::{Exit, Failure},
    interrupt::Interrupt,
    json::Json,
    output::Output,
    spinner::Spinner,
    stream::Printer,
};

use super::Aside;

pub(super) async fn run(
    conversation: Conversation,
    aside: Aside,
    output: &Output,
) -> Result<(), Failure> {
    for line in &aside.recap {
        output.remark(line);
    }
    let json = output.json.then(Json::new).transpose()?;
    if let Some(json) = &json {
        let opened = pb::Event {
            payload: Some(Payload::SessionReady(conversation.session().clone())),
            ..Default::default()
        };
        output.write(&json.line("Event", &opened)?)?;
    }
    let chat = Chat {
        conversation,
        news: aside.news,
        interrupt: Interrupt::listen().await,
        json,
        output,
        failed: None,
    };
    chat.run().await
}

struct Chat<'a> {
    conversation: Conversation,
    news: mpsc::Receiver<String>,
    interrupt: Interrupt,
    json: Option<Json>,
    output: &'a Output,
    /// What kept the last answer that is not whole from being so.
    failed: Option<Failure>,
}

/// What happened beside the input.
enum Happened {
    Event(Event),
    End,
    /// Events are gone, and the conversation goes on.
    Lost(Error),
    News(String),
    Interrupt,
}

impl Chat<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut prompts = BufReader::new(tokio::io::stdin()).lines();
        loop {
            let prompt = tokio::select! {
                prompt = prompts.next_line() => prompt?,
                happened = self.happens() => {
                    if !self.between_turns(happened?)? {
                        return Err(cut_short());
                    }
                    continue;
                }
            };
            let Some(prompt) = prompt else { break };
            if prompt.trim().is_empty() {
                continue;
            }
            if let Some(failure) = self.answer(prompt).await? {
                self.output.complain(failure.line(), &[]);
                self.failed = Some(failure);
            }
        }
        self.conversation.finish();
        loop {
            let happened = self.happens().await?;
            if !self.between_turns(happened)? {
                break;
            }
        }
        match self.failed {
            None => Ok(()),
            Some(failure) => Err(Failure::new(failure.exit, "not every prompt was answered")),
        }
    }

    /// Waits for what comes next. Cancel-safe.
    async fn happens(&mut self) -> Result<Happened, Failure> {
        tokio::select! {
            // What became of the connection comes before what came over it.
            biased;
            Some(remark) = self.news.recv() => Ok(Happened::News(remark)),
            () = self.interrupt.pressed() => Ok(Happened::Interrupt),
            event = self.conversation.next() => match event {
                Ok(Some(event)) => Ok(Happened::Event(event)),
                Ok(None) => Ok(Happened::End),
                Err(error @ Error::EventsLost { .. }) => Ok(Happened::Lost(error)),
                Err(error) => Err(error.into()),
            }
        }
    }

    /// Tells what happened while no answer is awaited; false at the end.
    fn between_turns(&mut self, happened: Happened) -> Result<bool, Failure> {
        match happened {
            Happened::Event(event) => self.tell(event)?,
            Happened::Lost(error) => self.output.remark(&error.to_string()),
            Happened::News(remark) => self.output.remark(&remark),
            Happened::Interrupt => return Err(Failure::interrupted()),
            Happened::End => return Ok(false),
        }
        Ok(true)
    }

    fn tell(&self, event: Event) -> Result<(), Failure> {
        if let Some(json) = &self.json {
            let event = pb::Event::from(event);
            return self.output.write(&json.line("Event", &event)?);
        }
        if let Payload::GoAway(go_away) = &event.payload {
            self.output.remark(connection::explain(go_away));
        }
        Ok(())
    }

    /// Sends a prompt and prints its answer; gives what kept it from being whole.
    async fn answer(&mut self, prompt: String) -> Result<Option<Failure>, Failure> {
        let frame_id = match self.conversation.send_prompt(prompt).await {
            Ok(frame_id) => frame_id,
            // The receiving half knows why it ended.
            Err(Error::Closed) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let spinner = Spinner::start(self.output, "waiting for the first words");
        let mut printer = Printer::new(self.output, spinner)?;
        let answered = self.follow(&frame_id, &mut printer).await;
        printer.end()?;
        let (result, failure) = answered?;
        if let Some(result) = result {
            self.output.remark_on(&result);
        }
        Ok(failure)
    }

    /// Prints until the turn has ended, or the prompt was refused.
    async fn follow(
        &mut self,
        frame_id: &str,
        printer: &mut Printer<'_>,
    ) -> Result<(Option<pb::TurnResult>, Option<Failure>), Failure> {
        let mut interrupted = false;
        let mut lost = None;
        loop {
            let event = match self.happens().await? {
                Happened::Event(event) => event,
                Happened::End => return Err(cut_short()),
                Happened::Lost(error) => {
                    lost = Some(Failure::from(error));
                    continue;
                }
                Happened::News(remark) => {
                    printer.remark(&remark)?;
                    continue;
                }
                Happened::Interrupt if interrupted => return Err(Failure::interrupted()),
                Happened::Interrupt => {
                    interrupted = true;
                    self.conversation.interrupt().await?;
                    continue;
                }
            };
            let rejected = rejection(&event, frame_id);
            let result = event.turn_ended().cloned();
            printer.print(event)?;
            if rejected.is_some() {
                return Ok((None, rejected));
            }
            if let Some(result) = result {
                let failure = Failure::of_result(&result).or(lost);
                return Ok((Some(result), failure));
            }
        }
    }
}

fn rejection(event: &Event, frame_id: &str) -> Option<Failure> {
    let Payload::FrameRejected(rejected) = &event.payload else {
        return None;
    };
    let ours = rejected.frame_id.is_empty() || rejected.frame_id == frame_id;
    ours.then(|| Failure::from(Error::from(rejected.error.clone().unwrap_or_default())))
}

fn cut_short() -> Failure {
    Failure::new(
        Exit::Incomplete,
        "the server ended the conversation before the answer",
    )
}
