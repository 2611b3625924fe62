//! The report for people: tables, floors, and the questions that lose most.

use super::{Difference, Measured, Report};
use crate::cli::{
    eval::{
        bootstrap::{Estimate, mean},
        retrieval::{
            ask::{Answer, Mode},
            expected::{Expected, Judged},
            metrics::Metric,
            tune::Tuned,
        },
    },
    table,
};

/// Documents that are shown of what a question found.
const FOUND: usize = 5;
/// Of a question and of a title.
const SHOWN: usize = 100;

impl Report {
    /// Everything, with the `worst` questions.
    pub fn text(&self, worst: usize) -> Vec<String> {
        let mut lines = vec![self.heading(), String::new()];
        lines.extend(self.means());
        if !self.differences.is_empty() {
            lines.push(String::new());
            lines.extend(self.compared());
        }
        lines.push(String::new());
        lines.push(format!(
            "In brackets: 95 % confidence intervals, bootstrap over questions (Efron), {} resamples.",
            self.resampling.times
        ));
        lines.extend(self.remarks());
        lines.extend(self.tuned.iter().flat_map(Tuned::text));
        lines.extend(self.worst(worst));
        lines.extend(
            self.missed()
                .map(|(floor, mean)| format!("missed  {floor}: it is {mean:.4}, {:.4} too low", floor.value - mean)),
        );
        lines
    }

    fn heading(&self) -> String {
        let (questions, base) = (self.questions.len(), &self.knowledge_base);
        let model = &base.embedding_model;
        format!("{}: {questions} questions to {} documents, {model}", self.collection, self.counts.indexed)
    }

    fn means(&self) -> Vec<String> {
        let mut names = vec!["mode".to_owned()];
        names.extend(self.metrics.iter().map(|metric| shown_metric(*metric)));
        names.extend(["p50 ms", "p95 ms", "degraded"].map(str::to_owned));
        let rows: Vec<Vec<String>> = self.modes.iter().map(Measured::row).collect();
        table::lines(&names.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
    }

    fn compared(&self) -> Vec<String> {
        let mut names = vec!["difference".to_owned()];
        names.extend(self.metrics.iter().map(|metric| shown_metric(*metric)));
        let rows: Vec<Vec<String>> = self.differences.iter().map(Difference::row).collect();
        table::lines(&names.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
    }

    /// What makes the numbers mean something else than one would think.
    fn remarks(&self) -> Vec<String> {
        let counts = &self.counts;
        let degraded: usize = self.modes.iter().map(Measured::degraded).sum();
        let remarks = [
            (counts.failed, "Failed documents, which the numbers are without"),
            (counts.without_text, "Documents of the corpus without text, which cannot be found"),
            (counts.same_as_another, "Documents with the text of an earlier one, which count as that one"),
            (counts.missing_documents, "Expected documents that are missing, and count as not found"),
            (counts.questions_without_text, "Judged questions without text, which were not asked"),
            (degraded, "Degraded searches, so that the mode measured is not the mode named"),
        ];
        let shown = remarks.into_iter().filter(|(number, _)| *number > 0);
        let mut lines: Vec<String> = shown.map(|(number, remark)| format!("{remark}: {number}.")).collect();
        lines.extend(self.first_reason().map(|reason| format!("The first reason: {reason}")));
        lines
    }

    fn first_reason(&self) -> Option<&str> {
        let mut answers = self.modes.iter().flat_map(|measured| &measured.answers);
        answers.find_map(|answer| answer.degraded.first()).map(String::as_str)
    }

    /// The questions with the least nDCG@10, in hybrid mode if that was measured.
    fn worst(&self, number: usize) -> Vec<String> {
        let hybrid = self.modes.iter().find(|measured| measured.mode == Mode::Hybrid);
        let Some(measured) = hybrid.or(self.modes.first()).filter(|_| number > 0) else { return Vec::new() };
        let scores = measured.scores.first().into_iter().flatten();
        let mut rows: Vec<_> = scores.zip(self.questions.iter().zip(&measured.answers)).collect();
        rows.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut lines = vec![String::new(), format!("Questions that lose most, {} (nDCG@10):", measured.mode)];
        for (score, (question, answer)) in rows.into_iter().take(number) {
            lines.push(String::new());
            lines.push(format!("{score:.3}  {}  {}", question.id, short(&question.text)));
            lines.extend(question.explained(answer));
        }
        lines.push(String::new());
        lines
    }
}

impl Measured {
    fn row(&self) -> Vec<String> {
        let mut row = vec![self.mode.to_string()];
        row.extend(self.estimates.iter().map(|estimate| {
            let Estimate { mean, low, high } = estimate;
            format!("{mean:.3} ({low:.3} to {high:.3})")
        }));
        row.extend([0.5, 0.95].map(|share| format!("{:.1}", self.latency_ms(share))));
        row.push(self.degraded().to_string());
        row
    }
}

impl Difference {
    fn row(&self) -> Vec<String> {
        let mut row = vec![format!("hybrid − {}", self.than)];
        row.extend(self.estimates.iter().map(signed));
        row
    }
}

impl Judged {
    /// What was expected, and what was found instead.
    fn explained(&self, answer: &Answer) -> Vec<String> {
        let relevant = self.expected.iter().filter(|expected| expected.grade > 0);
        let expected = relevant.map(|expected| format!("       expected  {}", expected.placed(answer)));
        let found = answer.found.iter().zip(1..).take(FOUND).map(|(document, rank)| {
            let good = self
                .expected
                .iter()
                .any(|each| each.grade > 0 && each.document.as_ref().map(|it| &it.id) == Some(&document.id));
            format!("       found     {rank}. {}{}", short(&document.title), if good { " (expected)" } else { "" })
        });
        let nothing = answer.found.is_empty().then(|| "       found     nothing".to_owned());
        expected.chain(found).chain(nothing).collect()
    }
}

impl Expected {
    fn placed(&self, answer: &Answer) -> String {
        let Some(document) = &self.document else { return format!("{}: there is no such document", short(&self.name)) };
        let title = short(&document.title);
        match answer.ranking().position(|id| id == document.id) {
            Some(above) => format!("{title}: rank {}", above + 1),
            None => format!("{title}: not found"),
        }
    }
}

impl Tuned {
    fn text(&self) -> Vec<String> {
        let (present, best) = (&self.present, &self.best);
        let mut lines = vec![String::new(), "fusion weight  nDCG@10".to_owned()];
        lines.extend(self.curve.iter().map(|point| {
            let mark = match point.weight {
                weight if weight == best.weight && !self.is_change() => "  best, and in force",
                weight if weight == best.weight => "  best",
                weight if weight == present.weight => "  in force",
                _ => "",
            };
            format!("{:<13}  {:.4}{mark}", shown_weight(point.weight), point.ndcg)
        }));
        lines.push(String::new());
        lines.push(format!(
            "Best after smoothing: {}. Gain over {} on questions it was not fitted to (5 folds, {} on average): {}: {}.",
            shown_weight(best.weight),
            shown_weight(present.weight),
            shown_weight(mean(self.fold_weights.iter().copied())),
            signed(&self.cross_validated_gain),
            if self.is_real() { "real" } else { "not distinguishable from chance" },
        ));
        if self.degraded > 0 {
            lines.push(format!("Degraded searches, which say nothing about the weight: {}.", self.degraded));
        }
        lines.push(self.consequence());
        lines
    }

    fn consequence(&self) -> String {
        let weight = shown_weight(self.best.weight);
        match (self.is_change(), self.applied) {
            (false, _) => format!("The knowledge base has the weight {weight} already: nothing to change."),
            (true, true) => format!("The knowledge base has the weight {weight} now."),
            (true, false) => {
                format!("Nothing was changed; --apply gives a knowledge base that stays the weight {weight}.")
            }
        }
    }
}

fn signed(estimate: &Estimate) -> String {
    let Estimate { mean, low, high } = estimate;
    format!("{mean:+.3} ({low:+.3} to {high:+.3})")
}

fn shown_metric(metric: Metric) -> String {
    match metric {
        Metric::Ndcg => "nDCG@10".to_owned(),
        Metric::Mrr => "MRR@10".to_owned(),
        Metric::Recall(_) => metric.to_string(),
    }
}

/// 0.35, 0.333 and 1, whatever 32 bits made of them.
pub fn shown_weight(weight: f64) -> String {
    let text = format!("{weight:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn short(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", flat.get(..end).unwrap_or_default()),
        None => flat,
    }
}
