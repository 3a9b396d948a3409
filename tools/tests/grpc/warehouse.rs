//! A service on a stack that is not ours: Google's, in Python.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use taiwa_tools::{
    Caller, Error,
    grpc::{Config, StreamResult},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command as AsyncCommand},
    time::timeout,
};

use crate::{PATIENCE, call, names, refused, run, started, told, tool};

const ALL: [&str; 1] = ["warehouse.v1.Warehouse/*"];

#[tokio::test]
async fn every_method_of_the_warehouse_is_a_tool() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let source = started(warehouse.config()).await;
    assert_eq!(
        names(&source),
        [
            "GetItem",
            "FindItems",
            "PutItem",
            "Reserve",
            "Release",
            "Pack",
            "CountStock",
            "WatchStock",
        ]
    );

    let item = everything();
    assert_eq!(told(run(&source, "PutItem", item.clone()).await), item);
    let mut one = told(run(&source, "GetItem", json!({"sku": "all-1"})).await);
    assert_eq!(one, item);
    one = told(
        run(
            &source,
            "GetItem",
            json!({"sku": "all-1", "fields": "count,leadTime"}),
        )
        .await,
    );
    assert_eq!(
        one,
        json!({"count": "9007199254740993", "leadTime": "1.500s"})
    );

    let conditions = json!({
        "text": "TEA",
        "temperatures": ["TEMPERATURE_AMBIENT"],
        "labels": {"grade": "A"},
        "maxPriceCents": 500,
    });
    let found = told(run(&source, "FindItems", conditions).await);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        found["items"][0],
        json!({
            "sku": "tea-7",
            "name": "Green tea",
            "count": "40",
            "temperature": "TEMPERATURE_AMBIENT",
            "priceCents": 450,
            "weightKg": 0.1,
            "labels": {"origin": "Uji", "grade": "A"},
            "places": {"3": {"level": 2}},
            "loose": "a tin",
        })
    );

    let order = json!({"sku": "tea-7", "count": 5, "until": "2026-12-01T00:00:00Z"});
    let reserved = told(run(&source, "Reserve", order).await);
    let id = reserved["id"].clone();
    assert_eq!(
        reserved,
        json!({"id": id, "sku": "tea-7", "count": "5", "until": "2026-12-01T00:00:00Z"})
    );
    let count = told(run(&source, "CountStock", json!({})).await);
    assert_eq!(count["TEMPERATURE_AMBIENT"], json!(35.0));
    let released = told(run(&source, "Release", json!({"reservationId": id})).await);
    assert_eq!(released, json!({}));
    let parcel = told(run(&source, "Pack", json!({"sku": "tea-7", "count": "3"})).await);
    assert_eq!(parcel["count"], "3");

    let changes = json!({"sku": "tea-7", "changes": 2});
    let last = told(run(&source, "WatchStock", changes).await);
    assert_eq!(last, json!({"sku": "tea-7", "count": "36", "why": "sold"}));
}

#[tokio::test]
async fn the_warehouse_tells_each_change_as_it_comes() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let mut config = warehouse.config();
    config.stream_result = StreamResult::All;
    let source = started(config).await;
    let (call, mut progress) = call(json!({"sku": "tea-7", "changes": 3, "every": "0.05s"}));
    let running = tokio::spawn(tool(&source, "WatchStock").await.call(call));

    let first = progress.next().await;

    assert_eq!(
        first.as_deref(),
        Some(r#"{"sku":"tea-7","count":"40","why":null}"#)
    );
    let all = told(running.await.expect("it does not panic"));
    assert_eq!(
        all,
        json!({
            "items": [
                {"sku": "tea-7", "count": "40", "why": null},
                {"sku": "tea-7", "count": "39", "why": "sold"},
                {"sku": "tea-7", "count": "38", "why": null},
            ],
            "itemsLeftOut": 0,
        })
    );
}

#[tokio::test]
async fn what_the_warehouse_refuses_is_told_with_its_details() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let source = started(warehouse.config()).await;
    for (name, input, expected) in [
        (
            "GetItem",
            json!({"sku": "tea-8"}),
            "NOT_FOUND: there is no item 'tea-8'\n\
             - reason: NO_SUCH_ITEM (warehouse.example), sku = tea-8\n\
             - resource: item tea-8: not in stock",
        ),
        (
            "Reserve",
            json!({"sku": "tea-7", "count": 0}),
            "INVALID_ARGUMENT: nothing to reserve\n- field count: must be 1 or more",
        ),
        (
            "Reserve",
            json!({"sku": "tea-7", "count": 41}),
            "FAILED_PRECONDITION: only 40 are left\n\
             - reason: SOLD_OUT (warehouse.example)\n\
             - may be called again after 3600s",
        ),
    ] {
        assert_eq!(refused(run(&source, name, input).await), expected);
    }
}

#[tokio::test]
async fn the_warehouse_acts_once_for_a_key_and_hears_of_what_is_cancelled() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let mut config = warehouse.config();
    config.forward_metadata = vec![HeaderName::from_static("x-user-id")];
    let source = started(config).await;
    let reserve = tool(&source, "Reserve").await;
    let again = || {
        let (mut call, _progress) = call(json!({"sku": "tea-7", "count": 1}));
        call.idempotency_key = "turn-1/call-1".to_owned();
        let mut metadata = HeaderMap::new();
        metadata.insert("x-user-id", HeaderValue::from_static("u-1"));
        call.caller = Arc::new(Caller {
            metadata,
            ..Caller::default()
        });
        call
    };

    let first = told(reserve.call(again()).await);
    let second = told(reserve.call(again()).await);

    assert_eq!(first, second);
    let seen = warehouse.events("effect", 1).await;
    assert_eq!(seen[0]["key"], "turn-1/call-1");
    warehouse.events("repeat", 1).await;
    let calls = warehouse.events("call", 2).await;
    assert_eq!(calls[0]["metadata"]["x-user-id"], "u-1");
    let left = calls[0]["seconds_left"]
        .as_f64()
        .expect("it has a deadline");
    assert!((1.0..=PATIENCE.as_secs_f64()).contains(&left), "{left}");

    let (pack, _progress) = call(json!({"sku": "tea-7", "count": 1, "takes": "60s"}));
    let running = tokio::spawn(tool(&source, "Pack").await.call(pack));
    warehouse.events("call", 3).await;
    running.abort();
    let cancelled = warehouse.events("cancelled", 1).await;
    assert_eq!(cancelled[0]["method"], "Pack");

    let (mut pack, _progress) = call(json!({"sku": "tea-7", "count": 1, "takes": "60s"}));
    pack.deadline = Instant::now() + Duration::from_millis(500);
    let late = tool(&source, "Pack").await.call(pack).await;
    assert!(matches!(late, Err(Error::Unknown(_))), "{late:?}");
    warehouse.events("cancelled", 2).await;
    assert_eq!(
        warehouse.events("effect", 1).await.len(),
        1,
        "nothing was packed"
    );
}

#[tokio::test]
async fn descriptors_of_protoc_have_what_the_authors_wrote() {
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let mut config = warehouse.config();
    config.descriptor_set = Some(warehouse.descriptors.clone());
    let source = started(config).await;

    let reserve = tool(&source, "Reserve").await;

    assert_eq!(
        reserve.definition().description,
        "Keeps items back for an order, until a time. Takes them out of the stock."
    );
    let schema: Value =
        serde_json::from_str(reserve.definition().schema.as_str()).expect("a schema is JSON");
    assert_eq!(
        schema["properties"]["count"]["description"],
        "How many; 1 or more."
    );
    let item = told(
        run(
            &source,
            "GetItem",
            json!({"sku": "milk-2", "fields": "name"}),
        )
        .await,
    );
    assert_eq!(item, json!({"name": "Milk"}));
}

/// An item with every field set.
fn everything() -> Value {
    json!({
        "sku": "all-1",
        "name": "Everything",
        "count": "9007199254740993",
        "temperature": "TEMPERATURE_FROZEN",
        "priceCents": 4_294_967_295_u32,
        "weightKg": 0.0,
        "labels": {"a": "1", "": "empty"},
        "places": {"-1": {"level": 3, "tag": "18446744073709551615", "isLocked": true}},
        "pallet": {"boxes": 12},
        "checksum": "AP8Q",
        "bestBefore": "2030-01-02T03:04:05.678Z",
        "leadTime": "1.500s",
        "attributes": {"fresh": true, "sizes": [1.0, "m", null], "more": {}},
        "parts": [{"name": "lid", "parts": [{"name": "knob"}]}, {}],
        "certificate": {
            "@type": "type.googleapis.com/warehouse.v1.Parcel",
            "id": "p",
            "count": "1",
        },
        "note": "",
        "batch": "-5",
        "tolerates": ["TEMPERATURE_AMBIENT", "TEMPERATURE_CHILLED"],
    })
}

/// The service of tests/peers, while it lives.
struct Warehouse {
    endpoint: String,
    descriptors: PathBuf,
    journal: PathBuf,
    _child: Child,
    _folder: TempDir,
}

impl Warehouse {
    /// `None`, with a word on standard error, where its packages are not installed and nobody
    /// asks for a complete run.
    async fn start() -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().expect("there is room");
        let descriptors = folder.path().join("warehouse.binpb");
        let journal = folder.path().join("journal");
        let mut child = AsyncCommand::new(python)
            .arg(peers().join("warehouse.py"))
            .arg("--journal")
            .arg(&journal)
            .arg("--descriptor-set")
            .arg(&descriptors)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("python starts");
        let output = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("it listens in time").expect("it can be read");
        let line = line.expect("it says where it listens");
        let address = line.strip_prefix("listening on ").expect("it says where");
        Some(Self {
            endpoint: format!("http://{address}"),
            descriptors,
            journal,
            _child: child,
            _folder: folder,
        })
    }

    fn config(&self) -> Config {
        Config::new(&self.endpoint, ALL)
    }

    /// Waits until its journal has so many of an event.
    async fn events(&self, event: &str, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let journal = fs::read_to_string(&self.journal).expect("it is there");
            // The last line may be half written.
            let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let events = whole
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
            let found: Vec<_> = events.filter(|line| line["event"] == event).collect();
            if found.len() >= count {
                return found;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "no {count} of {event} in {journal}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// The Python that has the packages: `.ci/tools` installs them, into `$TAIWA_TOOLS` or `.tools`.
fn python() -> Option<PathBuf> {
    let tools = env::var_os("TAIWA_TOOLS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools"),
        PathBuf::from,
    );
    let python = tools.join("venv/bin/python");
    let has_packages = Command::new(&python)
        .args([
            "-c",
            "import grpc_health, grpc_reflection, grpc_status, grpc_tools",
        ])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_packages {
        return Some(python);
    }
    let missing = format!(
        "{} has not the packages of tools/tests/peers/requirements.txt; .ci/tools installs them",
        python.display()
    );
    assert!(
        env::var_os("CI").is_none_or(|ci| ci.is_empty()),
        "{missing}"
    );
    eprintln!("SKIPPED, the warehouse in Python is not tested: {missing}");
    None
}
