//! `taiwa chat`: a live conversation, on a terminal or through a pipe.

mod editor;
mod live;
mod piped;
mod transcript;

use std::io::{self, IsTerminal as _};

use taiwa_client::{Setup, pb};

use crate::{
    args::{Chat, Server},
    failure::Failure,
    output::Output,
    request::connect,
};

pub(crate) async fn run(server: &Server, chat: Chat, output: &Output) -> Result<(), Failure> {
    let client = connect(server).await?;
    let mut setup = Setup::from(pb::SessionSetup {
        agent_id: chat.settings.agent.clone().unwrap_or_default(),
        session_id: chat.settings.session.clone().unwrap_or_default(),
        options: Some(chat.settings.options()),
        input_policy: chat.while_busy.policy().into(),
        // Whoever leaves a chat is not there to read on.
        stream: Some(pb::StreamOptions {
            on_disconnect: pb::DisconnectPolicy::Cancel.into(),
            ..Default::default()
        }),
        ..Default::default()
    });
    if let Some(timeout) = chat.settings.timeout {
        setup = setup.timeout(timeout);
    }
    let conversation = client.converse(setup).await?;
    if output.terminal && !output.json && io::stdin().is_terminal() {
        live::run(conversation, output).await
    } else {
        piped::run(conversation, output).await
    }
}
