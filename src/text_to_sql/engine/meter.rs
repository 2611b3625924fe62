//! How much of a server's answer is let into memory: of one row, and of all the rows together where they are all kept.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::EngineError;

/// What may arrive between two refills: the largest row, since whoever reads refills after each.
pub(in crate::text_to_sql) const MAX_ANSWER: usize = 64 << 20;
/// About what a row takes in memory beside its bytes.
const ROW: usize = 256;

/// Bytes still allowed in before the wire is cut.
#[derive(Debug)]
pub(in crate::text_to_sql) struct Meter {
    left: AtomicUsize,
    /// Of all rows of this use together.
    total: AtomicUsize,
    row_cut: AtomicBool,
    total_cut: AtomicBool,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            left: AtomicUsize::new(MAX_ANSWER),
            total: AtomicUsize::new(usize::MAX),
            row_cut: AtomicBool::new(false),
            total_cut: AtomicBool::new(false),
        }
    }

    /// A new use of the session begins, whose rows are not kept until it says so.
    pub(super) fn renew(&self) {
        self.allow(usize::MAX);
        self.left.store(MAX_ANSWER, Ordering::Relaxed);
    }

    /// The rows from here on may take this much together: whoever keeps them all says how much that is.
    pub(in crate::text_to_sql) fn allow(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// The last answer was read: another may be as long again.
    pub(in crate::text_to_sql) fn refill(&self) {
        self.left.store(MAX_ANSWER, Ordering::Relaxed);
        let _ = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| Some(total.saturating_sub(ROW)));
    }

    /// What the cut wire means, if it was cut because an answer was too long.
    pub(super) fn excess(&self) -> Option<EngineError> {
        let too_large = if self.row_cut.load(Ordering::Relaxed) {
            format!("a row is larger than {} MiB", MAX_ANSWER >> 20)
        } else if self.total_cut.load(Ordering::Relaxed) {
            "its catalog is larger than any that is read".to_owned()
        } else {
            return None;
        };
        Some(EngineError::TooLarge(too_large))
    }

    /// False when the wire must be cut.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let from = |left: &AtomicUsize, cut: &AtomicBool| {
            let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
            cut.fetch_or(taken.is_err(), Ordering::Relaxed);
            taken.is_ok()
        };
        from(&self.left, &self.row_cut) && from(&self.total, &self.total_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_kept_have_a_total_and_others_have_none() {
        let meter = Meter::new();
        let rows =
            |most: usize| (0..most).take_while(|_| meter.take(MAX_ANSWER / 2)).inspect(|_| meter.refill()).count();
        assert_eq!((rows(100), meter.excess()), (100, None));
        meter.allow(3 * MAX_ANSWER);
        assert_eq!(rows(100), 5);
        assert!(matches!(meter.excess(), Some(EngineError::TooLarge(why)) if why.contains("catalog")));
    }

    #[test]
    fn many_short_rows_are_too_much_as_well() {
        let meter = Meter::new();
        meter.allow(1000 * ROW);
        assert!((0..1001).any(|_| {
            meter.refill();
            !meter.take(1)
        }));
    }

    #[test]
    fn a_new_use_is_not_held_to_the_total_of_the_last() {
        let meter = Meter::new();
        meter.allow(1);
        meter.renew();
        assert!(meter.take(MAX_ANSWER) && !meter.take(1));
        assert!(matches!(meter.excess(), Some(EngineError::TooLarge(why)) if why.contains("a row")));
    }
}
