//! Images, documents, videos and audio, as the API takes them.

use aws_sdk_bedrockruntime::{error::BuildError, primitives::Blob, types as bedrock};
use taiwa_core::{
    media::{AudioFormat, DocumentFormat, ImageFormat, MediaSource, S3Object, VideoFormat},
    message::{Audio, Document, DocumentBody, Image, Video},
};

/// Makes an image.
pub(super) fn image(
    image: &Image,
    source: &MediaSource,
) -> Result<bedrock::ImageBlock, BuildError> {
    bedrock::ImageBlock::builder()
        .format(image_format(image.format))
        .source(match source {
            MediaSource::Bytes(bytes) => bedrock::ImageSource::Bytes(Blob::new(bytes.as_ref())),
            MediaSource::S3(object) => bedrock::ImageSource::S3Location(s3_location(object)?),
        })
        .set_error(image.error.as_deref().map(error_block))
        .build()
}

/// Names an image format.
pub(super) fn image_format(format: ImageFormat) -> bedrock::ImageFormat {
    match format {
        ImageFormat::Png => bedrock::ImageFormat::Png,
        ImageFormat::Jpeg => bedrock::ImageFormat::Jpeg,
        ImageFormat::Gif => bedrock::ImageFormat::Gif,
        ImageFormat::Webp => bedrock::ImageFormat::Webp,
    }
}

/// Makes a document.
pub(super) fn document(document: &Document) -> Result<bedrock::DocumentBlock, BuildError> {
    use bedrock::{DocumentContentBlock, DocumentSource};
    bedrock::DocumentBlock::builder()
        .format(match document.format {
            Some(DocumentFormat::Pdf) => bedrock::DocumentFormat::Pdf,
            Some(DocumentFormat::Csv) => bedrock::DocumentFormat::Csv,
            Some(DocumentFormat::Doc) => bedrock::DocumentFormat::Doc,
            Some(DocumentFormat::Docx) => bedrock::DocumentFormat::Docx,
            Some(DocumentFormat::Xls) => bedrock::DocumentFormat::Xls,
            Some(DocumentFormat::Xlsx) => bedrock::DocumentFormat::Xlsx,
            Some(DocumentFormat::Html) => bedrock::DocumentFormat::Html,
            Some(DocumentFormat::Md) => bedrock::DocumentFormat::Md,
            // The SDK writes a format even where the API needs none; this is its default.
            Some(DocumentFormat::Txt) | None => bedrock::DocumentFormat::Txt,
        })
        .name(&document.name)
        .source(match &document.body {
            DocumentBody::Source(MediaSource::Bytes(bytes)) => {
                DocumentSource::Bytes(Blob::new(bytes.as_ref()))
            }
            DocumentBody::Source(MediaSource::S3(object)) => {
                DocumentSource::S3Location(s3_location(object)?)
            }
            DocumentBody::Text(text) => DocumentSource::Text(text.clone()),
            DocumentBody::Chunks(texts) => DocumentSource::Content(
                texts
                    .iter()
                    .cloned()
                    .map(DocumentContentBlock::Text)
                    .collect(),
            ),
        })
        .set_context(document.context.clone())
        .set_citations(citations(document.citations)?)
        .build()
}

/// Makes the switch for citations, where they are wanted.
pub(super) fn citations(enabled: bool) -> Result<Option<bedrock::CitationsConfig>, BuildError> {
    enabled
        .then(|| bedrock::CitationsConfig::builder().enabled(true).build())
        .transpose()
}

/// Makes a video.
pub(super) fn video(video: &Video) -> Result<bedrock::VideoBlock, BuildError> {
    bedrock::VideoBlock::builder()
        .format(match video.format {
            VideoFormat::Mkv => bedrock::VideoFormat::Mkv,
            VideoFormat::Mov => bedrock::VideoFormat::Mov,
            VideoFormat::Mp4 => bedrock::VideoFormat::Mp4,
            VideoFormat::Webm => bedrock::VideoFormat::Webm,
            VideoFormat::Flv => bedrock::VideoFormat::Flv,
            VideoFormat::Mpeg => bedrock::VideoFormat::Mpeg,
            VideoFormat::Mpg => bedrock::VideoFormat::Mpg,
            VideoFormat::Wmv => bedrock::VideoFormat::Wmv,
            VideoFormat::ThreeGp => bedrock::VideoFormat::ThreeGp,
        })
        .source(match &video.source {
            MediaSource::Bytes(bytes) => bedrock::VideoSource::Bytes(Blob::new(bytes.as_ref())),
            MediaSource::S3(object) => bedrock::VideoSource::S3Location(s3_location(object)?),
        })
        .build()
}

/// Makes recorded audio.
pub(super) fn audio(
    audio: &Audio,
    source: &MediaSource,
) -> Result<bedrock::AudioBlock, BuildError> {
    bedrock::AudioBlock::builder()
        .format(match audio.format {
            AudioFormat::Mp3 => bedrock::AudioFormat::Mp3,
            AudioFormat::Opus => bedrock::AudioFormat::Opus,
            AudioFormat::Wav => bedrock::AudioFormat::Wav,
            AudioFormat::Aac => bedrock::AudioFormat::Aac,
            AudioFormat::Flac => bedrock::AudioFormat::Flac,
            AudioFormat::Mp4 => bedrock::AudioFormat::Mp4,
            AudioFormat::Ogg => bedrock::AudioFormat::Ogg,
            AudioFormat::Mkv => bedrock::AudioFormat::Mkv,
            AudioFormat::Mka => bedrock::AudioFormat::Mka,
            AudioFormat::XAac => bedrock::AudioFormat::XAac,
            AudioFormat::M4a => bedrock::AudioFormat::M4A,
            AudioFormat::Mpeg => bedrock::AudioFormat::Mpeg,
            AudioFormat::Mpga => bedrock::AudioFormat::Mpga,
            AudioFormat::Pcm => bedrock::AudioFormat::Pcm,
            AudioFormat::Webm => bedrock::AudioFormat::Webm,
        })
        .source(match source {
            MediaSource::Bytes(bytes) => bedrock::AudioSource::Bytes(Blob::new(bytes.as_ref())),
            MediaSource::S3(object) => bedrock::AudioSource::S3Location(s3_location(object)?),
        })
        .set_error(audio.error.as_deref().map(error_block))
        .build()
}

/// Stands in for media that could not be made: the API takes no block without a source, and the
/// conversation must stay one that can be sent.
pub(super) fn missing(kind: &str, error: Option<&str>) -> String {
    match error {
        Some(error) => format!("[{kind} not available: {error}]"),
        None => format!("[{kind} not available]"),
    }
}

fn error_block(message: &str) -> bedrock::ErrorBlock {
    bedrock::ErrorBlock::builder().message(message).build()
}

fn s3_location(object: &S3Object) -> Result<bedrock::S3Location, BuildError> {
    bedrock::S3Location::builder()
        .uri(&object.uri)
        .set_bucket_owner(object.bucket_owner.clone())
        .build()
}
