//! What a model is told when a call fails: above all, whether it ran.

use std::time::{Duration, Instant};

use serde_json::json;
use taiwa_tools::{Error, grpc::Config};

use crate::{
    call, refused, run,
    shop::{Options, Shop},
    sku, started, told, tool,
};

const ALL: [&str; 1] = ["shop.v1.Inventory/*"];

#[tokio::test]
async fn what_a_service_refuses_is_told_in_words() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;

    let text = refused(run(&source, "Reserve", sku("refused")).await);

    assert_eq!(
        text,
        "FAILED_PRECONDITION: cannot be reserved\n\
         - may be called again after 1.5s\n\
         - reason: SOLD_OUT (shop.example), shelf = A1\n\
         - not met: STOCK of sku/7: none is left\n\
         - field count: must be more than 0\n\
         - resource: item sku/7: not in this shop"
    );
    let raised = refused(run(&source, "Reserve", sku("raised")).await);
    assert_eq!(raised, "UNKNOWN: ZeroDivisionError");
    let broken = refused(run(&source, "Watch", sku("broken")).await);
    assert_eq!(broken, text);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_tells_its_size_and_the_fix() {
    let shop = Shop::start();
    let mut config = Config::new(shop.endpoint(), ALL);
    config.max_message_bytes = 1024 * 1024;
    let source = started(config).await;

    let error = run(&source, "Reserve", sku("large")).await;

    assert_eq!(
        error,
        Err(Error::Failed(
            "Reserve ran, and its answer is too large to be taken: found 2097157 bytes, the limit \
             is: 1048576 bytes. Ask it for less; max_message_bytes of its configuration allows more"
                .to_owned()
        ))
    );
    let next = told(run(&source, "Reserve", sku("a")).await);
    assert_eq!(next["sku"], "a", "the connection is still of use");
}

#[tokio::test]
async fn an_answer_that_is_damaged_is_told_as_such() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    for (item, fault) in [("garbled", "UTF-8"), ("truncated", "buffer underflow")] {
        let error = run(&source, "Reserve", sku(item)).await;
        let Err(Error::Failed(text)) = &error else {
            panic!("{error:?}");
        };
        assert!(
            text.starts_with("Reserve ran, and its answer is damaged: "),
            "{text}"
        );
        assert!(text.contains(fault), "{text}");
    }
}

#[tokio::test]
async fn what_comes_to_no_end_of_its_own_may_have_taken_effect() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    for (item, reason) in [
        ("unavailable", "UNAVAILABLE: the database is away"),
        ("silent", "it answered without a message"),
        ("cut", "missing grpc-status trailer"),
    ] {
        let error = run(&source, "Reserve", sku(item)).await;
        let Err(Error::Unknown(text)) = &error else {
            panic!("{item}: {error:?}");
        };
        assert!(text.contains(reason), "{text}");
        assert!(
            text.ends_with("find out before it is called again"),
            "{text}"
        );

        let error = run(&source, "Restock", sku(item)).await;
        let Err(Error::Unknown(text)) = &error else {
            panic!("{item}: {error:?}");
        };
        assert!(
            text.ends_with("it may be called again with the same input"),
            "{text}"
        );

        let error = run(&source, "GetStock", sku(item)).await;
        let Err(Error::Failed(text)) = &error else {
            panic!("{item}: {error:?}");
        };
        assert!(
            text.ends_with("It changes nothing, and may be called again"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_may_have_taken_effect() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let tool = tool(&source, "Reserve").await;
    let (mut late, _progress) = call(sku("hang"));
    let began = Instant::now();
    late.deadline = began + Duration::from_millis(300);

    let error = tool.call(late).await;

    assert!(
        began.elapsed() >= Duration::from_millis(290),
        "{:?}",
        began.elapsed()
    );
    assert!(matches!(error, Err(Error::Unknown(_))), "{error:?}");
    shop.cancelled().await;
    let before = shop.requests();
    let (mut over, _progress) = call(sku("a"));
    over.deadline = Instant::now();
    assert_eq!(
        tool.call(over).await,
        Err(Error::Failed(
            "no time was left; Reserve did not run".to_owned()
        ))
    );
    assert_eq!(shop.requests(), before);
}

#[tokio::test]
async fn an_input_that_no_message_can_hold_is_not_sent() {
    let shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let input = json!({"sku": "a", "count": "9999999999999999999"});

    let error = run(&source, "Reserve", input).await;

    let Err(Error::Failed(text)) = &error else {
        panic!("{error:?}");
    };
    assert!(
        text.starts_with("the input is not taken: number too large"),
        "{text}"
    );
    assert!(text.ends_with("Reserve did not run"), "{text}");
    assert_eq!(shop.requests(), 0);
}

#[tokio::test]
async fn a_service_that_goes_away_is_told_apart_from_one_that_was_not_there() {
    let mut shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let (reserve, _progress) = call(sku("hang"));
    let (look, _progress) = call(sku("hang"));
    let reserve = tokio::spawn(tool(&source, "Reserve").await.call(reserve));
    let look = tokio::spawn(tool(&source, "GetStock").await.call(look));
    shop.request("Reserve").await;
    shop.request("GetStock").await;

    shop.kill();

    let reserve = reserve.await.expect("it does not panic");
    let Err(Error::Unknown(text)) = &reserve else {
        panic!("{reserve:?}");
    };
    assert!(text.starts_with("Reserve gave no answer: "), "{text}");
    let look = look.await.expect("it does not panic");
    assert!(matches!(look, Err(Error::Failed(_))), "{look:?}");

    let absent = run(&source, "Reserve", sku("a")).await;
    let Err(Error::Failed(text)) = &absent else {
        panic!("{absent:?}");
    };
    assert!(
        text.starts_with("shop.v1.Inventory was not reached ("),
        "{text}"
    );
    assert!(text.contains("Connection refused"), "{text}");
    assert!(text.ends_with("Reserve did not run"), "{text}");

    let _back = Shop::with(Options {
        address: shop.address,
        ..Options::default()
    });
    assert_eq!(told(run(&source, "Reserve", sku("a")).await)["sku"], "a");
}
