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
//! use taiwa_client::{Client, Error, Payload, Request, Setup};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     // `taiwa-server --offline` listens here.
//!     let client = Client::connect("http://127.0.0.1:50051").await?;
//!
//!     // The whole answer at once.
//!     let reply = client.invoke("Why is the sky blue?").await?;
//!     println!("{}", reply.text);
//!
//!     // The same session, event by event; dropping the turn cancels it.
//!     let request = Request::new("And at sunset?").session(&reply.result.session_id);
//!     let mut turn = client.stream(request).await?;
//!     while let Some(event) = turn.next().await? {
//!         if let Some(text) = event.text() {
//!             print!("{text}");
//!         }
//!     }
//!     let usage = turn.finish().await?.usage.unwrap_or_default();
//!     println!("\n{} tokens", usage.total_tokens);
//!
//!     // A conversation: speak and listen at once.
//!     let mut conversation = client.converse(Setup::default()).await?;
//!     conversation.send_prompt("Tell me a long story.").await?;
//!     let mut characters = 0;
//!     while let Some(event) = conversation.next().await? {
//!         match &event.payload {
//!             Payload::TextDelta(delta) => {
//!                 characters += delta.text.len();
//!                 if characters > 500 {
//!                     conversation.interrupt().await?;
//!                 }
//!             }
//!             Payload::TurnEnded(_) => conversation.finish(),
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
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
