//! Markdown, along its structure: blocks are packed greedily into pieces. A section starts a new piece unless the one
//! before is still small; headings stay with what they head; a block that is longer than a piece is cut where it is best.

use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::cut::{self, Kind};
use super::measure::Measure;
use super::outline::Outline;
use super::{ChunkSizes, Piece};
use crate::models::Tokenizer;

/// A piece below this share of `max_tokens` takes in the next section too: a tiny chunk says little alone.
const SMALL: usize = 4;

/// What is repeated before a later part of a table or a code block, and headings that follow each other without text, may
/// take this share of `max_tokens`.
const MAX_LEAD: usize = 4;

/// The pieces of a Markdown text.
pub fn pieces(
    text: &str,
    title: &str,
    tokenizer: &Tokenizer,
    measure: &Measure,
    sizes: ChunkSizes,
) -> (Outline, Vec<Piece>) {
    let (blocks, headings) = parse(text);
    let units = units(text.len(), &blocks, measure, sizes.max_tokens / MAX_LEAD);
    let outline = Outline::new(title, &headings, tokenizer, sizes.max_tokens);
    let mut packer = Packer { text, outline: &outline, measure, sizes, done: Vec::new() };
    packer.pack(&units);
    let pieces = packer.done;
    (outline, pieces)
}

/// A block on the top level of the document.
struct Block {
    start: usize,
    role: Role,
}

enum Role {
    /// A heading of a level from 1 to 6; its place in the outline.
    Heading(u8, usize),
    Body(Kind),
}

/// The blocks, and the headings' starts and names. Whatever lies between two blocks belongs to the first.
fn parse(text: &str) -> (Vec<Block>, Vec<(usize, String)>) {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let (mut blocks, mut headings) = (Vec::new(), Vec::new());
    let mut depth = 0usize;
    let mut naming = false;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        if depth == 0 && !matches!(event, Event::End(_)) {
            let role = role(&event, headings.len());
            if matches!(role, Role::Heading(..)) {
                headings.push((range.start, String::new()));
                naming = true;
            }
            blocks.push(Block { start: range.start, role });
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(end) => {
                depth -= 1;
                naming &= !(depth == 0 && matches!(end, TagEnd::Heading(_)));
            }
            Event::Text(part) | Event::Code(part) if naming => {
                headings.last_mut().map_or((), |name| name.1.push_str(&part))
            }
            Event::SoftBreak if naming => headings.last_mut().map_or((), |name| name.1.push(' ')),
            _ => {}
        }
    }
    (blocks, headings)
}

fn role(event: &Event, heading: usize) -> Role {
    match event {
        Event::Start(Tag::Heading { level, .. }) => Role::Heading(rank(*level), heading),
        Event::Start(Tag::CodeBlock(_)) => Role::Body(Kind::Code),
        Event::Start(Tag::Table(_)) => Role::Body(Kind::Table),
        Event::Start(Tag::List(_)) => Role::Body(Kind::List),
        _ => Role::Body(Kind::Prose),
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

/// A block with the headings right before it: what should not be torn apart.
struct Unit {
    bytes: Range<usize>,
    /// Where the block itself starts.
    body: usize,
    kind: Kind,
    /// The headings it stands under, its own included.
    path: Vec<usize>,
    opens_section: bool,
}

fn units(text_length: usize, blocks: &[Block], measure: &Measure, max_headings: usize) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut path: Vec<(u8, usize)> = Vec::new();
    let mut headings_from: Option<usize> = None;
    for (place, block) in blocks.iter().enumerate() {
        // The first block owns what comes before it, too.
        let start = if place == 0 { 0 } else { block.start };
        let end = blocks.get(place + 1).map_or(text_length, |next| next.start);
        let from = headings_from.unwrap_or(start);
        let names = |path: &[(u8, usize)]| path.iter().map(|(_, heading)| *heading).collect();
        match block.role {
            Role::Body(kind) => {
                let opens_section = headings_from.take().is_some();
                units.push(Unit { bytes: from..end, body: start, kind, path: names(&path), opens_section });
            }
            Role::Heading(level, heading) => {
                path.retain(|(above, _)| *above < level);
                path.push((level, heading));
                // A list of headings without text is text like any other; so is a last one with nothing after it.
                let last = place + 1 == blocks.len();
                headings_from = Some(from);
                if last || measure.size(from..end) > max_headings {
                    let opens_section = !last;
                    units.push(Unit {
                        bytes: from..end,
                        body: start,
                        kind: Kind::Prose,
                        path: names(&path),
                        opens_section,
                    });
                    headings_from = None;
                }
            }
        }
    }
    units
}

struct Packer<'a> {
    text: &'a str,
    outline: &'a Outline,
    measure: &'a Measure<'a>,
    sizes: ChunkSizes,
    done: Vec<Piece>,
}

/// A piece that may still grow.
struct Open {
    piece: Piece,
    /// How large its content may become.
    room: usize,
}

impl Packer<'_> {
    fn pack(&mut self, units: &[Unit]) {
        let mut open: Option<Open> = None;
        for unit in units {
            open = Some(match open {
                Some(mut growing) if self.takes_in(&growing, unit) => {
                    growing.piece.bytes.end = unit.bytes.end;
                    shorten_to_common(&mut growing.piece.path, &unit.path);
                    growing
                }
                full => {
                    self.done.extend(full.map(|full| full.piece));
                    self.begin(unit)
                }
            });
        }
        self.done.extend(open.map(|open| open.piece));
    }

    fn takes_in(&self, open: &Open, unit: &Unit) -> bool {
        let start = open.piece.bytes.start;
        let large_enough = self.measure.size(open.piece.bytes.clone()) >= self.sizes.max_tokens / SMALL;
        !(unit.opens_section && large_enough) && self.measure.size(start..unit.bytes.end) <= open.room
    }

    /// A piece of the whole unit, or of its last part after the others are done.
    fn begin(&mut self, unit: &Unit) -> Open {
        let mut bytes = unit.bytes.clone();
        let mut lead = None;
        let mut done_to = bytes.start;
        loop {
            let room = self.room(unit, bytes.start, lead.clone());
            if self.measure.size(bytes.clone()) <= room {
                return Open { piece: Piece { bytes, path: unit.path.clone(), lead }, room };
            }
            let end = self.end_of_part(unit, bytes.start, done_to, room);
            self.done.push(Piece { bytes: bytes.start..end, path: unit.path.clone(), lead });
            done_to = end;
            bytes.start = self.start_of_next(unit, bytes.start, end);
            lead = self.lead(unit, bytes.start);
        }
    }

    fn room(&self, unit: &Unit, start: usize, lead: Option<Range<usize>>) -> usize {
        let lead = lead.map_or(0, |lead| self.measure.tokens(lead));
        self.sizes.max_tokens - self.outline.bound(&unit.path, start) - lead
    }

    /// In the second half of the room, and always further than the part before.
    fn end_of_part(&self, unit: &Unit, start: usize, done_to: usize, room: usize) -> usize {
        let further = self.text.ceil_char_boundary(done_to + 1);
        let from = self.measure.furthest(start, room / 2).max(further);
        let to = self.measure.furthest(start, room).max(from);
        cut::last(self.text, unit.kind, from..to)
    }

    /// Repeats the end of the part before, except in a table, whose header row says more.
    fn start_of_next(&self, unit: &Unit, start: usize, end: usize) -> usize {
        if unit.kind == Kind::Table || self.sizes.overlap == 0 {
            return end;
        }
        let back = self.measure.back(end, self.sizes.overlap).max(start + 1);
        cut::first(self.text, unit.kind, back..end).unwrap_or(end)
    }

    /// The header row of a table, the opening line of a code block, for a part that starts after it.
    fn lead(&self, unit: &Unit, start: usize) -> Option<Range<usize>> {
        let lines = match unit.kind {
            Kind::Table => 2,
            Kind::Code if self.text[unit.body..].trim_start().starts_with(['`', '~']) => 1,
            Kind::Code | Kind::Prose | Kind::List => return None,
        };
        let block = &self.text[unit.body..unit.bytes.end];
        let length = block.split_inclusive('\n').take(lines).map(str::len).sum::<usize>();
        let lead = unit.body..unit.body + length;
        let small = self.measure.size(lead.clone()) <= self.sizes.max_tokens / MAX_LEAD;
        (small && lead.end <= start).then_some(lead)
    }
}

fn shorten_to_common(path: &mut Vec<usize>, other: &[usize]) {
    let common = path.iter().zip(other).take_while(|(one, another)| one == another).count();
    path.truncate(common);
}
