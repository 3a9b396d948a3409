//! Every bound of a session, with its unit and default.

use std::{
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    time::{Duration, Instant},
};

/// Most blocks, or parts, of one message or tool result.
///
/// A guess far above what models take; it bounds what blocks without content cost.
pub const MAX_MESSAGE_BLOCKS: usize = 4_096;

/// Most blocks of a history; a guess that bounds what small ones cost, at about 16 MiB.
pub const MAX_HISTORY_BLOCKS: usize = 65_536;

/// Longest wait for a client's tool result or a person's consent, whatever is asked for.
///
/// A guess: long enough for a person to decide, short enough to give a paused turn up one day.
pub const MAX_CLIENT_TOOL_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The time after `wait`; a wait that no clock can hold is one of a year.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    now + wait.min(YEAR)
}

/// Bounds of a session and of its turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most model calls in a turn. Default 25.
    pub max_steps: NonZeroU32,
    /// Longest time for a turn. Default 15 min.
    pub turn_timeout: Duration,
    /// Most tokens, input and output, for a turn. Default: none.
    pub max_total_tokens: Option<NonZeroU64>,
    /// Longest wait for a model's first event, counted from the call. Default 60 s.
    ///
    /// Too short a value abandons calls whose long prompt the model still reads.
    pub first_event_timeout: Duration,
    /// Longest silence between two events of a model's stream. Default 60 s.
    ///
    /// Too short a value abandons turns in which the model thinks before it speaks.
    pub model_idle_timeout: Duration,
    /// Longest wait for a client's tool result, where the tool names none. Default 5 min.
    pub client_tool_timeout: Duration,
    /// Longest run of a tool by the server, where the tool names none. Default 60 s.
    pub tool_timeout: Duration,
    /// Longest wait for a person's consent. Default 5 min.
    pub approval_timeout: Duration,
    /// Most tools of a turn that the server runs at once. Default 8.
    pub max_concurrent_tools: NonZeroUsize,
    /// Steps in a row whose calls all cannot run, after which the turn ends. Default 3.
    ///
    /// A model that is told what is wrong usually does better at once; one that does not would go
    /// on until its steps are used up.
    pub max_faulty_steps: NonZeroU32,
    /// Times that the model may mend a reply that does not fit the form asked for. Default 1.
    pub max_output_repairs: u32,
    /// Inputs that may wait while a turn runs. Default 16.
    pub max_queued_inputs: usize,
    /// Largest message of a user, in bytes. Default 24 MiB.
    ///
    /// Bedrock takes request bodies up to about 25 MB, and base64 grows them by a third.
    pub max_input_bytes: usize,
    /// Largest tool result, in bytes. Default 4 MiB.
    pub max_tool_result_bytes: usize,
    /// Largest output of one model call, in bytes. Default 32 MiB.
    pub max_output_bytes: usize,
    /// Largest history that takes further input, in bytes. Default 64 MiB.
    ///
    /// Reached within a turn, it ends the turn before the next model call; the history can go
    /// beyond it by one answer of the model.
    pub max_history_bytes: usize,
    /// Frame ids remembered, to recognise repeats. Default 1,024.
    pub max_frame_ids: usize,
    /// Ended turns remembered for `GetTurn`, within the bytes of one history. Default 32.
    pub max_kept_turns: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_steps: const { NonZeroU32::new(25).expect("25 is not zero") },
            turn_timeout: Duration::from_secs(15 * 60),
            max_total_tokens: None,
            first_event_timeout: Duration::from_secs(60),
            model_idle_timeout: Duration::from_secs(60),
            client_tool_timeout: Duration::from_secs(5 * 60),
            tool_timeout: Duration::from_secs(60),
            approval_timeout: Duration::from_secs(5 * 60),
            max_concurrent_tools: const { NonZeroUsize::new(8).expect("8 is not zero") },
            max_faulty_steps: const { NonZeroU32::new(3).expect("3 is not zero") },
            max_output_repairs: 1,
            max_queued_inputs: 16,
            max_input_bytes: 24 << 20,
            max_tool_result_bytes: 4 << 20,
            max_output_bytes: 32 << 20,
            max_history_bytes: 64 << 20,
            max_frame_ids: 1024,
            max_kept_turns: 32,
        }
    }
}
