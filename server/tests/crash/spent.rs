//! What a tenant has spent of its budget, while the server is killed and started again.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use rusqlite::Connection;
use taiwa::v1::{self as pb, event::Payload};
use taiwa_simulator::Script;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::{
    SOON,
    child::Server,
    kept, number,
    verdict::{check_errors, check_file},
    world::{Link, World},
};

const KILLS: usize = 25;

/// Sessions in which turns run at a time.
const CALLERS: u64 = 6;

/// More than all turns use together.
const PLENTY: u64 = 100_000_000;

/// The model asks for the time, and falls silent when it was told.
const SILENCE: &str = r#"
[[reply]]
when = { has_tool_result = true }
text = ["it is ", "rather ", "late"]
fault.silence = { after_chunk = 2 }

[[reply]]
content = [{ tool_use = { id = "a", name = "current_time", input = '{}' } }]
"#;

/// A world whose server reads a file with a budget, which may be written anew.
struct Place {
    world: Arc<World>,
    config: PathBuf,
    _folder: TempDir,
}

impl Place {
    async fn new(max_tokens: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("agents.toml");
        let argument = format!("--config={}", config.display());
        let place = Self {
            world: World::new(&[&argument, "--replay-window=1d"]).await,
            config,
            _folder: folder,
        };
        place.allow(max_tokens);
        place
    }

    /// From its next start on the server allows so many tokens, in a period that does not end.
    fn allow(&self, max_tokens: u64) {
        let text = format!(
            "[[agents]]\nid = \"assistant\"\n\
             [[agents.tools]]\nbuiltin = [\"current_time\"]\n\
             [[budgets]]\nmax_tokens = {max_tokens}\nperiod = \"366days\"\n"
        );
        std::fs::write(&self.config, text).unwrap();
    }

    async fn start(&self) -> (Server, Link) {
        let server = self.world.setup.start().await;
        self.world.announce(server.address);
        (server, self.world.link().await)
    }

    async fn kill(&self, server: Server) {
        server.kill().await;
        self.world.withdraw();
    }

    /// Tokens in the file, which nobody else has open.
    fn spent(&self) -> u64 {
        let file = Connection::open(&self.world.setup.store).unwrap();
        let sum = "SELECT coalesce(sum(tokens), 0) FROM spent";
        let tokens: i64 = file.query_row(sum, [], |row| row.get(0)).unwrap();
        tokens.try_into().unwrap()
    }
}

fn ask(session_id: &str, prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        prompt: prompt.to_owned(),
        session_id: session_id.to_owned(),
        ..pb::InvokeRequest::default()
    }
}

/// Begins a turn.
async fn open(link: &Link, session_id: &str) -> Streaming<pb::Event> {
    let mut agents = link.agents();
    let opened = agents.invoke_stream(ask(session_id, "how late is it?"));
    opened.await.unwrap().into_inner()
}

fn tokens(usage: Option<&pb::Usage>) -> u64 {
    usage.unwrap().total_tokens.try_into().unwrap()
}

/// Reads a session's events from its first until one that is wanted, which may be yet to come.
async fn until<T>(link: &Link, session_id: &str, wanted: impl Fn(&pb::Event) -> Option<T>) -> T {
    let request = pb::ResumeStreamRequest {
        session_id: session_id.to_owned(),
        ..pb::ResumeStreamRequest::default()
    };
    let resumed = link.agents().resume_stream(request).await;
    let mut events = resumed.unwrap().into_inner();
    loop {
        let event = tokio::time::timeout(SOON, events.message()).await;
        let event = event.expect("it comes in time").unwrap();
        if let Some(found) = wanted(&event.expect("it comes before the end")) {
            return found;
        }
    }
}

#[tokio::test]
async fn a_kill_in_mid_turn_keeps_what_was_settled_and_books_the_open_call_once() {
    let place = Place::new(PLENTY).await;
    let script = Script::from_toml(SILENCE).unwrap();
    place.world.simulator.set_script(script);
    let (server, link) = place.start().await;
    let _open = open(&link, "s").await;
    let settled = until(&link, "s", |event| match &event.payload {
        Some(Payload::StepCompleted(step)) => Some(tokens(step.usage.as_ref())),
        _ => None,
    });
    let settled = settled.await;
    let last_word = until(&link, "s", |event| match &event.payload {
        Some(Payload::TextDelta(text)) if text.text == "rather " => Some(event.step_index),
        _ => None,
    });
    assert_eq!(last_word.await, 1);
    place.kill(server).await;
    assert_eq!(place.spent(), settled);

    let (server, link) = place.start().await;
    let result = until(&link, "s", |event| match &event.payload {
        Some(Payload::TurnEnded(result)) => Some(result.clone()),
        _ => None,
    });
    let result = result.await;
    assert_eq!(result.status(), pb::TurnStatus::Failed);
    let usage = result.usage.as_ref().unwrap();
    let used = tokens(Some(usage));
    assert!(usage.estimated && used > settled, "{settled}: {usage:?}");
    place.kill(server).await;
    assert_eq!(place.spent(), used, "the open call as it is estimated");
    let (server, _) = place.start().await;
    place.kill(server).await;
    assert_eq!(place.spent(), used, "once");

    // What was spent by processes that were killed is not to be spent again.
    let calls = || place.world.simulator.journal().entries().len();
    let before = calls();
    place.allow(used);
    let (server, link) = place.start().await;
    let refused = link.agents().invoke(ask("t", "how late is it?")).await;
    let refused = refused.unwrap().into_inner().result.unwrap();
    assert_eq!(refused.stop_reason(), pb::StopReason::BudgetExceeded);
    assert_eq!(calls(), before);
    place.kill(server).await;
    assert_eq!(place.spent(), used, "a refusal costs nothing");
    place.allow(used + 1_000);
    let (server, link) = place.start().await;
    let _open = open(&link, "u").await;
    until(&link, "u", |event| match &event.payload {
        Some(Payload::StepCompleted(_)) => Some(()),
        _ => None,
    })
    .await;
    place.kill(server).await;
    assert!(place.spent() > used, "with more to spend it goes on");
    check_file(&place.world.setup);
    check_errors(&place.world.setup);
}

/// Begins a session after the other and asks in each, whatever becomes of it.
async fn call(world: Arc<World>, begun: Arc<AtomicU64>) {
    let mut link = world.link().await;
    while !world.is_winding_down() {
        let number = begun.fetch_add(1, Ordering::Relaxed);
        let prompt = ["a long answer", "what time is it?", "a word"][number as usize % 3];
        let asked = link.agents().invoke(ask(&name(number), prompt)).await;
        if let Err(status) = asked {
            link = world.other_link(&link, &status).await;
        }
    }
}

fn name(number: u64) -> String {
    format!("spent-{number}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kills_at_any_moment_what_is_kept_is_what_all_turns_used() {
    let seed = number("TAIWA_CRASH_SEED", 1);
    let began = Instant::now();
    let place = Place::new(PLENTY).await;
    let mut rng = SmallRng::seed_from_u64(seed);
    let begun = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(Arc::clone(&place.world), Arc::clone(&begun)));
    }
    for _ in 0..KILLS {
        let (server, _) = place.start().await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
        place.kill(server).await;
    }
    place.world.wind_down();
    let (server, link) = place.start().await;
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let (mut used, mut turns, mut lost) = (0, 0, 0);
    for number in 0..begun.load(Ordering::Relaxed) {
        let request = pb::GetSessionRequest {
            session_id: name(number),
        };
        // The kill came before its request.
        if link.sessions().get_session(request).await.is_err() {
            continue;
        }
        let result = kept::turn(&link, &name(number), "").await;
        used += tokens(result.usage.as_ref());
        turns += 1;
        lost += u64::from(result.status() == pb::TurnStatus::Failed);
    }
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    assert_eq!(place.spent(), used);
    assert!(lost > 0 && turns > lost, "{lost} of {turns} turns were cut");
    check_file(&place.world.setup);
    check_errors(&place.world.setup);
    eprintln!(
        "seed {seed}: {KILLS} kills, {turns} turns of which {lost} were cut, {used} tokens; {:.1?}",
        began.elapsed()
    );
}
