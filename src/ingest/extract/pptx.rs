//! PowerPoint presentations (ECMA-376 part 1, PresentationML; strict and transitional).
//!
//! Slides in the order of the presentation, hidden ones too, each a page: its title as a heading, then its shapes in their
//! order (lists as the layout and the master have them, tables, grouped shapes, diagrams, descriptions of pictures), then
//! the speaker's notes. Left out: footers, dates and slide numbers, comments, charts.

mod bullets;
mod master;
mod slide;

use super::blocks::{self, Page};
use super::canonical::canonical;
use super::opc::Package;
use super::xml::Xml;
use super::{ExtractFailure, Extracted};

/// As failures name it.
const WHAT: &str = "The presentation";

/// What PowerPoint calls a presentation that nobody has named, in any language: `PowerPoint Presentation`.
const UNNAMED: &str = "powerpoint";

/// The presentation as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let mut package = Package::open(bytes, WHAT)?;
    let main = package.main_part("ppt/presentation.xml")?;
    let Some(presentation) = package.part(&main)? else {
        return Err(ExtractFailure::broken(WHAT, "it has no main part"));
    };
    let named = package.title()?.filter(|title| !title.to_lowercase().starts_with(UNNAMED));
    let relations = package.relations(&main)?;
    let mut reader = slide::Reader::new(&mut package);
    let mut pages = Vec::new();
    for id in slide_ids(&presentation)? {
        let Some(name) = relations.by_id(&id) else { continue };
        pages.extend(reader.slide(name)?);
    }
    let title = named.or_else(|| first_title(&pages)).map(|title| canonical(&title));
    let (text, pages) = blocks::paged(pages.into_iter().map(Page::blocks));
    Ok(Extracted { title, text, markdown: true, pages })
}

/// The relations of the slides, in their order.
fn slide_ids(text: &str) -> Result<Vec<String>, ExtractFailure> {
    let mut ids = Vec::new();
    Xml::new(text, WHAT).each(|xml, _| {
        xml.each(|xml, tag| match tag.name() {
            "sldIdLst" => xml.each(|_, tag| {
                ids.extend(tag.get_prefixed("id"));
                Ok(())
            }),
            _ => Ok(()),
        })
    })?;
    Ok(ids)
}

fn first_title(pages: &[Page]) -> Option<String> {
    let (title, _) = blocks::flattened(pages.first()?.title.clone());
    Some(title.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|title| !title.is_empty())
}
