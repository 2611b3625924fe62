//! What lies on each page, as pdfboss lays it out: the text of the page, and that of its annotations at its place in the
//! lines. Where letters stay unknown, the fonts are looked into once more ([`super::fonts`]). A page that cannot be read is
//! an empty one.

use std::collections::HashSet;

use pdfboss_core::{Document, ObjRef, OcState, Page, block_on, map_pages};
use pdfboss_output::{LayoutOptions, PageLayout, ReadingOrder, Ruling, TextSpan};
use pdfboss_output::{document_layout_opts, retain_rulings_on_page, retain_spans_on_page};
use pdfboss_text::{FontCache, extract_spans_and_rulings_reporting_cached_with, keeps_glyph_x};

use super::appearance::{self, Appearance, Fields};
use super::fonts::{self, NamedFonts, Reach};

/// Baselines that are closer than this part of the letters' size are one line.
const LINE: f32 = 0.5;

/// The room, as a part of the letters' size, from which on it parts words.
const GAP: f32 = 0.1;

/// What stands for a letter that nothing names.
const UNKNOWN: char = '\u{fffd}';

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
    let named = fonts::named(document, Reach::Pages);
    let mut found = found(document, &named, &|_| true);
    let has_unknown = |page: &Found| page.spans.iter().any(|span| span.text.contains(UNKNOWN));
    let unknown: Vec<bool> = found.iter().map(has_unknown).collect();
    if unknown.contains(&true) {
        let more = fonts::named(document, Reach::Everything);
        if more.len() > named.len() {
            let again = self::found(document, &more, &|index| unknown.get(index) == Some(&true));
            let pairs = found.iter_mut().zip(again).zip(&unknown).filter(|(_, unknown)| **unknown);
            pairs.for_each(|((page, again), _)| *page = again);
        }
    }
    let shown = found.iter_mut().flat_map(|page| std::mem::take(&mut page.shown)).collect();
    let pages: Vec<_> = found.into_iter().map(|page| (page.spans, page.rulings, ReadingOrder::Content)).collect();
    Pages { layouts: document_layout_opts(&pages, &LayoutOptions::default()), shown }
}

/// The pages whose index is wanted; of the others, nothing.
fn found(document: &Document, named: &NamedFonts, wanted: &(dyn Fn(usize) -> bool + Sync)) -> Vec<Found> {
    let layers = document.oc_state();
    let reader = Reader { named, cache: FontCache::default(), layers, fields: Fields::of(document) };
    let pages = map_pages(document, |document, page| match wanted(page.index) {
        true => Ok(reader.page(document, page)),
        false => Ok(Found::default()),
    });
    pages.into_iter().map(Result::unwrap_or_default).collect()
}

/// What all pages of a document are read with.
struct Reader<'a> {
    named: &'a NamedFonts,
    cache: FontCache,
    layers: Option<OcState>,
    fields: Fields,
}

impl Reader<'_> {
    fn page(&self, document: &Document, page: &Page) -> Found {
        let (mut spans, mut rulings) = self.content(document, page);
        let (mut shown, mut labels) = (Vec::new(), None);
        for Appearance { annotation, name, page } in appearance::on(document, page, &self.fields) {
            let (mut own, _) = self.content(document, &page);
            if own.iter().all(|span| span.text.trim().is_empty()) {
                continue;
            }
            let labels = labels.get_or_insert_with(|| letters(spans.iter().map(|span| span.text.as_str())));
            if let (Some(name), Some(first)) = (name, own.first_mut())
                && !labels.contains(&letters([name.as_str()]))
            {
                label(first, &name);
            }
            shown.extend(annotation);
            insert(&mut spans, own);
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
        let (mut spans, rulings) = block_on(read).map(|(spans, rulings, _)| (spans, rulings)).unwrap_or_default();
        spans.iter_mut().for_each(part_at_gaps);
        (spans, rulings)
    }
}

/// The letters and digits alone, to find a name in whatever way it is spaced.
fn letters<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let letters = texts.into_iter().flat_map(str::chars).filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Puts a field's name before what it shows.
fn label(span: &mut TextSpan, name: &str) {
    let text = format!("{name}: {}", span.text);
    let named = text.chars().count() - span.text.chars().count();
    if !span.glyph_x.is_empty() || keeps_glyph_x(&text) {
        let own = span.text.chars().enumerate().map(|(at, _)| span.glyph_x.get(at).copied().unwrap_or(span.x));
        span.glyph_x = std::iter::repeat_n(span.x, named).chain(own).collect();
    }
    span.text = text;
}

/// Puts a space behind every unknown letter that takes room, as a space that nothing names does. Those that take none, as
/// control codes, do not part a word.
fn part_at_gaps(span: &mut TextSpan) {
    if !span.text.contains(UNKNOWN) || span.glyph_x.len() != span.text.chars().count() {
        return;
    }
    let ends = span.glyph_x.iter().skip(1).copied().chain([span.end_x]);
    let (mut text, mut places) = (String::new(), Vec::new());
    for ((letter, x), end) in span.text.chars().zip(&span.glyph_x).zip(ends) {
        text.push(letter);
        places.push(*x);
        if letter == UNKNOWN && (end - x).abs() > GAP * span.size {
            text.push(' ');
            places.push(end);
        }
    }
    (span.text, span.glyph_x) = (text, places.into());
}

/// Puts an annotation's text behind what stands left of it on its line, else before what stands right of it. What the
/// page draws at the same place already is not repeated.
fn insert(spans: &mut Vec<TextSpan>, own: Vec<TextSpan>) {
    let Some(first) = own.first() else { return };
    let beside = |span: &TextSpan| span.rotate == first.rotate && (span.y - first.y).abs() < LINE * first.size;
    let line = || spans.iter().enumerate().filter(|(_, span)| beside(span));
    let is_drawn =
        |span: &TextSpan| span.text.trim() == first.text.trim() && span.x < first.end_x && first.x < span.end_x;
    if line().any(|(_, span)| is_drawn(span)) {
        return;
    }
    let left = line().filter(|(_, span)| span.x <= first.x).max_by(|a, b| a.1.x.total_cmp(&b.1.x));
    let right = line().min_by(|a, b| a.1.x.total_cmp(&b.1.x));
    let at = match (left, right) {
        (Some((at, _)), _) => at + 1,
        (None, Some((at, _))) => at,
        (None, None) => spans.len(),
    };
    spans.splice(at..at, own);
}
