//! What the words of a document make: paragraphs, headings, items of lists, tables, and notes below what refers to them.

use super::super::blocks::{Block, Marker};
use super::super::{ExtractCode, ExtractFailure};

/// The cells of all tables: a table of them is more text than a document may have.
const MAX_CELLS: usize = 2_000_000;

/// Cells of a row; Word has 63.
const MAX_COLUMNS: usize = 256;

/// Edges so close to each other are one, in twentieths of a point: half a millimetre.
const SAME_EDGE: i32 = 30;

/// `viii.` and `(12)` are shorter.
const MAX_MARKER_BYTES: usize = 8;

/// What a paragraph is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paragraph {
    /// From 1.
    pub heading: Option<u8>,
    pub in_table: bool,
    pub in_list: bool,
    /// Of the list, from 0.
    pub level: u8,
    /// The same by its style.
    pub style_level: u8,
    /// How far its lines begin from the margin, in twentieths of a point, and its first line from there.
    pub indent: i32,
    pub first_indent: i32,
}

/// A row of a table, and where its cells end.
struct Row {
    cells: Vec<String>,
    edges: Vec<i32>,
}

/// The document so far.
#[derive(Default)]
pub struct Output {
    /// Of the paragraph that is being read.
    pub paragraph: String,
    /// Its number or bullet.
    pub marker: String,
    /// Of the note that is being read.
    pub note: String,
    blocks: Vec<Block>,
    size: usize,
    notes: Vec<Block>,
    note_count: usize,
    cell: String,
    row: Vec<String>,
    /// Where the cells of the row end, as it was last defined.
    pub edges: Vec<i32>,
    rows: Vec<Row>,
    cell_count: usize,
    /// The indents of the open items that are typed as text, outermost first.
    indents: Vec<i32>,
    /// The numbers of the last item and of those above it; empty outside of lists.
    numbers: Vec<u32>,
}

impl Output {
    /// How much text there is.
    pub fn len(&self) -> usize {
        self.size + self.paragraph.len() + self.note.len()
    }

    pub fn end_paragraph(&mut self, paragraph: Paragraph) {
        let text = std::mem::take(&mut self.paragraph);
        let marker = std::mem::take(&mut self.marker);
        let (text, marker) = (text.trim(), marker.trim());
        self.size += text.len();
        if paragraph.in_table {
            return self.add_to_cell(marker, text);
        }
        self.end_table();
        if text.is_empty() {
            return;
        }
        match paragraph.heading {
            Some(level) if is_number(marker) => self.add(Block::Heading(level, format!("{marker} {text}"))),
            Some(level) => self.add(Block::Heading(level, text.to_owned())),
            None if paragraph.in_list || !marker.is_empty() => {
                self.item(paragraph.level.max(paragraph.style_level), marker, text);
            }
            None => match typed_marker(text).filter(|_| paragraph.first_indent < 0) {
                Some((marker, text)) => {
                    let level = self.level_of(paragraph.indent);
                    self.item(level, marker, text);
                }
                None => self.add(Block::Paragraph(text.to_owned())),
            },
        }
        self.blocks.append(&mut self.notes);
    }

    fn add_to_cell(&mut self, marker: &str, text: &str) {
        let marker = if marker.is_empty() || is_number(marker) { marker } else { "-" };
        for part in [marker, text].into_iter().filter(|part| !part.is_empty()) {
            self.cell.push_str(part);
            self.cell.push(' ');
        }
    }

    fn add(&mut self, block: Block) {
        self.numbers.clear();
        self.indents.clear();
        self.blocks.push(block);
    }

    /// How deep an item is that begins this far from the margin.
    fn level_of(&mut self, indent: i32) -> u8 {
        self.indents.retain(|outer| *outer < indent);
        self.indents.push(indent);
        u8::try_from(self.indents.len() - 1).unwrap_or(u8::MAX)
    }

    /// Begins the definition of a row.
    pub fn define_row(&mut self) {
        self.edges.clear();
    }

    /// The next cell of the row ends here.
    pub fn define_cell(&mut self, edge: i32) {
        if self.edges.len() < MAX_COLUMNS {
            self.edges.push(edge);
        }
    }

    /// A text box begins or ends in the midst of a paragraph.
    pub fn part_lines(&mut self) {
        if !self.paragraph.trim().is_empty() {
            self.paragraph.push('\n');
        }
    }

    fn item(&mut self, level: u8, marker: &str, text: &str) {
        let depth = usize::from(level);
        self.numbers.resize(depth + 1, 0);
        let number = digits(marker).or(self.numbers.last().map(|last| last.saturating_add(1))).unwrap_or(1);
        if let Some(last) = self.numbers.last_mut() {
            *last = number;
        }
        let marker = if is_number(marker) { Marker::Number(number) } else { Marker::Bullet };
        self.blocks.push(Block::Item { depth, marker, text: text.to_owned() });
    }

    pub fn end_cell(&mut self) -> Result<(), ExtractFailure> {
        let text = std::mem::take(&mut self.paragraph);
        let marker = std::mem::take(&mut self.marker);
        self.size += text.len();
        self.add_to_cell(marker.trim(), text.trim());
        self.row.push(std::mem::take(&mut self.cell));
        self.cell_count += 1;
        match self.cell_count <= MAX_CELLS {
            true => Ok(()),
            false => {
                let detail = format!("The tables of the file have more than {MAX_CELLS} cells. Split it into several.");
                Err(ExtractFailure::of_file(ExtractCode::TooLarge, detail))
            }
        }
    }

    pub fn end_row(&mut self) {
        if !self.row.is_empty() {
            let (cells, edges) = (std::mem::take(&mut self.row), self.edges.clone());
            self.rows.push(Row { cells, edges });
        }
    }

    /// A row without its end, as before a paragraph outside of the table, ends too.
    fn end_table(&mut self) {
        if !self.cell.is_empty() {
            self.row.push(std::mem::take(&mut self.cell));
        }
        self.end_row();
        if !self.rows.is_empty() {
            let rows = std::mem::take(&mut self.rows);
            self.add(Block::Table(aligned(rows)));
            self.blocks.append(&mut self.notes);
        }
    }

    /// Puts the note's mark where the note was found.
    pub fn end_note(&mut self) {
        let note = std::mem::take(&mut self.note).split_whitespace().collect::<Vec<_>>().join(" ");
        if !note.is_empty() {
            self.note_count += 1;
            self.size += note.len();
            self.paragraph.push_str(&format!("[^{}]", self.note_count));
            self.notes.push(Block::Note(format!("[^{}] {note}", self.note_count)));
        }
    }

    /// The whole document.
    pub fn end(mut self) -> Result<Vec<Block>, ExtractFailure> {
        if !self.row.is_empty() {
            self.end_cell()?;
        }
        self.end_paragraph(Paragraph::default());
        self.blocks.append(&mut self.notes);
        Ok(self.blocks)
    }
}

/// The rows with each cell in its column, where some cells are as wide as several of other rows. Rows that do not say where
/// their cells end, and tables that would grow too large, stay as they are.
fn aligned(rows: Vec<Row>) -> Vec<Vec<String>> {
    let mut edges: Vec<i32> = rows.iter().flat_map(|row| row.edges.iter().copied()).collect();
    edges.sort_unstable();
    edges.dedup_by(|next, edge| *next - *edge <= SAME_EDGE);
    let fits = edges.len() <= MAX_COLUMNS && edges.len().saturating_mul(rows.len()) <= MAX_CELLS;
    let place = |row: Row| match fits && row.edges.len() >= row.cells.len() {
        true => in_columns(row, &edges),
        false => row.cells,
    };
    rows.into_iter().map(place).collect()
}

fn in_columns(row: Row, edges: &[i32]) -> Vec<String> {
    let mut cells = Vec::new();
    for (cell, edge) in row.cells.into_iter().zip(row.edges) {
        cells.push(cell);
        let end = edges.iter().rposition(|other| *other <= edge).map_or(0, |at| at + 1);
        cells.resize(end.max(cells.len()), String::new());
    }
    cells
}

/// A bullet or number, a tab and the text behind it: an item of a list that is typed as text.
fn typed_marker(text: &str) -> Option<(&str, &str)> {
    let (marker, text) = text.split_once('\t')?;
    let marker = marker.trim();
    let is_marker = matches!(marker, "•" | "·" | "–" | "-" | "*" | "o" | "▪" | "◦")
        || (marker.len() <= MAX_MARKER_BYTES
            && !marker.contains(' ')
            && marker.ends_with(['.', ')'])
            && is_number(marker));
    (is_marker && !text.trim().is_empty()).then_some((marker, text.trim()))
}

/// `1.`, `a)`, `2.3`; a bullet may be the letter `o`.
fn is_number(marker: &str) -> bool {
    let counts = marker.chars().any(char::is_alphanumeric);
    counts && (marker.ends_with(['.', ')']) || marker.chars().any(|char| char.is_ascii_digit()))
}

/// The last number of a marker.
fn digits(marker: &str) -> Option<u32> {
    marker.rsplit(|char: char| !char.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}
