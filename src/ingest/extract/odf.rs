//! OpenDocument texts and presentations (OASIS OpenDocument 1.3).
//!
//! Kept: headings by their outline level, lists with their numbers, tables, quotations and code by style, text boxes,
//! formulas, descriptions of pictures; of presentations each page with its notes. Footnotes and endnotes follow the
//! paragraph that refers to them, as `[^1]`. Left out: headers and footers, comments, deleted and hidden text, charts.

mod body;
mod inline;
mod math;
mod page;
mod styles;

use super::archive::Archive;
use super::blocks;
use super::canonical::canonical;
use super::xml::{self, Xml};
use super::{ExtractFailure, Extracted};

/// As failures name it.
const WHAT: &str = "The OpenDocument file";

/// The document as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    refuse_encrypted(&mut archive)?;
    let Some(content) = xml::part(&mut archive, "content.xml")? else {
        return Err(ExtractFailure::broken(WHAT, "it has no content"));
    };
    let mut styles = styles::Styles::default();
    if let Some(common) = xml::part(&mut archive, "styles.xml")? {
        styles.read(&common)?;
    }
    styles.read(&content)?;
    let title = title(&mut archive)?;
    let contents = body::Reader::new(&mut archive, &styles).document(&content)?;
    let title = title.or(contents.title).map(|title| canonical(&title));
    let (text, pages) = match contents.pages {
        Some(pages) => blocks::paged(pages.into_iter()),
        None => (canonical(&blocks::markdown(&contents.blocks)), Vec::new()),
    };
    Ok(Extracted { title, text, markdown: true, pages })
}

/// Encrypted parts have a say in the manifest (OpenDocument 1.3 part 2, 3.4).
fn refuse_encrypted(archive: &mut Archive) -> Result<(), ExtractFailure> {
    let Some(manifest) = xml::part(archive, "META-INF/manifest.xml")? else { return Ok(()) };
    match named(&mut Xml::new(&manifest, WHAT), "encryption-data")? {
        Some(_) => Err(ExtractFailure::encrypted(WHAT, None)),
        None => Ok(()),
    }
}

fn title(archive: &mut Archive) -> Result<Option<String>, ExtractFailure> {
    let Some(meta) = xml::part(archive, "meta.xml")? else { return Ok(None) };
    let title = named(&mut Xml::new(&meta, WHAT), "title")?.unwrap_or_default();
    Ok(Some(title.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|title| !title.is_empty()))
}

/// The text of the last element that is called `name`.
fn named(xml: &mut Xml, name: &str) -> Result<Option<String>, ExtractFailure> {
    let mut found = None;
    xml.each(|xml, tag| {
        let inside = if tag.name() == name { Some(xml.text()?) } else { named(xml, name)? };
        found = inside.or(found.take());
        Ok(())
    })?;
    Ok(found)
}
