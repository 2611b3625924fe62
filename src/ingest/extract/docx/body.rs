//! Paragraphs in their order, and what each of them is: heading, item, code, quotation or text.

use std::collections::HashMap;

use super::super::ExtractFailure;
use super::super::blocks::{Block, Marker, flattened};
use super::super::opc::{Package, Relations};
use super::super::xml::{Tag, Xml};
use super::Contents;
use super::inline::{Field, Paragraph};
use super::numbering::{ListReference, Numbering, Place};
use super::styles::{Role, Styles, by_outline};

/// Empty cells beside and below cells that span several, in a whole document: a span is a number, a cell is memory.
const MAX_FILLED_CELLS: usize = 1_000_000;

/// Reads a document's parts with what the package says of styles, lists and notes.
pub struct Reader<'p, 'a> {
    pub(super) package: &'p mut Package<'a>,
    pub(super) what: &'a str,
    pub(super) relations: Relations,
    pub(super) styles: Styles,
    numbering: Numbering,
    /// Notes that nothing has referred to yet, by the name of the reference and their id.
    notes: HashMap<(&'static str, String), Vec<Block>>,
    note_count: u32,
    pub(super) fields: Vec<Field>,
    /// A large first letter, which is a paragraph of its own.
    initial: String,
    title: Option<String>,
    pub(super) fillable_cells: usize,
}

/// What a paragraph says about itself.
#[derive(Default)]
pub struct Properties {
    pub(super) style: Option<String>,
    outline: Option<u8>,
    list: ListReference,
    is_initial: bool,
}

impl<'p, 'a> Reader<'p, 'a> {
    pub fn new(package: &'p mut Package<'a>, main: &str) -> Result<Reader<'p, 'a>, ExtractFailure> {
        let (what, relations) = (package.what, package.relations(main)?);
        let mut part = |kind| relations.of_kind(kind).map_or(Ok(None), |name| package.part(name));
        let styles = part("styles")?.map_or(Ok(Styles::default()), |text| Styles::read(&text, what))?;
        let numbering = part("numbering")?.map_or(Ok(Numbering::default()), |text| Numbering::read(&text, what))?;
        let (footnotes, endnotes) = (part("footnotes")?, part("endnotes")?);
        let mut reader = Reader {
            package,
            what,
            relations,
            styles,
            numbering,
            notes: HashMap::new(),
            note_count: 0,
            fields: Vec::new(),
            initial: String::new(),
            title: None,
            fillable_cells: MAX_FILLED_CELLS,
        };
        reader.read_notes("footnoteReference", footnotes.as_deref())?;
        reader.read_notes("endnoteReference", endnotes.as_deref())?;
        Ok(reader)
    }

    /// Reads the main part.
    pub fn document(mut self, text: &str) -> Result<Contents, ExtractFailure> {
        let mut blocks = Vec::new();
        self.blocks(&mut Xml::new(text, self.what), &mut blocks)?;
        blocks.push(Block::Paragraph(self.initial));
        Ok(Contents { title: self.title, blocks })
    }

    /// The blocks in the open element, which is closed.
    pub(super) fn blocks(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| self.block(xml, tag, out))
    }

    pub(super) fn block(&mut self, xml: &mut Xml, tag: &Tag, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        match tag.name() {
            "p" => self.paragraph(xml, out),
            "tbl" => self.table(xml, out),
            "AlternateContent" => {
                let before = out.len();
                xml.each(|xml, _| if out.len() == before { self.blocks(xml, out) } else { Ok(()) })
            }
            "del" | "moveFrom" | "sectPr" | "sdtPr" => Ok(()),
            _ => self.blocks(xml, out),
        }
    }

    fn paragraph(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        let mut paragraph = Paragraph::default();
        xml.each(|xml, tag| match tag.name() {
            "pPr" => {
                paragraph.properties = Properties::read(xml)?;
                paragraph.is_hidden = self.styles.hides(paragraph.properties.style.as_deref(), None);
                Ok(())
            }
            _ => self.inline(xml, tag, &mut paragraph),
        })?;
        // A field whose result has not begun by now is damaged; what follows is text.
        self.fields.fill(Field::Result);
        if paragraph.properties.is_initial {
            self.initial.push_str(paragraph.text.trim());
        } else {
            let text = std::mem::take(&mut self.initial) + &paragraph.text;
            let in_list = matches!(out.last(), Some(Block::Item { .. } | Block::Continued { .. } | Block::Note(_)));
            out.push(self.classified(&paragraph.properties, text, in_list));
        }
        out.append(&mut paragraph.after);
        Ok(())
    }

    fn classified(&mut self, properties: &Properties, text: String, in_list: bool) -> Block {
        let style = properties.style.as_deref();
        let role = properties.outline.map(by_outline).filter(|role| *role != Role::Body);
        let role = role.unwrap_or_else(|| self.styles.role(style));
        if role == Role::Title && self.title.is_none() {
            self.title = Some(text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|title| !title.is_empty());
        }
        // Headings count, too: what is numbered after them goes on from their number.
        let place = self.place(properties);
        match (role, place) {
            (Role::Title, _) => Block::Heading(1, text),
            (Role::Heading(level), _) => Block::Heading(level, text),
            (Role::Code, _) => Block::Code(text),
            (_, Some(Place::Item(depth, marker))) => {
                Block::Item { depth: depth.max(self.styles.list_depth(style)), marker, text }
            }
            (_, Some(Place::Continued(depth))) => Block::Continued { depth, text },
            (Role::Quote, None) => Block::Quote(text),
            (Role::ListParagraph, None) if in_list => Block::Continued { depth: usize::MAX, text },
            _ => Block::Paragraph(text),
        }
    }

    fn place(&mut self, properties: &Properties) -> Option<Place> {
        let by_style = self.styles.list(properties.style.as_deref());
        let list = properties.list.list.clone().or(by_style.list)?;
        let level = properties.list.level.or(by_style.level);
        let styles = self.styles.ids(properties.style.as_deref());
        self.numbering.place(&ListReference { list: Some(list), level }, styles)
    }

    fn read_notes(&mut self, reference: &'static str, text: Option<&str>) -> Result<(), ExtractFailure> {
        let Some(text) = text else { return Ok(()) };
        Xml::new(text, self.what).each(|xml, _| {
            xml.each(|xml, tag| {
                // Notes of other types are the lines that part notes from text.
                if let (Some(id), None | Some("normal")) = (tag.get("id"), tag.get("type").as_deref()) {
                    let mut blocks = Vec::new();
                    self.blocks(xml, &mut blocks)?;
                    self.notes.insert((reference, id), blocks);
                }
                Ok(())
            })
        })
    }

    /// Puts a note after the paragraph, and its mark into the text.
    pub(super) fn note(&mut self, reference: &'static str, id: Option<String>, paragraph: &mut Paragraph) {
        let Some(blocks) = id.and_then(|id| self.notes.remove(&(reference, id))) else { return };
        let (text, rest) = flattened(blocks);
        self.note_count += 1;
        let mark = format!("[^{}]", self.note_count);
        paragraph.text.push_str(&mark);
        paragraph.after.push(Block::Note(format!("{mark} {}", text.trim())));
        paragraph.after.extend(rest);
    }

    /// Diagrams (SmartArt) keep their text in a part of their own.
    pub(super) fn diagram(&mut self, tag: &Tag, paragraph: &mut Paragraph) -> Result<(), ExtractFailure> {
        let target = tag.get("dm").and_then(|id| self.relations.by_id(&id).map(str::to_owned));
        let text = target.map_or(Ok(None), |name| self.package.part(&name))?;
        let lines = text.map_or(Ok(Vec::new()), |text| super::super::drawing::diagram(&text, self.what))?;
        paragraph.after.extend(lines.into_iter().map(|text| Block::Item { depth: 0, marker: Marker::Bullet, text }));
        Ok(())
    }
}

impl Properties {
    fn read(xml: &mut Xml) -> Result<Properties, ExtractFailure> {
        let mut properties = Properties::default();
        xml.each(|xml, tag| {
            match tag.name() {
                "pStyle" => properties.style = tag.get("val"),
                "outlineLvl" => properties.outline = tag.number("val"),
                "numPr" => properties.list = ListReference::read(xml)?,
                "framePr" => properties.is_initial = tag.get("dropCap").is_some_and(|kind| kind != "none"),
                _ => {}
            }
            Ok(())
        })?;
        Ok(properties)
    }
}
