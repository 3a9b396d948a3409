//! Consent to tool calls: by the user, by flags, or refused since nobody is there.

use std::io::{self, IsTerminal as _};

use taiwa_client::{Decision, pb};

use crate::{args::Answers, calls::safe};

mod dialog;
mod editor;
mod line;

pub(crate) use dialog::{Dialog, Step};
pub(crate) use line::{Asker, Lines, lines};

/// Who decides on calls that need consent.
#[derive(Debug)]
pub(crate) struct Consent {
    yes_to: Vec<String>,
    /// A person can be asked.
    has_person: bool,
}

impl Consent {
    /// Asks a person where `draws` says that a terminal is drawn on, or where lines on standard
    /// error are read and answered by one.
    pub(crate) fn new(answers: &Answers, draws: bool) -> Self {
        let has_lines = || io::stdin().is_terminal() && io::stderr().is_terminal();
        Self {
            yes_to: answers.yes_to.clone(),
            has_person: draws || has_lines(),
        }
    }

    /// Decides what needs no asking, and says so in words.
    pub(crate) fn by_itself(&self, request: &pb::ApprovalRequest) -> Option<(Decision, String)> {
        let call = request.tool_call.clone().unwrap_or_default();
        let name = &call.tool_name;
        let shown = safe(name);
        if self.yes_to.iter().any(|pattern| matches(pattern, name)) {
            let said = format!("consent to {shown}: given by --yes-to");
            return Some((Decision::approve(request), said));
        }
        if self.has_person {
            return None;
        }
        let comment = "nobody is there who could consent";
        let said = format!(
            "consent to {shown}: refused, since nobody can be asked; --yes-to '{shown}' gives it"
        );
        Some((Decision::refuse(request).comment(comment), said))
    }
}

/// Whether the pattern covers the name: `*` is any text, `?` any character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last star stood, and what it covers up to.
    let mut star = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&expected) if expected == '?' || expected == name[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, covered)) = star else {
                    return false;
                };
                star = Some((star_at, covered + 1));
                at = star_at + 1;
                from = covered + 1;
            }
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_whole_names() {
        for (pattern, name, expected) in [
            ("pay", "pay", true),
            ("pay", "payment", false),
            ("pay*", "payment", true),
            ("*", "", true),
            ("*_file", "read_file", true),
            ("r*d_*l??", "read_file_file", false),
            ("r*d_*le", "read_file_file", true),
            ("fil?", "fil", false),
            ("", "x", false),
            ("Pay", "pay", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
