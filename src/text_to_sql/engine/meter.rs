//! How much of a server's answer is let into memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What may arrive between two refills: the largest row, since whoever reads refills after each.
pub(in crate::text_to_sql) const MAX_ANSWER: usize = 64 << 20;

/// Bytes still allowed in before the wire is cut.
#[derive(Debug)]
pub(in crate::text_to_sql) struct Meter {
    left: AtomicUsize,
    cut: AtomicBool,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { left: AtomicUsize::new(MAX_ANSWER), cut: AtomicBool::new(false) }
    }

    /// The last answer was read: another may be as long again.
    pub(in crate::text_to_sql) fn refill(&self) {
        self.left.store(MAX_ANSWER, Ordering::Relaxed);
    }

    /// Whether the wire was cut because an answer was too long.
    pub(in crate::text_to_sql) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// False when the wire must be cut.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let enough =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok();
        self.cut.fetch_or(!enough, Ordering::Relaxed);
        enough
    }
}
