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
    check(answer, &merge(whole(&results)), &embedder(), &mut Vec::new()).await
}

fn reasons(verdict: &Verdict) -> Vec<(&str, Reason)> {
    verdict.unsupported.iter().map(|one| (one.text.as_str(), one.reason)).collect()
}

fn pairs() -> Vec<Pairs> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/support-pairs.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[derive(Debug, Default)]
struct Score {
    /// Rightly marked, wrongly marked, missed.
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Score {
    fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong) as f64
    }

    fn recall(&self) -> f64 {
        self.right as f64 / (self.right + self.missed) as f64
    }
}

/// How well sentences that are not borne are found in a part of the pairs. Without a `meaning`, by words alone.
async fn measured(part: &str, meaning: &dyn Embedder) -> Score {
    let mut score = Score::default();
    for pairs in pairs().iter().filter(|pairs| pairs.part == part) {
        let borne = pairs.borne.iter().map(|said| (said, true));
        for (said, borne) in borne.chain(pairs.not_borne.iter().map(|said| (said, false))) {
            let results = [chunk(1, 0, &pairs.passage)];
            let passages = merge(whole(&results));
            let verdict = check(&format!("{said} [1]"), &passages, meaning, &mut Vec::new()).await;
            match (verdict.unsupported.is_empty(), borne) {
                (false, false) => score.right += 1,
                (false, true) => score.wrong += 1,
                (true, false) => score.missed += 1,
                (true, true) => {}
            }
            if verdict.unsupported.is_empty() != borne {
                println!("{part}: {} {said}", if borne { "wrongly marked:" } else { "missed:" });
            }
        }
    }
    println!("{part}: {score:?}, precision {:.3}, recall {:.3}", score.precision(), score.recall());
    score
}

#[tokio::test]
async fn sentences_that_are_not_borne_are_found_and_hardly_any_others() {
    let embedder = embedder();
    for part in ["tune", "held_out"] {
        let score = measured(part, &embedder).await;
        assert!(score.precision() >= 0.90 && score.recall() >= 0.85, "{part}: {score:?}");
    }
}

#[tokio::test]
async fn each_citing_sentence_gets_the_sentence_that_bears_it_best() {
    let answer = "Meals cost 40 euros a day [2]. Hotels are booked early [2][1].";
    let passages = ["Nothing here.", "Hotels are booked early. Meals cost 40 euros a day."];
    let verdict = checked(answer, &passages).await;
    let quotes: Vec<_> = verdict.citations.iter().map(|citation| (citation.index, citation.quote.as_str())).collect();
    let expected = [(1, "Nothing here."), (2, "Meals cost 40 euros a day."), (2, "Hotels are booked early.")];
    assert_eq!((quotes.as_slice(), verdict.unsupported.as_slice()), (&expected[..], &[][..]));
}

#[tokio::test]
async fn what_cites_nothing_and_numbers_out_of_nowhere_are_marked_with_their_offsets() {
    let answer = "Grüße! Meals cost 45 euros a day [1]. Taxis are free of charge.";
    let verdict = checked(answer, &["Meals cost 40 euros a day."]).await;
    let expected = [
        ("Grüße! Meals cost 45 euros a day [1].", Reason::NumberNotFound),
        ("Taxis are free of charge.", Reason::CitesNothing),
    ];
    assert_eq!(reasons(&verdict), expected);
    for one in verdict.unsupported {
        let text: String = answer.chars().skip(one.start).take(one.end - one.start).collect();
        assert_eq!(text, one.text);
    }
}

#[test]
fn marks_belong_to_the_sentence_before_them() {
    let cites = |answer: &str| -> Vec<Vec<usize>> {
        claims(answer, Language::English).into_iter().map(|claim| claim.cites).collect()
    };
    assert_eq!(cites("One two three four. [1] Five six seven eight [2][2][3]."), [vec![1], vec![2, 3]]);
    assert_eq!(cites("[4] One two three four."), [vec![4]]);
    let list =
        "The rules of travel are [2]:\n- Take the train every time\n- Never fly on Sundays [1]\n\nThat is all of it.";
    assert_eq!(cites(list), [vec![2], vec![2], vec![1], vec![]]);
    assert!(cites("").is_empty());
}

#[test]
fn only_announcements_headings_and_questions_need_no_support() {
    let needs = |said: &str| states_something(said, Language::English);
    for said in ["Here is what I found:", "## Travel", "**The rules are:**", "Shall I look for more?"] {
        assert!(!needs(said), "{said}");
    }
    for said in
        ["Meals are free.", "There are 3 rules:", "Is it 5 euros?", "Here is what I found.", &"word ".repeat(20)]
    {
        assert!(needs(said), "{said}");
    }
}
