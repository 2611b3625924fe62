//! What an evaluation found: scores of every question in every mode, their means with confidence intervals, and what the
//! modes differ by. As a table for people and as JSON for programs.

mod json;
mod text;

use super::{
    ask::{Answer, Mode},
    expected::Judged,
    floor::Floor,
    knowledge_base::KnowledgeBase,
    metrics::{Graded, Metric, percentile},
    tune::Tuned,
};
use crate::cli::eval::bootstrap::{Estimate, Resampling};

pub struct Report {
    pub collection: String,
    pub knowledge_base: KnowledgeBase,
    /// Whether it is still there afterwards.
    pub kept: bool,
    pub resampling: Resampling,
    pub metrics: Vec<Metric>,
    pub counts: Counts,
    pub questions: Vec<Judged>,
    pub modes: Vec<Measured>,
    pub differences: Vec<Difference>,
    pub floors: Vec<Floor>,
    pub tuned: Option<Tuned>,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub indexed: usize,
    pub failed: usize,
    /// In a corpus: with nothing to upload, and with the text of another.
    pub without_text: usize,
    pub same_as_another: usize,
    /// Judged, but not among the questions.
    pub questions_without_text: usize,
    /// Relevant documents that are not there.
    pub missing_documents: usize,
}

/// One mode. What is by question is in the order of the questions.
pub struct Measured {
    pub mode: Mode,
    pub answers: Vec<Answer>,
    /// By metric, then by question.
    pub scores: Vec<Vec<f64>>,
    /// By metric.
    pub estimates: Vec<Estimate>,
}

/// Hybrid over another mode, by metric.
pub struct Difference {
    pub than: Mode,
    pub estimates: Vec<Estimate>,
}

impl Measured {
    pub fn new(mode: Mode, answers: Vec<Answer>, questions: &[Judged], metrics: &[Metric]) -> Measured {
        let graded = questions.iter().zip(&answers).map(|(question, answer)| question.graded(answer.ranking()));
        let graded: Vec<Graded> = graded.collect();
        let scores = metrics.iter().map(|metric| graded.iter().map(|graded| graded.score(*metric)).collect()).collect();
        Measured { mode, answers, scores, estimates: Vec::new() }
    }

    pub fn degraded(&self) -> usize {
        self.answers.iter().filter(|answer| !answer.degraded.is_empty()).count()
    }

    pub fn latency_ms(&self, share: f64) -> f64 {
        let all: Vec<f64> = self.answers.iter().map(Answer::latency_ms).collect();
        percentile(&all, share)
    }
}

/// Estimates every mean, and every difference between hybrid and another mode, from the same draws of questions.
pub fn estimate(modes: &mut [Measured], metrics: usize, resampling: Resampling) -> Vec<Difference> {
    let mut series: Vec<Vec<f64>> = modes.iter().flat_map(|measured| measured.scores.clone()).collect();
    let hybrid = modes.iter().find(|measured| measured.mode == Mode::Hybrid);
    let others = modes.iter().filter(|measured| measured.mode != Mode::Hybrid);
    let pairs: Vec<_> =
        hybrid.into_iter().flat_map(|hybrid| others.clone().map(move |other| (hybrid, other))).collect();
    let compared: Vec<Mode> = pairs.iter().map(|(_, other)| other.mode).collect();
    for (hybrid, other) in pairs {
        series.extend(hybrid.scores.iter().zip(&other.scores).map(|(one, other)| differences(one, other)));
    }
    let mut estimates = resampling.estimates(&series).into_iter();
    let mut next = || estimates.by_ref().take(metrics).collect::<Vec<Estimate>>();
    for measured in modes {
        measured.estimates = next();
    }
    compared.into_iter().map(|than| Difference { than, estimates: next() }).collect()
}

fn differences(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one - other).collect()
}

impl Report {
    /// The floors that were missed, each with what was measured instead.
    pub fn missed(&self) -> impl Iterator<Item = (&Floor, f64)> {
        let measured = self.floors.iter().filter_map(|floor| Some((floor, self.mean(floor.mode, floor.metric)?)));
        measured.filter(|(floor, mean)| *mean < floor.value)
    }

    fn mean(&self, mode: Mode, metric: Metric) -> Option<f64> {
        let place = self.metrics.iter().position(|measured| *measured == metric)?;
        let measured = self.modes.iter().find(|measured| measured.mode == mode)?;
        measured.estimates.get(place).map(|estimate| estimate.mean)
    }

    pub fn is_failure(&self) -> bool {
        self.counts.failed > 0 || self.missed().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::eval::retrieval::expected::{Document, Expected};

    const METRICS: [Metric; 2] = [Metric::Ndcg, Metric::Recall(100)];
    const RESAMPLING: Resampling = Resampling { times: 2_000, seed: 1 };

    fn document(id: &str) -> Document {
        Document { id: id.to_owned(), title: format!("Title of {id}") }
    }

    fn question(answer: &str) -> Judged {
        let expected = vec![Expected { name: answer.to_owned(), grade: 1, document: Some(document(answer)) }];
        Judged { id: format!("q{answer}"), text: format!("Where is {answer}?"), expected }
    }

    fn answer(found: &[&str]) -> Answer {
        let found = found.iter().map(|id| document(id)).collect();
        Answer { found, latency: Duration::from_millis(5), degraded: Vec::new() }
    }

    /// Two questions: hybrid finds both at once, text one of them.
    pub fn report(floors: &[&str]) -> Report {
        let questions = vec![question("a"), question("b")];
        let hybrid = vec![answer(&["a"]), answer(&["b", "a"])];
        let text = vec![answer(&["a", "b"]), answer(&[])];
        let mut modes = vec![
            Measured::new(Mode::Hybrid, hybrid, &questions, &METRICS),
            Measured::new(Mode::Text, text, &questions, &METRICS),
        ];
        let differences = estimate(&mut modes, METRICS.len(), RESAMPLING);
        Report {
            collection: "two".to_owned(),
            knowledge_base: KnowledgeBase {
                id: "id".to_owned(),
                name: "name".to_owned(),
                embedding_model: "model".to_owned(),
                fusion_weight: 0.5,
            },
            kept: true,
            resampling: RESAMPLING,
            metrics: METRICS.to_vec(),
            counts: Counts { indexed: 2, ..Counts::default() },
            questions,
            modes,
            differences,
            floors: floors.iter().map(|floor| floor.parse().unwrap()).collect(),
            tuned: None,
        }
    }

    #[test]
    fn a_question_that_finds_nothing_counts_as_zero() {
        let report = report(&[]);
        let means: Vec<f64> = report.modes.iter().map(|mode| mode.estimates[0].mean).collect();
        assert_eq!(means, [1.0, 0.5]);
        assert_eq!(report.differences[0].estimates[0].mean, 0.5);
        assert_eq!(report.differences[0].than, Mode::Text);
    }

    #[test]
    fn floors_are_missed_only_from_below() {
        let missed = |floors: &[&str]| {
            report(floors).missed().map(|(floor, mean)| (floor.to_string(), mean)).collect::<Vec<_>>()
        };
        assert!(missed(&["ndcg@10=1", "text:ndcg@10=0.5"]).is_empty());
        assert_eq!(missed(&["ndcg@10=1", "text:recall@100=0.6"]), [("text:recall@100=0.6".to_owned(), 0.5)]);
    }

    #[test]
    fn the_text_shows_every_mode_and_why_a_floor_was_missed() {
        let report = report(&["text:ndcg@10=0.75"]);
        let text = report.text(1).join("\n");
        assert!(text.contains("hybrid") && text.contains("1.000 (1.000 to 1.000)"), "{text}");
        assert!(text.contains("hybrid − text"), "{text}");
        assert!(text.contains("missed  text:ndcg@10=0.75: it is 0.5000, 0.2500 too low"), "{text}");
        assert!(text.contains("1.000  qa  Where is a?") && !text.contains("Where is b?"), "{text}");
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let json = report(&["text:ndcg@10=0.75"]).json();
        assert_eq!(json["format"], "almanac.eval.retrieval/1");
        assert_eq!(json["modes"]["hybrid"]["metrics"]["ndcg@10"]["mean"], 1.0);
        assert_eq!(json["differences"]["hybrid-text"]["recall@100"]["mean"], 0.5);
        assert_eq!(json["floors"][0]["met"], false);
        assert_eq!(json["questions"][1]["modes"]["text"]["ndcg@10"], 0.0);
        assert_eq!(json["questions"][0]["expected"][0]["document_id"], "a");
        assert_eq!(json["questions"][1]["modes"]["hybrid"]["found"][1]["title"], "Title of a");
    }
}
