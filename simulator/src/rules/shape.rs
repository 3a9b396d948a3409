//! The members of Converse, ConverseStream and CountTokens requests, with the bounds that
//! the service model `bedrock-runtime/2023-09-30` gives them.

use serde_json::Value;

use super::constraint::{Checker, Text, item, join, optional};

const IMAGE_FORMATS: [&str; 4] = ["png", "jpeg", "gif", "webp"];
const DOCUMENT_FORMATS: [&str; 9] = [
    "pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md",
];
const VIDEO_FORMATS: [&str; 9] = [
    "mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp",
];
const AUDIO_FORMATS: [&str; 15] = [
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg",
    "mpga", "pcm", "webm",
];
const CONTENT_BLOCKS: [&str; 14] = [
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
    "toolAddition",
    "toolRemoval",
];
const TOOL_NAME: Text = Text {
    min: 1,
    max: 64,
    pattern: Some(("[a-zA-Z0-9_-]+", |it| {
        it.is_ascii_alphanumeric() || "_-".contains(it)
    })),
};
const TOOL_USE_ID: Text = Text {
    min: 1,
    max: 64,
    pattern: Some(("[a-zA-Z0-9_.:-]+", |it| {
        it.is_ascii_alphanumeric() || "_.:-".contains(it)
    })),
};

pub(super) fn check_converse(body: &Value, checker: &mut Checker) {
    check_conversation(body, "", checker);
    if let Some(config) = optional(body, "inferenceConfig") {
        check_inference(config, checker);
    }
    if let Some(paths) = optional(body, "additionalModelResponseFieldPaths") {
        let path = "additionalModelResponseFieldPaths";
        let paths = checker.list(paths);
        checker.length(paths, path, 0, 10);
        for (at, text) in paths.iter().enumerate() {
            checker.text(
                text,
                &item(path, at),
                Text {
                    min: 1,
                    max: 256,
                    pattern: None,
                },
            );
        }
    }
    if let Some(config) = optional(body, "performanceConfig")
        && let Some(latency) = optional(config, "latency")
    {
        checker.one_of(
            latency,
            "performanceConfig.latency",
            &["standard", "optimized"],
        );
    }
    if let Some(tier) = optional(body, "serviceTier")
        && let Some(kind) = checker.required(tier, "type", "serviceTier")
    {
        checker.one_of(
            kind,
            "serviceTier.type",
            &["priority", "default", "flex", "reserved"],
        );
    }
    if let Some(config) = optional(body, "guardrailConfig") {
        check_guardrail(config, checker);
    }
    if let Some(metadata) = optional(body, "requestMetadata").and_then(Value::as_object) {
        let entries: Vec<Value> = metadata.keys().cloned().map(Value::String).collect();
        checker.length(&entries, "requestMetadata", 1, 16);
    }
    if let Some(config) = optional(body, "outputConfig") {
        check_output(config, checker);
    }
}

pub(super) fn check_count_tokens(body: &Value, checker: &mut Checker) {
    let Some(input) = checker.required(body, "input", "") else {
        return;
    };
    match checker.union(input, "input", &["converse", "invokeModel"]) {
        Some(("converse", conversation)) => {
            check_conversation(conversation, "input.converse", checker);
        }
        Some((_, invoke)) => {
            if let Some(bytes) = checker.required(invoke, "body", "input.invokeModel") {
                checker.text(bytes, "input.invokeModel.body", Text::ANY);
            }
        }
        None => {}
    }
}

fn check_conversation(body: &Value, path: &str, checker: &mut Checker) {
    if let Some(messages) = optional(body, "messages") {
        let path = join(path, "messages");
        for (at, message) in checker.list(messages).iter().enumerate() {
            check_message(message, &item(&path, at), checker);
        }
    }
    if let Some(system) = optional(body, "system") {
        let path = join(path, "system");
        for (at, block) in checker.list(system).iter().enumerate() {
            let path = item(&path, at);
            let known = ["text", "guardContent", "cachePoint"];
            match checker.union(block, &path, &known) {
                Some(("text", text)) => checker.text(text, &join(&path, "text"), Text::NOT_EMPTY),
                Some(("cachePoint", point)) => check_cache_point(point, &path, checker),
                _ => {}
            }
        }
    }
    if let Some(config) = optional(body, "toolConfig") {
        check_tools(config, &join(path, "toolConfig"), checker);
    }
}

fn check_message(message: &Value, path: &str, checker: &mut Checker) {
    if !checker.object(message) {
        return;
    }
    if let Some(role) = checker.required(message, "role", path) {
        checker.one_of(role, &join(path, "role"), &["user", "assistant", "system"]);
    }
    let Some(content) = checker.required(message, "content", path) else {
        return;
    };
    let path = join(path, "content");
    for (at, block) in checker.list(content).iter().enumerate() {
        check_block(block, &item(&path, at), checker);
    }
}

fn check_block(block: &Value, path: &str, checker: &mut Checker) {
    let Some((name, value)) = checker.union(block, path, &CONTENT_BLOCKS) else {
        return;
    };
    let path = &join(path, name);
    match name {
        "text" => checker.text(value, path, Text::ANY),
        "image" => check_medium(value, path, &IMAGE_FORMATS, checker),
        "video" => check_medium(value, path, &VIDEO_FORMATS, checker),
        "audio" => check_medium(value, path, &AUDIO_FORMATS, checker),
        "document" => check_document(value, path, checker),
        "toolUse" => {
            check_text_member(value, "toolUseId", path, TOOL_USE_ID, checker);
            check_text_member(value, "name", path, TOOL_NAME, checker);
            checker.required(value, "input", path);
        }
        "toolResult" => check_tool_result(value, path, checker),
        "cachePoint" => check_cache_point(value, path, checker),
        "reasoningContent" => check_reasoning(value, path, checker),
        _ => {
            checker.object(value);
        }
    }
}

fn check_medium(value: &Value, path: &str, formats: &[&str], checker: &mut Checker) {
    if !checker.object(value) {
        return;
    }
    if let Some(format) = checker.required(value, "format", path) {
        checker.one_of(format, &join(path, "format"), formats);
    }
    if let Some(source) = checker.required(value, "source", path) {
        check_source(
            source,
            &join(path, "source"),
            &["bytes", "s3Location"],
            checker,
        );
    }
}

fn check_source(source: &Value, path: &str, known: &[&'static str], checker: &mut Checker) {
    match checker.union(source, path, known) {
        Some(("bytes", bytes)) => checker.text(bytes, &join(path, "bytes"), Text::NOT_EMPTY),
        Some(("s3Location", location)) => {
            let path = join(path, "s3Location");
            let uri = Text {
                min: 1,
                max: 1024,
                pattern: None,
            };
            check_text_member(location, "uri", &path, uri, checker);
        }
        _ => {}
    }
}

fn check_document(value: &Value, path: &str, checker: &mut Checker) {
    if !checker.object(value) {
        return;
    }
    if let Some(format) = optional(value, "format") {
        checker.one_of(format, &join(path, "format"), &DOCUMENT_FORMATS);
    }
    check_text_member(
        value,
        "name",
        path,
        Text {
            min: 1,
            max: 200,
            pattern: None,
        },
        checker,
    );
    if let Some(source) = checker.required(value, "source", path) {
        let known = ["bytes", "s3Location", "text", "content"];
        check_source(source, &join(path, "source"), &known, checker);
    }
}

fn check_tool_result(value: &Value, path: &str, checker: &mut Checker) {
    if !checker.object(value) {
        return;
    }
    check_text_member(value, "toolUseId", path, TOOL_USE_ID, checker);
    if let Some(status) = optional(value, "status") {
        checker.one_of(status, &join(path, "status"), &["success", "error"]);
    }
    let Some(content) = checker.required(value, "content", path) else {
        return;
    };
    let path = join(path, "content");
    let known = ["json", "text", "image", "document", "video", "searchResult"];
    for (at, block) in checker.list(content).iter().enumerate() {
        let path = item(&path, at);
        match checker.union(block, &path, &known) {
            Some(("text", text)) => checker.text(text, &join(&path, "text"), Text::ANY),
            Some(("image", image)) => {
                check_medium(image, &join(&path, "image"), &IMAGE_FORMATS, checker);
            }
            Some(("document", it)) => check_document(it, &join(&path, "document"), checker),
            Some(("video", video)) => {
                check_medium(video, &join(&path, "video"), &VIDEO_FORMATS, checker);
            }
            _ => {}
        }
    }
}

fn check_reasoning(value: &Value, path: &str, checker: &mut Checker) {
    let known = ["reasoningText", "redactedContent"];
    if let Some(("reasoningText", text)) = checker.union(value, path, &known) {
        check_text_member(
            text,
            "text",
            &join(path, "reasoningText"),
            Text::ANY,
            checker,
        );
    }
}

fn check_cache_point(value: &Value, path: &str, checker: &mut Checker) {
    if let Some(kind) = checker.required(value, "type", path) {
        checker.one_of(kind, &join(path, "type"), &["default"]);
    }
    if let Some(ttl) = optional(value, "ttl") {
        checker.one_of(ttl, &join(path, "ttl"), &["5m", "1h"]);
    }
}

fn check_tools(config: &Value, path: &str, checker: &mut Checker) {
    if !checker.object(config) {
        return;
    }
    if let Some(tools) = checker.required(config, "tools", path) {
        let path = join(path, "tools");
        let tools = checker.list(tools);
        checker.length(tools, &path, 1, usize::MAX);
        for (at, tool) in tools.iter().enumerate() {
            let path = item(&path, at);
            match checker.union(tool, &path, &["toolSpec", "systemTool", "cachePoint"]) {
                Some(("toolSpec", spec)) => check_tool(spec, &join(&path, "toolSpec"), checker),
                Some(("systemTool", tool)) => {
                    check_text_member(tool, "name", &join(&path, "systemTool"), TOOL_NAME, checker);
                }
                Some((_, point)) => check_cache_point(point, &join(&path, "cachePoint"), checker),
                None => {}
            }
        }
    }
    if let Some(choice) = optional(config, "toolChoice") {
        let path = join(path, "toolChoice");
        if let Some(("tool", tool)) = checker.union(choice, &path, &["auto", "any", "tool"]) {
            check_text_member(tool, "name", &join(&path, "tool"), TOOL_NAME, checker);
        }
    }
}

fn check_tool(spec: &Value, path: &str, checker: &mut Checker) {
    if !checker.object(spec) {
        return;
    }
    check_text_member(spec, "name", path, TOOL_NAME, checker);
    if let Some(description) = optional(spec, "description") {
        checker.text(description, &join(path, "description"), Text::NOT_EMPTY);
    }
    if let Some(strict) = optional(spec, "strict") {
        checker.boolean(strict);
    }
    if let Some(schema) = checker.required(spec, "inputSchema", path) {
        checker.union(schema, &join(path, "inputSchema"), &["json"]);
    }
}

fn check_inference(config: &Value, checker: &mut Checker) {
    if !checker.object(config) {
        return;
    }
    let path = |name: &str| join("inferenceConfig", name);
    if let Some(tokens) = optional(config, "maxTokens") {
        checker.integer(tokens, &path("maxTokens"), 1.0, f64::from(i32::MAX));
    }
    for name in ["temperature", "topP"] {
        if let Some(number) = optional(config, name) {
            checker.number(number, &path(name), 0.0, 1.0);
        }
    }
    if let Some(sequences) = optional(config, "stopSequences") {
        let path = path("stopSequences");
        let sequences = checker.list(sequences);
        checker.length(sequences, &path, 0, 2500);
        for (at, sequence) in sequences.iter().enumerate() {
            checker.text(sequence, &item(&path, at), Text::NOT_EMPTY);
        }
    }
}

fn check_guardrail(config: &Value, checker: &mut Checker) {
    if !checker.object(config) {
        return;
    }
    if let Some(trace) = optional(config, "trace") {
        let known = ["enabled", "disabled", "enabled_full"];
        checker.one_of(trace, "guardrailConfig.trace", &known);
    }
    if let Some(mode) = optional(config, "streamProcessingMode") {
        checker.one_of(
            mode,
            "guardrailConfig.streamProcessingMode",
            &["sync", "async"],
        );
    }
    if let Some(version) = optional(config, "guardrailVersion") {
        let path = "guardrailConfig.guardrailVersion";
        checker.text(version, path, Text::ANY);
        let text = version.as_str().unwrap_or("");
        let numbered =
            text.len() <= 8 && !text.starts_with('0') && text.bytes().all(|it| it.is_ascii_digit());
        if !numbered && text != "DRAFT" {
            let constraint = "Member must satisfy regular expression pattern: \
                              (|([1-9][0-9]{0,7})|(DRAFT))";
            checker.violation(Some(text), path, constraint);
        }
    }
}

fn check_output(config: &Value, checker: &mut Checker) {
    if !checker.object(config) {
        return;
    }
    if let Some(effort) = optional(config, "effort") {
        let rule = Text {
            min: 0,
            max: 16,
            pattern: None,
        };
        checker.text(effort, "outputConfig.effort", rule);
    }
    if let Some(format) = optional(config, "textFormat") {
        let path = "outputConfig.textFormat";
        if let Some(kind) = checker.required(format, "type", path) {
            checker.one_of(kind, &join(path, "type"), &["json_schema"]);
        }
        if let Some(structure) = checker.required(format, "structure", path) {
            let path = join(path, "structure");
            if let Some((_, schema)) = checker.union(structure, &path, &["jsonSchema"]) {
                let path = join(&path, "jsonSchema");
                check_text_member(schema, "schema", &path, Text::ANY, checker);
            }
        }
    }
}

fn check_text_member(value: &Value, name: &str, path: &str, rule: Text, checker: &mut Checker) {
    if let Some(member) = checker.required(value, name, path) {
        checker.text(member, &join(path, name), rule);
    }
}
