//! Drops the tags of an HTML text that nest deeper than browsers do, before a parser sees them. Every parser of HTML
//! searches or walks its stack of open elements, so depth makes it quadratic or overflows the stack: all that were tried
//! ran past 20 s on 200,000 nested `div`s. The text inside of dropped tags stays.

/// Half as deep as browsers nest (512 in WebKit and Blink), and several times as deep as real pages do: the time that
/// the search for main content takes, and the indentation of nested lists, grow with the square of the depth.
const MAX_DEPTH: usize = 256;

/// Elements that hold nothing (HTML standard, "void elements"), so that they never nest.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// Elements whose next sibling closes them (HTML standard, "optional tags"): many may stand open in a row without
/// nesting. They only nest through an element that is counted.
const IMPLIED: [&str; 18] = [
    "p", "li", "dt", "dd", "tr", "td", "th", "tbody", "thead", "tfoot", "option", "optgroup", "rb", "rt", "rp",
    "colgroup", "html", "body",
];

/// Elements whose content is not markup.
const RAW: [&str; 7] = ["script", "style", "textarea", "title", "xmp", "noembed", "noframes"];

/// `html` without the tags beyond the depth.
pub fn limited(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut open = Open::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let markup = Markup::at_start_of(rest);
        match open.admits(&markup) {
            true => out.push_str(&rest[..markup.length]),
            // The words on both sides stay apart; a million spaces would cost as much as the tags.
            false if out.ends_with(char::is_whitespace) => {}
            false => out.push(' '),
        }
        rest = &rest[markup.length..];
    }
    out.push_str(rest);
    out
}

/// The counted elements that are open, outermost first.
#[derive(Default)]
struct Open {
    names: Vec<String>,
    /// How many more were dropped and not closed.
    dropped: usize,
}

impl Open {
    fn admits(&mut self, markup: &Markup) -> bool {
        match &markup.kind {
            Kind::Start(name) if self.names.len() < MAX_DEPTH => {
                self.names.push(name.clone());
                true
            }
            Kind::Start(_) => {
                self.dropped += 1;
                false
            }
            Kind::End(_) if self.dropped > 0 => {
                self.dropped -= 1;
                false
            }
            Kind::End(name) => {
                if let Some(at) = self.names.iter().rposition(|open| open == name) {
                    self.names.truncate(at);
                }
                true
            }
            Kind::Other => true,
        }
    }
}

struct Markup {
    kind: Kind,
    /// In bytes, with the content where that is not markup.
    length: usize,
}

enum Kind {
    Start(String),
    End(String),
    /// Comments, declarations, tags that do not count, a `<` that opens nothing.
    Other,
}

impl Markup {
    fn at_start_of(text: &str) -> Markup {
        let other = |length| Markup { kind: Kind::Other, length };
        if text.starts_with("<!--") {
            return other(text.find("-->").map_or(text.len(), |at| at + 3));
        }
        let closing = text.starts_with("</");
        let name = name(&text[1 + usize::from(closing)..]);
        if name.is_empty() {
            return other(1);
        }
        let length = tag_length(text);
        match name.as_str() {
            raw if !closing && RAW.contains(&raw) => other(length + raw_length(&text[length..], raw)),
            name if VOID.contains(&name) || IMPLIED.contains(&name) || RAW.contains(&name) => other(length),
            _ if closing => Markup { kind: Kind::End(name), length },
            _ => Markup { kind: Kind::Start(name), length },
        }
    }
}

fn name(text: &str) -> String {
    if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return String::new();
    }
    let end = text.find(|char: char| char.is_ascii_whitespace() || matches!(char, '/' | '>')).unwrap_or(text.len());
    text[..end].to_ascii_lowercase()
}

/// Up to the `>` that is not inside a quoted value.
fn tag_length(text: &str) -> usize {
    let mut quote = None;
    let mut previous = b' ';
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            // A quote opens a value only after `=`; elsewhere it is a stray one.
            (None, b'"' | b'\'') if previous == b'=' => quote = Some(byte),
            (Some(open), _) if byte == open => quote = None,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            previous = byte;
        }
    }
    text.len()
}

/// Up to the end tag of `name`, which is left for the next round.
fn raw_length(text: &str, name: &str) -> usize {
    let ends = text.match_indices("</").map(|(at, _)| at);
    let mut ends = ends.filter(|at| {
        text.as_bytes()[at + 2..].get(..name.len()).is_some_and(|end| end.eq_ignore_ascii_case(name.as_bytes()))
    });
    ends.next().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_pages_pass_unchanged() {
        let page = "<!DOCTYPE html><html><!-- <div> --><body class=\"a>b\"><p>1 < 2<br><p>x<script>if (a<b) '<div>'</script></body>";
        assert_eq!(limited(page), page);
        let items = "<li>one".repeat(2_000);
        assert_eq!(limited(&items), items);
    }

    #[test]
    fn what_nests_too_deep_loses_its_tags_and_keeps_its_text() {
        let page = format!("{}<b>deep</b>er{}<p>after", "<div>".repeat(600), "</div>".repeat(600));
        let shallow = limited(&page);
        assert_eq!(shallow.matches("<div>").count(), MAX_DEPTH);
        assert_eq!(shallow.matches("</div>").count(), MAX_DEPTH);
        assert!(shallow.contains(" deep er") && shallow.ends_with("<p>after"));
    }

    #[test]
    fn unclosed_tags_and_quotes_end_with_the_text() {
        for page in ["<", "<div", "<div a=\"", "<!--", "</", "<script>", "a<b", "<script></scrip"] {
            assert_eq!(limited(page), page);
        }
    }
}
