//! Paragraphs as Markdown: headings, lists, tables, and notes below the paragraph or table that they belong to.

use super::super::{ExtractCode, ExtractFailure, table};

/// The cells of all tables: a table of them is more text than a document may have.
const MAX_CELLS: usize = 2_000_000;

/// Markdown nests an item that stands this much further to the right, below bullets and below numbers.
const INDENT: &str = "    ";

/// Line starts that Markdown would take for markup. Typed bullets and numbers are lists indeed.
const MARKUP: [&str; 8] = ["#", ">", "|", "---", "===", "```", "~~~", "___"];

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
    done: String,
    notes: Vec<String>,
    note_count: usize,
    cell: String,
    row: Vec<String>,
    rows: Vec<Vec<String>>,
    cell_count: usize,
    /// The numbers of the last item and of those above it; empty outside of lists.
    numbers: Vec<usize>,
}

impl Output {
    /// How much text there is.
    pub fn len(&self) -> usize {
        self.done.len() + self.paragraph.len() + self.note.len()
    }

    pub fn end_paragraph(&mut self, paragraph: Paragraph) {
        let text = lines(&std::mem::take(&mut self.paragraph));
        let marker = std::mem::take(&mut self.marker);
        let marker = marker.trim();
        if paragraph.in_table {
            return self.add_to_cell(marker, &text);
        }
        self.end_table();
        if text.is_empty() {
            return;
        }
        match paragraph.heading {
            Some(level) => self.heading(level, marker, &text),
            None if paragraph.in_list || !marker.is_empty() => return self.item(paragraph.level, marker, &text),
            None => self.block(&guarded(&text)),
        }
        self.end_notes();
    }

    fn add_to_cell(&mut self, marker: &str, text: &str) {
        for part in [marker, text].into_iter().filter(|part| !part.is_empty()) {
            self.cell.push_str(part);
            self.cell.push(' ');
        }
    }

    fn heading(&mut self, level: u8, marker: &str, text: &str) {
        let number = if is_number(marker) { format!("{marker} ") } else { String::new() };
        let text = text.replace('\n', " ");
        self.block(&format!("{} {number}{text}", "#".repeat(usize::from(level.min(6)))));
    }

    fn block(&mut self, text: &str) {
        if !std::mem::take(&mut self.numbers).is_empty() {
            self.done.push('\n');
        }
        self.done.push_str(text);
        self.done.push_str("\n\n");
    }

    /// An item of a list. A level that skips one would be no list in Markdown.
    fn item(&mut self, level: u8, marker: &str, text: &str) {
        let level = usize::from(level).min(self.numbers.len());
        self.numbers.resize(level + 1, 0);
        if let Some(number) = self.numbers.last_mut() {
            *number = digits(marker).unwrap_or(*number + 1);
        }
        let indent = INDENT.repeat(level);
        let mark = match (is_number(marker), self.numbers.last()) {
            (true, Some(number)) => format!("{number}."),
            _ => "-".to_owned(),
        };
        let text = text.replace('\n', &format!("\n{indent}  "));
        self.done.push_str(&format!("{indent}{mark} {text}\n"));
    }

    pub fn end_cell(&mut self) -> Result<(), ExtractFailure> {
        let text = std::mem::take(&mut self.paragraph);
        let marker = std::mem::take(&mut self.marker);
        self.add_to_cell(marker.trim(), &text);
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
            let table = table::markdown(&std::mem::take(&mut self.rows));
            self.block(table.trim_end());
            self.end_notes();
        }
    }

    /// Puts the note's mark where the note was found.
    pub fn end_note(&mut self) {
        let note = std::mem::take(&mut self.note).split_whitespace().collect::<Vec<_>>().join(" ");
        if !note.is_empty() {
            self.note_count += 1;
            self.paragraph.push_str(&format!("[^{}]", self.note_count));
            self.notes.push(format!("[^{}]: {note}", self.note_count));
        }
    }

    fn end_notes(&mut self) {
        for note in std::mem::take(&mut self.notes) {
            self.block(&note);
        }
    }

    /// The whole text.
    pub fn end(mut self) -> Result<String, ExtractFailure> {
        if !self.row.is_empty() {
            self.end_cell()?;
        }
        self.end_paragraph(Paragraph::default());
        self.end_table();
        self.end_notes();
        self.done.truncate(self.done.trim_end().len());
        Ok(self.done)
    }
}

/// Without blanks around lines, which Markdown would take for code, and without empty lines.
fn lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

fn guarded(text: &str) -> String {
    let lines = text.lines().map(|line| match MARKUP.iter().any(|markup| line.starts_with(markup)) {
        true => format!("\\{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `1.`, `a)`, `2.3`; a bullet may be the letter `o`.
fn is_number(marker: &str) -> bool {
    let counts = marker.chars().any(char::is_alphanumeric);
    counts && (marker.ends_with(['.', ')']) || marker.chars().any(|char| char.is_ascii_digit()))
}

/// The last number of a marker.
fn digits(marker: &str) -> Option<usize> {
    let marker = marker.trim_end_matches(|char: char| !char.is_ascii_digit());
    let start = marker
        .rfind(|char: char| !char.is_ascii_digit())
        .map_or(0, |before| before + marker[before..].chars().next().map_or(0, char::len_utf8));
    marker[start..].parse().ok().filter(|number| *number < 1_000_000_000)
}
