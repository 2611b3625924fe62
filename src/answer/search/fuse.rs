//! Fusion: both scores of every candidate, each standardised over all candidates (z-score), added with a weight.
//!
//! Measured against reciprocal rank fusion and min-max: see docs/evaluation.md.

use std::collections::HashMap;

use uuid::Uuid;

use crate::store::search::RankedChunk;

/// A candidate with its place in the fused order.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    pub chunk: RankedChunk,
    pub score: f64,
    pub vector_standardised: f64,
    pub text_standardised: f64,
}

/// How the two scores become one.
#[derive(Debug, Clone, PartialEq)]
pub enum Weighing {
    /// The vector score alone, as it is.
    Vector,
    /// The text score alone, as it is.
    Text,
    /// Weight of the vector score by index, 0 to 1; the rest is the text score's.
    Both(HashMap<Uuid, f64>),
}

/// Best first; equal scores in the order of their ids, so that the same question gives the same order. Vector scores are
/// compared within a group, whose model gave them: over several groups, only standardised ones mean the same.
pub fn fuse(groups: Vec<Vec<RankedChunk>>, weighing: &Weighing) -> Vec<Fused> {
    let text = Standard::of(groups.iter().flatten().map(|chunk| chunk.text_score));
    let several = groups.len() > 1;
    let mut fused = Vec::new();
    for group in groups {
        let vector = Standard::of(group.iter().map(|chunk| chunk.vector_score));
        fused.extend(group.into_iter().map(|chunk| {
            let vector_standardised = vector.standardise(chunk.vector_score);
            let text_standardised = text.standardise(chunk.text_score);
            let score = match weighing {
                Weighing::Vector if several => vector_standardised,
                Weighing::Vector => chunk.vector_score,
                Weighing::Text => chunk.text_score,
                Weighing::Both(weights) => {
                    let share = weights.get(&chunk.index_id).copied().unwrap_or(EVENLY);
                    share * vector_standardised + (1.0 - share) * text_standardised
                }
            };
            Fused { chunk, score, vector_standardised, text_standardised }
        }));
    }
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.chunk_id.cmp(&b.chunk.chunk_id)));
    fused
}

const EVENLY: f64 = 0.5;

/// Mean and standard deviation of a set of scores.
#[derive(Debug, Clone, Copy)]
struct Standard {
    mean: f64,
    deviation: f64,
}

impl Standard {
    fn of(scores: impl Iterator<Item = f64> + Clone) -> Standard {
        let count = scores.clone().count().max(1) as f64;
        let mean = scores.clone().sum::<f64>() / count;
        let deviation = (scores.map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt();
        Standard { mean, deviation }
    }

    /// Scores that are all the same say nothing: 0.
    fn standardise(self, score: f64) -> f64 {
        if self.deviation > 1e-12 { (score - self.mean) / self.deviation } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: Uuid = Uuid::from_u128(1);

    fn candidate(id: u128, vector_score: f64, text_score: f64) -> RankedChunk {
        RankedChunk {
            chunk_id: Uuid::from_u128(id),
            index_id: INDEX,
            vector_score,
            text_score,
            vector_rank: None,
            text_rank: None,
            vector_index: None,
            vector_ms: None,
            text_ms: None,
        }
    }

    fn both(share: f64) -> Weighing {
        Weighing::Both(HashMap::from([(INDEX, share)]))
    }

    fn order(weighing: &Weighing) -> Vec<u128> {
        let candidates = vec![candidate(1, 0.9, 0.0), candidate(2, 0.6, 12.0), candidate(3, 0.1, 13.0)];
        fuse(vec![candidates], weighing).iter().map(|fused| fused.chunk.chunk_id.as_u128()).collect()
    }

    #[test]
    fn each_weight_orders_by_what_it_names() {
        assert_eq!((order(&Weighing::Vector), order(&both(1.0))), (vec![1, 2, 3], vec![1, 2, 3]));
        assert_eq!((order(&Weighing::Text), order(&both(0.0))), (vec![3, 2, 1], vec![3, 2, 1]));
        assert_eq!(order(&both(0.5))[0], 2, "good in both beats best in one");
    }

    #[test]
    fn a_leg_that_found_nothing_changes_nothing() {
        let candidates = vec![candidate(1, 0.2, 0.0), candidate(2, 0.8, 0.0)];
        let fused = fuse(vec![candidates], &both(0.5));
        assert_eq!(fused[0].chunk.chunk_id.as_u128(), 2);
        assert_eq!(fused[0].text_standardised, 0.0);
    }

    #[test]
    fn vector_scores_of_two_models_are_compared_only_standardised() {
        // A model whose similarities all lie high, and one whose lie low: the best of each is as good as the other.
        let high = vec![candidate(1, 0.95, 0.0), candidate(2, 0.91, 0.0)];
        let low = vec![candidate(3, 0.35, 0.0), candidate(4, 0.05, 0.0)];
        let fused = fuse(vec![high, low], &Weighing::Vector);
        let order: Vec<u128> = fused.iter().map(|fused| fused.chunk.chunk_id.as_u128()).collect();
        assert_eq!(order, [1, 3, 2, 4]);
    }

    #[test]
    fn equal_scores_keep_a_stable_order_and_nothing_is_an_empty_list() {
        let candidates = vec![candidate(7, 0.5, 1.0), candidate(3, 0.5, 1.0)];
        assert_eq!(fuse(vec![candidates], &both(0.5))[0].chunk.chunk_id.as_u128(), 3);
        assert!(fuse(Vec::new(), &both(0.5)).is_empty());
    }
}
