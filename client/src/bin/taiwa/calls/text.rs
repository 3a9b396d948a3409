//! What models and tools wrote, made fit for a terminal.

/// Parts that lie deeper are indented no further.
const DEEPEST: usize = 32;

/// The text without what a terminal would act on, or what would make it look like another: such
/// characters stand as their numbers.
pub(crate) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => safe.push(' '),
            // Marks of direction and width, which reorder or hide what stands around them.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => safe.extend(character.escape_unicode()),
            _ if character.is_control() => safe.extend(character.escape_unicode()),
            _ => safe.push(character),
        }
    }
    safe
}

/// The text cut to so many characters.
pub(super) fn clipped(text: &str, width: usize) -> String {
    let mut shown = text.chars();
    let mut clipped: String = shown.by_ref().take(width.saturating_sub(1)).collect();
    let Some(last) = shown.next() else {
        return clipped;
    };
    clipped.push(if shown.next().is_some() { '…' } else { last });
    clipped
}

/// JSON text in one line, as it was written save for the space between its parts, cut to so many
/// characters; an empty object is nothing.
pub(crate) fn folded(json: &str, width: usize) -> String {
    let mut line = String::new();
    for (character, is_in_string) in characters(json) {
        if is_in_string || !character.is_whitespace() {
            line.push(character);
            if !is_in_string && matches!(character, ',' | ':') {
                line.push(' ');
            }
        }
    }
    if line == "{}" {
        return String::new();
    }
    clipped(&safe(&line), width)
}

/// JSON text over several lines, part by part as it was written: a name that stands twice shows
/// twice.
pub(crate) fn pretty(json: &str) -> Vec<String> {
    let indent = |depth: usize| "  ".repeat(depth.min(DEEPEST));
    let (mut lines, mut line) = (Vec::new(), String::new());
    let (mut depth, mut has_opened) = (0_usize, false);
    for (character, is_in_string) in characters(json) {
        if !is_in_string && character.is_whitespace() {
            continue;
        }
        let closes = !is_in_string && matches!(character, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // What is empty stays in its line.
        if has_opened != closes {
            lines.push(std::mem::replace(&mut line, indent(depth)));
        }
        line.push(character);
        has_opened = !is_in_string && matches!(character, '{' | '[');
        match character {
            _ if is_in_string => {}
            '{' | '[' => depth += 1,
            ',' => lines.push(std::mem::replace(&mut line, indent(depth))),
            ':' => line.push(' '),
            _ => {}
        }
    }
    lines.push(line);
    lines.iter().map(|line| safe(line)).collect()
}

/// Each character, and whether it is part of a string.
fn characters(json: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut is_in_string, mut is_escaped) = (false, false);
    json.chars().map(move |character| {
        let was_in_string = is_in_string;
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_in_string => is_escaped = true,
            '"' => is_in_string = !is_in_string,
            _ => {}
        }
        (character, was_in_string || is_in_string)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_as_they_were_written() {
        let json = "{ \"a b\" : [1,\n 2, {}], \"a b\": \"x, {y}\\\"\" }";
        assert_eq!(
            folded(json, 80),
            r#"{"a b": [1, 2, {}], "a b": "x, {y}\""}"#
        );
        assert_eq!(folded(json, 10), "{\"a b\": […");
        assert_eq!(folded(" { } ", 80), "");
        let lines = [
            "{",
            "  \"a b\": [",
            "    1,",
            "    2,",
            "    {}",
            "  ],",
            "  \"a b\": \"x, {y}\\\"\"",
            "}",
        ];
        assert_eq!(pretty(json), lines);
    }

    #[test]
    fn what_would_deceive_the_reader_stands_as_its_number() {
        assert_eq!(
            safe("a\u{202e}b\u{1b}[2Jc\u{200b}\td日"),
            "a\\u{202e}b\\u{1b}[2Jc\\u{200b} d日"
        );
    }

    #[test]
    fn a_text_is_cut_only_where_it_is_too_long() {
        assert_eq!(clipped("abc", 3), "abc");
        assert_eq!(clipped("abcd", 3), "ab…");
    }
}
