//! Fits the fusion weight of a knowledge base to judged questions, and says whether the fit is worth anything.
//!
//! Every question is asked at 21 weights. A mean over few questions jumps from weight to weight, so the best is taken after
//! smoothing, and what it gains is judged on questions it was not fitted to (cross-validation: M. Stone, JRSS B 36, 1974).

use serde::Serialize;

use super::{
    ask::{self, Manner, Mode},
    expected::Judged,
    knowledge_base::KnowledgeBase,
    metrics::Metric,
};
use crate::cli::{
    client::Client,
    eval::{
        bootstrap::{Estimate, Random, Resampling, mean},
        progress::Progress,
    },
};

/// Below, every fold is a matter of luck.
pub const MIN_QUESTIONS: usize = 10;
/// 0, 0.05 … 1.
const STEPS: usize = 20;
const FOLDS: usize = 5;
/// Where two weights are equally good, the one that trusts both legs alike.
const EVEN: f64 = 0.5;
/// Means closer than this differ by rounding only.
const SAME: f64 = 1e-9;

/// What the fit found.
#[derive(Debug, Serialize)]
pub struct Tuned {
    pub present: Point,
    pub best: Point,
    /// On questions that the weight was not fitted to, over the present weight.
    pub cross_validated_gain: Estimate,
    /// The weight that each part of the questions was judged with.
    pub fold_weights: Vec<f64>,
    pub curve: Vec<Point>,
    /// Searches that were answered without one of the legs: they say nothing about the weight.
    pub degraded: usize,
    pub applied: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    pub weight: f64,
    #[serde(rename = "ndcg@10")]
    pub ndcg: f64,
    /// The mean with its neighbours.
    pub smoothed: f64,
}

pub async fn fit(
    client: &Client,
    base: &KnowledgeBase,
    questions: &[Judged],
    at_a_time: usize,
    resampling: Resampling,
) -> anyhow::Result<Tuned> {
    let weights = weights(base.fusion_weight);
    let progress = Progress::of("asked to fit the weight", weights.len() * questions.len());
    let mut curve = Curve::default();
    let mut degraded = 0;
    for weight in weights {
        let manner = Manner { mode: Mode::Hybrid, fusion_weight: Some(weight), at_a_time };
        let answers = ask::all(client, &base.id, questions, manner, &progress).await?;
        degraded += answers.iter().filter(|answer| !answer.degraded.is_empty()).count();
        let graded = questions.iter().zip(&answers).map(|(question, answer)| question.graded(answer.ranking()));
        curve.add(weight, graded.map(|graded| graded.score(Metric::Ndcg)).collect());
    }
    Ok(curve.tuned(base.fusion_weight, degraded, resampling))
}

/// All that are tried, in order, and the present one among them.
fn weights(present: f64) -> Vec<f64> {
    let mut weights: Vec<f64> = (0..=STEPS).map(|step| step as f64 / STEPS as f64).collect();
    if !weights.iter().any(|weight| is_same(*weight, present)) {
        weights.push(present);
        weights.sort_by(f64::total_cmp);
    }
    weights
}

/// A server keeps weights as 32-bit numbers.
fn is_same(weight: f64, other: f64) -> bool {
    (weight - other).abs() < 1e-6
}

/// nDCG@10 of every question at every weight.
#[derive(Debug, Default)]
struct Curve {
    weights: Vec<f64>,
    /// By weight, then by question.
    scores: Vec<Vec<f64>>,
}

impl Curve {
    fn add(&mut self, weight: f64, scores: Vec<f64>) {
        self.weights.push(weight);
        self.scores.push(scores);
    }

    fn tuned(&self, present: f64, degraded: usize, resampling: Resampling) -> Tuned {
        let all: Vec<usize> = (0..self.questions()).collect();
        let points = self.points(&all);
        let present = self.weights.iter().position(|weight| is_same(*weight, present)).unwrap_or(0);
        let best = best(&points);
        let (gains, folds) = self.cross_validate(present, resampling.seed);
        let point =
            |place: usize| points.get(place).copied().unwrap_or(Point { weight: EVEN, ndcg: 0.0, smoothed: 0.0 });
        Tuned {
            present: point(present),
            best: point(best),
            cross_validated_gain: resampling.estimate(&gains),
            fold_weights: folds.iter().map(|place| point(*place).weight).collect(),
            curve: points.clone(),
            degraded,
            applied: false,
        }
    }

    fn questions(&self) -> usize {
        self.scores.first().map_or(0, Vec::len)
    }

    fn score(&self, place: usize, question: usize) -> f64 {
        self.scores.get(place).and_then(|scores| scores.get(question)).copied().unwrap_or(0.0)
    }

    /// The means over some questions.
    fn points(&self, questions: &[usize]) -> Vec<Point> {
        let means = (0..self.weights.len()).map(|place| mean(questions.iter().map(|each| self.score(place, *each))));
        let means: Vec<f64> = means.collect();
        let points = self.weights.iter().zip(&means).enumerate();
        points
            .map(|(place, (weight, ndcg))| Point { weight: *weight, ndcg: *ndcg, smoothed: smoothed(&means, place) })
            .collect()
    }

    /// What each question gains over the present weight when the weight is fitted to the other folds, and those weights.
    fn cross_validate(&self, present: usize, seed: u64) -> (Vec<f64>, Vec<usize>) {
        let mut order: Vec<usize> = (0..self.questions()).collect();
        Random::new(seed).shuffle(&mut order);
        let (mut gains, mut chosen) = (vec![0.0; order.len()], Vec::with_capacity(FOLDS));
        for fold in 0..FOLDS {
            let (held_out, others): (Vec<_>, Vec<_>) =
                order.iter().enumerate().partition(|(place, _)| place % FOLDS == fold);
            let others: Vec<usize> = others.into_iter().map(|(_, question)| *question).collect();
            let best = best(&self.points(&others));
            for (_, question) in held_out {
                if let Some(gain) = gains.get_mut(*question) {
                    *gain = self.score(best, *question) - self.score(present, *question);
                }
            }
            chosen.push(best);
        }
        (gains, chosen)
    }
}

fn smoothed(means: &[f64], place: usize) -> f64 {
    let neighbours = means.iter().skip(place.saturating_sub(1)).take(if place == 0 { 2 } else { 3 });
    mean(neighbours.copied())
}

/// Of the smoothed means; a tie goes to the weight nearest the middle.
fn best(points: &[Point]) -> usize {
    let highest = points.iter().map(|point| point.smoothed).fold(f64::NEG_INFINITY, f64::max);
    let tied = points.iter().enumerate().filter(|(_, point)| point.smoothed > highest - SAME);
    let from_even = |point: &Point| (point.weight - EVEN).abs();
    tied.min_by(|(_, one), (_, other)| from_even(one).total_cmp(&from_even(other))).map_or(0, |(place, _)| place)
}

impl Tuned {
    pub fn is_change(&self) -> bool {
        !is_same(self.present.weight, self.best.weight)
    }

    /// Whether the gain is more than luck.
    pub fn is_real(&self) -> bool {
        self.cross_validated_gain.low > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESAMPLING: Resampling = Resampling { times: 2_000, seed: 1 };

    /// Questions whose scores at a weight are what `score` says of question and weight.
    fn curve(questions: usize, score: impl Fn(usize, f64) -> f64) -> Curve {
        let mut curve = Curve::default();
        for weight in weights(0.5) {
            curve.add(weight, (0..questions).map(|question| score(question, weight)).collect());
        }
        curve
    }

    #[test]
    fn the_grid_holds_the_present_weight_once() {
        assert_eq!(weights(0.5).len(), 21);
        assert_eq!(weights(f64::from(0.35_f32)).len(), 21);
        let with = weights(0.333);
        assert!(with.len() == 22 && with.is_sorted() && with.contains(&0.333));
    }

    #[test]
    fn a_better_weight_is_found_and_its_gain_is_real() {
        let tuned = curve(60, |question, weight| 0.6 - (weight - 0.8).abs() / 2.0 + (question % 7) as f64 / 50.0)
            .tuned(0.5, 0, RESAMPLING);
        assert_eq!((tuned.best.weight, tuned.present.weight), (0.8, 0.5));
        assert!((tuned.cross_validated_gain.mean - 0.15).abs() < 1e-9, "{:?}", tuned.cross_validated_gain);
        assert!(tuned.is_real() && tuned.is_change());
        assert_eq!(tuned.fold_weights, [0.8; 5]);
    }

    #[test]
    fn where_the_weight_does_not_matter_the_middle_is_chosen_and_nothing_is_gained() {
        let tuned = curve(30, |question, _| (question % 3) as f64 / 3.0).tuned(0.5, 0, RESAMPLING);
        assert_eq!(tuned.best.weight, 0.5);
        assert!(!tuned.is_real() && !tuned.is_change());
        assert_eq!(tuned.cross_validated_gain.mean, 0.0);
    }

    #[test]
    fn noise_gains_where_it_is_fitted_and_not_where_it_is_judged() {
        let noise = |question: usize, weight: f64| {
            Random::new((question * 1_000) as u64 + (weight * 100.0).round() as u64).below(1_000) as f64 / 1_000.0
        };
        let tuned = curve(50, noise).tuned(0.5, 0, RESAMPLING);
        assert!(tuned.best.smoothed > tuned.present.smoothed);
        assert!(!tuned.is_real(), "{:?}", tuned.cross_validated_gain);
    }

    #[test]
    fn a_peak_that_its_neighbours_do_not_share_is_passed_over() {
        let tuned = curve(20, |_, weight| match weight {
            0.1 => 0.62,
            0.65..0.76 => 0.6,
            _ => 0.5,
        });
        assert_eq!(tuned.tuned(0.5, 0, RESAMPLING).best.weight, 0.7);
    }

    #[test]
    fn the_ends_of_the_grid_can_be_the_best() {
        assert_eq!(curve(20, |_, weight| weight).tuned(0.5, 0, RESAMPLING).best.weight, 1.0);
        assert_eq!(curve(20, |_, weight| 1.0 - weight).tuned(0.5, 0, RESAMPLING).best.weight, 0.0);
    }
}
