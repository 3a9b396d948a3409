//! What a tool of an MCP server gave, as a model can be sent it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use taiwa_core::{
    media::{DocumentFormat, ImageFormat, MediaSource},
    message::{Document, DocumentBody, Image},
    tool::ToolResultBlock,
};

use crate::Output;

/// Converts a result, and cuts it to `max_bytes`.
///
/// Text that is too long is cut, and says so; what cannot be cut is left out, and a text says so.
/// These notes may go beyond `max_bytes` by some hundred bytes each, and no further block follows one.
pub(super) fn output(result: CallToolResult, call_id: &str, max_bytes: usize) -> Output {
    let mut writer = Writer {
        blocks: Vec::new(),
        left: max_bytes,
        is_full: false,
        call_id,
    };
    let structured = result.structured_content;
    if let Some(value) = &structured {
        writer.json(value);
    }
    for block in result.content {
        if writer.is_full {
            break;
        }
        match block {
            ContentBlock::Text(text) => {
                if !structured
                    .as_ref()
                    .is_some_and(|value| repeats(&text.text, value))
                {
                    writer.text(text.text);
                }
            }
            ContentBlock::Image(image) => writer.image(&image.data, &image.mime_type),
            ContentBlock::Audio(audio) => {
                writer.note(&format!("audio, {}", audio.mime_type), &audio.data);
            }
            ContentBlock::Resource(resource) => writer.resource(resource.resource),
            ContentBlock::ResourceLink(link) => {
                let mut text = format!("Resource {}: {}", link.name, link.uri);
                if let Some(description) = &link.description {
                    text.push_str(&format!(" - {description}"));
                }
                if let Some(media_type) = &link.mime_type {
                    text.push_str(&format!(" ({media_type})"));
                }
                writer.text(text);
            }
            _ => writer.text("[content of a kind that is not known here]".into()),
        }
    }
    if writer.blocks.is_empty() {
        writer
            .blocks
            .push(ToolResultBlock::Text("(the tool gave no content)".into()));
    }
    Output {
        content: writer.blocks,
        is_error: result.is_error.unwrap_or_default(),
        usage: None,
    }
}

/// Whether a text says the same as the structured content: servers send both for older clients.
fn repeats(text: &str, value: &Value) -> bool {
    text.trim_start().starts_with(['{', '[', '"'])
        && serde_json::from_str::<Value>(text).is_ok_and(|text| text == *value)
}

struct Writer<'a> {
    blocks: Vec<ToolResultBlock>,
    /// Bytes that still fit.
    left: usize,
    is_full: bool,
    call_id: &'a str,
}

impl Writer<'_> {
    fn text(&mut self, mut text: String) {
        let whole = text.len();
        // Bedrock refuses blank text.
        if text.trim().is_empty() {
            return;
        }
        if whole > self.left {
            text.truncate(text.floor_char_boundary(self.left));
            let kept = text.len();
            text.push_str(&format!("\n[cut: {kept} of {whole} bytes are shown]"));
            self.is_full = true;
        }
        self.left = self.left.saturating_sub(text.len());
        self.blocks.push(ToolResultBlock::Text(text));
    }

    /// Bedrock takes objects alone as JSON.
    fn json(&mut self, value: &Value) {
        let json = value.to_string();
        if value.is_object() && json.len() <= self.left {
            self.left -= json.len();
            self.blocks.push(ToolResultBlock::Json(json));
        } else {
            self.text(json);
        }
    }

    fn image(&mut self, data: &str, media_type: &str) {
        let Some(bytes) = self.decode(data) else {
            return self.note(&format!("image, {media_type}"), data);
        };
        // A false format would have the model's provider refuse the whole conversation.
        let Some(format) = ImageFormat::from_bytes(&bytes) else {
            return self.note(
                &format!("image, {media_type}, of a format that models do not take"),
                data,
            );
        };
        self.left -= bytes.len();
        self.blocks.push(ToolResultBlock::Image(Image {
            format,
            source: Some(MediaSource::Bytes(bytes)),
            error: None,
        }));
    }

    fn resource(&mut self, resource: ResourceContents) {
        match resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                self.text(format!("Resource {uri}:\n{text}"));
            }
            ResourceContents::BlobResourceContents {
                uri,
                mime_type,
                blob,
                ..
            } => {
                let media_type = mime_type.as_deref().unwrap_or("application/octet-stream");
                if ImageFormat::from_media_type(media_type).is_some() {
                    self.image(&blob, media_type);
                } else if let Some(format) = DocumentFormat::from_media_type(media_type) {
                    self.document(&uri, format, &blob);
                } else {
                    self.note(&format!("resource {uri}, {media_type}"), &blob);
                }
            }
            _ => self.text("[a resource of a kind that is not known here]".into()),
        }
    }

    fn document(&mut self, uri: &str, format: DocumentFormat, data: &str) {
        let Some(bytes) = self.decode(data).filter(|bytes| !bytes.is_empty()) else {
            return self.note(&format!("resource {uri}, {}", format.media_type()), data);
        };
        self.text(format!("Resource {uri}, {}:", format.media_type()));
        self.left = self.left.saturating_sub(bytes.len());
        self.blocks.push(ToolResultBlock::Document(Document {
            name: self.document_name(uri),
            format: Some(format),
            body: DocumentBody::Source(MediaSource::Bytes(bytes)),
            context: None,
            citations: false,
        }));
    }

    /// A name that says nothing, as a server's own could give the model orders, and that no other
    /// document of the conversation has.
    fn document_name(&self, uri: &str) -> String {
        let place = self.blocks.len();
        let digest = Sha256::digest(format!("{}\n{place}\n{uri}", self.call_id));
        let digits: String = digest[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("resource {digits}")
    }

    /// Decodes what fits.
    fn decode(&self, data: &str) -> Option<Bytes> {
        if decoded_len(data) > self.left {
            return None;
        }
        let bytes = BASE64_STANDARD.decode(data).ok()?;
        (bytes.len() <= self.left).then(|| bytes.into())
    }

    /// Says what stands in the place of content that is not shown.
    fn note(&mut self, what: &str, data: &str) {
        let bytes = decoded_len(data);
        let mut what = what.to_owned();
        what.truncate(what.floor_char_boundary(300));
        let text = format!("[not shown: {what}, about {bytes} bytes]");
        self.left = self.left.saturating_sub(text.len());
        self.blocks.push(ToolResultBlock::Text(text));
        self.is_full = self.left == 0;
    }
}

/// About how many bytes base64 stands for.
fn decoded_len(data: &str) -> usize {
    data.trim_end_matches('=').len() / 4 * 3 + data.trim_end_matches('=').len() % 4 * 3 / 4
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn convert(result: Value, max_bytes: usize) -> Output {
        let result = serde_json::from_value(result).expect("a result of a tool");
        output(result, "call", max_bytes)
    }

    fn text(text: &str) -> ToolResultBlock {
        ToolResultBlock::Text(text.into())
    }

    const PNG: &str = "iVBORw0KGgo=";

    #[test]
    fn text_and_images_are_passed_on_and_errors_stay_errors() {
        let result = json!({"isError": true, "content": [
            {"type": "text", "text": "hello"},
            {"type": "text", "text": " \n"},
            {"type": "image", "mimeType": "image/jpeg", "data": PNG},
        ]});
        let image = Image {
            format: ImageFormat::Png,
            source: Some(MediaSource::Bytes(Bytes::from_static(b"\x89PNG\r\n\x1a\n"))),
            error: None,
        };
        let expected = Output {
            content: vec![text("hello"), ToolResultBlock::Image(image)],
            is_error: true,
            usage: None,
        };
        assert_eq!(convert(result, 1000), expected);
    }

    #[test]
    fn structured_content_is_not_said_twice() {
        let both = json!({
            "structuredContent": {"a": 1, "b": [2]},
            "content": [{"type": "text", "text": "{ \"b\": [2], \"a\": 1 }"}, {"type": "text", "text": "done"}],
        });
        let json = ToolResultBlock::Json(r#"{"a":1,"b":[2]}"#.into());
        assert_eq!(convert(both, 1000).content, [json, text("done")]);
        let list = json!({"structuredContent": [1, 2], "content": []});
        assert_eq!(convert(list, 1000).content, [text("[1,2]")]);
    }

    #[test]
    fn what_is_too_large_is_cut_or_replaced_and_says_so() {
        let long = json!({"content": [{"type": "text", "text": "äbcdef"}, {"type": "text", "text": "more"}]});
        assert_eq!(
            convert(long, 4).content,
            [text("äbc\n[cut: 4 of 7 bytes are shown]")]
        );
        let wide = json!({"content": [{"type": "text", "text": "aaä"}]});
        assert_eq!(
            convert(wide, 3).content,
            [text("aa\n[cut: 2 of 4 bytes are shown]")]
        );
        let image = json!({"content": [{"type": "image", "mimeType": "image/png", "data": PNG}]});
        assert_eq!(
            convert(image, 7).content,
            [text("[not shown: image, image/png, about 8 bytes]")]
        );
        let structured = json!({"structuredContent": {"a": "0123456789"}, "content": []});
        assert_eq!(
            convert(structured, 5).content,
            [text("{\"a\":\n[cut: 5 of 18 bytes are shown]")]
        );
    }

    #[test]
    fn what_no_model_takes_becomes_a_note() {
        let result = json!({"content": [
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "image", "mimeType": "image/png", "data": "%%"},
            {"type": "audio", "mimeType": "audio/wav", "data": "AAAA"},
            {"type": "resource", "resource": {"uri": "x:1", "mimeType": "application/zip", "blob": "AAAA"}},
        ]});
        let expected = [
            text(
                "[not shown: image, image/png, of a format that models do not take, about 3 bytes]",
            ),
            text("[not shown: image, image/png, about 1 bytes]"),
            text("[not shown: audio, audio/wav, about 3 bytes]"),
            text("[not shown: resource x:1, application/zip, about 3 bytes]"),
        ];
        assert_eq!(convert(result, 1000).content, expected);
    }

    #[test]
    fn resources_become_text_or_documents_with_names_of_their_own() {
        let result = json!({"content": [
            {"type": "resource", "resource": {"uri": "x:1", "mimeType": "text/plain", "text": "one"}},
            {"type": "resource_link", "uri": "x:2", "name": "two", "description": "second", "mimeType": "text/csv"},
            {"type": "resource", "resource": {"uri": "x:3", "mimeType": "application/pdf", "blob": "JVBERg=="}},
            {"type": "resource", "resource": {"uri": "x:3", "mimeType": "application/pdf", "blob": "JVBERg=="}},
        ]});
        let blocks = convert(result, 1000).content;
        assert_eq!(
            blocks[..2],
            [
                text("Resource x:1:\none"),
                text("Resource two: x:2 - second (text/csv)")
            ]
        );
        let mut documents = Vec::new();
        for block in &blocks {
            if let ToolResultBlock::Document(document) = block {
                documents.push(document);
            }
        }
        assert_eq!(documents.len(), 2);
        let body = DocumentBody::Source(MediaSource::Bytes(Bytes::from_static(b"%PDF")));
        assert!(documents.iter().all(|document| document.body == body));
        assert_ne!(documents[0].name, documents[1].name);
    }

    #[test]
    fn an_empty_result_says_that_it_is_empty() {
        assert_eq!(
            convert(json!({"content": []}), 1000).content,
            [text("(the tool gave no content)")]
        );
    }
}
