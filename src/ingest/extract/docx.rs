//! Word documents (ECMA-376 part 1, WordprocessingML; strict and transitional).
//!
//! Kept: headings by their outline level or style, lists with their numbers, tables, quotations and code by style, text
//! boxes, formulas, diagrams, descriptions of pictures, hyperlink text, inserted text. Footnotes and endnotes follow the
//! paragraph that refers to them, as `[^1]`. Left out: headers and footers, comments, deleted and hidden text, field codes,
//! the numbers of headings, charts.

mod body;
mod inline;
mod math;
mod numbering;
mod styles;
mod table;

use super::blocks::{self, Block};
use super::canonical::canonical;
use super::opc::Package;
use super::{ExtractFailure, Extracted};

/// The document as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let mut package = Package::open(bytes, "The Word document")?;
    let main = package.main_part("word/document.xml")?;
    let Some(document) = package.part(&main)? else {
        return Err(ExtractFailure::broken("The Word document", "it has no main part"));
    };
    let title = package.title()?;
    let contents = body::Reader::new(&mut package, &main)?.document(&document)?;
    let title = title.or(contents.title).map(|title| canonical(&title));
    Ok(Extracted { title, text: canonical(&blocks::markdown(&contents.blocks)), markdown: true, pages: Vec::new() })
}

/// What a document holds.
struct Contents {
    /// The first paragraph that is styled as a title.
    title: Option<String>,
    blocks: Vec<Block>,
}
