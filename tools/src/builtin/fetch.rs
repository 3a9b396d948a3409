//! Pages of the addresses that are allowed.

use std::{error::Error as StdError, net::SocketAddr, sync::Arc, time::Duration};

use http::{StatusCode, header};
use reqwest::{
    Client, Response, Url,
    dns::{Name, Resolve, Resolving},
    redirect,
};
use serde_json::Value;
use taiwa_core::tool::{SchemaError, ToolResultBlock};
use tokio::{net::lookup_host, time::timeout};

use super::allowed::{AllowedUrl, is_http, is_public};
use crate::{Call, Error, Function, Output};

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "url": {"type": "string", "description": "The address, beginning with http:// or https://"}
  },
  "required": ["url"],
  "additionalProperties": false
}"#;

/// What may be fetched, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGetConfig {
    /// The addresses that may be asked. The tool's description tells the model.
    pub allow: Vec<AllowedUrl>,
    /// Most bytes of a page that are read; the rest is cut off. Default 256 KiB, a lot of
    /// text for a model.
    ///
    /// A call's own limit holds beside it.
    pub max_bytes: usize,
    /// Longest time for a page with all its redirects. Default 30 s. A call's own limit holds
    /// beside it.
    pub timeout: Duration,
}

impl HttpGetConfig {
    /// The usual limits: 256 KiB, 30 s.
    pub fn new(allow: Vec<AllowedUrl>) -> Self {
        Self {
            allow,
            max_bytes: 256 * 1024,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Why the tool cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpGetError {
    /// The schema is none: not in fact, as it is a constant that compiles.
    #[error("the schema of http_get does not compile")]
    Schema(#[from] SchemaError),
    /// No HTTP client can be made: the system's certificates cannot be read.
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
}

/// Makes the tool `http_get`, which fetches text and JSON.
///
/// It sends GET alone, no credentials and no cookies, and goes through no proxy. Redirects are followed
/// to addresses that are allowed, five at most. A page that is not text is not shown.
///
/// # Errors
///
/// [`HttpGetError`] when no HTTP client can be made.
pub fn http_get(config: HttpGetConfig) -> Result<Function, HttpGetError> {
    let client = Client::builder()
        .user_agent(concat!("taiwa/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy would look up names for us, and could reach what we may not.
        .no_proxy()
        .dns_resolver(Arc::new(PublicNames))
        .build()?;
    let allowed: Vec<String> = config.allow.iter().map(ToString::to_string).collect();
    let description = format!(
        "Fetches a page by HTTP GET, and gives its status, its type, and its text or JSON. Allowed \
         addresses, and what is below them: {}",
        allowed.join(", ")
    );
    let fetcher = Arc::new(Fetcher { client, config });
    let function = Function::new("http_get", description, SCHEMA, move |call| {
        let fetcher = Arc::clone(&fetcher);
        async move { fetcher.call(call).await }
    })?;
    Ok(function)
}

#[derive(Debug)]
struct Fetcher {
    client: Client,
    config: HttpGetConfig,
}

impl Fetcher {
    async fn call(&self, call: Call) -> Result<Output, Error> {
        let url = call
            .input
            .get("url")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let left = call
            .deadline
            .saturating_duration_since(std::time::Instant::now());
        let limit = self.config.timeout.min(left);
        let max_bytes = self.config.max_bytes.min(call.max_result_bytes);
        let page = async {
            let response = self.follow(url).await?;
            show(response, max_bytes).await
        };
        timeout(limit, page)
            .await
            .unwrap_or_else(|_| failed(format!("the page did not come within {limit:?}")))
    }

    async fn follow(&self, url: &str) -> Result<Response, Error> {
        let mut url = Url::parse(url)
            .map_err(|error| Error::Failed(format!("'{url}' is no address: {error}")))?;
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url)?;
            let request = self.client.get(url.clone()).header(
                header::ACCEPT,
                "text/*, application/json, application/xml;q=0.9, */*;q=0.1",
            );
            let response = request.send().await.map_err(|error| words(&error))?;
            let Some(next) = next_place(&response) else {
                return Ok(response);
            };
            url = url.join(&next).map_err(|error| {
                Error::Failed(format!(
                    "{url} redirects to '{next}', which is no address: {error}"
                ))
            })?;
        }
        failed(format!(
            "the address redirects more than {MAX_REDIRECTS} times"
        ))
    }

    fn check(&self, url: &Url) -> Result<(), Error> {
        if is_http(url) && self.config.allow.iter().any(|allowed| allowed.covers(url)) {
            return Ok(());
        }
        failed(format!(
            "{url} is not allowed; the description of this tool lists what is"
        ))
    }
}

/// Looks up names, and finds public addresses alone.
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            // Who allows this name has written which machine it is.
            let is_local = name.eq_ignore_ascii_case("localhost");
            let found = lookup_host((name, 0)).await?;
            let public: Vec<SocketAddr> = found
                .filter(|address| is_local || is_public(address.ip()))
                .collect();
            if public.is_empty() {
                return Err(
                    format!("{name} has no public address, and others are not asked").into(),
                );
            }
            let addresses: Box<dyn Iterator<Item = SocketAddr> + Send> =
                Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

fn next_place(response: &Response) -> Option<String> {
    let follows = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    let place = response.headers().get(header::LOCATION)?;
    let place = place
        .to_str()
        .ok()
        .filter(|_| follows.contains(&response.status()))?;
    Some(place.to_owned())
}

/// Reads a page up to a limit, and shows it as its type allows.
async fn show(mut response: Response, max_bytes: usize) -> Result<Output, Error> {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or("text/plain")
        .to_owned();
    let mut head = format!("HTTP {status}, {content_type}");
    let mut output = Output {
        is_error: !status.is_success(),
        ..Output::default()
    };
    if !is_text(&content_type) {
        head.push_str(": not shown, as it is not text");
        output.content.push(ToolResultBlock::Text(head));
        return Ok(output);
    }
    let mut body = Vec::new();
    let mut is_cut = false;
    while let Some(piece) = response.chunk().await.map_err(|error| words(&error))? {
        let room = max_bytes - body.len();
        is_cut = piece.len() > room;
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if is_cut {
            break;
        }
    }
    if is_cut {
        head.push_str(&format!(", cut after {max_bytes} bytes"));
    }
    output.content.push(ToolResultBlock::Text(head));
    let is_json = content_type.to_ascii_lowercase().contains("json") && !is_cut;
    let json = is_json.then(|| serde_json::from_slice::<Value>(&body).ok());
    // Bedrock takes objects alone as JSON.
    if let Some(json) = json.flatten().filter(Value::is_object) {
        output.content.push(ToolResultBlock::Json(json.to_string()));
    } else {
        let text = String::from_utf8_lossy(&body);
        // Bedrock refuses blank text.
        if !text.trim().is_empty() {
            output
                .content
                .push(ToolResultBlock::Text(text.into_owned()));
        }
    }
    Ok(output)
}

fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || [
            "application/json",
            "application/xml",
            "application/javascript",
            "application/yaml",
        ]
        .contains(&essence.as_str())
}

/// A GET changes nothing, so what failed has failed.
fn failed<T>(why: String) -> Result<T, Error> {
    Err(Error::Failed(why))
}

fn words(error: &reqwest::Error) -> Error {
    let mut words = format!("the page cannot be fetched: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Error::Failed(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn look_up(name: &str) -> Result<usize, String> {
        let name = name.parse().expect("a name");
        let found = PublicNames.resolve(name).await;
        found
            .map(Iterator::count)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_followed_unless_it_says_so() {
        // The system's library reads these as addresses; they stand for names that lead there.
        for name in ["127.1", "10.1", "0xa9fea9fe"] {
            let refused = look_up(name).await.expect_err("it is private");
            assert!(refused.contains("no public address"), "{refused}");
        }
        assert!(look_up("localhost").await.is_ok_and(|found| found > 0));
    }
}
