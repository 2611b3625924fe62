//! The languages whose words can be stemmed, by Snowball (snowballstem.org).

use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The language of a knowledge base; it decides stems and stop words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Arabic,
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
    pub(super) fn stem(self, word: &str) -> String {
        match self.algorithm() {
            Some(algorithm) => Stemmer::create(algorithm).stem(word).into_owned(),
            None => word.to_owned(),
        }
    }

    fn algorithm(self) -> Option<Algorithm> {
        match self {
            Language::Simple => None,
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
