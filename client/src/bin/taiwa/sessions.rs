//! `taiwa sessions`: the conversations that the server keeps.

use std::path::Path;

use taiwa_client::{Client, pb};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    args::{Export, Format, Listed, Server, Sessions, SessionsCommand},
    failure::{Exit, Failure},
    json::Json,
    output::Output,
    render::{bold, dim, padded},
    request::connect,
};

mod markdown;

pub(crate) async fn run(
    server: &Server,
    sessions: Sessions,
    output: &Output,
) -> Result<(), Failure> {
    let client = connect(server).await?;
    match sessions.command {
        None => list(&client, Listed::default(), output).await,
        Some(SessionsCommand::List(listed)) => list(&client, listed, output).await,
        Some(SessionsCommand::Show { id }) => {
            let session = client.session(id).await?;
            if output.json {
                return output.write(&Json::new()?.line("Session", &session)?);
            }
            output.write(&description(&session, output.rendered))
        }
        Some(SessionsCommand::Delete { ids }) => {
            for id in ids {
                client.delete_session(&id).await?;
                // The server does not tell which, so that deleting twice is as good as once.
                output.remark(&format!("{id} is deleted, or never was there"));
            }
            Ok(())
        }
        Some(SessionsCommand::Export(export)) => self::export(&client, export, output).await,
    }
}

async fn list(client: &Client, listed: Listed, output: &Output) -> Result<(), Failure> {
    let request = pb::ListSessionsRequest {
        agent_id: listed.agent.unwrap_or_default(),
        labels: listed.labels.into_iter().collect(),
        ..Default::default()
    };
    let sessions = client.sessions(request).await?;
    if !output.json {
        return output.write(&table(&sessions, output.terminal, output.rendered));
    }
    let json = Json::new()?;
    let lines: Result<String, _> = sessions
        .iter()
        .map(|session| json.line("Session", session))
        .collect();
    output.write(&lines?)
}

async fn export(client: &Client, export: Export, output: &Output) -> Result<(), Failure> {
    let session = client.session(&export.id).await?;
    let messages = client.messages(&export.id).await?;
    let text = match export.format {
        Format::Json => document(&session, &messages)?,
        Format::Markdown => markdown::document(&session, &messages),
    };
    match export.output {
        None => output.write(&text),
        Some(path) => write(&path, &text),
    }
}

/// One JSON object, a message a line.
fn document(session: &pb::Session, messages: &[pb::Message]) -> Result<String, Failure> {
    let json = Json::new()?;
    let session = json.line("Session", session)?;
    let messages: Result<Vec<String>, Failure> = messages
        .iter()
        .map(|message| Ok(json.line("Message", message)?.trim_end().to_owned()))
        .collect();
    let messages = messages?.join(",\n");
    let session = session.trim_end();
    Ok(format!(
        "{{\"session\":{session},\n\"messages\":[\n{messages}\n]}}\n"
    ))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        let what = format!("{} cannot be written: {error}", path.display());
        Failure::new(Exit::Usage, what)
    })
}

/// A line for each session; on a terminal below a header, which a script would take for one.
fn table(sessions: &[pb::Session], on_terminal: bool, painted: bool) -> String {
    let widest = |title: &str, text: fn(&pb::Session) -> &str| {
        let widths = sessions.iter().map(|session| text(session).width());
        let title = on_terminal.then_some(title.width());
        widths.chain(title).max().unwrap_or(0)
    };
    let ids = widest("session", |session| &session.session_id);
    let agents = widest("agent", |session| &session.agent_id);
    let row = |session: &pb::Session| {
        let id = padded(&session.session_id, ids);
        let agent = padded(&session.agent_id, agents);
        let state = padded(state(session), 7);
        let count = session.message_count;
        let updated = time(session.update_time.as_ref());
        let about = format!(
            "{state}  {count:>4} messages  {updated}  {}",
            labels(session)
        );
        let line = if painted {
            format!("{}  {}  {about}", bold(&id), dim(&agent))
        } else {
            format!("{id}  {agent}  {about}")
        };
        format!("{}\n", line.trim_end())
    };
    let rows: String = sessions.iter().map(row).collect();
    if rows.is_empty() || !on_terminal {
        return rows;
    }
    let (id, agent) = (padded("session", ids), padded("agent", agents));
    let header = format!("{id}  {agent}  state    messages       updated               labels");
    let header = if painted { dim(&header) } else { header };
    format!("{header}\n{rows}")
}

fn description(session: &pb::Session, painted: bool) -> String {
    let options = session.options.clone().unwrap_or_default();
    let (input, output) = (session.total_input_tokens, session.total_output_tokens);
    let rows = [
        ("session", session.session_id.clone()),
        ("agent", session.agent_id.clone()),
        ("model", options.model_id),
        ("state", state(session).to_owned()),
        ("turn", session.active_turn_id.clone()),
        ("made", time(session.create_time.as_ref())),
        ("updated", time(session.update_time.as_ref())),
        ("expires", time(session.expire_time.as_ref())),
        ("messages", session.message_count.to_string()),
        ("tokens", format!("{input} in, {output} out")),
        ("events", session.last_sequence.to_string()),
        ("labels", labels(session)),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let line = |(name, value): (&str, String)| {
        let name = format!("{name:<8}");
        let name = if painted { dim(&name) } else { name };
        format!("{name} {value}\n")
    };
    rows.map(line).collect()
}

fn state(session: &pb::Session) -> &'static str {
    match session.state() {
        pb::SessionState::Unspecified => "",
        pb::SessionState::Idle => "idle",
        pb::SessionState::Running => "running",
        pb::SessionState::Paused => "paused",
    }
}

/// The labels in the order of their names, which they have none of by themselves.
fn labels(session: &pb::Session) -> String {
    let mut labels: Vec<_> = session
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.sort();
    labels.join(", ")
}

/// The time to the second; empty when it is not told.
fn time(time: Option<&prost_types::Timestamp>) -> String {
    let Some(&prost_types::Timestamp { seconds, .. }) = time else {
        return String::new();
    };
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}
