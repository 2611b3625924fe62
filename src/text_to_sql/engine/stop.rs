//! When a statement that runs in our own process must end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a statement must end: asked every some operations, while it is compiled and while it runs.
pub(in crate::text_to_sql) struct Stop {
    start: Instant,
    /// In milliseconds since `start`: for everything, and for what runs now.
    total: u64,
    step: AtomicU64,
    now: AtomicBool,
}

impl Stop {
    pub(super) fn after(total: Duration) -> Self {
        let total = u64::try_from(total.as_millis()).unwrap_or(u64::MAX);
        Self { start: Instant::now(), total, step: AtomicU64::new(u64::MAX), now: AtomicBool::new(false) }
    }

    /// What runs from now on ends after `time`.
    pub(in crate::text_to_sql) fn within(&self, time: Duration) {
        let end = u64::try_from((self.start.elapsed() + time).as_millis()).unwrap_or(u64::MAX);
        self.step.store(end, Ordering::Relaxed);
    }

    pub(super) fn is_due(&self) -> bool {
        let end = self.total.min(self.step.load(Ordering::Relaxed));
        self.now.load(Ordering::Relaxed) || self.start.elapsed().as_millis() >= u128::from(end)
    }
}

/// Whoever waits for the statement has gone away.
pub(super) struct StopOnDrop(pub(super) Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.now.store(true, Ordering::Relaxed);
    }
}
