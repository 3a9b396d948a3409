//! One call of a script: what it is given, what is taken of it, and its end.

use std::{
    io,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;
use taiwa_client::pb;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

use super::{Script, groups::Groups};

/// Most that is taken of a script's output: more than models read, and a quarter of what a server
/// takes by default.
const MOST_OUTPUT: usize = 1 << 20;

/// What is kept of the end of a script's standard error.
const ERROR_TAIL: usize = 2 << 10;

/// How long the output of a script that has ended is waited for, where a process that left its
/// group holds the pipe.
const REST: Duration = Duration::from_secs(1);

/// What a script gave, or why it did not, for the model to read.
pub(super) type Outcome = Result<String, String>;

/// Runs a call to its end. Dropping the future kills the script with its group.
pub(super) async fn run(
    script: &Script,
    call: &pb::ToolCall,
    session_id: &str,
    groups: &Groups,
) -> Outcome {
    let mut command = Command::new(&script.program);
    command
        .args(&script.arguments)
        .env("TAIWA_TOOL_CALL_ID", &call.tool_call_id)
        .env("TAIWA_IDEMPOTENCY_KEY", &call.idempotency_key)
        .env("TAIWA_SESSION_ID", session_id)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let cannot_start = |error: io::Error| format!("the script cannot be started: {error}");
    let (mut child, group) = groups.start(&mut command).map_err(cannot_start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let mut feeding = pin!(async {
        if let Some(mut stdin) = stdin {
            // A script need not read what it is given.
            let _ = stdin.write_all(call.input_json.as_bytes()).await;
        }
    });
    let status = {
        let mut reading = pin!(async {
            tokio::try_join!(whole(stdout, &mut said), tail(stderr, &mut complained))
        });
        let (mut is_fed, mut is_read) = (false, false);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = &mut feeding, if !is_fed => is_fed = true,
                read = &mut reading, if !is_read => {
                    read?;
                    is_read = true;
                }
            }
        };
        // What the script left behind would hold its output open.
        drop(group);
        if !is_read && let Ok(read) = timeout(REST, &mut reading).await {
            read?;
        }
        status
    };
    let status = status.map_err(|error| format!("the script was lost: {error}"))?;
    if status.success() {
        return Ok(words(&said));
    }
    let last = if complained.is_empty() {
        said
    } else {
        complained
    };
    let last = words(&last[last.len().saturating_sub(ERROR_TAIL)..]);
    Err(format!("the script {}:\n{last}", how(status))
        .trim_end_matches([':', '\n'])
        .to_owned())
}

/// Why a script was stopped that ran too long.
pub(super) fn too_long(limit: Duration) -> String {
    let seconds = limit.as_secs_f64();
    format!("the script did not end within {seconds:.1} s and was stopped")
}

/// What the model is told.
pub(super) fn result(tool_call_id: &str, outcome: Outcome) -> pb::ToolResult {
    use pb::tool_result_block::Block;

    let is_error = outcome.is_err();
    let (Ok(text) | Err(text)) = outcome;
    let is_object = || matches!(serde_json::from_str(&text), Ok(Value::Object(_)));
    let mut result = pb::ToolResult {
        tool_call_id: tool_call_id.to_owned(),
        is_error,
        ..Default::default()
    };
    if !is_error && is_object() {
        let block = Some(Block::Json(text));
        result.content.push(pb::ToolResultBlock { block });
    } else {
        result.text = text;
    }
    result
}

/// Reads all there is, up to the bound.
async fn whole(pipe: Option<impl AsyncRead + Unpin>, read: &mut Vec<u8>) -> Result<(), String> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut pipe = pipe.take(MOST_OUTPUT as u64 + 1);
    // A pipe that breaks ends what was said.
    while pipe.read_buf(read).await.is_ok_and(|bytes| bytes > 0) {}
    if read.len() > MOST_OUTPUT {
        return Err(format!(
            "the script wrote more than {} KiB and was stopped; ask for less",
            MOST_OUTPUT >> 10
        ));
    }
    Ok(())
}

/// Reads to the end, and keeps the last of it.
async fn tail(pipe: Option<impl AsyncRead + Unpin>, read: &mut Vec<u8>) -> Result<(), String> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    while pipe.read_buf(read).await.is_ok_and(|bytes| bytes > 0) {
        if read.len() > 8 * ERROR_TAIL {
            read.drain(..read.len() - ERROR_TAIL);
        }
    }
    Ok(())
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was ended by signal {signal}");
    }
    let code = status.code().unwrap_or_default();
    format!("exited with {code}")
}
