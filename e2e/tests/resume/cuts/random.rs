//! Ten thousand cuts, at random places of many turns, resumed in every way.

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use taiwa::v1 as pb;
use taiwa_e2e::{Client, Settings, World};
use tokio::{sync::watch, task::JoinSet};

use super::caller::Caller;
use crate::{
    listener::{HEARTBEAT, follow, listen_to_turn},
    place,
    seen::Seen,
    talker::{Stop, Talker},
};

/// Set to what a failure printed, it happens again, as far as the order of tasks allows.
const SEED: Option<u64> = None;

/// Sessions at the same time, half of them live conversations.
const SESSIONS: usize = 40;

/// Cuts that each of them is to see at least.
const CUTS: usize = 100;

/// The wait for `think` is longer than the interval of heartbeats.
const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "long" }
content = [{ text = ["forty bytes of text, one after another. "], repeat = 150 }]

[[reply]]
when = { prompt_is = "slowly" }
content = [{ reasoning = { text = ["Let", " me", " see."], signature = "s" } }, { text = ["one ", "two"] }]
pace = { chunk_delay = "2ms" }

[[reply]]
when = { prompt_is = "think" }
text = ["I ", "think."]
pace = { first_token_delay = "1200ms" }
"#;

const PROMPTS: [&str; 5] = ["weather", "weather", "long", "slowly", "hi"];

#[tokio::test]
async fn ten_thousand_cuts_at_random_places_lose_nothing() {
    let seed = SEED.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let scenario = format!("{SCENARIO}{}", crate::weather::SCENARIO);
    let mut all = Tally::default();
    for world in place::each(&scenario, &Settings::default()).await {
        let tally = cut_at_random(&world, seed).await;
        let calls = world.simulator.journal().entries().len();
        assert_eq!(calls, tally.model_calls, "a turn ran twice, or never");
        println!("{tally:?}");
        all = all.and(tally);
    }
    assert!(all.cuts >= 10_000, "{all:?}");
    assert!(all.heartbeats > 0, "{all:?}");
}

/// What was done and seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) cuts: usize,
    pub(super) turns: usize,
    pub(super) model_calls: usize,
    heartbeats: usize,
    events: usize,
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            cuts: self.cuts + other.cuts,
            turns: self.turns + other.turns,
            model_calls: self.model_calls + other.model_calls,
            heartbeats: self.heartbeats + other.heartbeats,
            events: self.events + other.events,
        }
    }

    /// Counts a turn that a prompt starts.
    pub(super) fn add_turn(&mut self, prompt: &str) {
        self.turns += 1;
        self.model_calls += if prompt == "weather" { 2 } else { 1 };
    }
}

async fn cut_at_random(world: &World, seed: u64) -> Tally {
    let mut sessions = JoinSet::new();
    for number in 0..SESSIONS {
        let rng = SmallRng::seed_from_u64(seed.wrapping_add(number as u64));
        sessions.spawn(cut_session(world.client().await, number, rng));
    }
    let mut all = Tally::default();
    while let Some(tally) = sessions.join_next().await {
        all = all.and(tally.unwrap());
    }
    all
}

/// Cuts a session often, and the readers beside it; at the end each has seen all of it.
async fn cut_session(mut client: Client, number: usize, mut rng: SmallRng) -> Tally {
    let session_id = format!("session-{number}");
    let (tell_last, last) = watch::channel(None);
    let mut readers = JoinSet::new();
    let mut read = |rng: &mut SmallRng, seen: &Seen, client: &Client| {
        for _ in 0..rng.random_range(0..=2) {
            let mut rng = SmallRng::from_rng(rng);
            let most = move || rng.random_range(1..40);
            let (client, last, seen) = (client.clone(), last.clone(), seen.clone());
            readers.spawn(follow(client, session_id.clone(), seen, last, most));
        }
    };
    let stream = pb::StreamOptions {
        heartbeat_interval: HEARTBEAT,
        on_disconnect: pb::DisconnectPolicy::Continue.into(),
        on_slow_reader: rng.random_range(0..=2),
        ..pb::StreamOptions::default()
    };
    let mut tally = Tally::default();
    let seen = if number.is_multiple_of(2) {
        let mut talker = Talker::new(&session_id, stream);
        talk(&mut client, &mut talker, &mut tally, &mut rng, &mut read).await;
        talker.seen
    } else {
        let mut caller = Caller::new(&session_id, stream);
        while tally.cuts < CUTS {
            let prompt = prompt(&tally, &mut rng);
            caller.ask(&mut client, prompt, &mut tally, &mut rng).await;
            if tally.turns == 1 {
                read(&mut rng, &caller.seen, &client);
            }
        }
        caller.seen
    };
    seen.check_whole(&mut client, &session_id).await;
    tell_last.send(Some(seen.cursor())).unwrap();
    tally.events = seen.events().len();
    tally.heartbeats = seen.heartbeats;
    while let Some(reader) = readers.join_next().await {
        let (also_seen, cuts) = reader.unwrap();
        assert_eq!(also_seen.events().len(), seen.events().len());
        seen.check(also_seen.events());
        tally.cuts += cuts;
        tally.heartbeats += also_seen.heartbeats;
    }
    tally
}

fn prompt(tally: &Tally, rng: &mut SmallRng) -> &'static str {
    match tally.turns {
        1 if rng.random_ratio(1, 4) => "think",
        _ => PROMPTS[rng.random_range(0..PROMPTS.len())],
    }
}

/// Talks, and is cut: while it talks, and while it only listens.
async fn talk(
    client: &mut Client,
    talker: &mut Talker,
    tally: &mut Tally,
    rng: &mut SmallRng,
    read: &mut impl FnMut(&mut SmallRng, &Seen, &Client),
) {
    let mut apart = Vec::new();
    loop {
        if talker.is_answered() {
            if tally.cuts >= CUTS {
                break;
            }
            let prompt = prompt(tally, rng);
            tally.add_turn(prompt);
            talker.say(prompt);
        }
        let most = rng.random_range(0..20);
        match rng.random_range(0..10) {
            6..8 if talker.seen.cursor() > 0 => {
                talker.listen(client, most).await;
                tally.cuts += 1;
            }
            8.. if talker
                .seen
                .events()
                .iter()
                .any(|event| !event.turn_id.is_empty()) =>
            {
                let session_id = talker.session_id().to_owned();
                let (events, was_cut) =
                    listen_to_turn(client, &session_id, &talker.seen, most).await;
                apart.extend(events);
                tally.cuts += usize::from(was_cut);
            }
            _ => {
                let began = talker.seen.cursor() == 0;
                let mut conversation = talker.attach(client).await.unwrap();
                if began {
                    read(rng, &talker.seen, client);
                }
                match talker.read(&mut conversation, most).await.unwrap() {
                    Stop::Answered if rng.random() => talker.finish(conversation).await,
                    Stop::Answered | Stop::Enough => tally.cuts += 1,
                    Stop::TakenOver => panic!("nobody else talks"),
                }
            }
        }
    }
    let conversation = talker.attach(client).await.unwrap();
    talker.finish(conversation).await;
    talker.seen.check(&apart);
}
