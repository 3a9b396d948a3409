//! What every store does with what tenants spend.

use std::time::Duration;

use taiwa_server::store::{Period, Spent, StoreError, Sweep, Write};

use crate::bench::{Bench, Burst, at, begin, history, key_of, suite};

suite! {
    what_is_spent_adds_up_by_tenant_and_period,
    what_is_spent_needs_no_session_and_outlives_one,
    a_batch_that_is_refused_spends_nothing,
    sums_stop_at_the_largest_number,
    a_period_is_forgotten_when_the_one_after_it_is_over,
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The hour of `at(0)`, which is 800 seconds old then.
fn hour() -> Period {
    Period::at(HOUR, at(0))
}

fn later(period: Period, by: u64) -> Period {
    Period {
        number: period.number + by,
        ..period
    }
}

fn spent(period: Period, tokens: u64, cost: u64) -> Spent {
    Spent {
        period,
        tokens,
        cost,
    }
}

fn spend(period: Period, tokens: u64, cost: u64) -> Vec<Write> {
    vec![Write::Spent(spent(period, tokens, cost))]
}

/// What is known at that many seconds, in order.
async fn known(bench: &Bench, seconds: u64) -> Vec<(String, Spent)> {
    let rows = bench.store.spent(at(seconds)).await.unwrap();
    let rows = rows.into_iter();
    let mut known: Vec<_> = rows
        .map(|row| (row.tenant.to_string(), row.spent))
        .collect();
    known.sort_by_key(|(tenant, spent)| (tenant.clone(), spent.period));
    known
}

async fn what_is_spent_adds_up_by_tenant_and_period(mut bench: Bench) {
    let day = Period::at(24 * HOUR, at(0));
    let (one, two) = (key_of("acme", "one"), key_of("acme", "two"));
    let other = key_of("other", "one");
    let mut burst = Burst::new();
    for (key, writes) in [
        (&one, spend(hour(), 1, 100)),
        (&two, spend(hour(), 20, 0)),
        (&other, spend(hour(), 7, 70)),
        (&one, spend(later(hour(), 1), 5, 50)),
        (&one, [spend(hour(), 300, 3), spend(day, 4_000, 4)].concat()),
    ] {
        burst.write(&bench.store, key, &bench.store.fence(), writes);
    }
    let outcomes = burst.outcomes().await;
    assert!(outcomes.iter().all(|(_, result)| result.is_ok()));
    bench.reopen().await;
    bench.write(&two, spend(hour(), 0, 1)).await.unwrap();
    let expected = [
        ("acme".to_owned(), spent(hour(), 321, 104)),
        ("acme".to_owned(), spent(later(hour(), 1), 5, 50)),
        ("acme".to_owned(), spent(day, 4_000, 4)),
        ("other".to_owned(), spent(hour(), 7, 70)),
    ];
    assert_eq!(known(&bench, 0).await, expected);
}

async fn what_is_spent_needs_no_session_and_outlives_one(mut bench: Bench) {
    let gone = key_of("acme", "gone");
    bench.write(&gone, spend(hour(), 1, 0)).await.unwrap();
    let writes = [vec![begin(at(0))], spend(hour(), 10, 0)].concat();
    bench.write(&gone, writes).await.unwrap();
    let writes = [spend(hour(), 100, 0), vec![Write::Delete]].concat();
    bench.write(&gone, writes).await.unwrap();
    bench.write(&gone, spend(hour(), 1_000, 0)).await.unwrap();
    assert_eq!(bench.store.session(&gone).await.unwrap(), None);
    bench.reopen().await;
    let expected = [("acme".to_owned(), spent(hour(), 1_111, 0))];
    assert_eq!(known(&bench, 0).await, expected);
}

async fn a_batch_that_is_refused_spends_nothing(mut bench: Bench) {
    let none = key_of("acme", "none");
    let writes = [spend(hour(), 1, 1), vec![history(0, &["hello"])]].concat();
    let refused = bench.write(&none, writes).await;
    assert!(matches!(refused, Err(StoreError::NoSession)), "{refused:?}");
    bench.reopen().await;
    assert_eq!(known(&bench, 0).await, []);
}

async fn sums_stop_at_the_largest_number(mut bench: Bench) {
    let most = i64::MAX as u64;
    let key = key_of("acme", "s");
    bench.write(&key, spend(hour(), most - 1, 5)).await.unwrap();
    bench.write(&key, spend(hour(), 1, u64::MAX)).await.unwrap();
    bench.write(&key, spend(hour(), 1, 1)).await.unwrap();
    bench.reopen().await;
    let expected = [("acme".to_owned(), spent(hour(), most, most))];
    assert_eq!(known(&bench, 0).await, expected);
}

async fn a_period_is_forgotten_when_the_one_after_it_is_over(mut bench: Bench) {
    // More than a sweep deletes at a time.
    const TENANTS: usize = 600;
    let mut burst = Burst::new();
    for tenant in 0..TENANTS {
        let key = key_of(&tenant.to_string(), "s");
        let writes = spend(hour(), 1, 1);
        burst.write(&bench.store, &key, &bench.store.fence(), writes);
    }
    burst.outcomes().await;
    let last = key_of("0", "s");
    let next = spend(later(hour(), 1), 2, 2);
    bench.write(&last, next).await.unwrap();

    let end = 2 * 60 * 60 - 800;
    assert_eq!(known(&bench, end - 1).await.len(), TENANTS + 1);
    let expected = [("0".to_owned(), spent(later(hour(), 1), 2, 2))];
    assert_eq!(known(&bench, end).await, expected);

    let sweep = |seconds| Sweep {
        now: at(seconds),
        replay_window: Duration::ZERO,
    };
    let swept = bench.store.sweep(sweep(end - 1)).await.unwrap();
    assert_eq!(swept.periods, 0);
    let swept = bench.store.sweep(sweep(end)).await.unwrap();
    assert_eq!(swept.periods, TENANTS);
    bench.reopen().await;
    // A clock that is set back finds nothing of what was deleted.
    assert_eq!(known(&bench, 0).await, expected);
    let swept = bench.store.sweep(sweep(end + 60 * 60)).await.unwrap();
    assert_eq!(swept.periods, 1);
}
