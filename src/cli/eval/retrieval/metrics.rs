//! The measures of a ranking of documents against judgements, as trec_eval computes them.

use std::{fmt, str::FromStr};

/// How deep nDCG and MRR look.
pub const DEPTH: usize = 10;
/// Chunks that are asked for, the most that one search gives. No document can rank lower.
pub const CHUNKS: u16 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Ndcg,
    Recall(usize),
    Mrr,
}

/// A ranking, with the grade of each document in it, and the grades that a perfect one would have.
#[derive(Debug, Default)]
pub struct Graded {
    /// What each found document gains, in the order of the ranking: 0 for one that nobody judged, or below zero.
    pub gains: Vec<f64>,
    /// Every grade above zero that there is, highest first, found or not.
    pub ideal: Vec<f64>,
}

impl Graded {
    pub fn new(found: impl Iterator<Item = Option<i32>>, judged: impl Iterator<Item = i32>) -> Graded {
        let gains = found.map(|grade| f64::from(grade.unwrap_or(0).max(0))).collect();
        let mut ideal: Vec<f64> = judged.filter(|grade| *grade > 0).map(f64::from).collect();
        ideal.sort_by(|one, other| other.total_cmp(one));
        Graded { gains, ideal }
    }

    pub fn score(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Ndcg => self.ndcg(DEPTH),
            Metric::Recall(depth) => self.recall(depth),
            Metric::Mrr => self.mrr(DEPTH),
        }
    }

    /// trec_eval's `ndcg_cut`: the gain is the grade itself, not 2^grade − 1, and the discount log2(rank + 1). Järvelin and
    /// Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20 (2002).
    fn ndcg(&self, depth: usize) -> f64 {
        let ideal = discounted(&self.ideal, depth);
        if ideal > 0.0 { discounted(&self.gains, depth) / ideal } else { 0.0 }
    }

    /// The share of the relevant documents that are among the first `depth`.
    fn recall(&self, depth: usize) -> f64 {
        let found = self.gains.iter().take(depth).filter(|gain| **gain > 0.0).count();
        found as f64 / self.ideal.len().max(1) as f64
    }

    /// One over the rank of the first relevant document, 0 when there is none down to `depth`.
    fn mrr(&self, depth: usize) -> f64 {
        let first = self.gains.iter().take(depth).position(|gain| *gain > 0.0);
        first.map_or(0.0, |above| 1.0 / (above + 1) as f64)
    }
}

fn discounted(gains: &[f64], depth: usize) -> f64 {
    gains.iter().take(depth).zip(2_u32..).map(|(gain, rank)| gain / f64::from(rank).log2()).sum()
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Metric::Ndcg => write!(f, "ndcg@{DEPTH}"),
            Metric::Recall(depth) => write!(f, "recall@{depth}"),
            Metric::Mrr => write!(f, "mrr@{DEPTH}"),
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Metric, String> {
        let lower = text.trim().to_lowercase();
        let depth = lower.strip_prefix("recall@").and_then(|depth| depth.parse().ok());
        [Metric::Ndcg, Metric::Mrr]
            .into_iter()
            .chain(depth.map(Metric::Recall))
            .find(|metric| metric.to_string() == lower)
            .ok_or_else(|| format!("{text} is none of ndcg@{DEPTH}, mrr@{DEPTH} and recall@K"))
    }
}

/// The nearest rank: the smallest value that at least `share` of all do not exceed; 0 when there is none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRADES: [(&str, i32); 5] = [("a", 2), ("b", 1), ("c", 1), ("d", 0), ("e", -1)];

    fn graded(ranking: &[&str]) -> Graded {
        let grade = |name: &&str| GRADES.iter().find(|(known, _)| known == name).map(|(_, grade)| *grade);
        Graded::new(ranking.iter().map(grade), GRADES.iter().map(|(_, grade)| *grade))
    }

    #[track_caller]
    fn close(measured: f64, by_hand: f64) {
        assert!((measured - by_hand).abs() < 5e-6, "{measured} is not {by_hand}");
    }

    #[test]
    fn ndcg_has_linear_gain() {
        // Ideal a, b, c: 2/1 + 1/1.58496 + 1/2 = 3.13093. The order of equal grades does not matter.
        close(graded(&["a", "b", "c"]).ndcg(10), 1.0);
        close(graded(&["a", "c", "b"]).ndcg(10), 1.0);
        // d (0), b at rank 2 (0.63093), a at rank 3 (2/2): 1.63093 / 3.13093. With exponential gain it would be 0.51585.
        close(graded(&["d", "b", "a"]).ndcg(10), 0.520_909);
        // A grade below zero gains nothing: 2/1.58496 / 3.13093.
        close(graded(&["e", "a"]).ndcg(10), 0.403_028);
        close(graded(&["b", "a"]).ndcg(1), 0.5);
        close(graded(&[]).ndcg(10), 0.0);
    }

    #[test]
    fn the_ideal_is_cut_where_the_ranking_is() {
        let many = Graded::new((0..10).map(|_| Some(1)), (0..11).map(|_| 1));
        close(many.ndcg(10), 1.0);
        close(many.recall(100), 10.0 / 11.0);
    }

    #[test]
    fn recall_and_mrr_look_as_deep_as_they_say() {
        close(graded(&["d", "b", "x", "a"]).mrr(10), 0.5);
        close(graded(&["d", "b", "x", "a"]).recall(100), 2.0 / 3.0);
        close(graded(&["d", "b", "x", "a"]).recall(2), 1.0 / 3.0);
        close(graded(&["d", "e"]).mrr(10), 0.0);
        let mut deep = vec!["x"; 10];
        deep.push("a");
        close(graded(&deep).mrr(10), 0.0);
        close(graded(&deep).recall(10), 0.0);
        close(graded(&deep).recall(100), 1.0 / 3.0);
    }

    #[test]
    fn metrics_are_read_as_they_are_written() {
        for metric in [Metric::Ndcg, Metric::Mrr, Metric::Recall(7)] {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        assert_eq!("nDCG@10".parse(), Ok(Metric::Ndcg));
        for wrong in ["ndcg", "ndcg@5", "recall@", "recall@+1", "recall@-1", "precision@10", ""] {
            assert!(wrong.parse::<Metric>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        close(percentile(&hundred, 0.95), 95.0);
        close(percentile(&hundred, 0.5), 50.0);
        close(percentile(&[7.0], 0.95), 7.0);
        close(percentile(&[], 0.95), 0.0);
    }
}
