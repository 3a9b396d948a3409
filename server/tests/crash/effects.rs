//! A tool of the server has effects outside of it, and the server is killed around them.
//!
//! The tool is `http_get`, the effect a hit that a site counts by its path: one for each turn.

mod site;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use rusqlite::Connection;
use taiwa::v1::{self as pb, event::Payload};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Status, Streaming};

use self::site::Site;
use crate::{
    SOON,
    child::Server,
    number,
    verdict::{check_errors, check_file},
    world::{Link, World, reason},
};

/// What the model is told of a call that a kill met.
const LOST: &str = "it may have taken effect, and was not run again";

/// A site, and a server that may fetch its pages.
struct Place {
    world: Arc<World>,
    site: Site,
    _folder: TempDir,
}

impl Place {
    async fn new(approval: &str) -> Self {
        let site = Site::start().await;
        let folder = tempfile::tempdir().unwrap();
        let agents = folder.path().join("agents.toml");
        let text = format!(
            "[[agents]]\nid = \"assistant\"\n\
             [[agents.tools]]\napproval = \"{approval}\"\nhttp_get = {{ allow = [\"{}\"] }}\n",
            site.url("")
        );
        std::fs::write(&agents, text).unwrap();
        let agents = format!("--config={}", agents.display());
        Self {
            world: World::new(&[&agents, "--replay-window=1d"]).await,
            site,
            _folder: folder,
        }
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

    /// A turn that fetches a page of its own; its session and its request are named after the page.
    fn fetch(&self, page: &str) -> pb::InvokeRequest {
        pb::InvokeRequest {
            prompt: format!("use http_get with url \"{}\"", self.site.url(page)),
            session_id: page.to_owned(),
            request_id: format!("request-{page}"),
            ..pb::InvokeRequest::default()
        }
    }

    /// Runs a further turn, before which the model must have a result of each call.
    async fn go_on(&self, link: &Link, session_id: &str) {
        let request = pb::InvokeRequest {
            prompt: "a short word, please".to_owned(),
            session_id: session_id.to_owned(),
            ..pb::InvokeRequest::default()
        };
        let answer = link.agents().invoke(request).await.unwrap().into_inner();
        let status = answer.result.unwrap().status();
        assert_eq!(status, pb::TurnStatus::Completed, "{session_id}");
    }

    /// What the model was sent last.
    fn told_to_model(&self) -> String {
        let journal = self.world.simulator.journal().entries();
        journal.last().unwrap().request.to_string()
    }

    /// The states of the calls in the file, which nobody else has open.
    fn ledger(&self) -> Vec<String> {
        let file = Connection::open(&self.world.setup.store).unwrap();
        let mut rows = file.prepare("SELECT state FROM call ORDER BY at").unwrap();
        let states = rows.query_map([], |row| row.get(0)).unwrap();
        states.map(Result::unwrap).collect()
    }
}

/// A session's events up to the first end of a turn, which may be yet to come.
async fn first_turn(link: &Link, session_id: &str) -> Vec<pb::Event> {
    let mut events = Vec::new();
    let mut stream = resume(link, session_id, false).await;
    while !matches!(
        &events.last(),
        Some(pb::Event {
            payload: Some(Payload::TurnEnded(_)),
            ..
        })
    ) {
        let event = tokio::time::timeout(SOON, stream.message()).await;
        let event = event.unwrap_or_else(|_| panic!("no end: {events:#?}"));
        events.extend(event.unwrap());
    }
    events
}

/// The whole log of a session at rest.
async fn log(link: &Link, session_id: &str) -> Vec<pb::Event> {
    let mut events = Vec::new();
    let mut stream = resume(link, session_id, true).await;
    while let Some(event) = stream.message().await.unwrap() {
        events.push(event);
    }
    events
}

async fn resume(link: &Link, session_id: &str, replay_only: bool) -> Streaming<pb::Event> {
    let request = pb::ResumeStreamRequest {
        session_id: session_id.to_owned(),
        replay_only,
        ..pb::ResumeStreamRequest::default()
    };
    let opened = link.agents().resume_stream(request).await;
    opened.unwrap().into_inner()
}

/// The one end of each call, in their order.
fn ends(events: &[pb::Event]) -> Vec<pb::ToolCallUpdate> {
    let updates = events.iter().filter_map(|event| match &event.payload {
        Some(Payload::ToolCallUpdate(update)) => Some(update),
        _ => None,
    });
    let is_end = |update: &&pb::ToolCallUpdate| {
        !matches!(
            update.status(),
            pb::ToolCallStatus::Waiting | pb::ToolCallStatus::Running
        )
    };
    let mut ends: Vec<pb::ToolCallUpdate> = Vec::new();
    for update in updates.filter(is_end) {
        let is_first = ends
            .iter()
            .all(|end| end.tool_call_id != update.tool_call_id);
        assert!(is_first, "ended twice: {events:#?}");
        ends.push(update.clone());
    }
    ends
}

fn last_result(events: &[pb::Event]) -> pb::TurnResult {
    let results = events.iter().rev().find_map(|event| match &event.payload {
        Some(Payload::TurnEnded(result)) => Some(pb::TurnResult::clone(result)),
        _ => None,
    });
    results.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_before_the_kill_is_not_known_afterwards_and_not_had_again() {
    let place = Place::new("never").await;
    place.site.hold();
    let (server, link) = place.start().await;
    let request = place.fetch("once");
    let opened = link.agents().invoke_stream(request.clone()).await;
    let mut stream = opened.unwrap().into_inner();
    place.site.hit("once").await;
    place.kill(server).await;
    while let Ok(Some(event)) = stream.message().await {
        let is_end = matches!(&event.payload, Some(Payload::TurnEnded(_)));
        assert!(!is_end, "nobody was there to end it: {event:?}");
    }

    let (server, link) = place.start().await;
    let events = first_turn(&link, "once").await;
    let [end] = &*ends(&events) else {
        panic!("the call has no end: {events:#?}");
    };
    assert_eq!(end.status(), pb::ToolCallStatus::Unknown, "{end:?}");
    assert!(format!("{end:?}").contains(LOST), "{end:?}");
    let result = last_result(&events);
    assert_eq!(result.status(), pb::TurnStatus::Failed);
    assert_eq!(result.stop_reason(), pb::StopReason::Incomplete);
    let error = result.error.unwrap();
    assert_eq!(error.reason(), pb::ErrorReason::ShuttingDown, "{error:?}");

    // The same request once more is the same turn.
    let again = link.agents().invoke(request).await;
    let again = again.expect_err("its turn has failed");
    assert_eq!(reason(&again), Some(pb::ErrorReason::ShuttingDown));
    place.go_on(&link, "once").await;
    assert!(place.told_to_model().contains(LOST));
    place.site.release();
    place.go_on(&link, "once").await;
    place.kill(server).await;
    assert_eq!(place.ledger(), ["unknown"]);

    let (server, link) = place.start().await;
    place.go_on(&link, "once").await;
    assert_eq!(ends(&log(&link, "once").await).len(), 1);
    assert_eq!(place.site.hits(), BTreeMap::from([("once".to_owned(), 1)]));
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    check_file(&place.world.setup);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_with_the_call_itself_has_it_run_once_or_not_at_all() {
    let place = Place::new("never").await;
    place.site.hold();
    for number in 0..8 {
        let page = format!("early-{number}");
        let (server, link) = place.start().await;
        let opened = link.agents().invoke_stream(place.fetch(&page)).await;
        let mut stream = opened.unwrap().into_inner();
        while let Some(event) = stream.message().await.unwrap() {
            if matches!(event.payload, Some(Payload::ToolCall(_))) {
                break;
            }
        }
        place.kill(server).await;

        let (server, link) = place.start().await;
        let events = first_turn(&link, &page).await;
        let [end] = &*ends(&events) else {
            panic!("the call has no end: {events:#?}");
        };
        place.go_on(&link, &page).await;
        assert!(place.told_to_model().contains("the server stopped"));
        let hits = place.site.hits().get(&page).copied().unwrap_or_default();
        match end.status() {
            // What was dispatched may not have come so far.
            pb::ToolCallStatus::Unknown => assert!(hits <= 1, "{hits} hits of {page}"),
            pb::ToolCallStatus::Cancelled => assert_eq!(hits, 0, "{page} is said not to have run"),
            other => panic!("{other:?}: {end:?}"),
        }
        place.kill(server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_consent_at_the_kill_runs_once_when_it_comes() {
    let place = Place::new("always").await;
    let (server, link) = place.start().await;
    let paused = link.agents().invoke(place.fetch("asked")).await;
    let paused = paused.unwrap().into_inner().result.unwrap();
    assert_eq!(paused.status(), pb::TurnStatus::Paused, "{paused:?}");
    place.kill(server).await;
    assert_eq!(place.ledger(), [""; 0], "nothing was started");

    let (server, link) = place.start().await;
    let question = paused.pending_approvals[0].clone();
    let decision = pb::InvokeRequest {
        session_id: "asked".to_owned(),
        approval_decisions: vec![pb::ApprovalDecision {
            approval_id: question.approval_id,
            approved: true,
            digest: question.digest,
            ..pb::ApprovalDecision::default()
        }],
        ..pb::InvokeRequest::default()
    };
    assert_eq!(place.site.hits(), BTreeMap::new());
    let done = link.agents().invoke(decision.clone()).await;
    let done = done.unwrap().into_inner().result.unwrap();
    assert_eq!(done.status(), pb::TurnStatus::Completed, "{done:?}");
    assert_eq!(done.turn_id, paused.turn_id);
    place.kill(server).await;
    assert_eq!(place.ledger(), ["finished"]);

    let (server, link) = place.start().await;
    let late = link
        .agents()
        .invoke(decision)
        .await
        .expect_err("it was answered");
    assert_eq!(reason(&late), Some(pb::ErrorReason::CallNotPending));
    place.go_on(&link, "asked").await;
    assert_eq!(place.site.hits(), BTreeMap::from([("asked".to_owned(), 1)]));
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
}

/// Turns at a time, each in a session of its own.
const TURNS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_at_any_moment_no_call_has_its_effect_twice() {
    let kills = number("TAIWA_CRASH_KILLS", 30);
    let mut rng = SmallRng::seed_from_u64(number("TAIWA_CRASH_SEED", 1));
    let place = Arc::new(Place::new("never").await);
    place.site.linger(Duration::from_millis(15));
    let mut pages = Vec::new();
    let mut told = BTreeMap::new();
    for kill in 0..kills {
        let (server, link) = place.start().await;
        // Those that the last kill met are asked for once more, by the same requests.
        let first = pages.len().saturating_sub(TURNS);
        let again = pages.split_off(first);
        let fresh: Vec<_> = (0..TURNS)
            .map(|turn| format!("page-{kill}-{turn}"))
            .collect();
        let mut turns = JoinSet::new();
        for page in again.iter().chain(&fresh) {
            let (place, link, page) = (Arc::clone(&place), link.clone(), page.clone());
            turns.spawn(async move {
                let end = run(&place, &link, &page).await;
                (page, end)
            });
        }
        let moment = Duration::from_micros(rng.random_range(0..120_000));
        tokio::time::sleep(moment).await;
        place.kill(server).await;
        for (page, end) in turns.join_all().await {
            told.extend(end.ok().map(|status| (page, status)));
        }
        pages.extend(again.into_iter().chain(fresh));
    }

    let (server, link) = place.start().await;
    let mut states = BTreeMap::<&str, usize>::new();
    for page in &pages {
        // Runs it where no server ever heard of it.
        let end = run(&place, &link, page).await;
        place.go_on(&link, page).await;
        let hits = place.site.hits().get(page).copied().unwrap_or_default();
        let events = log(&link, page).await;
        let ends = ends(&events);
        let [call] = &*ends else {
            // The model's own call met the kill, so the tool was never called.
            assert_eq!((ends.len(), hits), (0, 0), "{page}: {end:?} {events:#?}");
            *states.entry("not called").or_default() += 1;
            continue;
        };
        let expected = match call.status() {
            pb::ToolCallStatus::Succeeded => 1..=1,
            pb::ToolCallStatus::Unknown => 0..=1,
            pb::ToolCallStatus::Cancelled => 0..=0,
            other => panic!("{other:?}: {call:?}"),
        };
        assert!(expected.contains(&hits), "{hits} hits of {page}: {call:?}");
        if told.get(page) == Some(&pb::TurnStatus::Completed) {
            assert_eq!(
                call.status(),
                pb::ToolCallStatus::Succeeded,
                "it was told: {page}"
            );
        }
        *states.entry(call.status().as_str_name()).or_default() += 1;
    }
    assert_eq!(pages.len(), usize::try_from(kills).unwrap() * TURNS);
    assert!(place.site.hits().values().all(|hits| *hits == 1));
    for status in ["TOOL_CALL_STATUS_SUCCEEDED", "TOOL_CALL_STATUS_UNKNOWN"] {
        assert!(states.contains_key(status), "no kill met it: {states:?}");
    }
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    check_file(&place.world.setup);
    check_errors(&place.world.setup);
    eprintln!(
        "{kills} kills: {states:?}, {} effects",
        place.site.hits().len()
    );
}

/// Runs the turn of a page to its end, or until the server is gone.
async fn run(place: &Place, link: &Link, page: &str) -> Result<pb::TurnStatus, Status> {
    let answer = link.agents().invoke(place.fetch(page)).await?.into_inner();
    Ok(answer.result.unwrap().status())
}
