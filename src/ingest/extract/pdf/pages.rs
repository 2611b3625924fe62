//! What lies on each page, as pdfboss lays it out: the text of the page, and that of its annotations at its place in the
//! lines. Where letters stay unknown, the fonts are looked into once more ([`super::fonts`]). A page that cannot be read is
//! an empty one.

use std::collections::HashSet;

use pdfboss_core::{Document, ObjRef, OcState, Page, block_on, map_pages};
use pdfboss_output::{LayoutOptions, PageLayout, ReadingOrder, Ruling, TextSpan};
use pdfboss_output::{document_layout_opts, retain_rulings_on_page, retain_spans_on_page};
use pdfboss_text::{FontCache, extract_spans_and_rulings_reporting_cached_with};

use super::appearance::{self, Appearance};
use super::fonts::{self, NamedFonts};

/// Baselines that are closer than this part of the letters' size are one line.
const LINE: f32 = 0.5;

/// The pages' layouts, and the annotations whose text is in them.
pub struct Pages {
    pub layouts: Vec<PageLayout>,
    pub shown: HashSet<ObjRef>,
}

#[derive(Default)]
struct Found {
    spans: Vec<TextSpan>,
    rulings: Vec<Ruling>,
    shown: Vec<ObjRef>,
}

pub fn read(document: &Document) -> Pages {
    let mut found = found(document, &NamedFonts::new());
    if found.iter().flat_map(|page| &page.spans).any(|span| span.text.contains('\u{fffd}')) {
        let named = fonts::named(document);
        if !named.is_empty() {
            found = self::found(document, &named);
        }
    }
    let shown = found.iter_mut().flat_map(|page| std::mem::take(&mut page.shown)).collect();
    let pages: Vec<_> = found.into_iter().map(|page| (page.spans, page.rulings, ReadingOrder::Content)).collect();
    Pages { layouts: document_layout_opts(&pages, &LayoutOptions::default()), shown }
}

fn found(document: &Document, named: &NamedFonts) -> Vec<Found> {
    let layers = document.oc_state();
    let stale = document.interactive_form().is_some_and(|form| form.need_appearances);
    let reader = Reader { named, cache: FontCache::default(), layers, stale };
    let pages = map_pages(document, |document, page| Ok(reader.page(document, page)));
    pages.into_iter().map(Result::unwrap_or_default).collect()
}

/// What all pages of a document are read with.
struct Reader<'a> {
    named: &'a NamedFonts,
    cache: FontCache,
    layers: Option<OcState>,
    /// Whether the appearances of fields are older than their values.
    stale: bool,
}

impl Reader<'_> {
    fn page(&self, document: &Document, page: &Page) -> Found {
        let (mut spans, mut rulings) = self.content(document, page);
        let mut shown = Vec::new();
        for Appearance { annotation, page } in appearance::on(document, page, self.stale) {
            let (own, _) = self.content(document, &page);
            if own.iter().any(|span| !span.text.trim().is_empty()) {
                shown.extend(annotation);
                insert(&mut spans, own);
            }
        }
        retain_spans_on_page(&mut spans, page);
        retain_rulings_on_page(&mut rulings, page);
        Found { spans, rulings, shown }
    }

    fn content(&self, document: &Document, page: &Page) -> (Vec<TextSpan>, Vec<Ruling>) {
        let source = fonts::Source { document, named: self.named };
        let layers = self.layers.as_ref();
        let order = ReadingOrder::Content;
        let read = extract_spans_and_rulings_reporting_cached_with(source, page, &self.cache, layers, None, order);
        block_on(read).map(|(spans, rulings, _)| (spans, rulings)).unwrap_or_default()
    }
}

/// Puts an annotation's text behind what stands left of it on its line, else before what stands right of it.
fn insert(spans: &mut Vec<TextSpan>, own: Vec<TextSpan>) {
    let Some(first) = own.first() else { return };
    let beside = |span: &TextSpan| span.rotate == first.rotate && (span.y - first.y).abs() < LINE * first.size;
    let line = || spans.iter().enumerate().filter(|(_, span)| beside(span));
    let left = line().filter(|(_, span)| span.x <= first.x).max_by(|a, b| a.1.x.total_cmp(&b.1.x));
    let right = line().min_by(|a, b| a.1.x.total_cmp(&b.1.x));
    let at = match (left, right) {
        (Some((at, _)), _) => at + 1,
        (None, Some((at, _))) => at,
        (None, None) => spans.len(),
    };
    spans.splice(at..at, own);
}
