//! Rich text (RTF 1.9.1): what Word, WordPad, LibreOffice and mail programs write.
//!
//! `tokens` cuts the bytes, this file follows groups and words, `output` makes paragraphs, headings, lists, tables
//! and notes of them. Hidden and deleted text, headers and footers, pictures and the instructions of fields are left out;
//! what a field, an object or a text box shows is kept. Nesting costs a fixed amount of memory, however deep it is.

pub mod code_page;
mod output;
mod tokens;

use std::collections::HashMap;

use self::code_page::CodePage;
use self::output::{Output, Paragraph};
use self::tokens::{Token, Tokens};
use super::canonical::canonical;
use super::{ExtractFailure, Extracted, MAX_TEXT_BYTES, blocks};

/// Word nests some twenty deep. Deeper groups than these share what the last of them has set.
const MAX_DEPTH: usize = 1000;

/// A document may start with blanks or a byte order mark.
const START_BYTES: usize = 1024;

/// The document as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let head = &bytes[..bytes.len().min(START_BYTES)];
    let start = head.windows(5).position(|window| window == b"{\\rtf");
    // Some programs write the body without its frame.
    let fragment = || head.trim_ascii_start().starts_with(b"{\\").then_some(0);
    let begins = start.or_else(fragment);
    let begins = begins.ok_or_else(|| ExtractFailure::broken("The rich-text file", "it does not begin like one"))?;
    let mut reader = Reader::default();
    for token in Tokens::new(&bytes[begins..]) {
        reader.token(token)?;
        if (start.is_some() && reader.groups.is_empty()) || reader.output.len() > MAX_TEXT_BYTES {
            break;
        }
    }
    reader.end()
}

/// What becomes of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Destination {
    #[default]
    Body,
    Note,
    /// The number or bullet of a list's paragraph.
    Marker,
    Title,
    Fonts,
    Styles,
    Skipped,
}

/// What the end of a group takes back.
#[derive(Debug, Clone, Copy)]
struct Group {
    destination: Destination,
    code_page: CodePage,
    paragraph: Paragraph,
    hidden: bool,
    /// Struck out by a reviewer.
    deleted: bool,
    /// How many characters follow `\u` for readers that know no Unicode (`\uc`).
    fallback: usize,
}

#[derive(Default)]
struct Reader {
    groups: Vec<Group>,
    /// How many groups are open beyond [`MAX_DEPTH`].
    beyond: usize,
    /// Whether `\*` came right before: a destination that may be unknown.
    starred: bool,
    /// Characters still to be left out after `\u`.
    skip: usize,
    /// The first half of a character outside of the basic plane.
    high: Option<u16>,
    /// Not decoded yet: some characters are two bytes.
    bytes: Vec<u8>,
    code_page: CodePage,
    default_font: i32,
    fonts: HashMap<i32, CodePage>,
    /// The font or style that is being defined.
    defined: i32,
    style_name: String,
    /// The heading levels of styles, from 1.
    headings: HashMap<i32, u8>,
    /// How deep lists of styles are: Word's `List Bullet 2` is a list of its own with one level.
    depths: HashMap<i32, u8>,
    title: String,
    output: Output,
}

impl Reader {
    fn end(mut self) -> Result<Extracted, ExtractFailure> {
        self.flush();
        let title = canonical(&self.title).split_whitespace().collect::<Vec<_>>().join(" ");
        let text = canonical(&blocks::markdown(&self.output.end()?));
        Ok(Extracted { title: (!title.is_empty()).then_some(title), text, markdown: true, ..Extracted::default() })
    }

    fn token(&mut self, token: Token) -> Result<(), ExtractFailure> {
        if !matches!(token, Token::Hex(_) | Token::Text(_) | Token::Symbol(b'{' | b'}' | b'\\')) {
            self.flush();
        }
        match token {
            Token::Open => self.open(),
            Token::Close => self.close(),
            Token::Word(name, number) => self.word(name, number)?,
            Token::Symbol(symbol) => self.symbol(symbol),
            Token::Hex(_) if self.skip > 0 => self.skip -= 1,
            Token::Hex(byte) => self.bytes.push(byte),
            Token::Text(text) => {
                let skipped = self.skip.min(text.len());
                self.skip -= skipped;
                self.bytes.extend_from_slice(&text[skipped..]);
            }
        }
        self.starred = matches!(token, Token::Symbol(b'*'));
        Ok(())
    }

    fn open(&mut self) {
        self.skip = 0;
        match self.groups.len() < MAX_DEPTH {
            true => self.groups.push(self.group()),
            false => self.beyond += 1,
        }
    }

    fn close(&mut self) {
        self.skip = 0;
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        let closed = self.groups.pop().map(|group| group.destination);
        match closed {
            Some(Destination::Note) if self.group().destination != Destination::Note => self.output.end_note(),
            Some(Destination::Styles) => self.end_style(),
            Some(Destination::Body) if self.group().destination == Destination::Skipped => self.output.part_lines(),
            _ => {}
        }
    }

    fn group(&self) -> Group {
        self.groups.last().copied().unwrap_or(Group {
            destination: Destination::Body,
            code_page: self.code_page,
            paragraph: Paragraph::default(),
            hidden: false,
            deleted: false,
            fallback: 1,
        })
    }

    fn change(&mut self, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.groups.last_mut() {
            change(group);
        }
    }

    fn flush(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let mut text = String::new();
        self.group().code_page.decode(&self.bytes, &mut text);
        self.bytes.clear();
        self.put(&text);
    }

    fn put(&mut self, text: &str) {
        let group = self.group();
        if group.hidden || group.deleted {
            return;
        }
        match group.destination {
            Destination::Body => self.output.paragraph.push_str(text),
            Destination::Note => self.output.note.push_str(text),
            Destination::Marker => self.output.marker.push_str(text),
            Destination::Title => self.title.push_str(text),
            Destination::Styles => self.name_style(text),
            Destination::Fonts | Destination::Skipped => {}
        }
    }

    fn symbol(&mut self, symbol: u8) {
        if self.skip > 0 && symbol != b'*' {
            self.skip -= 1;
            return;
        }
        match symbol {
            // May be the second byte of a character.
            b'{' | b'}' | b'\\' => self.bytes.push(symbol),
            b'~' => self.put("\u{a0}"),
            b'_' => self.put("-"),
            b'\r' | b'\n' => self.end_paragraph(),
            b'\t' => self.put("\t"),
            // An optional hyphen, an index entry's parts.
            _ => {}
        }
    }

    fn word(&mut self, name: &str, number: Option<i32>) -> Result<(), ExtractFailure> {
        let outer = self.group().destination;
        if let Some(destination) = destination(name, outer) {
            if (outer, destination) == (Destination::Skipped, Destination::Body) {
                self.output.part_lines();
            }
            self.change(|group| group.destination = destination);
            return Ok(());
        }
        if self.starred {
            self.change(|group| group.destination = Destination::Skipped);
            return Ok(());
        }
        match character(name) {
            Some(_) if self.skip > 0 => self.skip -= 1,
            Some(text) => self.put(text),
            None => {
                self.text_word(name, number);
                self.look_word(name, number);
                self.table_word(name, number.unwrap_or(0))?;
            }
        }
        Ok(())
    }

    /// Words that are text, or say how bytes are text.
    fn text_word(&mut self, name: &str, number: Option<i32>) {
        let value = number.unwrap_or(0);
        match name {
            "u" => self.unicode(value),
            "uc" => self.change(|group| group.fallback = usize::try_from(value).unwrap_or(0)),
            "ansicpg" => self.document_page(CodePage::numbered(value)),
            "mac" => self.document_page(CodePage::numbered(10_000)),
            "pc" => self.document_page(CodePage::numbered(437)),
            "pca" => self.document_page(CodePage::numbered(850)),
            "deff" => self.default_font = value,
            "f" if self.group().destination == Destination::Fonts => self.defined = value,
            "f" => self.use_font(value),
            "fcharset" => {
                let page = CodePage::of_charset(value).unwrap_or(self.code_page);
                self.fonts.insert(self.defined, page);
            }
            "cpg" => {
                self.fonts.insert(self.defined, CodePage::numbered(value));
            }
            _ => {}
        }
    }

    fn document_page(&mut self, page: CodePage) {
        self.code_page = page;
        self.change(|group| group.code_page = page);
    }

    fn use_font(&mut self, font: i32) {
        let page = self.fonts.get(&font).copied().unwrap_or(self.code_page);
        self.change(|group| group.code_page = page);
    }

    /// A UTF-16 unit, as a signed number; symbol fonts stand in the private area.
    fn unicode(&mut self, value: i32) {
        let Ok(unit) = u16::try_from(value & 0xffff) else { return };
        let units = self.high.take().into_iter().chain([unit]);
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            0xf020..=0xf0ff => {
                let byte = unit.to_le_bytes()[0];
                let mut text = String::new();
                CodePage::default().decode(&[byte], &mut text);
                self.put(&text);
            }
            _ => {
                let text: String = char::decode_utf16(units).map(|char| char.unwrap_or('\u{fffd}')).collect();
                self.put(&text);
            }
        }
        self.skip = self.group().fallback;
    }

    /// Words that say how paragraphs and characters look.
    fn look_word(&mut self, name: &str, number: Option<i32>) {
        let on = number != Some(0);
        let value = number.unwrap_or(0);
        match name {
            "plain" => {
                self.change(|group| (group.hidden, group.deleted) = (false, false));
                self.use_font(self.default_font);
            }
            "v" => self.change(|group| group.hidden = on),
            "deleted" => self.change(|group| group.deleted = on),
            "pard" => self.change(|group| group.paragraph = Paragraph::default()),
            "s" if self.group().destination == Destination::Styles => self.defined = value,
            "s" => {
                let heading = self.headings.get(&value).copied();
                let depth = self.depths.get(&value).copied().unwrap_or(0);
                self.change(|group| (group.paragraph.heading, group.paragraph.style_level) = (heading, depth));
            }
            "outlinelevel" => self.outline_level(value),
            "intbl" => self.change(|group| group.paragraph.in_table = true),
            "itap" => self.change(|group| group.paragraph.in_table = value > 0),
            "ls" => self.change(|group| group.paragraph.in_list = value > 0),
            "li" => self.change(|group| group.paragraph.indent = value),
            "fi" => self.change(|group| group.paragraph.first_indent = value),
            "ilvl" => self.change(|group| group.paragraph.level = u8::try_from(value).unwrap_or(0)),
            _ => {}
        }
    }

    fn outline_level(&mut self, value: i32) {
        let heading = u8::try_from(value).ok().filter(|level| *level < 9).map(|level| level + 1);
        match (self.group().destination, heading) {
            (Destination::Styles, Some(level)) => {
                self.headings.insert(self.defined, level);
            }
            (Destination::Styles, None) => {}
            _ => self.change(|group| group.paragraph.heading = heading),
        }
    }

    /// Words that end paragraphs, cells and rows.
    fn table_word(&mut self, name: &str, value: i32) -> Result<(), ExtractFailure> {
        match (name, self.group().destination) {
            ("par" | "sect" | "page" | "column", _) => self.end_paragraph(),
            ("cell", Destination::Body) => self.output.end_cell()?,
            ("nestcell", Destination::Body) => self.output.paragraph.push(' '),
            ("row", Destination::Body) => self.output.end_row(),
            ("trowd", Destination::Body) => self.output.define_row(),
            ("cellx", Destination::Body) => self.output.define_cell(value),
            _ => {}
        }
        Ok(())
    }

    fn end_paragraph(&mut self) {
        let group = self.group();
        match group.destination {
            Destination::Body => self.output.end_paragraph(group.paragraph),
            Destination::Note => self.output.note.push(' '),
            _ => {}
        }
    }

    /// Definitions in the style sheet end with a semicolon; names of styles have none.
    fn name_style(&mut self, text: &str) {
        match text.split_once(';') {
            Some((end, _)) => {
                self.style_name.push_str(end);
                self.end_style();
            }
            None => self.style_name.push_str(text),
        }
    }

    fn end_style(&mut self) {
        let name = std::mem::take(&mut self.style_name).trim().to_lowercase();
        let level = match name.strip_prefix("heading ") {
            Some(number) => number.parse().ok().filter(|level| (1..=9).contains(level)),
            None => (name == "title").then_some(1),
        };
        if let Some(level) = level {
            self.headings.insert(self.defined, level);
        }
        let lists = ["list bullet ", "list number "];
        let depth = lists.into_iter().find_map(|kind| name.strip_prefix(kind)?.parse::<u8>().ok());
        self.depths.extend(depth.map(|depth| (self.defined, depth.saturating_sub(1))));
        self.defined = 0;
    }
}

/// Where text goes from this word on, to the end of the group. The destinations of "RTF Specification" that are not
/// text, and those within them that are.
fn destination(name: &str, outer: Destination) -> Option<Destination> {
    match name {
        "footnote" if matches!(outer, Destination::Body | Destination::Note) => Some(Destination::Note),
        "listtext" | "pntext" if outer == Destination::Body => Some(Destination::Marker),
        "fonttbl" => Some(Destination::Fonts),
        "stylesheet" => Some(Destination::Styles),
        "title" if outer == Destination::Skipped => Some(Destination::Title),
        // What an object, a shape and an old drawing show.
        "result" | "shptxt" | "dptxbxtext" if outer == Destination::Skipped => Some(Destination::Body),
        "fldrslt" => None,
        "shpinst" | "object" | "do" => Some(Destination::Skipped),
        "info" | "colortbl" | "pict" | "nonshppict" | "shprslt" | "header" | "headerl" | "headerr" | "headerf" => {
            Some(Destination::Skipped)
        }
        "footer" | "footerl" | "footerr" | "footerf" | "ftnsep" | "ftnsepc" | "ftncn" | "aftnsep" | "aftnsepc"
        | "aftncn" => Some(Destination::Skipped),
        "fldinst" | "xe" | "tc" | "tcn" | "rxe" | "txe" | "pn" | "pnseclvl" | "nonesttables" | "filetbl" => {
            Some(Destination::Skipped)
        }
        "listtable" | "listoverridetable" | "revtbl" | "rsidtbl" | "generator" | "annotation" | "atnid"
        | "atnauthor" => Some(Destination::Skipped),
        _ => None,
    }
}

/// Words that stand for a character ("Special Characters").
fn character(name: &str) -> Option<&'static str> {
    Some(match name {
        "tab" => "\t",
        "line" | "softline" | "lbr" => "\n",
        "emdash" => "—",
        "endash" => "–",
        "emspace" | "enspace" | "qmspace" => " ",
        "bullet" => "•",
        "lquote" => "‘",
        "rquote" => "’",
        "ldblquote" => "“",
        "rdblquote" => "”",
        "zwj" => "\u{200d}",
        "zwnj" => "\u{200c}",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
