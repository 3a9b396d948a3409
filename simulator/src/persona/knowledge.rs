//! What the persona knows.

mod subjects;

use self::subjects::SUBJECTS;

/// Something that it can talk about.
#[derive(Debug)]
pub(super) struct Subject {
    /// Words by which a prompt names it, longest match first; in lower case.
    pub(super) keys: &'static [&'static str],
    pub(super) title: &'static str,
    pub(super) what: &'static str,
    pub(super) why: &'static str,
    pub(super) how: &'static str,
    pub(super) points: &'static [&'static str],
}

/// The subject that a prompt names by the longest key.
pub(super) fn find(lower: &str) -> Option<&'static Subject> {
    all(lower).into_iter().next()
}

/// All subjects that a prompt names, the most specific first.
pub(super) fn all(lower: &str) -> Vec<&'static Subject> {
    let mut named: Vec<(usize, &Subject)> = SUBJECTS
        .iter()
        .filter_map(|subject| {
            let keys = subject.keys.iter().filter(|key| has_phrase(lower, key));
            Some((keys.map(|key| key.len()).max()?, subject))
        })
        .collect();
    named.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    named.into_iter().map(|(_, subject)| subject).collect()
}

/// Whether the phrase occurs as words of its own, a plural `s` aside.
fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text.get(..at).and_then(|it| it.chars().next_back());
        let rest = text.get(at + phrase.len()..).unwrap_or("");
        let after = rest.strip_prefix('s').unwrap_or(rest).chars().next();
        let ends = |it: Option<char>| it.is_none_or(|it| !it.is_alphanumeric());
        ends(before) && ends(after)
    })
}
