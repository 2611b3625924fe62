//! HTML to Markdown: the main content without menus and footers where a page has one, else the whole body.
//!
//! Nesting is limited before anything parses the page (`nesting`). Links keep their text and lose their address, which
//! would only dilute what is embedded and searched; pictures keep their description.

mod nesting;

use dom_smoothie::{Config, Readability};
use encoding_rs::Encoding;
use htmd::element_handler::{HandlerResult, Handlers};
use htmd::options::{BrStyle, BulletListMarker, Options};
use htmd::{Element, HtmlToMarkdown};

use super::canonical::canonical;
use super::{Extracted, text};

/// The most elements that main content is looked for in; beyond it the whole body is taken. The search is some ten
/// passes over the tree.
const MAX_ELEMENTS: usize = 100_000;

/// Main content shorter than this is not trusted: short pages have no article to find, and losing a table of a handbook
/// is worse than keeping a menu.
const LITTLE_BYTES: usize = 600;

/// Nor is main content that leaves out more than this share of the page: it found one part of several.
const LITTLE_SHARE: f64 = 0.15;

/// Where a page may declare its encoding (HTML standard, "prescan a byte stream").
const PRESCAN_BYTES: usize = 1024;

/// The page as Markdown.
pub fn extract(bytes: &[u8]) -> Extracted {
    let page = nesting::limited(&canonical(&decode(bytes)));
    let article = article(&page);
    let body = to_markdown(&page);
    let (title, text) = match article {
        Some((title, main)) if is_enough(&main, &body) => (title, main),
        Some((title, _)) => (title, body),
        None => (None, body),
    };
    Extracted { title, text: canonical(&unescape(&text)), markdown: true, ..Extracted::default() }
}

/// All of a page that is known to be content, as a chapter of a book or the body of a mail.
pub fn whole(bytes: &[u8]) -> String {
    let page = nesting::limited(&canonical(&decode(bytes)));
    canonical(&unescape(&to_markdown(&page)))
}

fn is_enough(main: &str, body: &str) -> bool {
    main.len() >= LITTLE_BYTES && main.len() as f64 >= LITTLE_SHARE * body.len() as f64
}

/// Title and main content, as Mozilla's Readability finds them.
fn article(page: &str) -> Option<(Option<String>, String)> {
    let config = Config { max_elements_to_parse: MAX_ELEMENTS, ..Config::default() };
    let article = Readability::new(page, None, Some(config)).ok()?.parse().ok()?;
    let title = article.title.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(((!title.is_empty()).then_some(title), to_markdown(&article.content)))
}

fn to_markdown(html: &str) -> String {
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        br_style: BrStyle::Backslash,
        ..Options::default()
    };
    let converter = HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(vec!["head", "script", "style", "template", "noscript", "svg", "iframe", "nav", "button", "select"])
        .add_handler(vec!["a"], |handlers: &dyn Handlers, element: Element| Some(handlers.walk_children(element.node)))
        .add_handler(vec!["img"], |_: &dyn Handlers, element: Element| Some(description(&element)))
        .build();
    converter.convert(html).unwrap_or_default()
}

fn description(picture: &Element) -> HandlerResult {
    let alt = picture.attrs.iter().find(|attribute| &*attribute.name.local == "alt");
    HandlerResult::from(alt.map(|alt| alt.value.trim().to_owned()).unwrap_or_default())
}

/// htmd escapes what Markdown could mistake for markup; a reader and a search want `max_tokens`, not `max\_tokens`.
/// Escapes that keep a line from becoming a heading, list or quote stay, and so does code, where nothing is escaped.
pub fn unescape(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut fenced = false;
    for line in markdown.split_inclusive('\n') {
        let fence = line.trim_start().starts_with("```");
        match fenced || fence {
            true => out.push_str(line),
            false => unescape_line(line, &mut out),
        }
        fenced ^= fence;
    }
    out
}

fn unescape_line(line: &str, out: &mut String) {
    let (mut rest, mut code) = (line, false);
    while let Some(at) = rest.find(['\\', '`', '&']) {
        out.push_str(&rest[..at]);
        let found = &rest[at..];
        let (take, put) = match found.as_bytes() {
            [b'`', ..] => {
                code = !code;
                (1, "`")
            }
            [b'\\', b'_' | b'*' | b'[' | b']' | b'\\', ..] if !code => (2, &found[1..2]),
            [b'\\', b'`', ..] if !code => (2, "\\`"),
            _ if !code => entity(found),
            _ => (1, &found[..1]),
        };
        out.push_str(put);
        rest = &found[take..];
    }
    out.push_str(rest);
}

fn entity(found: &str) -> (usize, &str) {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    let known = entities.into_iter().find(|(entity, _)| found.starts_with(entity));
    known.map_or((1, &found[..1]), |(entity, char)| (entity.len(), char))
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
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(html: &str) -> String {
        extract(html.as_bytes()).text
    }

    #[test]
    fn a_short_page_is_kept_whole_with_its_structure() {
        let page = "<html><head><title>Leave policy</title></head><body><h1>Leave</h1><p>Ask <a href='/x'>your lead</a>.</p>\
                    <ul><li>Annual</li><li>Sick</li></ul>\
                    <table><tr><th>Kind</th><th>Days</th></tr><tr><td>Annual</td><td>30</td></tr></table></body></html>";
        let extracted = extract(page.as_bytes());
        assert_eq!(extracted.title.as_deref(), Some("Leave policy"));
        assert!(extracted.markdown);
        insta::assert_snapshot!(extracted.text, @"
        # Leave

        Ask your lead.

        - Annual
        - Sick

        | Kind   | Days |
        | ------ | ---- |
        | Annual | 30   |
        ");
    }

    #[test]
    fn an_article_is_found_among_menus() {
        let paragraph =
            "<p>The quarterly report says, with many words and a few commas, that revenue grew by a tenth.</p>";
        let menu =
            "<nav><ul><li><a href='/'>Home</a></li></ul></nav><div class='sidebar'><a href='/a'>Advert</a></div>";
        let page = format!("<body>{menu}<article>{}</article><footer>Imprint</footer></body>", paragraph.repeat(20));
        let text = markdown(&page);
        assert!(text.contains("revenue grew by a tenth"));
        assert!(!text.contains("Advert") && !text.contains("Home"), "{text}");
    }

    #[test]
    fn identifiers_keep_their_underscores_and_signs() {
        let page = "<p>Set max_tokens to &lt;512&gt; &amp; call f(a*b)[0].</p><pre><code>a\\_b &lt; c</code></pre>";
        assert_eq!(markdown(page), "Set max_tokens to <512> & call f(a*b)[0].\n\n```\na\\_b < c\n```");
    }

    #[test]
    fn scripts_and_styles_are_no_text() {
        assert_eq!(markdown("<style>p{}</style><script>alert(1)</script><p>Hello.</p>"), "Hello.");
    }

    #[test]
    fn a_declared_encoding_is_used() {
        let page = b"<html><head><meta charset=\"iso-8859-2\"></head><body><p>\xb1\xe6\xea</p></body></html>";
        assert_eq!(extract(page).text, "ąćę");
    }
}
