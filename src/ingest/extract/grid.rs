//! A table whose cells may span columns and rows, as web pages and old Word documents state them: the places that a cell
//! covers beside and below its own stay empty.

use super::blocks::Block;

/// As far as cells may span (HTML standard, "attributes common to td and th elements").
const MAX_SPAN: usize = 1000;

/// Covered places of a table: a span is a number, a place is memory.
const MAX_COVERED: usize = 100_000;

/// A table that is filled cell by cell.
#[derive(Default)]
pub struct Grid {
    rows: Vec<Vec<Vec<Block>>>,
    /// For each column, how many of the next rows a cell above reaches into.
    reaches: Vec<usize>,
    covered: usize,
}

impl Grid {
    pub fn begin_row(&mut self) {
        self.rows.push(Vec::new());
    }

    /// Puts a cell at the next place of the row that no other covers.
    pub fn put(&mut self, cell: Vec<Block>, columns: usize, rows: usize) {
        self.cover();
        let (columns, rows) = self.allowed(columns.clamp(1, MAX_SPAN), rows.clamp(1, MAX_SPAN));
        let Some(row) = self.rows.last_mut() else { return };
        let first = row.len();
        row.push(cell);
        row.resize_with(first + columns, Vec::new);
        self.reaches.resize(self.reaches.len().max(row.len()), 0);
        self.reaches[first..].iter_mut().take(columns).for_each(|reach| *reach = rows - 1);
    }

    /// To be called after the last cell of each row.
    pub fn end_row(&mut self) {
        self.cover();
    }

    pub fn into_rows(self) -> Vec<Vec<Vec<Block>>> {
        self.rows
    }

    fn cover(&mut self) {
        let Some(row) = self.rows.last_mut() else { return };
        while let Some(reach) = self.reaches.get_mut(row.len()).filter(|reach| **reach > 0) {
            *reach -= 1;
            row.push(Vec::new());
        }
    }

    fn allowed(&mut self, columns: usize, rows: usize) -> (usize, usize) {
        let covered = self.covered + columns * rows - 1;
        match covered <= MAX_COVERED {
            true => {
                self.covered = covered;
                (columns, rows)
            }
            false => (1, 1),
        }
    }
}
