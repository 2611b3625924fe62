//! Markdown, along its structure: blocks are packed greedily into pieces. A section starts a new piece unless the one
//! before is still small; headings stay with what they head; a block that is longer than a piece is cut where it is best.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use super::blocks::{Block, Role, blocks};
use super::cut::{self, Kind};
use super::measure::Measure;
use super::outline::{Outline, Path};
use super::{ChunkSizes, Piece};

/// A piece below this share of `max_tokens` takes in the next section too: a tiny chunk says little alone.
const SMALL: usize = 4;

/// What is repeated before a later part of a table or a code block, and headings that follow each other without text, may
/// take this share of `max_tokens`.
const MAX_LEAD: usize = 4;

/// The pieces of a Markdown text.
pub fn pieces(text: &str, outline: &Outline, measure: &Measure, sizes: ChunkSizes) -> Vec<Piece> {
    let mut packer = Packer { text, outline, measure, sizes, done: Vec::new() };
    packer.pack(Units {
        blocks: blocks(text).peekable(),
        end: text.len(),
        outline,
        measure,
        max_headings: sizes.max_tokens / MAX_LEAD,
        levels: Vec::new(),
        path: Path::default(),
        headings_from: None,
    });
    packer.done
}

/// A block with the headings right before it: what should not be torn apart.
struct Unit {
    bytes: Range<usize>,
    /// Where the block itself starts.
    body: usize,
    kind: Kind,
    /// The headings it stands under, its own included.
    path: Path,
    opens_section: bool,
}

/// Puts headings and blocks together.
struct Units<'a, B: Iterator<Item = Block>> {
    blocks: Peekable<B>,
    /// Where the text ends.
    end: usize,
    outline: &'a Outline,
    measure: &'a Measure<'a>,
    max_headings: usize,
    /// The levels of the headings in `path`.
    levels: Vec<u8>,
    path: Path,
    /// Where the headings start that wait for their block.
    headings_from: Option<usize>,
}

impl<B: Iterator<Item = Block>> Iterator for Units<'_, B> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        loop {
            let Block { start, role } = self.blocks.next()?;
            let end = self.blocks.peek().map_or(self.end, |next| next.start);
            let from = self.headings_from.take();
            let bytes = from.unwrap_or(start)..end;
            let (kind, opens_section) = match role {
                Role::Body(kind) => (kind, from.is_some()),
                Role::Heading(level, name) => {
                    self.enter(level, start, &name);
                    let last = self.blocks.peek().is_none();
                    if !last && self.measure.size(bytes.clone()) <= self.max_headings {
                        self.headings_from = Some(bytes.start);
                        continue;
                    }
                    // Headings without text are text like any other; so is a last one with nothing after it.
                    (Kind::Prose, !last)
                }
            };
            return Some(Unit { bytes, body: start, kind, path: Path::clone(&self.path), opens_section });
        }
    }
}

impl<B: Iterator<Item = Block>> Units<'_, B> {
    fn enter(&mut self, level: u8, start: usize, name: &str) {
        let above = self.levels.partition_point(|above| *above < level);
        self.levels.truncate(above);
        self.levels.push(level);
        let heading = Arc::new(self.outline.heading(start, name));
        self.path = self.path[..above].iter().cloned().chain([heading]).collect();
    }
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
    fn pack(&mut self, units: impl Iterator<Item = Unit>) {
        let mut open: Option<Open> = None;
        for unit in units {
            open = Some(match open {
                Some(mut growing) if self.takes_in(&growing, &unit) => {
                    growing.piece.bytes.end = unit.bytes.end;
                    shorten_to_common(&mut growing.piece.path, &unit.path);
                    growing
                }
                full => {
                    self.done.extend(full.map(|full| full.piece));
                    self.begin(&unit)
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
                return Open { piece: Piece { bytes, path: Path::clone(&unit.path), lead }, room };
            }
            let end = self.end_of_part(unit, bytes.start, done_to, room);
            self.done.push(Piece { bytes: bytes.start..end, path: Path::clone(&unit.path), lead });
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

fn shorten_to_common(path: &mut Path, other: &Path) {
    let common = path.iter().zip(other.iter()).take_while(|(one, another)| Arc::ptr_eq(one, another)).count();
    if common < path.len() {
        *path = path[..common].into();
    }
}
