//! Trying again: while the failure is one that passes, the tries are not used up, and the deadline is not near.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::{Instant, sleep, timeout_at};

use crate::models::ModelError;

/// A server that fails this often in a row is down, and its callers should know.
const TRIES: u32 = 6;

/// The first pause is up to this long, and each one up to twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// No pause of our own choice is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How one try failed.
#[derive(Debug)]
pub enum Failure {
    /// Another try may help, `after` this long if the server said so.
    Passing {
        detail: String,
        after: Option<Duration>,
    },
    Final(ModelError),
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        Failure::Final(error)
    }
}

/// Tries until it works, cannot work, or `deadline` has come.
pub async fn until<T, F>(deadline: Instant, mut attempt: impl FnMut() -> F) -> Result<T, ModelError>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut tried = 0;
    loop {
        let outcome = timeout_at(deadline, attempt()).await;
        tried += 1;
        let (detail, after) = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Failure::Final(error))) => return Err(error),
            Ok(Err(Failure::Passing { detail, after })) => (detail, after),
            Err(_) => return Err(ModelError::Timeout(format!("no answer by the deadline, at try {tried}"))),
        };
        let pause = after.unwrap_or_else(|| pause(tried, chance()));
        // A server may ask for a pause that no clock can count.
        if tried == TRIES || Instant::now().checked_add(pause).is_none_or(|end| end >= deadline) {
            return Err(ModelError::Retry(detail));
        }
        tracing::debug!(tried, ?pause, detail, "a model server failed; trying again");
        sleep(pause).await;
    }
}

/// What `Retry-After` (RFC 9110, 10.2.3: seconds or a date) or the finer `retry-after-ms` says.
pub fn after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let milliseconds = text("retry-after-ms").and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let value = text(RETRY_AFTER.as_str());
    let seconds = || value?.parse().ok().map(Duration::from_secs);
    let date = || {
        let date = DateTime::parse_from_rfc2822(value?).ok()?;
        Some(date.signed_duration_since(now).to_std().unwrap_or_default())
    };
    milliseconds.or_else(seconds).or_else(date)
}

/// Half of the growing pause, and `chance` (0 to 1) of the other half, so that callers who failed together part.
fn pause(tried: u32, chance: f64) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << (tried - 1).min(16)).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + chance / 2.0)
}

fn chance() -> f64 {
    // Without randomness the pauses are merely less spread.
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let now = DateTime::parse_from_rfc3339("2025-10-21T07:27:30Z").unwrap().to_utc();
        let after = |name, value| after(&headers(name, value), now);
        assert_eq!(after("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(after("retry-after-ms", "120"), Some(Duration::from_millis(120)));
        assert_eq!(after("retry-after", "Tue, 21 Oct 2025 07:28:00 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("retry-after", "Tue, 21 Oct 2025 07:27:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("retry-after", "soon"), None);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread() {
        assert_eq!(pause(1, 1.0), FIRST_PAUSE);
        assert_eq!(pause(2, 1.0), 2 * FIRST_PAUSE);
        assert_eq!(pause(2, 0.0), FIRST_PAUSE);
        assert_eq!(pause(40, 1.0), LONGEST_PAUSE);
    }

    #[tokio::test]
    async fn a_pause_beyond_the_deadline_is_not_taken() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(5);
        let attempt = || async {
            Err::<(), _>(Failure::Passing { detail: "busy".to_owned(), after: Some(Duration::from_secs(60)) })
        };
        assert_eq!(until(deadline, attempt).await, Err(ModelError::Retry("busy".to_owned())));
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
