//! The headings of a document, and what a passage says about where it stands: the title, then the headings above it.

use std::sync::Arc;

use crate::models::{Passage, Tokenizer};

/// Title and headings may take a quarter of a passage. They help to tell like from like, and must not drown the content.
const SHARE: usize = 4;

/// Between headings.
const SEPARATOR: &str = " > ";

/// The longest title or heading that is read, in bytes: names are short, and only a start of them is ever shown.
const MAX_NAME_BYTES: usize = 1024;

/// The headings that a chunk stands under, outermost first. Chunks share them.
pub type Path = Arc<[Arc<Label>]>;

/// What passages begin with.
#[derive(Debug)]
pub struct Outline {
    tokenizer: Tokenizer,
    title: Label,
    separator: Vec<u32>,
    /// The most tokens that [`Outline::context`] has.
    budget: usize,
}

/// A title or a heading with its tokens.
#[derive(Debug)]
pub struct Label {
    /// Where the heading stands in the text.
    start: usize,
    pub name: String,
    /// The length of the part of the name that fits into half of the budget.
    shown: usize,
    ids: Vec<u32>,
}

impl Outline {
    pub fn new(title: &str, tokenizer: &Tokenizer, max_tokens: usize) -> Outline {
        let budget = max_tokens / SHARE;
        Outline {
            title: Label::new(0, title, tokenizer, budget / 2),
            separator: tokenizer.encode(SEPARATOR).ids,
            tokenizer: tokenizer.clone(),
            budget,
        }
    }

    /// The heading `name` at `start`.
    pub fn heading(&self, start: usize, name: &str) -> Label {
        Label::new(start, name, &self.tokenizer, self.budget / 2)
    }

    /// What comes before the content of a chunk that starts at `start`: the title, and as many of the headings above it
    /// as there is room for, the nearest first. Headings that are part of the content are not said twice.
    pub fn context(&self, path: &Path, start: usize) -> Passage {
        let mut text = self.title.shown().to_owned();
        let mut token_ids = self.title.ids.clone();
        let shown = self.shown(path, start);
        for (place, label) in shown.iter().enumerate() {
            match place {
                0 => text.push_str(if text.is_empty() { "" } else { "\n" }),
                _ => {
                    text.push_str(SEPARATOR);
                    token_ids.extend_from_slice(&self.separator);
                }
            }
            text.push_str(label.shown());
            token_ids.extend_from_slice(&label.ids);
        }
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        Passage { text, token_ids }
    }

    /// No context of this path, or of a part of it, has more tokens.
    pub fn bound(&self, path: &Path, start: usize) -> usize {
        let headings = self.above(path, start).map(|label| label.ids.len() + self.separator.len());
        (self.title.ids.len() + headings.sum::<usize>()).min(self.budget)
    }

    fn shown<'a>(&'a self, path: &'a Path, start: usize) -> Vec<&'a Label> {
        let mut left = self.budget - self.title.ids.len();
        let above: Vec<&Label> = self.above(path, start).collect();
        let fitting = above.iter().rev().take_while(|label| {
            let cost = label.ids.len() + self.separator.len();
            left = left.saturating_sub(cost);
            left > 0
        });
        let count = fitting.count();
        above[above.len() - count..].to_vec()
    }

    fn above<'a>(&'a self, path: &'a Path, start: usize) -> impl Iterator<Item = &'a Label> {
        let labels = path.iter().map(|label| &**label);
        labels.filter(move |label| label.start < start && label.name != self.title.name)
    }
}

impl Label {
    fn new(start: usize, name: &str, tokenizer: &Tokenizer, limit: usize) -> Label {
        let name = name[..name.floor_char_boundary(MAX_NAME_BYTES)].trim();
        let mut tokens = tokenizer.encode(name);
        let end = tokens.offsets.get(limit).map_or(name.len(), |next| next.0 as usize);
        tokens.ids.truncate(limit);
        Label { start, name: name.to_owned(), shown: name[..end].trim_end().len(), ids: tokens.ids }
    }

    fn shown(&self) -> &str {
        &self.name[..self.shown]
    }
}
