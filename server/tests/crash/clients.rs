//! The load of a test: clients that come and go, and what they know in the end.

use std::sync::{Arc, atomic::Ordering};

use tokio::task::JoinSet;

use crate::{caller::Caller, chat::Chat, record::Record, world::World};

/// Clients that begin one session after the other, until the world winds down.
pub(crate) struct Clients {
    tasks: JoinSet<Vec<Record>>,
}

impl Clients {
    pub(crate) fn start(world: &Arc<World>, seed: u64, chats: usize, callers: usize) -> Self {
        let mut tasks = JoinSet::new();
        for number in 0..chats + callers {
            let world = Arc::clone(world);
            tasks.spawn(async move {
                let mut records = Vec::new();
                while !world.is_winding_down() {
                    let at = world.counts.clients.fetch_add(1, Ordering::Relaxed);
                    let seed = seed.wrapping_mul(1_000_003).wrapping_add(at);
                    let record = if number < chats {
                        Chat::new(&world, format!("chat-{at}"), seed).run().await
                    } else {
                        Caller::run(Arc::clone(&world), format!("call-{at}"), seed).await
                    };
                    if !record.session_id.is_empty() {
                        records.push(record);
                    }
                }
                records
            });
        }
        Self { tasks }
    }

    /// Fails when a client has.
    pub(crate) fn check(&mut self) {
        if let Some(ended) = self.tasks.try_join_next() {
            ended.unwrap();
            panic!("a client ended before it was to");
        }
    }

    /// Waits for all of them.
    pub(crate) async fn finish(mut self) -> Vec<Record> {
        let mut records = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            records.extend(ended.unwrap());
        }
        records
    }
}
