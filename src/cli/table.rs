//! Rows in columns, for people.

/// Wider cells are cut, so that a row stays a line.
const MAX_WIDTH: usize = 60;

/// Prints `rows` under `names`, each column as wide as it needs.
pub fn print(names: &[&str], rows: &[Vec<String>]) {
    lines(names, rows).iter().for_each(|text| line(text));
}

/// The same, for another place than standard output.
pub fn lines(names: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let shown: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| shorten(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = shown.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([names[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let header: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    let padded = [header, rule].into_iter().chain(shown).map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    padded.collect()
}

/// One line on standard output. A reader that went away (`| head`) ends the program quietly.
pub fn line(text: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

fn shorten(cell: &str) -> String {
    let flat = cell.replace(['\n', '\r', '\t'], " ");
    match flat.char_indices().nth(MAX_WIDTH) {
        Some((end, _)) => format!("{}…", &flat[..end]),
        None => flat,
    }
}
