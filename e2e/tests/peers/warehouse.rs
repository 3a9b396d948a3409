//! A gRPC service on Google's stack in Python, by reflection, and what arrives there.

use std::time::Duration;

use http::HeaderName;
use taiwa::v1 as pb;
use taiwa_e2e::{
    call::{invoke_stream, rest_of},
    calls,
};
use taiwa_server::tools::Origin;

use crate::{ask_each, asking, check_ends, listed, mount, place::Warehouse, world};

const ALL: &str = "warehouse.v1.Warehouse/*";

#[tokio::test(flavor = "multi_thread")]
async fn each_method_is_called_and_so_is_the_health_of_the_service() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let stock = mount(Origin::Grpc(warehouse.config(ALL)), "");
    let mut health = mount(
        Origin::Grpc(warehouse.config("grpc.health.v1.Health/*")),
        "health_",
    );
    // A watch has no end of its own.
    health.timeout = Some(Duration::from_millis(500));
    let world = world("", vec![stock, health]).await;

    let mut told = ask_each(&world, |tool| match tool {
        "Reserve" => "sku \"tea-7\" and count 2".to_owned(),
        "Pack" => "sku \"tea-7\" and count 1, takes \"0.1s\"".to_owned(),
        "WatchStock" => "sku \"tea-7\" and changes 3, every \"0.2s\"".to_owned(),
        "PutItem" => "sku \"rice-9\" and name \"Rice\"".to_owned(),
        "FindItems" => "text \"tea\"".to_owned(),
        "health_Check" | "health_Watch" => "service \"warehouse.v1.Warehouse\"".to_owned(),
        _ => "sku \"tea-7\"".to_owned(),
    })
    .await;

    let watch = told.remove("health_Watch").expect("it is listed");
    assert_eq!(watch.status(), pb::ToolCallStatus::Unknown, "{watch:#?}");
    assert!(watch.progress[0].contains("SERVING"), "{watch:#?}");
    // The library has it in its descriptors, and does not answer it.
    check_ends(&told, &["health_List"]);
    assert!(told["health_Check"].words().contains("SERVING"));
    assert!(told["GetItem"].words().contains("Green tea"));
    assert!(
        !told["WatchStock"].progress.is_empty(),
        "{:#?}",
        told["WatchStock"]
    );
    for method in ["PutItem", "Reserve", "Release", "Pack"] {
        let effects = warehouse.events("effect", method, 1).await;
        assert_eq!(effects.len(), 1, "{effects:?}");
        assert_eq!(effects[0]["key"], *told[method].call.idempotency_key);
        assert_ne!(effects[0]["key"], "");
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_of_the_caller_arrives_with_key_and_deadline_and_nothing_else() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let mut config = warehouse.config(ALL);
    config.forward_metadata = vec![HeaderName::from_static("x-user-id")];
    let world = world("", vec![mount(Origin::Grpc(config), "")]).await;
    let mut client = world.client().await;

    let mut request = tonic::Request::new(asking("Reserve", "sku \"tea-7\" and count 1"));
    request.set_timeout(Duration::from_secs(20));
    for (name, value) in [
        ("x-user-id", "u-1"),
        ("x-secret", "hush-1"),
        ("authorization", "Bearer hush-2"),
        ("cookie", "hush-3"),
        ("grpc-trace-bin-like", "hush-4"),
    ] {
        let value = value.parse().expect("it is ASCII");
        request.metadata_mut().insert(name, value);
    }
    let opened = client.invoke_stream(request).await;
    let streamed = rest_of(&mut opened.expect("a stream").into_inner()).await;
    assert_eq!(streamed.result().status(), pb::TurnStatus::Completed);
    let told = calls::told(&streamed.events);

    let seen = warehouse.events("call", "Reserve", 1).await;
    let metadata = &seen[0]["metadata"];
    assert_eq!(metadata["x-user-id"], "u-1");
    assert_eq!(metadata["idempotency-key"], *told[0].call.idempotency_key);
    let left = seen[0]["seconds_left"].as_f64().expect("it has a deadline");
    assert!((1.0..20.0).contains(&left), "{left}");
    let arrived: Vec<_> = metadata.as_object().expect("an object").keys().collect();
    for name in ["x-secret", "authorization", "cookie", "grpc-trace-bin-like"] {
        assert!(!arrived.iter().any(|it| *it == name), "{arrived:?}");
    }
    let sent: Vec<_> = world.simulator.journal().entries();
    let sent: String = sent.iter().map(|entry| entry.request.to_string()).collect();
    for place in [warehouse.journal(), sent, format!("{streamed:?}")] {
        assert!(!place.contains("hush"), "{place}");
    }

    // Of a caller that sends nothing, nothing arrives: metadata belongs to one turn.
    invoke_stream(&mut client, asking("Reserve", "sku \"tea-7\" and count 1")).await;
    let seen = warehouse.events("call", "Reserve", 2).await;
    assert!(seen[1]["metadata"].get("x-user-id").is_none(), "{seen:?}");
    assert_ne!(
        seen[0]["metadata"]["idempotency-key"],
        seen[1]["metadata"]["idempotency-key"]
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_deadline_are_heard_in_the_midst_of_a_call() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let world = world("", vec![mount(Origin::Grpc(warehouse.config(ALL)), "")]).await;
    let mut client = world.client().await;
    assert!(listed(&mut client).await.contains(&"Pack".to_owned()));
    let pack = || {
        let mut request = asking("Pack", "sku \"tea-7\" and count 1, takes \"50s\"");
        request.session_id = "cut".to_owned();
        request
    };

    let opened = client.invoke_stream(pack()).await;
    let mut stream = opened.expect("a stream").into_inner();
    warehouse.events("call", "Pack", 1).await;
    let cancel = pb::CancelTurnRequest {
        session_id: "cut".to_owned(),
        ..pb::CancelTurnRequest::default()
    };
    client.cancel_turn(cancel).await.expect("it runs");
    warehouse.events("cancelled", "Pack", 1).await;
    let told = calls::told(&rest_of(&mut stream).await.events);
    assert_eq!(told[0].status(), pb::ToolCallStatus::Cancelled);

    let mut request = tonic::Request::new(pack());
    request.set_timeout(Duration::from_secs(2));
    let late = client.invoke(request).await.expect_err("it takes too long");
    // Whichever sees it first: the channel, or the server.
    let codes = [tonic::Code::Cancelled, tonic::Code::DeadlineExceeded];
    assert!(codes.contains(&late.code()), "{late:?}");
    warehouse.events("cancelled", "Pack", 2).await;
    // The session goes on, and the model is told what became of both.
    let told = crate::ask(&mut client, "GetItem", "sku \"tea-7\"").await;
    check_ends(&[("GetItem".to_owned(), told)].into(), &[]);
    assert!(
        !warehouse.journal().contains("\"effect\""),
        "nothing was packed"
    );
    world.server.stop().await;
}
