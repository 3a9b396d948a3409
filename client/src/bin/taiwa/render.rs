//! Renders an answer while it grows: what is finished once, the rest again and again.

mod inline;
mod markdown;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};

pub(crate) use inline::{DIM, Piece, bold, dim, dotted, padded, red, wrap};

/// An answer in Markdown, of which a part may still be missing.
///
/// Text goes in by [`push`](Self::push) in any pieces; lines for a terminal of
/// the given width come out: those that can no longer change from
/// [`take_finished`](Self::take_finished), the rest as they look so far from
/// [`unfinished`](Self::unfinished).
#[derive(Debug)]
pub(crate) struct Renderer {
    width: usize,
    /// Source text whose looks may still change.
    tail: String,
    /// The fence of the code block that the tail goes on with.
    fence: Option<Fence>,
    /// What stands above the tail, to know where a blank line belongs.
    above: Above,
    finished: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Fence {
    mark: char,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Above {
    Nothing,
    ListThatGoesOn,
    Block,
}

impl Renderer {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            tail: String::new(),
            fence: None,
            above: Above::Nothing,
            finished: Vec::new(),
        }
    }

    /// Adds a piece of the answer.
    pub(crate) fn push(&mut self, text: &str) {
        self.tail.push_str(text);
        while self.finish_one() {}
    }

    /// Says that the answer is whole.
    pub(crate) fn end(&mut self) {
        let rest = self.unfinished();
        self.finished.extend(rest);
        self.tail.clear();
        self.fence = None;
        self.above = Above::Nothing;
    }

    /// Hands out the lines that became final.
    pub(crate) fn take_finished(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }

    /// The rest as it looks so far.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let Some(fence) = self.fence else {
            return self.render(&self.tail);
        };
        let code = self.tail.strip_suffix('\n').unwrap_or(&self.tail);
        if code.is_empty() || fence.may_be_closed_by(code) {
            return Vec::new();
        }
        vec![markdown::code_line(code)]
    }

    /// Moves the foremost part of the tail that is final to the finished
    /// lines; false when there is none.
    fn finish_one(&mut self) -> bool {
        let Some(end_of_lines) = self.tail.rfind('\n') else {
            return false;
        };
        if let Some(fence) = self.fence {
            self.finish_code_line(fence);
            return true;
        }
        let whole_lines = &self.tail[..=end_of_lines];
        let outline = Outline::of(whole_lines);
        let end = match &outline.last {
            Last::Nothing => return false,
            Last::Code { start, fence } => {
                let (start, fence) = (*start, *fence);
                return self.finish_up_to_fence(start, fence);
            }
            Last::List { last_item, .. } if *last_item > 0 => *last_item,
            Last::List { start, .. } => *start,
            Last::Block { .. } if whole_lines.ends_with("\n\n") => whole_lines.len(),
            Last::Block { start } => *start,
        };
        if end == 0 {
            return false;
        }
        let in_list = matches!(outline.last, Last::List { start, last_item } if last_item > start);
        let block: String = self.tail.drain(..end).collect();
        self.finished.extend(self.render(&block));
        self.above = if in_list {
            Above::ListThatGoesOn
        } else {
            Above::Block
        };
        true
    }

    /// Finishes what stands before a code block, and its opening line.
    fn finish_up_to_fence(&mut self, start: usize, fence: Fence) -> bool {
        let before: String = self.tail.drain(..start).collect();
        let lines = self.render(&before);
        let said_something = !lines.is_empty();
        self.finished.extend(lines);
        if said_something || self.above != Above::Nothing {
            self.finished.push(String::new());
        }
        let opening = self.tail.find('\n').map_or(self.tail.len(), |at| at + 1);
        self.tail.drain(..opening);
        self.fence = Some(fence);
        self.above = Above::Block;
        true
    }

    fn finish_code_line(&mut self, fence: Fence) {
        let end = self.tail.find('\n').map_or(self.tail.len(), |at| at + 1);
        let line: String = self.tail.drain(..end).collect();
        let line = line.trim_end_matches(['\n', '\r']);
        if fence.is_closed_by(line) {
            self.fence = None;
        } else {
            self.finished.push(markdown::code_line(line));
        }
    }

    fn render(&self, source: &str) -> Vec<String> {
        let mut lines = markdown::render(source, self.width);
        let goes_on = self.above == Above::ListThatGoesOn && starts_with_list(source);
        if !lines.is_empty() && self.above != Above::Nothing && !goes_on {
            lines.insert(0, String::new());
        }
        lines
    }
}

impl Fence {
    fn is_closed_by(self, line: &str) -> bool {
        let line = line.trim();
        line.chars().count() >= self.length && line.chars().all(|mark| mark == self.mark)
    }

    fn may_be_closed_by(self, start_of_line: &str) -> bool {
        start_of_line.trim().chars().all(|mark| mark == self.mark)
    }
}

/// The blocks of a source text at its outermost level, as far as splitting needs them.
struct Outline {
    last: Last,
}

/// The last block, which may not be whole; positions are bytes of the source.
enum Last {
    Nothing,
    Block { start: usize },
    List { start: usize, last_item: usize },
    Code { start: usize, fence: Fence },
}

impl Outline {
    fn of(source: &str) -> Self {
        let mut last = Last::Nothing;
        let mut depth = 0_usize;
        for (event, range) in Parser::new_ext(source, markdown::OPTIONS).into_offset_iter() {
            if let Event::Start(tag) = &event {
                depth += 1;
                if depth == 1 {
                    last = Last::block(source, range.start, tag);
                } else if depth == 2
                    && let (Last::List { last_item, .. }, Tag::Item) = (&mut last, tag)
                {
                    *last_item = range.start;
                }
            } else if let Event::End(_) = event {
                depth -= 1;
            } else if depth == 0 {
                last = Last::Block { start: range.start };
            }
        }
        Self { last }
    }
}

impl Last {
    fn block(source: &str, start: usize, tag: &Tag<'_>) -> Self {
        if let Tag::List(_) = tag {
            return Self::List {
                start,
                last_item: start,
            };
        }
        if let Tag::CodeBlock(CodeBlockKind::Fenced(_)) = tag {
            let opening = source[start..].trim_start();
            if let Some(mark) = opening.chars().next() {
                let length = opening.chars().take_while(|&other| other == mark).count();
                let fence = Fence { mark, length };
                return Self::Code { start, fence };
            }
        }
        Self::Block { start }
    }
}

fn starts_with_list(source: &str) -> bool {
    let first = Parser::new_ext(source, markdown::OPTIONS).next();
    matches!(first, Some(Event::Start(Tag::List(_))))
}

#[cfg(test)]
mod tests;
