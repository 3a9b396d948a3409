//! Requests to a server that listens.

use std::{collections::HashMap, error::Error as StdError, sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use reqwest::redirect;
use rmcp::{
    model::{ClientJsonRpcMessage, GetExtensions as _, RequestId, ServerJsonRpcMessage},
    transport::{
        StreamableHttpClientTransport,
        common::client_side_sse::ExponentialBackoff,
        streamable_http_client::{
            AuthRequiredError, InsufficientScopeError, SseError, StreamableHttpClient,
            StreamableHttpClientTransportConfig, StreamableHttpError, StreamableHttpPostResponse,
            StreamableHttpResponseLimits,
        },
    },
};
use sse_stream::Sse;

use super::{MAX_MESSAGE_BYTES, StartError, link::Link};

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls that may wait at once for the head of their answer; more wait for one of them.
const MAX_WAITING: usize = 64;

/// How often a stream that broke is taken up again, before what it was to bring counts as lost.
const MAX_RESUMPTIONS: usize = 5;

/// Headers that the protocol has for itself.
const RESERVED: [&str; 9] = [
    "accept",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
];

/// Headers of one call, carried beside its message.
#[derive(Clone, Debug)]
pub(super) struct Forwarded(pub(super) HeaderMap);

/// Where a server is, and what every request to it carries.
#[derive(Clone)]
pub(super) struct Endpoint {
    client: reqwest::Client,
    url: Arc<str>,
    headers: HashMap<HeaderName, HeaderValue>,
    bearer: Option<String>,
}

/// The SDK's client, which adds what a single call carries, and notices a session that was lost.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    link: Arc<Link>,
}

type Failure = StreamableHttpError<reqwest::Error>;

impl Endpoint {
    pub(super) fn new(
        name: &str,
        url: &str,
        headers: &HeaderMap,
        bearer: Option<&str>,
        forward_metadata: &[HeaderName],
    ) -> Result<Self, StartError> {
        // A password would stand in the log.
        let is_good = reqwest::Url::parse(url).is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.username().is_empty()
                && url.password().is_none()
        });
        if !is_good {
            let server = name.to_owned();
            return Err(StartError::BadUrl { server });
        }
        let mut names = headers.keys().chain(forward_metadata);
        if let Some(name) = names.find(|name| RESERVED.contains(&name.as_str())) {
            return Err(StartError::ReservedHeader { name: name.clone() });
        }
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            // A connection kept from before the server's restart fails the call that finds it, and
            // what that call did would not be known.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(StartError::Http)?;
        Ok(Self {
            client,
            url: url.into(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            bearer: bearer.map(str::to_owned),
        })
    }

    pub(super) fn connect(&self, link: &Arc<Link>) -> StreamableHttpClientTransport<Client> {
        let mut resumptions = ExponentialBackoff::default();
        resumptions.max_times = Some(MAX_RESUMPTIONS);
        resumptions.base_duration = Duration::from_millis(250);
        resumptions.max_delay = Some(Duration::from_secs(2));
        let mut config = StreamableHttpClientTransportConfig::with_uri(Arc::clone(&self.url))
            .max_concurrent_requests(MAX_WAITING);
        config.retry_config = Arc::new(resumptions);
        config.auth_header.clone_from(&self.bearer);
        config.custom_headers.clone_from(&self.headers);
        config.max_sse_event_size = MAX_MESSAGE_BYTES;
        config.max_json_response_size = MAX_MESSAGE_BYTES;
        let client = Client {
            http: self.client.clone(),
            link: Arc::clone(link),
        };
        StreamableHttpClientTransport::with_client(client, config)
    }
}

impl StreamableHttpClient for Client {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        bearer: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, bearer, headers, limits)
            .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        bearer: Option<String>,
        mut headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        if let ClientJsonRpcMessage::Request(request) = &message
            && let Some(Forwarded(own)) = request.request.extensions().get()
        {
            headers.extend(
                own.iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        let bearer = bearer.filter(|_| !headers.contains_key(&AUTHORIZATION));
        let asked = match &message {
            ClientJsonRpcMessage::Request(request) => Some(request.id.clone()),
            ClientJsonRpcMessage::Response(_)
            | ClientJsonRpcMessage::Notification(_)
            | ClientJsonRpcMessage::Error(_) => None,
        };
        let had_session = session_id.is_some();
        let answer = self
            .http
            .post_message_with_response_limits(uri, message, session_id, bearer, headers, limits)
            .await
            .map_err(without_url);
        let answer = match asked {
            Some(id) => attributed(answer, id, had_session),
            None => answer,
        };
        if matches!(answer, Err(StreamableHttpError::SessionExpired)) {
            tracing::info!(server = %self.link.name, "the MCP server has lost our session; a new one is begun");
            // Another session may have other tools.
            self.link.changed.notify_one();
        }
        answer
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        bearer: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let http = &self.http;
        http.delete_session(uri, session_id, bearer, headers)
            .await
            .map_err(without_url)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        bearer: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let limit = MAX_MESSAGE_BYTES;
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            bearer,
            headers,
            limit,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        bearer: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        limit: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let http = &self.http;
        http.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            bearer,
            headers,
            limit,
        )
        .await
        .map_err(without_url)
    }
}

/// Takes the address out of an error, as its query may hold credentials.
fn without_url(error: Failure) -> Failure {
    if let StreamableHttpError::Client(error) = error {
        return StreamableHttpError::Client(error.without_url());
    }
    error
}

/// Gives an error that answers a request to that request.
///
/// A server that refuses a request before it reads it does not know whose it is, and its error would
/// reach nobody. So do many that have lost a session, with 400 where the protocol wants 404.
fn attributed(
    answer: Result<StreamableHttpPostResponse, Failure>,
    id: RequestId,
    had_session: bool,
) -> Result<StreamableHttpPostResponse, Failure> {
    match answer {
        Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(mut error), session))
            if error.id.as_ref() != Some(&id) =>
        {
            let message = error.error.message.to_ascii_lowercase();
            if had_session && message.contains("session") {
                return Err(StreamableHttpError::SessionExpired);
            }
            error.id = Some(id);
            let error = ServerJsonRpcMessage::Error(error);
            Ok(StreamableHttpPostResponse::Json(error, session))
        }
        other => other,
    }
}

/// Finds the failed request among the causes of an error.
pub(super) fn failure<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Failure> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The status by which the server refuses who we are: 401 or 403.
pub(super) fn refusal(error: &(dyn StdError + 'static)) -> Option<u16> {
    causes(error).find_map(|cause| {
        if cause.is::<AuthRequiredError>() {
            return Some(401);
        }
        if cause.is::<InsufficientScopeError>() {
            return Some(403);
        }
        // Without a challenge, the SDK has the status in its text alone.
        let Failure::UnexpectedServerResponse(text) = cause.downcast_ref()? else {
            return None;
        };
        [401, 403]
            .into_iter()
            .find(|status| text.starts_with(&format!("HTTP {status} ")))
    })
}

/// An error, its cause, its cause's cause.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
