//! What the journal tells, in the process and over HTTP.

use std::time::Instant;

use taiwa_simulator::Operation;

use super::*;

#[tokio::test]
async fn an_exchange_is_told_whole() {
    let simulator = start("[[reply]]\nname = 'greeting'\ntext = ['a', 'b']").await;
    stream(&simulator).await;
    let entry = ended(&simulator).await;
    assert_eq!(
        (entry.number, entry.operation),
        (1, Operation::ConverseStream)
    );
    assert_eq!(
        (entry.model_id.as_str(), entry.rule.as_deref()),
        (MODEL, Some("greeting"))
    );
    assert_eq!(
        (entry.status, entry.chunks_sent, entry.frames_sent),
        (Some(200), 2, 6)
    );
    assert!(entry.bytes_sent > 500);
    assert_eq!(entry.outcome, Outcome::Completed);
    assert_eq!(entry.request["messages"][0]["content"][0]["text"], "hi");
    assert!(entry.headers["user-agent"].contains("aws-sdk-rust"));
    assert!(!entry.headers.contains_key("authorization"));
    let (answered, ended) = (entry.answered_at.unwrap(), entry.ended_at.unwrap());
    assert!(entry.received_at.instant <= answered.instant && answered.instant <= ended.instant);
}

#[tokio::test]
async fn a_client_that_leaves_between_chunks_is_noticed_at_once() {
    let simulator = start("[[reply]]\ntext = ['a', 'b']\npace = { chunk_delay = '1h' }").await;
    let mut stream = open(&client(&simulator)).await.unwrap().stream;
    while !stream
        .recv()
        .await
        .unwrap()
        .unwrap()
        .is_content_block_delta()
    {}
    let left = Instant::now();
    drop(stream);
    let entry = ended(&simulator).await;
    assert_eq!(
        (entry.outcome, entry.chunks_sent),
        (Outcome::ClientClosed, 1)
    );
    let noticed = entry
        .ended_at
        .unwrap()
        .instant
        .saturating_duration_since(left);
    assert!(noticed < Duration::from_millis(250), "{noticed:?}");
}

#[tokio::test]
async fn a_client_that_leaves_without_reading_is_noticed() {
    let simulator = start("[[reply]]\ntext = ['0123456789']\nrepeat = 10_000_000").await;
    let output = open(&client(&simulator)).await.unwrap();
    // The socket's buffers fill up and the writes block.
    let mut sent = 0;
    loop {
        let entry = &simulator.journal().entries()[0];
        if entry.bytes_sent == sent && sent > 0 {
            break;
        }
        sent = entry.bytes_sent;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(simulator.journal().entries()[0].outcome, Outcome::InFlight);
    drop(output);
    assert_eq!(outcome(&simulator).await, Outcome::ClientClosed);
}

#[tokio::test]
async fn scripts_are_replaced_and_rules_choose_by_request() {
    let simulator = start("otherwise = 'fail'").await;
    assert!(open(&client(&simulator)).await.is_err());
    assert_eq!(
        outcome(&simulator).await,
        Outcome::Fault("InternalServerException".to_owned())
    );

    let script = Script::from_toml(
        "[[reply]]\nwhen = { call = 2 }\ntext = ['second call']\n\
         [[reply]]\nwhen = { prompt_contains = 'HI', operation = 'converse_stream', has_tools = false }\ntext = ['hi there']\n\
         [[reply]]\nwhen = { model_contains = 'persona', has_tool_result = false }\ntext = ['by model']",
    );
    simulator.set_script(script.unwrap());
    assert_eq!(stream(&simulator).await.texts(), ["hi there"]);
    assert_eq!(stream(&simulator).await.texts(), ["second call"]);
    let output = converse(&simulator).await;
    let text = output.output.unwrap();
    assert_eq!(
        text.as_message().unwrap().content[0].as_text().unwrap(),
        "by model"
    );
}

#[tokio::test]
async fn shutdown_ends_what_is_under_way() {
    let simulator = start("[[reply]]\nfault.silence = { after_chunk = 1 }").await;
    let mut stream = open(&client(&simulator)).await.unwrap().stream;
    stream.recv().await.unwrap();
    let journal = simulator.journal().clone();
    simulator.shutdown().await;
    assert_eq!(journal.entries()[0].outcome, Outcome::Stopped);
    let rest = async { while let Ok(Some(_)) = stream.recv().await {} };
    tokio::time::timeout(LIMIT, rest).await.unwrap();
}

#[tokio::test]
async fn old_entries_make_room() {
    let script = Script::from_toml("[[reply]]\ntext = 'x'").unwrap();
    let simulator = Simulator::start(taiwa_simulator::Config {
        script,
        journal_capacity: 2,
        ..taiwa_simulator::Config::default()
    });
    let simulator = simulator.await.unwrap();
    for _ in 0..4 {
        converse(&simulator).await;
    }
    let numbers: Vec<u64> = simulator
        .journal()
        .entries()
        .iter()
        .map(|it| it.number)
        .collect();
    assert_eq!(numbers, [3, 4]);
}
