//! A conversation whose prompts are the lines of standard input; each waits
//! for the answer to the one before.

use std::time::Duration;

use taiwa_client::{Conversation, Error, Event, Payload, pb};
use tokio::sync::mpsc;

use crate::{
    connection,
    consent::{self, Asker},
    failure::{Exit, Failure},
    interrupt::Interrupt,
    json::Json,
    output::Output,
    spinner::Spinner,
    stream::Printer,
};

use super::{
    Aside,
    desk::{Desk, Sent, Todo},
};

pub(super) async fn run(
    conversation: Conversation,
    aside: Aside,
    desk: Desk,
    asker: Asker<'_>,
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
        prompts: consent::lines(),
        desk,
        asker,
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
    prompts: consent::Lines,
    desk: Desk,
    asker: Asker<'a>,
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
    /// A line of input; none at its end.
    Line(Option<String>),
    /// Events are gone, and the conversation goes on.
    Lost(Error),
    News(String),
    /// A script gave its result.
    Answered(pb::ToolResult, Duration),
    Interrupt,
}

impl Chat<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let happened = self.happens(true).await?;
            let Happened::Line(prompt) = happened else {
                if !self.between_turns(happened).await? {
                    return Err(cut_short());
                }
                continue;
            };
            let Some(prompt) = prompt else { break };
            if self.desk.has_question() {
                self.answer_question(&prompt).await?;
                continue;
            }
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
            let happened = self.happens(false).await?;
            if !self.between_turns(happened).await? {
                break;
            }
        }
        match self.failed {
            None => Ok(()),
            Some(failure) => Err(Failure::new(failure.exit, "not every prompt was answered")),
        }
    }

    /// Waits for what comes next, also a line of input where one is wanted. Cancel-safe.
    async fn happens(&mut self, wants_line: bool) -> Result<Happened, Failure> {
        tokio::select! {
            // What became of the connection comes before what came over it.
            biased;
            Some(remark) = self.news.recv() => Ok(Happened::News(remark)),
            () = self.interrupt.pressed() => Ok(Happened::Interrupt),
            Some((result, took)) = self.desk.answered(), if self.desk.is_running() => {
                Ok(Happened::Answered(result, took))
            }
            event = self.conversation.next() => match event {
                Ok(Some(event)) => Ok(Happened::Event(event)),
                Ok(None) => Ok(Happened::End),
                Err(error @ Error::EventsLost { .. }) => Ok(Happened::Lost(error)),
                Err(error) => Err(error.into()),
            },
            line = self.prompts.next_line(), if wants_line => Ok(Happened::Line(line?)),
        }
    }

    /// Tells what happened while no answer is awaited; false at the end.
    async fn between_turns(&mut self, happened: Happened) -> Result<bool, Failure> {
        match happened {
            Happened::Event(event) => {
                let todo = self.desk.follow(&event);
                self.tell(event)?;
                self.act(todo).await?;
            }
            Happened::Answered(result, _took) => self.send_script(result).await?,
            Happened::Line(_) => {}
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

    /// Does what the desk asks for.
    async fn act(&mut self, todo: Option<Todo>) -> Result<(), Failure> {
        match todo {
            None => return Ok(()),
            Some(Todo::Decide(decision, said)) => {
                self.output.remark(&said);
                delivered(self.conversation.decide(decision).await)?;
                return Ok(());
            }
            Some(Todo::Answer(result)) => {
                delivered(self.conversation.send_tool_result(result).await)?;
                return Ok(());
            }
            Some(Todo::Ask) => {}
            Some(Todo::Refused(why)) => self.output.remark(&format!("refused: {why}")),
            Some(Todo::Settled(how)) => self.output.remark(&format!("\n{how}")),
        }
        if let Some(question) = self.desk.question() {
            self.asker.begin(question);
        }
        Ok(())
    }

    /// Takes a line for the answer to the question that was put.
    async fn answer_question(&mut self, line: &str) -> Result<(), Failure> {
        let Some(question) = self.desk.question() else {
            return Ok(());
        };
        let Some(decision) = self.asker.answer(question, line).await? else {
            return Ok(());
        };
        let answered = self.desk.take_question();
        let sent = delivered(self.conversation.decide(decision).await)?;
        if let (Some(frame_id), Some(question)) = (sent, answered) {
            self.desk.sent(frame_id, Sent::Consent(question.into()));
        }
        let next = self.desk.has_question().then_some(Todo::Ask);
        self.act(next).await
    }

    async fn send_script(&mut self, result: pb::ToolResult) -> Result<(), Failure> {
        let call_id = result.tool_call_id.clone();
        if let Some(frame_id) = delivered(self.conversation.send_tool_result(result).await)? {
            self.desk.sent(frame_id, Sent::Result(call_id));
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
            let event = match self.happens(self.desk.has_question()).await? {
                Happened::Event(event) => event,
                Happened::Answered(result, took) => {
                    printer.answered(&result, took)?;
                    self.send_script(result).await?;
                    continue;
                }
                Happened::Line(Some(line)) => {
                    self.answer_question(&line).await?;
                    continue;
                }
                // Whoever was asked has left.
                Happened::Line(None) => return Err(Failure::interrupted()),
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
            let todo = self.desk.follow(&event);
            printer.print(event)?;
            self.act(todo).await?;
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

/// The name of the frame; a conversation that has ended says why on its receiving half.
fn delivered(sent: Result<String, Error>) -> Result<Option<String>, Failure> {
    match sent {
        Ok(frame_id) => Ok(Some(frame_id)),
        Err(Error::Closed) => Ok(None),
        Err(error) => Err(error.into()),
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
