//! Names that a caller chooses: sessions, requests, frames, tools.

use super::violations::Violations;

/// Longest id that a caller chooses, in characters.
const MAX_ID_CHARS: usize = 128;

/// Longest tool name, in characters.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html>
const MAX_TOOL_NAME_CHARS: usize = 64;

/// Longest tool call id or tool name that a model is known to give, with room to spare.
const MAX_MODEL_WORD_CHARS: usize = 256;

/// Reads a session's id; empty means none.
pub(super) fn session_id(id: String, violations: &mut Violations) -> Option<String> {
    optional("session_id", id, violations, |id| {
        let fits = id.len() <= MAX_ID_CHARS && id.bytes().all(is_word);
        (!fits).then(|| "must be 1 to 128 letters, digits, underscores or hyphens".to_owned())
    })
}

/// Reads a key under which a repeat is recognised; empty means none.
pub(super) fn repeat_key(field: &str, key: String, violations: &mut Violations) -> Option<String> {
    optional(field, key, violations, |key| {
        let fits = is_printable(key, MAX_ID_CHARS);
        (!fits).then(|| "must be 1 to 128 printable characters".to_owned())
    })
}

/// Checks the name of a declared tool, as the field that is being looked at.
pub(super) fn check_tool_name(name: &str, violations: &mut Violations) -> bool {
    let fits = (1..=MAX_TOOL_NAME_CHARS).contains(&name.len()) && name.bytes().all(is_word);
    if !fits {
        violations.refuse("must be 1 to 64 letters, digits, underscores or hyphens");
    }
    fits
}

/// Checks an id or a name that came from a model, in a field of what is being looked at.
pub(super) fn check_model_word(field: &str, word: &str, violations: &mut Violations) -> bool {
    let fits = !word.is_empty() && is_printable(word, MAX_MODEL_WORD_CHARS);
    if !fits {
        violations.refuse_field(field, "must be 1 to 256 printable characters");
    }
    fits
}

fn optional(
    field: &str,
    id: String,
    violations: &mut Violations,
    fault: impl FnOnce(&str) -> Option<String>,
) -> Option<String> {
    if id.is_empty() {
        return None;
    }
    match fault(&id) {
        None => Some(id),
        Some(description) => {
            violations.refuse_field(field, description);
            None
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_printable(text: &str, max_chars: usize) -> bool {
    text.chars().take(max_chars + 1).count() <= max_chars && !text.chars().any(char::is_control)
}
