//! The text of a paragraph, and what hangs on it: notes, text boxes, formulas.

use super::super::ExtractFailure;
use super::super::blocks::{Block, described, flattened};
use super::super::mathml;
use super::super::xml::{self, Node, Tag, Xml};
use super::body::Reader;

/// Spaces in a row that one element may stand for.
const MAX_SPACES: usize = 200;

/// A paragraph as it is read.
#[derive(Default)]
pub struct Paragraph {
    pub text: String,
    /// What stands in the paragraph but is none of its text.
    pub after: Vec<Block>,
}

impl Reader<'_, '_> {
    /// The content of the open paragraph, which is closed.
    pub(super) fn text_of(&mut self, xml: &mut Xml) -> Result<Paragraph, ExtractFailure> {
        let mut paragraph = Paragraph::default();
        self.inside(xml, &mut paragraph)?;
        Ok(paragraph)
    }

    fn inside(&mut self, xml: &mut Xml, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        while let Some(node) = xml.next()? {
            match node {
                Node::Text(text) => push_collapsed(&text, &mut into.text),
                Node::Open(tag) => self.inline(xml, &tag, into)?,
            }
        }
        Ok(())
    }

    /// Reads an element inside a paragraph to its end.
    fn inline(&mut self, xml: &mut Xml, tag: &Tag, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        match tag.name() {
            "s" => into.text.push_str(&" ".repeat(tag.number("c").unwrap_or(1).min(MAX_SPACES))),
            "tab" => into.text.push('\t'),
            "line-break" => into.text.push('\n'),
            "note" => return self.note(xml, into),
            "frame" => return self.frame_in_text(xml, into),
            // A shape with text of its own.
            "p" | "h" | "list" | "table" => {
                self.block(xml, tag, &mut into.after)?;
                return Ok(());
            }
            _ if !self.is_left_out(tag) => return self.inside(xml, into),
            _ => {}
        }
        xml.text().map(|_| ())
    }

    fn is_left_out(&self, tag: &Tag) -> bool {
        match tag.name() {
            "annotation" | "ruby-text" | "hidden-text" | "hidden-paragraph" | "tracked-changes" | "title" | "desc"
            | "event-listeners" | "glue-point" => true,
            "span" => tag.get("style-name").is_some_and(|style| self.styles.hides("text", &style)),
            _ => tag.get("display").as_deref() == Some("none"),
        }
    }

    /// Puts a note after the paragraph, and its mark into the text.
    fn note(&mut self, xml: &mut Xml, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        self.note_count += 1;
        let mark = format!("[^{}]", self.note_count);
        into.text.push_str(&mark);
        xml.each(|xml, tag| {
            if tag.name() == "note-body" {
                let mut blocks = Vec::new();
                self.blocks(xml, &mut blocks)?;
                let (text, rest) = flattened(blocks);
                into.after.push(Block::Note(format!("{mark} {}", text.trim())));
                into.after.extend(rest);
            }
            Ok(())
        })
    }

    /// A frame outside of text.
    pub(super) fn frame(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        let mut paragraph = Paragraph::default();
        self.frame_in_text(xml, &mut paragraph)?;
        out.push(Block::Paragraph(paragraph.text));
        out.append(&mut paragraph.after);
        Ok(())
    }

    /// A text box, a table, a formula, or a picture with its description.
    fn frame_in_text(&mut self, xml: &mut Xml, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "desc" => {
                into.text.push_str(described(&xml.text()?));
                Ok(())
            }
            "object" => {
                into.text.push_str(&self.formula(tag)?);
                Ok(())
            }
            "table" => self.block(xml, tag, &mut into.after),
            "text-box" => self.blocks(xml, &mut into.after),
            _ => Ok(()),
        })
    }

    /// The formula in a part of its own; other objects (charts, sheets) say nothing.
    fn formula(&mut self, tag: &Tag) -> Result<String, ExtractFailure> {
        let Some(folder) = tag.get("href") else { return Ok(String::new()) };
        let name = format!("{}/content.xml", folder.trim_start_matches("./"));
        let text = xml::part(self.archive, &name)?;
        text.map_or(Ok(String::new()), |text| mathml::read(&text))
    }
}

/// White space is one space, and none at the start (OpenDocument 1.3 part 3, 6.1.2); more is written as elements.
fn push_collapsed(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            ' ' | '\t' | '\r' | '\n' if out.is_empty() || out.ends_with(' ') => {}
            ' ' | '\t' | '\r' | '\n' => out.push(' '),
            char => out.push(char),
        }
    }
}
