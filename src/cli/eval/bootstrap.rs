//! Confidence intervals of means by the percentile bootstrap: B. Efron, "Bootstrap Methods: Another Look at the Jackknife",
//! Annals of Statistics 7 (1979); percentiles as in Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), 13.3.
//!
//! The questions are what is drawn again, and one draw serves all series at once. A series of differences between two
//! modes is therefore resampled in pairs. The same seed gives the same intervals.

use serde::Serialize;

/// What the intervals hold: 95 of 100.
pub const CONFIDENCE: f64 = 0.95;

/// The mean over all questions, and where it lies with [`CONFIDENCE`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// How often questions are drawn again, and from which start of the sequence.
#[derive(Debug, Clone, Copy)]
pub struct Resampling {
    pub times: usize,
    pub seed: u64,
}

impl Resampling {
    /// One estimate for each series; all series have one value a question, in the same order.
    pub fn estimates(&self, series: &[Vec<f64>]) -> Vec<Estimate> {
        let questions = series.iter().map(Vec::len).min().unwrap_or(0);
        let mut random = Random::new(self.seed);
        let mut drawn = vec![0; questions];
        let mut means: Vec<Vec<f64>> = series.iter().map(|_| Vec::with_capacity(self.times)).collect();
        for _ in 0..self.times {
            drawn.fill_with(|| random.below(questions));
            for (values, means) in series.iter().zip(&mut means) {
                means.push(mean(drawn.iter().filter_map(|question| values.get(*question).copied())));
            }
        }
        series.iter().zip(means).map(|(values, means)| estimate(values, means)).collect()
    }

    pub fn estimate(&self, values: &[f64]) -> Estimate {
        let mean = mean(values.iter().copied());
        self.estimates(&[values.to_vec()]).pop().unwrap_or(Estimate { mean, low: mean, high: mean })
    }
}

fn estimate(values: &[f64], mut means: Vec<f64>) -> Estimate {
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    // The k-th smallest and the k-th largest of the means, k = (times + 1) × tail.
    let rank = ((means.len() as f64 + 1.0) * tail).floor().max(1.0) as usize;
    let mean = mean(values.iter().copied());
    let low = means.get(rank - 1).copied().unwrap_or(mean);
    let high = means.len().checked_sub(rank).and_then(|place| means.get(place)).copied().unwrap_or(mean);
    Estimate { mean, low, high }
}

/// 0 when there is nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, number) = values.fold((0.0, 0_usize), |(sum, number), value| (sum + value, number + 1));
    if number == 0 { 0.0 } else { sum / number as f64 }
}

/// SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. The same numbers on every
/// machine and in every version, which a library's generator does not promise.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number below `bound`; 0 when that is 0. The bias, bound / 2^64, is out of sight.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESAMPLING: Resampling = Resampling { times: 10_000, seed: 1 };

    #[test]
    fn the_generator_gives_the_numbers_of_its_reference() {
        // The published first outputs for the seed 1234567.
        let mut random = Random::new(1_234_567);
        let numbers = [(); 5].map(|()| random.next());
        let reference = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(numbers, reference);
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_the_normal_approximation_says() {
        // 400 questions, half of them 1: the standard error is 0.5 / 20, the interval 0.5 ± 1.96 × 0.025.
        let values: Vec<f64> = (0..400).map(|question| f64::from(question % 2)).collect();
        let estimate = RESAMPLING.estimate(&values);
        assert_eq!(estimate.mean, 0.5);
        assert!((estimate.low - 0.451).abs() < 0.004, "{estimate:?}");
        assert!((estimate.high - 0.549).abs() < 0.004, "{estimate:?}");
        assert_eq!(RESAMPLING.estimate(&values), estimate, "seeded");
        assert_ne!(Resampling { seed: 2, ..RESAMPLING }.estimate(&values), estimate);
    }

    #[test]
    fn differences_are_paired() {
        // Two modes whose scores vary widely but always differ by exactly 0.1.
        let hybrid: Vec<f64> = (0..50).map(|question| f64::from(question % 10) / 10.0).collect();
        let vector: Vec<f64> = hybrid.iter().map(|score| score - 0.1).collect();
        let difference: Vec<f64> = hybrid.iter().zip(&vector).map(|(one, other)| one - other).collect();
        let estimates = RESAMPLING.estimates(&[hybrid, vector, difference]);
        assert!(estimates[0].high - estimates[0].low > 0.1, "{estimates:?}");
        assert!(estimates[2].high - estimates[2].low < 1e-9, "{estimates:?}");
        assert!((estimates[2].mean - 0.1).abs() < 1e-9, "{estimates:?}");
    }

    #[test]
    fn nothing_and_one_question_have_intervals_too() {
        assert_eq!(RESAMPLING.estimate(&[]), Estimate { mean: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(RESAMPLING.estimate(&[0.7]), Estimate { mean: 0.7, low: 0.7, high: 0.7 });
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Random::new(7).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
