//! How much of what one text says, by its words, another one says.

use std::collections::BTreeSet;

use crate::lexemes::{self, Language};

/// The different lexemes of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Words(BTreeSet<String>);

impl Words {
    pub fn of(text: &str, language: Language) -> Words {
        Words(lexemes::lexemes(text, language).into_keys().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The share of these words that `others` have, 0 to 1.
    pub fn share_in(&self, others: &Words) -> f32 {
        self.0.intersection(&others.0).count() as f32 / self.0.len().max(1) as f32
    }

    /// What both have of what either has, 0 to 1 (Jaccard).
    pub fn likeness(&self, others: &Words) -> f32 {
        let either = self.0.union(&others.0).count();
        self.0.intersection(&others.0).count() as f32 / either.max(1) as f32
    }

    pub fn add(&mut self, others: &Words) {
        self.0.extend(others.0.iter().cloned());
    }
}
