//! What a text mentions that could be the value of a named field.

use std::ops::Range;

use serde_json::Value;

use super::prompt::{self, Reading};

/// Words that stand between a field's name and its value.
const JOINTS: [&str; 8] = ["is", "are", "=", "to", "of", "number", "called", "named"];

/// Words before a place or a person.
const BEFORE_NAMES: [&str; 6] = ["in", "for", "at", "to", "of", "from"];

/// Parts of names of fields that mean the thing the text is about.
const THINGS: [&str; 9] = [
    "item", "product", "thing", "article", "sku", "subject", "topic", "good", "part",
];

/// Parts of names of fields that mean the whole text.
const WHOLE: [&str; 8] = [
    "query",
    "question",
    "text",
    "message",
    "prompt",
    "input",
    "expression",
    "search",
];

const NUMBERS: [&str; 9] = [
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
];

/// A text, and which of its words have become values.
#[derive(Debug)]
pub(super) struct Mentions<'a> {
    text: &'a str,
    words: Vec<&'a str>,
    taken: Vec<bool>,
    quoted: Vec<&'a str>,
    /// Named values that tools found.
    facts: Vec<(String, Value)>,
    /// Words of errors: they name what was missed, but have no values.
    hints: Vec<String>,
}

impl<'a> Mentions<'a> {
    /// Reads what the user said and what tools found.
    pub(super) fn of(text: &'a str, found: &[&Value]) -> Self {
        let words: Vec<&str> = text.split_whitespace().map(bare).collect();
        let mut facts = Vec::new();
        for value in found {
            collect_facts(value, &mut facts, 0);
        }
        let quoted = ['"', '`', '\'']
            .into_iter()
            .flat_map(|mark| quotes(text, mark, mark))
            .chain(quotes(text, '“', '”'));
        Self {
            text,
            taken: vec![false; words.len()],
            words,
            quoted: quoted.collect(),
            facts,
            hints: Vec::new(),
        }
    }

    /// The same, where an error has told what was missed.
    pub(super) fn hinted(mut self, error: &str) -> Self {
        let words = error.split(|it: char| !(it.is_alphanumeric() || "_-".contains(it)));
        self.hints.extend(words.flat_map(parts));
        self
    }

    /// Whether the text speaks of a name: of all words in it.
    pub(super) fn names(&self, name: &str) -> bool {
        let parts = parts(name);
        let has = |part: &String| {
            self.words.iter().any(|word| same(word, part)) || self.hints.contains(part)
        };
        !parts.is_empty() && parts.iter().all(has)
    }

    /// What tools found under this name.
    pub(super) fn fact(&self, name: &str) -> Option<&Value> {
        let wanted = parts(name);
        let found = self.facts.iter().rev();
        let mut found = found.filter(|(name, _)| parts(name) == wanted);
        found.next().map(|(_, value)| value)
    }

    /// The value that stands beside a field's own name: `warehouse Oslo`, `name: "Ada"`.
    pub(super) fn beside(&mut self, name: &str) -> Option<String> {
        let parts = parts(name);
        let last = parts.last()?;
        let at = self.words.iter().position(|word| same(word, last))?;
        let mut next = at + 1;
        while self
            .words
            .get(next)
            .is_some_and(|word| JOINTS.contains(&word.to_lowercase().as_str()))
        {
            next += 1;
        }
        if let Some(quote) = self.quote_at(next) {
            return Some(quote);
        }
        let run = self.run_at(next);
        if !run.is_empty() {
            return Some(self.take(run));
        }
        // "the Oslo warehouse": the first word of a sentence is no name.
        let before = at.checked_sub(1)?;
        let is_name = before > 0 && self.is_capital(before) && !self.is_taken(before);
        is_name.then(|| self.take(before..at))
    }

    /// A number for a field: beside its name or its unit, or else the next that is free.
    pub(super) fn number(&mut self, name: &str) -> Option<&'a str> {
        let parts = parts(name);
        let numbers: Vec<usize> = (0..self.words.len())
            .filter(|at| !self.is_taken(*at) && self.number_at(*at).is_some())
            .collect();
        let is_beside = |at: &usize| {
            let near = at.saturating_sub(2)..(at + 2).min(self.words.len());
            let mut near = self.words.get(near).into_iter().flatten();
            near.any(|word| parts.iter().any(|part| same(word, part)))
        };
        let at = numbers.iter().copied().find(is_beside);
        let at = at.or_else(|| numbers.first().copied())?;
        let number = self.number_at(at);
        self.mark(at..at + 1);
        number
    }

    /// The first free word that passes, for dates, addresses and the like.
    pub(super) fn word(&mut self, passes: impl Fn(&str) -> bool) -> Option<String> {
        let at = (0..self.words.len())
            .find(|at| !self.is_taken(*at) && self.words.get(*at).is_some_and(|it| passes(it)))?;
        Some(self.take(at..at + 1))
    }

    /// The words that a field of this name most likely means.
    pub(super) fn phrase(&mut self, name: &str) -> String {
        let parts = parts(name);
        if WHOLE
            .iter()
            .any(|it| parts.iter().any(|part| part.contains(it)))
        {
            return self.text.trim().to_owned();
        }
        if !self.quoted.is_empty() {
            let quote = self.quoted.remove(0);
            self.mark_text(quote);
            return quote.to_owned();
        }
        if THINGS
            .iter()
            .any(|it| parts.iter().any(|part| same(part, it)))
            && let Some(thing) = self.counted()
        {
            return thing;
        }
        if let Some(name) = self.proper_noun() {
            return name;
        }
        match prompt::topic(self.text).as_str() {
            "this" if self.text.trim().is_empty() => "example".to_owned(),
            "this" => self.text.trim().to_owned(),
            topic => topic.to_owned(),
        }
    }

    /// What is counted or had: "how many anvils", "3 anvils", "of anvils".
    fn counted(&mut self) -> Option<String> {
        let is_thing = |at: usize| {
            let word = self.words.get(at).copied().unwrap_or("");
            let reading = Reading::of(word);
            !self.is_taken(at) && !reading.topic_words().is_empty() && !self.is_capital(at)
        };
        let behind = |at: usize| {
            let word = self
                .words
                .get(at)
                .map_or(String::new(), |it| it.to_lowercase());
            self.number_at(at).is_some() || ["many", "much", "some", "of"].contains(&word.as_str())
        };
        let at = (1..self.words.len()).find(|at| behind(at - 1) && is_thing(*at))?;
        Some(self.take(at..at + 1))
    }

    /// Capitalized words that are free, best behind "in", "for" and the like.
    fn proper_noun(&mut self) -> Option<String> {
        let free = |at: usize| self.is_capital(at) && !self.is_taken(at);
        let led = |at: usize| {
            let word = self
                .words
                .get(at - 1)
                .map_or(String::new(), |it| it.to_lowercase());
            BEFORE_NAMES.contains(&word.as_str())
        };
        let last = self.words.len();
        let at = (1..last)
            .find(|at| free(*at) && led(*at))
            .or_else(|| (1..last).find(|at| free(*at)))?;
        let run = self.run_at(at);
        Some(self.take(run))
    }

    /// Free words from here on that are capitalized or have digits.
    fn run_at(&self, start: usize) -> Range<usize> {
        let has_digit = |at: usize| {
            let word = self.words.get(at).copied().unwrap_or("");
            word.chars().any(|it| it.is_ascii_digit())
        };
        if has_digit(start) && !self.is_taken(start) {
            return start..start + 1;
        }
        let end = (start..self.words.len())
            .find(|at| !self.is_capital(*at) || self.is_taken(*at) || self.ends_phrase(*at, start));
        start..end.unwrap_or(self.words.len()).max(start)
    }

    /// Whether the word before this one, within a run, ends with a mark.
    fn ends_phrase(&self, at: usize, start: usize) -> bool {
        let Some(before) = at.checked_sub(1).filter(|before| *before >= start) else {
            return false;
        };
        let raw = self.text.split_whitespace().nth(before).unwrap_or("");
        raw.ends_with([',', '.', '?', '!', ';', ':'])
    }

    fn quote_at(&mut self, at: usize) -> Option<String> {
        let raw = self.text.split_whitespace().nth(at)?;
        let word = self.words.get(at)?;
        let starts = raw.starts_with(['"', '`', '\'', '“']);
        let position = self
            .quoted
            .iter()
            .position(|quote| starts && bare(quote).starts_with(word))?;
        let quote = self.quoted.remove(position);
        self.mark_text(quote);
        Some(quote.to_owned())
    }

    fn number_at(&self, at: usize) -> Option<&'a str> {
        let word = self.words.get(at).copied()?;
        let named = NUMBERS.iter().position(|it| word.eq_ignore_ascii_case(it));
        if let Some(number) = named {
            return ["2", "3", "4", "5", "6", "7", "8", "9", "10"]
                .get(number)
                .copied();
        }
        let word = word
            .trim_start_matches(['$', '€', '£', '#'])
            .trim_end_matches('%');
        let plain = word.starts_with(|it: char| it.is_ascii_digit() || it == '-');
        word.parse::<f64>().ok().filter(|_| plain).map(|_| word)
    }

    fn is_capital(&self, at: usize) -> bool {
        self.words
            .get(at)
            .and_then(|word| word.chars().next())
            .is_some_and(char::is_uppercase)
    }

    fn is_taken(&self, at: usize) -> bool {
        self.taken.get(at).copied().unwrap_or(false)
    }

    fn take(&mut self, range: Range<usize>) -> String {
        let words = self.words.get(range.clone()).unwrap_or(&[]).join(" ");
        self.mark(range);
        words
    }

    fn mark(&mut self, range: Range<usize>) {
        for taken in self.taken.get_mut(range).into_iter().flatten() {
            *taken = true;
        }
    }

    fn mark_text(&mut self, text: &str) {
        for word in text.split_whitespace().map(bare) {
            if let Some(at) = self.words.iter().position(|it| *it == word) {
                self.mark(at..at + 1);
            }
        }
    }
}

/// A word without the marks around it.
fn bare(word: &str) -> &str {
    word.trim_start_matches(|it: char| !(it.is_alphanumeric() || "-$€£#=/".contains(it)))
        .trim_end_matches(|it: char| !(it.is_alphanumeric() || "%=+#".contains(it)))
}

/// Whether two words are the same, but for case and a plural.
pub(super) fn same(one: &str, other: &str) -> bool {
    let stem = |word: &str| word.to_lowercase().trim_end_matches('s').to_owned();
    stem(one) == stem(other)
}

/// The words of a name: `warehouse_id`, `warehouseId` and `WAREHOUSE-ID` have the same.
pub(super) fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for char in name.chars() {
        let begins = char.is_uppercase() && was_lower;
        if (begins || !char.is_alphanumeric()) && parts.last().is_some_and(|it| !it.is_empty()) {
            parts.push(String::new());
        }
        if char.is_alphanumeric()
            && let Some(part) = parts.last_mut()
        {
            part.extend(char.to_lowercase());
        }
        was_lower = char.is_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What stands between marks that open at a word's start and close at a word's end.
fn quotes(text: &str, open: char, close: char) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let opens = rest
            .get(..start)
            .and_then(|before| before.chars().next_back())
            .is_none_or(|it| !it.is_alphanumeric());
        let Some(inner) = rest.get(start + open.len_utf8()..) else {
            break;
        };
        match inner.find(close) {
            Some(end) if opens => {
                found.extend(inner.get(..end).filter(|it| !it.trim().is_empty()));
                rest = inner.get(end + close.len_utf8()..).unwrap_or("");
            }
            _ => rest = inner,
        }
    }
    found
}

fn collect_facts(value: &Value, facts: &mut Vec<(String, Value)>, depth: usize) {
    const DEEPEST: usize = 8;
    const MOST: usize = 256;
    if depth > DEEPEST || facts.len() >= MOST {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if member.is_object() || member.is_array() {
                    collect_facts(member, facts, depth + 1);
                } else {
                    facts.push((name.clone(), member.clone()));
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                collect_facts(item, facts, depth + 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
