//! `taiwa invoke`: the whole answer at once.

use std::pin::pin;

use taiwa_client::pb;

use crate::{
    args::{Asked, Server},
    connection,
    failure::Failure,
    interrupt::Interrupt,
    json::Json,
    output::Output,
    request::{connect, request},
    spinner::Spinner,
};

pub(crate) async fn run(server: &Server, asked: Asked, output: &Output) -> Result<(), Failure> {
    let (observe, mut news) = connection::watch();
    let request = request(&asked)?.on_connection(observe);
    let spinner = Spinner::start(output, "waiting for the whole answer");
    let client = connect(server).await?;
    let mut interrupt = Interrupt::listen().await;
    let mut asking = pin!(client.invoke(request));
    let reply = loop {
        tokio::select! {
            reply = &mut asking => break reply?,
            Some(remark) = news.recv() => spinner.aside(|| output.remark(&remark)),
            () = interrupt.pressed() => return Err(Failure::interrupted()),
        }
    };
    spinner.stop();
    while let Ok(remark) = news.try_recv() {
        output.remark(&remark);
    }
    let result = reply.result.clone();
    if output.json {
        let response = pb::InvokeResponse::from(reply);
        output.write(&Json::new()?.line("InvokeResponse", &response)?)?;
    } else {
        output.answer(&reply.text)?;
    }
    output.remark_on(&result);
    Failure::of_result(&result).map_or(Ok(()), Err)
}
