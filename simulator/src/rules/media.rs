//! Images and documents: how many, how large, and whether they are what they say.
//!
//! Limits: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html>

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{exception::Exception, wire::array};

const MAX_IMAGES: usize = 20;
const MAX_DOCUMENTS: usize = 5;
/// 3.75 MB as the page has it; encoded as base64 that is 5 MiB, which is what is enforced:
/// aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws#778.
const MAX_IMAGE_BASE64: usize = 5 * 1024 * 1024;
/// 4.5 MB.
const MAX_DOCUMENT_BYTES: usize = 4_718_592;

pub(super) fn check(conversation: &Value) -> Result<(), Exception> {
    let mut found = Found::default();
    for (at, message) in array(&conversation["messages"]).iter().enumerate() {
        for (block_at, block) in array(&message["content"]).iter().enumerate() {
            let path = format!("messages.{at}.content.{block_at}");
            found.block(block, &path)?;
            for (part_at, part) in array(&block["toolResult"]["content"]).iter().enumerate() {
                found.block(part, &format!("{path}.toolResult.content.{part_at}"))?;
            }
        }
    }
    found.check_counts()
}

#[derive(Debug, Default)]
struct Found {
    images: usize,
    documents: usize,
}

impl Found {
    fn block(&mut self, block: &Value, path: &str) -> Result<(), Exception> {
        if let Some(image) = block.get("image") {
            self.images += 1;
            check_image(image, path)?;
        }
        if let Some(document) = block.get("document") {
            self.documents += 1;
            check_document(document, path)?;
        }
        Ok(())
    }

    /// Words for images: cline/cline#1844. For documents only the limit is documented.
    fn check_counts(&self) -> Result<(), Exception> {
        if self.images > MAX_IMAGES {
            return Err(Exception::validation(format!(
                "The model returned the following errors: too many images and documents: \
                 {} + {} > {MAX_IMAGES}",
                self.images, self.documents
            )));
        }
        if self.documents > MAX_DOCUMENTS {
            return Err(Exception::validation(format!(
                "The model returned the following errors: too many documents: {} > {MAX_DOCUMENTS}",
                self.documents
            )));
        }
        Ok(())
    }
}

/// Words: boto/boto3#4415 (format) and the thread at [`MAX_IMAGE_BASE64`] (size).
fn check_image(image: &Value, path: &str) -> Result<(), Exception> {
    let Some(base64) = image["source"]["bytes"].as_str() else {
        return Ok(());
    };
    if base64.len() > MAX_IMAGE_BASE64 {
        return Err(Exception::validation(format!(
            "The model returned the following errors: {path}.image.source.bytes: image exceeds \
             5 MB maximum: {} bytes > {MAX_IMAGE_BASE64} bytes",
            base64.len()
        )));
    }
    let bytes = decode(base64)?;
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let fits = match image["format"].as_str() {
        Some("png") => starts(b"\x89PNG\r\n\x1a\n"),
        Some("jpeg") => starts(b"\xff\xd8\xff"),
        Some("gif") => starts(b"GIF87a") || starts(b"GIF89a"),
        Some("webp") => starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Exception::validation(
        "The model returned the following errors: The provided image does not match the \
         specified image format.",
    ))
}

/// Words: simonw/llm-bedrock#8. Underscores pass although the words leave them out, and no
/// white space but the space does: aws-samples/generative-ai-use-cases#1671.
fn check_document(document: &Value, path: &str) -> Result<(), Exception> {
    let name = document["name"].as_str().unwrap_or("");
    let plain = |it: char| it.is_ascii_alphanumeric() || " -()[]_".contains(it);
    if !name.chars().all(plain) || name.contains("  ") {
        return Err(Exception::validation(
            "The document file name can only contain alphanumeric characters, whitespace \
             characters, hyphens, parentheses, and square brackets. The name can't contain more \
             than one consecutive whitespace character. Check that the file name conforms to \
             these restrictions and retry your request.",
        ));
    }
    if let Some(base64) = document["source"]["bytes"].as_str()
        && decode(base64)?.len() > MAX_DOCUMENT_BYTES
    {
        // The words are ours.
        return Err(Exception::validation(format!(
            "The model returned the following errors: {path}.document.source.bytes: document \
             exceeds 4.5 MB maximum"
        )));
    }
    Ok(())
}

/// The words are ours.
fn decode(base64: &str) -> Result<Vec<u8>, Exception> {
    BASE64_STANDARD
        .decode(base64)
        .map_err(|_| Exception::new("SerializationException", "A blob is not valid base64."))
}
