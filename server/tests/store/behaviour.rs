//! What every store does with batches.

use std::{sync::Arc, thread};

use bytes::Bytes;
use taiwa_server::store::{
    Batch, Begin, Call, CallState, Done, Head, LOADED_TURNS, Loaded, MAX_RECEIPTS, SessionFilter,
    SessionRow, StoreError, Sweep, Write,
};
use tokio::sync::oneshot;

use crate::bench::{
    Bench, Burst, MAX_SESSIONS, at, begin, beginning, bytes, entry, head, history, key, key_of,
    labels, log, page, request, suite, turn,
};

suite! {
    a_session_is_loaded_as_it_was_written,
    a_session_begins_with_nothing_in_it,
    a_session_begins_once,
    a_session_that_does_not_exist_takes_no_changes,
    a_batch_that_is_refused_leaves_nothing_behind,
    after_a_failed_batch_its_fence_is_refused,
    an_older_fence_is_refused,
    fences_rise_when_the_store_is_opened_again,
    a_history_is_cut_and_goes_on,
    a_history_has_no_gaps,
    a_log_rises_and_is_trimmed,
    the_last_sequence_never_goes_back,
    receipts_are_the_newest,
    turns_are_kept_and_the_newest_are_loaded,
    the_ledger_says_how_each_call_stands,
    requests_are_the_tenants_and_outlive_the_session,
    a_deleted_session_is_gone_and_others_are_not,
    a_tenant_has_its_most_of_sessions,
    an_expired_session_makes_room_for_another_of_its_name,
    sessions_with_work_are_named,
    each_batch_is_told_of_once_and_in_order,
    whoever_is_told_may_write,
    what_was_given_before_the_close_is_written,
    a_closed_store_refuses,
}

async fn a_session_is_loaded_as_it_was_written(mut bench: Bench) {
    let key = key_of("acme", "chat");
    let begin = Begin {
        labels: labels(&[("env", "prod"), ("team", "süd")]),
        ..beginning(at(0))
    };
    let head = Head {
        update_time: at(40),
        message_count: 2,
        active_turn_id: Some("turn-3".to_owned()),
        is_paused: true,
        has_work: true,
        last_sequence: 9,
        input_tokens: 1 << 40,
        output_tokens: 7,
    };
    let call = Call {
        turn_id: "turn-3".to_owned(),
        call_id: "call-1".to_owned(),
        name: "search".to_owned(),
        state: CallState::Started,
        at: at(39),
    };
    let writes = vec![
        Write::Begin(begin.clone()),
        Write::Options(bytes("options")),
        history(0, &["hello", "hi"]),
        Write::Receipt {
            frame_id: "frame-1".to_owned(),
            value: bytes("accepted"),
        },
        Write::Turn(turn("turn-2", "result")),
        Write::Call(call.clone()),
        Write::State(bytes("state")),
        log([1, 2, 9]),
        Write::Head(head.clone()),
    ];
    bench.write(&key, writes).await.unwrap();
    bench.reopen().await;
    let loaded = bench.store.load(&key).await.unwrap().unwrap();
    assert_eq!(
        loaded,
        Loaded {
            begin: begin.clone(),
            head: head.clone(),
            state: bytes("state"),
            messages: vec![bytes("hello"), bytes("hi")],
            receipts: vec![bytes("accepted")],
            turns: vec![bytes("result")],
            log: vec![entry(1), entry(2), entry(9)],
        }
    );
    let row = bench.store.session(&key).await.unwrap();
    let expected = SessionRow {
        key: key.clone(),
        begin,
        head,
        options: Some(bytes("options")),
    };
    assert_eq!(row, Some(expected));
    assert_eq!(bench.store.calls(&key).await.unwrap(), [call]);
    let kept = bench.store.turn(&key, "turn-2").await.unwrap();
    assert_eq!(kept, Some(turn("turn-2", "result")));
    let other = key_of("other", "chat");
    assert_eq!(bench.store.load(&other).await.unwrap(), None);
    assert_eq!(bench.store.session(&other).await.unwrap(), None);
    assert_eq!(bench.store.turn(&other, "turn-2").await.unwrap(), None);
    assert_eq!(bench.store.calls(&other).await.unwrap(), []);
}

async fn a_session_begins_with_nothing_in_it(bench: Bench) {
    bench.begin(&key("a")).await;
    let loaded = bench.store.load(&key("a")).await.unwrap();
    let nothing = Loaded {
        begin: beginning(at(0)),
        head: head(at(0)),
        state: Bytes::new(),
        messages: Vec::new(),
        receipts: Vec::new(),
        turns: Vec::new(),
        log: Vec::new(),
    };
    assert_eq!(loaded, Some(nothing));
    let row = bench.store.session(&key("a")).await.unwrap().unwrap();
    assert_eq!(row.options, None);
}

async fn a_session_begins_once(bench: Bench) {
    bench.begin(&key("a")).await;
    let again = bench.write(&key("a"), vec![begin(at(1))]).await;
    assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
    let twice = bench
        .write(&key("b"), vec![begin(at(1)), begin(at(1))])
        .await;
    assert!(matches!(twice, Err(StoreError::Exists)), "{twice:?}");
    assert_eq!(bench.store.session(&key("b")).await.unwrap(), None);
    let anew = bench
        .write(&key("a"), vec![Write::Delete, begin(at(2))])
        .await;
    anew.unwrap();
    let row = bench.store.session(&key("a")).await.unwrap().unwrap();
    assert_eq!(row.begin.created, at(2));
}

async fn a_session_that_does_not_exist_takes_no_changes(bench: Bench) {
    let changes = [
        Write::Head(head(at(0))),
        Write::State(bytes("")),
        Write::Options(bytes("")),
        history(0, &["hello"]),
        Write::Receipt {
            frame_id: "f".to_owned(),
            value: bytes(""),
        },
        Write::ForgetReceipt("f".to_owned()),
        Write::Turn(turn("t", "")),
        Write::Call(call("t", "c", CallState::Started)),
        log([1]),
        Write::Trim { through: 1 },
    ];
    for change in changes {
        for writes in [
            vec![change.clone()],
            vec![begin(at(0)), Write::Delete, change.clone()],
        ] {
            let refused = bench.write(&key("a"), writes).await;
            let is_refused = matches!(refused, Err(StoreError::NoSession));
            assert!(is_refused, "{change:?}: {refused:?}");
        }
    }
    assert_eq!(bench.store.session(&key("a")).await.unwrap(), None);
    bench.write(&key("a"), vec![Write::Delete]).await.unwrap();
    bench.write(&key("a"), Vec::new()).await.unwrap();
}

async fn a_batch_that_is_refused_leaves_nothing_behind(mut bench: Bench) {
    let (store, kept) = (&bench.store, key("kept"));
    bench.begin(&kept).await;
    bench.write(&kept, vec![log([1, 2])]).await.unwrap();
    let before = store.load(&kept).await.unwrap();
    let (good, bad) = (store.fence(), store.fence());
    let mut burst = Burst::new();
    burst.write(store, &key("one"), &good, vec![begin(at(1))]);
    let writes = vec![
        Write::Head(head(at(9))),
        history(0, &["lost"]),
        Write::Turn(turn("lost", "")),
        Write::Request(request("lost", "", at(9))),
        log([3]),
        log([2]),
    ];
    burst.write(store, &kept, &bad, writes);
    burst.write(store, &key("two"), &good, vec![begin(at(1))]);
    let outcomes = burst.outcomes().await;
    assert!(matches!(
        &outcomes[..],
        [
            (0, Ok(())),
            (1, Err(StoreError::Misfit { .. })),
            (2, Ok(()))
        ]
    ));
    bench.reopen().await;
    assert_eq!(bench.store.load(&kept).await.unwrap(), before);
    assert_eq!(bench.store.requests(at(0)).await.unwrap(), []);
    for name in ["one", "two"] {
        assert!(bench.store.session(&key(name)).await.unwrap().is_some());
    }
}

async fn after_a_failed_batch_its_fence_is_refused(bench: Bench) {
    let store = &bench.store;
    let fence = store.fence();
    let mut burst = Burst::new();
    burst.write(store, &key("a"), &fence, vec![begin(at(0)), log([1])]);
    burst.write(store, &key("a"), &fence.clone(), vec![log([1])]);
    burst.write(store, &key("a"), &fence, vec![log([2])]);
    burst.write(store, &key("a"), &store.fence(), vec![log([3])]);
    let outcomes = burst.outcomes().await;
    assert!(
        matches!(
            &outcomes[..],
            [
                (0, Ok(())),
                (1, Err(StoreError::Misfit { .. })),
                (2, Err(StoreError::Fenced)),
                (3, Ok(())),
            ]
        ),
        "{outcomes:?}"
    );
    assert!(fence.is_broken());
    let loaded = store.load(&key("a")).await.unwrap().unwrap();
    assert_eq!(loaded.log, [entry(1), entry(3)]);
}

async fn an_older_fence_is_refused(bench: Bench) {
    let store = &bench.store;
    let (older, newer) = (store.fence(), store.fence());
    assert!(older.number() < newer.number());
    let writes = vec![begin(at(0))];
    store.commit(key("a"), older.clone(), writes).await.unwrap();
    // Even a batch that changes nothing takes the session.
    store
        .commit(key("a"), newer.clone(), Vec::new())
        .await
        .unwrap();
    for late in [vec![Write::State(bytes("late"))], vec![Write::Delete]] {
        let refused = store.commit(key("a"), older.clone(), late).await;
        assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    }
    let writes = vec![Write::State(bytes("mine"))];
    store.commit(key("a"), newer, writes).await.unwrap();
    let loaded = store.load(&key("a")).await.unwrap().unwrap();
    assert_eq!(loaded.state, bytes("mine"));
}

async fn fences_rise_when_the_store_is_opened_again(mut bench: Bench) {
    let mut newest = bench.store.fence();
    bench.begin(&key("a")).await;
    for _ in 0..3 {
        bench.reopen().await;
        let fence = bench.store.fence();
        assert!(fence.number() > newest.number());
        newest = fence;
    }
    let store = &bench.store;
    store
        .commit(key("a"), newest, vec![log([1])])
        .await
        .unwrap();
}

async fn a_history_is_cut_and_goes_on(mut bench: Bench) {
    let a = key("a");
    let fence = bench.store.fence();
    let mut burst = Burst::new();
    for writes in [
        vec![begin(at(0)), history(0, &["1", "2", "3"])],
        vec![history(3, &["4"]), history(4, &[])],
        vec![history(1, &["b", "c"])],
        vec![history(3, &["d"])],
    ] {
        burst.write(&bench.store, &a, &fence, writes);
    }
    assert!(
        burst
            .outcomes()
            .await
            .iter()
            .all(|(_, result)| result.is_ok())
    );
    bench.reopen().await;
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.messages, ["1", "b", "c", "d"].map(bytes));
    bench.write(&a, vec![history(0, &[])]).await.unwrap();
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.messages, Vec::<Bytes>::new());
}

async fn a_history_has_no_gaps(bench: Bench) {
    let a = key("a");
    bench.begin(&a).await;
    for gap in [
        vec![history(1, &["b"])],
        vec![history(0, &["a"]), history(2, &["c"])],
    ] {
        let refused = bench.write(&a, gap).await;
        let is_refused = matches!(refused, Err(StoreError::Misfit { .. }));
        assert!(is_refused, "{refused:?}");
    }
}

async fn a_log_rises_and_is_trimmed(mut bench: Bench) {
    let a = key("a");
    bench.begin(&a).await;
    let fence = bench.store.fence();
    let mut burst = Burst::new();
    for writes in [
        vec![log(1..=4)],
        vec![
            Write::Log(Vec::new()),
            log([5]),
            Write::Trim { through: 2 },
            log([8]),
        ],
        vec![log(9..=10), Write::Trim { through: 5 }],
    ] {
        burst.write(&bench.store, &a, &fence, writes);
    }
    assert!(
        burst
            .outcomes()
            .await
            .iter()
            .all(|(_, result)| result.is_ok())
    );
    bench.reopen().await;
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.log, [8, 9, 10].map(entry));
    bench
        .write(&a, vec![Write::Trim { through: 9 }])
        .await
        .unwrap();
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.log, [entry(10)]);
    bench
        .write(&a, vec![Write::Trim { through: 100 }])
        .await
        .unwrap();
    bench.write(&a, vec![log([11])]).await.unwrap();
    bench.reopen().await;
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.log, [entry(11)]);
    for early in [
        vec![log([11])],
        vec![log([3])],
        vec![log([0])],
        vec![log([13, 12])],
    ] {
        let refused = bench.write(&a, early).await;
        let is_refused = matches!(refused, Err(StoreError::Misfit { .. }));
        assert!(is_refused, "{refused:?}");
    }
}

async fn the_last_sequence_never_goes_back(mut bench: Bench) {
    let a = key("a");
    let at_sequence = |last_sequence| {
        Write::Head(Head {
            last_sequence,
            ..head(at(5))
        })
    };
    bench.begin(&a).await;
    for (writes, expected) in [
        (vec![at_sequence(7)], 7),
        (vec![at_sequence(3)], 7),
        (vec![log([9]), at_sequence(8)], 9),
        (vec![log([10])], 10),
        (vec![Write::Trim { through: 10 }], 10),
        (vec![at_sequence(0)], 10),
    ] {
        bench.write(&a, writes).await.unwrap();
        bench.reopen().await;
        let row = bench.store.session(&a).await.unwrap().unwrap();
        assert_eq!(row.head.last_sequence, expected);
    }
}

async fn receipts_are_the_newest(mut bench: Bench) {
    let a = key("a");
    bench.begin(&a).await;
    let receipt = |number: usize, value: &str| Write::Receipt {
        frame_id: format!("frame-{number}"),
        value: bytes(value),
    };
    let numbered = |number: usize| receipt(number, &number.to_string());
    let first = (0..MAX_RECEIPTS).map(numbered).collect();
    bench.write(&a, first).await.unwrap();
    let writes = vec![
        Write::ForgetReceipt("frame-5".to_owned()),
        Write::ForgetReceipt("frame-unknown".to_owned()),
        receipt(0, "again"),
        numbered(MAX_RECEIPTS),
        numbered(MAX_RECEIPTS + 1),
    ];
    bench.write(&a, writes).await.unwrap();
    bench.reopen().await;
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    let kept = (2..MAX_RECEIPTS).filter(|number| *number != 5);
    let mut expected: Vec<_> = kept.map(|number| bytes(&number.to_string())).collect();
    expected.push(bytes("again"));
    expected.push(bytes(&MAX_RECEIPTS.to_string()));
    expected.push(bytes(&(MAX_RECEIPTS + 1).to_string()));
    assert_eq!(expected.len(), MAX_RECEIPTS);
    assert_eq!(loaded.receipts, expected);
}

async fn turns_are_kept_and_the_newest_are_loaded(mut bench: Bench) {
    let a = key("a");
    bench.begin(&a).await;
    let numbered = |number: usize| turn(&format!("turn-{number}"), &number.to_string());
    let turns = (0..LOADED_TURNS + 3).map(|number| Write::Turn(numbered(number)));
    bench.write(&a, turns.collect()).await.unwrap();
    let again = turn("turn-4", "again");
    bench
        .write(&a, vec![Write::Turn(again.clone())])
        .await
        .unwrap();
    bench.reopen().await;
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    let kept = (3..LOADED_TURNS + 3).filter(|number| *number != 4);
    let mut expected: Vec<_> = kept.map(|number| bytes(&number.to_string())).collect();
    expected.push(bytes("again"));
    assert_eq!(loaded.turns, expected);
    let first = bench.store.turn(&a, "turn-0").await.unwrap();
    assert_eq!(first, Some(numbered(0)));
    assert_eq!(bench.store.turn(&a, "turn-4").await.unwrap(), Some(again));
    assert_eq!(bench.store.turn(&a, "turn-99").await.unwrap(), None);
}

async fn the_ledger_says_how_each_call_stands(mut bench: Bench) {
    let a = key("a");
    bench.begin(&a).await;
    let writes = vec![
        Write::Call(call("turn-2", "call-1", CallState::Started)),
        Write::Call(call("turn-1", "call-2", CallState::Started)),
        Write::Call(call("turn-1", "call-1", CallState::Started)),
    ];
    bench.write(&a, writes).await.unwrap();
    let writes = vec![
        Write::Call(call("turn-1", "call-1", CallState::Finished)),
        Write::Call(call("turn-2", "call-1", CallState::Unknown)),
    ];
    bench.write(&a, writes).await.unwrap();
    bench.reopen().await;
    let expected = [
        call("turn-1", "call-1", CallState::Finished),
        call("turn-1", "call-2", CallState::Started),
        call("turn-2", "call-1", CallState::Unknown),
    ];
    assert_eq!(bench.store.calls(&a).await.unwrap(), expected);
}

async fn requests_are_the_tenants_and_outlive_the_session(mut bench: Bench) {
    let a = key_of("acme", "a");
    let writes = vec![
        begin(at(0)),
        Write::Request(request("r-2", "second", at(20))),
        Write::Request(request("r-1", "first", at(10))),
    ];
    bench.write(&a, writes).await.unwrap();
    let other = key_of("other", "none");
    let writes = vec![Write::Request(request("r-1", "of another", at(15)))];
    bench.write(&other, writes).await.unwrap();
    let again = request("r-1", "again", at(30));
    let writes = vec![Write::Request(again), Write::Delete];
    bench.write(&a, writes).await.unwrap();
    bench.reopen().await;
    let requests = bench.store.requests(at(0)).await.unwrap();
    let told: Vec<_> = requests
        .iter()
        .map(|row| (&*row.tenant, &*row.request_id, &row.value[..], row.at))
        .collect();
    let expected: [(_, _, &[u8], _); 3] = [
        ("other", "r-1", b"of another", at(15)),
        ("acme", "r-2", b"second", at(20)),
        ("acme", "r-1", b"again", at(30)),
    ];
    assert_eq!(told, expected);
    assert_eq!(requests[1].fingerprint, [6; 32]);
    let recent = bench.store.requests(at(20)).await.unwrap();
    assert_eq!(recent, requests[1..]);
}

async fn a_deleted_session_is_gone_and_others_are_not(mut bench: Bench) {
    let (gone, kept) = (key("gone"), key("kept"));
    let fill = vec![
        Write::Begin(Begin {
            labels: labels(&[("env", "test")]),
            ..beginning(at(0))
        }),
        history(0, &["hello"]),
        Write::Turn(turn("t", "result")),
        Write::Call(call("t", "c", CallState::Started)),
        Write::Receipt {
            frame_id: "f".to_owned(),
            value: bytes("receipt"),
        },
        Write::State(bytes("state")),
        Write::Options(bytes("options")),
        log([1, 2]),
    ];
    bench.write(&gone, fill.clone()).await.unwrap();
    bench.write(&kept, fill).await.unwrap();
    let before = bench.store.load(&kept).await.unwrap();
    let fence = bench.store.fence();
    let mut burst = Burst::new();
    burst.write(&bench.store, &gone, &fence, vec![log([3])]);
    let writes = vec![log([4]), Write::Delete];
    burst.write(&bench.store, &gone, &fence, writes);
    burst.write(&bench.store, &gone, &fence, vec![log([5])]);
    let outcomes = burst.outcomes().await;
    assert!(matches!(outcomes[1], (1, Ok(()))), "{outcomes:?}");
    let is_refused = matches!(outcomes[2], (2, Err(StoreError::NoSession)));
    assert!(is_refused, "{outcomes:?}");
    bench.reopen().await;
    let store = &bench.store;
    assert_eq!(store.load(&gone).await.unwrap(), None);
    assert_eq!(store.calls(&gone).await.unwrap(), []);
    assert_eq!(store.turn(&gone, "t").await.unwrap(), None);
    assert_eq!(store.messages(&gone, &page(9, None)).await.unwrap(), None);
    assert_eq!(store.load(&kept).await.unwrap(), before);
    bench.begin(&gone).await;
    let anew = store.load(&gone).await.unwrap().unwrap();
    assert_eq!(anew.head, head(at(0)));
    assert_eq!((anew.messages.len(), anew.log.len()), (0, 0));
    assert_eq!((anew.turns.len(), anew.receipts.len()), (0, 0));
    bench.write(&gone, vec![log([1])]).await.unwrap();
}

async fn a_tenant_has_its_most_of_sessions(mut bench: Bench) {
    let keyed = |number: u64| key_of("acme", &number.to_string());
    for number in 0..MAX_SESSIONS {
        bench.begin(&keyed(number)).await;
    }
    bench.reopen().await;
    let refused = bench.write(&keyed(MAX_SESSIONS), vec![begin(at(0))]).await;
    let is_refused = matches!(
        refused,
        Err(StoreError::TooManySessions {
            limit: MAX_SESSIONS
        })
    );
    assert!(is_refused, "{refused:?}");
    bench.begin(&key_of("other", "1")).await;
    let writes = vec![Write::Delete, begin(at(0))];
    bench.write(&keyed(1), writes).await.unwrap();
    bench.write(&keyed(2), vec![Write::Delete]).await.unwrap();
    let mut burst = Burst::new();
    for number in [MAX_SESSIONS, MAX_SESSIONS + 1] {
        let fence = bench.store.fence();
        burst.write(&bench.store, &keyed(number), &fence, vec![begin(at(0))]);
    }
    let outcomes = burst.outcomes().await;
    assert!(
        matches!(
            &outcomes[..],
            [(0, Ok(())), (1, Err(StoreError::TooManySessions { .. }))]
        ),
        "{outcomes:?}"
    );
}

async fn an_expired_session_makes_room_for_another_of_its_name(bench: Bench) {
    let a = key("a");
    let day = beginning(at(0)).ttl;
    let used = Write::Head(head(at(100)));
    let writes = vec![begin(at(0)), history(0, &["old"]), log([1]), used];
    bench.write(&a, writes).await.unwrap();
    let last = at(100) + day - std::time::Duration::from_nanos(1);
    let refused = bench.write(&a, vec![begin(last)]).await;
    assert!(matches!(refused, Err(StoreError::Exists)), "{refused:?}");
    let row = bench.store.session(&a).await.unwrap().unwrap();
    assert_eq!(row.expires(), Some(at(100) + day));
    assert!(!row.is_expired(last));
    assert!(row.is_expired(at(100) + day));
    bench.write(&a, vec![begin(at(100) + day)]).await.unwrap();
    let loaded = bench.store.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.begin.created, at(100) + day);
    assert_eq!((loaded.messages.len(), loaded.log.len()), (0, 0));
}

async fn sessions_with_work_are_named(mut bench: Bench) {
    let working = |has_work| {
        Write::Head(Head {
            has_work,
            ..head(at(1))
        })
    };
    let keys = [key("a"), key_of("acme", "b"), key_of("acme", "c")];
    for name in &keys {
        bench
            .write(name, vec![begin(at(0)), working(true)])
            .await
            .unwrap();
    }
    bench.write(&keys[1], vec![working(false)]).await.unwrap();
    bench.reopen().await;
    let mut unfinished = bench.store.unfinished().await.unwrap();
    unfinished.sort();
    assert_eq!(unfinished, [keys[0].clone(), keys[2].clone()]);
    let row = bench.store.session(&keys[0]).await.unwrap().unwrap();
    assert_eq!(row.expires(), None);
}

async fn each_batch_is_told_of_once_and_in_order(bench: Bench) {
    const BATCHES: u64 = 200;
    let burst = |name: String| {
        let store = bench.store.clone();
        move || {
            let (key, fence) = (key_of(&name, "a"), store.fence());
            let mut burst = Burst::new();
            burst.write(&store, &key, &fence, vec![begin(at(0))]);
            for sequence in 1..=BATCHES {
                burst.write(&store, &key, &fence, vec![log([sequence])]);
            }
            (key, burst)
        }
    };
    let tenants = (0..8).map(|number| thread::spawn(burst(number.to_string())));
    for tenant in tenants.collect::<Vec<_>>() {
        let (key, burst) = tenant.join().unwrap();
        let outcomes = burst.outcomes().await;
        for (number, (told, result)) in outcomes.iter().enumerate() {
            assert_eq!(*told, number);
            assert!(result.is_ok(), "{result:?}");
        }
        let loaded = bench.store.load(&key).await.unwrap().unwrap();
        let sequences = loaded.log.iter().map(|entry| entry.sequence);
        assert!(sequences.eq(1..=BATCHES));
    }
}

async fn whoever_is_told_may_write(bench: Bench) {
    let (tx, rx) = oneshot::channel();
    let (store, fence) = (bench.store.clone(), bench.store.fence());
    let later = fence.clone();
    bench.store.write(Batch {
        key: key("a"),
        fence,
        writes: vec![begin(at(0))],
        done: Done::new(move |result| {
            result.unwrap();
            store.write(Batch {
                key: key("a"),
                fence: later,
                writes: vec![log([1])],
                done: Done::new(|result| tx.send(result).unwrap()),
            });
        }),
    });
    rx.await.unwrap().unwrap();
    let loaded = bench.store.load(&key("a")).await.unwrap().unwrap();
    assert_eq!(loaded.log, [entry(1)]);
}

async fn what_was_given_before_the_close_is_written(mut bench: Bench) {
    let (store, fence) = (bench.store.clone(), bench.store.fence());
    let mut burst = Burst::new();
    burst.write(&store, &key("a"), &fence, vec![begin(at(0))]);
    for sequence in 1..=100 {
        burst.write(&store, &key("a"), &fence, vec![log([sequence])]);
    }
    bench.reopen().await;
    burst.write(&store, &key("a"), &fence, vec![log([101])]);
    let outcomes = burst.outcomes().await;
    assert!(outcomes[..=100].iter().all(|(_, result)| result.is_ok()));
    let loaded = bench.store.load(&key("a")).await.unwrap().unwrap();
    assert!(loaded.log.len() >= 100);
}

async fn a_closed_store_refuses(bench: Bench) {
    let store = Arc::new(bench.store);
    let fence = store.fence();
    let writes = vec![begin(at(0))];
    store.commit(key("a"), fence.clone(), writes).await.unwrap();
    tokio::join!(store.close(), store.close());
    store.close().await;
    let mut burst = Burst::new();
    burst.write(&store, &key("a"), &fence, vec![log([1])]);
    let outcomes = burst.outcomes().await;
    let is_refused = matches!(&outcomes[..], [(0, Err(StoreError::Closed))]);
    assert!(is_refused, "{outcomes:?}");
    let refusals = [
        store.load(&key("a")).await.err(),
        store.session(&key("a")).await.err(),
        store.turn(&key("a"), "t").await.err(),
        store.calls(&key("a")).await.err(),
        store.messages(&key("a"), &page(1, None)).await.err(),
        store
            .sessions("", &SessionFilter::default(), &page(1, None), at(0))
            .await
            .err(),
        store.requests(at(0)).await.err(),
        store.spent(at(0)).await.err(),
        store.unfinished().await.err(),
        store
            .sweep(Sweep {
                now: at(0),
                replay_window: std::time::Duration::ZERO,
            })
            .await
            .err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(StoreError::Closed)), "{refusal:?}");
    }
}

fn call(turn_id: &str, call_id: &str, state: CallState) -> Call {
    Call {
        turn_id: turn_id.to_owned(),
        call_id: call_id.to_owned(),
        name: "search".to_owned(),
        state,
        at: at(7),
    }
}
