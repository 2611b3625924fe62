//! The blocks on the top level of a Markdown text, one after another.
//!
//! The parser keeps up to seventy bytes for each byte that it reads. So it reads windows, each from the start of a block,
//! and a window's last block again with the next. A block that is longer than a window is read on in the next one as what
//! it began as; headings that its text might then pretend to have (in an HTML comment of that length, say) are taken for
//! such. References in headings are known within their window.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag};

use super::cut::Kind;

/// How much the parser sees at once.
const WINDOW_BYTES: usize = 128 * 1024;

/// A block; whatever lies between it and the next belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub start: usize,
    pub role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A heading of a level from 1 to 6, and its words.
    Heading(u8, String),
    Body(Kind),
}

/// The blocks of `text`; the first starts where it does.
pub fn blocks(text: &str) -> impl Iterator<Item = Block> {
    in_windows(text, WINDOW_BYTES)
}

fn in_windows(text: &str, window: usize) -> impl Iterator<Item = Block> {
    let at = front_matter(text, window);
    let first = Block { start: 0, role: Role::Body(Kind::Prose) };
    let found = VecDeque::from_iter((at > 0).then_some(first));
    Blocks { text, window, at, long: None, begun: at > 0, found }
}

struct Blocks<'a> {
    text: &'a str,
    window: usize,
    /// Where the next window starts.
    at: usize,
    /// The block that goes on there.
    long: Option<Long>,
    /// Whether a block was found.
    begun: bool,
    found: VecDeque<Block>,
}

/// A block that is longer than a window.
#[derive(Clone)]
struct Long {
    kind: Kind,
    /// What has to be read before its next part: the header rows of a table, the opening line of a code block.
    lead: String,
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        while self.found.is_empty() && self.at < self.text.len() {
            self.read_window();
        }
        let mut block = self.found.pop_front()?;
        if !std::mem::replace(&mut self.begun, true) {
            block.start = 0;
        }
        Some(block)
    }
}

impl Blocks<'_> {
    fn read_window(&mut self) {
        let bytes = self.at..line_end(self.text, self.at, self.window);
        let long = self.long.take();
        let mut blocks = parse(&self.text[bytes.clone()], long.as_ref().map_or("", |long| &long.lead));
        for block in &mut blocks {
            block.start += self.at;
        }
        if long.as_ref().is_some_and(|long| blocks.first().is_some_and(|block| block.role == Role::Body(long.kind))) {
            blocks.remove(0);
        }
        self.at = bytes.end;
        if bytes.end < self.text.len() {
            self.stop(&mut blocks, bytes, long);
        }
        if !self.begun && self.at == self.text.len() && blocks.is_empty() {
            blocks.push(Block { start: 0, role: Role::Body(Kind::Prose) });
        }
        self.found.extend(blocks);
    }

    /// Leaves the last block to the next window, unless it fills this one.
    fn stop(&mut self, blocks: &mut Vec<Block>, window: Range<usize>, before: Option<Long>) {
        let Some(last) = blocks.last() else {
            self.long = before;
            return;
        };
        let line = self.text[window.start..last.start].rfind('\n').map_or(0, |at| at + 1);
        if line > 0 {
            self.at = window.start + line;
            blocks.pop();
        } else if let Role::Body(kind) = last.role {
            self.long = Some(Long { kind, lead: lead(&self.text[last.start..window.end], kind) });
        }
    }
}

/// Where a window from `start` ends: at the end of a line, or in the midst of one that is longer than a window.
fn line_end(text: &str, start: usize, window: usize) -> usize {
    let end = text.floor_char_boundary(start.saturating_add(window));
    if end == text.len() {
        return end;
    }
    let line = text[start..end].rfind('\n').map(|at| start + at + 1);
    line.unwrap_or(end).max(text.ceil_char_boundary(start + 1))
}

fn lead(block: &str, kind: Kind) -> String {
    let lines = match kind {
        Kind::Table => 2,
        Kind::Code if block.trim_start().starts_with(['`', '~']) => 1,
        Kind::Code | Kind::Prose | Kind::List => 0,
    };
    block.split_inclusive('\n').take(lines).collect()
}

/// The blocks of `lead` and `window` together; one that starts in the lead starts at 0.
fn parse(window: &str, lead: &str) -> Vec<Block> {
    let text = if lead.is_empty() { Cow::Borrowed(window) } else { Cow::Owned([lead, window].concat()) };
    let mut blocks: Vec<Block> = Vec::new();
    let mut depth = 0_usize;
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    for (event, range) in Parser::new_ext(&text, options).into_offset_iter() {
        if depth == 0 && !matches!(event, Event::End(_)) {
            blocks.push(Block { start: range.start.saturating_sub(lead.len()), role: role(&event) });
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Text(part) | Event::Code(part) => name(&mut blocks, &part),
            Event::SoftBreak => name(&mut blocks, " "),
            _ => {}
        }
    }
    blocks
}

fn role(event: &Event) -> Role {
    match event {
        Event::Start(Tag::Heading { level, .. }) => Role::Heading(rank(*level), String::new()),
        Event::Start(Tag::CodeBlock(_)) => Role::Body(Kind::Code),
        Event::Start(Tag::Table(_)) => Role::Body(Kind::Table),
        Event::Start(Tag::List(_)) => Role::Body(Kind::List),
        _ => Role::Body(Kind::Prose),
    }
}

fn name(blocks: &mut [Block], part: &str) {
    if let Some(Block { role: Role::Heading(_, name), .. }) = blocks.last_mut() {
        name.push_str(part);
    }
}

fn rank(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// The length of the properties that some put before the text, between lines of three dashes.
fn front_matter(text: &str, longest: usize) -> usize {
    let text = &text[..text.floor_char_boundary(longest)];
    let mut length = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        length += line.len();
        match (number, line.trim_end()) {
            (0, "---") => {}
            (0, _) | (1, "" | "---" | "...") => return 0,
            (_, "---" | "...") => return length,
            _ => {}
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOGETHER: &str = "# A *b* `c`\n\ntext\nof two lines\n\n> quote\n\n1. one\n2. two\n   - three\n\nD\n===\n\n    # code\n\n\
                            ```sh\n# code\n```\n| a | b |\n|---|---|\n| 1 | 2 |\n\n***\n\n<p>\n# html\n</p>\n\nend";

    fn starts(text: &str, window: usize) -> Vec<(&str, Role)> {
        let line = |start: usize| text[start..].lines().next().unwrap_or_default();
        in_windows(text, window).map(|block| (line(block.start), block.role)).collect()
    }

    fn heading(level: u8, name: &str) -> Role {
        Role::Heading(level, name.to_owned())
    }

    #[test]
    fn blocks_are_known_by_what_they_are() {
        let [prose, code, table, list] = [Kind::Prose, Kind::Code, Kind::Table, Kind::List].map(Role::Body);
        let expected = [
            ("# A *b* `c`", heading(1, "A b c")),
            ("text", prose.clone()),
            ("> quote", prose.clone()),
            ("1. one", list),
            ("D", heading(1, "D")),
            ("# code", code.clone()),
            ("```sh", code),
            ("| a | b |", table),
            ("***", prose.clone()),
            ("<p>", prose.clone()),
            ("end", prose),
        ];
        assert_eq!(starts(TOGETHER, WINDOW_BYTES), expected);
    }

    #[test]
    fn a_block_longer_than_a_window_is_one_block() {
        let table = format!("| # a | b |\n|---|---|\n{}", "| # 1 | 2 |\n".repeat(40));
        let code = format!("~~~\n{}~~~\n", "# code\n\n".repeat(40));
        let list = "- # item\n".repeat(40);
        let prose = "#words and words\n".repeat(40) + &"漢".repeat(200);
        for block in [&table, &code, &list, &prose] {
            let text = format!("{block}\n\n# Then\n");
            let found = starts(&text, 64);
            assert_eq!(found.len(), 2, "{found:?}");
            assert_eq!(found[1], ("# Then", heading(1, "Then")));
        }
    }

    #[test]
    fn properties_are_read_before_the_text_only() {
        let prose = Role::Body(Kind::Prose);
        let expected = [("---", prose.clone()), ("# A", heading(1, "A")), ("---", prose), ("# B", heading(1, "B"))];
        let text = "---\ntitle: # no\n---\n# A\n---\n# B\n---\n";
        assert_eq!(starts(text, WINDOW_BYTES)[..4], expected);
        assert_eq!(starts("---\n\n# A\n---\n", WINDOW_BYTES)[1], ("# A", heading(1, "A")));
    }

    #[test]
    fn a_text_of_nothing_but_references_is_a_block() {
        assert_eq!(starts("[a]: b\n\n[c]: d\n", 8), [("[a]: b", Role::Body(Kind::Prose))]);
        assert_eq!(starts("", 8), []);
    }

    fn lines() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "#{1,6} [a-z*`]{1,9}",
            "[a-z #>|]{0,20}",
            "[>*+-] [a-z#]{1,9}",
            "[0-9]\\. [a-z]{1,9}",
            "   ?[a-z#-]{1,9}",
            "```[a-z]?",
            "~~~~",
            "---",
            "===",
            "\\| a \\| b \\|\n\\|---\\|---\\|\n(\\| c \\| d \\|\n){0,3}",
            "<!-- [a-z]{1,5}",
            "-->",
            "<div>",
            "\t[a-z]{1,5}",
            "",
            Just(String::new()),
            "\\PC{0,12}",
        ];
        prop::collection::vec(line, 0..60).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Unless a block is longer than a window.
        #[test]
        fn windows_do_not_change_what_is_found(text in lines()) {
            let whole: Vec<Block> = in_windows(&text, usize::MAX / 2).collect();
            let ends = whole.iter().skip(1).map(|block| block.start).chain([text.len()]);
            let longest = whole.iter().zip(ends).map(|(block, end)| end - block.start).max().unwrap_or(0);
            let windowed: Vec<Block> = in_windows(&text, (longest * 2).max(64)).collect();
            prop_assert_eq!(windowed, whole);
        }
    }
}
