//! Whether a question says a pattern and nothing else, and by which values.
//!
//! Every pair of a part and a piece is looked at once, from the end, so the work is at most parts × pieces × the longest
//! value: 120 × 120 × 6.

use super::pieces::Said;
use super::slots::{MAX_VALUE, Part, Swap};

/// How the rest of the question says the rest of the pattern.
#[derive(Clone, Copy, Default)]
struct Way {
    /// In how many ways: 2 stands for more, too.
    ways: u8,
    /// How many pieces go on from here; of an article, that none of the pattern does.
    length: usize,
    skips: bool,
}

/// The values that are not the example's own. Nothing where the question says anything else, or can be read in two ways.
pub fn matched(pattern: &[Part], asked: &Said, plurals: bool) -> Option<Vec<Swap>> {
    let pieces = asked.pieces.len();
    if pattern.is_empty() || pieces == 0 {
        return None;
    }
    let mut ways = vec![vec![Way::default(); pieces + 1]; pattern.len() + 1];
    ways[pattern.len()][pieces].ways = 1;
    for part in (0..=pattern.len()).rev() {
        for at in (0..pieces).rev() {
            ways[part][at] = way(pattern.get(part), asked, at, plurals, |length, next| ways[part + next][at + length]);
        }
    }
    read(pattern, asked, &ways)
}

fn way(part: Option<&Part>, asked: &Said, at: usize, plurals: bool, then: impl Fn(usize, usize) -> Way) -> Way {
    let mut found = Way::default();
    let mut add = |length: usize, skips: bool, rest: Way| {
        if rest.ways > 0 {
            found = Way { ways: (found.ways + rest.ways).min(2), length, skips };
        }
    };
    if asked.is_article(at) {
        add(1, true, then(1, 0));
    }
    match part {
        Some(Part::Same(piece)) if piece.is(&asked.pieces[at], plurals) => add(1, false, then(1, 1)),
        Some(Part::Slot(slot)) => {
            for length in 1..=MAX_VALUE.min(asked.pieces.len() - at) {
                let rest = then(length, 1);
                if rest.ways > 0 && slot.take(asked, at, length).is_some() {
                    add(length, false, rest);
                }
            }
        }
        _ => {}
    }
    found
}

fn read(pattern: &[Part], asked: &Said, ways: &[Vec<Way>]) -> Option<Vec<Swap>> {
    let (mut part, mut at) = (0, 0);
    let mut swaps = Vec::new();
    while at < asked.pieces.len() {
        let way = ways[part][at];
        if way.ways != 1 {
            return None;
        }
        if !way.skips {
            if let Part::Slot(slot) = &pattern[part] {
                swaps.extend(slot.take(asked, at, way.length)?);
            }
            part += 1;
        }
        at += way.length;
    }
    (part == pattern.len()).then_some(swaps)
}
