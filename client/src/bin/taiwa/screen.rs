//! Lines that stay, and below them lines that are drawn again and again.

use std::{
    borrow::Cow,
    io::{self, Write as _},
};

use unicode_width::UnicodeWidthChar as _;

use crate::failure::Failure;

/// The lower part of a terminal: what was printed scrolls away above, the live
/// lines at the bottom are replaced with each drawing.
#[derive(Debug)]
pub(crate) struct Screen {
    painted: bool,
    /// Rows from the first live line to the cursor.
    cursor_row: usize,
    /// Live lines on the screen.
    rows: usize,
}

/// Where the cursor stands among the live lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl Screen {
    /// Begins below what is on the terminal; lines lose their colours unless `painted`.
    pub(crate) fn new(painted: bool) -> Self {
        Self {
            painted,
            cursor_row: 0,
            rows: 0,
        }
    }

    /// Prints `finished` for good, and `live` below it until the next drawing.
    ///
    /// Live lines beyond the height of the terminal are left out from the top,
    /// where they could not be wiped off again.
    pub(crate) fn draw(
        &mut self,
        finished: &[String],
        live: &[String],
        cursor: Option<Cursor>,
    ) -> Result<(), Failure> {
        let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
        let hidden = live
            .len()
            .saturating_sub(usize::from(rows).saturating_sub(1));
        let clip = |line: &String| clip(line, usize::from(columns));
        let live: Vec<_> = live[hidden..].iter().map(clip).collect();
        let frame = self.frame(
            finished,
            &live,
            cursor.map(|cursor| Cursor {
                row: cursor.row.saturating_sub(hidden),
                ..cursor
            }),
        );
        let mut stdout = io::stdout().lock();
        stdout.write_all(frame.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Everything to write for one drawing. Terminals that know it show it at
    /// once, between the marks of a synchronized update.
    fn frame(&mut self, finished: &[String], live: &[String], cursor: Option<Cursor>) -> String {
        let mut frame = "\x1b[?2026h".to_owned();
        if self.cursor_row > 0 {
            frame.push_str(&format!("\x1b[{}A", self.cursor_row));
        }
        frame.push('\r');
        let lines: Vec<_> = finished.iter().chain(live).collect();
        let shrinks = lines.len() < self.rows;
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                frame.push_str("\r\n");
            }
            // Line by line: a terminal multiplexer takes a screen that is wiped
            // from its first cell on for a page to keep in its history.
            let wipe = if shrinks && index + 1 == lines.len() {
                "\x1b[J"
            } else {
                "\x1b[K"
            };
            frame.push_str(wipe);
            frame.push_str(&self.look(line));
        }
        if live.is_empty() {
            if !finished.is_empty() {
                frame.push_str("\r\n");
            }
            frame.push_str("\x1b[J");
        }
        self.rows = live.len();
        let last_row = live.len().saturating_sub(1);
        self.cursor_row = last_row;
        if let Some(cursor) = cursor {
            self.cursor_row = cursor.row.min(last_row);
            if last_row > self.cursor_row {
                frame.push_str(&format!("\x1b[{}A", last_row - self.cursor_row));
            }
            frame.push('\r');
            if cursor.column > 0 {
                frame.push_str(&format!("\x1b[{}C", cursor.column));
            }
        }
        frame.push_str("\x1b[?2026l");
        frame
    }

    fn look<'a>(&self, line: &'a str) -> Cow<'a, str> {
        if self.painted || !line.contains('\x1b') {
            return Cow::Borrowed(line);
        }
        let mut parts = line.split("\x1b[");
        let mut plain = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
        }
        Cow::Owned(plain)
    }
}

/// Cuts a painted line to so many columns: a live line must not take two rows.
fn clip(line: &str, columns: usize) -> String {
    let mut clipped = String::new();
    let mut used = 0;
    let mut in_sequence = false;
    for character in line.chars() {
        if in_sequence {
            in_sequence = character != 'm';
        } else if character == '\x1b' {
            in_sequence = true;
        } else {
            used += character.width().unwrap_or(0);
            if used > columns {
                // The sequences that follow end the colours.
                continue;
            }
        }
        clipped.push(character);
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_lines_are_wiped_off_and_finished_ones_stay() {
        let mut screen = Screen::new(true);
        let first = screen.frame(&[], &["a".to_owned(), "b".to_owned()], None);
        let cursor = Cursor { row: 0, column: 3 };
        let second = screen.frame(
            &["A".to_owned()],
            &["b".to_owned(), "> x".to_owned()],
            Some(cursor),
        );
        let third = screen.frame(&["B".to_owned()], &[], None);
        let show = |frame: String| {
            frame
                .replace('\x1b', "^")
                .replace("^[?2026h", "")
                .replace("^[?2026l", "")
        };
        assert_eq!(show(first), "\r^[Ka\r\n^[Kb");
        assert_eq!(show(second), "^[1A\r^[KA\r\n^[Kb\r\n^[K> x^[1A\r^[3C");
        assert_eq!(show(third), "\r^[JB\r\n^[J");
    }

    #[test]
    fn a_line_wider_than_the_terminal_is_cut_between_its_colours() {
        let line = crate::render::bold("abc") + "d日ef";
        assert_eq!(clip(&line, 5), "\x1b[1mabc\x1b[0md");
        assert_eq!(clip(&line, 6), "\x1b[1mabc\x1b[0md日");
        assert_eq!(clip(&crate::render::bold("abc"), 2), "\x1b[1mab\x1b[0m");
    }

    #[test]
    fn without_colours_the_text_stays() {
        let mut screen = Screen::new(false);
        let frame = screen.frame(
            &[crate::render::bold("a") + "b" + &crate::render::dim("c")],
            &[],
            None,
        );
        assert!(frame.contains("abc"), "{frame:?}");
    }
}
