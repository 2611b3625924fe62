//! Spreadsheets: Excel, old and new (`excel`), and OpenDocument (`ods`). A sheet is a heading, a table and a page.
//!
//! Cells are kept as they are found, never as a grid: a sheet with one cell in each corner has seventeen thousand million.
//! Values are what formulas last gave, dates are ISO 8601, numbers have the fifteen digits that Excel shows, with the signs
//! of percentages and money where the file is known to have them (xlsx, ods; not xlsb, xls). Hidden sheets are kept; empty
//! ones, and empty rows and columns, are left out. Rows of one cell above a table are its caption.

mod excel;
mod ods;
mod units;
mod value;

use std::panic;

use super::canonical::canonical;
use super::table::{Columns, Writer};
use super::{ContentType, ExtractCode, ExtractFailure, Extracted, MAX_TEXT_BYTES, PageStart};

/// As failures call a file.
const WHAT: &str = "The spreadsheet";

/// Excel's and LibreOffice's own.
const MAX_ROWS: u32 = 1_048_576;
const MAX_COLUMNS: u32 = 16_384;

/// Of all sheets: a table of as many cells is more text than a document may have.
const MAX_CELLS: usize = MAX_TEXT_BYTES / 8;

/// The sheets as Markdown.
pub fn extract(bytes: &[u8], content_type: ContentType) -> Result<Extracted, ExtractFailure> {
    // The library panics on some records that do not fit together.
    let workbook = panic::catch_unwind(|| read(bytes, content_type))
        .unwrap_or_else(|_| Err(ExtractFailure::broken(WHAT, "its parts do not fit together")))?;
    Ok(Extracted {
        title: workbook.title,
        text: workbook.text,
        markdown: true,
        pages: workbook.pages,
        ..Extracted::default()
    })
}

fn read(bytes: &[u8], content_type: ContentType) -> Result<Workbook, ExtractFailure> {
    let mut workbook = Workbook::default();
    match content_type {
        ContentType::Ods => ods::read(bytes, &mut workbook)?,
        ContentType::Xlsb => excel::read_xlsb(bytes, &mut workbook)?,
        ContentType::Xls => excel::read_xls(bytes, &mut workbook)?,
        _ => excel::read_xlsx(bytes, &mut workbook)?,
    }
    Ok(workbook)
}

/// The sheets that were read.
#[derive(Default)]
struct Workbook {
    title: Option<String>,
    text: String,
    pages: Vec<PageStart>,
    sheet_count: u32,
    cell_count: usize,
}

/// A sheet that is being read.
#[derive(Default)]
struct Sheet {
    cells: Vec<Cell>,
    /// The text of all cells.
    text: String,
    /// How many cells the sheets before it have.
    cells_before: usize,
}

struct Cell {
    row: u32,
    column: u32,
    start: usize,
    end: usize,
}

impl Sheet {
    /// Adds a cell; blank ones are nothing.
    fn put(&mut self, row: u32, column: u32, value: &str) -> Result<(), ExtractFailure> {
        let value = value.trim();
        if value.is_empty() {
            return Ok(());
        }
        let start = self.text.len();
        let fits = row < MAX_ROWS && column < MAX_COLUMNS && start + value.len() <= MAX_TEXT_BYTES;
        if !fits || self.cells_before + self.cells.len() >= MAX_CELLS {
            return Err(too_large());
        }
        self.text.push_str(value);
        self.cells.push(Cell { row, column, start, end: self.text.len() });
        Ok(())
    }

    fn value(&self, cell: &Cell) -> &str {
        &self.text[cell.start..cell.end]
    }
}

impl Workbook {
    /// The next sheet; [`Workbook::end`] takes it back.
    fn begin(&self) -> Sheet {
        Sheet { cells_before: self.cell_count, ..Sheet::default() }
    }

    fn end(&mut self, name: &str, mut sheet: Sheet) -> Result<(), ExtractFailure> {
        self.sheet_count += 1;
        if sheet.cells.is_empty() {
            return Ok(());
        }
        self.cell_count += sheet.cells.len();
        sheet.cells.sort_by_key(|cell| (cell.row, cell.column));
        let mut text = format!("## {}\n\n", name.split_whitespace().collect::<Vec<_>>().join(" "));
        write(&sheet, self.text.len(), &mut text)?;
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.pages.push(PageStart { number: self.sheet_count, start: self.text.len() });
        self.text.push_str(&canonical(&text));
        Ok(())
    }
}

/// Appends captions and table, as long as they fit after what there is `before`.
fn write(sheet: &Sheet, before: usize, out: &mut String) -> Result<(), ExtractFailure> {
    let mut rows: Vec<&[Cell]> = sheet.cells.chunk_by(|one, other| one.row == other.row).collect();
    let first_wide = rows.iter().position(|row| row.len() > 1).unwrap_or(0);
    for caption in rows.drain(..first_wide).flatten() {
        let words: Vec<&str> = sheet.value(caption).split_whitespace().collect();
        out.push_str(&format!("{}\n\n", words.join(" ")));
    }
    let mut columns: Vec<u32> = rows.iter().flat_map(|row| row.iter().map(|cell| cell.column)).collect();
    columns.sort_unstable();
    columns.dedup();
    let all = Columns::all(columns.len());
    let mut table = Writer::new(&all);
    for row in rows {
        table.row(in_columns(sheet, row, &columns), out);
        if before + out.len() > MAX_TEXT_BYTES {
            return Err(too_large());
        }
    }
    Ok(())
}

/// The row's values, and nothing where it has no cell.
fn in_columns<'a>(sheet: &'a Sheet, row: &'a [Cell], columns: &'a [u32]) -> impl Iterator<Item = &'a str> + Clone {
    columns.iter().scan(row, move |rest, column| {
        *rest = &rest[rest.iter().take_while(|cell| cell.column < *column).count()..];
        Some(rest.first().filter(|cell| cell.column == *column).map_or("", |cell| sheet.value(cell)))
    })
}

fn too_large() -> ExtractFailure {
    let detail = format!(
        "{WHAT} is larger than is read: {MAX_CELLS} cells with text, {} MB of text, {MAX_ROWS} rows and {MAX_COLUMNS} \
         columns. Split it into several.",
        MAX_TEXT_BYTES / 1_000_000
    );
    ExtractFailure::of_file(ExtractCode::TooLarge, detail)
}

#[cfg(test)]
mod tests;
