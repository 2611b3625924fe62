//! The blocks that a document is made of, and how they are written as Markdown.
//!
//! Promises: what [`markdown`] writes parses back into the same headings, items, tables and code, because nested items
//! are indented as CommonMark wants it and a paragraph that only looks like structure (`1. ` at its start) is escaped.
//! Inside a line nothing is escaped: readers and searches want `max_tokens`, not `max\_tokens`.

use super::canonical::canonical;
use super::{PageStart, table};

/// Tables with more cells than this are written row by row as text: a table is as wide in every row as in its widest.
const MAX_CELLS: usize = 4_000_000;

/// A list number has at most nine digits (CommonMark 0.31, 5.2).
const MAX_NUMBER: u32 = 999_999_999;

/// Lists deeper than this continue at this depth: indentation would outweigh text.
const MAX_LIST_DEPTH: usize = 16;

const PICTURES: [&str; 10] = [".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".svg", ".emf", ".wmf"];

/// A part of a document, top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Of a level from 1; beyond 6 it is written as 6.
    Heading(u8, String),
    Paragraph(String),
    /// The first paragraph of a list item; `depth` is 0 in the outermost list.
    Item {
        depth: usize,
        marker: Marker,
        text: String,
    },
    /// A further paragraph of the last item at `depth`, or of the last item above it.
    Continued {
        depth: usize,
        text: String,
    },
    /// Lines of code; neighbours are one block.
    Code(String),
    /// A paragraph of a quotation; neighbours are one quotation.
    Quote(String),
    Table(Vec<Vec<String>>),
    /// A footnote, which follows what refers to it: belongs to the list item above it, if any.
    Note(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Bullet,
    Number(u32),
}

/// A page of a presentation.
#[derive(Default)]
pub struct Page {
    pub title: Vec<Block>,
    pub body: Vec<Block>,
    /// The speaker's.
    pub notes: Vec<Block>,
}

/// `blocks` as Markdown, with one newline at the end when there is any.
pub fn markdown(blocks: &[Block]) -> String {
    let mut writer = Writer::default();
    blocks.iter().for_each(|block| writer.block(block));
    writer.close();
    writer.out
}

/// Pages one after the other as Markdown, and where each starts; a blank page has no start.
pub fn paged(pages: Vec<Page>) -> (String, Vec<PageStart>) {
    let (mut text, mut starts) = (String::new(), Vec::new());
    for (page, number) in pages.into_iter().zip(1..) {
        let page = canonical(&markdown(&page.blocks()));
        if !page.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            starts.push(PageStart { number, start: text.len() });
            text.push_str(&page);
        }
    }
    (text, starts)
}

/// What a presentation is called: what it states, unless that is what PowerPoint states in any language for those that
/// nobody has named (`PowerPoint Presentation`), or what stands on its first page.
pub fn presentation_title(stated: Option<String>, pages: &[Page]) -> Option<String> {
    let named = stated.filter(|title| !title.to_lowercase().starts_with("powerpoint"));
    named.or_else(|| pages.first()?.title())
}

/// What a picture's description says; programs put the name of its file there when they are told nothing.
pub fn described(description: &str) -> &str {
    let description = description.trim();
    let lower = description.to_lowercase();
    let is_file = PICTURES.iter().any(|ending| lower.ends_with(ending));
    if is_file { "" } else { description }
}

/// A table of rows of cells. Tables and notes in cells follow it; a table of one cell is a frame around its blocks.
pub fn push_table(mut rows: Vec<Vec<Vec<Block>>>, out: &mut Vec<Block>) {
    if let [row] = rows.as_mut_slice()
        && let [cell] = row.as_mut_slice()
    {
        return out.append(cell);
    }
    let mut after = Vec::new();
    let mut text = |cell: Vec<Block>| {
        let (text, rest) = flattened(cell);
        after.extend(rest);
        text
    };
    let rows = rows.into_iter().map(|row| row.into_iter().map(&mut text).collect()).collect();
    out.push(Block::Table(rows));
    out.append(&mut after);
}

impl Page {
    /// The title on one line.
    fn title(&self) -> Option<String> {
        let (title, _) = flattened(self.title.clone());
        Some(title.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|title| !title.is_empty())
    }

    /// The title as a heading, the body, and then the notes.
    fn blocks(self) -> Vec<Block> {
        let (title, rest) = flattened(self.title);
        let mut blocks = vec![Block::Heading(1, title)];
        blocks.extend(rest);
        blocks.extend(self.body);
        let (notes, rest) = flattened(self.notes);
        if !notes.is_empty() {
            blocks.push(Block::Paragraph(format!("Notes: {notes}")));
        }
        blocks.extend(rest);
        blocks
    }
}

/// The text of `blocks` for a place that takes no blocks, as a table's cell. Notes, and tables that have rows and
/// columns, do not fit and are returned.
pub fn flattened(blocks: Vec<Block>) -> (String, Vec<Block>) {
    let (mut parts, mut rest) = (Vec::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Table(rows) if is_grid(&rows) => rest.push(Block::Table(rows)),
            Block::Note(text) => rest.push(Block::Note(text)),
            Block::Table(rows) => parts.extend(rows.into_iter().flatten()),
            Block::Item { marker, text, .. } => parts.push(format!("{} {text}", marker.written())),
            Block::Heading(_, text)
            | Block::Paragraph(text)
            | Block::Continued { text, .. }
            | Block::Code(text)
            | Block::Quote(text) => parts.push(text),
        }
    }
    parts.retain(|part| !part.is_empty());
    (parts.join("\n"), rest)
}

fn is_grid(rows: &[Vec<String>]) -> bool {
    rows.len() > 1 && rows.iter().any(|row| row.len() > 1)
}

impl Marker {
    fn written(self) -> String {
        match self {
            Marker::Bullet => "-".to_owned(),
            Marker::Number(number) => format!("{}.", number.min(MAX_NUMBER)),
        }
    }
}

#[derive(Default)]
struct Writer {
    out: String,
    /// The open list items, outermost first.
    items: Vec<OpenItem>,
    open: Open,
}

/// A block that the next one may continue.
#[derive(Default, PartialEq)]
enum Open {
    #[default]
    Nothing,
    Item,
    Quote,
    /// The lines that there are, until it is known how long the fence must be.
    Code(String),
}

struct OpenItem {
    depth: usize,
    /// Where its text begins.
    indent: usize,
}

impl Writer {
    fn block(&mut self, block: &Block) {
        match block {
            Block::Heading(level, text) => self.heading(*level, text),
            Block::Paragraph(text) => self.paragraph(text),
            Block::Item { depth, marker, text } => self.item(*depth, *marker, text),
            Block::Continued { depth, text } => self.continued(*depth, text),
            Block::Code(text) => self.code(text),
            Block::Quote(text) => self.quote(text),
            Block::Table(rows) => self.table(rows),
            Block::Note(text) => self.continued(usize::MAX, text),
        }
    }

    fn heading(&mut self, level: u8, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            self.start();
            let hashes = usize::from(level.clamp(1, 6));
            self.out.push_str(&format!("{} {text}\n", "#".repeat(hashes)));
        }
    }

    fn paragraph(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.start();
            self.lines(text, "", "");
        }
    }

    fn item(&mut self, depth: usize, marker: Marker, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        if self.open != Open::Item {
            self.start();
        }
        let depth = depth.min(MAX_LIST_DEPTH);
        let outer = self.items.len();
        self.items.retain(|item| item.depth < depth);
        // Only a list that starts with 1 can interrupt the paragraph above it (CommonMark 0.31, 5.3).
        if outer > 0 && outer == self.items.len() && !matches!(marker, Marker::Bullet | Marker::Number(1)) {
            self.out.push('\n');
        }
        let before = " ".repeat(self.items.last().map_or(0, |item| item.indent));
        let marker = marker.written();
        let inside = " ".repeat(before.len() + marker.len() + 1);
        self.items.push(OpenItem { depth, indent: inside.len() });
        self.lines(text, &format!("{before}{marker} "), &inside);
        self.open = Open::Item;
    }

    fn continued(&mut self, depth: usize, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.items.retain(|item| item.depth <= depth);
        match self.items.last() {
            Some(item) if self.open == Open::Item => {
                let inside = " ".repeat(item.indent);
                self.out.push('\n');
                self.lines(text, &inside, &inside);
            }
            _ => self.paragraph(text),
        }
    }

    fn code(&mut self, text: &str) {
        match &mut self.open {
            Open::Code(code) => {
                code.push('\n');
                code.push_str(text);
            }
            _ if text.trim().is_empty() => {}
            _ => {
                self.start();
                self.open = Open::Code(text.to_owned());
            }
        }
    }

    fn quote(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match self.open {
            Open::Quote => self.out.push_str(">\n"),
            _ => self.start(),
        }
        self.lines(text, "> ", "> ");
        self.open = Open::Quote;
    }

    fn table(&mut self, rows: &[Vec<String>]) {
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        if rows.len().saturating_mul(width) > MAX_CELLS {
            return rows.iter().for_each(|row| self.paragraph(&row.join(" ")));
        }
        let table = table::markdown(rows);
        if !table.is_empty() {
            self.start();
            self.out.push_str(&table);
        }
    }

    /// Ends what was open and leaves a blank line.
    fn start(&mut self) {
        self.close();
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn close(&mut self) {
        self.items.clear();
        if let Open::Code(code) = std::mem::take(&mut self.open) {
            let code = code.trim_end();
            let ticks = code.split(|char| char != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(3.max(ticks + 1));
            self.out.push_str(&format!("{fence}\n{code}\n{fence}\n"));
        }
    }

    /// The lines of a paragraph. Blank ones, which would end it, and spaces around the others are left out.
    fn lines(&mut self, text: &str, first: &str, further: &str) {
        let lines = text.split('\n').map(str::trim).filter(|line| !line.is_empty());
        for (number, line) in lines.enumerate() {
            self.out.push_str(if number == 0 { first } else { further });
            push_escaped(line, &mut self.out);
            self.out.push('\n');
        }
    }
}

/// A line of text that would be read as the start of a block gets a backslash where that start is.
fn push_escaped(line: &str, out: &mut String) {
    match marker_at(line) {
        Some(at) => {
            let (before, rest) = line.split_at(at);
            out.push_str(before);
            out.push('\\');
            out.push_str(rest);
        }
        None => out.push_str(line),
    }
}

/// Where the character stands that makes `line` a heading, an item, a quotation, a fence or a rule.
fn marker_at(line: &str) -> Option<usize> {
    let ends_marker = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t']);
    let hashes = line.len() - line.trim_start_matches('#').len();
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let is_rule = |mark: char| line.chars().all(|char| char == mark || char == ' ');
    match line.chars().next()? {
        '>' => Some(0),
        '#' if hashes <= 6 && ends_marker(line.trim_start_matches('#')) => Some(0),
        '-' | '+' | '*' if line.get(1..).is_some_and(ends_marker) => Some(0),
        '`' | '~' if line.starts_with("```") || line.starts_with("~~~") => Some(0),
        mark @ ('-' | '=' | '_' | '*') if is_rule(mark) => Some(0),
        '0'..='9' if digits <= 9 => line
            .get(digits..)
            .and_then(|after| after.strip_prefix(['.', ')']))
            .filter(|after| ends_marker(after))
            .map(|_| digits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(depth: usize, marker: Marker, text: &str) -> Block {
        Block::Item { depth, marker, text: text.to_owned() }
    }

    fn paragraph(text: &str) -> Block {
        Block::Paragraph(text.to_owned())
    }

    #[test]
    fn lists_nest_under_the_text_of_their_items() {
        let continued = |depth, text: &str| Block::Continued { depth, text: text.to_owned() };
        let blocks = [
            paragraph("Before"),
            item(0, Marker::Number(10), "ten"),
            item(1, Marker::Bullet, "ten a\nsecond line"),
            continued(1, "more of a"),
            item(2, Marker::Number(4), "deep"),
            continued(0, "more of ten"),
            item(0, Marker::Number(11), "eleven"),
            item(1, Marker::Bullet, " "),
            paragraph("After"),
            item(3, Marker::Bullet, "no parent"),
        ];
        insta::assert_snapshot!(markdown(&blocks), @"
        Before

        10. ten
            - ten a
              second line

              more of a

              4. deep

            more of ten
        11. eleven

        After

        - no parent
        ");
    }

    #[test]
    fn text_that_looks_like_structure_is_escaped_and_other_text_is_not() {
        let escaped = |line: &str| {
            let mut out = String::new();
            push_escaped(line, &mut out);
            out
        };
        for (line, expected) in [
            ("# no heading", "\\# no heading"),
            ("- no item", "\\- no item"),
            ("+", "\\+"),
            ("12. no item", "12\\. no item"),
            ("3) no item", "3\\) no item"),
            ("> no quote", "\\> no quote"),
            ("```", "\\```"),
            ("-----", "\\-----"),
            ("===", "\\==="),
        ] {
            assert_eq!(escaped(line), expected);
        }
        for line in ["#5 is alive", "-5 °C", "1.5 metres", "3.", "snake_case *and* [x]", "1234567890. no", "2026 was"]
        {
            let expected = if line == "3." { "3\\." } else { line };
            assert_eq!(escaped(line), expected);
        }
    }

    #[test]
    fn code_and_quotations_take_in_their_neighbours() {
        let code = |text: &str| Block::Code(text.to_owned());
        let quote = |text: &str| Block::Quote(text.to_owned());
        let blocks =
            [code("fn main() {"), code("    ```"), code("}"), quote("One."), quote("Two.\nThree."), paragraph("x")];
        insta::assert_snapshot!(markdown(&blocks), @"
        ````
        fn main() {
            ```
        }
        ````

        > One.
        >
        > Two.
        > Three.

        x
        ");
    }

    #[test]
    fn a_cell_holds_text_and_gives_back_tables() {
        let grid = Block::Table(vec![vec!["a".to_owned(), "b".to_owned()]; 2]);
        let single = Block::Table(vec![vec!["in a box".to_owned()]]);
        let blocks = vec![paragraph("one"), grid.clone(), single, item(0, Marker::Number(2), "two")];
        assert_eq!(flattened(blocks), ("one\nin a box\n2. two".to_owned(), vec![grid]));
    }

    #[test]
    fn a_picture_is_described_by_words_and_not_by_its_file() {
        assert_eq!(described(" A mast in snow. "), "A mast in snow.");
        assert_eq!(described("C:\\pictures\\IMG_1234.JPG"), "");
    }

    #[test]
    fn a_presentation_without_a_name_is_called_after_its_first_page() {
        let pages = [Page { title: vec![paragraph("Sensor\nroadmap")], ..Page::default() }];
        let title = |stated: &str| presentation_title(Some(stated.to_owned()), &pages).unwrap();
        assert_eq!(title("PowerPoint-Präsentation"), "Sensor roadmap");
        assert_eq!(title("Roadmap"), "Roadmap");
    }

    #[test]
    fn a_table_that_is_wide_in_one_row_and_long_does_not_grow_to_their_product() {
        let mut rows = vec![vec!["x".to_owned()]; 100_000];
        rows.push(vec!["y".to_owned(); 100_000]);
        let text = markdown(&[Block::Table(rows)]);
        assert!(text.len() < 1_000_000);
        assert_eq!(text.matches('y').count(), 100_000);
    }
}
