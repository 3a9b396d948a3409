//! Images, documents, videos and audio of a request.

use taiwa::v1 as pb;
use taiwa_core::{
    media::{AudioFormat, DocumentFormat, ImageFormat, MediaSource, S3Object, VideoFormat},
    message::{Audio, Document, DocumentBody, Image, Video},
};

use crate::grpc::convert::violations::Violations;

/// Longest S3 URI, in characters.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_S3Location.html>
const MAX_S3_URI_CHARS: usize = 1024;

/// Longest document name, in characters.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>
const MAX_DOCUMENT_NAME_CHARS: usize = 200;

/// One family of formats, each with a media type.
trait Format: Copy + 'static {
    /// What the family is called.
    const KIND: &'static str;
    /// Every format.
    const ALL: &'static [Self];
    fn media_type(self) -> &'static str;
    fn from_media_type(media_type: &str) -> Option<Self>;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! formats {
    ($($name:ident is $kind:literal),+) => {
        $(impl Format for $name {
            const KIND: &'static str = $kind;
            const ALL: &'static [Self] = $name::ALL;
            fn media_type(self) -> &'static str {
                self.media_type()
            }
            fn from_media_type(media_type: &str) -> Option<Self> {
                $name::from_media_type(media_type)
            }
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                $name::from_bytes(bytes)
            }
        })+
    };
}

formats!(
    ImageFormat is "image",
    DocumentFormat is "document",
    VideoFormat is "video",
    AudioFormat is "audio"
);

/// Reads an image that the caller sends.
pub(super) fn image(wire: pb::Image, violations: &mut Violations) -> Option<Image> {
    let source = source(wire.source, violations)?;
    let format = format(&wire.media_type, Some(&source), violations)?;
    Some(Image {
        format,
        source: Some(source),
        error: None,
    })
}

/// Reads an image that a model made, or failed to make.
pub(super) fn generated_image(wire: pb::Image, violations: &mut Violations) -> Option<Image> {
    if wire.error.is_empty() {
        return image(wire, violations);
    }
    let source = match wire.source {
        Some(given) => Some(source(Some(given), violations)?),
        None => None,
    };
    let format = format(&wire.media_type, source.as_ref(), violations)?;
    Some(Image {
        format,
        source,
        error: Some(wire.error),
    })
}

/// Reads a document.
pub(super) fn document(wire: pb::Document, violations: &mut Violations) -> Option<Document> {
    let name_fits = check_document_name(&wire.name, violations);
    let body = match wire.body {
        None => {
            violations.refuse("must have a source, a text or chunks");
            None
        }
        Some(pb::document::Body::Source(given)) => {
            source(Some(given), violations).map(DocumentBody::Source)
        }
        Some(pb::document::Body::Text(text)) if text.trim().is_empty() => {
            violations.refuse_field("text", "must not be blank");
            None
        }
        Some(pb::document::Body::Text(text)) => Some(DocumentBody::Text(text)),
        Some(pb::document::Body::Chunks(chunks)) => violations.within("chunks", |violations| {
            texts(chunks.texts, violations).map(DocumentBody::Chunks)
        }),
    };
    let format = match &body {
        Some(DocumentBody::Source(source)) => {
            Some(format(&wire.media_type, Some(source), violations)?)
        }
        // Text needs no format; one that is given must still be known.
        Some(DocumentBody::Text(_) | DocumentBody::Chunks(_)) | None
            if !wire.media_type.is_empty() =>
        {
            Some(format(&wire.media_type, None, violations)?)
        }
        Some(DocumentBody::Text(_) | DocumentBody::Chunks(_)) | None => None,
    };
    let context = Some(wire.context).filter(|context| !context.is_empty());
    let body = body.filter(|_| name_fits)?;
    Some(Document {
        name: wire.name,
        format,
        body,
        context,
        citations: wire.citations,
    })
}

/// Reads a video.
pub(super) fn video(wire: pb::Video, violations: &mut Violations) -> Option<Video> {
    let source = source(wire.source, violations)?;
    let format = format(&wire.media_type, Some(&source), violations)?;
    Some(Video { format, source })
}

/// Reads audio that the caller sends.
pub(super) fn audio(wire: pb::Audio, violations: &mut Violations) -> Option<Audio> {
    let source = source(wire.source, violations)?;
    let format = format(&wire.media_type, Some(&source), violations)?;
    Some(Audio {
        format,
        source: Some(source),
        error: None,
    })
}

/// Reads audio that a model made, or that it could not process.
pub(super) fn generated_audio(wire: pb::Audio, violations: &mut Violations) -> Option<Audio> {
    if wire.error.is_empty() {
        return audio(wire, violations);
    }
    let source = match wire.source {
        Some(given) => Some(source(Some(given), violations)?),
        None => None,
    };
    let format = format(&wire.media_type, source.as_ref(), violations)?;
    Some(Audio {
        format,
        source,
        error: Some(wire.error),
    })
}

/// Reads a list of texts, none of them blank, from the field `texts`.
pub(super) fn texts(texts: Vec<String>, violations: &mut Violations) -> Option<Vec<String>> {
    if texts.is_empty() {
        violations.refuse_field("texts", "must not be empty");
        return None;
    }
    let mut fit = true;
    for (index, text) in texts.iter().enumerate() {
        if text.trim().is_empty() {
            fit = false;
            violations.within_item("texts", index, |violations| {
                violations.refuse("must not be blank");
            });
        }
    }
    fit.then_some(texts)
}

/// Finds the format in the media type, or in the bytes where there is none.
fn format<F: Format>(
    media_type: &str,
    source: Option<&MediaSource>,
    violations: &mut Violations,
) -> Option<F> {
    let found = match (media_type, source) {
        ("", Some(MediaSource::Bytes(bytes))) => F::from_bytes(bytes),
        ("", Some(MediaSource::S3(_)) | None) => {
            violations.refuse_field("media_type", "must be set where no bytes tell it");
            return None;
        }
        (named, Some(_) | None) => F::from_media_type(named),
    };
    if found.is_none() {
        violations.within("media_type", |violations| {
            let known: Vec<_> = F::ALL.iter().map(|format| format.media_type()).collect();
            let kind = F::KIND;
            let given = match media_type {
                "" => "the bytes do not tell it".to_owned(),
                other => format!("not {:?}", other.chars().take(64).collect::<String>()),
            };
            violations.refuse_content(format!(
                "must name a known type of {kind}: {}; {given}",
                known.join(", ")
            ));
        });
    }
    found
}

fn source(wire: Option<pb::MediaSource>, violations: &mut Violations) -> Option<MediaSource> {
    violations.within("source", |violations| {
        match wire.and_then(|wire| wire.source) {
            None => {
                violations.refuse("must be set: data or s3");
                None
            }
            Some(pb::media_source::Source::Data(data)) if data.is_empty() => {
                violations.refuse_field("data", "must not be empty");
                None
            }
            Some(pb::media_source::Source::Data(data)) => Some(MediaSource::Bytes(data)),
            Some(pb::media_source::Source::S3(object)) => {
                violations.within("s3", |violations| s3_object(object, violations))
            }
        }
    })
}

fn s3_object(wire: pb::S3Object, violations: &mut Violations) -> Option<MediaSource> {
    let uri_fits = is_s3_uri(&wire.uri);
    if !uri_fits {
        violations.refuse_field(
            "uri",
            "must begin with s3:// and the bucket's name, and have at most 1024 characters",
        );
    }
    let owner = Some(wire.bucket_owner).filter(|owner| !owner.is_empty());
    let owner_fits = owner
        .as_ref()
        .is_none_or(|owner| owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit()));
    if !owner_fits {
        violations.refuse_field("bucket_owner", "must be an account of 12 digits");
    }
    (uri_fits && owner_fits).then_some(MediaSource::S3(S3Object {
        uri: wire.uri,
        bucket_owner: owner,
    }))
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn is_s3_uri(uri: &str) -> bool {
    let Some(path) = uri.strip_prefix("s3://") else {
        return false;
    };
    let bucket = path.split('/').next().unwrap_or_default();
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-'
        })
        && uri.chars().count() <= MAX_S3_URI_CHARS
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>
fn check_document_name(name: &str, violations: &mut Violations) -> bool {
    let length_fits = (1..=MAX_DOCUMENT_NAME_CHARS).contains(&name.chars().count());
    let characters_fit = name.chars().all(|character| {
        character.is_ascii_alphanumeric() || matches!(character, ' ' | '-' | '(' | ')' | '[' | ']')
    });
    let fits = length_fits && characters_fit && !name.contains("  ");
    if !fits {
        violations.refuse_field(
            "name",
            "must be 1 to 200 letters, digits, single spaces, hyphens, parentheses or square \
             brackets",
        );
    }
    fits
}
