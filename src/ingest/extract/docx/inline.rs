//! The text of a paragraph, and what hangs on it: notes, text boxes, diagrams.

use super::super::ExtractFailure;
use super::super::blocks::{Block, described};
use super::super::xml::{Tag, Xml};
use super::body::{Properties, Reader};
use super::math;
use super::styles;

/// A paragraph as it is read.
#[derive(Default)]
pub struct Paragraph {
    pub properties: Properties,
    pub text: String,
    /// What stands in the paragraph but is none of its text.
    pub after: Vec<Block>,
    /// Whether the text that is read now is hidden.
    pub is_hidden: bool,
}

/// A field has a code, which is not shown, and then a result (ECMA-376 part 1, 17.16.18).
#[derive(Clone, Copy, PartialEq)]
pub enum Field {
    Code,
    Result,
}

impl Reader<'_, '_> {
    /// Reads an element inside a paragraph.
    pub(super) fn inline(&mut self, xml: &mut Xml, tag: &Tag, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        match tag.name() {
            "r" => self.run(xml, into),
            "t" => {
                let text = xml.text()?;
                self.push(&text, into);
                Ok(())
            }
            "oMath" => {
                let formula = math::read(xml)?;
                self.push(&formula, into);
                Ok(())
            }
            "AlternateContent" => self.alternative(xml, into),
            "txbxContent" => self.text_box(xml, into),
            "relIds" => self.diagram(tag, into),
            "del" | "moveFrom" | "rt" | "sdtPr" | "rPr" => Ok(()),
            name => {
                self.sign(name, tag, into);
                xml.each(|xml, tag| self.inline(xml, tag, into))
            }
        }
    }

    fn run(&mut self, xml: &mut Xml, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        let before = into.is_hidden;
        xml.each(|xml, tag| match tag.name() {
            "rPr" => {
                into.is_hidden = self.hides(xml, into)?;
                Ok(())
            }
            _ => self.inline(xml, tag, into),
        })?;
        into.is_hidden = before;
        Ok(())
    }

    /// Whether the properties of a run hide it.
    fn hides(&self, xml: &mut Xml, paragraph: &Paragraph) -> Result<bool, ExtractFailure> {
        let (mut itself, mut style) = (None, None);
        xml.each(|_, tag| {
            itself = styles::hidden(tag).or(itself);
            style = (tag.name() == "rStyle").then(|| tag.get("val")).flatten().or(style.take());
            Ok(())
        })?;
        Ok(itself.unwrap_or_else(|| self.styles.hides(paragraph.properties.style.as_deref(), style.as_deref())))
    }

    /// Elements that stand for text by being there.
    fn sign(&mut self, name: &str, tag: &Tag, into: &mut Paragraph) {
        match name {
            "tab" | "ptab" => self.push("\t", into),
            "br" | "cr" => self.push("\n", into),
            "noBreakHyphen" => self.push("-", into),
            "sym" => self.push(&symbol(tag), into),
            "docPr" => self.push(described(&tag.get("descr").unwrap_or_default()), into),
            "footnoteReference" => self.note("footnoteReference", tag.get("id"), into),
            "endnoteReference" => self.note("endnoteReference", tag.get("id"), into),
            "fldChar" => self.field(tag),
            _ => {}
        }
    }

    fn push(&self, text: &str, into: &mut Paragraph) {
        if !into.is_hidden && !self.fields.contains(&Field::Code) {
            into.text.push_str(text);
        }
    }

    fn field(&mut self, tag: &Tag) {
        match tag.get("fldCharType").as_deref() {
            Some("begin") => self.fields.push(Field::Code),
            Some("separate") => {
                self.fields.pop();
                self.fields.push(Field::Result);
            }
            Some("end") => {
                self.fields.pop();
            }
            _ => {}
        }
    }

    /// The same in several ways, of which the first that says anything is taken (ECMA-376 part 3).
    fn alternative(&mut self, xml: &mut Xml, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        let before = (into.text.len(), into.after.len());
        xml.each(|xml, _| match (into.text.len(), into.after.len()) == before {
            true => xml.each(|xml, tag| self.inline(xml, tag, into)),
            false => Ok(()),
        })
    }

    fn text_box(&mut self, xml: &mut Xml, into: &mut Paragraph) -> Result<(), ExtractFailure> {
        let outer = std::mem::take(&mut self.fields);
        self.blocks(xml, &mut into.after)?;
        self.fields = outer;
        Ok(())
    }
}

/// A character of a font without Unicode: Greek letters and a few signs of Symbol (its encoding is in the PostScript
/// Language Reference, appendix E.12), and from other fonts the character itself, unless it is for private use.
fn symbol(tag: &Tag) -> String {
    const UPPER: &str = "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ";
    const LOWER: &str = "αβχδεφγηιϕκλμνοπθρστυϖωξψζ";
    const SIGNS: [(u32, char); 14] = [
        (0xa3, '≤'),
        (0xa5, '∞'),
        (0xab, '↔'),
        (0xac, '←'),
        (0xae, '→'),
        (0xb0, '°'),
        (0xb1, '±'),
        (0xb3, '≥'),
        (0xb4, '×'),
        (0xb7, '•'),
        (0xb9, '≠'),
        (0xbb, '≈'),
        (0xd6, '√'),
        (0xe5, '∑'),
    ];
    let Some(code) = tag.get("char").and_then(|code| u32::from_str_radix(&code, 16).ok()) else { return String::new() };
    let low = code & 0xff;
    let place = |first: u32| usize::try_from(low - first).unwrap_or_default();
    let char = match (tag.get("font").as_deref(), low) {
        (Some("Symbol"), 0x41..=0x5a) => UPPER.chars().nth(place(0x41)),
        (Some("Symbol"), 0x61..=0x7a) => LOWER.chars().nth(place(0x61)),
        (Some("Symbol"), _) => SIGNS.iter().find(|(code, _)| *code == low).map(|(_, char)| *char),
        _ => char::from_u32(code).filter(|char| !('\u{e000}'..='\u{f8ff}').contains(char)),
    };
    char.map(String::from).unwrap_or_default()
}
