//! The report for programs. docs/evaluation.md describes the shape; what is there keeps its name and meaning, what is new
//! is added. An incompatible change gets another number in `format`.

use serde_json::{Map, Value, json};

use super::{Measures, Report};
use crate::cli::eval::{
    bootstrap::CONFIDENCE,
    sql::{
        ask::{LIMIT, Outcome},
        questions::Question,
    },
};

const FORMAT: &str = "almanac.eval.sql/1";

impl Report {
    pub fn json(&self) -> Value {
        let families: Map<String, Value> =
            self.by_family().into_iter().map(|(family, it)| (family.name().to_owned(), it.json())).collect();
        let generators: Map<String, Value> =
            self.by_generator().into_iter().map(|(name, it)| (name, it.json())).collect();
        let floors = self.floors.iter().map(|floor| {
            let value = self.mean(floor.metric);
            let met = value.is_some_and(|value| value >= floor.value);
            json!({ "metric": floor.metric.name(), "floor": floor.value, "value": value, "met": met })
        });
        let questions = self.questions.iter().zip(&self.outcomes).map(|(question, it)| self.question(question, it));
        json!({
            "format": FORMAT,
            "settings": self.settings(),
            "counts": self.counts(),
            "metrics": self.overall().json(),
            "generation_ms": { "p50": self.generation_ms(0.5), "p95": self.generation_ms(0.95) },
            "families": families,
            "generators": generators,
            "floors": floors.collect::<Vec<_>>(),
            "questions": questions.collect::<Vec<_>>(),
        })
    }

    fn settings(&self) -> Value {
        json!({
            "name": self.name,
            "min_confidence": self.threshold,
            "rows": LIMIT,
            "confidence": CONFIDENCE,
            "resamples": self.resampling.times,
            "seed": self.resampling.seed,
        })
    }

    fn counts(&self) -> Value {
        json!({
            "questions": self.questions.len(),
            "databases": self.databases(),
            "scored": self.scored().count(),
            "broken": self.count(|it| it.broken.is_some()),
            "expected_nothing": self.count(|it| it.expected_nothing),
            "cut": self.count(|it| it.cut),
            "degraded": self.count(|it| !it.degraded.is_empty()),
        })
    }

    /// Nothing is right or wrong where the expected statement did not run.
    fn question(&self, question: &Question, outcome: &Outcome) -> Value {
        let scored = |value: bool| outcome.broken.is_none().then_some(value);
        json!({
            "id": question.id,
            "database": question.database,
            "question": question.text,
            "expected_sql": question.gold,
            "families": question.kind.families.iter().map(|family| family.name()).collect::<Vec<_>>(),
            "ordered": question.kind.ordered,
            "broken": outcome.broken,
            "sql": outcome.sql,
            "generator": outcome.generator,
            "confidence": outcome.confidence,
            "answered": scored(outcome.is_answered(self.threshold)),
            "right": scored(outcome.right),
            "offered": scored(outcome.offered),
            "reason": outcome.reason,
            "cut": outcome.cut,
            "generation_ms": outcome.generation_ms,
            "degraded": outcome.degraded,
        })
    }
}

impl Measures {
    fn json(&self) -> Value {
        let estimates = self.estimates.iter().map(|(metric, estimate)| (metric.name().to_owned(), json!(estimate)));
        let questions = ("questions".to_owned(), json!(self.questions));
        Value::Object(std::iter::once(questions).chain(estimates).collect())
    }
}
