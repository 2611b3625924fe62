//! Reads a `tokenizer.json` of the BERT kind, as the `tokenizers` crate writes it. What we would not do alike is refused.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::Exact;
use super::bert::Bert;
use super::word_piece::WordPiece;
use crate::models::LoadError;

/// A token that is looked for in the text as it is, before anything else.
#[derive(Debug, Deserialize)]
pub struct Added {
    pub id: u32,
    pub content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

/// What happens to text before it is cut into words.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Normalizer {
    pub clean_text: bool,
    pub handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    pub lowercase: bool,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<AnyNormalizer>,
    pre_tokenizer: Option<AnyPreTokenizer>,
    model: AnyModel,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum AnyNormalizer {
    BertNormalizer(Normalizer),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum AnyPreTokenizer {
    BertPreTokenizer,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum AnyModel {
    WordPiece(Model),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Model {
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

/// Reads what the file at `path` holds; its own truncation and padding do not count.
pub fn read(bytes: &[u8], path: &Path) -> Result<Exact, LoadError> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| LoadError::malformed(path, error.to_string()))?;
    let (
        Some(AnyNormalizer::BertNormalizer(normalizer)),
        Some(AnyPreTokenizer::BertPreTokenizer),
        AnyModel::WordPiece(model),
    ) = (file.normalizer, file.pre_tokenizer, file.model)
    else {
        return Err(LoadError::unsupported(path, "only BERT's normaliser, words and word pieces are known"));
    };
    if let Some(odd) = file.added_tokens.iter().find(|added| !added.is_plain()) {
        let detail = format!("its token {:?} is not simply looked for in the text", odd.content);
        return Err(LoadError::unsupported(path, detail));
    }
    let Some(unknown) = model.vocab.get(&model.unk_token).copied() else {
        return Err(LoadError::malformed(path, "its token for unknown words is not in the vocabulary"));
    };
    let words = WordPiece::new(&model.vocab, &model.continuing_subword_prefix, unknown, model.max_input_chars_per_word);
    let mut ids = model.vocab;
    ids.extend(file.added_tokens.iter().map(|added| (added.content.clone(), added.id)));
    Ok(Exact { bert: Bert::new(normalizer, words, file.added_tokens), ids })
}

impl Added {
    /// Texts are read in blocks that end at white space, and words end at punctuation: a token has to fit in.
    fn is_plain(&self) -> bool {
        let swallows = self.single_word || self.lstrip || self.rstrip || self.normalized;
        let fits =
            self.content.starts_with(|c: char| c.is_ascii_punctuation()) && !self.content.contains(char::is_whitespace);
        fits && !swallows
    }
}

impl Normalizer {
    /// As BERT's authors do it: accents go with capital letters unless the file says otherwise.
    pub fn strips_accents(&self) -> bool {
        self.strip_accents.unwrap_or(self.lowercase)
    }
}
