//! What the words of a document make: paragraphs, headings, items of lists, tables, and notes below what refers to them.

use super::super::blocks::{Block, Marker};
use super::super::{ExtractCode, ExtractFailure};

/// The cells of all tables: a table of them is more text than a document may have.
const MAX_CELLS: usize = 2_000_000;

/// What a paragraph is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paragraph {
    /// From 1.
    pub heading: Option<u8>,
    pub in_table: bool,
    pub in_list: bool,
    /// Of the list, from 0.
    pub level: u8,
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
    rows: Vec<Vec<String>>,
    cell_count: usize,
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
            None if paragraph.in_list || !marker.is_empty() => self.item(paragraph.level, marker, text),
            None => self.add(Block::Paragraph(text.to_owned())),
        }
        self.blocks.append(&mut self.notes);
    }

    fn add_to_cell(&mut self, marker: &str, text: &str) {
        for part in [marker, text].into_iter().filter(|part| !part.is_empty()) {
            self.cell.push_str(part);
            self.cell.push(' ');
        }
    }

    fn add(&mut self, block: Block) {
        self.numbers.clear();
        self.blocks.push(block);
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
            self.rows.push(std::mem::take(&mut self.row));
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
            self.add(Block::Table(rows));
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

/// `1.`, `a)`, `2.3`; a bullet may be the letter `o`.
fn is_number(marker: &str) -> bool {
    let counts = marker.chars().any(char::is_alphanumeric);
    counts && (marker.ends_with(['.', ')']) || marker.chars().any(|char| char.is_ascii_digit()))
}

/// The last number of a marker.
fn digits(marker: &str) -> Option<u32> {
    marker.rsplit(|char: char| !char.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}
