//! How often a key may call: a token bucket each, refilled evenly over a minute.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use uuid::Uuid;

/// Buckets by key; one that is full again is forgotten.
#[derive(Debug)]
pub struct Limits {
    per_minute: u32,
    buckets: Mutex<HashMap<Uuid, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// A key has used up its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    pub per_minute: u32,
    /// Until there is a call left.
    pub wait: Duration,
}

/// More buckets than this, and the full ones are dropped.
const MANY_BUCKETS: usize = 10_000;

impl Limits {
    /// 0: no limit.
    pub fn new(per_minute: u32) -> Limits {
        Limits { per_minute, buckets: Mutex::default() }
    }

    /// Takes one token of `key`, or says when there will be one.
    pub fn admit(&self, key: Uuid) -> Result<(), TooOften> {
        if self.per_minute == 0 {
            return Ok(());
        }
        self.take(key, Instant::now()).map_err(|wait| TooOften { per_minute: self.per_minute, wait })
    }

    fn take(&self, key: Uuid, now: Instant) -> Result<(), Duration> {
        let most = f64::from(self.per_minute);
        let per_second = most / 60.0;
        // A panic elsewhere cannot leave a bucket half written: it is one copy.
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if buckets.len() > MANY_BUCKETS {
            buckets.retain(|_, bucket| now.duration_since(bucket.filled) < Duration::from_secs(60));
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: most, filled: now });
        bucket.tokens = (bucket.tokens + now.duration_since(bucket.filled).as_secs_f64() * per_second).min(most);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_calls_too_often_is_told_when_to_come_back_and_others_are_not_disturbed() {
        let limits = Limits::new(60);
        let (busy, quiet) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let now = Instant::now();
        for _ in 0..60 {
            limits.take(busy, now).unwrap();
        }
        let wait = limits.take(busy, now).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        limits.take(quiet, now).unwrap();
        limits.take(busy, now + wait + Duration::from_millis(1)).unwrap();
    }
}
