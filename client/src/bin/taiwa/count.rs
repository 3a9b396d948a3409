//! `taiwa count`: how many input tokens a prompt would use.

use crate::{
    args::{Asked, Server},
    failure::Failure,
    json::Json,
    output::Output,
    request::{connect, request},
};

pub(crate) async fn run(server: &Server, asked: Asked, output: &Output) -> Result<(), Failure> {
    let request = request(&asked, Vec::new())?;
    let counted = connect(server).await?.count_tokens(request).await?;
    if output.json {
        return output.write(&Json::new()?.line("CountTokensResponse", &counted)?);
    }
    output.write(&format!("{}\n", counted.input_tokens))
}
