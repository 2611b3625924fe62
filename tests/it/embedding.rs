//! The local model against its reference: `fixtures/embedding/golden.json` holds what sentence-transformers says.
//!
//! The model lies in `ALMANAC_EMBEDDING_DIR`, or where `make setup` puts it.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use almanac::models::local::LocalEmbedder;
use almanac::models::{Embedder, LoadError, ModelError, Passage, Tokenizer};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::join_all;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    window: usize,
    texts: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    text: String,
    vector: String,
}

static MODEL: LazyLock<LocalEmbedder> =
    LazyLock::new(|| LocalEmbedder::load(&model_dir(), 2).expect("run `make setup` to fetch the embedding model"));

static GOLDEN: LazyLock<Golden> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../fixtures/embedding/golden.json")).expect("golden.json"));

fn model_dir() -> PathBuf {
    let cache = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/almanac/embedding"));
    let dir = std::env::var_os("ALMANAC_EMBEDDING_DIR").map_or_else(cache, PathBuf::from);
    assert!(dir.join("config.json").exists(), "no model in {}: run `make setup` to fetch it", dir.display());
    dir
}

fn passage(text: &str) -> Passage {
    Passage { text: text.to_owned(), token_ids: MODEL.tokenizer().encode(text).ids }
}

fn wanted(entry: &Entry) -> Vec<f32> {
    let bytes = BASE64_STANDARD.decode(&entry.vector).expect("base64");
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test]
async fn every_question_has_the_vector_of_the_reference() {
    assert!(GOLDEN.texts.len() >= 100);
    let mut worst: f64 = 1.0;
    for entry in &GOLDEN.texts {
        let vector = MODEL.embed_query(&entry.text).await.expect("a vector");
        let near = cosine(&vector, &wanted(entry));
        assert!(near > 0.9999, "{near} for {:?}", entry.text);
        worst = worst.min(near);
    }
    println!("the worst cosine of {} texts is 1 - {:.1e}", GOLDEN.texts.len(), 1.0 - worst);
}

#[tokio::test]
async fn documents_in_one_call_have_the_vectors_of_the_reference_in_order() {
    let fits = |entry: &&Entry| MODEL.tokenizer().count(&entry.text) <= MODEL.window();
    let entries: Vec<&Entry> = GOLDEN.texts.iter().filter(fits).collect();
    let passages = entries.iter().map(|entry| passage(&entry.text)).collect();
    let vectors = MODEL.embed_documents(passages).await.expect("vectors");
    assert_eq!(vectors.len(), entries.len());
    for (vector, entry) in vectors.iter().zip(entries) {
        assert!(cosine(vector, &wanted(entry)) > 0.9999, "{:?}", entry.text);
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-5, "length {length}");
    }
}

#[tokio::test]
async fn the_window_is_the_models_and_the_name_holds_a_fingerprint() {
    assert_eq!(MODEL.window() + 2, GOLDEN.window);
    assert_eq!(MODEL.dimensions(), 384);
    let (_, fingerprint) = MODEL.name().split_once('@').expect("a fingerprint");
    assert!(fingerprint.len() == 12 && fingerprint.chars().all(|c| c.is_ascii_hexdigit()), "{}", MODEL.name());
}

#[tokio::test]
async fn a_passage_longer_than_the_window_is_refused_and_never_cut() {
    let long = Passage { text: String::new(), token_ids: vec![1996; MODEL.window() + 1] };
    let error = MODEL.embed_documents(vec![passage("short"), long]).await.expect_err("too long");
    assert!(matches!(error, ModelError::Shorten(_)), "{error}");
}

#[tokio::test]
async fn a_token_that_the_model_does_not_know_is_an_error() {
    let strange = Passage { text: String::new(), token_ids: vec![30_522] };
    let error = MODEL.embed_documents(vec![strange]).await.expect_err("unknown");
    assert!(matches!(error, ModelError::GiveUp(_)), "{error}");
}

#[tokio::test]
async fn no_passages_give_no_vectors() {
    assert!(MODEL.embed_documents(Vec::new()).await.expect("nothing").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_does_not_wait_for_the_documents_before_it() {
    let embedder = LocalEmbedder::load(&model_dir(), 1).expect("the model");
    let documents = vec![Passage { text: String::new(), token_ids: vec![1996; 254] }; 24];
    let start = Instant::now();
    let ingestion = async { (embedder.embed_documents(documents).await.expect("vectors"), start.elapsed()).1 };
    let question = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let asked = Instant::now();
        embedder.embed_query("where is the pump?").await.expect("a vector");
        asked.elapsed()
    };
    let (all, one) = tokio::join!(ingestion, question);
    assert!(one < all / 3, "the question took {one:?} and all documents {all:?}");
}

#[tokio::test]
async fn an_ingestion_that_is_given_up_leaves_the_workers_free() {
    let documents = vec![Passage { text: String::new(), token_ids: vec![1996; 254] }; 2_000];
    let given_up = tokio::time::timeout(Duration::from_millis(50), MODEL.embed_documents(documents)).await;
    assert!(given_up.is_err());
    let vectors = MODEL.embed_documents(vec![passage("after")]).await.expect("vectors");
    assert_eq!(vectors.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_each_get_their_own_vectors() {
    let texts: Vec<String> = (0..64).map(|i| format!("the number {i} and its {} neighbours", i * i)).collect();
    let together = join_all(texts.iter().map(|text| MODEL.embed_query(text))).await;
    for (text, vector) in texts.iter().zip(together) {
        let alone = MODEL.embed_documents(vec![passage(text)]).await.expect("vectors");
        assert!(cosine(&vector.expect("a vector"), &alone[0]) > 0.999_999, "{text}");
    }
}

#[test]
fn offsets_refer_to_the_text_as_it_was_given() {
    let text = "  Größe cafe\u{301} İstanbul 漢字\u{1}🙂!";
    let tokens = MODEL.tokenizer().encode(text);
    let slices: Vec<&str> = tokens.offsets.iter().map(|(start, end)| &text[*start as usize..*end as usize]).collect();
    insta::assert_debug_snapshot!(slices, @r#"
    [
        "Gr",
        "ö",
        "ße",
        "cafe",
        "İstanbul",
        "漢",
        "字",
        "🙂",
        "!",
    ]
    "#);
}

#[test]
fn ten_megabytes_are_encoded_in_a_time_that_grows_with_the_length() {
    let tokenizer = MODEL.tokenizer();
    let time = |text: &str| {
        let start = Instant::now();
        assert!(!tokenizer.encode(text).ids.is_empty());
        start.elapsed().as_secs_f64()
    };
    let line = "The pump's Wärmetauscher, part 漢-17, is due for maintenance.\n";
    for (unit, bytes) in [(line, 10_000_000), ("unbroken", 10_000_000), ("漢字", 4_000_000)] {
        let short = time(&unit.repeat(bytes / 20 / unit.len()));
        let long = time(&unit.repeat(bytes / unit.len()));
        // Twenty times the length: a cost that grew with its square would be four hundred times as high.
        assert!(long < 150.0 * short, "{unit:?}: {short:.3} s and, twenty times as long, {long:.3} s");
    }
}

#[test]
fn literal_texts_are_counted_as_they_are_encoded() {
    for entry in &GOLDEN.texts {
        let tokens = MODEL.tokenizer().encode(&entry.text);
        assert_eq!(tokens.ids.len(), MODEL.tokenizer().count(&entry.text));
        assert_eq!(tokens.ids.len(), tokens.offsets.len());
        assert!(tokens.offsets.is_sorted(), "{:?}", entry.text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_text_in_blocks_has_the_tokens_of_its_words(words in prop::collection::vec("\\PC{1,12}", 1..40), times in 1..200usize) {
        let tokenizer = MODEL.tokenizer();
        let line = words.join(" ") + "\n";
        let once = tokenizer.encode(&line).ids;
        let many = tokenizer.encode(&line.repeat(times)).ids;
        prop_assert_eq!(many, once.repeat(times));
    }

    #[test]
    fn offsets_lie_on_character_boundaries(text in "\\PC{0,200}") {
        for (start, end) in MODEL.tokenizer().encode(&text).offsets {
            prop_assert!(text.get(start as usize..end as usize).is_some());
        }
    }
}

#[test]
fn a_folder_that_is_no_model_is_a_typed_failure() {
    let nothing = LocalEmbedder::load(&PathBuf::from("/nowhere"), 1).expect_err("no folder");
    assert!(matches!(nothing, LoadError::Unreadable { .. }), "{nothing}");
    assert!(matches!(Tokenizer::load(&model_dir().join("config.json")), Err(LoadError::Malformed { .. })));
}
