//! Values of a scenario that TOML has no type for: times, chunks, names out of a list.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::Error;
use crate::reply::Chunks;

/// More would overflow the clock.
const LONGEST_DELAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Keeps counts of chunks and tokens within 64 bits.
const MAX_REPEAT: u64 = 1_000_000_000;

/// A time like `"48ms"` or `"1.5s"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delay(pub(super) Duration);

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = humantime::parse_duration(&text)
            .map_err(|error| de::Error::custom(format!("{text:?} is not a time: {error}")))?;
        if duration > LONGEST_DELAY {
            return Err(de::Error::custom(format!("{text:?} is longer than a year")));
        }
        Ok(Self(duration))
    }
}

/// One string, or a list of strings that are sent as they are.
#[derive(Debug)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = OneOrMany;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut pieces = Vec::new();
                while let Some(piece) = list.next_element()? {
                    pieces.push(piece);
                }
                Ok(OneOrMany::Many(pieces))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl OneOrMany {
    /// A list is sent as it stands; a string is split by `chunk_chars`, if there is one,
    /// and else behind each word.
    pub(super) fn into_chunks(
        self,
        field: &str,
        chunk_chars: Option<usize>,
        repeat: Option<u64>,
    ) -> Result<Chunks, Error> {
        let pieces = match (self, chunk_chars) {
            (_, Some(0)) => return Err(bad(&format!("{field}.chunk_chars"), "must be at least 1")),
            (Self::Many(_), Some(_)) => {
                return Err(bad(
                    &format!("{field}.chunk_chars"),
                    "splits a string; this text is a list and is sent as it stands",
                ));
            }
            (Self::Many(pieces), None) => pieces,
            (Self::One(text), Some(size)) => split_chars(&text, size),
            (Self::One(text), None) => split_words(&text),
        };
        let repeat = repeat.unwrap_or(1);
        if !(1..=MAX_REPEAT).contains(&repeat) {
            return Err(bad(
                &format!("{field}.repeat"),
                "must be between 1 and 1,000,000,000",
            ));
        }
        Ok(Chunks { pieces, repeat })
    }
}

fn split_chars(text: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(size)
        .map(|chunk| chunk.iter().collect())
        .collect()
}

/// Splits a text so that each piece is a word with the space before it.
pub(crate) fn split_words(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut in_word = false;
    for letter in text.chars() {
        let starts = letter.is_whitespace() && in_word;
        in_word = !letter.is_whitespace();
        match pieces.last_mut() {
            Some(piece) if !starts => piece.push(letter),
            _ => pieces.push(letter.to_string()),
        }
    }
    pieces
}

pub(super) fn bad(field: &str, problem: impl Into<String>) -> Error {
    Error::Value {
        field: field.to_owned(),
        problem: problem.into(),
    }
}

/// Holds a value to a list of names.
pub(super) fn one_of(field: &str, value: String, known: &[&str]) -> Result<String, Error> {
    if known.contains(&value.as_str()) {
        Ok(value)
    } else {
        Err(bad(
            field,
            format!("{value:?} is none of {}", known.join(", ")),
        ))
    }
}
