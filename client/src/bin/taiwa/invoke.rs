//! `taiwa invoke`: the whole answer at once.

use std::pin::pin;

use taiwa_client::{Client, Reply, Request, pb};
use tokio::sync::mpsc;

use crate::{
    args::{Server, Turn},
    connection,
    failure::Failure,
    interrupt::{self, Interrupt, Told},
    json::Json,
    output::Output,
    request::connect,
    rounds::Rounds,
    spinner::Spinner,
};

pub(crate) async fn run(server: &Server, turn: Turn, output: &Output) -> Result<(), Failure> {
    let (observe, mut news) = connection::watch();
    let mut rounds = Rounds::begin(&turn, observe, output)?;
    let client = connect(server).await?;
    let mut interrupt = Interrupt::listen().await;
    let mut told = Told::listen(rounds.has_scripts())?;
    let reply = tokio::select! {
        reply = ask(&client, &mut rounds, &mut news, output) => reply,
        failure = interrupt::ended(&mut interrupt, &mut told) => Err(failure),
    };
    let reply = match reply {
        Ok(reply) => reply,
        Err(failure) => {
            rounds.leave(&client).await;
            return Err(failure);
        }
    };
    let result = reply.result.clone();
    if output.json {
        let response = pb::InvokeResponse::from(reply);
        output.write(&Json::new()?.line("InvokeResponse", &response)?)?;
    } else if turn.asked.settings.output_schema.is_some() && !result.output_json.is_empty() {
        output.write(&format!("{}\n", result.output_json.trim_end()))?;
    } else {
        output.answer(&reply.text)?;
    }
    output.remark_on(&result);
    Failure::of_result(&result).map_or(Ok(()), Err)
}

/// Asks until the turn waits for nothing that can be answered here.
async fn ask(
    client: &Client,
    rounds: &mut Rounds<'_>,
    news: &mut mpsc::Receiver<String>,
    output: &Output,
) -> Result<Reply, Failure> {
    let mut request = rounds.first();
    loop {
        let reply = ask_once(client, request, news, output).await?;
        rounds.goes_on();
        match rounds.answer(&reply.result, false).await? {
            Some(next) => request = next,
            None => return Ok(reply),
        }
    }
}

async fn ask_once(
    client: &Client,
    request: Request,
    news: &mut mpsc::Receiver<String>,
    output: &Output,
) -> Result<Reply, Failure> {
    let spinner = Spinner::start(output, "waiting for the whole answer");
    let mut asking = pin!(client.invoke(request));
    let reply = loop {
        tokio::select! {
            reply = &mut asking => break reply?,
            Some(remark) = news.recv() => spinner.aside(|| output.remark(&remark)),
        }
    };
    spinner.stop();
    while let Ok(remark) = news.try_recv() {
        output.remark(&remark);
    }
    Ok(reply)
}
