//! `taiwa stream`: the answer as it comes.

use std::{
    future::ready,
    io::{self, Write as _},
    pin::pin,
    time::Duration,
};

use taiwa_client::{Error, Event, Turn, pb};
use tokio::sync::mpsc;

use crate::{
    answer::Answer,
    args::{Asked, Server},
    connection,
    failure::Failure,
    interrupt::Interrupt,
    json::Json,
    output::Output,
    render::dim,
    request::{connect, request},
    screen::Screen,
    spinner::Spinner,
};

/// How long a command that was told to stop waits for the server to hear of it.
const LEAVE: Duration = Duration::from_secs(2);

pub(crate) async fn run(server: &Server, asked: Asked, output: &Output) -> Result<(), Failure> {
    let (observe, mut news) = connection::watch();
    let request = request(&asked)?.on_connection(observe);
    let spinner = Spinner::start(output, "waiting for the first words");
    let client = connect(server).await?;
    let mut interrupt = Interrupt::listen().await;
    let mut opening = pin!(client.stream(request));
    let mut turn = tokio::select! {
        turn = &mut opening => turn?,
        () = interrupt.pressed() => {
            cancel(opening).await;
            return Err(Failure::interrupted());
        }
    };
    let mut printer = Printer::new(output, spinner)?;
    let outcome = tokio::select! {
        outcome = print(&mut turn, &mut printer, &mut news) => Some(outcome),
        () = interrupt.pressed() => None,
    };
    printer.end()?;
    let result = turn.result().cloned();
    if let Some(result) = &result {
        output.remark_on(result);
    }
    // A failure to print leaves a turn that nobody reads, too.
    cancel(ready(Ok(turn))).await;
    let outcome = outcome.unwrap_or_else(|| Err(Failure::interrupted()));
    outcome.map_err(|failure| match &result {
        Some(result) => failure.unless_whole(result),
        None => failure,
    })?;
    result
        .as_ref()
        .and_then(Failure::of_result)
        .map_or(Ok(()), Err)
}

/// Cancels a turn that has not ended; in vain where the server does not answer soon.
async fn cancel(turn: impl Future<Output = Result<Turn, Error>>) {
    let cancelled = tokio::time::timeout(LEAVE, async { turn.await?.cancel().await });
    // Whoever leaves is told of nothing any more.
    let _ = cancelled.await;
}

async fn print(
    turn: &mut Turn,
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
    Live { screen: Screen, answer: Answer },
    Rendered(Answer),
    Plain { line_is_open: bool, reasons: bool },
}

impl<'a> Printer<'a> {
    /// Prints one turn; the spinner turns until the first words are there.
    pub(crate) fn new(output: &'a Output, spinner: Spinner) -> Result<Self, Failure> {
        let answer = || Answer::new(output.width(), output.reasoning);
        let form = if output.json {
            Form::Json(Json::new()?)
        } else if output.rendered && output.terminal {
            Form::Live {
                screen: Screen::new(output.painted),
                answer: answer(),
            }
        } else if output.rendered {
            Form::Rendered(answer())
        } else {
            Form::Plain {
                line_is_open: false,
                reasons: false,
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
                screen.draw(&answer.take_finished(), &answer.unfinished(), None)
            }
            Form::Rendered(answer) => {
                answer.follow(&event);
                lines(self.output, answer)
            }
            Form::Plain {
                line_is_open,
                reasons,
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
                }
                Ok(())
            }
        }
    }

    /// Says something beside the answer, where it does not tear a line of it apart.
    pub(crate) fn remark(&mut self, remark: &str) -> Result<(), Failure> {
        match &mut self.form {
            Form::Live { screen, answer } if !answer.is_empty() => {
                let mut lines = answer.take_finished();
                lines.push(dim(remark));
                screen.draw(&lines, &answer.unfinished(), None)
            }
            Form::Plain { line_is_open, .. } if *line_is_open && self.output.terminal => {
                self.output.remark(&format!("\n{remark}"));
                Ok(())
            }
            Form::Json(_) | Form::Live { .. } | Form::Rendered(_) | Form::Plain { .. } => {
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
            Form::Rendered(answer) => {
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
