//! Memory of Converse streams that are open and idle.

use anyhow::{Context, Result, bail};
use taiwa::v1 as pb;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Bench;
use crate::{
    child::{Child, Target},
    load::{self, Client, PATIENCE},
    process,
    report::{Key, Results},
};

/// Memory for each idle stream.
pub(crate) const PER_STREAM: Key = Key::new("memory", "idle", "per_stream", "KiB");
const BEFORE: Key = Key::new("memory", "idle", "before", "MiB");
const OPEN: Key = Key::new("memory", "idle", "open", "MiB");
const CLOSED: Key = Key::new("memory", "idle", "closed", "MiB");

/// Streams that are opened at the same time; opening all at once would measure the crowd.
const AT_ONCE: usize = 64;

/// How long the server is left alone before its memory is read.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(500);

pub(super) async fn run(bench: &Bench, target: Target, results: &mut Results) -> Result<()> {
    let streams = bench.plan.idle_streams;
    let child = bench.warm(target).await?;
    let clients = load::connect(child.address(), bench.plan.idle_connections, None).await?;
    let first = open(clients[0].clone()).await?;
    let before = settled(&child).await?;

    let mut held = Vec::with_capacity(streams);
    let mut opening = JoinSet::new();
    for number in 0..streams {
        if opening.len() == AT_ONCE {
            held.extend(opening.join_next().await.transpose()?.transpose()?);
        }
        opening.spawn(open(clients[number % clients.len()].clone()));
    }
    while let Some(stream) = opening.join_next().await {
        held.push(stream??);
    }
    let open = settled(&child).await?;

    drop((first, held, clients));
    let closed = settled(&child).await?;
    child.stop().await;

    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let growth = open.saturating_sub(before) as f64;
    results.value(PER_STREAM, target, growth / 1024.0 / streams as f64);
    results.value(BEFORE, target, mebibytes(before));
    results.value(OPEN, target, mebibytes(open));
    results.value(CLOSED, target, mebibytes(closed));
    Ok(())
}

async fn settled(child: &Child) -> Result<u64> {
    tokio::time::sleep(SETTLE).await;
    process::resident_bytes(child.pid())
}

/// A stream that is ready and idle; dropping it ends it.
struct Idle {
    _frames: mpsc::Sender<pb::ConverseRequest>,
    _events: Streaming<pb::Event>,
}

async fn open(mut client: Client) -> Result<Idle> {
    use pb::{converse_request::Frame, event::Payload};
    // Only the setup is ever sent.
    let (frames, outgoing) = mpsc::channel(1);
    let setup = pb::ConverseRequest {
        frame: Some(Frame::Setup(pb::SessionSetup::default())),
        ..Default::default()
    };
    frames.send(setup).await.context("nobody takes the setup")?;
    let call = client.converse(ReceiverStream::new(outgoing));
    let mut events = timeout(PATIENCE, call).await??.into_inner();
    let first = timeout(PATIENCE, events.message()).await??;
    match first.and_then(|event| event.payload) {
        Some(Payload::SessionReady(_)) => Ok(Idle {
            _frames: frames,
            _events: events,
        }),
        other => bail!("a stream begins with {other:?}"),
    }
}
