//! What tokens say: text, piece by piece, or a call with its input.

use uuid::Uuid;

use crate::live::Event;

/// Turns the bytes of tokens into events.
#[derive(Debug)]
pub(super) struct Output {
    /// Bytes that are not a whole character yet.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a call or of a stop sequence.
    held: String,
    stops: Vec<String>,
    /// Tools that a call can name; without any, everything is text.
    tools: Vec<String>,
    state: State,
    events: Vec<Event>,
    is_call: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Nothing tells yet whether it is text or a call.
    Open,
    Text,
    /// Within the arguments of a call.
    Input(Nesting),
    /// The stop sequence that ended the text, or none for a call that is whole.
    Done(Option<String>),
}

/// How deep within JSON the output is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Output {
    pub(super) fn new(stops: Vec<String>, tools: Vec<String>) -> Self {
        Self {
            bytes: Vec::new(),
            held: String::new(),
            stops,
            state: if tools.is_empty() {
                State::Text
            } else {
                State::Open
            },
            tools,
            events: Vec::new(),
            is_call: false,
        }
    }

    /// Takes the bytes of a token.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let text = take_text(&mut self.bytes);
        self.held.push_str(&text);
        self.advance();
    }

    /// Lets go of what was held back; nothing more will come.
    pub(super) fn finish(&mut self) {
        let rest = String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned();
        self.held.push_str(&rest);
        self.advance();
        if matches!(self.state, State::Open | State::Text) {
            let held = std::mem::take(&mut self.held);
            self.say(held);
        }
    }

    /// What there is to send.
    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether nothing that follows matters.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Whether it is a call, whole or not.
    pub(super) fn is_call(&self) -> bool {
        self.is_call
    }

    /// The stop sequence that ended the text.
    pub(super) fn stop(&self) -> Option<&str> {
        match &self.state {
            State::Done(stop) => stop.as_deref(),
            State::Open | State::Text | State::Input(_) => None,
        }
    }

    fn advance(&mut self) {
        if self.state == State::Open {
            self.decide();
        }
        match self.state.clone() {
            State::Open | State::Done(_) => {}
            State::Text => self.text(),
            State::Input(nesting) => self.input(nesting),
        }
    }

    /// Finds out whether it is a call.
    fn decide(&mut self) {
        match head(&self.held, &self.tools) {
            Head::Unclear => {}
            Head::Text => self.state = State::Text,
            Head::Call { name, length } => {
                self.held.drain(..length);
                self.is_call = true;
                self.events.push(Event::Call {
                    id: format!("tooluse_{}", Uuid::new_v4().simple()),
                    name,
                });
                self.state = State::Input(Nesting::default());
            }
        }
    }

    fn text(&mut self) {
        let found = self
            .stops
            .iter()
            .filter_map(|stop| Some((self.held.find(stop.as_str())?, stop)))
            .min_by_key(|(at, _)| *at);
        if let Some((at, stop)) = found {
            let stop = stop.clone();
            self.held.truncate(at);
            let held = std::mem::take(&mut self.held);
            self.say(held);
            self.state = State::Done(Some(stop));
            return;
        }
        let kept = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        let text = std::mem::replace(&mut self.held, rest);
        self.say(text);
    }

    fn input(&mut self, mut nesting: Nesting) {
        let end = self
            .held
            .char_indices()
            .find_map(|(at, char)| nesting.closes(char).then(|| at + char.len_utf8()));
        self.state = State::Input(nesting);
        let mut piece = std::mem::take(&mut self.held);
        if let Some(end) = end {
            piece.truncate(end);
            self.state = State::Done(None);
        }
        if piece.is_empty() {
            return;
        }
        self.events.push(Event::Input(piece));
    }

    fn say(&mut self, text: String) {
        if !text.is_empty() {
            self.events.push(Event::Text(text));
        }
    }
}

impl Nesting {
    /// Whether this character closes the outermost object.
    fn closes(&mut self, char: char) -> bool {
        match char {
            _ if self.is_escaped => self.is_escaped = false,
            '\\' if self.in_string => self.is_escaped = true,
            '"' => self.in_string = !self.in_string,
            '{' | '[' if !self.in_string => self.depth += 1,
            '}' | ']' if !self.in_string => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

#[derive(Debug, PartialEq)]
enum Head {
    Unclear,
    Text,
    /// A call; its input begins behind so many bytes.
    Call {
        name: String,
        length: usize,
    },
}

/// Whether a text begins with `{"name": "…", "arguments":`, with or without a tag before it.
fn head(text: &str, tools: &[String]) -> Head {
    let mut rest = text;
    for (at, token) in ["<tool_call>", "{", "\"name\"", ":"]
        .into_iter()
        .enumerate()
    {
        rest = rest.trim_start();
        match rest.strip_prefix(token) {
            Some(behind) => rest = behind,
            None if token.starts_with(rest) => return Head::Unclear,
            // Only the tag may be missing.
            None if at == 0 => {}
            None => return Head::Text,
        }
    }
    rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        return if rest.is_empty() {
            Head::Unclear
        } else {
            Head::Text
        };
    };
    let Some((name, behind)) = quoted.split_once('"') else {
        let can_be = tools.iter().any(|tool| tool.starts_with(quoted));
        return if can_be { Head::Unclear } else { Head::Text };
    };
    if !tools.iter().any(|tool| tool == name) {
        return Head::Text;
    }
    rest = behind;
    for token in [",", "\"arguments\"", ":"] {
        rest = rest.trim_start();
        match rest.strip_prefix(token) {
            Some(behind) => rest = behind,
            None if token.starts_with(rest) => return Head::Unclear,
            None => return Head::Text,
        }
    }
    rest = rest.trim_start();
    if rest.is_empty() {
        return Head::Unclear;
    }
    Head::Call {
        name: name.to_owned(),
        length: text.len() - rest.len(),
    }
}

/// How many bytes at the end of a text are the beginning of a stop sequence.
fn overlap(text: &str, stop: &str) -> usize {
    (1..stop.len())
        .rev()
        .filter(|length| stop.is_char_boundary(*length))
        .find(|length| text.ends_with(stop.get(..*length).unwrap_or(stop)))
        .unwrap_or(0)
}

/// The whole characters at the beginning; bytes that can never be one become a mark.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        match std::str::from_utf8(bytes) {
            Ok(whole) => {
                text.push_str(whole);
                bytes.clear();
                return text;
            }
            Err(error) => {
                let valid = error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(bytes.get(..valid).unwrap_or(&[])));
                match error.error_len() {
                    // The rest may become a character.
                    None => {
                        bytes.drain(..valid);
                        return text;
                    }
                    Some(length) => {
                        text.push(char::REPLACEMENT_CHARACTER);
                        bytes.drain(..valid + length);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::wildcard_enum_match_arm,
        reason = "an output has few of the events, and a test fails on others"
    )]

    use super::*;

    fn told(stops: &[&str], tools: &[&str], pieces: &[&str]) -> (String, Output) {
        let own = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        let mut output = Output::new(own(stops), own(tools));
        let mut told = Vec::new();
        for piece in pieces {
            output.push(piece.as_bytes());
            told.extend(output.events());
        }
        output.finish();
        told.extend(output.events());
        let told = told.into_iter().map(|event| match event {
            Event::Text(text) => format!("text {text:?}"),
            Event::Call { name, .. } => format!("call {name}"),
            Event::Input(piece) => format!("input {piece}"),
            other => panic!("{other:?}"),
        });
        (told.collect::<Vec<_>>().join(" | "), output)
    }

    #[test]
    fn text_goes_out_as_it_comes_but_for_what_may_be_a_stop_sequence() {
        let (said, output) = told(&["END", "E!"], &[], &["a", "bE", "N", "x", "E", "ND", "y"]);
        assert_eq!(said, r#"text "a" | text "b" | text "ENx""#);
        assert_eq!(output.stop(), Some("END"));

        let (said, output) = told(&["END"], &[], &["the EN"]);
        assert_eq!(said, r#"text "the " | text "EN""#);
        assert_eq!(output.stop(), None);
    }

    #[test]
    fn characters_are_sent_whole() {
        let mut output = Output::new(Vec::new(), Vec::new());
        let bytes = "日本".as_bytes();
        output.push(&bytes[..4]);
        output.push(&bytes[4..]);
        output.push(&[0xff, b'a', 0xe6]);
        output.finish();
        let text: String = output
            .events()
            .into_iter()
            .map(|event| match event {
                Event::Text(text) => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(text, "日本\u{fffd}a\u{fffd}");
    }

    #[test]
    fn a_call_is_told_by_its_head_and_ends_with_its_input() {
        for pieces in [
            &[
                "{\"na",
                "me\": \"clo",
                "ck\", \"arguments\": {\"at\": ",
                "\"}\"}",
                "}\n",
            ][..],
            &["<tool_call>\n{\"name\":\"clock\",\"arguments\":{\"at\": \"}\"}}\n</tool_call>"][..],
        ] {
            let (said, output) = told(&[], &["clock"], pieces);
            let (call, input) = said.split_once(" | ").unwrap();
            assert_eq!(call, "call clock");
            let input = input.replace(" | input ", "").replace("input ", "");
            assert_eq!(input, r#"{"at": "}"}"#);
            assert!(output.is_done() && output.is_call());
        }
    }

    #[test]
    fn what_only_looks_like_a_call_is_text() {
        for text in [
            "Hello {\"name\": \"clock\", \"arguments\": {}}",
            "{\"name\": \"cloud\", \"arguments\": {}}",
            "{\"name\": \"clock\", \"age\": 3}",
            "{\"na",
        ] {
            let (said, output) = told(&[], &["clock"], &[text]);
            assert_eq!(said, format!("text {text:?}"));
            assert!(!output.is_call());
        }
    }
}
