//! Sources of both kinds in one turn.

use std::collections::BTreeMap;

use taiwa::v1 as pb;
use taiwa_e2e::{
    call::{invoke_stream, prompt},
    calls,
};
use taiwa_server::tools::Origin;

use crate::{
    mount,
    place::{Warehouse, piped, reference_server},
    world,
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "sku \"tea-7\", message \"hello\"" }
habit = "parallel"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn tools_of_mcp_and_of_grpc_run_side_by_side() {
    let Some(script) = reference_server("server-everything") else {
        return;
    };
    let Some(warehouse) = Warehouse::start().await else {
        return;
    };
    let stock = Origin::Grpc(warehouse.config("warehouse.v1.Warehouse/GetItem"));
    let mounts = vec![
        mount(stock, "stock_"),
        mount(Origin::Mcp(piped(&script, "stdio")), "all_"),
    ];
    let world = world(SCENARIO, mounts).await;
    let mut request = prompt("sku \"tea-7\", message \"hello\"");
    request.options = Some(pb::TurnOptions {
        allowed_tools: vec!["stock_GetItem".to_owned(), "all_echo".to_owned()],
        ..pb::TurnOptions::default()
    });
    let streamed = invoke_stream(&mut world.client().await, request).await;
    assert_eq!(streamed.result().status(), pb::TurnStatus::Completed);
    let told: BTreeMap<_, _> = calls::told(&streamed.events)
        .into_iter()
        .map(|told| (told.call.tool_name.clone(), told))
        .collect();
    crate::check_ends(&told, &[]);
    let names: Vec<_> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["all_echo", "stock_GetItem"]);
    assert!(told["all_echo"].words().contains("Echo: hello"));
    assert!(told["stock_GetItem"].words().contains("Green tea"));
    // Both results go to the model in one message.
    let requests = world.simulator.journal().entries();
    let last = requests.last().expect("a request").request.to_string();
    for text in ["Echo: hello", "Green tea"] {
        assert!(last.contains(text), "{last}");
    }
    world.server.stop().await;
}
