//! What the check finds, and how often it is right on `fixtures/support-pairs.json`: sentences that a passage of our own
//! documents bears or not. Thresholds were set on the part `tune` and hold on the other.

use std::path::Path;

use serde::Deserialize;

use super::*;
use crate::{
    answer::passages::{merge, tests::chunk, whole},
    models::local::LocalEmbedder,
};

#[derive(Deserialize)]
struct Pairs {
    part: String,
    passage: String,
    borne: Vec<String>,
    not_borne: Vec<String>,
}

fn embedder() -> LocalEmbedder {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/almanac");
    let cache = std::env::var_os("ALMANAC_CACHE").map_or(root, Into::into);
    LocalEmbedder::load(&cache.join("embedding"), 1).expect("run `make setup` first")
}

async fn checked(answer: &str, passages: &[&str]) -> Verdict {
    let results: Vec<_> = (1..).zip(passages).map(|(number, text)| chunk(number, 0, text)).collect();
    check(answer, &merge(whole(&results)), Language::English, &embedder(), &mut Vec::new()).await
}

fn reasons(verdict: &Verdict) -> Vec<(&str, Reason)> {
    verdict.unsupported.iter().map(|one| (one.text.as_str(), one.reason)).collect()
}

#[tokio::test]
async fn thresholds() {
    let pairs: Vec<Pairs> = serde_json::from_slice(
        &std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/support-pairs.json")).unwrap(),
    )
    .unwrap();
    let embedder = embedder();
    for pair in &pairs {
        let results = [chunk(1, 0, &pair.passage)];
        let passages = merge(whole(&results));
        let sources: Vec<Source<'_>> = passages.iter().map(|passage| Source::read(passage, Language::English)).collect();
        for (borne, said) in pair.borne.iter().map(|s| (true, s)).chain(pair.not_borne.iter().map(|s| (false, s))) {
            let claim = claims(&format!("{said} [1]")).remove(0);
            let r = Reading::of(claim, &sources, Language::English);
            let (words, numbers) = (r.shared, r.numbers_found);
            let mut all = vec![said.clone()];
            all.extend((0..sources[0].sentences.len()).map(|i| sources[0].text(i).to_owned()));
            let v = vectors(&embedder, all).await.unwrap();
            let m = v[1..].iter().map(|x| cosine(x, &v[0])).fold(0.0, f32::max);
            println!("DATA\t{}\t{}\t{}\t{words:.3}\t{m:.3}\t{said}", pair.part, borne, numbers);
        }
    }
}
