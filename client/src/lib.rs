//! A client for Taiwa, the agent service for Amazon Bedrock.
//!
//! A [`Client`] has the service's calls as methods. The same question can be
//! asked three ways: [`invoke`](Client::invoke) waits for the whole answer,
//! [`stream`](Client::stream) gives its events as they happen, and
//! [`converse`](Client::converse) holds a live conversation of many turns.
//! The server keeps what was said: [`sessions`](Client::sessions) lists it and
//! [`messages`](Client::messages) reads it.
//!
//! ```no_run
#![doc = include_str!("../examples/first.rs")]
//! ```
//!
//! # What holds everywhere
//!
//! * **A lost connection is taken up again.** Streams go on where they were, without
//!   loss or repeat; whoever wants to see it asks for [`Connection`], and
//!   [`Reconnect`] has the bounds. Only failures of the way are tried again, never those of
//!   a turn, and no turn is run twice.
//! * **An end is told.** A stream that breaks off for good before its turn has ended is
//!   [`Error::Cut`], also where the transport says that all is well; events that no server
//!   has any more are [`Error::EventsLost`].
//! * **Dropping is cancelling.** A dropped future or [`Turn`] cancels its turn, unless
//!   [`pb::StreamOptions::on_disconnect`] says that it runs on. A dropped
//!   [`Conversation`] closes its call at once, and its turn runs on unless that says otherwise.
//! * **A deadline holds to the end.** A request's timeout bounds the whole
//!   call, travels with it, and bounds the model calls behind it.
//! * **Consent is tied to the call.** A tool call that needs a person's word is
//!   [`Payload::ApprovalRequest`], or waits in [`pb::TurnResult::pending_approvals`] of a paused
//!   turn; a [`Decision`] answers it and nothing else.
//! * **Errors are typed.** [`Error::reason`] is an enum,
//!   [`Error::is_retryable`] and [`Error::retry_delay`] say whether and when to
//!   try again.
//! * **Servers may be newer.** Events that this version does not know are
//!   skipped, and enum values that it does not know read as unspecified.
//!
//! # Tools that run here
//!
//! [`Tools`] are functions of this program that the model may call. [`Setup::tools`] declares them,
//! and [`Conversation::answer_with`] runs them and sends their results.
//!
//! ```no_run
//! # async fn ask(client: taiwa_client::Client) -> Result<(), taiwa_client::Error> {
//! use serde_json::json;
//! use taiwa_client::{Setup, Tools};
//!
//! let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
//! let about = "Tells the weather in a city.";
//! let tools = Tools::new().add("get_weather", about, &schema, |input| async move {
//!     let city = input["city"].as_str().ok_or("which city?")?;
//!     Ok::<_, &str>(format!("Sunny in {city}."))
//! });
//!
//! let setup = Setup::default().tools(&tools);
//! let mut conversation = client.converse(setup).await?.answer_with(tools);
//! conversation.send_prompt("What is the weather in Oslo?").await?;
//! while let Some(event) = conversation.next().await? {
//!     if let Some(result) = event.turn_ended() {
//!         println!("{:?}", result.message);
//!         conversation.finish();
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # When a call fails
//!
//! Branch on [`Error::reason`], never on the text. What [`Error::is_retryable`] may be asked again
//! as it is, after [`Error::retry_delay`] where the server gives one. A turn that fails within a
//! conversation is no error of the call: [`pb::TurnResult::error`] has it.
//!
//! ```no_run
//! # async fn ask(client: taiwa_client::Client) -> Result<(), taiwa_client::Error> {
//! use std::time::Duration;
//! use taiwa_client::{Request, pb::ErrorReason};
//!
//! let request = Request::new("Where were we?").session("ada");
//! let mut tries = 0;
//! let reply = loop {
//!     match client.invoke(request.clone()).await {
//!         Ok(reply) => break reply,
//!         Err(error) if error.reason() == ErrorReason::InvalidRequest => {
//!             for violation in error.server().iter().flat_map(|told| &told.field_violations) {
//!                 eprintln!("{}: {}", violation.field, violation.description);
//!             }
//!             return Err(error);
//!         }
//!         Err(error) if error.is_retryable() && tries < 3 => {
//!             tries += 1;
//!             let delay = error.retry_delay().unwrap_or(Duration::from_secs(1));
//!             tokio::time::sleep(delay).await;
//!         }
//!         Err(error) => return Err(error),
//!     }
//! };
//! # let _ = reply;
//! # Ok(())
//! # }
//! ```
//!
//! # As a dependency
//!
//! The `taiwa` command is the feature `cli`, which is on by default; the library needs nothing of
//! what it pulls in.
//!
//! ```toml
//! taiwa-client = { path = "taiwa/client", default-features = false }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```

mod backoff;
mod client;
mod connect;
mod conversation;
mod decision;
mod end;
mod error;
mod event;
mod line;
mod omits;
mod reconnect;
mod repeat;
mod request;
mod sessions;
mod tools;
mod turn;

pub use taiwa::v1 as pb;

pub use client::{Client, Reply};
pub use connect::Builder;
pub use conversation::{Conversation, Receiver, Sender, Setup};
pub use decision::Decision;
pub use error::{Error, FieldViolation, ServerError};
pub use event::{Event, Payload, text_of};
pub use reconnect::{Connection, Reconnect};
pub use request::Request;
pub use tonic::Code;
pub use tools::Tools;
pub use turn::Turn;
