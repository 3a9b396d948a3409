//! Media: where the bytes are, and in which format.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where media bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaSource {
    /// The bytes themselves.
    Bytes(Bytes),
    /// An S3 object that the model reads by itself.
    S3(S3Object),
}

impl MediaSource {
    /// Bytes held in memory.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::S3(object) => object.uri.len(),
        }
    }
}

/// An S3 object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Object {
    /// Its URI, beginning with `s3://`.
    pub uri: String,
    /// Account that owns the bucket, when it is another.
    pub bucket_owner: Option<String>,
}

/// Declares the formats of one kind of media, each with its media types; the first is canonical.
macro_rules! formats {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = [$($media_type:literal),+],)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every format.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The IANA media type, in its canonical spelling.
            pub fn media_type(self) -> &'static str {
                match self {
                    $(Self::$variant => [$($media_type),+][0],)+
                }
            }

            /// Finds the format of a media type; parameters such as `; charset=utf-8` are passed over.
            pub fn from_media_type(media_type: &str) -> Option<Self> {
                let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                match essence.as_str() {
                    $($($media_type)|+ => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

formats! {
    /// Formats of an image.
    ImageFormat {
        /// PNG.
        Png = ["image/png"],
        /// JPEG.
        Jpeg = ["image/jpeg", "image/jpg"],
        /// GIF.
        Gif = ["image/gif"],
        /// WebP.
        Webp = ["image/webp"],
    }
}

formats! {
    /// Formats of a document.
    DocumentFormat {
        /// PDF.
        Pdf = ["application/pdf"],
        /// Comma-separated values.
        Csv = ["text/csv"],
        /// Word, before 2007.
        Doc = ["application/msword"],
        /// Word.
        Docx = ["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
        /// Excel, before 2007.
        Xls = ["application/vnd.ms-excel"],
        /// Excel.
        Xlsx = ["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"],
        /// HTML.
        Html = ["text/html"],
        /// Plain text.
        Txt = ["text/plain"],
        /// Markdown.
        Md = ["text/markdown", "text/x-markdown"],
    }
}

formats! {
    /// Formats of a video.
    VideoFormat {
        /// Matroska.
        Mkv = ["video/x-matroska", "video/matroska"],
        /// QuickTime.
        Mov = ["video/quicktime"],
        /// MPEG-4.
        Mp4 = ["video/mp4"],
        /// WebM.
        Webm = ["video/webm"],
        /// Flash.
        Flv = ["video/x-flv"],
        /// MPEG.
        Mpeg = ["video/mpeg"],
        /// MPEG, as files ending in `.mpg` name it.
        Mpg = ["video/mpg"],
        /// Windows Media.
        Wmv = ["video/x-ms-wmv"],
        /// 3GPP.
        ThreeGp = ["video/3gpp"],
    }
}

formats! {
    /// Formats of recorded audio.
    AudioFormat {
        /// MP3.
        Mp3 = ["audio/mp3"],
        /// Opus.
        Opus = ["audio/opus"],
        /// WAV.
        Wav = ["audio/wav", "audio/x-wav", "audio/wave"],
        /// AAC.
        Aac = ["audio/aac"],
        /// FLAC.
        Flac = ["audio/flac", "audio/x-flac"],
        /// MPEG-4.
        Mp4 = ["audio/mp4"],
        /// Ogg.
        Ogg = ["audio/ogg"],
        /// Matroska, as files ending in `.mkv` name it.
        Mkv = ["audio/x-matroska-video"],
        /// Matroska audio.
        Mka = ["audio/x-matroska", "audio/matroska"],
        /// AAC under its older name.
        XAac = ["audio/x-aac"],
        /// MPEG-4 audio under its file ending.
        M4a = ["audio/m4a", "audio/x-m4a"],
        /// MPEG audio.
        Mpeg = ["audio/mpeg"],
        /// MPEG audio under its older file ending.
        Mpga = ["audio/mpga"],
        /// Raw PCM.
        Pcm = ["audio/pcm", "audio/l16"],
        /// WebM.
        Webm = ["audio/webm"],
    }
}

impl ImageFormat {
    /// Finds the format from the first bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            _ => None,
        }
    }
}

impl DocumentFormat {
    /// Finds the format from the first bytes: PDF, HTML, or plain text where all of it is UTF-8.
    ///
    /// Office files share one container format and must name their media type.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"%PDF-") {
            return Some(Self::Pdf);
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let start = text
            .trim_start()
            .get(..9)
            .unwrap_or_default()
            .to_ascii_lowercase();
        if start.starts_with("<!doctype") || start.starts_with("<html") {
            return Some(Self::Html);
        }
        (!text.contains('\0')).then_some(Self::Txt)
    }
}

impl VideoFormat {
    /// Finds the format from the first bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1a, 0x45, 0xdf, 0xa3, ..] if contains(bytes, b"webm") => Some(Self::Webm),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Self::Mkv),
            [_, _, _, _, b'f', b't', b'y', b'p', b'q', b't', ..] => Some(Self::Mov),
            [_, _, _, _, b'f', b't', b'y', b'p', b'3', b'g', ..] => Some(Self::ThreeGp),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mp4),
            [b'F', b'L', b'V', ..] => Some(Self::Flv),
            [0x00, 0x00, 0x01, 0xba | 0xb3, ..] => Some(Self::Mpeg),
            [0x30, 0x26, 0xb2, 0x75, ..] => Some(Self::Wmv),
            _ => None,
        }
    }
}

impl AudioFormat {
    /// Finds the format from the first bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'I', b'D', b'3', ..] => Some(Self::Mp3),
            [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Self::Aac),
            [0xff, second, ..] if second & 0xe0 == 0xe0 => Some(Self::Mp3),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'A',
                b'V',
                b'E',
                ..,
            ] => Some(Self::Wav),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Ogg),
            [0x1a, 0x45, 0xdf, 0xa3, ..] if contains(bytes, b"webm") => Some(Self::Webm),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Self::Mka),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mp4),
            _ => None,
        }
    }
}

/// Tells whether the head of a file holds `needle`; a container names its kind within 64 bytes.
fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let head = bytes.get(..64).unwrap_or(bytes);
    head.windows(needle.len()).any(|window| window == needle)
}
