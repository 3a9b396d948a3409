//! Messages over a program's standard input and output, one a line.

use std::{io, mem, sync::Arc};

use rmcp::{
    RoleClient,
    model::{ErrorCode, ErrorData, ServerJsonRpcMessage},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, ChildStdout},
    sync::Mutex,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{MAX_MESSAGE_BYTES, TOO_LARGE, outline::Outline};

/// Bytes of a message from which on it is parsed away from the tasks that others wait for.
const LARGE_BYTES: usize = 128 * 1024;

/// Most messages that may wait to be written. Our own are as many as there are calls; more are answers
/// to a program that asks and does not read.
const MAX_UNWRITTEN: usize = 1_000;

/// The pipes of a program that speaks MCP.
///
/// Beside the SDK's own transport because of what this one does with bad lines: it names the server
/// in the log, and answers the call whose result is too large, which would wait for ever.
#[derive(Debug)]
pub(super) struct Pipes {
    name: Arc<str>,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
    /// Follows a line that has become large.
    outline: Option<Outline>,
    parsing: Option<JoinHandle<Result<RxJsonRpcMessage<RoleClient>, serde_json::Error>>>,
    // A tokio mutex: a line is written whole before the next begins, and a write waits for the reader.
    input: Arc<Mutex<Option<ChildStdin>>>,
    /// Shared with each message that waits to be written.
    unwritten: Arc<()>,
    closed: CancellationToken,
    has_said_junk: bool,
}

/// What stood on the next line.
enum Line {
    Whole(Vec<u8>),
    TooLarge(Outline),
    End,
}

impl Pipes {
    pub(super) fn new(name: Arc<str>, input: ChildStdin, output: ChildStdout) -> Self {
        Self {
            name,
            output: BufReader::new(output),
            line: Vec::new(),
            outline: None,
            parsing: None,
            input: Arc::new(Mutex::new(Some(input))),
            unwritten: Arc::new(()),
            closed: CancellationToken::new(),
            has_said_junk: false,
        }
    }

    /// Reads up to the end of a line.
    ///
    /// Cancel safe: what was read of a line is kept for the next call.
    async fn next_line(&mut self) -> Line {
        loop {
            let piece = match self.output.fill_buf().await {
                Ok(piece) => piece,
                Err(error) => {
                    tracing::warn!(server = %self.name, %error, "the MCP server's output cannot be read");
                    return Line::End;
                }
            };
            if piece.is_empty() {
                return Line::End;
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let piece = &piece[..end.unwrap_or(piece.len())];
            if self.line.len() <= MAX_MESSAGE_BYTES {
                self.line.extend_from_slice(piece);
            }
            match &mut self.outline {
                Some(outline) => outline.read(piece),
                None if self.line.len() > LARGE_BYTES => {
                    let mut outline = Outline::default();
                    outline.read(&self.line);
                    self.outline = Some(outline);
                }
                None => {}
            }
            let read = piece.len() + usize::from(end.is_some());
            self.output.consume(read);
            if end.is_some() {
                let line = mem::take(&mut self.line);
                return match self.outline.take() {
                    Some(outline) if line.len() > MAX_MESSAGE_BYTES => Line::TooLarge(outline),
                    Some(_) | None => Line::Whole(line),
                };
            }
        }
    }

    fn note_junk(&mut self, line: &[u8], why: &serde_json::Error) {
        let begin = String::from_utf8_lossy(&line[..line.len().min(200)]);
        if mem::replace(&mut self.has_said_junk, true) {
            tracing::debug!(server = %self.name, ?begin, %why, "a line that is no message");
        } else {
            tracing::warn!(
                server = %self.name, ?begin, %why,
                "the MCP server writes lines to its output that are no messages; \
                 they are passed over, and further ones are logged at debug level"
            );
        }
    }

    fn refuse_too_large(&self, outline: &Outline) -> Option<ServerJsonRpcMessage> {
        let id = outline.id();
        tracing::warn!(
            server = %self.name, ?id, limit_bytes = MAX_MESSAGE_BYTES,
            "a message of the MCP server is too large, and thrown away"
        );
        let error = ErrorData::new(ErrorCode::INTERNAL_ERROR, TOO_LARGE, None);
        id.map(|id| ServerJsonRpcMessage::error(error, Some(id)))
    }
}

impl Transport<RoleClient> for Pipes {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let input = Arc::clone(&self.input);
        let closed = self.closed.clone();
        let unwritten = Arc::clone(&self.unwritten);
        async move {
            let _unwritten = unwritten;
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let write = async {
                let mut input = input.lock().await;
                let input = input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
                input.write_all(&line).await?;
                input.flush().await
            };
            // A program that does not read would hold the pipe, and with it the end. No failure: who
            // waits for an answer is told of the end, and of the others there may be a thousand.
            tokio::select! {
                () = closed.cancelled() => Ok(()),
                written = write => written,
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            if Arc::strong_count(&self.unwritten) > MAX_UNWRITTEN {
                tracing::warn!(server = %self.name, "the MCP server does not read what it is sent");
                self.closed.cancel();
                return None;
            }
            if let Some(parsing) = &mut self.parsing {
                let parsed = parsing.await;
                self.parsing = None;
                match parsed {
                    Ok(Ok(message)) => return Some(message),
                    Ok(Err(error)) => self.note_junk(b"(a large message)", &error),
                    // The runtime is ending.
                    Err(_) => return None,
                }
            }
            match self.next_line().await {
                Line::End => return None,
                Line::TooLarge(outline) => {
                    if let Some(answer) = self.refuse_too_large(&outline) {
                        return Some(answer);
                    }
                }
                Line::Whole(line) if line.len() > LARGE_BYTES => {
                    let parse = move || serde_json::from_slice(&line);
                    self.parsing = Some(tokio::task::spawn_blocking(parse));
                }
                Line::Whole(line) if line.trim_ascii().is_empty() => {}
                Line::Whole(line) => match serde_json::from_slice(&line) {
                    Ok(message) => return Some(message),
                    Err(error) => self.note_junk(&line, &error),
                },
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.closed.cancel();
        *self.input.lock().await = None;
        Ok(())
    }
}
