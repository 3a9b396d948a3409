//! Time of a page of sessions, and of a page of messages, when there are many.

use std::time::Instant;

use anyhow::{Result, bail};
use taiwa::v1 as pb;
use taiwa::v1::session_service_client::SessionServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::Bench;
use crate::{
    child::Target,
    load::{self, Client},
    report::{Key, Latencies, Results},
    scenario::Answer,
};

/// From asking for a page of 50 sessions until it is there.
pub(crate) const SESSIONS: Key = Key::new("listing", "sessions", "page_time", "us");
/// From asking for a page of 50 messages until it is there.
pub(crate) const MESSAGES: Key = Key::new("listing", "messages", "page_time", "us");

/// Sessions that are filled at once.
const AT_ONCE: usize = 16;

/// Sessions whose messages are listed.
const READ: usize = 50;

pub(super) async fn run(bench: &Bench, target: Target, results: &mut Results) -> Result<()> {
    let child = bench.warm(target).await?;
    let (sessions, turns) = (bench.plan.listed_sessions, bench.plan.listed_turns);
    let clients = load::connect(child.address(), 2, None).await?;
    fill(&clients, sessions, turns).await?;

    let channel = load::channel(child.address(), None).await?;
    let mut client = SessionServiceClient::new(channel);
    results.latencies(
        SESSIONS,
        target,
        list_sessions(&mut client, sessions).await?,
    );
    let mut times = Latencies::new()?;
    for number in 0..READ.min(sessions) {
        list_messages(&mut client, number, 2 * turns, &mut times).await?;
    }
    results.latencies(MESSAGES, target, times);
    child.stop().await;
    Ok(())
}

/// Makes the sessions, turn by turn.
async fn fill(clients: &[Client], sessions: usize, turns: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for worker in 0..AT_ONCE {
        let mut client = clients[worker % clients.len()].clone();
        tasks.spawn(async move {
            for number in (worker..sessions).step_by(AT_ONCE) {
                for _ in 0..turns {
                    let request = pb::InvokeRequest {
                        session_id: name(number),
                        prompt: Answer::One.prompt(number),
                        ..Default::default()
                    };
                    client.invoke(request).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("listed-{number}")
}

async fn list_sessions(
    client: &mut SessionServiceClient<Channel>,
    expected: usize,
) -> Result<Latencies> {
    let mut times = Latencies::new()?;
    let mut seen = 0;
    let mut page_token = String::new();
    loop {
        let request = pb::ListSessionsRequest {
            page_token,
            ..Default::default()
        };
        let asked = Instant::now();
        let page = client.list_sessions(request).await?.into_inner();
        times.record(asked.elapsed());
        let listed = page.sessions.iter();
        seen += listed
            .filter(|session| session.session_id.starts_with("listed-"))
            .count();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if seen != expected {
        bail!("{expected} sessions were listed as {seen}");
    }
    Ok(times)
}

async fn list_messages(
    client: &mut SessionServiceClient<Channel>,
    number: usize,
    expected: usize,
    times: &mut Latencies,
) -> Result<()> {
    let mut seen = 0;
    let mut page_token = String::new();
    loop {
        let request = pb::ListMessagesRequest {
            session_id: name(number),
            page_token,
            ..Default::default()
        };
        let asked = Instant::now();
        let page = client.list_messages(request).await?.into_inner();
        times.record(asked.elapsed());
        seen += page.messages.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if seen != expected {
        bail!("{expected} messages were listed as {seen}");
    }
    Ok(())
}
