//! The user's own editor, for arguments of several lines.

use std::{fs, io::Write as _, process::Stdio};

use tokio::process::Command;

/// Lets the user edit the text; what goes wrong is told in words.
pub(super) async fn edit(editor: &str, text: &str) -> Result<String, String> {
    let mut words = editor.split_whitespace();
    let program = words.next().ok_or("the editor has no name")?;
    let failed = |error: std::io::Error| format!("{program} cannot be used: {error}");
    let mut file = tempfile::Builder::new()
        .prefix("taiwa-")
        .suffix(".json")
        .tempfile()
        .map_err(failed)?;
    writeln!(file, "{text}").map_err(failed)?;
    let status = Command::new(program)
        .args(words)
        .arg(file.path())
        // What the command prints may go to a pipe; the editor is for the terminal.
        .stdout(Stdio::from(std::io::stderr()))
        .kill_on_drop(true)
        .status()
        .await
        .map_err(failed)?;
    if !status.success() {
        return Err(format!(
            "{program} ended with {status}; nothing was changed"
        ));
    }
    // An editor may put another file in the place of this one.
    fs::read_to_string(file.path()).map_err(failed)
}
