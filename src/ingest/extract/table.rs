//! Tables as Markdown (the table extension of GitHub's Markdown): what every format with tables writes.
//!
//! Columns without text, and rows without text, are left out; the first row that is left is the header. A table at hand
//! is written by [`markdown`]; one that is too large for that is looked through twice, once for its [`Columns`], once by
//! a [`Writer`].

/// `rows` as a Markdown table whose header is the first row; empty when no cell has text. Rows may differ in length.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let mut columns = Columns::default();
    rows.iter().for_each(|row| columns.see(row.iter().map(String::as_str)));
    let mut out = String::new();
    let mut writer = Writer::new(&columns);
    rows.iter().for_each(|row| writer.row(row.iter().map(String::as_str), &mut out));
    out
}

/// Which columns of a table have text.
#[derive(Debug, Default)]
pub struct Columns {
    used: Vec<bool>,
}

impl Columns {
    /// So many columns, each with text.
    pub fn all(count: usize) -> Columns {
        Columns { used: vec![true; count] }
    }

    /// Takes a row into account.
    pub fn see<'a>(&mut self, row: impl Iterator<Item = &'a str>) {
        for (column, cell) in row.enumerate() {
            if self.used.len() <= column {
                self.used.push(false);
            }
            self.used[column] |= !is_blank(cell);
        }
    }
}

/// Writes a table row by row.
pub struct Writer<'a> {
    columns: &'a Columns,
    has_header: bool,
}

impl Writer<'_> {
    pub fn new(columns: &Columns) -> Writer<'_> {
        Writer { columns, has_header: false }
    }

    /// Appends a row to the table.
    pub fn row<'c>(&mut self, row: impl Iterator<Item = &'c str> + Clone, out: &mut String) {
        if row.clone().all(is_blank) {
            return;
        }
        let mut row = row;
        out.push('|');
        for used in &self.columns.used {
            let cell = row.next().unwrap_or_default();
            if *used {
                out.push(' ');
                push_escaped(cell, out);
                out.push_str(" |");
            }
        }
        out.push('\n');
        if !std::mem::replace(&mut self.has_header, true) {
            out.push('|');
            self.columns.used.iter().filter(|used| **used).for_each(|_| out.push_str(" --- |"));
            out.push('\n');
        }
    }
}

fn is_blank(cell: &str) -> bool {
    cell.chars().all(char::is_whitespace)
}

/// A cell stays on one line, and its bars do not part it.
fn push_escaped(cell: &str, out: &mut String) {
    for (place, word) in cell.split_whitespace().enumerate() {
        if place > 0 {
            out.push(' ');
        }
        for (place, part) in word.split('|').enumerate() {
            if place > 0 {
                out.push_str("\\|");
            }
            out.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::markdown;

    #[test]
    fn the_first_row_with_text_is_the_header_and_empty_columns_vanish() {
        let rows = [vec!["", "", ""], vec!["Item", "", "Price"], vec!["a|b\nc", "", "1"], vec![], vec!["d"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(markdown(&rows), "| Item | Price |\n| --- | --- |\n| a\\|b c | 1 |\n| d |  |\n");
    }

    #[test]
    fn a_table_without_text_is_nothing() {
        assert_eq!(markdown(&[vec![String::new()], vec![" ".to_owned()]]), "");
    }
}
