//! Pages of a presentation: the title first, then the shapes in their order, then the speaker's notes.

use super::super::ExtractFailure;
use super::super::blocks::Page;
use super::super::xml::{Tag, Xml};
use super::body::Reader;

/// What stands on every page.
const FURNITURE: [&str; 4] = ["header", "footer", "date-time", "page-number"];

impl Reader<'_, '_> {
    /// The pages in the open element, which is closed.
    pub(super) fn pages(&mut self, xml: &mut Xml) -> Result<Vec<Page>, ExtractFailure> {
        let mut pages = Vec::new();
        xml.each(|xml, tag| {
            if tag.name() == "page" {
                let mut page = Page::default();
                xml.each(|xml, tag| self.shape(xml, tag, &mut page))?;
                pages.push(page);
            }
            Ok(())
        })?;
        Ok(pages)
    }

    fn shape(&mut self, xml: &mut Xml, tag: &Tag, page: &mut Page) -> Result<(), ExtractFailure> {
        let class = tag.get("class").unwrap_or_default();
        match (tag.name(), class.as_str()) {
            (_, class) if FURNITURE.contains(&class) => Ok(()),
            ("notes", _) => xml.each(|xml, tag| match tag.get("class").as_deref() {
                Some("notes") => self.block(xml, tag, &mut page.notes),
                _ => Ok(()),
            }),
            ("frame", "title") => self.block(xml, tag, &mut page.title),
            ("g", _) => xml.each(|xml, tag| self.shape(xml, tag, page)),
            _ => self.block(xml, tag, &mut page.body),
        }
    }
}
