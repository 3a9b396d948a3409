//! What went wrong, what to do about it, and the exit code that says so.

use std::{error::Error as _, io, process::ExitCode};

use taiwa_client::{Code, Error, ServerError, pb};

use crate::{offline, output::Output};

/// The ways a command can end, as exit codes; `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Refused = 3,
    Unavailable = 4,
    Exhausted = 5,
    Deadline = 6,
    Incomplete = 7,
    Interrupted = 130,
    ToldToStop = 143,
}

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    what: String,
    notes: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            notes: Vec::new(),
        }
    }

    /// Adds what to do, or a detail, on a line of its own.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The user pressed Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// The command was told to stop by another program, or its terminal is gone.
    pub(crate) fn told_to_stop() -> Self {
        Self::new(Exit::ToldToStop, "told to stop")
    }

    /// A result that the turn's status or stop reason says is not a whole answer.
    pub(crate) fn of_result(result: &pb::TurnResult) -> Option<Self> {
        if let Some(error) = &result.error {
            let failure = Self::from(Error::from(error.clone()));
            return Some(failure.unless_whole(result));
        }
        let failure = match result.status() {
            pb::TurnStatus::Interrupted => {
                Self::new(Exit::Interrupted, "the answer was interrupted")
            }
            pb::TurnStatus::Cancelled => Self::new(Exit::Incomplete, "the turn was cancelled"),
            pb::TurnStatus::Failed => Self::new(
                Exit::Other,
                "the turn failed, and the server does not say why",
            ),
            pb::TurnStatus::Paused if !result.pending_approvals.is_empty() => Self::new(
                Exit::Other,
                "the turn waits for consent to a tool call that this command cannot ask for",
            ),
            pb::TurnStatus::Paused => Self::new(
                Exit::Other,
                "the turn waits for the result of a tool that this command cannot run",
            ),
            pb::TurnStatus::Completed => Self::of_stop(result.stop_reason())?,
            pb::TurnStatus::Unspecified | pb::TurnStatus::Running => return None,
        };
        Some(failure.unless_whole(result))
    }

    /// A turn that was stopped before its answer was there; none for an answer that the model, or
    /// what bounds its length or content, ended.
    fn of_stop(reason: pb::StopReason) -> Option<Self> {
        match reason {
            pb::StopReason::MaxSteps => Some(Self::new(
                Exit::Exhausted,
                "the turn reached its limit of model calls",
            )),
            pb::StopReason::BudgetExceeded => {
                Some(Self::new(Exit::Exhausted, "the turn used up its budget"))
            }
            pb::StopReason::MalformedModelOutput | pb::StopReason::MalformedToolUse => Some(
                Self::new(Exit::Other, "the model's output could not be understood"),
            ),
            pb::StopReason::Unspecified
            | pb::StopReason::EndTurn
            | pb::StopReason::ToolUse
            | pb::StopReason::MaxTokens
            | pb::StopReason::StopSequence
            | pb::StopReason::GuardrailIntervened
            | pb::StopReason::ContentFiltered
            | pb::StopReason::ContextWindowExceeded
            | pb::StopReason::ApprovalRequired
            | pb::StopReason::Interrupted
            | pb::StopReason::Cancelled
            | pb::StopReason::Error
            | pb::StopReason::Incomplete => None,
        }
    }

    /// Turns a failure into "broke off" where the result says that it was in the midst of the answer.
    pub(crate) fn unless_whole(mut self, result: &pb::TurnResult) -> Self {
        if result.stop_reason() == pb::StopReason::Incomplete {
            self.exit = Exit::Incomplete;
        }
        self
    }

    /// The failure in one line, for those who go on after it.
    pub(crate) fn line(&self) -> &str {
        &self.what
    }

    /// Tells the user, and gives the exit code.
    pub(crate) fn report(self, output: &Output) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        output.complain(&self.what, &self.notes);
        ExitCode::from(self.exit as u8)
    }

    /// Whoever read the output has had enough: nobody is left to complain to.
    fn is_broken_pipe(&self) -> bool {
        self.what.is_empty()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Other, "");
        }
        Self::new(
            Exit::Other,
            format!("the terminal or standard output failed: {error}"),
        )
    }
}

impl From<offline::Error> for Failure {
    fn from(error: offline::Error) -> Self {
        Self::new(Exit::Unavailable, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Server(server) => Self::from(server.as_ref()),
            Error::Endpoint { .. } => Self::new(Exit::Usage, chain(&error))
                .note("give the address as --endpoint http://HOST:PORT"),
            Error::Unreachable { endpoint, .. } => {
                let failure = Self::new(Exit::Unavailable, innermost(&error));
                let offline = "start one with `taiwa-server --offline`, or name another with --endpoint or TAIWA_ENDPOINT";
                if endpoint.starts_with("https:") {
                    failure.note("is the server there, and does its certificate come from an authority that is trusted (--ca-file)?")
                } else {
                    failure.note(offline)
                }
            }
            Error::Cut { session_id, .. } => {
                let failure = Self::new(Exit::Incomplete, innermost(&error));
                if session_id.is_empty() {
                    failure
                } else {
                    failure.note(format!(
                        "the session is {session_id}; --session goes on with it"
                    ))
                }
            }
            Error::DeadlineExceeded { .. } => {
                Self::new(Exit::Deadline, chain(&error)).note("--timeout gives it longer")
            }
            Error::EventsLost { .. } => Self::new(Exit::Incomplete, chain(&error)),
            Error::Closed | Error::InputTakenOver | Error::Contract(_) => {
                Self::new(Exit::Other, chain(&error))
            }
            _ => Self::new(Exit::Other, chain(&error)),
        }
    }
}

impl From<&ServerError> for Failure {
    fn from(error: &ServerError) -> Self {
        let exit = match error.code {
            _ if error.reason == pb::ErrorReason::ModelStreamError => Exit::Incomplete,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => Exit::Refused,
            Code::Unavailable => Exit::Unavailable,
            Code::ResourceExhausted => Exit::Exhausted,
            Code::DeadlineExceeded => Exit::Deadline,
            Code::Cancelled => Exit::Incomplete,
            Code::Ok | Code::Unknown | Code::Aborted | Code::Internal | Code::DataLoss => {
                Exit::Other
            }
        };
        let reason = if error.reason == pb::ErrorReason::Unspecified {
            format!("{:?}", error.code)
        } else {
            error.reason.wire_name().to_owned()
        };
        let mut failure = Self::new(exit, format!("{} ({reason})", error.message));
        for violation in &error.field_violations {
            let note = format!("{}: {}", violation.field, violation.description);
            // With one bad field the message may be that already.
            if !error.message.contains(&note) {
                failure = failure.note(note);
            }
        }
        if let Some(advice) = advice(error.reason, error.code) {
            failure = failure.note(advice);
        }
        if let Some(delay) = error.retry_delay {
            let delay = humantime::format_duration(delay);
            failure = failure.note(format!(
                "the server asks to wait {delay} before the next try"
            ));
        }
        failure
    }
}

/// What the user can do, where it is not what the message says already.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most reasons are explained by their message"
)]
fn advice(reason: pb::ErrorReason, code: Code) -> Option<&'static str> {
    match reason {
        pb::ErrorReason::AgentNotFound => Some("`taiwa agents` lists those that the server offers"),
        pb::ErrorReason::SessionNotFound => {
            Some("`taiwa sessions` lists those that the server keeps")
        }
        pb::ErrorReason::TurnInProgress => {
            Some("another turn runs in this session; wait for it, or leave --session out")
        }
        pb::ErrorReason::UpstreamAccessDenied => {
            Some("the server's operator must grant it access to the model")
        }
        pb::ErrorReason::Unspecified if code == Code::Unimplemented => {
            Some("is this the address of a Taiwa server?")
        }
        _ => None,
    }
}

/// The error with all its causes, each told once.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// The error and its innermost cause: what lies between repeats either.
fn innermost(error: &Error) -> String {
    let mut innermost = error.source();
    while let Some(deeper) = innermost.and_then(|error| error.source()) {
        innermost = Some(deeper);
    }
    match innermost {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
