//! Nearly equal texts: the resemblance of Broder ("On the resemblance and containment of documents", 1997), which is the
//! share of runs of words that two texts have in common.

use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use unicode_segmentation::UnicodeSegmentation;

/// Words in a run.
const RUN: usize = 3;
/// A text with so many of its runs in common with another says nothing new.
const NEARLY_EQUAL: f64 = 0.8;

/// The runs of a text, hashed.
pub struct Runs(HashSet<u64>);

impl Runs {
    pub fn of(text: &str) -> Runs {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let words: Vec<String> = text.unicode_words().map(str::to_lowercase).collect();
        // A text that is shorter than a run is one.
        Runs(words.windows(RUN.min(words.len().max(1))).map(|run| hasher.hash_one(run)).collect())
    }

    pub fn nearly_equal(&self, other: &Runs) -> bool {
        let (fewer, more) = if self.0.len() < other.0.len() { (&self.0, &other.0) } else { (&other.0, &self.0) };
        // Sets of such different sizes cannot have enough in common.
        if (fewer.len() as f64) < NEARLY_EQUAL * more.len() as f64 {
            return false;
        }
        let shared = fewer.iter().filter(|run| more.contains(run)).count();
        shared as f64 >= NEARLY_EQUAL * (fewer.len() + more.len() - shared) as f64 && shared > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearly_equal(a: &str, b: &str) -> bool {
        Runs::of(a).nearly_equal(&Runs::of(b))
    }

    #[test]
    fn copies_with_other_punctuation_or_a_changed_word_are_nearly_equal() {
        let text = "The warranty of the station lasts sixty months from the day of delivery, unless the seal was broken by \
                    somebody other than our own service, in which case it ends on that day and nothing is refunded.";
        assert!(nearly_equal(text, &text.to_uppercase().replace(',', " -")));
        assert!(nearly_equal(text, &text.replace("refunded", "repaid")));
        assert!(!nearly_equal(
            text,
            &text.replace("sixty months", "a year").replace("delivery", "sale").replace("seal", "lid")
        ));
        assert!(!nearly_equal(text, "The warranty of the station"));
    }

    #[test]
    fn short_and_empty_texts_are_equal_to_themselves_alone() {
        assert!(nearly_equal("Yes.", "yes") && !nearly_equal("Yes.", "no") && !nearly_equal("", ""));
    }
}
