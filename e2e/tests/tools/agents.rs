//! Agents that ask one another: what it costs, how deep it goes, and how it ends.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use taiwa::v1 as pb;
use taiwa_core::{Limits, price::Price, tool::Approval};
use taiwa_e2e::{
    MODEL, Settings, World,
    call::{PATIENCE, invoke_stream, prompt, rest_of},
    calls::{self, CallTold},
    hands::{self, Record},
    latency::{self, Latencies},
};
use taiwa_server::tools::{
    Mount, Origin,
    agent::{AgentRef, MAX_DEPTH},
};
use taiwa_simulator::{Entry, Outcome};

/// `assistant` asks `expert` whatever it is asked, and is content with any answer.
const SCENARIO: &str = r#"
[[reply]]
when = { has_tool_result = true }
text = "So says the expert."
usage = { input_tokens = 200, output_tokens = 20 }

[[reply]]
when = { prompt_is = "plain" }
content = [{ tool_use = { id = "a", name = "ask_expert", input = '{"prompt": "inner plain"}' } }]
usage = { input_tokens = 100, output_tokens = 10 }

[[reply]]
when = { prompt_is = "slow" }
content = [{ tool_use = { id = "a", name = "ask_expert", input = '{"prompt": "inner slow"}' } }]

[[reply]]
when = { prompt_is = "broken" }
content = [{ tool_use = { id = "a", name = "ask_expert", input = '{"prompt": "inner broken"}' } }]

[[reply]]
when = { prompt_is = "endless" }
content = [{ tool_use = { id = "a", name = "ask_expert", input = '{"prompt": "Explain in great detail, in 3000 words, how to make tea."}' } }]
usage = { input_tokens = 100, output_tokens = 10 }

[[reply]]
when = { prompt_is = "working" }
content = [{ tool_use = { id = "a", name = "ask_expert", input = '{"prompt": "inner working"}' } }]

[[reply]]
when = { prompt_is = "inner plain" }
text = "Forty-two."
usage = { input_tokens = 1000, output_tokens = 50 }

[[reply]]
when = { prompt_is = "inner slow" }
text = ["I think", " and think."]
fault = { silence = { after_chunk = 1 } }

[[reply]]
when = { prompt_is = "inner broken" }
text = "It is"
fault = { exception = { type = "InternalServerException", message = "out of order", after_chunk = 1 } }

[[reply]]
when = { prompt_is = "inner working" }
content = [{ tool_use = { id = "b", name = "work", input = '{"ms": 1}' } }]
"#;

/// What the persona answers at length.
const ENDLESS: &str = "Explain in great detail, in 3000 words, how to make tea.";

/// 1 and 2 US dollars for a million tokens, in picodollars.
const PRICE: Price = Price {
    input: 1_000_000,
    output: 2_000_000,
    cache_read: 100_000,
    cache_write: 1_000_000,
    cache_write_1h: 2_000_000,
};

fn asking(agent: &str) -> Mount {
    Mount {
        origin: Origin::Agent(AgentRef {
            id: agent.to_owned(),
            name: format!("ask_{agent}"),
            description: "Knows more.".to_owned(),
        }),
        ..hands::mount(Vec::new())
    }
}

/// A world whose agent has an expert, who has a tool that needs consent.
async fn world() -> (World, Record) {
    let record = Record::default();
    let mut work = hands::mount(vec![hands::worker("work", &record)]);
    work.approval = Some(Approval::Always);
    let settings = Settings {
        more_agents: vec![taiwa_e2e::agent("expert")],
        tools: BTreeMap::from([
            ("assistant".to_owned(), vec![asking("expert")]),
            ("expert".to_owned(), vec![work]),
        ]),
        prices: vec![(MODEL.to_owned(), PRICE)],
        ..Settings::default()
    };
    (World::with(SCENARIO, settings).await, record)
}

/// Runs a turn to its completion; its result, and what was told of its one call.
async fn turn(world: &World, request: pb::InvokeRequest) -> (pb::TurnResult, CallTold) {
    let streamed = invoke_stream(&mut world.client().await, request).await;
    let mut told = calls::told(&streamed.events);
    assert_eq!(told.len(), 1, "{streamed:#?}");
    (streamed.result().clone(), told.remove(0))
}

/// Waits until the only session is the caller's own.
async fn alone(world: &World) {
    let mut sessions = world.sessions().await;
    let began = Instant::now();
    loop {
        let page = sessions
            .list_sessions(pb::ListSessionsRequest::default())
            .await;
        let found = page.expect("a page").into_inner().sessions;
        let agents: Vec<_> = found.iter().map(|session| &*session.agent_id).collect();
        if !agents.contains(&"expert") {
            assert_ne!(agents, [""; 0], "the caller's own stays");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{agents:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_the_result_and_what_it_cost_is_the_callers() {
    let (world, _) = world().await;
    let (result, told) = turn(&world, prompt("plain")).await;
    assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
    assert_eq!(told.status(), pb::ToolCallStatus::Succeeded);
    assert_eq!(told.words(), "Forty-two.");
    let usage = result.usage.as_ref().expect("usage");
    let tokens = (usage.input_tokens, usage.output_tokens, usage.total_tokens);
    assert_eq!(tokens, (1300, 80, 1380), "{usage:?}");
    assert_eq!((usage.model_calls, usage.tool_calls), (3, 1));
    let cost = usage.cost_usd.expect("all models have a price");
    assert!((cost - 0.001_46).abs() < 1e-12, "{cost}");
    alone(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_budget_bounds_what_is_asked() {
    let (world, _) = world().await;
    let mut request = prompt("endless");
    request.options = Some(pb::TurnOptions {
        max_total_tokens: 240,
        ..pb::TurnOptions::default()
    });
    let (result, told) = turn(&world, request).await;
    let entries = world.simulator.journal().entries();
    let inner = entries.iter().find(|entry| said(entry, ENDLESS));
    let inner = inner.expect("the expert was asked");
    let limit = inner.request["inferenceConfig"]["maxTokens"].as_u64();
    let limit = limit.expect("it is limited");
    // What 110 tokens and the expert's own input leave.
    assert!((1..130).contains(&limit), "{limit}");
    assert_eq!(told.status(), pb::ToolCallStatus::Succeeded);
    let usage = result.usage.as_ref().expect("usage");
    let said = u64::try_from(usage.output_tokens - 10).expect("more than the caller's own");
    // The persona's words are counted in pieces of a few tokens.
    assert!((limit - 3..=limit).contains(&said), "{said} of {limit}");
    // Nothing is left to answer with, and the caller's own model is not asked again.
    assert_eq!(
        result.stop_reason(),
        pb::StopReason::BudgetExceeded,
        "{result:#?}"
    );
    // The input of a call is estimated before it, here by some 20 tokens too low.
    assert!(usage.total_tokens < 280, "{usage:?}");
    assert_eq!(usage.model_calls, 2, "{usage:?}");
    alone(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_ends_and_its_last_model_is_told_why() {
    let scenario = r#"
        [[reply]]
        when = { has_tool_result = true }
        text = "Enough."

        [[reply]]
        content = [{ tool_use = { id = "a", name = "ask_assistant", input = '{"prompt": "again"}' } }]
    "#;
    let settings = Settings {
        tools: BTreeMap::from([("assistant".to_owned(), vec![asking("assistant")])]),
        ..Settings::default()
    };
    let world = World::with(scenario, settings).await;
    let (result, told) = turn(&world, prompt("begin")).await;
    assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
    assert_eq!(told.words(), "Enough.");
    let entries = world.simulator.journal().entries();
    // Each agent's model is asked twice, the user's own and as many as may be below it.
    let expected = usize::try_from(2 * (MAX_DEPTH + 1)).expect("it is small");
    assert_eq!(entries.len(), expected);
    let why = format!("agents call one another {MAX_DEPTH} deep already; this call did not run");
    let told: Vec<_> = entries
        .iter()
        .filter(|entry| entry.request.to_string().contains(&why))
        .collect();
    assert_eq!(told.len(), 1, "the innermost alone");
    let calls = result.usage.as_ref().map(|usage| usage.model_calls);
    assert_eq!(calls, i32::try_from(expected).ok(), "all are the caller's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_inner_models_call_at_once() {
    let (world, _) = world().await;
    let mut round = 0;
    latency::measure(async || {
        round += 1;
        let mut delays = Latencies::default();
        for number in 0..25 {
            delays.add(cancel(&world, &format!("cut-{round}-{number}")).await);
        }
        delays.are_short(
            "from a cancel to the inner model's end",
            20,
            latency::CANCEL,
        )
    })
    .await;
    alone(&world).await;
}

/// Cancels a turn while the expert's model is silent; the time until its call was closed.
async fn cancel(world: &World, session_id: &str) -> Duration {
    let journal = world.simulator.journal();
    journal.clear();
    let mut client = world.client().await;
    let mut request = prompt("slow");
    request.session_id = session_id.to_owned();
    let opened = client.invoke_stream(request).await;
    let mut stream = opened.expect("a stream").into_inner();
    let is_silent = |entry: &Entry| said(entry, "inner slow") && entry.chunks_sent == 1;
    let began = journal.wait_for(is_silent, PATIENCE).await;
    let number = began.expect("the expert is asked").number;
    let asked = Instant::now();
    let cancel = pb::CancelTurnRequest {
        session_id: session_id.to_owned(),
        ..pb::CancelTurnRequest::default()
    };
    client.cancel_turn(cancel).await.expect("it runs");
    let is_over = |entry: &Entry| entry.number == number && entry.has_ended();
    let over = journal.wait_for(is_over, PATIENCE).await;
    let over = over.expect("the expert's call ends");
    assert_eq!(over.outcome, Outcome::ClientClosed);
    let ended = over.ended_at.expect("it has ended").instant;
    let streamed = rest_of(&mut stream).await;
    assert_eq!(streamed.result().status(), pb::TurnStatus::Cancelled);
    let told = calls::told(&streamed.events);
    assert_eq!(told[0].status(), pb::ToolCallStatus::Cancelled);
    ended.saturating_duration_since(asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_that_waits_for_consent_is_an_error_and_nothing_ran() {
    let (world, record) = world().await;
    let (result, told) = turn(&world, prompt("working")).await;
    assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
    assert_eq!(told.status(), pb::ToolCallStatus::Failed);
    let why = "waits for a tool of its caller or for consent";
    assert!(told.words().contains(why), "{told:#?}");
    assert!(last_sent(&world).contains(why));
    alone(&world).await;
    assert_eq!(record.begun(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_whose_turn_fails_is_an_error_with_what_it_said() {
    let (world, _) = world().await;
    let (result, told) = turn(&world, prompt("broken")).await;
    assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
    assert_eq!(told.status(), pb::ToolCallStatus::Failed);
    assert!(
        told.words().contains("the agent did not finish: "),
        "{told:#?}"
    );
    assert!(told.words().starts_with("It"), "what it said: {told:#?}");
    assert!(last_sent(&world).contains("the agent did not finish: "));
    alone(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_that_is_too_slow_is_stopped_and_its_session_is_gone() {
    let limits = Limits {
        tool_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        more_agents: vec![taiwa_e2e::agent("expert")],
        tools: BTreeMap::from([("assistant".to_owned(), vec![asking("expert")])]),
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let (result, told) = turn(&world, prompt("slow")).await;
    assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
    assert_ne!(told.status(), pb::ToolCallStatus::Succeeded, "{told:#?}");
    assert!(last_sent(&world).contains("\"error\""));
    let journal = world.simulator.journal();
    let is_over = |entry: &Entry| said(entry, "inner slow") && entry.has_ended();
    journal
        .wait_for(is_over, PATIENCE)
        .await
        .expect("its model is stopped");
    alone(&world).await;
}

/// Whether a model call is the first of a turn that began with these words.
fn said(entry: &Entry, words: &str) -> bool {
    entry.request["messages"][0]["content"][0]["text"] == words
}

/// What the model was sent last.
fn last_sent(world: &World) -> String {
    let entries = world.simulator.journal().entries();
    entries.last().expect("a request").request.to_string()
}
