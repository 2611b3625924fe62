//! Fusion: both scores of every candidate, each standardised over all candidates (z-score), added with a weight.
//!
//! Measured against reciprocal rank fusion and min-max: see docs/evaluation.md.

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
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weight {
    /// The vector score alone, as it is.
    Vector,
    /// The text score alone, as it is.
    Text,
    /// Weight of the vector score, 0 to 1; the rest is the text score's.
    Both(f64),
}

/// Best first; equal scores in the order of their ids, so that the same question gives the same order.
pub fn fuse(candidates: Vec<RankedChunk>, weight: Weight) -> Vec<Fused> {
    let vector = Standard::of(candidates.iter().map(|chunk| chunk.vector_score));
    let text = Standard::of(candidates.iter().map(|chunk| chunk.text_score));
    let mut fused: Vec<Fused> = candidates
        .into_iter()
        .map(|chunk| {
            let (vector_standardised, text_standardised) =
                (vector.standardise(chunk.vector_score), text.standardise(chunk.text_score));
            let score = match weight {
                Weight::Vector => chunk.vector_score,
                Weight::Text => chunk.text_score,
                Weight::Both(share) => share * vector_standardised + (1.0 - share) * text_standardised,
            };
            Fused { chunk, score, vector_standardised, text_standardised }
        })
        .collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.chunk_id.cmp(&b.chunk.chunk_id)));
    fused
}

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
    use uuid::Uuid;

    use super::*;

    fn candidate(id: u128, vector_score: f64, text_score: f64) -> RankedChunk {
        RankedChunk { chunk_id: Uuid::from_u128(id), vector_score, text_score, vector_rank: None, text_rank: None }
    }

    fn order(weight: Weight) -> Vec<u128> {
        let candidates = vec![candidate(1, 0.9, 0.0), candidate(2, 0.6, 12.0), candidate(3, 0.1, 13.0)];
        fuse(candidates, weight).iter().map(|fused| fused.chunk.chunk_id.as_u128()).collect()
    }

    #[test]
    fn each_weight_orders_by_what_it_names() {
        assert_eq!(order(Weight::Vector), [1, 2, 3]);
        assert_eq!(order(Weight::Text), [3, 2, 1]);
        assert_eq!(order(Weight::Both(0.5))[0], 2, "good in both beats best in one");
    }

    #[test]
    fn a_leg_that_found_nothing_changes_nothing() {
        let candidates = vec![candidate(1, 0.2, 0.0), candidate(2, 0.8, 0.0)];
        let fused = fuse(candidates, Weight::Both(0.5));
        assert_eq!(fused[0].chunk.chunk_id.as_u128(), 2);
        assert_eq!(fused[0].text_standardised, 0.0);
    }

    #[test]
    fn equal_scores_keep_a_stable_order_and_nothing_is_an_empty_list() {
        let candidates = vec![candidate(7, 0.5, 1.0), candidate(3, 0.5, 1.0)];
        assert_eq!(fuse(candidates, Weight::Both(0.5))[0].chunk.chunk_id.as_u128(), 3);
        assert!(fuse(Vec::new(), Weight::Both(0.5)).is_empty());
    }
}
