//! A conversation whose prompts are the lines of standard input; each waits
//! for the answer to the one before.

use taiwa_client::{Conversation, Error, Event, Payload, pb};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    failure::{Exit, Failure},
    json::Json,
    output::Output,
    spinner::Spinner,
    stream::Printer,
};

pub(super) async fn run(mut conversation: Conversation, output: &Output) -> Result<(), Failure> {
    let mut prompts = BufReader::new(tokio::io::stdin()).lines();
    let json = output.json.then(Json::new).transpose()?;
    if let Some(json) = &json {
        let opened = pb::Event {
            payload: Some(Payload::SessionReady(conversation.session().clone())),
            ..Default::default()
        };
        output.write(&json.line("Event", &opened)?)?;
    }
    let mut failed = None;
    loop {
        let prompt = tokio::select! {
            prompt = prompts.next_line() => prompt?,
            event = conversation.next() => {
                let event = event?.ok_or_else(cut_short)?;
                told_between_turns(&event, json.as_ref(), output)?;
                continue;
            }
            _ = tokio::signal::ctrl_c() => return Err(Failure::interrupted()),
        };
        let Some(prompt) = prompt else { break };
        if prompt.trim().is_empty() {
            continue;
        }
        if let Some(failure) = answer(&mut conversation, prompt, output).await? {
            output.complain(failure.line(), &[]);
            failed = Some(failure);
        }
    }
    conversation.finish();
    while let Some(event) = conversation.next().await? {
        told_between_turns(&event, json.as_ref(), output)?;
    }
    match failed {
        None => Ok(()),
        Some(failure) => Err(Failure::new(failure.exit, "not every prompt was answered")),
    }
}

/// Sends a prompt and prints its answer; gives what kept it from being whole.
async fn answer(
    conversation: &mut Conversation,
    prompt: String,
    output: &Output,
) -> Result<Option<Failure>, Failure> {
    let frame_id = match conversation.send_prompt(prompt).await {
        Ok(frame_id) => frame_id,
        // The receiving half knows why it ended.
        Err(Error::Closed) => String::new(),
        Err(error) => return Err(error.into()),
    };
    let spinner = Spinner::start(output, "waiting for the first words");
    let mut printer = Printer::new(output, spinner)?;
    let mut interrupted = false;
    loop {
        let event = tokio::select! {
            event = conversation.next() => event,
            _ = tokio::signal::ctrl_c() => {
                if std::mem::replace(&mut interrupted, true) {
                    printer.end()?;
                    return Err(Failure::interrupted());
                }
                conversation.interrupt().await?;
                continue;
            }
        };
        let event = match event {
            Ok(Some(event)) => event,
            Ok(None) => {
                printer.end()?;
                return Err(cut_short());
            }
            Err(error) => {
                printer.end()?;
                return Err(error.into());
            }
        };
        let rejected = rejection(&event, &frame_id);
        let result = event.turn_ended().cloned();
        printer.print(event)?;
        if rejected.is_some() {
            printer.end()?;
            return Ok(rejected);
        }
        if let Some(result) = result {
            printer.end()?;
            output.remark_on(&result);
            return Ok(Failure::of_result(&result));
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

fn told_between_turns(event: &Event, json: Option<&Json>, output: &Output) -> Result<(), Failure> {
    if let Some(json) = json {
        let event = pb::Event::from(event.clone());
        return output.write(&json.line("Event", &event)?);
    }
    if let Payload::GoAway(_) = &event.payload {
        output.remark("the server is about to stop, and ends the conversation");
    }
    Ok(())
}

fn cut_short() -> Failure {
    Failure::new(
        Exit::Incomplete,
        "the server ended the conversation before the answer",
    )
}
