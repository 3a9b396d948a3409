//! What tenants have spent of their budgets, kept with the sessions.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use taiwa::v1 as pb;
use taiwa_core::{TurnOptions, price::Price};
use taiwa_e2e::{
    MODEL, Settings, World,
    call::{invoke, next_of, prompt},
    hands,
};
use taiwa_server::{
    budget,
    store::Spent,
    tools::{Mount, Origin, agent::AgentRef},
};

use crate::{
    eventually,
    place::{self, Placed},
    tenant::{self, by},
};

/// A period that no test sees the end of.
const LONG: Duration = Duration::from_secs(366 * 24 * 60 * 60);

const SCENARIO: &str = r#"
[[reply]]
when = { has_tool_result = true }
text = "So says the expert."
usage = { input_tokens = 200, output_tokens = 20 }

[[reply]]
when = { prompt_is = "ask" }
content = [{ tool_use = { id = "a", name = "expert", input = '{"prompt": "be asked"}' } }]
usage = { input_tokens = 100, output_tokens = 10 }

[[reply]]
when = { prompt_is = "be asked" }
text = "Forty-two."
usage = { input_tokens = 1000, output_tokens = 50 }

[[reply]]
when = { prompt_is = "silence" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }

[[reply]]
text = "an answer"
usage = { input_tokens = 100, output_tokens = 10 }
"#;

/// 1 and 2 US dollars for a million tokens, in picodollars.
const PRICE: Price = Price {
    input: 1_000_000,
    output: 2_000_000,
    cache_read: 100_000,
    cache_write: 1_000_000,
    cache_write_1h: 2_000_000,
};

/// A server on which each tenant has a budget of so many tokens.
fn budgeted(max_tokens: u64, period: Option<Duration>) -> Settings {
    Settings {
        budgets: vec![budget::Config {
            tenant: None,
            max_tokens: Some(max_tokens),
            max_cost: None,
            period,
        }],
        prices: vec![(MODEL.to_owned(), PRICE)],
        options: TurnOptions {
            max_tokens: NonZeroU32::new(50),
            ..TurnOptions::default()
        },
        ..tenant::told_apart()
    }
}

/// True when a turn of a tenant was answered, false when its budget was used up.
async fn is_answered(world: &World, tenant: &'static str) -> bool {
    let answer = world.client().await.invoke(by(tenant, prompt("go"))).await;
    let result = answer.unwrap().into_inner().result.unwrap();
    let is_refused = result.stop_reason() == pb::StopReason::BudgetExceeded;
    assert!(
        is_refused || result.stop_reason() == pb::StopReason::EndTurn,
        "{result:?}"
    );
    !is_refused
}

/// Runs turns of a tenant until its budget is used up.
async fn use_up(world: &World, tenant: &'static str) {
    eventually(async || !is_answered(world, tenant).await).await;
}

/// All that is kept of what was spent.
async fn kept(world: &World) -> Vec<Spent> {
    let store = world.server.registry().store();
    let rows = store.spent(SystemTime::now()).await.unwrap();
    rows.into_iter().map(|row| row.spent).collect()
}

fn model_calls(placed: &Placed) -> usize {
    placed.simulator.journal().entries().len()
}

#[tokio::test]
async fn a_budget_that_is_used_up_stays_so_over_a_restart_and_a_crash() {
    let placed = place::in_file(SCENARIO, budgeted(500, Some(LONG))).await;
    use_up(&placed, "acme").await;
    let calls = model_calls(&placed);
    assert!(calls >= 3, "{calls} model calls are within the budget");
    let placed = placed.restart().await;
    assert!(!is_answered(&placed, "acme").await);
    let placed = placed.crash().await;
    assert!(!is_answered(&placed, "acme").await);
    assert_eq!(model_calls(&placed), calls, "what is refused is not sent");
    assert!(is_answered(&placed, "other").await);
}

#[tokio::test]
async fn without_a_file_or_a_period_a_restart_begins_anew() {
    let in_memory = place::in_memory(SCENARIO, budgeted(500, Some(LONG))).await;
    let without_period = place::in_file(SCENARIO, budgeted(500, None)).await;
    for placed in [in_memory, without_period] {
        use_up(&placed, "acme").await;
        let placed = placed.restart().await;
        assert!(is_answered(&placed, "acme").await);
    }
}

#[tokio::test]
async fn the_next_period_is_free_whoever_restarts_in_between() {
    let settings = budgeted(500, Some(Duration::from_secs(1)));
    let placed = place::in_file(SCENARIO, settings).await;
    use_up(&placed, "acme").await;
    let placed = placed.restart().await;
    eventually(async || is_answered(&placed, "acme").await).await;
}

#[tokio::test]
async fn what_is_kept_is_what_the_turn_used_with_the_agents_that_it_asked() {
    let asking = Mount {
        origin: Origin::Agent(AgentRef {
            id: "expert".to_owned(),
            name: "expert".to_owned(),
            description: "Knows more.".to_owned(),
        }),
        ..hands::mount(Vec::new())
    };
    let settings = Settings {
        more_agents: vec![taiwa_e2e::agent("expert")],
        tools: BTreeMap::from([("assistant".to_owned(), vec![asking])]),
        ..budgeted(1_000_000, Some(LONG))
    };
    for placed in place::each(SCENARIO, &settings).await {
        let mut client = placed.client().await;
        let answer = client.invoke(by("acme", prompt("ask"))).await.unwrap();
        let usage = answer.into_inner().result.unwrap().usage.unwrap();
        assert_eq!((usage.total_tokens, usage.model_calls), (1_380, 3));
        let kept = kept(&placed).await;
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].tokens, kept[0].cost), (1_380, 1_460_000_000));
    }
}

#[tokio::test]
async fn a_turn_whose_session_is_deleted_is_paid_for() {
    for placed in place::each(SCENARIO, &budgeted(1_000_000, Some(LONG))).await {
        let mut client = placed.client().await;
        let request = pb::InvokeRequest {
            session_id: "gone".to_owned(),
            ..prompt("silence")
        };
        let streamed = client.invoke_stream(by("acme", request)).await;
        let mut events = streamed.unwrap().into_inner();
        loop {
            let event = next_of(&mut events).await.unwrap().unwrap();
            if matches!(&event.payload, Some(pb::event::Payload::TextDelta(text)) if text.text == "two ")
            {
                break;
            }
        }
        assert_eq!(kept(&placed).await, [], "the call is open");
        let deletion = pb::DeleteSessionRequest {
            session_id: "gone".to_owned(),
        };
        let mut sessions = placed.sessions().await;
        sessions.delete_session(by("acme", deletion)).await.unwrap();
        let paid = kept(&placed).await;
        assert_eq!(paid.len(), 1);
        assert!(paid[0].tokens > 0 && paid[0].cost > 0, "{paid:?}");
        if placed.is_in_file() {
            assert_eq!(kept(&*placed.restart().await).await, paid);
        }
    }
}

#[tokio::test]
async fn where_no_budget_has_a_period_nothing_is_written() {
    let others = Settings {
        budgets: vec![budget::Config {
            tenant: Some("other".to_owned()),
            ..budgeted(1, Some(LONG)).budgets.remove(0)
        }],
        ..Settings::default()
    };
    for settings in [Settings::default(), budgeted(1_000_000, None), others] {
        let single = Settings {
            tenants: Settings::default().tenants,
            ..settings
        };
        for placed in place::each(SCENARIO, &single).await {
            let answer = invoke(&mut placed.client().await, prompt("go")).await;
            assert!(answer.unwrap().result.is_some());
            assert_eq!(kept(&placed).await, []);
        }
    }
}
