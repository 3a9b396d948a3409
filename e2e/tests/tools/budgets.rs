//! Budgets that many turns share, and what a turn may cost.

use std::num::NonZeroU32;

use futures_util::future::join_all;
use taiwa::v1 as pb;
use taiwa_core::{TurnOptions, price::Price};
use taiwa_e2e::{
    MODEL, Settings, World,
    call::{invoke, prompt},
};
use taiwa_server::budget;

const SCENARIO: &str = r#"
[[reply]]
text = ["one ", "two ", "three ", "four ", "five ", "six ", "seven ", "eight ", "nine"]
"#;

/// What the simulator counts of a turn: 400 characters and their frame; 44 characters.
const INPUT: u64 = 104;
const OUTPUT: u64 = 11;

fn question() -> pb::InvokeRequest {
    prompt(&"word ".repeat(80))
}

const PICODOLLARS: u64 = 1_000_000;

fn price() -> Price {
    // 1 and 2 US dollars for a million tokens.
    Price {
        input: PICODOLLARS,
        output: 2 * PICODOLLARS,
        cache_read: PICODOLLARS / 10,
        cache_write: PICODOLLARS,
        cache_write_1h: 2 * PICODOLLARS,
    }
}

async fn run(world: &World, turns: usize) -> Vec<pb::TurnResult> {
    let mut clients = Vec::new();
    for _ in 0..turns {
        clients.push(world.client().await);
    }
    let asking = clients.into_iter().map(|mut client| async move {
        let answer = invoke(&mut client, question()).await;
        answer.expect("an answer").result.expect("a result")
    });
    join_all(asking).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_turns_spend_no_more_than_a_budget_for_a_hundred() {
    let most = 100 * (INPUT + OUTPUT);
    let settings = Settings {
        budgets: vec![budget::Config {
            tenant: None,
            max_tokens: Some(most),
            max_cost: None,
            period: None,
        }],
        options: TurnOptions {
            max_tokens: NonZeroU32::new(50),
            ..TurnOptions::default()
        },
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let results = run(&world, 200).await;
    let spent: i64 = results
        .iter()
        .filter_map(|result| result.usage.as_ref())
        .map(|usage| i64::from(usage.total_tokens))
        .sum();
    let done = |reason: pb::StopReason| {
        let done = results
            .iter()
            .filter(move |result| result.stop_reason() == reason);
        done.count()
    };
    let (whole, refused) = (
        done(pb::StopReason::EndTurn),
        done(pb::StopReason::BudgetExceeded),
    );
    assert_eq!(whole + refused, 200);
    let most = i64::try_from(most).expect("a small number");
    assert!(spent <= most, "{spent} of {most}");
    // What open calls hold is not to be had by others: some are refused that would have fitted.
    assert!(spent >= most / 2, "{spent} of {most}");
    assert!(
        refused >= 100,
        "{whole} turns were whole, {refused} refused"
    );
    // What is refused is not sent.
    assert_eq!(world.simulator.journal().entries().len(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_money_holds_likewise() {
    let cost = INPUT * PICODOLLARS + OUTPUT * 2 * PICODOLLARS;
    let settings = Settings {
        budgets: vec![budget::Config {
            tenant: None,
            max_tokens: None,
            max_cost: Some(10 * cost),
            period: None,
        }],
        prices: vec![(MODEL.to_owned(), price())],
        options: TurnOptions {
            max_tokens: NonZeroU32::new(50),
            ..TurnOptions::default()
        },
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let results = run(&world, 20).await;
    let spent: f64 = results
        .iter()
        .filter_map(|result| result.usage.as_ref()?.cost_usd)
        .sum();
    let most = taiwa_core::price::dollars(10 * cost);
    assert!(spent <= most + 1e-12, "{spent} of {most}");
    assert!(spent >= most / 2.0, "{spent} of {most}");
}

#[tokio::test]
async fn a_turn_tells_its_cost_and_keeps_within_its_own_limit() {
    let settings = Settings {
        prices: vec![(MODEL.to_owned(), price())],
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut client = world.client().await;
    let answer = invoke(&mut client, question()).await.expect("an answer");
    let usage = answer
        .result
        .and_then(|result| result.usage)
        .expect("usage");
    assert_eq!(usage.cost_usd, Some(0.000_126));

    let mut request = prompt("go");
    request.options = Some(pb::TurnOptions {
        max_cost_usd: 0.000_001,
        ..pb::TurnOptions::default()
    });
    let answer = invoke(&mut client, request).await.expect("an answer");
    let result = answer.result.expect("a result");
    assert_eq!(result.stop_reason(), pb::StopReason::BudgetExceeded);
    assert_eq!(world.simulator.journal().entries().len(), 1);
}

#[tokio::test]
async fn a_limit_on_cost_needs_a_price() {
    let world = World::with(SCENARIO, Settings::default()).await;
    let mut client = world.client().await;
    let mut request = prompt("go");
    request.options = Some(pb::TurnOptions {
        max_cost_usd: 1.0,
        ..pb::TurnOptions::default()
    });
    let status = invoke(&mut client, request).await.expect_err("no price");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("max_cost_usd"), "{status:?}");
    let answer = invoke(&mut client, prompt("go")).await.expect("an answer");
    let usage = answer
        .result
        .and_then(|result| result.usage)
        .expect("usage");
    assert_eq!(usage.cost_usd, None);
}
