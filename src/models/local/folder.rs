//! Reads a model folder as sentence-transformers lays it out, and checks that it is a model we compute rightly.
//!
//! `config.json`, `model.safetensors` and `tokenizer.json` must be there; `sentence_bert_config.json` (window),
//! `1_Pooling/config.json` (pooling) and `config_sentence_transformers.json` (prompts) count when they are. What we do
//! not compute (other architectures, activations, poolings, number formats) is refused, never approximated.

use std::fs::{self, File};
use std::path::Path;

use memmap2::Mmap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::bert::{Bert, Pooling, Sizes};
use super::{weights, words};
use crate::models::{LoadError, Tokenizer};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const TOKENIZER: &str = "tokenizer.json";
const POOLING: &str = "1_Pooling/config.json";

/// Hexadecimal digits of the fingerprint in a model's name: 48 bits tell any two models of an installation apart.
const FINGERPRINT_DIGITS: usize = 12;

/// What a model folder holds.
pub struct Folder {
    /// The base model's name and a fingerprint of everything that decides a vector.
    pub name: String,
    pub bert: Bert,
    pub tokenizer: Tokenizer,
    /// The most tokens of a sequence, special tokens counted.
    pub window: usize,
    pub prompts: Prompts,
}

/// What the model was trained to read before a text.
#[derive(Default, Deserialize)]
pub struct Prompts {
    #[serde(default)]
    pub query: String,
    #[serde(default, alias = "passage")]
    pub document: String,
}

#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(default = "bert_epsilon")]
    layer_norm_eps: f32,
    #[serde(default, rename = "_name_or_path")]
    name: String,
}

#[derive(Deserialize)]
struct SentenceBert {
    max_seq_length: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingModes {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

#[derive(Default, Deserialize)]
struct SentenceTransformers {
    #[serde(default)]
    prompts: Prompts,
}

/// Reads the folder at `dir`.
pub fn read(dir: &Path) -> Result<Folder, LoadError> {
    let config: Config = required(&dir.join(CONFIG))?;
    let pooling = pooling(&dir.join(POOLING))?;
    let sizes = config.sizes(&dir.join(CONFIG))?;
    let weights = dir.join(WEIGHTS);
    let bert = weights::read(&weights, map(&weights)?, sizes, config.layer_norm_eps, pooling)?;
    let tokenizer = Tokenizer::load(&dir.join(TOKENIZER))?;
    if tokenizer.largest_id().is_some_and(|id| id as usize >= bert.words.count()) {
        return Err(LoadError::malformed(&dir.join(TOKENIZER), "it has more tokens than the model has embeddings"));
    }
    Ok(Folder {
        name: name(dir, &config.name)?,
        window: window(dir, sizes.positions)?,
        prompts: optional::<SentenceTransformers>(&dir.join("config_sentence_transformers.json"))?
            .unwrap_or_default()
            .prompts,
        bert,
        tokenizer,
    })
}

impl Config {
    fn sizes(&self, path: &Path) -> Result<Sizes, LoadError> {
        let expected = [
            ("model_type", self.model_type.as_str(), "bert"),
            ("hidden_act", self.hidden_act.as_str(), "gelu"),
            ("position_embedding_type", self.position_embedding_type.as_str(), "absolute"),
        ];
        if let Some((field, found, known)) = expected.into_iter().find(|(_, found, known)| found != known) {
            return Err(LoadError::unsupported(path, format!("{field} is {found}, and only {known} is known")));
        }
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        if hidden == 0 || heads == 0 || !hidden.is_multiple_of(heads) || self.intermediate_size == 0 {
            return Err(LoadError::malformed(path, format!("{hidden} numbers cannot be shared by {heads} heads")));
        }
        Ok(Sizes {
            hidden,
            heads,
            intermediate: self.intermediate_size,
            layers: self.num_hidden_layers,
            positions: self.max_position_embeddings,
        })
    }
}

fn pooling(path: &Path) -> Result<Pooling, LoadError> {
    let Some(modes) = optional::<PoolingModes>(path)? else { return Ok(Pooling::Mean) };
    let others = modes.pooling_mode_max_tokens
        || modes.pooling_mode_mean_sqrt_len_tokens
        || modes.pooling_mode_weightedmean_tokens
        || modes.pooling_mode_lasttoken;
    match (modes.pooling_mode_mean_tokens, modes.pooling_mode_cls_token, others) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::FirstToken),
        _ => Err(LoadError::unsupported(path, "only the mean of all tokens or the first token alone is known")),
    }
}

fn window(dir: &Path, positions: usize) -> Result<usize, LoadError> {
    let stated = optional::<SentenceBert>(&dir.join("sentence_bert_config.json"))?;
    Ok(stated.and_then(|stated| stated.max_seq_length).unwrap_or(positions).min(positions))
}

fn name(dir: &Path, base: &str) -> Result<String, LoadError> {
    let mut hash = Sha256::new();
    for path in [CONFIG, POOLING, WEIGHTS, TOKENIZER].map(|file| dir.join(file)).iter().filter(|path| path.exists()) {
        hash.update(map(path)?);
    }
    let fingerprint = hex::encode(hash.finalize());
    let base = base.rsplit('/').next().filter(|base| !base.is_empty()).unwrap_or("bert");
    Ok(format!("{base}@{}", &fingerprint[..FINGERPRINT_DIGITS]))
}

fn map(path: &Path) -> Result<Mmap, LoadError> {
    File::open(path).and_then(|file| words::map(&file)).map_err(|error| LoadError::unreadable(path, error))
}

fn required<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let bytes = fs::read(path).map_err(|error| LoadError::unreadable(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| LoadError::malformed(path, error.to_string()))
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LoadError> {
    if path.exists() { required(path).map(Some) } else { Ok(None) }
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

fn bert_epsilon() -> f32 {
    1e-12
}
