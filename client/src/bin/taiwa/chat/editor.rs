//! The line that is being typed.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use unicode_width::UnicodeWidthChar as _;

use crate::screen::Cursor;

/// What stands before the text, and before the rows that go on with it.
const PROMPT: &str = "› ";
const PROMPT_COLUMNS: usize = 2;

/// Text with a cursor in it, and what was typed before.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    /// Byte position in the text, on a character's edge.
    cursor: usize,
    history: Vec<String>,
    /// Entry of the history that is shown; its length means the text of one's own.
    shown: usize,
    draft: String,
}

/// What a key asks for beyond the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Nothing,
    Send(String),
    /// There is nothing to send.
    Empty,
    Interrupt,
    End,
}

impl Editor {
    /// Begins with a text.
    pub(super) fn with(text: String) -> Self {
        Self {
            cursor: text.len(),
            text,
            ..Self::default()
        }
    }

    /// Takes a key in.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "keys that edit nothing are many, and more may come"
    )]
    pub(super) fn key(&mut self, key: KeyEvent) -> Asks {
        if key.kind == KeyEventKind::Release {
            return Asks::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return self.control(key.code);
        }
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Enter if alt => self.insert("\n"),
            KeyCode::Enter => return self.send(),
            KeyCode::Char('b') if alt => self.cursor = self.word_before(),
            KeyCode::Char('f') if alt => self.cursor = self.word_after(),
            KeyCode::Char(character) if !alt => self.insert(character.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if alt => self.delete(self.word_before()..self.cursor),
            KeyCode::Backspace => self.delete(self.before()..self.cursor),
            KeyCode::Delete => self.delete(self.cursor..self.after()),
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.after(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Up => self.recall(self.shown.saturating_sub(1)),
            KeyCode::Down => self.recall(self.shown + 1),
            _ => {}
        }
        Asks::Nothing
    }

    /// Throws the text away; false when there was none.
    pub(super) fn clear(&mut self) -> bool {
        let had_text = !self.text.is_empty();
        self.replace(String::new());
        had_text
    }

    /// Inserts what was pasted, line ends included.
    pub(super) fn paste(&mut self, text: &str) {
        self.insert(&text.replace("\r\n", "\n").replace('\r', "\n"));
    }

    /// The rows to draw on a terminal of `width` columns, and where the cursor stands in them.
    pub(super) fn rows(&self, width: usize) -> (Vec<String>, Cursor) {
        let mut rows = vec![PROMPT.to_owned()];
        let mut column = PROMPT_COLUMNS;
        let mut cursor = None;
        for (position, character) in self.text.char_indices() {
            let columns = character.width().unwrap_or(0);
            if column + columns >= width.max(PROMPT_COLUMNS + 3) {
                rows.push(" ".repeat(PROMPT_COLUMNS));
                column = PROMPT_COLUMNS;
            }
            if position == self.cursor {
                cursor = Some(Cursor {
                    row: rows.len() - 1,
                    column,
                });
            }
            if character == '\n' {
                rows.push(" ".repeat(PROMPT_COLUMNS));
                column = PROMPT_COLUMNS;
            } else if let Some(row) = rows.last_mut()
                && !character.is_control()
            {
                row.push(character);
                column += columns;
            }
        }
        let end = Cursor {
            row: rows.len() - 1,
            column,
        };
        (rows, cursor.unwrap_or(end))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "keys that edit nothing are many, and more may come"
    )]
    fn control(&mut self, code: KeyCode) -> Asks {
        match code {
            KeyCode::Char('c') => return Asks::Interrupt,
            KeyCode::Char('d') if self.text.is_empty() => return Asks::End,
            KeyCode::Char('d') => self.delete(self.cursor..self.after()),
            KeyCode::Char('a') => self.cursor = 0,
            KeyCode::Char('e') => self.cursor = self.text.len(),
            KeyCode::Char('b') => self.cursor = self.before(),
            KeyCode::Char('f') => self.cursor = self.after(),
            KeyCode::Char('h') => self.delete(self.before()..self.cursor),
            KeyCode::Char('j') => self.insert("\n"),
            KeyCode::Char('k') => self.delete(self.cursor..self.text.len()),
            KeyCode::Char('u') => self.delete(0..self.cursor),
            KeyCode::Char('w') => self.delete(self.word_before()..self.cursor),
            KeyCode::Char('p') => self.recall(self.shown.saturating_sub(1)),
            KeyCode::Char('n') => self.recall(self.shown + 1),
            KeyCode::Left => self.cursor = self.word_before(),
            KeyCode::Right => self.cursor = self.word_after(),
            _ => {}
        }
        Asks::Nothing
    }

    fn send(&mut self) -> Asks {
        let text = self.text.trim().to_owned();
        self.replace(String::new());
        if text.is_empty() {
            return Asks::Empty;
        }
        if self.history.last() != Some(&text) {
            self.history.push(text.clone());
        }
        self.shown = self.history.len();
        Asks::Send(text)
    }

    fn recall(&mut self, entry: usize) {
        let entry = entry.min(self.history.len());
        if self.shown == self.history.len() {
            self.draft.clone_from(&self.text);
        }
        self.shown = entry;
        let text = self.history.get(entry).unwrap_or(&self.draft).clone();
        self.replace(text);
    }

    fn replace(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
    }

    fn insert(&mut self, text: &str) {
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
    }

    fn delete(&mut self, range: std::ops::Range<usize>) {
        self.cursor = range.start;
        self.text.replace_range(range, "");
    }

    fn before(&self) -> usize {
        let before = self.text[..self.cursor].char_indices().next_back();
        before.map_or(0, |(position, _)| position)
    }

    fn after(&self) -> usize {
        let at = self.text[self.cursor..].chars().next();
        self.cursor + at.map_or(0, char::len_utf8)
    }

    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before.rfind(char::is_whitespace).map_or(0, |space| {
            space + before[space..].chars().next().map_or(0, char::len_utf8)
        })
    }

    fn word_after(&self) -> usize {
        let rest = &self.text[self.cursor..];
        let spaces = rest.len() - rest.trim_start().len();
        let word = rest[spaces..].find(char::is_whitespace);
        self.cursor + word.map_or(rest.len(), |end| spaces + end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_at_the_cursor() {
        let mut editor = Editor::default();
        typed(&mut editor, "hello wörld");
        control(&mut editor, 'w');
        typed(&mut editor, "there");
        plain(&mut editor, KeyCode::Home);
        typed(&mut editor, "o");
        plain(&mut editor, KeyCode::Right);
        plain(&mut editor, KeyCode::Backspace);
        assert_eq!(
            plain(&mut editor, KeyCode::Enter),
            Asks::Send("oello there".to_owned())
        );
        assert_eq!(editor.rows(80).0, ["› "]);
    }

    #[test]
    fn a_character_of_several_bytes_is_deleted_whole() {
        let mut editor = Editor::default();
        typed(&mut editor, "a日ö");
        plain(&mut editor, KeyCode::Backspace);
        plain(&mut editor, KeyCode::Left);
        plain(&mut editor, KeyCode::Delete);
        assert_eq!(editor.rows(80).0, ["› a"]);
    }

    #[test]
    fn history_gives_back_what_was_sent_and_then_the_draft() {
        let mut editor = Editor::default();
        for prompt in ["one", "two"] {
            typed(&mut editor, prompt);
            plain(&mut editor, KeyCode::Enter);
        }
        typed(&mut editor, "dra");
        let mut seen = Vec::new();
        for code in [
            KeyCode::Up,
            KeyCode::Up,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Down,
            KeyCode::Down,
        ] {
            plain(&mut editor, code);
            seen.push(editor.text.clone());
        }
        assert_eq!(seen, ["two", "one", "one", "two", "dra", "dra"]);
    }

    #[test]
    fn rows_wrap_and_the_cursor_is_among_them() {
        let mut editor = Editor::default();
        editor.paste("abcdefgh\r\nx日本");
        let (rows, cursor) = editor.rows(8);
        assert_eq!(rows, ["› abcde", "  fgh", "  x日本"]);
        assert_eq!((cursor.row, cursor.column), (2, 7));
        plain(&mut editor, KeyCode::Home);
        let (_, cursor) = editor.rows(8);
        assert_eq!((cursor.row, cursor.column), (0, 2));
    }

    #[test]
    fn ctrl_d_ends_only_where_there_is_nothing_to_delete() {
        let mut editor = Editor::default();
        typed(&mut editor, "x");
        plain(&mut editor, KeyCode::Home);
        assert_eq!(control(&mut editor, 'd'), Asks::Nothing);
        assert!(!editor.clear(), "it was deleted");
        assert_eq!(control(&mut editor, 'd'), Asks::End);
    }

    fn typed(editor: &mut Editor, text: &str) {
        for character in text.chars() {
            plain(editor, KeyCode::Char(character));
        }
    }

    fn plain(editor: &mut Editor, code: KeyCode) -> Asks {
        editor.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn control(editor: &mut Editor, character: char) -> Asks {
        editor.key(KeyEvent::new(
            KeyCode::Char(character),
            KeyModifiers::CONTROL,
        ))
    }
}
