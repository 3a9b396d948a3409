//! From the command line to a connected client and a request.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

use pb::content_block::Block;
use taiwa_client::{Client, Reconnect, Request, pb};

use crate::{
    args::{Asked, Server},
    failure::{Exit, Failure},
};

/// Connects as the flags say.
pub(crate) async fn connect(server: &Server) -> Result<Client, Failure> {
    let reconnect = if server.reconnect_for.is_zero() {
        Reconnect::off()
    } else {
        // The time alone is the bound.
        let patient = Reconnect::default().attempts(u32::MAX);
        patient.within(server.reconnect_for)
    };
    let mut builder = Client::builder(&server.endpoint).reconnect(reconnect);
    if let Some(path) = &server.ca_file {
        builder = builder.ca_certificate(read(path)?);
    }
    if let (Some(certificate), Some(key)) = (&server.cert_file, &server.key_file) {
        builder = builder.client_identity(read(certificate)?, read(key)?);
    }
    Ok(builder.connect().await?)
}

/// Makes the request that was asked for, with tools that the command runs; reads standard input
/// where the prompt is there.
pub(crate) fn request(asked: &Asked, client_tools: Vec<pb::ToolSpec>) -> Result<Request, Failure> {
    let prompt = match asked.prompt.as_deref() {
        Some("-") => piped()?,
        Some(prompt) => prompt.to_owned(),
        None if !io::stdin().is_terminal() => piped()?,
        None if asked.files.is_empty() => return Err(nothing_asked()),
        None => String::new(),
    };
    if prompt.trim().is_empty() && asked.files.is_empty() {
        return Err(nothing_asked());
    }
    let mut request = Request::from(pb::InvokeRequest {
        prompt,
        agent_id: asked.settings.agent.clone().unwrap_or_default(),
        session_id: asked.settings.session.clone().unwrap_or_default(),
        options: Some(pb::TurnOptions {
            client_tools,
            ..asked.settings.options()
        }),
        ..Default::default()
    });
    if let Some(timeout) = asked.settings.timeout {
        request = request.timeout(timeout);
    }
    for path in &asked.files {
        request = request.content(attachment(path)?);
    }
    Ok(request)
}

fn nothing_asked() -> Failure {
    Failure::new(Exit::Usage, "there is no prompt").note("give one as an argument, or pipe it in")
}

fn piped() -> Result<String, Failure> {
    let mut prompt = String::new();
    match io::stdin().lock().read_to_string(&mut prompt) {
        Ok(_) => Ok(prompt.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(Failure::new(
            Exit::Usage,
            format!("the prompt on standard input cannot be read: {error}"),
        )),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let what = format!("{} cannot be read: {error}", path.display());
        Failure::new(Exit::Usage, what)
    })
}

/// A file as a block; its extension says what it is.
fn attachment(path: &Path) -> Result<Block, Failure> {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    let Some(media_type) = media_type(&extension.to_ascii_lowercase()) else {
        let what = format!("{} is of no type that can be attached", path.display());
        return Err(Failure::new(Exit::Usage, what).note(
            "images (png, jpg, gif, webp), documents (pdf, csv, doc, docx, xls, xlsx, html, txt, md), \
             audio (mp3, wav, flac, ogg, m4a, aac) and video (mp4, mov, mkv, webm) can",
        ));
    };
    let source = Some(pb::MediaSource {
        source: Some(pb::media_source::Source::Data(read(path)?.into())),
    });
    let media_type = media_type.to_owned();
    Ok(match media_type.split('/').next() {
        Some("image") => Block::Image(pb::Image {
            media_type,
            source,
            ..Default::default()
        }),
        Some("audio") => Block::Audio(pb::Audio {
            media_type,
            source,
            ..Default::default()
        }),
        Some("video") => Block::Video(pb::Video { media_type, source }),
        Some(_) | None => Block::Document(pb::Document {
            name: neutral_name(path),
            media_type,
            body: source.map(pb::document::Body::Source),
            ..Default::default()
        }),
    })
}

fn media_type(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "csv" => "text/csv",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "html" | "htm" => "text/html",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        _ => return None,
    })
}

/// The file's name with what the contract does not allow in a document's name
/// turned into single spaces.
fn neutral_name(path: &Path) -> String {
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
    let words = stem.split(|c| !allowed(c)).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        "document".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documents_name_has_only_what_models_take() {
        for (path, name) in [
            ("a/report_2024.v2.pdf", "report 2024 v2"),
            ("Ünïcode  (final).md", "n code (final)"),
            ("___.txt", "document"),
        ] {
            assert_eq!(neutral_name(Path::new(path)), name);
        }
    }
}
