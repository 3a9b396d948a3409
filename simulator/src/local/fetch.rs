//! A model file out of the network: resumed where it broke off, and checked to the byte.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use taiwa_cli::chain;
use tokio::time::timeout;

use super::shelf::{self, Known, Part, Shelf};

/// Where files come from unless told otherwise.
pub const HUGGING_FACE: &str = "https://huggingface.co";

/// Hugging Face sends to a store of its own, which may send on once more.
const MAX_REDIRECTS: usize = 5;

/// How often a broken download goes on before it is given up, without a byte in between.
const MAX_TRIES: u32 = 5;

/// Time for an answer to begin, and for each piece of it. A guess at a slow line.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause before the first new try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It came, but could not be kept.
    #[error(transparent)]
    Shelf(#[from] shelf::Error),
    /// The address is no HTTP or HTTPS URL.
    #[error("{url} is no address of a file; it must begin with https:// or http://")]
    Address {
        /// What was given.
        url: String,
    },
    /// No trusted certificates are on this machine.
    #[error("there are no root certificates; install those of the system (ca-certificates)")]
    Certificates(#[source] io::Error),
    /// The server says no.
    #[error(
        "{url} answers {status}; give another address with `--from`, or bring the file by other \
         means and `model import` it"
    )]
    Status {
        /// Where the answer came from.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// There is no connection, or it broke off again and again.
    #[error(
        "{url} cannot be reached ({reason}); what has come is kept, so the same command goes on \
         later; without a way there bring the file by other means and `model import` it"
    )]
    Unreachable {
        /// Where the file should have come from.
        url: String,
        /// What the network said, innermost words last.
        reason: String,
    },
}

/// Why one try ended.
enum Broken {
    /// A new try may go further.
    Line(String),
    Last(Error),
}

impl From<shelf::Error> for Broken {
    fn from(error: shelf::Error) -> Self {
        Self::Last(error.into())
    }
}

/// Brings a known model's file to its shelf, from `url`, and returns its place.
///
/// A file that is there already is not fetched again. `progress` hears how many bytes of
/// how many have come. What came before the line broke is kept beside the place, with
/// `.part` behind its name, and the next fetch goes on from there.
///
/// # Errors
///
/// Every [`Error`] says what to do.
///
/// # Cancel safety
///
/// Dropped, it leaves what has come for the next fetch.
pub async fn fetch(
    shelf: &Shelf,
    known: &Known,
    url: &str,
    mut progress: impl FnMut(u64, u64),
) -> Result<PathBuf, Error> {
    if let Some(place) = shelf.find(known) {
        return Ok(place);
    }
    let address = address(url)?;
    let client = client()?;
    let (place, wanted) = (shelf.place(known), *known);
    let mut part = tokio::task::spawn_blocking(move || Part::open(place, &wanted))
        .await
        .map_err(|error| unreachable(url, error.to_string()))??;
    let mut tries = 0;
    let mut pause = FIRST_PAUSE;
    while part.size() < known.size_bytes {
        let before = part.size();
        match go_on(&client, &address, &mut part, known, &mut progress).await {
            Ok(()) => break,
            Err(Broken::Last(error)) => {
                if part.size() == 0 {
                    part.discard();
                }
                return Err(error);
            }
            Err(Broken::Line(reason)) => {
                if part.size() > before {
                    (tries, pause) = (0, FIRST_PAUSE);
                }
                tries += 1;
                if tries >= MAX_TRIES {
                    if part.size() == 0 {
                        part.discard();
                    }
                    return Err(unreachable(url, reason));
                }
                tracing::info!(%reason, tries, "the download broke off");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    Ok(part.finish()?)
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

fn client() -> Result<HttpClient, Error> {
    let connector = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(Error::Certificates)?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn address(url: &str) -> Result<Uri, Error> {
    let bad = || Error::Address {
        url: url.to_owned(),
    };
    let address: Uri = url.parse().map_err(|_| bad())?;
    let is_web = matches!(address.scheme_str(), Some("http" | "https"));
    if is_web && address.host().is_some() {
        Ok(address)
    } else {
        Err(bad())
    }
}

/// Asks for what is missing, and appends it.
async fn go_on(
    client: &HttpClient,
    address: &Uri,
    part: &mut Part,
    known: &Known,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), Broken> {
    let mut response = open(client, address, part.size()).await?;
    match response.status() {
        StatusCode::PARTIAL_CONTENT if begins_at(response.headers(), part.size()) => {}
        // The whole file comes, or another part of it than was asked for.
        StatusCode::OK => part.restart()?,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart()?;
            return Err(Broken::Line("the server sends another part".to_owned()));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Broken::Line(format!("status {status}")));
        }
        status => {
            return Err(Broken::Last(Error::Status {
                url: address.to_string(),
                status,
            }));
        }
    }
    while part.size() < known.size_bytes {
        let frame = timeout(PATIENCE, response.frame()).await;
        let frame = frame.map_err(|_elapsed| Broken::Line("it fell silent".to_owned()))?;
        let Some(frame) = frame else {
            return Err(Broken::Line("it ended early".to_owned()));
        };
        let frame = frame.map_err(|error| Broken::Line(chain(&error)))?;
        if let Some(piece) = frame.data_ref() {
            // A piece is a few KiB, which the system takes without waiting for the disk.
            part.write(piece)?;
            progress(part.size(), known.size_bytes);
        }
    }
    Ok(())
}

/// Follows redirects to an answer.
async fn open(client: &HttpClient, address: &Uri, from: u64) -> Result<Response<Incoming>, Broken> {
    let mut at = address.clone();
    for _ in 0..=MAX_REDIRECTS {
        let mut request = Request::get(at.clone()).header(header::USER_AGENT, "taiwa-simulator");
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| Broken::Line(error.to_string()))?;
        let response = timeout(PATIENCE, client.request(request)).await;
        let response = response
            .map_err(|_elapsed| Broken::Line("no answer".to_owned()))?
            .map_err(|error| Broken::Line(chain(&error)))?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        let to = response.headers().get(header::LOCATION);
        let to = to.and_then(|it| it.to_str().ok()).unwrap_or("");
        at = redirected(&at, to).map_err(Broken::Last)?;
    }
    Err(Broken::Line("too many redirects".to_owned()))
}

/// Where a redirect leads; never from HTTPS to plain HTTP.
fn redirected(from: &Uri, to: &str) -> Result<Uri, Error> {
    let bad = || Error::Address { url: to.to_owned() };
    let whole = if to.starts_with('/') {
        let scheme = from.scheme_str().unwrap_or("https");
        let authority = from.authority().ok_or_else(bad)?;
        format!("{scheme}://{authority}{to}")
    } else {
        to.to_owned()
    };
    let next = address(&whole)?;
    if from.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
        return Err(bad());
    }
    Ok(next)
}

fn begins_at(headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(header::CONTENT_RANGE);
    let range = range.and_then(|it| it.to_str().ok()).unwrap_or("");
    range.starts_with(&format!("bytes {from}-"))
}

fn unreachable(url: &str, reason: String) -> Error {
    Error::Unreachable {
        url: url.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_web_and_do_not_lose_their_cover() {
        let from: Uri = "https://one.example/a/b".parse().unwrap();
        let to = |to: &str| redirected(&from, to).map(|uri| uri.to_string()).ok();
        assert_eq!(to("/c?d=e"), Some("https://one.example/c?d=e".to_owned()));
        assert_eq!(
            to("https://two.example/f"),
            Some("https://two.example/f".to_owned())
        );
        assert_eq!(to("http://two.example/f"), None);
        assert_eq!(to("file:///etc/passwd"), None);
        assert_eq!(to(""), None);
    }
}
