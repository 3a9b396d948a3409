//! What a stranger can find out: health, reflection, agents, counts.

use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use taiwa::v1 as pb;
use taiwa_e2e::{
    Settings, World, agent,
    call::{self, PATIENCE, prompt},
    told::Told,
};
use taiwa_simulator::Operation;
use tokio::time::timeout;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::views::asked;

#[tokio::test]
async fn health_is_told_for_each_service_at_once_and_as_it_changes() {
    let world = World::persona().await;
    let mut health = HealthClient::new(world.channel().await);
    let of = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    for service in ["", "taiwa.v1.AgentService"] {
        let answer = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let unknown = health.check(of("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);

    let mut watch = health
        .watch(of("taiwa.v1.AgentService"))
        .await
        .unwrap()
        .into_inner();
    let first = timeout(PATIENCE, watch.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let stopping = tokio::spawn(world.server.stop());
    let second = timeout(PATIENCE, watch.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
    drop(watch);
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}

/// The versions of the reflection service.
#[derive(Clone, Copy, Debug)]
enum Version {
    V1,
    V1Alpha,
}

#[derive(Debug)]
enum Question {
    Services,
    Symbol(String),
    File(String),
}

#[derive(Debug)]
enum Answer {
    Services(Vec<String>),
    Files(Vec<Vec<u8>>),
}

/// Asks the generated client of one version, whose types differ by their names alone.
macro_rules! ask {
    ($version:ident, $world:expr, $question:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let question = match $question {
            Question::Services => MessageRequest::ListServices(String::new()),
            Question::Symbol(symbol) => MessageRequest::FileContainingSymbol(symbol),
            Question::File(name) => MessageRequest::FileByFilename(name),
        };
        let request = ServerReflectionRequest {
            message_request: Some(question),
            ..ServerReflectionRequest::default()
        };
        let mut client = ServerReflectionClient::new($world.channel().await);
        let answer = client
            .server_reflection_info(tokio_stream::once(request))
            .await;
        let mut answer = answer.unwrap().into_inner();
        let answer = timeout(PATIENCE, answer.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        match answer.message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                Answer::Services(list.service.into_iter().map(|it| it.name).collect())
            }
            MessageResponse::FileDescriptorResponse(files) => {
                Answer::Files(files.file_descriptor_proto)
            }
            other => panic!("{other:?}"),
        }
    }};
}

async fn ask(world: &World, version: Version, question: Question) -> Answer {
    match version {
        Version::V1 => ask!(v1, world, question),
        Version::V1Alpha => ask!(v1alpha, world, question),
    }
}

fn add(answer: Answer, set: &mut FileDescriptorSet, wanted: &mut Vec<String>) {
    let Answer::Files(files) = answer else {
        panic!("{answer:?}");
    };
    for bytes in files {
        let file: FileDescriptorProto = prost::Message::decode(&bytes[..]).unwrap();
        wanted.extend(file.dependency.clone());
        if set.file.iter().all(|known| known.name() != file.name()) {
            set.file.push(file);
        }
    }
}

fn check_pool(pool: &DescriptorPool) {
    let service = pool.get_service_by_name("taiwa.v1.AgentService").unwrap();
    let methods: Vec<String> = service.methods().map(|it| it.name().to_owned()).collect();
    let served = [
        "Invoke",
        "InvokeStream",
        "Converse",
        "ResumeStream",
        "GetTurn",
        "CancelTurn",
        "CountTokens",
        "ListAgents",
        "GetAgent",
    ];
    assert_eq!(methods, served);
    for method in service.methods() {
        assert!(method.input().fields().len() > 0, "{method:?}");
    }
}

#[tokio::test]
async fn reflection_lists_the_service_and_resolves_every_message() {
    let world = World::persona().await;
    for version in [Version::V1, Version::V1Alpha] {
        let Answer::Services(services) = ask(&world, version, Question::Services).await else {
            panic!("{version:?} lists no services");
        };
        for service in ["taiwa.v1.AgentService", "grpc.health.v1.Health"] {
            assert!(
                services.iter().any(|it| it == service),
                "{version:?}: {services:?}"
            );
        }
        let (mut set, mut wanted) = (FileDescriptorSet::default(), Vec::new());
        let symbol = Question::Symbol("taiwa.v1.AgentService".to_owned());
        add(ask(&world, version, symbol).await, &mut set, &mut wanted);
        while let Some(name) = wanted.pop() {
            if set.file.iter().all(|file| file.name() != name) {
                let file = ask(&world, version, Question::File(name)).await;
                add(file, &mut set, &mut wanted);
            }
        }
        let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
        check_pool(&pool);
        let messages = pool.all_messages();
        for message in messages.filter(|it| it.package_name() == "taiwa.v1") {
            ask(
                &world,
                version,
                Question::Symbol(message.full_name().to_owned()),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn agents_are_listed_by_pages() {
    let names = ["zoe", "ada", "max"];
    let settings = Settings {
        more_agents: names.map(agent).to_vec(),
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    let mut client = world.client().await;
    for page_size in [1, 2, 3, 4, 5, 0, 1_000] {
        let (mut ids, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListAgentsRequest {
                page_size,
                page_token,
            };
            let page = client.list_agents(request).await.unwrap().into_inner();
            if page_size > 0 {
                assert!(page.agents.len() <= page_size as usize);
            }
            assert!(
                !page.agents.is_empty(),
                "a page by {page_size} holds something"
            );
            for agent in page.agents {
                assert_eq!(agent.is_default, agent.agent_id == "assistant");
                assert!(agent.capabilities.unwrap().client_tools);
                assert_eq!(agent.model_id, taiwa_e2e::MODEL);
                ids.push(agent.agent_id);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(ids, ["ada", "assistant", "max", "zoe"], "by {page_size}");
    }
    for (field, page_size, page_token) in [("page_size", -1, ""), ("page_token", 0, "nonsense")] {
        let request = pb::ListAgentsRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        let status = client.list_agents(request).await.unwrap_err();
        assert_eq!(Told::of(&status).fields, [field]);
    }
    for (agent_id, expected) in [("zoe", "zoe"), ("", "assistant")] {
        let request = pb::GetAgentRequest {
            agent_id: agent_id.to_owned(),
        };
        let agent = client
            .get_agent(request)
            .await
            .unwrap()
            .into_inner()
            .agent
            .unwrap();
        assert_eq!(agent.agent_id, expected);
    }
}

#[tokio::test]
async fn a_count_is_the_providers_and_includes_the_session() {
    let world = World::start(
        r#"
        [[reply]]
        when = { prompt_is = "fixed" }
        input_tokens = 4711
        "#,
    )
    .await;
    let mut client = world.client().await;
    let fixed = pb::CountTokensRequest {
        prompt: "fixed".to_owned(),
        ..pb::CountTokensRequest::default()
    };
    let count = client.count_tokens(fixed).await.unwrap().into_inner();
    assert_eq!(
        (count.input_tokens, count.model_id.as_str()),
        (4711, taiwa_e2e::MODEL)
    );

    let first = call::invoke(&mut client, prompt("Tell me of the tides."))
        .await
        .unwrap();
    let session_id = first.result.unwrap().session_id;
    let more = "And of the moon?";
    let question = pb::CountTokensRequest {
        prompt: more.to_owned(),
        session_id: session_id.clone(),
        ..pb::CountTokensRequest::default()
    };
    let count = client.count_tokens(question).await.unwrap().into_inner();
    let alone = pb::CountTokensRequest {
        prompt: more.to_owned(),
        ..pb::CountTokensRequest::default()
    };
    let alone = client.count_tokens(alone).await.unwrap().into_inner();
    assert!(
        count.input_tokens > alone.input_tokens,
        "the history counts too"
    );

    let next = pb::InvokeRequest {
        session_id,
        ..prompt(more)
    };
    let result = call::invoke(&mut client, next)
        .await
        .unwrap()
        .result
        .unwrap();
    assert_eq!(count.input_tokens, result.usage.unwrap().input_tokens);
    let asked = &asked(&world)[1].request["messages"];
    let entries = world.simulator.journal().entries();
    let mut counted = entries
        .iter()
        .filter(|it| it.operation == Operation::CountTokens);
    let counted = &counted.nth(1).unwrap().request["input"]["converse"]["messages"];
    assert_eq!(asked, counted, "what is counted is what is asked");
}

#[tokio::test]
async fn a_count_that_fails_tells_the_providers_reason() {
    let world = World::start(
        "[[reply]]\nwhen = { operation = \"count_tokens\" }\n\
         fault.exception = { type = \"ThrottlingException\" }\n",
    )
    .await;
    let mut client = world.client().await;
    let request = pb::CountTokensRequest {
        prompt: "hi".to_owned(),
        ..pb::CountTokensRequest::default()
    };
    let told = Told::of(&client.count_tokens(request).await.unwrap_err());
    assert_eq!(told.reason, pb::ErrorReason::ModelThrottled);
    assert!(told.retry_delay.is_some());
}
