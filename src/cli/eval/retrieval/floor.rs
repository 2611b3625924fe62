//! What a measure must at least reach: `ndcg@10=0.45`, or `vector:recall@100=0.9`.

use std::{fmt, str::FromStr};

use clap::ValueEnum;

use super::{ask::Mode, metrics::Metric};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    pub mode: Mode,
    pub metric: Metric,
    pub value: f64,
}

impl FromStr for Floor {
    type Err = String;

    fn from_str(text: &str) -> Result<Floor, String> {
        let (measure, value) = text.split_once('=').ok_or("write it as [MODE:]METRIC=VALUE")?;
        let (mode, metric) = measure.split_once(':').unwrap_or(("hybrid", measure));
        let mode =
            Mode::from_str(mode.trim(), true).map_err(|_| format!("{mode} is none of hybrid, vector and text"))?;
        let value = value.trim().parse().ok().filter(|value| (0.0..=1.0).contains(value));
        let value = value.ok_or("the value is from 0 to 1")?;
        Ok(Floor { mode, metric: metric.parse()?, value })
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}={}", self.mode, self.metric, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_are_read_with_and_without_mode() {
        let floor = |text: &str| text.parse::<Floor>().map(|floor| floor.to_string());
        assert_eq!(floor("ndcg@10=0.45").unwrap(), "hybrid:ndcg@10=0.45");
        assert_eq!(floor("Vector: recall@100 = 1").unwrap(), "vector:recall@100=1");
        for wrong in ["ndcg@10", "ndcg@10=", "ndcg@10=45", "ndcg@10=nan", "fast:ndcg@10=0.4", "precision=0.4"] {
            assert!(floor(wrong).is_err(), "{wrong}");
        }
    }
}
