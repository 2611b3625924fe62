//! Paragraphs, lists and tables in their order.

use std::collections::HashMap;

use super::super::ExtractFailure;
use super::super::archive::Archive;
use super::super::blocks::{self, Block, Marker, Page};
use super::super::xml::{Tag, Xml};
use super::WHAT;
use super::styles::{Level, Role, Styles};

/// Empty cells of a whole document: a repetition is a number, a cell is memory.
const MAX_FILLED_CELLS: usize = 1_000_000;

/// Reads the content with what the styles say.
pub struct Reader<'r, 'a> {
    pub(super) archive: &'r mut Archive<'a>,
    pub(super) styles: &'r Styles,
    pub(super) note_count: u32,
    title: Option<String>,
    fillable_cells: usize,
    /// The last number of each list, by the list's id …
    numbers_by_id: HashMap<String, u32>,
    /// … and by style and depth.
    numbers_by_style: HashMap<(Option<String>, usize), u32>,
}

/// What a document holds.
#[derive(Default)]
pub struct Contents {
    /// The first paragraph that is styled as a title.
    pub title: Option<String>,
    pub blocks: Vec<Block>,
    /// Instead of `blocks`, if the document is a presentation.
    pub pages: Option<Vec<Page>>,
}

/// The list that is read.
struct List {
    style: Option<String>,
    depth: usize,
    level: Level,
    /// Of the last item.
    number: u32,
}

impl<'r, 'a> Reader<'r, 'a> {
    pub fn new(archive: &'r mut Archive<'a>, styles: &'r Styles) -> Reader<'r, 'a> {
        Reader {
            archive,
            styles,
            note_count: 0,
            title: None,
            fillable_cells: MAX_FILLED_CELLS,
            numbers_by_id: HashMap::new(),
            numbers_by_style: HashMap::new(),
        }
    }

    /// Reads the part `content.xml`.
    pub fn document(mut self, text: &str) -> Result<Contents, ExtractFailure> {
        let mut contents = Contents::default();
        Xml::new(text, WHAT).each(|xml, _| {
            xml.each(|xml, tag| match tag.name() {
                "body" => xml.each(|xml, tag| match tag.name() {
                    "presentation" | "drawing" => {
                        contents.pages = Some(self.pages(xml)?);
                        Ok(())
                    }
                    _ => self.blocks(xml, &mut contents.blocks),
                }),
                _ => Ok(()),
            })
        })?;
        contents.title = self.title;
        Ok(contents)
    }

    /// The blocks in the open element, which is closed.
    pub(super) fn blocks(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| self.block(xml, tag, out))
    }

    pub(super) fn block(&mut self, xml: &mut Xml, tag: &Tag, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        match tag.name() {
            "p" | "h" => self.paragraph(xml, tag, out, |_, block| block),
            "list" => self.list(xml, tag, None, out),
            "table" => self.table(xml, out),
            "frame" => self.frame(xml, out),
            "tracked-changes" | "forms" | "annotation" | "title" | "desc" => Ok(()),
            "section" if tag.get("display").as_deref() == Some("none") => Ok(()),
            _ => self.blocks(xml, out),
        }
    }

    /// Reads a paragraph; `place` says what becomes of a block of mere text.
    fn paragraph(
        &mut self,
        xml: &mut Xml,
        tag: &Tag,
        out: &mut Vec<Block>,
        place: impl FnOnce(&mut Reader<'r, 'a>, Block) -> Block,
    ) -> Result<(), ExtractFailure> {
        let style = tag.get("style-name").unwrap_or_default();
        if self.styles.hides("paragraph", &style) {
            return Ok(());
        }
        let mut paragraph = self.text_of(xml)?;
        let text = std::mem::take(&mut paragraph.text);
        let block = match (tag.name(), self.styles.role(&style)) {
            ("h", _) => Block::Heading(tag.number("outline-level").unwrap_or(1), text),
            (_, Role::Title) => {
                self.title = self.title.take().or(Some(text.clone()).filter(|title| !title.trim().is_empty()));
                Block::Heading(1, text)
            }
            (_, Role::Code) => Block::Code(text),
            (_, Role::Quote) => Block::Quote(text),
            _ => match place(self, Block::Paragraph(text)) {
                Block::Item { depth, marker, text } => {
                    Block::Item { depth: depth.max(self.styles.list_depth(&style)), marker, text }
                }
                block => block,
            },
        };
        out.push(block);
        out.append(&mut paragraph.after);
        Ok(())
    }

    fn list(
        &mut self,
        xml: &mut Xml,
        tag: &Tag,
        outer: Option<&List>,
        out: &mut Vec<Block>,
    ) -> Result<(), ExtractFailure> {
        let style = tag.get("style-name").or_else(|| outer?.style.clone());
        let depth = outer.map_or(0, |outer| outer.depth + 1);
        let level = self.styles.level(style.as_deref(), depth);
        let first = if let Level::Number(start) = level { start } else { 1 };
        let mut list = List { style, depth, level, number: first.saturating_sub(1) };
        list.number = self.continued_number(tag, &list).unwrap_or(list.number);
        xml.each(|xml, tag| match tag.name() {
            "list-item" | "list-header" => {
                if let Some(start) = tag.number::<u32>("start-value") {
                    list.number = start.saturating_sub(1);
                }
                self.item(xml, &mut list, out)
            }
            _ => Ok(()),
        })?;
        self.numbers_by_id.extend(tag.get("id").map(|id| (id, list.number)));
        self.numbers_by_style.insert((list.style, depth), list.number);
        Ok(())
    }

    /// Where a list goes on that continues another.
    fn continued_number(&self, tag: &Tag, list: &List) -> Option<u32> {
        match (tag.get("continue-list"), tag.get("continue-numbering").as_deref()) {
            (Some(id), _) => self.numbers_by_id.get(&id).copied(),
            (None, Some("true")) => self.numbers_by_style.get(&(list.style.clone(), list.depth)).copied(),
            _ => None,
        }
    }

    fn item(&mut self, xml: &mut Xml, list: &mut List, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        let mut is_first = true;
        xml.each(|xml, tag| match tag.name() {
            "p" | "h" => {
                let was_first = std::mem::replace(&mut is_first, false);
                self.paragraph(xml, tag, out, |_, block| list.placed(block, was_first))
            }
            "list" => self.list(xml, tag, Some(list), out),
            _ => self.block(xml, tag, out),
        })
    }

    fn table(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        let mut rows = Vec::new();
        self.rows(xml, &mut rows)?;
        blocks::push_table(rows, out);
        Ok(())
    }

    /// A repeated row is read once: writers repeat empty ones.
    fn rows(&mut self, xml: &mut Xml, rows: &mut Vec<Vec<Vec<Block>>>) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "table-row" => {
                let row = self.row(xml)?;
                rows.push(row);
                Ok(())
            }
            "table-column" | "table-columns" | "table-header-columns" | "title" | "desc" | "shapes" => Ok(()),
            _ => self.rows(xml, rows),
        })
    }

    /// Repeated cells are empty ones, as a rule, and take their places only when a cell with text follows.
    fn row(&mut self, xml: &mut Xml) -> Result<Vec<Vec<Block>>, ExtractFailure> {
        let (mut row, mut empty) = (Vec::new(), 0usize);
        xml.each(|xml, tag| {
            let mut cell = Vec::new();
            if tag.name() == "table-cell" {
                self.blocks(xml, &mut cell)?;
            }
            let places = tag.number("number-columns-repeated").unwrap_or(1usize);
            if cell.is_empty() {
                empty = empty.saturating_add(places);
                return Ok(());
            }
            let filled = empty.min(self.fillable_cells);
            self.fillable_cells -= filled;
            row.resize_with(row.len() + filled, Vec::new);
            row.push(cell);
            empty = places.saturating_sub(1);
            Ok(())
        })?;
        Ok(row)
    }
}

impl List {
    fn placed(&mut self, block: Block, is_first: bool) -> Block {
        let Block::Paragraph(text) = block else { return block };
        let depth = self.depth;
        let marker = match self.level {
            _ if !is_first => return Block::Continued { depth, text },
            Level::Nothing => return Block::Continued { depth, text },
            Level::Bullet => Marker::Bullet,
            Level::Number(_) => {
                self.number = self.number.saturating_add(1);
                Marker::Number(self.number)
            }
        };
        Block::Item { depth, marker, text }
    }
}
