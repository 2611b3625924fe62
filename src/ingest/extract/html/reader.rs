//! Elements of a page to blocks, as browsers show them: text between elements that start lines is a paragraph, white space
//! is one space. What is not shown is left out, and so is what only a browser makes use of: buttons, choices, players.
//!
//! Links keep their text and lose their address, which would only dilute what is embedded and searched; pictures keep
//! their description, formulas their MathML or TeX, and a number that leads to a note becomes its mark, `[^1]`.

use dom_query::NodeRef;

use super::super::blocks::{Block, Marker, described};
use super::super::mathml;
use super::table;

/// Not shown, or of no use outside of a browser.
const SKIPPED: [&str; 21] = [
    "head",
    "script",
    "style",
    "template",
    "noscript",
    "svg",
    "iframe",
    "nav",
    "button",
    "select",
    "datalist",
    "textarea",
    "input",
    "audio",
    "video",
    "canvas",
    "object",
    "rt",
    "rp",
    "annotation",
    "annotation-xml",
];

/// Elements that start on a line of their own and have no other meaning here (HTML standard, "rendering").
const LINES: [&str; 35] = [
    "address",
    "article",
    "aside",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "footer",
    "form",
    "header",
    "hgroup",
    "hr",
    "html",
    "legend",
    "main",
    "option",
    "p",
    "search",
    "section",
    "summary",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "optgroup",
    "colgroup",
];

/// What elements are for that stand beside the content of a page (ARIA 1.2, landmark roles).
const BESIDE: [&str; 5] = ["navigation", "banner", "contentinfo", "search", "complementary"];

/// The level that a heading had before the search for main content changed it.
pub const LEVEL: &str = "data-heading-level";

/// Numbers of notes are shorter than this.
const MAX_MARK_BYTES: usize = 4;

/// Captions are shorter than this; each picture of a figure is compared with it.
const MAX_CAPTION_BYTES: usize = 2000;

/// What is to be read of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything that is shown.
    Whole,
    /// Not what stands beside the content: headers, footers, side bars.
    Content,
}

/// The blocks of a page, and how much text there is.
pub struct Content {
    pub blocks: Vec<Block>,
    /// In bytes.
    pub text: usize,
    /// Of those, in links.
    pub linked: usize,
}

impl Content {
    pub fn headings_and_tables(&self) -> usize {
        self.blocks.iter().filter(|block| matches!(block, Block::Heading(..) | Block::Table(_))).count()
    }
}

/// What `node` holds.
pub fn read(node: &NodeRef, scope: Scope) -> Content {
    let mut reader = Reader { scope, ..Reader::default() };
    reader.inside(node);
    reader.end()
}

pub(super) struct Reader {
    scope: Scope,
    pub(super) out: Vec<Block>,
    /// Of the paragraph that is being read.
    text: String,
    /// The open lists, outermost first.
    lists: Vec<List>,
    /// What stands before the next paragraph, which is the first of its item.
    marker: Option<Marker>,
    heading: Option<u8>,
    quotes: usize,
    /// Of the figure that is being read.
    caption: String,
    /// Whether the page's own header and footer are behind.
    in_article: bool,
    in_link: bool,
    bytes: usize,
    linked: usize,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            scope: Scope::Whole,
            out: Vec::new(),
            text: String::new(),
            lists: Vec::new(),
            marker: None,
            heading: None,
            quotes: 0,
            caption: String::new(),
            in_article: false,
            in_link: false,
            bytes: 0,
            linked: 0,
        }
    }
}

/// An open list: the next number of an ordered one.
struct List {
    next: Option<u32>,
}

impl Reader {
    fn end(mut self) -> Content {
        self.flush();
        Content { blocks: self.out, text: self.bytes, linked: self.linked }
    }

    fn inside(&mut self, node: &NodeRef) {
        for child in node.children_it(false) {
            match child.node_name() {
                Some(name) => self.element(&child, &name),
                None if child.is_text() => self.push(&child.text()),
                None => {}
            }
        }
    }

    fn element(&mut self, node: &NodeRef, name: &str) {
        if SKIPPED.contains(&name) || is_hidden(node) || self.stands_beside(node, name) {
            return;
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.heading(node, name),
            "ul" | "menu" | "dir" => self.list(node, None),
            "ol" => self.list(node, Some(number(node, "start").unwrap_or(1))),
            "li" => self.item(node),
            "blockquote" => {
                self.flush();
                self.quotes += 1;
                self.line(node);
                self.quotes -= 1;
            }
            "pre" | "listing" | "xmp" => self.code(node),
            "table" => self.table(node),
            "br" => self.push_break(),
            "img" => self.picture(node),
            "math" => self.formula(node),
            "a" => self.link(node),
            "figure" => {
                let is_caption = |inner: &NodeRef| inner.has_name("figcaption") && !is_hidden(inner);
                let caption = node.children_it(false).find(is_caption);
                let caption = caption.map(|caption| start_of(&caption.text())).unwrap_or_default();
                let before = std::mem::replace(&mut self.caption, caption);
                self.line(node);
                self.caption = before;
            }
            "article" | "main" => {
                let before = std::mem::replace(&mut self.in_article, true);
                self.line(node);
                self.in_article = before;
            }
            _ if LINES.contains(&name) => self.line(node),
            _ => self.inside(node),
        }
    }

    /// Takes in what was read apart.
    pub(super) fn take(&mut self, content: Content) -> Vec<Block> {
        self.bytes += content.text;
        self.linked += content.linked;
        content.blocks
    }

    /// How the parts of a table are to be read.
    pub(super) fn scope_inside(&self) -> Scope {
        if self.in_article { Scope::Whole } else { self.scope }
    }

    fn line(&mut self, node: &NodeRef) {
        self.flush();
        self.inside(node);
        self.flush();
    }

    fn heading(&mut self, node: &NodeRef, name: &str) {
        self.flush();
        let level = name.trim_start_matches('h').parse().unwrap_or(1);
        let before = self.heading.replace(number(node, LEVEL).unwrap_or(level));
        self.line(node);
        self.heading = before;
    }

    fn list(&mut self, node: &NodeRef, next: Option<u32>) {
        self.flush();
        self.lists.push(List { next });
        self.line(node);
        self.lists.pop();
    }

    fn item(&mut self, node: &NodeRef) {
        self.flush();
        let is_lost = self.lists.is_empty();
        if is_lost {
            self.lists.push(List { next: None });
        }
        self.marker = self.lists.last_mut().map(|list| list.marker(number(node, "value")));
        self.line(node);
        self.marker = None;
        if is_lost {
            self.lists.pop();
        }
    }

    fn code(&mut self, node: &NodeRef) {
        self.flush();
        let mut code = String::new();
        verbatim(node, &mut code);
        self.bytes += code.len();
        self.out.push(Block::Code(code.trim_matches('\n').to_owned()));
    }

    fn table(&mut self, node: &NodeRef) {
        self.flush();
        table::read_into(self, node);
    }

    fn picture(&mut self, node: &NodeRef) {
        let alt = node.attr("alt").unwrap_or_default();
        let words = described(&alt);
        // A caption that says the same is enough.
        if !self.caption.contains(words) {
            [" ", words, " "].into_iter().for_each(|part| self.push(part));
        }
    }

    /// MathML; what is none is text.
    fn formula(&mut self, node: &NodeRef) {
        match mathml::read(&node.html()) {
            Ok(written) if !written.is_empty() => self.push(&written),
            _ => self.inside(node),
        }
    }

    /// The number of a note, or any link's text.
    fn link(&mut self, node: &NodeRef) {
        let role = node.attr("role").unwrap_or_default();
        if &*role == "doc-backlink" {
            return;
        }
        let before = std::mem::replace(&mut self.in_link, true);
        match note_mark(node, &role) {
            Some(mark) => self.push(&mark),
            None => self.inside(node),
        }
        self.in_link = before;
    }

    /// Whether `node` is not part of a page's content.
    fn stands_beside(&self, node: &NodeRef, name: &str) -> bool {
        let role = node.attr("role").unwrap_or_default();
        self.scope == Scope::Content
            && !self.in_article
            && (BESIDE.contains(&&*role)
                || matches!(name, "footer" | "aside")
                || (name == "header" && !has_heading(node)))
    }

    fn push(&mut self, text: &str) {
        let before = self.text.len();
        for char in text.chars() {
            match char {
                ' ' | '\t' | '\n' | '\r' | '\u{c}' => {
                    if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
                        self.text.push(' ');
                    }
                }
                char => self.text.push(char),
            }
        }
        let added = self.text.len() - before;
        self.bytes += added;
        self.linked += if self.in_link { added } else { 0 };
    }

    fn push_break(&mut self) {
        self.text.truncate(self.text.trim_end().len());
        self.text.push(if self.heading.is_some() { ' ' } else { '\n' });
    }

    /// Ends the paragraph that is being read.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        if text.is_empty() {
            return;
        }
        let depth = self.lists.len().saturating_sub(1);
        self.out.push(match (self.heading, self.marker) {
            (Some(level), _) => Block::Heading(level, text),
            (None, Some(marker)) => Block::Item { depth, marker, text },
            _ if !self.lists.is_empty() => Block::Continued { depth, text },
            _ if self.quotes > 0 => Block::Quote(text),
            _ => Block::Paragraph(text),
        });
        self.marker = None;
    }
}

impl List {
    fn marker(&mut self, stated: Option<u32>) -> Marker {
        let Some(next) = &mut self.next else { return Marker::Bullet };
        let number = stated.unwrap_or(*next);
        *next = number.saturating_add(1);
        Marker::Number(number)
    }
}

/// Whether browsers do not show it, or only decorate with it. A class that wikis give to pictures of formulas, which
/// repeat nothing, is the exception that the search for main content makes, too.
fn is_hidden(node: &NodeRef) -> bool {
    let style = node.attr("style").unwrap_or_default().to_ascii_lowercase().replace(' ', "");
    let decorates = node.attr("aria-hidden").is_some_and(|value| &*value == "true")
        && !node.class().is_some_and(|class| class.contains("fallback-image"));
    decorates
        || (node.has_name("dialog") && !node.has_attr("open"))
        || style.contains("display:none")
        || style.contains("visibility:hidden")
        || node.attr("hidden").is_some_and(|value| &*value != "until-found")
}

fn has_heading(node: &NodeRef) -> bool {
    node.descendants_it().any(|inner| ["h1", "h2"].iter().any(|name| inner.has_name(name)))
}

pub(super) fn number<T: std::str::FromStr>(node: &NodeRef, name: &str) -> Option<T> {
    node.attr(name)?.trim().parse().ok()
}

/// The mark of the note that a link leads to, where the link is a raised number or says what it is.
fn note_mark(link: &NodeRef, role: &str) -> Option<String> {
    let is_inside = link.attr("href").is_some_and(|address| address.contains('#'));
    let raised = link.parent().is_some_and(|outer| outer.has_name("sup"))
        || link.children_it(false).any(|inner| inner.has_name("sup"));
    let text = link.text();
    let text = text.trim();
    let is_short = !text.is_empty() && text.len() <= MAX_MARK_BYTES && text.chars().all(char::is_alphanumeric);
    (is_short && is_inside && (raised || role == "doc-noteref")).then(|| format!("[^{text}]"))
}

/// As much of a caption as descriptions are looked for in.
fn start_of(caption: &str) -> String {
    caption[..caption.floor_char_boundary(MAX_CAPTION_BYTES)].to_owned()
}

/// Text with its white space.
fn verbatim(node: &NodeRef, out: &mut String) {
    for child in node.children_it(false) {
        match child.node_name() {
            Some(name) if SKIPPED.contains(&&*name) => {}
            Some(name) if &*name == "br" => out.push('\n'),
            Some(_) => verbatim(&child, out),
            None if child.is_text() => out.push_str(&child.text()),
            None => {}
        }
    }
}
