//! Tables as Markdown (the table extension of GitHub's Markdown): what every format with tables writes.

/// `rows` as a Markdown table whose header is the first row; empty when no cell has text. Rows may differ in length.
/// Columns without text, and rows without text, are left out.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let used: Vec<usize> = (0..width)
        .filter(|column| rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty())))
        .collect();
    let mut rows = rows.iter().filter(|row| row.iter().any(|cell| !cell.is_empty()));
    let Some(header) = rows.next() else { return String::new() };
    let mut out = line(header, &used);
    out.push_str(&format!("|{}\n", " --- |".repeat(used.len())));
    rows.for_each(|row| out.push_str(&line(row, &used)));
    out
}

fn line(row: &[String], columns: &[usize]) -> String {
    let cells = columns.iter().map(|column| format!(" {} |", row.get(*column).map_or("", String::as_str)));
    format!("|{}\n", cells.collect::<String>())
}

/// A cell stays on one line, and its bars do not part it.
fn escaped(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
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
