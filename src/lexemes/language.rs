//! The languages that full text knows. Snowball stems their words (snowballstem.org), but for those that have no stems to
//! cut: [`Language::Simple`], and Chinese, Japanese and Korean, whose text becomes pairs of characters in any language.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The language of a text; it decides stems and stop words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Arabic,
    /// No stems and no stop words, as for Japanese and Korean: Latin words in their texts are mostly names.
    Chinese,
    Danish,
    Dutch,
    #[default]
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Japanese,
    Korean,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    /// No stems and no stop words: for other languages, and for text of many.
    Simple,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

impl Language {
    /// Its name in JSON, settings and the store.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn from_name(name: &str) -> Option<Language> {
        serde_json::from_value(name.into()).ok()
    }

    /// The stem of a lower-case word.
    pub(super) fn stem(self, word: Cow<'_, str>) -> Cow<'_, str> {
        match (self.algorithm(), word) {
            (None, word) => word,
            (Some(algorithm), Cow::Borrowed(word)) => Stemmer::create(algorithm).stem(word),
            (Some(algorithm), Cow::Owned(word)) => Cow::Owned(Stemmer::create(algorithm).stem(&word).into_owned()),
        }
    }

    fn algorithm(self) -> Option<Algorithm> {
        match self {
            Language::Simple | Language::Chinese | Language::Japanese | Language::Korean => None,
            Language::Arabic => Some(Algorithm::Arabic),
            Language::Danish => Some(Algorithm::Danish),
            Language::Dutch => Some(Algorithm::Dutch),
            Language::English => Some(Algorithm::English),
            Language::Finnish => Some(Algorithm::Finnish),
            Language::French => Some(Algorithm::French),
            Language::German => Some(Algorithm::German),
            Language::Greek => Some(Algorithm::Greek),
            Language::Hungarian => Some(Algorithm::Hungarian),
            Language::Italian => Some(Algorithm::Italian),
            Language::Norwegian => Some(Algorithm::Norwegian),
            Language::Portuguese => Some(Algorithm::Portuguese),
            Language::Romanian => Some(Algorithm::Romanian),
            Language::Russian => Some(Algorithm::Russian),
            Language::Spanish => Some(Algorithm::Spanish),
            Language::Swedish => Some(Algorithm::Swedish),
            Language::Tamil => Some(Algorithm::Tamil),
            Language::Turkish => Some(Algorithm::Turkish),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_known_by_its_name_in_lower_case() {
        for (language, name) in [
            (Language::Chinese, "chinese"),
            (Language::Japanese, "japanese"),
            (Language::Korean, "korean"),
            (Language::English, "english"),
            (Language::Simple, "simple"),
        ] {
            assert_eq!(language.name(), name);
            assert_eq!(Language::from_name(name), Some(language));
            assert_eq!(serde_json::to_value(language).unwrap(), name);
        }
        assert_eq!(Language::from_name("Klingon"), None);
    }

    #[test]
    fn languages_of_characters_have_no_stems() {
        assert_eq!(Language::Chinese.stem("wings".into()), "wings");
        assert_eq!(Language::English.stem("wings".into()), "wing");
    }
}
