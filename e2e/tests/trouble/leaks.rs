//! What troubles leave behind: no process, no connection, no task, no call.

use std::{
    fs,
    time::{Duration, Instant},
};

use taiwa::v1 as pb;
use taiwa_e2e::{
    SessionClient,
    call::{invoke_stream, prompt},
};
use tokio::runtime::Handle;

use crate::{
    ALONE, Place,
    results::{check, watch_until_killed},
};

const ROUNDS: usize = 50;

/// Longest wait for what leaves: a program gets four seconds before it is killed.
const LEAVING: Duration = Duration::from_secs(20);

/// What this process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    tasks: usize,
    children: usize,
    descriptors: usize,
    calls: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_after_fifty_of_each_trouble() {
    let _alone = ALONE.lock().await;
    let mut place = Place::new().await;
    // Its connection is a part of what is held.
    let mut sessions = place.world.sessions().await;
    // Connections to tools and whatever else is made once are there after one round.
    round(&mut place).await;
    forget(&mut sessions).await;
    let before = settled(&place, None).await;
    let began = Instant::now();
    for _ in 0..ROUNDS {
        round(&mut place).await;
    }
    assert_eq!(place.program.calls("die"), ROUNDS + 1);
    assert_eq!(place.program.starts(), ROUNDS + 2, "after each death");
    forget(&mut sessions).await;
    let after = settled(&place, Some(before)).await;
    assert_eq!(after, before);
    eprintln!("{ROUNDS} rounds in {:?}; {after:?}", began.elapsed());
    let children = descendants();
    place.world.server.stop().await;
    let gone = Instant::now();
    while children.iter().any(|id| is_there(*id)) {
        assert!(gone.elapsed() < LEAVING, "{children:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn round(place: &mut Place) {
    // The program starts again while the others have their trouble.
    for trouble in ["junk", "die", "hang", "panic", "fail", "unsure", "flood"] {
        let mut client = place.world.client().await;
        let streamed = invoke_stream(&mut client, prompt(trouble)).await;
        check(&place.world, trouble, &streamed);
    }
    watch_until_killed(place).await;
    place.is_there().await;
    place.world.simulator.journal().clear();
}

/// Deletes all sessions.
async fn forget(sessions: &mut SessionClient) {
    loop {
        let page = sessions
            .list_sessions(pb::ListSessionsRequest::default())
            .await;
        let page = page.expect("a page").into_inner().sessions;
        if page.is_empty() {
            return;
        }
        for session in page {
            let request = pb::DeleteSessionRequest {
                session_id: session.session_id,
            };
            sessions
                .delete_session(request)
                .await
                .expect("it is deleted");
        }
    }
}

/// Waits until this process holds what is expected, or else until nothing changes any more.
async fn settled(place: &Place, expected: Option<Held>) -> Held {
    let began = Instant::now();
    let (mut held, mut since) = (Held::by(place), began);
    loop {
        let is_quiet = expected.is_none() && since.elapsed() > Duration::from_secs(1);
        if expected == Some(held) || is_quiet || began.elapsed() > LEAVING {
            return held;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = Held::by(place);
        if now != held {
            (held, since) = (now, Instant::now());
        }
    }
}

impl Held {
    fn by(place: &Place) -> Self {
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            children: descendants().len(),
            descriptors: fs::read_dir("/proc/self/fd").expect("Linux").count(),
            calls: place.hands.running(),
        }
    }
}

/// Processes below this one, the dead that nobody has waited for among them.
fn descendants() -> Vec<u32> {
    let mut found = vec![std::process::id()];
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = processes
        .filter_map(|id: u32| Some((id, parent(id)?)))
        .collect();
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == of)
                .map(|(id, _)| id),
        );
        at += 1;
    }
    found.split_off(1)
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before it may have spaces in it, and ends with the last bracket.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn is_there(id: u32) -> bool {
    fs::exists(format!("/proc/{id}")).expect("Linux")
}
