//! How a service is read, and read again.

use std::{fs, net::TcpListener};

use prost::Message as _;
use prost_types::{FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Value, json};
use taiwa_tools::{
    Source as _,
    grpc::{Config, Source},
};
use tokio::time::timeout;

use crate::{
    PATIENCE, names, run,
    shop::{Options, Reflection, Shop, descriptors},
    sku, started, told, tool,
};

const ALL: [&str; 1] = ["shop.v1.Inventory/*"];

#[tokio::test]
async fn a_service_describes_itself_by_either_version_of_reflection() {
    for reflection in [Reflection::V1, Reflection::V1Alpha] {
        let shop = Shop::with(Options {
            reflection,
            ..Options::default()
        });
        let source = started(Config::new(shop.endpoint(), ALL)).await;
        assert_eq!(names(&source), ["GetStock", "Reserve", "Restock", "Watch"]);
        assert_definitions(&source).await;
    }
}

#[tokio::test]
async fn a_descriptor_set_gives_tools_before_the_service_is_there() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("shop.binpb");
    fs::write(&path, descriptors().encode_to_vec()).expect("there is room");
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free");
    let mut config = Config::new(format!("http://{address}"), ["shop.v1.Inventory/GetStock"]);
    config.descriptor_set = Some(path);
    let source = started(config).await;
    assert_eq!(names(&source), ["GetStock"]);
    assert_definitions(&source).await;

    let _shop = Shop::with(Options {
        address,
        reflection: Reflection::Off,
        ..Options::default()
    });

    assert_eq!(told(run(&source, "GetStock", sku("a")).await)["sku"], "a");
}

#[tokio::test]
async fn tools_appear_when_the_service_does() {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free");
    let source = started(Config::new(format!("http://{address}"), ALL)).await;
    assert_eq!(names(&source), [""; 0]);

    let _shop = Shop::with(Options {
        address,
        ..Options::default()
    });

    assert_eq!(told(run(&source, "GetStock", sku("a")).await)["sku"], "a");
}

#[tokio::test]
async fn a_service_that_comes_back_is_read_again() {
    let mut shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let mut tools = source.tools();
    tools.mark_unchanged();
    shop.kill();
    let mut changed = descriptors();
    add_field(&mut changed, "colour");

    let _back = Shop::with(Options {
        address: shop.address,
        descriptors: changed,
        ..Options::default()
    });
    // It is found out by a call, which itself is made as the service was.
    let result = run(&source, "GetStock", sku("a")).await;

    let changed = timeout(PATIENCE, tools.changed()).await;
    changed.expect("in time").expect("the source lives");
    let schema = schema(&source, "GetStock").await;
    assert_eq!(
        schema["properties"]["colour"],
        json!({"type": "string"}),
        "{result:?}"
    );
}

#[tokio::test]
async fn what_is_the_same_after_an_outage_is_not_told_again() {
    let mut shop = Shop::start();
    let source = started(Config::new(shop.endpoint(), ALL)).await;
    let mut tools = source.tools();
    tools.mark_unchanged();
    shop.kill();
    let back = Shop::with(Options {
        address: shop.address,
        ..Options::default()
    });

    // The first may still go to the shop that was.
    let mut result = run(&source, "GetStock", sku("a")).await;
    while result.is_err() {
        result = run(&source, "GetStock", sku("a")).await;
    }
    back.described().await;

    // Another one comes, so that there is something to wait for.
    drop(back);
    let mut changed = descriptors();
    add_field(&mut changed, "colour");
    let _other = Shop::with(Options {
        address: shop.address,
        descriptors: changed,
        ..Options::default()
    });
    let _ = run(&source, "GetStock", sku("a")).await;
    let changed = timeout(PATIENCE, tools.changed()).await;
    changed.expect("in time").expect("the source lives");
    let schema = schema(&source, "GetStock").await;
    assert!(
        schema["properties"]["colour"].is_object(),
        "the first change is this one"
    );
}

#[tokio::test]
async fn faults_of_the_configuration_are_told_at_start() {
    let shop = Shop::start();
    for (pattern, expected) in [
        (
            "shop.v1.Inventry/*",
            "methods: `shop.v1.Inventry/*`: there is no service shop.v1.Inventry; \
             there are: shop.v1.Inventory, shop.v1.Uploads",
        ),
        (
            "shop.v1.Inventory/GetStocks",
            "methods: `shop.v1.Inventory/GetStocks`: the service has no such method; \
             it has: GetStock, Reserve, Restock, Watch",
        ),
        (
            "shop.v1.Uploads/*",
            "methods: `shop.v1.Uploads/*`: the client streams to Put, which a tool cannot; \
             list the other methods instead",
        ),
        (
            "grpc.reflection.v1.ServerReflection/*",
            "methods: `grpc.reflection.v1.ServerReflection/*` is the reflection service, \
             which is no tool; take it off",
        ),
    ] {
        let refusal = refusal(Config::new(shop.endpoint(), [pattern])).await;
        assert_eq!(refusal, expected);
    }
}

#[tokio::test]
async fn a_service_without_reflection_needs_a_descriptor_set() {
    let shop = Shop::with(Options {
        reflection: Reflection::Off,
        ..Options::default()
    });
    let refusal = refusal(Config::new(shop.endpoint(), ALL)).await;
    assert_eq!(
        refusal,
        "endpoint: the service refuses reflection: UNIMPLEMENTED; serve it, or set descriptor_set"
    );
}

#[tokio::test]
async fn a_descriptor_set_that_is_none_is_refused() {
    let mut config = Config::new("http://127.0.0.1:1", ALL);
    config.descriptor_set = Some("/nowhere/shop.binpb".into());
    let told = refusal(config.clone()).await;
    assert!(
        told.starts_with("descriptor_set: /nowhere/shop.binpb: cannot be read: "),
        "{told}"
    );

    let mut without_imports = descriptors();
    without_imports
        .file
        .retain(|file| file.name() == "shop/inventory.proto");
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("shop.binpb");
    fs::write(&path, without_imports.encode_to_vec()).expect("there is room");
    config.descriptor_set = Some(path);
    let told = refusal(config).await;
    assert!(told.contains("shop/stock.proto"), "{told}");
    assert!(told.contains("--include_imports"), "{told}");
}

async fn refusal(config: Config) -> String {
    let error = Source::start(config).await.expect_err("it is refused");
    error.to_string()
}

async fn assert_definitions(source: &Source) {
    let get_stock = tool(source, "GetStock").await;
    assert_eq!(
        get_stock.definition().description,
        "Tells how many of an item there are."
    );
    assert_eq!(
        schema(source, "GetStock").await,
        json!({
            "type": "object",
            "properties": {
                "sku": {"type": "string", "description": "The item's number, as on its label."},
            },
            "additionalProperties": false,
        })
    );
    if !names(source).contains(&"Watch".to_owned()) {
        return;
    }
    let descriptions = [
        (
            "Reserve",
            "Calls Reserve of the service shop.v1.Inventory with a ReserveRequest; gives a Stock.",
        ),
        (
            "Watch",
            "Tells of every change.\n\
             It answers with a stream, whose last message is the result.",
        ),
    ];
    for (name, expected) in descriptions {
        assert_eq!(tool(source, name).await.definition().description, expected);
    }
}

async fn schema(source: &Source, name: &str) -> Value {
    let tool = tool(source, name).await;
    serde_json::from_str(tool.definition().schema.as_str()).expect("a schema is JSON")
}

/// Adds a field to the request of `GetStock`.
fn add_field(descriptors: &mut FileDescriptorSet, name: &str) {
    let messages = descriptors
        .file
        .iter_mut()
        .flat_map(|f| &mut f.message_type);
    for message in messages.filter(|message| message.name() == "GetStockRequest") {
        let mut field: FieldDescriptorProto = message.field[0].clone();
        field.name = Some(name.to_owned());
        field.json_name = Some(name.to_owned());
        field.number = Some(2);
        message.field.push(field);
    }
}
