//! The headings of a document, and what a passage says about where it stands: the title, then the headings above it.

use crate::models::{Passage, Tokenizer};

/// Title and headings may take a quarter of a passage. They help to tell like from like, and must not drown the content.
const SHARE: usize = 4;

/// Between headings.
const SEPARATOR: &str = " > ";

/// The longest title or heading that is read, in bytes: names are short, and only a start of them is ever shown.
const MAX_NAME_BYTES: usize = 1024;

/// Title and headings with their tokens.
#[derive(Debug)]
pub struct Outline {
    title: Label,
    headings: Vec<Label>,
    separator: Vec<u32>,
    /// The most tokens that [`Outline::context`] has.
    budget: usize,
}

#[derive(Debug)]
struct Label {
    /// Where the heading stands in the text.
    start: usize,
    name: String,
    /// The start of the name that fits into half of the budget.
    shown: String,
    ids: Vec<u32>,
}

impl Outline {
    /// `headings` are names with the places where they start, ascending.
    pub fn new(title: &str, headings: &[(usize, String)], tokenizer: &Tokenizer, max_tokens: usize) -> Outline {
        let budget = max_tokens / SHARE;
        let label = |start, name: &str| Label::new(start, name, tokenizer, budget / 2);
        Outline {
            title: label(0, title),
            headings: headings.iter().map(|(start, name)| label(*start, name)).collect(),
            separator: tokenizer.encode(SEPARATOR).ids,
            budget,
        }
    }

    /// The names of a path.
    pub fn names(&self, path: &[usize]) -> Vec<String> {
        path.iter().map(|at| self.headings[*at].name.clone()).collect()
    }

    /// What comes before the content of a chunk that starts at `start`: the title, and as many of the headings above it
    /// as there is room for, the nearest first. Headings that are part of the content are not said twice.
    pub fn context(&self, path: &[usize], start: usize) -> Passage {
        let mut text = self.title.shown.clone();
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
            text.push_str(&label.shown);
            token_ids.extend_from_slice(&label.ids);
        }
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        Passage { text, token_ids }
    }

    /// No context of this path, or of a part of it, has more tokens.
    pub fn bound(&self, path: &[usize], start: usize) -> usize {
        let headings = self.above(path, start).map(|label| label.ids.len() + self.separator.len());
        (self.title.ids.len() + headings.sum::<usize>()).min(self.budget)
    }

    fn shown(&self, path: &[usize], start: usize) -> Vec<&Label> {
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

    fn above(&self, path: &[usize], start: usize) -> impl Iterator<Item = &Label> {
        let labels = path.iter().map(|at| &self.headings[*at]);
        labels.filter(move |label| label.start < start && label.name != self.title.name)
    }
}

impl Label {
    fn new(start: usize, name: &str, tokenizer: &Tokenizer, limit: usize) -> Label {
        let name = name[..name.floor_char_boundary(MAX_NAME_BYTES)].trim();
        let mut tokens = tokenizer.encode(name);
        let end = tokens.offsets.get(limit).map_or(name.len(), |next| next.0 as usize);
        tokens.ids.truncate(limit);
        Label { start, name: name.to_owned(), shown: name[..end].trim_end().to_owned(), ids: tokens.ids }
    }
}
