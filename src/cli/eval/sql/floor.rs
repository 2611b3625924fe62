//! What a measure must at least reach: `accuracy=0.6`.

use std::{fmt, str::FromStr};

/// A share of the questions, but for precision: of those that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Accuracy,
    Answered,
    Precision,
    Offered,
    Declined,
}

impl Metric {
    pub const ALL: [Metric; 5] =
        [Metric::Accuracy, Metric::Answered, Metric::Precision, Metric::Offered, Metric::Declined];

    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::Answered => "answered",
            Metric::Precision => "precision",
            Metric::Offered => "offered",
            Metric::Declined => "declined",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    pub metric: Metric,
    pub value: f64,
}

impl FromStr for Floor {
    type Err = String;

    fn from_str(text: &str) -> Result<Floor, String> {
        let (name, value) = text.split_once('=').ok_or("write it as METRIC=VALUE")?;
        // More that is declined is nothing to demand.
        let metric = Metric::ALL.into_iter().find(|metric| *metric != Metric::Declined && metric.name() == name.trim());
        let metric = metric.ok_or_else(|| format!("{name} is none of accuracy, answered, precision and offered"))?;
        let value = value.trim().parse().ok().filter(|value| (0.0..=1.0).contains(value));
        Ok(Floor { metric, value: value.ok_or("the value is from 0 to 1")? })
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}={}", self.metric.name(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_are_read() {
        let floor = |text: &str| text.parse::<Floor>().map(|floor| floor.to_string());
        assert_eq!(floor("accuracy=0.64").unwrap(), "accuracy=0.64");
        assert_eq!(floor(" precision = 1").unwrap(), "precision=1");
        for wrong in ["accuracy", "accuracy=", "accuracy=64", "accuracy=nan", "declined=0.1", "ndcg@10=0.4"] {
            assert!(floor(wrong).is_err(), "{wrong}");
        }
    }
}
