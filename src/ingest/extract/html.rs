//! HTML to Markdown: the main content without menus and footers where a page has one, else the whole body.
//!
//! Nesting is limited before anything parses the page (`nesting`). Main content is what Mozilla's Readability finds, or
//! what the page says it is (`main`); `reader` and `table` make blocks of it, as of every other format.

mod nesting;
mod reader;
mod table;

use dom_query::Document;
use dom_smoothie::{Config, Readability};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use self::reader::{Content, Scope};
use super::canonical::canonical;
use super::{Extracted, blocks, text};

/// The most elements that main content is looked for in; beyond it the whole body is taken. The search is some ten
/// passes over the tree.
const MAX_ELEMENTS: usize = 100_000;

/// Main content shorter than this is not trusted: short pages have no article to find, and losing a table of a handbook
/// is worse than keeping a menu.
const LITTLE_BYTES: usize = 600;

/// Nor is main content that leaves out more than this share of the page: it found one part of several.
const LITTLE_SHARE: f64 = 0.15;

/// However little it is, it is all if it has so much of the text outside of links, and every heading and table.
const MOST_SHARE: f64 = 0.8;

/// What LibreOffice makes of the header and the footer of a document's pages.
const PAGE_FURNITURE: &str = "div[title=header], div[title=footer]";

/// Where a page may declare its encoding (HTML standard, "prescan a byte stream").
const PRESCAN_BYTES: usize = 1024;

/// The page as Markdown.
pub fn extract(bytes: &[u8]) -> Extracted {
    let page = parsed(bytes);
    page.select(PAGE_FURNITURE).remove();
    let body = body(&page);
    let (title, content) = match article(page) {
        Some((title, main)) if is_enough(&main, &body) => (title, main),
        Some((title, _)) => (title, body),
        None => (None, body),
    };
    let text = canonical(&blocks::markdown(&content.blocks));
    Extracted { title, text, markdown: true, ..Extracted::default() }
}

/// All of a page that is known to be content, as a chapter of a book or the body of a mail.
pub fn whole(bytes: &[u8]) -> String {
    canonical(&blocks::markdown(&reader::read(&parsed(bytes).root(), Scope::Whole).blocks))
}

fn parsed(bytes: &[u8]) -> Document {
    Document::from(nesting::limited(&canonical(&decode(bytes))))
}

fn is_enough(main: &Content, body: &Content) -> bool {
    let share = |of: usize| main.text as f64 / of.max(1) as f64;
    let is_much = main.text >= LITTLE_BYTES && share(body.text) >= LITTLE_SHARE;
    let is_most = main.text <= body.text && share(body.text - body.linked) >= MOST_SHARE;
    is_much || (is_most && main.headings_and_tables() >= body.headings_and_tables())
}

/// What the page calls its main part, if there is one with more than a little, or everything but headers and footers.
fn body(page: &Document) -> Content {
    let all = reader::read(&page.root(), Scope::Content);
    let parts = page.select("main, [role=main]");
    let main = match parts.nodes() {
        [main] => reader::read(main, Scope::Whole),
        _ => return all,
    };
    if main.text as f64 >= LITTLE_SHARE * all.text as f64 { main } else { all }
}

/// Title and main content, as Mozilla's Readability finds them. It makes headings of the first level ones of the second,
/// since it takes the first for titles of sites; so they are told which they were.
fn article(page: Document) -> Option<(Option<String>, Content)> {
    for heading in page.select("h1").nodes() {
        heading.set_attr(reader::LEVEL, "1");
    }
    let config = Config { max_elements_to_parse: MAX_ELEMENTS, ..Config::default() };
    let article = Readability::with_document(page, None, Some(config)).ok()?.parse().ok()?;
    let title = article.title.split_whitespace().collect::<Vec<_>>().join(" ");
    let content = Document::from(article.content);
    Some(((!title.is_empty()).then_some(title), reader::read(&content.root(), Scope::Whole)))
}

fn decode(bytes: &[u8]) -> String {
    match Encoding::for_bom(bytes).map(|(encoding, _)| encoding).or_else(|| declared(bytes)) {
        Some(encoding) if std::str::from_utf8(bytes).is_err() => encoding.decode(bytes).0.into_owned(),
        _ => text::decode(bytes),
    }
}

/// The encoding of `<meta charset=…>` or `<meta http-equiv=… content="…; charset=…">`.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PRESCAN_BYTES)]).to_ascii_lowercase();
    let (_, value) = head.split_once("charset")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start_matches(['"', '\'', ' ']);
    let label: String =
        value.chars().take_while(|char| char.is_ascii_alphanumeric() || "-_:".contains(*char)).collect();
    // What can be read as bytes is not UTF-16, whatever it says.
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != UTF_16LE && *encoding != UTF_16BE)
}

#[cfg(test)]
mod tests;
