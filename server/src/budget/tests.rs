use std::{collections::BTreeMap, time::UNIX_EPOCH};

use proptest::{collection::vec, prelude::*};
use taiwa_core::{TurnOptions, model::ReplyForm};

use super::*;

const MODEL: &str = "vendor.model-v1:0";

/// Two picodollars for each input token, ten for each of output.
const PRICE: Price = Price {
    input: 1,
    output: 10,
    cache_read: 1,
    cache_write: 2,
    cache_write_1h: 2,
};

fn tokens(most: u64) -> Config {
    Config {
        tenant: None,
        max_tokens: Some(most),
        max_cost: None,
        period: None,
    }
}

fn cost(most: u64) -> Config {
    Config {
        max_tokens: None,
        max_cost: Some(most),
        ..tokens(0)
    }
}

fn key(session: &str) -> Key {
    Key::new(&"acme".into(), session)
}

fn prices() -> Prices {
    Prices::new([(MODEL.to_owned(), PRICE)])
}

fn request(input_tokens: u64, max_tokens: Option<u32>) -> ModelRequest {
    ModelRequest {
        options: Arc::new(TurnOptions {
            model_id: Some(MODEL.to_owned()),
            ..TurnOptions::default()
        }),
        max_tokens,
        tools: Vec::new(),
        tool_choice: None,
        reply_form: ReplyForm::Native,
        input_tokens,
        messages: Vec::new(),
        deadline: None,
    }
}

/// Asks for a call whose input is counted as it is estimated, without a wait for others.
fn ask(
    accounts: &Accounts,
    key: &Key,
    step: u64,
    request: &ModelRequest,
    prices: &Prices,
) -> Answer {
    let Some(budget) = accounts.budget(&key.tenant) else {
        return Answer::Granted(Grant::Free);
    };
    let mut open = accounts.lock();
    open.entry(Arc::clone(&key.tenant))
        .or_default()
        .input_percent = 100;
    drop(open);
    accounts.try_reserve(budget, key, StepId(step), request, prices)
}

fn reserve(accounts: &Accounts, session: &str, input: u64, wanted: Option<u32>) -> Answer {
    ask(
        accounts,
        &key(session),
        1,
        &request(input, wanted),
        &prices(),
    )
}

fn used(input_tokens: u64, output_tokens: u64) -> Usage {
    let usage = Usage {
        input_tokens,
        output_tokens,
        total_tokens: input_tokens + output_tokens,
        ..Usage::default()
    };
    Usage {
        cost: Some(PRICE.of(&usage)),
        ..usage
    }
}

/// The call goes as it was asked for.
const AS_ASKED: Answer = Answer::Granted(Grant::Limited {
    max_tokens: None,
    watched_tokens: None,
});

const REFUSED: Answer = Answer::Granted(Grant::Refused);

fn cut_to(output_tokens: u32) -> Answer {
    Answer::Granted(Grant::Limited {
        max_tokens: Some(output_tokens),
        watched_tokens: None,
    })
}

fn watched(output_tokens: u64) -> Answer {
    Answer::Granted(Grant::Limited {
        max_tokens: None,
        watched_tokens: Some(output_tokens),
    })
}

#[test]
fn who_shares_no_budget_is_free() {
    let accounts = Accounts::new(Vec::new());
    assert_eq!(
        reserve(&accounts, "s", 1_000_000, None),
        Answer::Granted(Grant::Free)
    );

    let others = Config {
        tenant: Some("other".to_owned()),
        ..tokens(1)
    };
    let accounts = Accounts::new(vec![others]);
    assert_eq!(
        reserve(&accounts, "s", 1_000_000, None),
        Answer::Granted(Grant::Free)
    );
    assert_eq!(accounts.extend(&key("s"), StepId(1)), Some(u64::MAX));
}

#[test]
fn a_tenants_own_budget_stands_before_that_of_all_and_each_has_its_own() {
    let own = Config {
        tenant: Some("acme".to_owned()),
        ..tokens(100)
    };
    let accounts = Accounts::new(vec![tokens(50), own]);
    assert_eq!(reserve(&accounts, "s", 10, Some(200)), cut_to(90));
    for tenant in ["one", "two"] {
        let key = Key::new(&tenant.into(), "s");
        let grant = ask(&accounts, &key, 1, &request(10, Some(200)), &prices());
        assert_eq!(grant, cut_to(40), "{tenant}");
    }
}

#[test]
fn a_call_waits_for_what_others_hold_and_takes_what_is_left_in_the_end() {
    let accounts = Accounts::new(vec![tokens(1_000)]);
    assert_eq!(reserve(&accounts, "a", 300, Some(500)), AS_ASKED);
    assert_eq!(reserve(&accounts, "b", 100, Some(100)), AS_ASKED);
    assert_eq!(reserve(&accounts, "c", 1, Some(1)), Answer::Later);

    // The first used less than it held.
    accounts.settle(&key("a"), StepId(1), &used(300, 50));
    assert_eq!(reserve(&accounts, "c", 50, Some(600)), Answer::Later);
    accounts.release(&key("b"));
    assert_eq!(reserve(&accounts, "c", 50, Some(600)), AS_ASKED);

    accounts.release(&key("c"));
    assert_eq!(reserve(&accounts, "d", 0, Some(10_000)), cut_to(650));
    accounts.settle(&key("d"), StepId(1), &used(0, 650));
    assert_eq!(reserve(&accounts, "d", 0, Some(1)), REFUSED);
}

#[tokio::test]
async fn who_waits_is_woken_by_what_is_given_back() {
    let accounts = Accounts::new(vec![tokens(1_000)]);
    assert_eq!(reserve(&accounts, "a", 500, Some(500)), AS_ASKED);
    let waiting = {
        let accounts = accounts.clone();
        tokio::spawn(async move {
            let request = request(100, Some(100));
            accounts
                .reserve(&key("b"), StepId(1), &request, &prices())
                .await
        })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    accounts.settle(&key("a"), StepId(1), &used(500, 10));
    let granted = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    assert_eq!(Answer::Granted(granted.unwrap().unwrap()), AS_ASKED);
}

#[test]
fn what_is_reserved_follows_how_the_provider_counts() {
    let accounts = Accounts::new(vec![tokens(1_000)]);
    let one = request(100, Some(1));
    let held = || accounts.lock()["acme"].held_tokens;
    let budget = accounts.budget("acme").unwrap();
    accounts.try_reserve(budget, &key("a"), StepId(1), &one, &prices());
    assert_eq!(held(), 151, "half more than it is estimated at");
    accounts.settle(&key("a"), StepId(1), &used(200, 1));
    accounts.try_reserve(budget, &key("a"), StepId(2), &one, &prices());
    assert_eq!(held(), 201);
}

#[test]
fn a_session_that_asks_again_holds_for_its_newest_call_alone() {
    let accounts = Accounts::new(vec![tokens(1_000)]);
    assert_eq!(reserve(&accounts, "a", 300, Some(500)), AS_ASKED);
    let request = request(100, Some(100));
    let grant = ask(&accounts, &key("a"), 2, &request, &prices());
    assert_eq!(grant, AS_ASKED);
    // What the first used is booked, and the second's hold stays.
    accounts.settle(&key("a"), StepId(1), &used(300, 200));
    assert_eq!(reserve(&accounts, "b", 0, Some(301)), Answer::Later);
    assert_eq!(reserve(&accounts, "b", 0, Some(300)), AS_ASKED);
}

#[test]
fn a_call_without_a_limit_takes_pieces_while_there_are_some() {
    let accounts = Accounts::new(vec![tokens(5_000)]);
    let extend = || accounts.extend(&key("a"), StepId(1));
    assert_eq!(reserve(&accounts, "a", 100, None), watched(2_048));
    assert_eq!(extend(), Some(4_096));
    assert_eq!(extend(), Some(4_900));
    assert_eq!(extend(), None, "nothing is left");
    assert_eq!(reserve(&accounts, "b", 0, None), Answer::Later);

    accounts.settle(&key("a"), StepId(1), &used(100, 4_000));
    assert_eq!(extend(), None, "the call is over");
    assert_eq!(
        reserve(&accounts, "b", 100, None),
        cut_to(800),
        "what is less than a piece is told the model as its limit"
    );
}

#[test]
fn money_buys_what_the_model_costs() {
    let accounts = Accounts::new(vec![cost(1_000)]);
    // 100 input tokens cost 200 at most, as they may be written to the cache.
    assert_eq!(reserve(&accounts, "a", 100, Some(500)), cut_to(80));
    assert_eq!(reserve(&accounts, "b", 0, Some(1)), Answer::Later);
    accounts.settle(&key("a"), StepId(1), &used(100, 10));
    assert_eq!(reserve(&accounts, "b", 0, Some(500)), cut_to(80));
}

#[test]
fn the_scarcer_of_tokens_and_money_counts() {
    let both = Config {
        max_tokens: Some(100),
        ..cost(500)
    };
    let accounts = Accounts::new(vec![both]);
    assert_eq!(reserve(&accounts, "a", 60, Some(500)), cut_to(38));
    assert_eq!(reserve(&accounts, "b", 3, None), Answer::Later);
}

#[test]
fn a_model_without_a_price_is_refused_where_money_is_limited() {
    let accounts = Accounts::new(vec![cost(u64::MAX)]);
    let ask = |accounts: &Accounts| {
        ask(
            accounts,
            &key("a"),
            1,
            &request(1, None),
            &Prices::default(),
        )
    };
    assert_eq!(ask(&accounts), REFUSED);

    let accounts = Accounts::new(vec![tokens(u64::MAX)]);
    assert_eq!(ask(&accounts), watched(PIECE));
}

#[test]
fn free_output_is_limited_by_the_money_for_input_alone() {
    let free = Price { output: 0, ..PRICE };
    let prices = Prices::new([(MODEL.to_owned(), free)]);
    let accounts = Accounts::new(vec![cost(100)]);
    let reserve = |session: &str, input| {
        ask(
            &accounts,
            &key(session),
            1,
            &request(input, Some(500)),
            &prices,
        )
    };
    assert_eq!(reserve("a", 49), AS_ASKED);
    assert_eq!(reserve("b", 1), Answer::Later);
}

#[test]
fn a_later_period_begins_anew_with_what_is_open() {
    let budget = daily(1_000);
    let at = |days: f64| UNIX_EPOCH + DAY.mul_f64(days);
    let mut account = Account::default();
    let hold = Hold {
        estimate: 100,
        input_tokens: 100,
        output_tokens: 200,
        price: None,
    };
    let nothing = Hold {
        estimate: 0,
        input_tokens: 0,
        output_tokens: 0,
        price: None,
    };
    account.turn_over(&budget, at(20_000.5));
    account.hold(&"s".into(), StepId(1), hold);
    account.tokens = 600;
    account.turn_over(&budget, at(20_000.9));
    assert_eq!(account.left(&budget, &nothing), 100, "the same day");
    account.turn_over(&budget, at(20_001.0));
    assert_eq!(
        account.left(&budget, &nothing),
        700,
        "the open call goes on"
    );
    account.tokens = 600;
    account.turn_over(&budget, at(20_000.9));
    assert_eq!(
        account.left(&budget, &nothing),
        100,
        "the clock was set back"
    );

    let forever = Config {
        period: None,
        ..budget
    };
    account.turn_over(&forever, at(30_000.0));
    assert_eq!(account.left(&forever, &nothing), 100);
}

fn daily(most: u64) -> Config {
    Config {
        period: Some(DAY),
        ..tokens(most)
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn row(tenant: &str, length: Duration, at: SystemTime, tokens: u64, cost: u64) -> SpentRow {
    SpentRow {
        tenant: tenant.into(),
        spent: Spent {
            period: Period::at(length, at),
            tokens,
            cost,
        },
    }
}

/// Accounts with budgets of 1000 tokens, or for the tenant "dear" of 1000 picodollars, that begin
/// with these rows at noon of a day.
fn restored(rows: Vec<SpentRow>) -> Accounts {
    let dear = Config {
        tenant: Some("dear".to_owned()),
        period: Some(DAY),
        ..cost(1_000)
    };
    let accounts = Accounts::new(vec![daily(1_000), dear]);
    accounts.restore(rows, noon());
    accounts
}

fn noon() -> SystemTime {
    UNIX_EPOCH + DAY.mul_f64(20_000.5)
}

/// Tokens that a tenant may still spend, so long after the noon at which accounts begin.
fn left(accounts: &Accounts, tenant: &str, days: f64) -> u64 {
    let nothing = Hold {
        estimate: 0,
        input_tokens: 0,
        output_tokens: 0,
        price: Some(PRICE),
    };
    let budget = accounts.budget(tenant).unwrap();
    let mut accounts = accounts.lock();
    let account = accounts.entry(tenant.into()).or_default();
    account.turn_over(budget, UNIX_EPOCH + DAY.mul_f64(20_000.5 + days));
    account.left(budget, &nothing)
}

#[test]
fn what_an_earlier_process_spent_is_spent_until_its_period_is_over() {
    let accounts = restored(vec![
        row("acme", DAY, noon(), 600, 0),
        row("dear", DAY, noon(), 0, 700),
    ]);
    assert_eq!(left(&accounts, "acme", 0.4), 400);
    assert_eq!(left(&accounts, "dear", 0.4), 30, "300 picodollars buy them");
    assert_eq!(left(&accounts, "other", 0.4), 1_000);
    assert_eq!(left(&accounts, "acme", 0.5), 1_000);
    assert_eq!(left(&accounts, "dear", 0.5), 100);
}

#[test]
fn what_was_spent_in_other_periods_or_without_one_is_no_longer_counted() {
    let forever = Config {
        tenant: Some("forever".to_owned()),
        ..tokens(1_000)
    };
    let accounts = Accounts::new(vec![daily(1_000), forever]);
    let rows = vec![
        row("acme", DAY, noon() - DAY, 600, 0),
        row("acme", DAY / 2, noon(), 600, 0),
        row("acme", DAY * 2, noon(), 600, 0),
        // Further ahead than a clock that is set right goes back.
        row("acme", DAY, noon() + DAY * 2, 600, 0),
        row("forever", DAY, noon(), 600, 0),
    ];
    accounts.restore(rows, noon());
    assert_eq!(left(&accounts, "acme", 0.0), 1_000);
    assert_eq!(left(&accounts, "forever", 0.0), 1_000);

    let others = Config {
        tenant: Some("other".to_owned()),
        ..daily(1)
    };
    let accounts = Accounts::new(vec![others]);
    accounts.restore(vec![row("acme", DAY, noon(), 600, 0)], noon());
    assert!(accounts.lock().is_empty());
}

#[test]
fn a_clock_that_was_set_back_over_a_restart_gives_nothing_back() {
    let today = row("acme", DAY, noon(), 100, 0);
    let tomorrow = row("acme", DAY, noon() + DAY, 600, 0);
    for rows in [[today.clone(), tomorrow.clone()], [tomorrow, today]] {
        let accounts = restored(rows.to_vec());
        assert_eq!(left(&accounts, "acme", 0.0), 400);
        assert_eq!(left(&accounts, "acme", 1.0), 400);
        assert_eq!(left(&accounts, "acme", 1.5), 1_000);
    }
}

#[test]
fn what_is_to_be_kept_names_the_period_in_which_it_was_booked() {
    let accounts = Accounts::new(vec![daily(1_000)]);
    let settle = |usage: &Usage| accounts.settle(&key("s"), StepId(1), usage);
    let before = Period::at(DAY, SystemTime::now());
    let spent = settle(&used(30, 4)).unwrap();
    let after = Period::at(DAY, SystemTime::now());
    assert!((before..=after).contains(&spent.period), "{spent:?}");
    assert_eq!((spent.tokens, spent.cost), (34, 70));
    assert_eq!(settle(&used(0, 0)), None, "nothing is not written");

    // As if the clock had been set back since.
    let ahead = Period {
        number: spent.period.number + 5,
        ..spent.period
    };
    accounts.lock().get_mut("acme").unwrap().period = Some(ahead);
    assert_eq!(settle(&used(30, 4)).unwrap().period, ahead);
}

#[test]
fn what_is_spent_of_no_budget_or_of_one_without_periods_is_not_kept() {
    for budgets in [Vec::new(), vec![tokens(1_000)]] {
        let accounts = Accounts::new(budgets);
        assert_eq!(accounts.settle(&key("s"), StepId(1), &used(30, 4)), None);
    }
}

/// What happens to one of the sessions.
#[derive(Clone, Debug)]
enum Deed {
    Reserve {
        input: u64,
        wanted: Option<u32>,
    },
    Extend,
    /// Uses so many thousandths of what is held.
    Settle {
        share: u64,
    },
    Release,
}

fn deed() -> impl Strategy<Value = (usize, Deed)> {
    let deed = prop_oneof![
        4 => (0..400_u64, proptest::option::of(1..4_000_u32))
            .prop_map(|(input, wanted)| Deed::Reserve { input, wanted }),
        2 => Just(Deed::Extend),
        3 => (0..=1_000_u64).prop_map(|share| Deed::Settle { share }),
        1 => Just(Deed::Release),
    ];
    (0..5_usize, deed)
}

/// What is known of an open call without a look into the account.
#[derive(Clone, Copy, Debug)]
struct Open {
    step: StepId,
    input: u64,
    output: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_happens_no_more_is_held_and_spent_than_there_is(
        most_tokens in 1..20_000_u64,
        most_cost in 1..100_000_u64,
        deeds in vec(deed(), 1..80),
    ) {
        let budget = Config { max_cost: Some(most_cost), ..tokens(most_tokens) };
        let accounts = Accounts::new(vec![budget]);
        let mut open: BTreeMap<usize, Open> = BTreeMap::new();
        let (mut spent_tokens, mut spent_cost) = (0, 0);
        for (number, (session, deed)) in (0_u64..).zip(deeds) {
            let key = key(&session.to_string());
            match deed {
                Deed::Reserve { input, wanted } => {
                    // A session settles its call before it makes another.
                    if open.contains_key(&session) {
                        continue;
                    }
                    let step = StepId(number);
                    let request = request(input, wanted);
                    match ask(&accounts, &key, number, &request, &prices()) {
                        Answer::Granted(Grant::Free) => prop_assert!(false, "there is a budget"),
                        Answer::Granted(Grant::Refused) | Answer::Later => {}
                        Answer::Granted(Grant::Limited { max_tokens, watched_tokens }) => {
                            let told = max_tokens.map(u64::from).or(watched_tokens);
                            let output = told.or(wanted.map(u64::from));
                            let output = output.expect("a call that may not go on for ever");
                            prop_assert!(output > 0);
                            open.insert(session, Open { step, input, output });
                        }
                    }
                }
                Deed::Extend => {
                    let Some(call) = open.get_mut(&session) else { continue };
                    if let Some(output) = accounts.extend(&key, call.step) {
                        prop_assert!(output > call.output);
                        call.output = output;
                    }
                }
                Deed::Settle { share } => {
                    let Some(call) = open.remove(&session) else { continue };
                    let usage = used(call.input, call.output * share / 1_000);
                    spent_tokens += usage.total_tokens;
                    spent_cost += usage.cost.unwrap_or_default();
                    accounts.settle(&key, call.step, &usage);
                }
                Deed::Release => {
                    open.remove(&session);
                    accounts.release(&key);
                }
            }
            let held_tokens: u64 = open.values().map(|call| call.input + call.output).sum();
            let held_cost: u64 =
                open.values().map(|call| PRICE.most(call.input, call.output)).sum();
            prop_assert!(spent_tokens + held_tokens <= most_tokens);
            prop_assert!(spent_cost + held_cost <= most_cost);
            let accounts = accounts.lock();
            let Some(account) = accounts.get("acme") else { continue };
            prop_assert_eq!((account.held_tokens, account.held_cost), (held_tokens, held_cost));
            prop_assert_eq!((account.tokens, account.cost), (spent_tokens, spent_cost));
            prop_assert_eq!(account.open.len(), open.len());
        }
    }
}

#[test]
fn what_was_guessed_too_low_is_paid_and_stops_what_comes() {
    let accounts = Accounts::new(vec![tokens(1_000)]);
    assert_eq!(reserve(&accounts, "a", 100, Some(100)), AS_ASKED);
    accounts.settle(&key("a"), StepId(1), &used(1_500, 100));
    assert_eq!(reserve(&accounts, "a", 0, Some(1)), REFUSED);
    assert_eq!(accounts.lock()["acme"].tokens, 1_600);
}

#[test]
fn threads_that_reserve_at_once_get_no_more_than_there_is() {
    let accounts = Accounts::new(vec![tokens(10_000)]);
    let threads = (0..8).map(|thread| {
        let accounts = accounts.clone();
        std::thread::spawn(move || {
            let calls = (0..50).map(|call| {
                let session = format!("{thread}/{call}");
                match reserve(&accounts, &session, 10, Some(90)) {
                    Answer::Later => 0,
                    AS_ASKED => 100,
                    other => panic!("{other:?}"),
                }
            });
            calls.sum::<u64>()
        })
    });
    let threads: Vec<_> = threads.collect();
    let held: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert_eq!(held, 10_000);
}
