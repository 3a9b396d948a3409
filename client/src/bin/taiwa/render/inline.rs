//! Styled text and how it is broken into lines.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) bold: bool,
    pub(crate) italic: bool,
    pub(crate) strike: bool,
    pub(crate) underline: bool,
    pub(crate) dim: bool,
    pub(crate) color: Option<u8>,
}

/// The look of what stands beside the answer.
pub(crate) const DIM: Style = Style {
    bold: false,
    italic: false,
    strike: false,
    underline: false,
    dim: true,
    color: None,
};

/// Text of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) style: Style,
}

impl Style {
    /// Puts the text between the escape sequences of this look.
    ///
    /// Control characters are left out: what a model writes must not move the
    /// cursor or change the terminal.
    pub(crate) fn paint(self, text: &str) -> String {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let mut codes = Vec::new();
        for (set, code) in [
            (self.bold, "1"),
            (self.dim, "2"),
            (self.italic, "3"),
            (self.underline, "4"),
            (self.strike, "9"),
        ] {
            if set {
                codes.push(code.to_owned());
            }
        }
        codes.extend(self.color.map(|color| color.to_string()));
        if codes.is_empty() || text.is_empty() {
            return text;
        }
        format!("\x1b[{}m{text}\x1b[0m", codes.join(";"))
    }
}

/// Text filled up with spaces to so many columns.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// Paints text that is not the answer.
pub(crate) fn dim(text: &str) -> String {
    DIM.paint(text)
}

/// Paints a name or a mark.
pub(crate) fn bold(text: &str) -> String {
    let style = Style {
        bold: true,
        ..Style::default()
    };
    style.paint(text)
}

/// Paints a failure.
pub(crate) fn red(text: &str) -> String {
    let style = Style {
        color: Some(31),
        ..Style::default()
    };
    style.paint(text)
}

/// Stands between parts of a line.
const DOT: &str = " · ";

/// Joins parts by dots into lines of at most `columns`, as long as each part
/// fits on one; lines after the first are indented.
pub(crate) fn dotted(parts: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            None => lines.push(part.clone()),
            Some(line) if line.width() + DOT.width() + part.width() <= columns => {
                line.push_str(DOT);
                line.push_str(part);
            }
            Some(_) => lines.push(format!("  {part}")),
        }
    }
    lines
}

/// Breaks styled text into painted lines of at most `width` columns, at spaces
/// where there are any; the first begins with `first`, the others with `next`.
pub(crate) fn wrap(pieces: &[Piece], width: usize, first: &str, next: &str) -> Vec<String> {
    let mut lines = Lines {
        width: width.max(1),
        indent: next.to_owned(),
        lines: Vec::new(),
        line: first.to_owned(),
        used: 0,
        space: None,
    };
    for word in words(pieces) {
        match word {
            Word::Break => lines.turn(),
            Word::Space(style) => lines.space = Some(style),
            Word::Pieces(pieces) => lines.word(&pieces),
        }
    }
    lines.lines.push(lines.line);
    lines.lines
}

enum Word {
    Break,
    Space(Style),
    Pieces(Vec<Piece>),
}

/// Cuts styled text at its spaces; a word may have several looks.
fn words(pieces: &[Piece]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Vec<Piece> = Vec::new();
    for piece in pieces {
        for character in piece.text.chars() {
            if character == '\n' || character == ' ' {
                if !word.is_empty() {
                    words.push(Word::Pieces(std::mem::take(&mut word)));
                }
                words.push(if character == '\n' {
                    Word::Break
                } else {
                    Word::Space(piece.style)
                });
                continue;
            }
            match word.last_mut() {
                Some(last) if last.style == piece.style => last.text.push(character),
                _ => word.push(Piece {
                    text: character.to_string(),
                    style: piece.style,
                }),
            }
        }
    }
    if !word.is_empty() {
        words.push(Word::Pieces(word));
    }
    words
}

struct Lines {
    width: usize,
    indent: String,
    lines: Vec<String>,
    line: String,
    used: usize,
    space: Option<Style>,
}

impl Lines {
    fn turn(&mut self) {
        let next = self.indent.clone();
        self.lines.push(std::mem::replace(&mut self.line, next));
        self.used = 0;
        self.space = None;
    }

    fn word(&mut self, pieces: &[Piece]) {
        let columns: usize = pieces.iter().map(|piece| piece.text.width()).sum();
        let space = self.space.take().filter(|_| self.used > 0);
        if self.used > 0 && self.used + usize::from(space.is_some()) + columns > self.width {
            self.turn();
        } else if let Some(style) = space {
            self.line.push_str(&style.paint(" "));
            self.used += 1;
        }
        for piece in pieces {
            self.piece(piece);
        }
    }

    /// Puts a piece on the line, broken where even a line of its own is too short.
    fn piece(&mut self, piece: &Piece) {
        let mut run = String::new();
        for character in piece.text.chars() {
            let columns = character.width().unwrap_or(0);
            if self.used + columns > self.width {
                self.line.push_str(&piece.style.paint(&run));
                run.clear();
                self.turn();
            }
            run.push(character);
            self.used += columns;
        }
        self.line.push_str(&piece.style.paint(&run));
    }
}
