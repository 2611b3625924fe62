//! Tables as documents have them, in Markdown: rows of cells between bars, under a head and a line of dashes.

use std::ops::Range;

/// Whether the bytes `part` are the head of a table: a line of dashes follows.
pub fn is_head(text: &str, part: &Range<usize>) -> bool {
    is_row(&text[part.clone()]) && text[part.end..].trim_start().lines().next().is_some_and(is_rule)
}

/// A row in words, each cell under its name in the head where there is one; `None` for what is no row.
pub fn row_in_words(text: &str, part: &Range<usize>) -> Option<String> {
    let row = &text[part.clone()];
    if !is_row(row) {
        return None;
    }
    let names = head_above(&text[..part.start]).map(cells).unwrap_or_default();
    let named = |(column, cell): (usize, String)| match names.get(column).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name}: {cell}"),
        None => cell,
    };
    let filled = cells(row).into_iter().enumerate().filter(|(_, cell)| !cell.is_empty());
    Some(filled.map(named).collect::<Vec<_>>().join("; "))
}

fn is_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

fn is_rule(line: &str) -> bool {
    line.contains("--") && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ' | '\t' | '\r'))
}

/// The head of the table that `before` ends within.
fn head_above(before: &str) -> Option<&str> {
    let mut lines = before.lines().rev().take_while(|line| is_row(line));
    lines.find(|line| is_rule(line))?;
    lines.next()
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row).replace("\\|", "\u{0}");
    row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "Codes:\n\n| Code | Region |  |\n|---|:---|---|\n| NEU | Nordics | a \\| b |\n| DAC | Alps | |\n\nEnd.";

    fn part(of: &str) -> Range<usize> {
        let start = TEXT.find(of).unwrap();
        start..start + of.len()
    }

    #[test]
    fn a_row_is_read_under_the_head_of_its_table() {
        let row = |of| row_in_words(TEXT, &part(of));
        assert_eq!(row("| NEU | Nordics | a \\| b |").as_deref(), Some("Code: NEU; Region: Nordics; a | b"));
        assert_eq!(row("| DAC | Alps | |").as_deref(), Some("Code: DAC; Region: Alps"));
        assert_eq!(row("End."), None);
        let lonely = "| DAC | Alps |";
        assert_eq!(row_in_words(lonely, &(0..lonely.len())).as_deref(), Some("DAC; Alps"));
    }

    #[test]
    fn a_head_is_known_by_the_line_of_dashes_below_it() {
        assert!(is_head(TEXT, &part("| Code | Region |  |")));
        assert!(!is_head(TEXT, &part("| NEU | Nordics | a \\| b |")));
        assert!(!is_head(TEXT, &part("Codes:")));
    }
}
