//! Markdown to painted lines.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use unicode_width::UnicodeWidthStr as _;

use super::inline::{Piece, Style, dim, wrap};

/// What models write beyond plain Markdown.
pub(super) const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS);

const CYAN: u8 = 36;
const YELLOW: u8 = 33;
const BLUE: u8 = 34;

/// Renders whole blocks, with a blank line between those of the outermost level.
pub(super) fn render(source: &str, width: usize) -> Vec<String> {
    let mut writer = Writer {
        width,
        ..Writer::default()
    };
    let parser = Parser::new_ext(source, OPTIONS);
    let mut definitions: Vec<_> = parser
        .reference_definitions()
        .iter()
        .map(|(label, link)| (link.span.start, format!("[{label}]: {}", link.dest)))
        .collect();
    definitions.sort_unstable();
    for event in parser {
        writer.event(event);
    }
    writer.flush();
    // Links of a part of the answer that was rendered before lead here.
    let definitions = definitions.iter().map(|(_, definition)| dim(definition));
    writer.lines.extend(definitions);
    writer.lines
}

/// A line of a code block.
pub(super) fn code_line(line: &str) -> String {
    if line.is_empty() {
        return String::new();
    }
    let style = Style {
        color: Some(CYAN),
        ..Style::default()
    };
    format!("  {}", style.paint(&line.replace('\t', "    ")))
}

#[derive(Debug, Default)]
struct Writer {
    width: usize,
    lines: Vec<String>,
    containers: Vec<Container>,
    styles: Vec<Style>,
    inline: Vec<Piece>,
    links: Vec<Link>,
    code: Option<String>,
    table: Option<Table>,
}

#[derive(Debug)]
enum Container {
    Quote,
    List {
        next: Option<u64>,
    },
    Item {
        marker: Option<String>,
        indent: usize,
    },
}

#[derive(Debug)]
struct Link {
    url: String,
    begins_at: usize,
}

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Vec<Vec<Piece>>>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.text(&text),
            },
            Event::Code(code) => {
                let style = Style {
                    color: Some(YELLOW),
                    ..self.style()
                };
                self.piece(&code, style);
            }
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.separate();
                let rule = "─".repeat(self.width.min(40));
                self.lines.push(dim(&rule));
            }
            Event::TaskListMarker(done) => self.text(if done { "[x] " } else { "[ ] " }),
            Event::Html(text) | Event::InlineHtml(text) => self.text(text.trim_end()),
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.text(&text)
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        let style = self.style();
        match tag {
            Tag::Heading { level, .. } => {
                self.separate();
                self.styles.push(Style {
                    bold: true,
                    underline: level == HeadingLevel::H1,
                    color: Some(CYAN),
                    ..style
                });
            }
            Tag::Strong => self.styles.push(Style {
                bold: true,
                ..style
            }),
            Tag::Emphasis => self.styles.push(Style {
                italic: true,
                ..style
            }),
            Tag::Strikethrough => self.styles.push(Style {
                strike: true,
                ..style
            }),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push(Link {
                    url: dest_url.to_string(),
                    begins_at: self.inline.len(),
                });
                self.styles.push(Style {
                    underline: true,
                    color: Some(BLUE),
                    ..style
                });
            }
            Tag::BlockQuote(_) => {
                self.separate();
                self.containers.push(Container::Quote);
            }
            Tag::List(next) => {
                // A list within an item follows that item's own text.
                self.flush();
                self.separate();
                self.containers.push(Container::List { next });
            }
            Tag::Item => self.start_item(),
            Tag::CodeBlock(_) => {
                self.flush();
                self.separate();
                self.code = Some(String::new());
            }
            Tag::Table(_) => {
                self.separate();
                self.table = Some(Table::default());
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            Tag::Paragraph | Tag::HtmlBlock => self.separate(),
            Tag::TableCell
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.styles.pop();
                self.flush();
            }
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Strikethrough => {
                self.styles.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => {
                self.flush();
                self.containers.pop();
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                let (first, next) = self.prefixes();
                for (index, line) in code.lines().enumerate() {
                    let prefix = if index == 0 { &first } else { &next };
                    self.lines.push(format!("{prefix}{}", code_line(line)));
                }
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.inline);
                if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    let (first, _) = self.prefixes();
                    let rows = table.lines();
                    self.lines.extend(rows.map(|row| format!("{first}{row}")));
                }
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.flush(),
            TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::MetadataBlock(_) => {}
        }
    }

    fn start_item(&mut self) {
        let marker = match self.containers.last_mut() {
            Some(Container::List { next: Some(number) }) => {
                let marker = format!("{number}. ");
                *number += 1;
                marker
            }
            Some(Container::List { next: None } | Container::Quote | Container::Item { .. })
            | None => "• ".to_owned(),
        };
        self.containers.push(Container::Item {
            indent: marker.width(),
            marker: Some(marker),
        });
    }

    /// Ends the link: its address follows, unless that is what was shown.
    fn end_link(&mut self) {
        self.styles.pop();
        let Some(link) = self.links.pop() else { return };
        let shown = self.inline[link.begins_at.min(self.inline.len())..].iter();
        let shown: String = shown.map(|piece| piece.text.as_str()).collect();
        if shown != link.url && !link.url.is_empty() {
            let style = Style {
                dim: true,
                ..self.style()
            };
            self.piece(&format!(" ({})", link.url), style);
        }
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    fn text(&mut self, text: &str) {
        self.piece(text, self.style());
    }

    fn piece(&mut self, text: &str, style: Style) {
        let text = text.to_owned();
        self.inline.push(Piece { text, style });
    }

    /// Leaves a line blank between blocks, but not within lists.
    fn separate(&mut self) {
        let in_list = self.containers.iter().any(|container| match container {
            Container::List { .. } | Container::Item { .. } => true,
            Container::Quote => false,
        });
        if in_list || self.lines.is_empty() {
            return;
        }
        let bars = "│ ".repeat(self.containers.len());
        self.lines.push(dim(bars.trim_end()));
    }

    /// Turns the text gathered so far into lines.
    fn flush(&mut self) {
        if self.inline.is_empty() {
            return;
        }
        let pieces = std::mem::take(&mut self.inline);
        let columns: usize = self.containers.iter().map(Container::columns).sum();
        let (first, next) = self.prefixes();
        let width = self.width.saturating_sub(columns).max(10);
        self.lines.extend(wrap(&pieces, width, &first, &next));
    }

    /// What stands left of a block's first line and of its others.
    fn prefixes(&mut self) -> (String, String) {
        let mut first = String::new();
        let mut next = String::new();
        for container in &mut self.containers {
            match container {
                Container::Quote => {
                    first.push_str(&dim("│ "));
                    next.push_str(&dim("│ "));
                }
                Container::List { .. } => {}
                Container::Item { marker, indent } => {
                    let space = " ".repeat(*indent);
                    first.push_str(marker.take().as_deref().unwrap_or(&space));
                    next.push_str(&space);
                }
            }
        }
        (first, next)
    }
}

impl Container {
    fn columns(&self) -> usize {
        match self {
            Self::Quote => 2,
            Self::List { .. } => 0,
            Self::Item { indent, .. } => *indent,
        }
    }
}

impl Table {
    /// Columns side by side, the head apart from the rest.
    fn lines(self) -> impl Iterator<Item = String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell_width(cell)).max().unwrap_or(0)
            })
            .collect();
        let rule = dim(&widths
            .iter()
            .map(|width| "─".repeat(*width))
            .collect::<Vec<_>>()
            .join("─┼─"));
        self.rows
            .into_iter()
            .enumerate()
            .flat_map(move |(index, row)| {
                let cells = widths.iter().enumerate().map(|(column, width)| {
                    let cell = row.get(column).map_or(&[][..], Vec::as_slice);
                    let painted = cell.iter().map(|piece| {
                        let bold = piece.style.bold || index == 0;
                        Style {
                            bold,
                            ..piece.style
                        }
                        .paint(&piece.text)
                    });
                    let padding = " ".repeat(width - cell_width(cell));
                    painted.collect::<String>() + &padding
                });
                let line = cells.collect::<Vec<_>>().join(&dim(" │ "));
                let line = line.trim_end().to_owned();
                [Some(line), (index == 0).then(|| rule.clone())]
                    .into_iter()
                    .flatten()
            })
    }
}

fn cell_width(cell: &[Piece]) -> usize {
    cell.iter().map(|piece| piece.text.width()).sum()
}
