//! `taiwa stream`: the answer as it comes.

use std::{
    future::ready,
    io::{self, Write as _},
    pin::pin,
    time::Duration,
};

use taiwa_client::{Client, Error, Event, Payload, Request, pb};
use tokio::sync::mpsc;

use crate::{
    answer::Answer,
    args::{Server, Turn},
    calls::Calls,
    connection,
    failure::Failure,
    interrupt::{self, Interrupt, Told},
    json::Json,
    output::Output,
    render::dim,
    request::connect,
    rounds::Rounds,
    screen::Screen,
    spinner::Spinner,
};

/// Stands before a call that runs.
const MARK: &str = "⚙";

/// How long a command that was told to stop waits for the server to hear of it.
const LEAVE: Duration = Duration::from_secs(2);

pub(crate) async fn run(server: &Server, turn: Turn, output: &Output) -> Result<(), Failure> {
    let (observe, mut news) = connection::watch();
    let mut rounds = Rounds::begin(&turn, observe, output)?;
    let spinner = Spinner::start(output, "waiting for the first words");
    let client = connect(server).await?;
    let mut stop = Stop {
        interrupt: Interrupt::listen().await,
        told: Told::listen(rounds.has_scripts())?,
    };
    let mut printer = Printer::new(output, spinner)?;
    let outcome = print_all(&client, &mut rounds, &mut printer, &mut news, &mut stop).await;
    match outcome {
        Ok(result) => {
            output.remark_on(&result);
            Failure::of_result(&result).map_or(Ok(()), Err)
        }
        Err(failure) => {
            printer.end()?;
            rounds.leave(&client).await;
            Err(failure)
        }
    }
}

/// What ends the command from outside.
struct Stop {
    interrupt: Interrupt,
    told: Told,
}

impl Stop {
    async fn asked(&mut self) -> Failure {
        interrupt::ended(&mut self.interrupt, &mut self.told).await
    }
}

/// Prints until the turn waits for nothing that can be answered here.
async fn print_all(
    client: &Client,
    rounds: &mut Rounds<'_>,
    printer: &mut Printer<'_>,
    news: &mut mpsc::Receiver<String>,
    stop: &mut Stop,
) -> Result<pb::TurnResult, Failure> {
    let mut request = rounds.first();
    loop {
        let result = part(client, request, printer, news, stop).await?;
        rounds.goes_on();
        let answered = tokio::select! {
            answered = rounds.answer(&result, true) => answered?,
            failure = stop.asked() => return Err(failure),
        };
        match answered {
            Some(next) => request = next,
            None => return Ok(result),
        }
    }
}

/// Prints a turn to its end, or to where it pauses.
async fn part(
    client: &Client,
    request: Request,
    printer: &mut Printer<'_>,
    news: &mut mpsc::Receiver<String>,
    stop: &mut Stop,
) -> Result<pb::TurnResult, Failure> {
    let mut opening = pin!(client.stream(request));
    let mut turn = tokio::select! {
        turn = &mut opening => turn?,
        failure = stop.asked() => {
            cancel(opening).await;
            return Err(failure);
        }
    };
    let outcome = tokio::select! {
        outcome = print(&mut turn, printer, news) => outcome,
        failure = stop.asked() => Err(failure),
    };
    printer.end()?;
    let result = turn.result().cloned();
    // A failure to print leaves a turn that nobody reads, too.
    cancel(ready(Ok(turn))).await;
    match (outcome, result) {
        (Ok(()), Some(result)) => Ok(result),
        (Ok(()), None) => Err(Error::Contract("the stream of a turn has no end").into()),
        (Err(failure), None) => Err(failure),
        (Err(failure), Some(result)) => {
            printer.output.remark_on(&result);
            Err(failure.unless_whole(&result))
        }
    }
}

/// Cancels a turn that has not ended; in vain where the server does not answer soon.
async fn cancel(turn: impl Future<Output = Result<taiwa_client::Turn, Error>>) {
    let cancelled = tokio::time::timeout(LEAVE, async { turn.await?.cancel().await });
    // Whoever leaves is told of nothing any more.
    let _ = cancelled.await;
}

async fn print(
    turn: &mut taiwa_client::Turn,
    printer: &mut Printer<'_>,
    news: &mut mpsc::Receiver<String>,
) -> Result<(), Failure> {
    let mut lost = None;
    loop {
        let event = tokio::select! {
            // What became of the connection comes before what came over it.
            biased;
            Some(remark) = news.recv() => {
                printer.remark(&remark)?;
                continue;
            }
            event = turn.next() => event,
        };
        match event {
            Ok(Some(event)) => printer.print(event)?,
            Ok(None) => return lost.map_or(Ok(()), Err),
            // The rest is worth reading; that it is not the whole is told in the end.
            Err(error @ Error::EventsLost { .. }) => lost = Some(error.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Puts events on standard output in the form that was asked for.
pub(crate) struct Printer<'a> {
    output: &'a Output,
    spinner: Spinner,
    form: Form,
}

enum Form {
    Json(Json),
    Live {
        screen: Screen,
        answer: Answer,
    },
    Rendered {
        answer: Answer,
        calls: Calls,
    },
    Plain {
        line_is_open: bool,
        reasons: bool,
        calls: Calls,
    },
}

impl<'a> Printer<'a> {
    /// Prints one turn; the spinner turns until the first words are there.
    pub(crate) fn new(output: &'a Output, spinner: Spinner) -> Result<Self, Failure> {
        let form = if output.json {
            Form::Json(Json::new()?)
        } else if output.rendered && output.terminal {
            Form::Live {
                screen: Screen::new(output.painted),
                answer: Answer::new(output),
            }
        } else if output.rendered {
            Form::Rendered {
                answer: Answer::without_calls(output),
                calls: Calls::plain(output),
            }
        } else {
            Form::Plain {
                line_is_open: false,
                reasons: false,
                calls: Calls::plain(output),
            }
        };
        Ok(Self {
            output,
            spinner,
            form,
        })
    }

    /// Prints what the event adds.
    pub(crate) fn print(&mut self, event: Event) -> Result<(), Failure> {
        match &mut self.form {
            Form::Json(json) => {
                let event = pb::Event::from(event);
                self.output.write(&json.line("Event", &event)?)
            }
            Form::Live { screen, answer } => {
                answer.follow(&event);
                if answer.is_empty() {
                    return Ok(());
                }
                self.spinner.stop();
                screen.draw(&answer.take_finished(), &answer.unfinished(MARK), None)
            }
            Form::Rendered { answer, calls } => {
                answer.follow(&event);
                lines(self.output, answer)?;
                let said = calls.follow(&event);
                self.tell(&said)
            }
            Form::Plain {
                line_is_open,
                reasons,
                calls,
            } => {
                if let Some(text) = event.text() {
                    if std::mem::take(reasons) {
                        self.output.remark("");
                    }
                    *line_is_open = !text.ends_with('\n') && (*line_is_open || !text.is_empty());
                    return self.output.write(text);
                }
                if let Some(reasoning) = event.reasoning().filter(|_| self.output.reasoning) {
                    *reasons = true;
                    write!(io::stderr().lock(), "{reasoning}")?;
                    return Ok(());
                }
                let said = calls.follow(&event);
                let begins_call = matches!(event.payload, Payload::ToolCall(_));
                if begins_call && std::mem::take(line_is_open) {
                    // What follows the call is another sentence.
                    self.output.write("\n")?;
                }
                if !said.is_empty() && std::mem::take(reasons) {
                    self.output.remark("");
                }
                self.tell(&said)
            }
        }
    }

    /// Tells what the user's own script answered.
    pub(crate) fn answered(
        &mut self,
        result: &pb::ToolResult,
        took: Duration,
    ) -> Result<(), Failure> {
        match &mut self.form {
            Form::Json(_) => Ok(()),
            Form::Live { screen, answer } => {
                answer.answered(result, took);
                screen.draw(&answer.take_finished(), &answer.unfinished(MARK), None)
            }
            Form::Rendered { calls, .. } | Form::Plain { calls, .. } => {
                let said = calls.answered(result, took);
                self.tell(&said)
            }
        }
    }

    fn tell(&mut self, remarks: &[String]) -> Result<(), Failure> {
        remarks.iter().try_for_each(|remark| self.remark(remark))
    }

    /// Says something beside the answer, where it does not tear a line of it apart.
    pub(crate) fn remark(&mut self, remark: &str) -> Result<(), Failure> {
        match &mut self.form {
            Form::Live { screen, answer } if !answer.is_empty() => {
                let mut lines = answer.take_finished();
                lines.push(dim(remark));
                screen.draw(&lines, &answer.unfinished(MARK), None)
            }
            Form::Plain { line_is_open, .. } if *line_is_open && self.output.terminal => {
                self.output.remark(&format!("\n{remark}"));
                Ok(())
            }
            Form::Json(_) | Form::Live { .. } | Form::Rendered { .. } | Form::Plain { .. } => {
                self.spinner.aside(|| self.output.remark(remark));
                Ok(())
            }
        }
    }

    /// Ends what is unfinished as it stands, and the line it stands on.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.spinner.stop();
        match &mut self.form {
            Form::Json(_) => Ok(()),
            Form::Live { screen, answer } => {
                answer.end();
                screen.draw(&answer.take_finished(), &[], None)
            }
            Form::Rendered { answer, .. } => {
                answer.end();
                lines(self.output, answer)
            }
            Form::Plain { line_is_open, .. } => {
                if std::mem::take(line_is_open) {
                    return self.output.write("\n");
                }
                Ok(())
            }
        }
    }
}

fn lines(output: &Output, answer: &mut Answer) -> Result<(), Failure> {
    let lines = answer.take_finished();
    output.write(
        &lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
}
