//! The report for programs. docs/evaluation.md describes the shape; what is there keeps its name and meaning, what is new
//! is added. An incompatible change gets another number in `format`.

use serde_json::{Map, Value, json};

use super::{Difference, Measured, Report};
use crate::cli::eval::{
    bootstrap::{CONFIDENCE, Estimate},
    retrieval::{
        ask::Answer,
        expected::{Expected, Judged},
        metrics::{CHUNKS, Metric},
    },
};

const FORMAT: &str = "almanac.eval.retrieval/1";
/// Documents that are shown of what a question found: as deep as nDCG looks.
const FOUND: usize = 10;

impl Report {
    pub fn json(&self) -> Value {
        let modes: Map<String, Value> =
            self.modes.iter().map(|measured| (measured.mode.to_string(), measured.json(&self.metrics))).collect();
        let differences: Map<String, Value> =
            self.differences.iter().map(|difference| (difference.name(), difference.json(&self.metrics))).collect();
        let floors = self.floors.iter().map(|floor| {
            let value = self.mean(floor.mode, floor.metric);
            json!({
                "mode": floor.mode.to_string(),
                "metric": floor.metric.to_string(),
                "floor": floor.value,
                "value": value,
                "met": value.is_some_and(|value| value >= floor.value),
            })
        });
        let questions = self.questions.iter().enumerate().map(|(place, question)| self.question(place, question));
        json!({
            "format": FORMAT,
            "settings": self.settings(),
            "counts": self.counts(),
            "modes": modes,
            "differences": differences,
            "floors": floors.collect::<Vec<_>>(),
            "tune": self.tuned,
            "questions": questions.collect::<Vec<_>>(),
        })
    }

    fn settings(&self) -> Value {
        let base = &self.knowledge_base;
        json!({
            "collection": self.collection,
            "knowledge_base": {
                "id": base.id,
                "name": base.name,
                "kept": self.kept,
                "embedding_model": base.embedding_model,
                "fusion_weight": base.fusion_weight,
            },
            "chunks": CHUNKS,
            "metrics": self.metrics.iter().map(Metric::to_string).collect::<Vec<_>>(),
            "confidence": CONFIDENCE,
            "resamples": self.resampling.times,
            "seed": self.resampling.seed,
        })
    }

    fn counts(&self) -> Value {
        let counts = &self.counts;
        json!({
            "questions": self.questions.len(),
            "judgements": self.questions.iter().map(|question| question.expected.len()).sum::<usize>(),
            "questions_without_text": counts.questions_without_text,
            "documents_indexed": counts.indexed,
            "documents_failed": counts.failed,
            "documents_without_text": counts.without_text,
            "documents_same_as_another": counts.same_as_another,
            "documents_missing": counts.missing_documents,
        })
    }

    fn question(&self, place: usize, question: &Judged) -> Value {
        let modes = self.modes.iter().filter_map(|measured| {
            let answer = measured.answers.get(place)?;
            Some((measured.mode.to_string(), measured.answer(place, answer, &self.metrics)))
        });
        json!({
            "id": question.id,
            "question": question.text,
            "expected": question.expected.iter().map(Expected::json).collect::<Vec<_>>(),
            "modes": modes.collect::<Map<_, _>>(),
        })
    }
}

impl Measured {
    fn json(&self, metrics: &[Metric]) -> Value {
        json!({
            "metrics": estimates(metrics, &self.estimates),
            "latency_ms": { "p50": self.latency_ms(0.5), "p95": self.latency_ms(0.95) },
            "degraded": self.degraded(),
        })
    }

    /// What became of one question.
    fn answer(&self, place: usize, answer: &Answer, metrics: &[Metric]) -> Value {
        let scores = metrics.iter().zip(&self.scores);
        let mut fields: Map<String, Value> =
            scores.map(|(metric, scores)| (metric.to_string(), json!(scores.get(place)))).collect();
        fields.insert("latency_ms".to_owned(), json!(answer.latency_ms()));
        fields.insert("degraded".to_owned(), json!(answer.degraded));
        let found = answer.found.iter().take(FOUND);
        let found = found.map(|document| json!({ "document_id": document.id, "title": document.title }));
        fields.insert("found".to_owned(), found.collect());
        Value::Object(fields)
    }
}

impl Difference {
    fn name(&self) -> String {
        format!("hybrid-{}", self.than)
    }

    fn json(&self, metrics: &[Metric]) -> Value {
        estimates(metrics, &self.estimates)
    }
}

impl Expected {
    fn json(&self) -> Value {
        json!({
            "expected": self.name,
            "grade": self.grade,
            "document_id": self.document.as_ref().map(|document| &document.id),
            "title": self.document.as_ref().map(|document| &document.title),
        })
    }
}

fn estimates(metrics: &[Metric], estimates: &[Estimate]) -> Value {
    metrics.iter().zip(estimates).map(|(metric, estimate)| (metric.to_string(), json!(estimate))).collect()
}
