//! Strings that match a pattern of a JSON Schema.

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The longest string that is made; a pattern that asks for more is given up.
const LONGEST: usize = 4096;

/// Whether the pattern, which is not anchored, is found in the text; a pattern that is not
/// understood takes everything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).map_or(true, |regex| regex.is_match(text))
}

/// A string that the pattern takes, if there is a simple one.
pub(super) fn example(pattern: &str) -> Option<String> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let mut text = String::new();
    write(&hir, &mut text, &mut 0)?;
    matches(pattern, &text).then_some(text)
}

fn write(hir: &Hir, text: &mut String, steps: &mut usize) -> Option<()> {
    *steps += 1;
    if text.len() > LONGEST || *steps > LONGEST {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(member(class)?),
        HirKind::Repetition(repetition) => {
            // One is more telling than none, where both are allowed.
            let times = repetition.min.max(u32::from(repetition.max.is_none()));
            for _ in 0..times {
                write(&repetition.sub, text, steps)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, text, steps)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, text, steps)?;
            }
        }
        HirKind::Alternation(parts) => write(parts.first()?, text, steps)?,
    }
    Some(())
}

/// A character of a class, a plain one where it has one.
fn member(class: &Class) -> Option<char> {
    match class {
        Class::Unicode(class) => {
            let has = |it: char| {
                let mut ranges = class.ranges().iter();
                ranges.any(|range| (range.start()..=range.end()).contains(&it))
            };
            ['1', 'a', 'A', '_', ' ']
                .into_iter()
                .find(|it| has(*it))
                .or_else(|| class.ranges().first().map(|range| range.start()))
        }
        Class::Bytes(class) => class
            .ranges()
            .first()
            .map(|range| char::from(range.start())),
    }
}
