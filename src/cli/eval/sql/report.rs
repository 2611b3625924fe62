//! What an evaluation found: how often the best guess is right, how often an answer is given and right, and what was
//! offered, for all questions, by family and by generator. As a table for people and as JSON for programs.

mod json;
mod text;

use std::collections::BTreeSet;

use super::{
    ask::Outcome,
    family::Family,
    floor::{Floor, Metric},
    questions::Question,
};
use crate::cli::eval::{
    bootstrap::{Estimate, Resampling, mean},
    retrieval::percentile,
};

pub struct Report {
    pub name: String,
    pub questions: Vec<Question>,
    /// In the order of the questions.
    pub outcomes: Vec<Outcome>,
    /// The confidence from which an answer is given.
    pub threshold: f64,
    pub resampling: Resampling,
    pub floors: Vec<Floor>,
    pub allow_broken: bool,
}

/// The measures over some questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Measures {
    pub questions: usize,
    /// By metric; none: of nothing.
    pub estimates: Vec<(Metric, Option<Estimate>)>,
}

impl Metric {
    /// By question, of those that it is a share of.
    fn values(self, outcomes: &[&Outcome], threshold: f64) -> Vec<f64> {
        let measured = outcomes.iter().filter(|it| self != Metric::Precision || it.is_answered(threshold));
        let is = |outcome: &Outcome| match self {
            Metric::Accuracy | Metric::Precision => outcome.right,
            Metric::Answered => outcome.is_answered(threshold),
            Metric::Offered => outcome.offered,
            Metric::Declined => outcome.sql.is_none(),
        };
        measured.map(|outcome| f64::from(u8::from(is(outcome)))).collect()
    }
}

impl Measures {
    fn of(outcomes: &[&Outcome], threshold: f64, resampling: Resampling) -> Measures {
        let estimate = |metric: Metric| {
            let values = metric.values(outcomes, threshold);
            (metric, (!values.is_empty()).then(|| resampling.estimate(&values)))
        };
        Measures { questions: outcomes.len(), estimates: Metric::ALL.map(estimate).to_vec() }
    }
}

impl Report {
    /// The questions that say something: their expected statement ran.
    fn scored(&self) -> impl Iterator<Item = (&Question, &Outcome)> {
        self.questions.iter().zip(&self.outcomes).filter(|(_, outcome)| outcome.broken.is_none())
    }

    fn measures(&self, of: impl Fn(&Question, &Outcome) -> bool) -> Measures {
        let outcomes: Vec<&Outcome> =
            self.scored().filter(|(question, outcome)| of(question, outcome)).map(|(_, outcome)| outcome).collect();
        Measures::of(&outcomes, self.threshold, self.resampling)
    }

    /// None: of nothing.
    fn mean(&self, metric: Metric) -> Option<f64> {
        let outcomes: Vec<&Outcome> = self.scored().map(|(_, outcome)| outcome).collect();
        let values = metric.values(&outcomes, self.threshold);
        (!values.is_empty()).then(|| mean(values.into_iter()))
    }

    fn overall(&self) -> Measures {
        self.measures(|_, _| true)
    }

    /// A question counts in each of its families.
    fn by_family(&self) -> Vec<(Family, Measures)> {
        let all = Family::ALL.into_iter();
        let measured =
            all.map(|family| (family, self.measures(|question, _| question.kind.families.contains(&family))));
        measured.filter(|(_, measures)| measures.questions > 0).collect()
    }

    fn by_generator(&self) -> Vec<(String, Measures)> {
        let names: BTreeSet<&str> = self.scored().filter_map(|(_, outcome)| outcome.generator.as_deref()).collect();
        let of = |name: &str| self.measures(|_, outcome| outcome.generator.as_deref() == Some(name));
        names.into_iter().map(|name| (name.to_owned(), of(name))).collect()
    }

    fn generation_ms(&self, share: f64) -> f64 {
        let all: Vec<f64> = self.scored().map(|(_, outcome)| outcome.generation_ms).collect();
        percentile(&all, share)
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.iter().filter(|outcome| is(outcome)).count()
    }

    fn databases(&self) -> usize {
        self.questions.iter().map(|question| &question.database).collect::<BTreeSet<_>>().len()
    }

    /// The floors that were missed, each with what was measured instead; nothing, where nothing was answered.
    pub fn missed(&self) -> Vec<(Floor, Option<f64>)> {
        let measured = self.floors.iter().map(|floor| (*floor, self.mean(floor.metric)));
        measured.filter(|(floor, mean)| mean.is_none_or(|mean| mean < floor.value)).collect()
    }

    pub fn is_failure(&self) -> bool {
        let broken = self.count(|outcome| outcome.broken.is_some());
        !self.missed().is_empty() || broken == self.outcomes.len() || broken > 0 && !self.allow_broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::sql::family::Kind;

    fn question(number: usize, gold: &str) -> Question {
        Question {
            id: format!("question {number}"),
            database: "farm".to_owned(),
            text: format!("What is {number}?"),
            gold: gold.to_owned(),
            kind: Kind::of(gold),
        }
    }

    fn outcome(confidence: f64, right: bool, offered: bool) -> Outcome {
        Outcome {
            sql: Some("select 2".to_owned()),
            generator: Some("builtin".to_owned()),
            confidence,
            right,
            offered,
            generation_ms: confidence * 10.0,
            ..Outcome::default()
        }
    }

    /// Five questions: right and sure, wrong and sure, right and unsure, declined, and one that cannot be judged.
    pub fn report(floors: &[&str]) -> Report {
        let declined = Outcome { reason: Some("There is no sky.".to_owned()), ..Outcome::default() };
        let broken = Outcome { broken: Some("no table `barn`".to_owned()), ..Outcome::default() };
        let golds = ["select 1", "select count(*) from t", "select a from t where b = 1", "select a from t", "select"];
        Report {
            name: "five".to_owned(),
            questions: golds.into_iter().zip(1..).map(|(gold, number)| question(number, gold)).collect(),
            outcomes: vec![
                outcome(0.9, true, true),
                outcome(0.8, false, true),
                outcome(0.3, true, true),
                declined,
                broken,
            ],
            threshold: 0.7,
            resampling: Resampling { times: 2_000, seed: 1 },
            floors: floors.iter().map(|floor| floor.parse().unwrap()).collect(),
            allow_broken: true,
        }
    }

    #[test]
    fn shares_are_of_the_questions_that_can_be_judged() {
        let overall = report(&[]).overall();
        let means = Metric::ALL.map(|metric| report(&[]).mean(metric).unwrap());
        assert_eq!((overall.questions, means), (4, [0.5, 0.5, 0.5, 0.75, 0.25]));
        let (_, accuracy) = overall.estimates[0];
        let accuracy = accuracy.unwrap();
        assert!(accuracy.low < 0.5 && accuracy.high > 0.5, "{accuracy:?}");
    }

    #[test]
    fn families_and_generators_are_measured_by_themselves() {
        let report = report(&[]);
        let families: Vec<_> =
            report.by_family().into_iter().map(|(family, it)| (family.name(), it.questions)).collect();
        assert_eq!(families, [("plain", 2), ("filter", 1), ("aggregate", 1)]);
        let generators: Vec<_> = report.by_generator().into_iter().map(|(name, it)| (name, it.questions)).collect();
        assert_eq!(generators, [("builtin".to_owned(), 3)]);
        let (_, filter) = &report.by_family()[1];
        let means: Vec<_> = filter.estimates.iter().map(|(_, estimate)| estimate.map(|it| it.mean)).collect();
        assert_eq!(means, [Some(1.0), Some(0.0), None, Some(1.0), Some(0.0)], "none was answered");
    }

    #[test]
    fn floors_and_broken_statements_fail() {
        assert!(!report(&["accuracy=0.5", "offered=0.75"]).is_failure());
        let missed = report(&["accuracy=0.5", "precision=0.87"]);
        assert_eq!(missed.missed(), [("precision=0.87".parse().unwrap(), Some(0.5))]);
        assert!(missed.is_failure());
        let unsure = Report { threshold: 0.95, ..report(&["precision=0.1"]) };
        assert_eq!(unsure.missed(), [("precision=0.1".parse().unwrap(), None)], "nothing was answered");
        assert!(Report { allow_broken: false, ..report(&[]) }.is_failure());
    }

    #[test]
    fn the_text_shows_all_families_and_the_wrong_ones() {
        let text = report(&["precision=0.87"]).text(5).join("\n");
        assert!(text.contains("five: 5 questions to 1 database"), "{text}");
        assert!(text.contains("0.500 ("), "{text}");
        for row in ["all", "aggregate", "builtin"] {
            assert!(text.lines().any(|line| line.starts_with(row)), "{row}: {text}");
        }
        assert!(text.contains("missed  precision=0.87: it is 0.5000, 0.3700 too low"), "{text}");
        assert!(text.contains("0.80  question 2  farm  What is 2?"), "{text}");
        assert!(text.contains("expected  select count(*) from t") && text.contains("answered  select 2"), "{text}");
        assert!(text.contains("declined  There is no sky."), "{text}");
        assert!(text.contains("did not run, and say nothing: 1") && text.contains("no table `barn`"), "{text}");
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let json = report(&["precision=0.87"]).json();
        assert_eq!(json["format"], "almanac.eval.sql/1");
        assert_eq!(json["metrics"]["accuracy"]["mean"], 0.5);
        assert_eq!(json["counts"]["scored"], 4);
        assert_eq!(json["families"]["filter"]["precision"], serde_json::Value::Null);
        assert_eq!(json["generators"]["builtin"]["questions"], 3);
        assert_eq!(json["floors"][0]["met"], false);
        assert_eq!(json["generation_ms"]["p50"], 3.0);
        let second = &json["questions"][1];
        assert_eq!(
            (&second["answered"], &second["right"], &second["offered"]),
            (&true.into(), &false.into(), &true.into())
        );
        assert_eq!(json["questions"][4]["right"], serde_json::Value::Null);
    }
}
