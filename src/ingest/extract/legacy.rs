//! Word and PowerPoint documents of the binary kind (MS-DOC, MS-PPT), by `office_oxide`: the one library in Rust that reads
//! both. It bounds what a file can make it take, and runs in the worker like all.
//!
//! What it finds becomes the blocks of every other format. Left out: headers and footers, comments, addresses of links,
//! objects that it only names. It does not say where notes are referred to, so these follow the text.

use std::io::Cursor;

use office_oxide::cfb::SummaryProperties;
use office_oxide::doc::DocError;
use office_oxide::ir::{Element, InlineContent, List, ListItem, Section, Table};
use office_oxide::ppt::PptError;
use office_oxide::{Document, DocumentFormat, OfficeError};

use super::blocks::{self, Block, Marker, Page, described, push_table};
use super::canonical::canonical;
use super::grid::Grid;
use super::{ContentType, ExtractFailure, Extracted};

/// What the library calls the notes that readers write to each other.
const COMMENT: &str = "comment";

/// The role of placeholders that stand on every slide (as in PresentationML).
const FURNITURE: [&str; 4] = ["dt", "ftr", "hdr", "sldNum"];

/// Word has styles for lists up to this level.
const MAX_STYLE_LEVEL: usize = 5;

/// The document as Markdown.
pub fn extract(bytes: &[u8], content_type: ContentType) -> Result<Extracted, ExtractFailure> {
    match content_type {
        ContentType::Ppt => presentation(bytes),
        _ => document(bytes),
    }
}

fn document(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let document = open(bytes, DocumentFormat::Doc, "The Word document")?;
    let title = document.as_doc().and_then(|document| title(document.summary_properties()));
    let mut all = Vec::new();
    for section in &document.to_ir().sections {
        push_all(&section.elements, &mut all);
    }
    let text = canonical(&blocks::markdown(&all));
    Ok(Extracted { title, text, markdown: true, ..Extracted::default() })
}

fn presentation(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let deck = open(bytes, DocumentFormat::Ppt, "The presentation")?;
    let stated = deck.as_ppt().and_then(|deck| title(deck.summary_properties()));
    let pages: Vec<Page> = deck.to_ir().sections.iter().map(page).collect();
    let title = blocks::presentation_title(stated, &pages);
    let (text, pages) = blocks::paged(pages);
    Ok(Extracted { title, text, markdown: true, pages, ..Extracted::default() })
}

fn open(bytes: &[u8], format: DocumentFormat, what: &str) -> Result<Document, ExtractFailure> {
    Document::from_reader(Cursor::new(bytes.to_vec()), format).map_err(|error| match error {
        OfficeError::Doc(DocError::Encrypted) | OfficeError::Ppt(PptError::Encrypted) => ExtractFailure::locked(what),
        error => ExtractFailure::broken(what, error),
    })
}

fn title(properties: Option<&SummaryProperties>) -> Option<String> {
    let title = canonical(properties?.title.as_deref()?);
    Some(title.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|title| !title.is_empty())
}

/// A slide: its first heading is its title.
fn page(slide: &Section) -> Page {
    let mut page = Page::default();
    push_all(&slide.elements, &mut page.body);
    push_all(slide.speaker_notes.as_deref().unwrap_or_default(), &mut page.notes);
    let at = page.body.iter().position(|block| matches!(block, Block::Heading(..)));
    if let Some(Block::Heading(_, title)) = at.map(|at| page.body.remove(at)) {
        page.title.push(Block::Paragraph(title));
    }
    page
}

fn push_all(elements: &[Element], out: &mut Vec<Block>) {
    elements.iter().for_each(|element| push(element, out));
}

fn push(element: &Element, out: &mut Vec<Block>) {
    match element {
        Element::Heading(heading) => out.push(Block::Heading(heading.level, text(&heading.content))),
        Element::Paragraph(paragraph) => match paragraph.placeholder_role.as_deref() {
            Some(role) if FURNITURE.contains(&role) => {}
            _ => out.push(Block::Paragraph(text(&paragraph.content))),
        },
        Element::Table(table) => push_table(rows(table), out),
        Element::List(list) => push_list(list, 0, out),
        Element::TextBox(text_box) => push_all(&text_box.content, out),
        Element::CodeBlock(code) => out.push(Block::Code(code.content.clone())),
        Element::Footnote(note) | Element::Endnote(note) if note.marker.as_deref() != Some(COMMENT) => {
            push_all(&note.content, out);
        }
        // Without data it stands for an object.
        Element::Image(image) if image.data.is_some() => {
            let words = described(image.alt_text.as_deref().unwrap_or_default());
            out.push(Block::Paragraph(words.to_owned()));
        }
        _ => {}
    }
}

fn text(content: &[InlineContent]) -> String {
    let parts = content.iter().map(|part| match part {
        InlineContent::Text(span) => span.text.as_str(),
        InlineContent::LineBreak => "\n",
        _ => "",
    });
    parts.collect()
}

fn rows(table: &Table) -> Vec<Vec<Vec<Block>>> {
    let mut grid = Grid::default();
    for row in &table.rows {
        grid.begin_row();
        for cell in &row.cells {
            let mut blocks = Vec::new();
            push_all(&cell.content, &mut blocks);
            let span = |count| usize::try_from(count).unwrap_or(1);
            grid.put(blocks, span(cell.col_span), span(cell.row_span));
        }
        grid.end_row();
    }
    grid.into_rows()
}

/// The library takes neighbouring lists for one; where the style of an item is a list's, it tells more.
fn push_list(list: &List, depth: usize, out: &mut Vec<Block>) {
    let mut numbers = vec![list.start_number.unwrap_or(1).saturating_sub(1)];
    for item in &list.items {
        let (is_ordered, depth) = by_style(item).unwrap_or((list.ordered, depth));
        numbers.resize(depth + 1, 0);
        let number = numbers.last_mut().map_or(1, |last| {
            *last = if is_ordered { last.saturating_add(1) } else { 0 };
            *last
        });
        let marker = if is_ordered { Marker::Number(number) } else { Marker::Bullet };
        push_item(item, depth, marker, out);
        if let Some(nested) = &item.nested {
            push_list(nested, depth + 1, out);
        }
    }
}

/// Whether an item has a number, and how deep it is, by Word's own styles: `List Bullet`, `List Number 2`.
fn by_style(item: &ListItem) -> Option<(bool, usize)> {
    let Element::Paragraph(paragraph) = item.content.first()? else { return None };
    let style = paragraph.style.as_deref()?.to_lowercase();
    let styles = [("list bullet", false), ("list number", true)];
    let (rest, is_ordered) =
        styles.into_iter().find_map(|(name, ordered)| Some((style.strip_prefix(name)?, ordered)))?;
    let level: usize = if rest.is_empty() { 1 } else { rest.trim().parse().ok()? };
    Some((is_ordered, level.clamp(1, MAX_STYLE_LEVEL) - 1))
}

fn push_item(item: &ListItem, depth: usize, marker: Marker, out: &mut Vec<Block>) {
    let mut marker = Some(marker);
    let mut blocks = Vec::new();
    push_all(&item.content, &mut blocks);
    out.extend(blocks.into_iter().map(|block| match (block, marker.take()) {
        (Block::Paragraph(text), Some(marker)) => Block::Item { depth, marker, text },
        (Block::Paragraph(text), None) => Block::Continued { depth, text },
        (block, _) => block,
    }));
}

#[cfg(test)]
mod tests {
    use super::super::ExtractCode;
    use super::*;

    const NOTICE: &[u8] = include_bytes!("../../../fixtures/documents-office/notice.doc");
    const SEASON: &[u8] = include_bytes!("../../../fixtures/documents-office/season.ppt");

    /// `file`, with what stands in it once replaced.
    fn patched(file: &[u8], was: &[u8], is: &[u8]) -> Vec<u8> {
        let at = file.windows(was.len()).position(|window| window == was).unwrap();
        [&file[..at], is, &file[at + was.len()..]].concat()
    }

    #[test]
    fn old_documents_and_decks_are_read() {
        insta::assert_snapshot!(extract(NOTICE, ContentType::Doc).unwrap().text, @"
        # Notice to the depots

        Count the bearings of lot Köln on Friday.

        Send the count to the service desk.
        ");
        insta::assert_snapshot!(extract(SEASON, ContentType::Ppt).unwrap().text, @"
        # Frost season

        Check the heaters

        Order bird spikes

        # Köln depot

        Closed in May
        ");
    }

    #[test]
    fn encrypted_and_damaged_ones_are_typed_failures() {
        let code = |bytes: &[u8], content_type| extract(bytes, content_type).unwrap_err().code;
        let encrypted =
            patched(NOTICE, b"\xec\xa5\xc1\0\0\0\x07\x04\0\0\0\x02", b"\xec\xa5\xc1\0\0\0\x07\x04\0\0\0\x03");
        assert_eq!(code(&encrypted, ContentType::Doc), ExtractCode::Encrypted);
        let encrypted = patched(SEASON, b"\x5f\xc0\x91\xe3", b"\xdf\xc4\xd1\xf3");
        assert_eq!(code(&encrypted, ContentType::Ppt), ExtractCode::Encrypted);
        for content_type in [ContentType::Doc, ContentType::Ppt] {
            assert_eq!(code(b"no document", content_type), ExtractCode::Broken);
            assert_eq!(code(&NOTICE[..1000], content_type), ExtractCode::Broken);
        }
    }
}
