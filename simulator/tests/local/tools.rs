//! Calls and JSON that fit their schemas, whatever the model makes of the question.

use std::collections::HashMap;

use aws_smithy_types::{Document, Number};
use serde_json::{Value, json};

use super::*;

fn document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(it) => Document::Bool(*it),
        Value::Number(it) => Document::Number(
            it.as_u64()
                .map_or_else(|| Number::Float(it.as_f64().unwrap()), Number::PosInt),
        ),
        Value::String(it) => Document::String(it.clone()),
        Value::Array(it) => Document::Array(it.iter().map(document).collect()),
        Value::Object(it) => {
            let members = it.iter().map(|(name, it)| (name.clone(), document(it)));
            Document::Object(members.collect::<HashMap<_, _>>())
        }
    }
}

fn json_of(document: &Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(it) => json!(it),
        Document::Number(Number::PosInt(it)) => json!(it),
        Document::Number(Number::NegInt(it)) => json!(it),
        Document::Number(Number::Float(it)) => json!(it),
        Document::String(it) => json!(it),
        Document::Array(it) => it.iter().map(json_of).collect(),
        Document::Object(it) => {
            let members = it.iter().map(|(name, it)| (name.clone(), json_of(it)));
            Value::Object(members.collect())
        }
    }
}

fn weather() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 40},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "place": {"$ref": "#/$defs/place"},
        },
        "required": ["city", "unit", "days", "place"],
        "additionalProperties": false,
        "$defs": {"place": {
            "type": "object",
            "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}$"}},
            "required": ["code"],
            "additionalProperties": false,
        }},
    })
}

fn tool(name: &str, schema: &Value) -> bedrock::Tool {
    bedrock::Tool::ToolSpec(
        bedrock::ToolSpecification::builder()
            .name(name)
            .description("Tells the weather of a city")
            .input_schema(bedrock::ToolInputSchema::Json(document(schema)))
            .build()
            .unwrap(),
    )
}

fn forced(name: &str) -> bedrock::ToolConfiguration {
    let choice = bedrock::SpecificToolChoice::builder().name(name).build();
    bedrock::ToolConfiguration::builder()
        .tools(tool("get_weather", &weather()))
        .tools(tool("get_time", &json!({"type": "object"})))
        .tool_choice(bedrock::ToolChoice::Tool(choice.unwrap()))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_forced_call_fits_its_schema_and_its_result_gets_words() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let answer = ask(
        &client,
        "Weather in Paris for 3 days?",
        inference().max_tokens(200),
    )
    .tool_config(forced("get_weather"))
    .send()
    .await
    .unwrap();
    assert_eq!(answer.stop_reason, bedrock::StopReason::ToolUse);
    let output = answer.output.unwrap();
    let output = output.as_message().unwrap();
    let [bedrock::ContentBlock::ToolUse(call)] = &output.content[..] else {
        panic!("not one call: {output:?}");
    };
    assert_eq!(call.name, "get_weather");
    let input = json_of(&call.input);
    assert!(jsonschema::is_valid(&weather(), &input), "{input}");

    let result = bedrock::ToolResultBlock::builder()
        .tool_use_id(&call.tool_use_id)
        .content(bedrock::ToolResultContentBlock::Text(
            "21 degrees, clear".to_owned(),
        ))
        .build()
        .unwrap();
    let answer = ask(
        &client,
        "Weather in Paris for 3 days?",
        inference().max_tokens(40),
    )
    .messages(output.clone())
    .messages(message(
        bedrock::ConversationRole::User,
        bedrock::ContentBlock::ToolResult(result),
    ))
    .tool_config(forced("get_weather"))
    .send()
    .await
    .unwrap();
    // What this model makes of it is not much, but it is words, not the call again.
    let output = answer.output.unwrap();
    let [bedrock::ContentBlock::Text(_)] = &output.as_message().unwrap().content[..] else {
        panic!("not words: {output:?}");
    };
}

#[tokio::test]
async fn a_forced_call_streams_its_input_in_pieces() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let request = ask_stream(&client, "Weather in Rome?", inference().max_tokens(200))
        .tool_config(forced("get_weather"));
    let mut stream = request.send().await.unwrap().stream;
    let mut pieces = Vec::new();
    let mut names = Vec::new();
    while let Some(event) = stream.recv().await.unwrap() {
        match event {
            bedrock::ConverseStreamOutput::ContentBlockStart(start) => {
                let start = start.start.unwrap();
                names.push(start.as_tool_use().unwrap().name.clone());
            }
            bedrock::ConverseStreamOutput::ContentBlockDelta(delta) => {
                pieces.push(delta.delta.unwrap().as_tool_use().unwrap().input.clone());
            }
            _ => {}
        }
    }
    assert_eq!(names, ["get_weather"]);
    assert!(pieces.len() > 5, "{pieces:?}");
    let input = serde_json::from_str(&pieces.concat()).unwrap();
    assert!(jsonschema::is_valid(&weather(), &input), "{input}");
}

#[tokio::test]
async fn a_schema_made_from_protobuf_is_kept_to() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let schema = json!({
        "type": "object",
        "properties": {
            "accountId": {"type": "string", "pattern": "^-?[0-9]{1,19}$"},
            "card": {"type": "object", "properties": {"last4": {
                "type": "string", "minLength": 4, "maxLength": 4,
            }}, "required": ["last4"], "additionalProperties": false},
            "cash": {"type": "boolean"},
            "level": {"enum": ["LEVEL_UNSPECIFIED", "LEVEL_LOW", "LEVEL_HIGH"]},
        },
        "required": ["accountId", "level"],
        "oneOf": [{"required": ["card"]}, {"required": ["cash"]}],
        "additionalProperties": false,
    });
    let choice = bedrock::SpecificToolChoice::builder().name("pay").build();
    let config = bedrock::ToolConfiguration::builder()
        .tools(tool("pay", &schema))
        .tool_choice(bedrock::ToolChoice::Tool(choice.unwrap()))
        .build()
        .unwrap();
    let prompt = "Pay from account 4711 with the card that ends in 1234.";
    let answer = ask(&client, prompt, inference().max_tokens(300))
        .tool_config(config)
        .send()
        .await
        .unwrap();
    let output = answer.output.unwrap();
    let call = output.as_message().unwrap().content[0].as_tool_use();
    let input = json_of(&call.unwrap().input);
    assert!(jsonschema::is_valid(&schema, &input), "{input}");
}

#[tokio::test]
async fn bounds_that_no_grammar_can_have_are_cut_not_refused() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let schema = json!({
        "type": "object",
        "properties": {
            "lines": {"type": "array", "minItems": 3, "maxItems": 100_000, "items": {
                "type": "string", "minLength": 5_000, "maxLength": 1_000_000,
            }},
            "code": {"type": "string", "pattern": "^(?=a)\\p{L}{3000}$"},
        },
        "required": ["lines", "code"],
    });
    let choice = bedrock::SpecificToolChoice::builder().name("log").build();
    let config = bedrock::ToolConfiguration::builder()
        .tools(tool("log", &schema))
        .tool_choice(bedrock::ToolChoice::Tool(choice.unwrap()))
        .build()
        .unwrap();
    let answer = ask(&client, "Go on.", inference().max_tokens(40))
        .tool_config(config)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.stop_reason, bedrock::StopReason::MaxTokens);
    let output = answer.output.unwrap();
    let call = output.as_message().unwrap().content[0].as_tool_use();
    assert_eq!(call.unwrap().name, "log");
}

#[tokio::test]
async fn any_tool_will_do_where_any_is_asked_for() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let any = bedrock::ToolChoice::Any(bedrock::AnyToolChoice::builder().build());
    let config = bedrock::ToolConfiguration::builder()
        .tools(tool("get_time", &json!({"type": "object"})))
        .tools(tool("get_weather", &weather()))
        .tool_choice(any)
        .build()
        .unwrap();
    let answer = ask(&client, "Good morning!", inference().max_tokens(200))
        .tool_config(config)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.stop_reason, bedrock::StopReason::ToolUse);
}

#[tokio::test]
async fn structured_output_is_json_that_fits() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "tags": {"type": "array", "items": {"enum": ["old", "young"]}, "maxItems": 2},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": false,
    });
    let definition = bedrock::JsonSchemaDefinition::builder()
        .schema(schema.to_string())
        .build()
        .unwrap();
    let format = bedrock::OutputFormat::builder()
        .r#type(bedrock::OutputFormatType::JsonSchema)
        .structure(bedrock::OutputFormatStructure::JsonSchema(definition))
        .build()
        .unwrap();
    let output = bedrock::OutputConfig::builder().text_format(format).build();
    let request = ask_stream(&client, "Bob is 42 years old.", inference().max_tokens(200));
    let streamed = read(request.output_config(output)).await;
    assert_eq!(streamed.stop_reason, Some(bedrock::StopReason::EndTurn));
    let answer: Value = serde_json::from_str(&streamed.texts.concat()).unwrap();
    assert!(jsonschema::is_valid(&schema, &answer), "{answer}");
}
