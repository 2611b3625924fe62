//! What paragraph and character styles say about structure. Word keeps the English names of its own styles in the file,
//! whatever its language and however a user's style based on them is called; other programs write an outline level.

use std::collections::HashMap;

use super::super::ExtractFailure;
use super::super::xml::{Tag, Xml};
use super::numbering::ListReference;

/// Styles are based on each other in chains of two or three; a ring would have no end.
const MAX_CHAIN: usize = 32;

const CODE: [&str; 6] = ["source code", "code", "code block", "html preformatted", "preformatted text", "macro text"];
const QUOTE: [&str; 6] = ["quote", "intense quote", "block text", "block quote", "block quotation", "quotations"];

/// What stands under a title, whose style is often based on the title's.
const UNDER_TITLE: [&str; 3] = ["subtitle", "author", "date"];

#[derive(Default)]
pub struct Styles {
    by_id: HashMap<String, Style>,
    /// What paragraphs have that name no style.
    default_paragraph: Option<String>,
}

#[derive(Default)]
struct Style {
    /// In lower case.
    name: String,
    based_on: Option<String>,
    /// 0 is the highest heading, 9 body text.
    outline: Option<u8>,
    list: ListReference,
    hidden: Option<bool>,
}

/// What a style makes of a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Title,
    Heading(u8),
    Code,
    Quote,
    /// Word's style for paragraphs in lists, which says nothing of bullets.
    ListParagraph,
    Body,
}

impl Styles {
    /// Reads the part `styles.xml`.
    pub fn read(text: &str, what: &str) -> Result<Styles, ExtractFailure> {
        let mut styles = Styles::default();
        Xml::new(text, what).each(|xml, _| {
            xml.each(|xml, tag| {
                if let ("style", Some(id)) = (tag.name(), tag.get("styleId")) {
                    if tag.get("type").as_deref() == Some("paragraph") && is_on(&tag.get("default")) {
                        styles.default_paragraph = Some(id.clone());
                    }
                    let style = Style::read(xml)?;
                    styles.by_id.insert(id, style);
                }
                Ok(())
            })
        })?;
        Ok(styles)
    }

    /// The nearest style with a meaning decides.
    pub fn role(&self, paragraph: Option<&str>) -> Role {
        self.chain(paragraph).find_map(Style::role).unwrap_or(Role::Body)
    }

    /// The list that paragraphs of a style are in, and the style that says so.
    pub fn list(&self, paragraph: Option<&str>) -> ListReference {
        let mut found = ListReference::default();
        for style in self.chain(paragraph) {
            found.level = found.level.or(style.list.level);
            found.list = found.list.or_else(|| style.list.list.clone());
        }
        found
    }

    /// How deep a list is by the name of its style: Word's `List Bullet 2` is a list of its own with one level.
    pub fn list_depth(&self, paragraph: Option<&str>) -> usize {
        let number = |style: &Style| {
            let kinds = ["list bullet ", "list number "];
            kinds.into_iter().find_map(|kind| style.name.strip_prefix(kind)?.parse::<usize>().ok())
        };
        self.chain(paragraph).find_map(number).unwrap_or(1).saturating_sub(1)
    }

    /// Whether text of these styles is hidden; the character style decides before the paragraph's.
    pub fn hides(&self, paragraph: Option<&str>, character: Option<&str>) -> bool {
        let by_character = character.and_then(|id| self.chain(Some(id)).find_map(|style| style.hidden));
        by_character.or_else(|| self.chain(paragraph).find_map(|style| style.hidden)).unwrap_or(false)
    }

    /// The ids of a paragraph's style and those it is based on.
    pub fn ids<'a>(&'a self, paragraph: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let first = paragraph.or(self.default_paragraph.as_deref());
        let based_on = |id: &&'a str| self.by_id.get(*id)?.based_on.as_deref();
        std::iter::successors(first, based_on).take(MAX_CHAIN)
    }

    fn chain<'a>(&'a self, paragraph: Option<&'a str>) -> impl Iterator<Item = &'a Style> {
        self.ids(paragraph).filter_map(|id| self.by_id.get(id))
    }
}

impl Style {
    fn read(xml: &mut Xml) -> Result<Style, ExtractFailure> {
        let mut style = Style::default();
        xml.each(|xml, tag| {
            match tag.name() {
                "name" => style.name = tag.get("val").unwrap_or_default().to_lowercase(),
                "basedOn" => style.based_on = tag.get("val"),
                "pPr" => xml.each(|xml, tag| {
                    match tag.name() {
                        "outlineLvl" => style.outline = tag.number("val"),
                        "numPr" => style.list = ListReference::read(xml)?,
                        _ => {}
                    }
                    Ok(())
                })?,
                "rPr" => xml.each(|_, tag| {
                    style.hidden = hidden(tag).or(style.hidden);
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(style)
    }

    fn role(&self) -> Option<Role> {
        let numbered = self.name.strip_prefix("heading ").and_then(|number| number.trim().parse().ok());
        match self.name.as_str() {
            "title" => Some(Role::Title),
            name if CODE.contains(&name) => Some(Role::Code),
            name if QUOTE.contains(&name) => Some(Role::Quote),
            name if UNDER_TITLE.contains(&name) => Some(Role::Body),
            "list paragraph" => Some(Role::ListParagraph),
            _ => numbered.filter(|level| (1..=9).contains(level)).map(Role::Heading).or(self.outline.map(by_outline)),
        }
    }
}

/// Level 9 and what lies beyond is body text (ECMA-376 part 1, 17.3.1.20).
pub fn by_outline(level: u8) -> Role {
    match level {
        0..9 => Role::Heading(level + 1),
        _ => Role::Body,
    }
}

/// Whether a property of a run hides it, if it is the one that tells.
pub fn hidden(tag: &Tag) -> Option<bool> {
    (tag.name() == "vanish").then(|| tag.get("val").is_none_or(|value| is_on(&Some(value))))
}

/// A switch's value (ECMA-376 part 1, 22.9.2.7).
fn is_on(value: &Option<String>) -> bool {
    matches!(value.as_deref(), Some("1" | "true" | "on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn styles(inside: &str) -> Styles {
        Styles::read(&format!("<w:styles>{inside}</w:styles>"), "The file").unwrap()
    }

    #[test]
    fn renamed_and_localised_styles_are_headings_by_what_they_are_based_on() {
        let styles = styles(
            "<w:style w:type='paragraph' w:default='1' w:styleId='Standard'><w:name w:val='Normal'/></w:style>\
             <w:style w:type='paragraph' w:styleId='berschrift2'><w:name w:val='heading 2'/></w:style>\
             <w:style w:type='paragraph' w:styleId='Kapitel'><w:name w:val='Kapitel'/><w:basedOn w:val='berschrift2'/></w:style>\
             <w:style w:type='paragraph' w:styleId='Top'><w:name w:val='Top'/><w:pPr><w:outlineLvl w:val='0'/></w:pPr></w:style>\
             <w:style w:type='paragraph' w:styleId='Plain'><w:name w:val='Plain'/><w:basedOn w:val='Top'/>\
                <w:pPr><w:outlineLvl w:val='9'/></w:pPr></w:style>\
             <w:style w:type='paragraph' w:styleId='a'><w:name w:val='A'/><w:basedOn w:val='b'/></w:style>\
             <w:style w:type='paragraph' w:styleId='b'><w:name w:val='B'/><w:basedOn w:val='a'/></w:style>",
        );
        assert_eq!(styles.role(Some("Kapitel")), Role::Heading(2));
        assert_eq!(styles.role(Some("Top")), Role::Heading(1));
        assert_eq!(styles.role(Some("Plain")), Role::Body);
        assert_eq!(styles.role(Some("a")), Role::Body);
        assert_eq!(styles.role(Some("missing")), Role::Body);
        assert_eq!(styles.role(None), Role::Body);
    }

    #[test]
    fn a_style_hides_text_unless_a_nearer_one_shows_it() {
        let styles = styles(
            "<w:style w:styleId='hide'><w:rPr><w:vanish/></w:rPr></w:style>\
             <w:style w:styleId='show'><w:basedOn w:val='hide'/><w:rPr><w:vanish w:val='false'/></w:rPr></w:style>",
        );
        assert!(styles.hides(None, Some("hide")) && styles.hides(Some("hide"), None));
        assert!(!styles.hides(Some("hide"), Some("show")));
    }
}
