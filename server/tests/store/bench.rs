//! A store to test, and short words for what is written to it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use taiwa_server::store::{
    Batch, Begin, Config, Done, Durability, Fence, Head, Key, LogEntry, Page, Place, Request,
    Store, StoreError, Turn, Write,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Most sessions of a tenant in the tests.
pub(crate) const MAX_SESSIONS: u64 = 5;

/// A store, and the place where it is.
pub(crate) struct Bench {
    pub(crate) store: Store,
    config: Config,
    _directory: Option<TempDir>,
}

impl Bench {
    pub(crate) async fn memory() -> Self {
        Self::open(Place::Memory, None).await
    }

    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = sqlite(directory.path().join("store.db"));
        Self::open(place, Some(directory)).await
    }

    async fn open(place: Place, directory: Option<TempDir>) -> Self {
        let config = Config {
            place,
            max_sessions_per_tenant: MAX_SESSIONS,
        };
        Self {
            store: Store::open(config.clone()).await.unwrap(),
            config,
            _directory: directory,
        }
    }

    /// Closes the store and opens it again, where it outlives that.
    pub(crate) async fn reopen(&mut self) {
        if self.config.place != Place::Memory {
            self.store.close().await;
            self.store = Store::open(self.config.clone()).await.unwrap();
        }
    }

    /// Writes with a fence of its own.
    pub(crate) async fn write(&self, key: &Key, writes: Vec<Write>) -> Result<(), StoreError> {
        let fence = self.store.fence();
        self.store.commit(key.clone(), fence, writes).await
    }

    /// Begins a session that lasts.
    pub(crate) async fn begin(&self, key: &Key) {
        self.write(key, vec![begin(at(0))]).await.unwrap();
    }
}

/// Makes a test of each function, for each place.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(crate::bench::Bench::memory().await).await;
                }
            )*
        }
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(crate::bench::Bench::sqlite().await).await;
                }
            )*
        }
    };
}
pub(crate) use suite;

pub(crate) fn sqlite(path: PathBuf) -> Place {
    Place::Sqlite {
        path,
        durability: Durability::Normal,
    }
}

pub(crate) fn key(session_id: &str) -> Key {
    key_of("", session_id)
}

pub(crate) fn key_of(tenant: &str, session_id: &str) -> Key {
    Key::new(&tenant.into(), session_id)
}

/// So many seconds after a day in 2026.
pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

pub(crate) fn begin(created: SystemTime) -> Write {
    Write::Begin(beginning(created))
}

pub(crate) fn beginning(created: SystemTime) -> Begin {
    Begin {
        agent_id: "assistant".to_owned(),
        labels: BTreeMap::new(),
        ttl: Duration::from_secs(24 * 60 * 60),
        created,
    }
}

pub(crate) fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

pub(crate) fn head(update_time: SystemTime) -> Head {
    Head::new(update_time)
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn history(keep: u64, added: &[&str]) -> Write {
    Write::History {
        keep,
        added: added.iter().map(|text| bytes(text)).collect(),
    }
}

pub(crate) fn entry(sequence: u64) -> LogEntry {
    LogEntry {
        sequence,
        class: u8::try_from(sequence % 5).unwrap(),
        bytes: bytes(&format!("event {sequence}")),
    }
}

pub(crate) fn log(sequences: impl IntoIterator<Item = u64>) -> Write {
    Write::Log(sequences.into_iter().map(entry).collect())
}

pub(crate) fn turn(turn_id: &str, value: &str) -> Turn {
    Turn {
        turn_id: turn_id.to_owned(),
        last_sequence: 17,
        value: bytes(value),
        input_tokens: 120,
        output_tokens: 30,
        model_id: "model".to_owned(),
        status: "completed".to_owned(),
        stop_reason: "end_turn".to_owned(),
        ended: at(40),
    }
}

pub(crate) fn request(request_id: &str, value: &str, at: SystemTime) -> Request {
    Request {
        request_id: request_id.to_owned(),
        fingerprint: [u8::try_from(value.len()).unwrap(); 32],
        value: bytes(value),
        at,
    }
}

pub(crate) fn page(size: usize, token: Option<String>) -> Page {
    Page { size, token }
}

/// Batches that are written without waiting, and how each went.
pub(crate) struct Burst {
    tx: mpsc::UnboundedSender<(usize, Result<(), StoreError>)>,
    rx: mpsc::UnboundedReceiver<(usize, Result<(), StoreError>)>,
    written: usize,
}

impl Burst {
    pub(crate) fn new() -> Self {
        let (tx, rx) = mpsc::unbounded_channel();
        Self { tx, rx, written: 0 }
    }

    pub(crate) fn write(&mut self, store: &Store, key: &Key, fence: &Fence, writes: Vec<Write>) {
        let (tx, number) = (self.tx.clone(), self.written);
        self.written += 1;
        store.write(Batch {
            key: key.clone(),
            fence: fence.clone(),
            writes,
            done: Done::new(move |result| tx.send((number, result)).unwrap()),
        });
    }

    /// How each went, in the order in which that was told.
    pub(crate) async fn outcomes(mut self) -> Vec<(usize, Result<(), StoreError>)> {
        drop(self.tx);
        let mut outcomes = Vec::new();
        while let Some(outcome) = self.rx.recv().await {
            outcomes.push(outcome);
        }
        assert_eq!(outcomes.len(), self.written, "each batch is told of once");
        outcomes
    }
}
