//! `taiwa invoke`: the whole answer at once.

use taiwa_client::pb;

use crate::{
    args::{Asked, Server},
    failure::Failure,
    json::Json,
    output::Output,
    request::{connect, request},
    spinner::Spinner,
};

pub(crate) async fn run(server: &Server, asked: Asked, output: &Output) -> Result<(), Failure> {
    let request = request(&asked)?;
    let spinner = Spinner::start(output, "waiting for the whole answer");
    let client = connect(server).await?;
    let reply = tokio::select! {
        reply = client.invoke(request) => reply?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::interrupted()),
    };
    spinner.stop();
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
