//! What a call carries, and what it gives.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use taiwa_core::tool::ToolResultBlock;
use taiwa_tools::{
    Caller, Output,
    grpc::{Config, StreamResult},
};

use crate::{call, run, shop::Shop, sku, started, told, tool};

const ALL: [&str; 1] = ["shop.v1.Inventory/*"];

#[tokio::test]
async fn an_answer_is_json_and_large_numbers_are_text() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let input = json!({"sku": "a", "count": 5, "until": "2026-03-01T12:00:00Z"});

    let output = run(&source, "Reserve", input).await;

    assert_eq!(
        told(output),
        json!({"sku": "a", "count": "9007199254740993"})
    );
    let (_metadata, input) = shop.request("Reserve").await;
    assert_eq!(
        input,
        json!({"sku": "a", "count": "5", "until": "2026-03-01T12:00:00Z"})
    );
}

#[tokio::test]
async fn a_call_carries_its_deadline_its_key_and_the_metadata_that_is_listed() {
    let shop = Shop::start();
    let mut config = Config::new(shop.endpoint(), ALL);
    config
        .metadata
        .insert("x-api-key", HeaderValue::from_static("ours"));
    config.forward_metadata = ["authorization", "x-user-id", "traceparent"]
        .map(HeaderName::from_static)
        .into();
    let source = started(config).await;
    let (mut call, _progress) = call(sku("a"));
    call.deadline = Instant::now() + Duration::from_secs(7);
    let mut metadata = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer theirs"),
        ("x-user-id", "u-1"),
        ("cookie", "session=1"),
        ("grpc-timeout", "1H"),
        ("idempotency-key", "theirs"),
    ] {
        metadata.insert(name, HeaderValue::from_static(value));
    }
    call.caller = Arc::new(Caller {
        metadata,
        ..Caller::default()
    });

    let result = tool(&source, "GetStock").await.call(call).await;

    assert!(result.is_ok(), "{result:?}");
    let (mut metadata, _input) = shop.request("GetStock").await;
    let timeout = metadata.remove("grpc-timeout").expect("a deadline is sent");
    let (number, unit) = timeout.split_at(timeout.len() - 1);
    let number: u64 = number.parse().expect("a number and a unit");
    let left = match unit {
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        "m" => Duration::from_millis(number),
        unit => panic!("{unit} is too coarse"),
    };
    assert!(left <= Duration::from_secs(7), "{left:?}");
    assert!(left > Duration::from_secs(2), "{left:?}");
    let agent = metadata.remove("user-agent").unwrap_or_default();
    assert!(agent.starts_with("tonic/"), "{agent}");
    let expected = BTreeMap::from(
        [
            ("authorization", "Bearer theirs"),
            ("content-type", "application/grpc"),
            ("idempotency-key", "key-1"),
            ("te", "trailers"),
            ("x-api-key", "ours"),
            ("x-user-id", "u-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(metadata, expected);
}

#[tokio::test]
async fn each_message_of_a_stream_is_progress_and_the_last_is_the_result() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let (call, mut progress) = call(sku("three"));

    let result = tool(&source, "Watch").await.call(call).await;

    assert_eq!(told(result), json!({"sku": "three", "count": "3"}));
    let mut pieces = Vec::new();
    while let Some(piece) = progress.next().await {
        pieces.push(piece);
    }
    assert_eq!(
        pieces,
        ["1", "2", "3"].map(|n| format!(r#"{{"sku":"three","count":"{n}"}}"#))
    );
}

#[tokio::test]
async fn a_stream_can_be_the_result_as_a_whole_as_far_as_it_fits() {
    let shop = Shop::start();
    let mut config = Config::new(shop.endpoint(), ALL);
    config.stream_result = StreamResult::All;
    let source = started(config).await;

    let three = told(run(&source, "Watch", sku("three")).await);
    let none = told(run(&source, "Watch", sku("silent")).await);
    let (mut call, _progress) = call(sku("many"));
    call.max_result_bytes = 500;
    let many = told(tool(&source, "Watch").await.call(call).await);

    assert_eq!(
        three,
        json!({
            "items": [
                {"sku": "three", "count": "1"},
                {"sku": "three", "count": "2"},
                {"sku": "three", "count": "3"},
            ],
            "itemsLeftOut": 0,
        })
    );
    assert_eq!(none, json!({"items": [], "itemsLeftOut": 0}));
    let items = many["items"].as_array().expect("a list").len();
    assert!(items > 3, "{many}");
    assert_eq!(many["itemsLeftOut"], 1000 - items);
    assert!(many.to_string().len() <= 500, "{many}");
}

#[tokio::test]
async fn a_result_that_is_too_long_is_cut_and_says_so() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let (mut call, _progress) = call(sku("large"));
    call.max_result_bytes = 100;

    let output = tool(&source, "GetStock").await.call(call).await;

    let Output { content, .. } = output.expect("it does not fail");
    let [ToolResultBlock::Text(text)] = content.as_slice() else {
        panic!("{content:?} is text");
    };
    assert!(text.len() <= 100, "{text}");
    assert!(text.ends_with("x… [cut: 2097163 bytes in all]"), "{text}");
}

#[tokio::test]
async fn dropping_a_call_cancels_it_at_once() {
    for (name, item) in [("Reserve", "hang"), ("Watch", "stalled")] {
        // The machine may be busy: the quickest of a few shows what the code does.
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            let shop = Shop::start();
            let source = started(Config::new(shop.endpoint(), ALL)).await;
            let (call, mut progress) = call(sku(item));
            let running = tokio::spawn(tool(&source, name).await.call(call));
            shop.request(name).await;
            if item == "stalled" {
                let first = progress.next().await;
                assert_eq!(first.as_deref(), Some(r#"{"sku":"stalled","count":"1"}"#));
            }

            let dropped = Instant::now();
            running.abort();

            let seen = shop.cancelled().await;
            quickest = quickest.min(seen.saturating_duration_since(dropped));
            if quickest < Duration::from_millis(10) {
                break;
            }
        }
        assert!(quickest < Duration::from_millis(10), "{name}: {quickest:?}");
    }
}
