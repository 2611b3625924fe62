//! The layout that pdfboss found on a page, as Markdown for search: headings, lists and tables as structure, but no
//! emphasis (asterisks inside a quote help nobody), pipe tables only, and words that were hyphenated at a line's end
//! whole again.

use pdfboss_output::{Block, Cell, Line, ListItem, Marker, PageLayout, Role};

/// One page; blocks are separated by a blank line. Headers and footers that repeat on every page are left out, unless the
/// page holds nothing else: then they are what it says.
pub fn markdown(page: &PageLayout) -> String {
    let body = blocks(page.blocks.iter().filter(|block| !is_margin(block)));
    if body.is_empty() { blocks(page.blocks.iter()) } else { body }
}

fn blocks<'a>(blocks: impl Iterator<Item = &'a Block>) -> String {
    blocks.map(render).filter(|block| !block.trim().is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn is_margin(block: &Block) -> bool {
    matches!(block, Block::Paragraph { role: Role::PageHeader | Role::PageFooter, .. })
}

fn render(block: &Block) -> String {
    match block {
        Block::Heading { level, lines, .. } => heading(*level, lines),
        Block::Paragraph { lines, .. } => paragraph(lines),
        Block::List { items, .. } => items.iter().map(item).collect::<Vec<_>>().join("\n"),
        Block::Table { rows, .. } => table(rows),
    }
}

fn heading(level: u8, lines: &[Line]) -> String {
    let text = paragraph(lines).split_whitespace().collect::<Vec<_>>().join(" ");
    match text.is_empty() {
        true => text,
        false => format!("{} {text}", "#".repeat(usize::from(level.clamp(1, 6)))),
    }
}

/// A line a line, as on the page, but with hyphenated words joined.
fn paragraph(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let text = plain(line);
        let text = text.trim();
        match is_hyphenated(&out, text) {
            true => {
                out.pop();
            }
            false if out.is_empty() => {}
            false => out.push('\n'),
        }
        out.push_str(text);
    }
    out
}

/// Whether `before` ends in a word that goes on in `after`: a letter, a hyphen, then a small letter.
fn is_hyphenated(before: &str, after: &str) -> bool {
    let ends = before.strip_suffix(['-', '\u{2010}']).is_some_and(|word| word.ends_with(char::is_lowercase));
    ends && after.starts_with(char::is_lowercase)
}

fn item(item: &ListItem) -> String {
    let text = paragraph(&item.lines);
    let text = text.char_indices().nth(item.marker_len).map_or("", |(at, _)| &text[at..]).trim_start();
    // Continuation lines are indented, so that the item stays one.
    let text = text.replace('\n', "\n  ");
    match item.marker {
        Marker::Bullet => format!("- {text}"),
        Marker::Number(number) => format!("{number}. {text}"),
    }
}

fn table(rows: &[Vec<Cell>]) -> String {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut lines: Vec<String> = rows.iter().map(|row| row_of(row, width)).collect();
    if !lines.is_empty() {
        lines.insert(1, format!("|{}", " --- |".repeat(width)));
    }
    lines.join("\n")
}

fn row_of(row: &[Cell], width: usize) -> String {
    let text = |cell: &Cell| cell.line.as_ref().map(plain).unwrap_or_default().trim().replace('|', "\\|");
    let mut cells: Vec<String> = row.iter().map(text).collect();
    cells.resize(width, String::new());
    format!("| {} |", cells.join(" | "))
}

fn plain(line: &Line) -> String {
    let letters = line.inlines.iter().flat_map(|inline| inline.text.chars());
    letters.fold(String::new(), |mut out, letter| {
        match ligature(letter) {
            Some(letters) => out.push_str(letters),
            None => out.push(letter),
        }
        out
    })
}

/// The letters of a ligature (Unicode's U+FB00 to U+FB06): nobody searches for `ﬁnd`.
fn ligature(letter: char) -> Option<&'static str> {
    Some(match letter {
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdfboss_output::{BBox, Inline};

    fn line(text: &str) -> Line {
        let inlines = vec![Inline { text: text.to_owned(), bold: true, italic: false, code: false }];
        Line { inlines, y: 0.0, x: 0.0, end_x: 0.0, size: 10.0 }
    }

    fn place() -> BBox {
        BBox { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0 }
    }

    fn cell(text: &str) -> Cell {
        Cell { line: (!text.is_empty()).then(|| line(text)), colspan: 1, rowspan: 1 }
    }

    #[test]
    fn hyphenated_words_are_whole_again_and_compounds_stay() {
        let joined = |lines: &[&str]| paragraph(&lines.iter().map(|text| line(text)).collect::<Vec<_>>());
        assert_eq!(
            joined(&["the measure-", "ment of pre-", "Christmas sales"]),
            "the measurement of pre-\nChristmas sales"
        );
        assert_eq!(joined(&["COVID-", "19 and", "- dashes"]), "COVID-\n19 and\n- dashes");
    }

    #[test]
    fn blocks_become_markdown_without_what_repeats_on_every_page() {
        let item =
            ListItem {
                marker: Marker::Bullet, marker_len: 2, lines: vec![line("• one"), line("more")], bbox: place()
            };
        let rows = vec![vec![cell("Kind"), cell("Days")], vec![cell("a|b"), cell("")], vec![cell("sick")]];
        let blocks = vec![
            Block::Paragraph { lines: vec![line("Annual report")], bbox: place(), role: Role::PageHeader },
            Block::Heading { level: 2, lines: vec![line("Leave"), line("policy")], bbox: place() },
            Block::List { items: vec![item], bbox: place() },
            Block::Table { rows, bbox: place() },
        ];
        let page = PageLayout { blocks };
        insta::assert_snapshot!(markdown(&page), @r"
        ## Leave policy

        - one
          more

        | Kind | Days |
        | --- | --- |
        | a\|b |  |
        | sick |  |
        ");
    }

    #[test]
    fn ligatures_are_their_letters() {
        assert_eq!(paragraph(&[line("e\u{fb03}cient \u{fb01}elds")]), "efficient fields");
    }

    #[test]
    fn a_page_of_nothing_but_what_repeats_keeps_it() {
        let header = Block::Paragraph { lines: vec![line("Page 7")], bbox: place(), role: Role::PageHeader };
        assert_eq!(markdown(&PageLayout { blocks: vec![header] }), "Page 7");
    }
}
