//! A conversation as a Markdown document: what was said stands open, what tools did is folded.

use pb::content_block::Block;
use taiwa_client::pb;

use super::{labels, time};

/// The whole conversation.
pub(super) fn document(session: &pb::Session, messages: &[pb::Message]) -> String {
    let mut text = format!("# Session {}\n\n", session.session_id);
    for (name, value) in [
        ("Agent", session.agent_id.clone()),
        ("Made", time(session.create_time.as_ref())),
        ("Updated", time(session.update_time.as_ref())),
        ("Labels", labels(session)),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("- {name}: {value}\n"));
        }
    }
    for message in messages {
        text.push_str(&format!("\n## {}\n", heading(message)));
        for block in message
            .content
            .iter()
            .filter_map(|block| block.block.as_ref())
        {
            let block = self::block(block);
            if !block.is_empty() {
                text.push_str(&format!("\n{block}\n"));
            }
        }
    }
    text
}

fn heading(message: &pb::Message) -> String {
    let brings_results =
        |block: &pb::ContentBlock| matches!(block.block, Some(Block::ToolResult(_)));
    let who = match message.role() {
        _ if message.summary => "Summary of what came before",
        pb::Role::User if message.content.iter().all(brings_results) => "Tool results",
        pb::Role::User | pb::Role::Unspecified => "User",
        pb::Role::Assistant => "Assistant",
        pb::Role::System => "System",
    };
    let when = time(message.create_time.as_ref());
    if when.is_empty() {
        return who.to_owned();
    }
    format!("{who} ({when})")
}

fn block(block: &Block) -> String {
    match block {
        Block::Text(text) => text.trim_end().to_owned(),
        Block::CitedText(cited) => cited_text(cited),
        Block::Reasoning(reasoning) if reasoning.text.is_empty() => String::new(),
        Block::Reasoning(reasoning) => folded("Reasoning", &fenced("", &reasoning.text)),
        Block::ToolCall(call) => {
            let summary = format!("Tool call: {}", call.tool_name);
            folded(&summary, &fenced("json", &call.input_json))
        }
        Block::ToolResult(result) => tool_result(result),
        Block::Image(image) => media("image", &image.media_type, image.source.as_ref()),
        Block::Video(video) => media("video", &video.media_type, video.source.as_ref()),
        Block::Audio(audio) if !audio.transcript.is_empty() => {
            format!("*[audio]* {}", audio.transcript)
        }
        Block::Audio(audio) => media("audio", &audio.media_type, audio.source.as_ref()),
        Block::Document(document) => document_block(document),
        Block::SearchResult(found) => search_result(found),
        Block::GuardContent(guarded) => guard_content(guarded),
        Block::CachePoint(_) => String::new(),
        Block::ToolAddition(tool) => format!("*[tool {} is available from here on]*", tool.name),
        Block::ToolRemoval(tool) => format!("*[tool {} is gone from here on]*", tool.name),
    }
}

fn cited_text(cited: &pb::CitedText) -> String {
    let mut text = cited.texts.concat();
    for citation in &cited.citations {
        let title = if citation.title.is_empty() {
            &citation.source
        } else {
            &citation.title
        };
        if let Some(pb::citation::Location::Web(web)) = &citation.location {
            text.push_str(&format!("\n\n> Source: [{title}]({})", web.url));
        } else if !title.is_empty() {
            text.push_str(&format!("\n\n> Source: {title}"));
        }
    }
    text
}

fn tool_result(result: &pb::ToolResult) -> String {
    use pb::tool_result_block::Block as Part;

    let mut parts = Vec::new();
    if !result.text.is_empty() {
        parts.push(fenced("", &result.text));
    }
    for part in result.content.iter().filter_map(|part| part.block.as_ref()) {
        parts.push(match part {
            Part::Text(text) => fenced("", text),
            Part::Json(json) => fenced("json", json),
            Part::Image(image) => media("image", &image.media_type, image.source.as_ref()),
            Part::Document(document) => document_block(document),
            Part::Video(video) => media("video", &video.media_type, video.source.as_ref()),
            Part::SearchResult(found) => search_result(found),
        });
    }
    let summary = if result.is_error {
        "Tool result: failed"
    } else {
        "Tool result"
    };
    folded(summary, &parts.join("\n\n"))
}

fn document_block(document: &pb::Document) -> String {
    use pb::document::Body;

    let what = format!("document {:?}", document.name);
    match &document.body {
        Some(Body::Source(source)) => media(&what, &document.media_type, Some(source)),
        Some(Body::Text(text)) => folded(&format!("A {what}"), &fenced("", text)),
        Some(Body::Chunks(chunks)) => {
            let text = chunks.texts.join("\n\n");
            folded(&format!("A {what}"), &fenced("", &text))
        }
        None => media(&what, &document.media_type, None),
    }
}

fn search_result(found: &pb::SearchResult) -> String {
    let summary = format!("Search result: {}", found.title);
    let text = fenced("", &found.texts.join("\n\n"));
    folded(&summary, &format!("{}\n\n{text}", found.source))
}

fn guard_content(guarded: &pb::GuardContent) -> String {
    use pb::guard_content::Content;

    match &guarded.content {
        Some(Content::Text(text)) => text.text.clone(),
        Some(Content::Image(image)) => media("image", &image.media_type, image.source.as_ref()),
        None => String::new(),
    }
}

/// What a document in words has for bytes: their kind, and how many or where.
fn media(what: &str, media_type: &str, source: Option<&pb::MediaSource>) -> String {
    use pb::media_source::Source;

    let place = match source.and_then(|source| source.source.as_ref()) {
        Some(Source::Data(data)) => format!("{} bytes", data.len()),
        Some(Source::S3(object)) => object.uri.clone(),
        None => String::new(),
    };
    let facts = [what, media_type, &place];
    let facts: Vec<_> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    format!("*[{}]*", facts.join(", "))
}

fn folded(summary: &str, inside: &str) -> String {
    let summary = summary.replace('&', "&amp;").replace('<', "&lt;");
    format!("<details>\n<summary>{summary}</summary>\n\n{inside}\n\n</details>")
}

/// Text as it is, in a fence that is longer than any in it.
fn fenced(language: &str, text: &str) -> String {
    let longest = text
        .split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

#[cfg(test)]
mod tests;
