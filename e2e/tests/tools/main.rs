//! Tools that the server runs, through whole turns; what was done is read from the tools' own record.

mod agents;
mod budgets;
mod cancels;
mod consent;
mod counts;
mod names;
mod turns;

use std::collections::BTreeMap;

use taiwa_e2e::{
    Settings, World,
    hands::{self, Record},
};

/// A world whose agent has the tool `work`.
pub(crate) async fn world(scenario: &str, settings: Settings) -> (World, Record) {
    let record = Record::default();
    let mounts = vec![hands::mount(vec![hands::worker("work", &record)])];
    let settings = Settings {
        tools: BTreeMap::from([("assistant".to_owned(), mounts)]),
        ..settings
    };
    (World::with(scenario, settings).await, record)
}
