//! The same request by each of the three calls, and what their answers must have in common.

use taiwa::v1::{
    self as pb, content_block::Block, converse_request::Frame, event::Payload,
    media_source::Source, reasoning_delta::Delta,
};
use taiwa_e2e::{
    Client, World,
    call::{self, Conversation, Streamed},
    told::Told,
};
use taiwa_simulator::{Entry, Operation};
use tonic::Status;

/// What each of the calls gave, each in a session of its own.
#[derive(Debug)]
pub(crate) struct Views {
    /// By `Invoke`.
    pub(crate) invoke: Result<pb::InvokeResponse, Status>,
    /// By `InvokeStream`.
    pub(crate) stream: Streamed,
    /// By `Converse`, with the content of the request as its only input.
    pub(crate) converse: Streamed,
}

impl Views {
    /// Runs the request by each of the three.
    pub(crate) async fn of(world: &World, request: &pb::InvokeRequest) -> Self {
        let mut client = world.client().await;
        let invoke = call::invoke(&mut client, request.clone()).await;
        let stream = call::invoke_stream(&mut client, request.clone()).await;
        let mut conversation = open(&mut client, request).await;
        let mut converse = conversation.turn().await;
        let rest = conversation.finish().await;
        assert_eq!(rest.events, [], "nothing follows the turn");
        converse.end = rest.end;
        Self {
            invoke,
            stream,
            converse,
        }
    }

    /// The result of a turn that succeeded, once it is known to be the same by all three.
    pub(crate) fn agreed(&self) -> pb::TurnResult {
        let invoke = self.invoke.as_ref().expect("Invoke succeeds");
        self.stream.end.as_ref().expect("InvokeStream succeeds");
        self.converse.end.as_ref().expect("Converse ends well");
        let result = invoke.result.as_ref().expect("there is a result");
        assert_eq!(invoke.text, text(result));
        let result = comparable(result);
        for streamed in [&self.stream, &self.converse] {
            assert_eq!(comparable(streamed.result()), result);
            check_form(streamed);
        }
        result
    }

    /// The failure of a turn, once it is known to be told alike by all three, and its result.
    pub(crate) fn agreed_failure(&self) -> (Told, pb::TurnResult) {
        let status = self.invoke.as_ref().expect_err("Invoke fails");
        let told = Told::of(status).without_ids();
        let result = comparable(self.stream.result());
        let status = self.stream.end.as_ref().expect_err("InvokeStream fails");
        assert_eq!(Told::of(status).without_ids(), told);
        self.converse.end.as_ref().expect("Converse goes on");
        assert_eq!(comparable(self.converse.result()), result);
        let error = result.error.as_ref().expect("turn_ended tells the error");
        assert_eq!(Told::of_turn(error).without_ids(), told);
        check_form(&self.stream);
        check_form(&self.converse);
        (told, result)
    }
}

/// Opens a conversation whose first turn is the request.
async fn open(client: &mut Client, request: &pb::InvokeRequest) -> Conversation {
    let conversation = Conversation::open(client).await;
    conversation
        .send(Frame::Setup(pb::SessionSetup {
            agent_id: request.agent_id.clone(),
            messages: request.messages.clone(),
            options: request.options.clone(),
            ..pb::SessionSetup::default()
        }))
        .await;
    if request.content.is_empty() {
        conversation.say(&request.prompt).await;
        return conversation;
    }
    let prompt = Some(request.prompt.clone()).filter(|prompt| !prompt.is_empty());
    let prompt = prompt.map(|text| pb::ContentBlock {
        block: Some(Block::Text(text)),
    });
    let content = prompt.into_iter().chain(request.content.clone());
    let input = pb::UserInput {
        content: content.collect(),
        ..pb::UserInput::default()
    };
    conversation.send(Frame::Input(input)).await;
    conversation
}

/// A result without what differs from call to call: ids and times.
pub(crate) fn comparable(result: &pb::TurnResult) -> pb::TurnResult {
    let mut result = result.clone();
    result.turn_id.clear();
    result.session_id.clear();
    result.last_sequence = 0;
    result.metrics = None;
    for message in result
        .message
        .iter_mut()
        .chain(&mut result.intermediate_messages)
    {
        message.message_id.clear();
        message.turn_id.clear();
        message.create_time = None;
        for block in &mut message.content {
            if let Some(Block::ToolCall(call)) = &mut block.block {
                call.idempotency_key.clear();
            }
        }
    }
    if let Some(error) = &mut result.error {
        for id in ["session_id", "turn_id", "request_id"] {
            error.metadata.remove(id);
        }
    }
    for call in &mut result.pending_tool_calls {
        call.expire_time = None;
        call.idempotency_key.clear();
    }
    result
}

/// Checks what holds for the events of any one turn that begins its session.
pub(crate) fn check_form(streamed: &Streamed) {
    let mut events = streamed.events.as_slice();
    if let Some((first, rest)) = events.split_first()
        && let Some(Payload::SessionReady(ready)) = &first.payload
    {
        assert_eq!(first.sequence, 0, "what is not of the log has no number");
        assert_eq!(ready.last_sequence, 0);
        events = rest;
    }
    let result = streamed.result();
    for (event, number) in events.iter().zip(1..) {
        assert_eq!(event.sequence, number, "{events:#?}");
        assert!(event.event_time.is_some());
        assert_eq!(event.turn_id, result.turn_id, "{event:#?}");
    }
    assert_eq!(result.last_sequence, events.len() as i64);
    assert!(matches!(
        events[0].payload,
        Some(Payload::TurnStarted(ref started)) if started.session_id == result.session_id
    ));
    let mut open_block = None;
    for event in events {
        let place = (event.step_index, event.block_index);
        match event.payload.as_ref().expect("an event says something") {
            Payload::BlockStarted(_) => assert_eq!(open_block.replace(place), None),
            Payload::BlockCompleted(_) => assert_eq!(open_block.take(), Some(place)),
            _ if piece(event).is_some() => assert_eq!(open_block, Some(place), "{event:#?}"),
            _ => {}
        }
    }
}

/// The model calls that the simulator saw, in order.
pub(crate) fn asked(world: &World) -> Vec<Entry> {
    let entries = world.simulator.journal().entries().into_iter();
    entries
        .filter(|entry| entry.operation == Operation::ConverseStream)
        .collect()
}

/// The text of a result's message.
pub(crate) fn text(result: &pb::TurnResult) -> String {
    let blocks = result.message.iter().flat_map(|message| &message.content);
    blocks
        .map(|block| match &block.block {
            Some(Block::Text(text)) => text.clone(),
            Some(Block::CitedText(cited)) => cited.texts.concat(),
            _ => String::new(),
        })
        .collect()
}

/// The pieces of output in a stream, in short.
pub(crate) fn pieces(streamed: &Streamed) -> Vec<String> {
    streamed.events.iter().filter_map(piece).collect()
}

fn piece(event: &pb::Event) -> Option<String> {
    Some(match event.payload.as_ref()? {
        Payload::TextDelta(delta) => format!("text:{}", delta.text),
        Payload::ReasoningDelta(delta) => match delta.delta.as_ref()? {
            Delta::Text(text) => format!("reasoning:{text}"),
            Delta::Signature(signature) => format!("signature:{signature}"),
            Delta::Redacted(bytes) => format!("redacted:{:?}", bytes.to_vec()),
        },
        Payload::ToolCallDelta(delta) => {
            let id = &delta.tool_call_id;
            if !delta.result_text.is_empty() {
                format!("result:{id} {}", delta.result_text)
            } else if !delta.result_json.is_empty() {
                format!("result-json:{id} {}", delta.result_json)
            } else {
                format!("call:{id} {}", delta.input_json)
            }
        }
        Payload::CitationDelta(delta) => {
            let citation = delta.citation.as_ref()?;
            let (title, source) = (&citation.title, &citation.source);
            format!("citation:{title} by {source} {:?}", citation.quotes)
        }
        Payload::ImageDelta(delta) => {
            let uri = delta.s3.as_ref().map_or("", |object| &object.uri);
            format!("image:{:?} {uri} {}", delta.data.to_vec(), delta.error)
        }
        _ => return None,
    })
}

/// The blocks of a result's message, in short.
pub(crate) fn blocks(result: &pb::TurnResult) -> Vec<String> {
    let blocks = result.message.iter().flat_map(|message| &message.content);
    blocks.map(block).collect()
}

fn block(block: &pb::ContentBlock) -> String {
    match block.block.as_ref().expect("a block is something") {
        Block::Text(text) => format!("text:{text}"),
        Block::Reasoning(pb::Reasoning {
            text,
            signature,
            redacted,
        }) => {
            let redacted = redacted.to_vec();
            format!("reasoning:{text} signed {signature}, redacted {redacted:?}")
        }
        Block::CitedText(cited) => {
            let titles: Vec<_> = cited.citations.iter().map(|it| it.title.as_str()).collect();
            format!("cited:{:?} {}", cited.texts, titles.join("+"))
        }
        Block::ToolCall(call) => {
            let (id, name) = (&call.tool_call_id, &call.tool_name);
            format!("call:{id} {name} {} {:?}", call.input_json, call.executor())
        }
        Block::ToolResult(result) => {
            let (id, kind) = (&result.tool_call_id, &result.r#type);
            format!(
                "result:{id} {kind} {} {}",
                result.is_error,
                result_text(result)
            )
        }
        Block::Image(image) => {
            let source = image.source.as_ref().and_then(|it| it.source.as_ref());
            let (data, uri) = match source {
                Some(Source::Data(data)) => (data.as_ref(), ""),
                Some(Source::S3(object)) => (&[][..], object.uri.as_str()),
                None => (&[][..], ""),
            };
            format!("image:{} {data:?} {uri} {}", image.media_type, image.error)
        }
        other => format!("{other:?}"),
    }
}

fn result_text(result: &pb::ToolResult) -> String {
    let parts = result.content.iter().map(|part| match &part.block {
        Some(
            pb::tool_result_block::Block::Text(text) | pb::tool_result_block::Block::Json(text),
        ) => text.clone(),
        other => format!("{other:?}"),
    });
    parts.collect::<Vec<_>>().join("+")
}
