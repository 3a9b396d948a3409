//! `taiwa chat`: a live conversation, on a terminal or through a pipe.

mod desk;
mod editor;
mod live;
mod piped;
mod recap;
mod transcript;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use taiwa_client::{Client, Setup, pb};
use tokio::sync::mpsc;

use crate::{
    args::{Chat, Server},
    connection,
    consent::{Asker, Consent},
    failure::{Exit, Failure},
    interrupt::Told,
    output::Output,
    request::connect,
    scripts::Scripts,
};

use desk::Desk;

/// How long a chat that is left waits for the server to hear of it.
const LEAVE: Duration = Duration::from_secs(2);

/// What goes beside the conversation.
struct Aside {
    /// What was said before, in a few lines.
    recap: Vec<String>,
    /// What becomes of the connection.
    news: mpsc::Receiver<String>,
}

pub(crate) async fn run(server: &Server, chat: Chat, output: &Output) -> Result<(), Failure> {
    let client = connect(server).await?;
    let recap = match &chat.settings.session {
        Some(session_id) => recap::of(&client, session_id, output).await,
        None => Vec::new(),
    };
    let scripts = Scripts::load(&chat.answers)?;
    let mut told = Told::listen(!scripts.is_empty())?;
    let (observe, news) = connection::watch();
    let mut setup = Setup::from(pb::SessionSetup {
        agent_id: chat.settings.agent.clone().unwrap_or_default(),
        session_id: chat.settings.session.clone().unwrap_or_default(),
        options: Some(pb::TurnOptions {
            client_tools: scripts.specs(),
            ..chat.settings.options()
        }),
        input_policy: chat.while_busy.policy().into(),
        stream: Some(pb::StreamOptions {
            on_disconnect: on_disconnect(server).into(),
            ..Default::default()
        }),
        ..Default::default()
    })
    .on_connection(observe);
    if let Some(timeout) = chat.settings.timeout {
        setup = setup.timeout(timeout);
    }
    let conversation = client.converse(setup).await?;
    let session_id = conversation.session().session_id.clone();
    let aside = Aside { recap, news };
    let draws = output.terminal && !output.json && io::stdin().is_terminal();
    let consent = Consent::new(&chat.answers, draws);
    let desk = Desk::new(scripts, consent, session_id.clone());
    let chatting = async {
        if draws {
            live::run(conversation, aside, desk, output).await
        } else {
            let asker = Asker::new(output, chat.answers.editor);
            piped::run(conversation, aside, desk, asker, output).await
        }
    };
    let outcome = tokio::select! {
        outcome = chatting => outcome,
        () = told.heard() => Err(Failure::told_to_stop()),
    };
    if let Err(failure) = &outcome
        && matches!(failure.exit, Exit::Interrupted | Exit::ToldToStop)
    {
        leave(&client, session_id).await;
    }
    outcome
}

/// A turn waits for a chat that comes back to it, and for no other.
fn on_disconnect(server: &Server) -> pb::DisconnectPolicy {
    if server.reconnect_for.is_zero() {
        pb::DisconnectPolicy::Cancel
    } else {
        pb::DisconnectPolicy::Continue
    }
}

/// Whoever leaves in the midst of an answer is not there to read on, and a turn outlives its
/// connection.
async fn leave(client: &Client, session_id: String) {
    let cancelling = client.cancel(session_id, "", "the user left the chat");
    // Whoever leaves is told of nothing any more.
    let _ = tokio::time::timeout(LEAVE, cancelling).await;
}
