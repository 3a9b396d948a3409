//! The store alone, in a process that is killed while it writes.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use taiwa_server::store::{
    Batch, Begin, Config, Done, Durability, Head, Key, LogEntry, Place, Store, Write,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{SOON, number};

/// Names the file to the process that writes, which is this program again.
const FILE: &str = "CRASH_STORE_FILE";

const KILLS: u64 = 25;

/// So that a batch takes several pages.
const EVENT_BYTES: usize = 20_000;

#[tokio::test]
async fn a_batch_is_there_whole_or_not_at_all_and_one_that_was_told_of_is_there() {
    if let Some(file) = std::env::var_os(FILE) {
        return write_for_ever(file.into()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let mut rng = SmallRng::seed_from_u64(number("TAIWA_CRASH_SEED", 1));
    let mut newest = 0;
    for _ in 0..KILLS {
        let told = killed_writer(&file, rng.random_range(0..30)).await;
        let store = open(&file).await;
        let loaded = store.load(&key()).await.unwrap();
        let Some(loaded) = loaded else {
            assert_eq!(told, None);
            continue;
        };
        let there = loaded.log.last().map_or(0, |entry| entry.sequence);
        assert!(there >= told.unwrap_or(newest), "{there} of {told:?}");
        newest = there;
        let numbers = loaded.log.iter().map(|entry| entry.sequence);
        assert!(numbers.eq(1..=there), "the log has a gap");
        assert_eq!(loaded.messages.len() as u64, there);
        assert_eq!(loaded.head.last_sequence, there);
        assert_eq!(loaded.head.message_count, there);
        assert_eq!(loaded.state, value(there));
        store.close().await;
    }
    eprintln!("{newest} batches are there after {KILLS} kills");
    assert!(newest >= KILLS);
}

/// Has a process write, and kills it once it has told of so many batches; gives the newest.
async fn killed_writer(file: &Path, batches: usize) -> Option<u64> {
    let name = "mid_write::a_batch_is_there_whole_or_not_at_all_and_one_that_was_told_of_is_there";
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut told = None;
    let mut count = 0;
    while count < batches {
        let line = tokio::time::timeout(SOON, lines.next_line()).await;
        let line = line.unwrap().unwrap().expect("it writes on and on");
        // The test harness says words of its own.
        if let Some(number) = line.strip_prefix("told ") {
            told = Some(number.parse().unwrap());
            count += 1;
        }
    }
    process.kill().await.unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(number) = line.strip_prefix("told ") {
            told = Some(number.parse().unwrap());
        }
    }
    told
}

async fn write_for_ever(file: PathBuf) {
    let store = open(&file).await;
    let fence = store.fence();
    let loaded = store.load(&key()).await.unwrap();
    let mut number = match loaded {
        Some(loaded) => loaded.log.last().map_or(0, |entry| entry.sequence),
        None => {
            let begin = Write::Begin(Begin {
                agent_id: "assistant".to_owned(),
                labels: Default::default(),
                ttl: std::time::Duration::MAX,
                created: SystemTime::now(),
            });
            let begun = store.commit(key(), fence.clone(), vec![begin]);
            begun.await.unwrap();
            0
        }
    };
    loop {
        // A few at a time, so that some share a transaction.
        for _ in 0..3 {
            number += 1;
            store.write(batch(number, fence.clone()));
        }
        let nothing = store.commit(key(), fence.clone(), Vec::new());
        nothing.await.unwrap();
    }
}

fn batch(number: u64, fence: taiwa_server::store::Fence) -> Batch {
    let head = Head {
        update_time: SystemTime::now(),
        message_count: number,
        active_turn_id: None,
        is_paused: false,
        has_work: false,
        last_sequence: number,
        input_tokens: 0,
        output_tokens: 0,
    };
    let entry = LogEntry {
        sequence: number,
        class: 0,
        bytes: Bytes::from(vec![number as u8; EVENT_BYTES]),
    };
    Batch {
        key: key(),
        fence,
        writes: vec![
            Write::History {
                keep: number - 1,
                added: vec![value(number)],
            },
            Write::State(value(number)),
            Write::Log(vec![entry]),
            Write::Head(head),
        ],
        done: Done::new(move |result| {
            result.unwrap();
            let mut out = std::io::stdout();
            writeln!(out, "told {number}").unwrap();
        }),
    }
}

async fn open(file: &Path) -> Store {
    let config = Config {
        place: Place::Sqlite {
            path: file.to_owned(),
            durability: Durability::Normal,
        },
        max_sessions_per_tenant: 10,
    };
    Store::open(config).await.unwrap()
}

fn key() -> Key {
    Key::new(&Arc::from(""), "written")
}

fn value(number: u64) -> Bytes {
    number.to_string().into()
}
