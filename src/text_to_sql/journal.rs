//! Every decision about a statement, told before the statement runs, and afterwards how that ended.
//!
//! The recipe tells, and whoever took the other end of the [`Journal`] keeps. What is not kept does not run. A run whose
//! future is dropped, because its caller has gone, ends as `cancelled`. Rows are never told.

use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    engine::Estimate,
    guard::{ReadOnlySql, Violation, ViolationCode},
    run::Rows,
};

/// Where decisions are told.
#[derive(Debug, Clone)]
pub struct Journal(mpsc::UnboundedSender<Entry>);

/// What is told, in order.
#[derive(Debug)]
pub enum Entry {
    /// Answered once it is kept; not at all when it cannot be.
    Decided(Decision, oneshot::Sender<()>),
    Ended(DecisionId, Ending),
}

/// A decision's id and time, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionId {
    pub id: Uuid,
    pub at: DateTime<Utc>,
}

/// What the guard said of a statement.
#[derive(Debug, Clone)]
pub struct Decision {
    pub id: DecisionId,
    pub query_id: Option<Uuid>,
    pub action: Action,
    pub sql_sent: String,
    /// As it may run; nothing when it is refused.
    pub sql: Option<String>,
    pub violations: Vec<ViolationCode>,
    /// Read by the statement, with their schemas.
    pub tables: Vec<String>,
    /// An [`Ending`] follows.
    pub runs: bool,
}

/// What a statement was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Validate,
    Execute,
    Ask,
    /// A draft that is run to tell choices apart.
    Candidate,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending {
    pub estimate: Option<Estimate>,
    /// Why it was not run after all.
    pub violation: Option<ViolationCode>,
    /// How many rows came, and whether there were more.
    pub rows: Option<(usize, bool)>,
    pub error_code: Option<&'static str>,
    pub took: Duration,
}

/// The decision could not be kept, so the statement was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the decision could not be written down")]
pub struct NotKept;

/// A statement on its way: what is not ended by hand is ended, as `cancelled`, by dropping it.
#[derive(Debug)]
pub struct Run {
    journal: Journal,
    id: DecisionId,
    began: Instant,
    pub estimate: Option<Estimate>,
    ended: bool,
}

/// Of a run whose caller went away.
pub const CANCELLED: &str = "cancelled";

impl Journal {
    /// A journal, and the end at which its entries arrive.
    pub fn new() -> (Journal, mpsc::UnboundedReceiver<Entry>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Journal(sender), receiver)
    }

    /// Tells a decision after which nothing runs, and waits until it is kept.
    pub async fn decided(&self, decision: Decision) -> Result<(), NotKept> {
        self.tell(decision).await.map_err(|_| NotKept)
    }

    /// The same for one that nobody waits for.
    pub fn tell(&self, decision: Decision) -> oneshot::Receiver<()> {
        if !decision.runs {
            count(decision.violations.first().copied());
        }
        let (kept, answer) = oneshot::channel();
        // Nobody keeps it: the sender is gone with the entry, and that is the answer.
        let _ = self.0.send(Entry::Decided(decision, kept));
        answer
    }

    /// Tells that a statement is about to run, and waits until that is kept.
    pub async fn begin(&self, decision: Decision) -> Result<Run, NotKept> {
        let mut run =
            Run { journal: self.clone(), id: decision.id, began: Instant::now(), estimate: None, ended: false };
        let kept = self.decided(Decision { runs: true, ..decision }).await;
        run.ended = kept.is_err();
        kept.map(|()| run)
    }
}

impl Decision {
    pub fn allowed(query_id: Option<Uuid>, action: Action, sql_sent: &str, proven: &ReadOnlySql) -> Decision {
        Decision {
            sql: Some(proven.text().to_owned()),
            tables: proven.tables().iter().map(|table| format!("{}.{}", table.schema, table.table)).collect(),
            ..Decision::refused(query_id, action, sql_sent, &[])
        }
    }

    pub fn refused(query_id: Option<Uuid>, action: Action, sql_sent: &str, violations: &[Violation]) -> Decision {
        Decision {
            id: DecisionId { id: Uuid::now_v7(), at: Utc::now().trunc_subsecs(6) },
            query_id,
            action,
            sql_sent: sql_sent.to_owned(),
            sql: None,
            violations: violations.iter().map(|violation| violation.code).collect(),
            tables: Vec::new(),
            runs: false,
        }
    }
}

impl Run {
    pub fn finish(self, rows: &Rows) {
        self.end(Ending { rows: Some((rows.row_count, rows.truncated)), ..Ending::default() });
    }

    pub fn refuse(self, violation: ViolationCode) {
        self.end(Ending { violation: Some(violation), ..Ending::default() });
    }

    pub fn fail(self, code: &'static str) {
        self.end(Ending { error_code: Some(code), ..Ending::default() });
    }

    fn end(mut self, ending: Ending) {
        self.ended = true;
        self.tell(ending);
    }

    fn tell(&self, ending: Ending) {
        count(ending.violation);
        let ending = Ending { estimate: self.estimate, took: self.began.elapsed(), ..ending };
        let _ = self.journal.0.send(Entry::Ended(self.id, ending));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Ending { error_code: Some(CANCELLED), ..Ending::default() });
        }
    }
}

/// Counts a decision once, by the first thing that is wrong with the statement.
fn count(violation: Option<ViolationCode>) {
    let verdict = if violation.is_some() { "refused" } else { "allowed" };
    let code = violation.map(ViolationCode::name).unwrap_or_default();
    metrics::counter!("almanac_sql_decisions_total", "verdict" => verdict, "code" => code).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn keep_all(mut entries: mpsc::UnboundedReceiver<Entry>) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(entry) = entries.recv().await {
            match entry {
                Entry::Decided(decision, kept) => {
                    seen.push(format!("decided {:?}", decision.action));
                    let _ = kept.send(());
                }
                Entry::Ended(_, ending) => seen.push(format!("ended {:?} {:?}", ending.rows, ending.error_code)),
            }
        }
        seen
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_is_told_as_cancelled_and_one_that_ended_is_told_once() {
        let (journal, entries) = Journal::new();
        let kept = tokio::spawn(keep_all(entries));
        let decision = || Decision::refused(None, Action::Execute, "select 1", &[]);
        drop(journal.begin(decision()).await.unwrap());
        journal.begin(decision()).await.unwrap().fail("timeout");
        drop(journal);
        let seen = kept.await.unwrap();
        assert_eq!(
            seen,
            ["decided Execute", "ended None Some(\"cancelled\")", "decided Execute", "ended None Some(\"timeout\")"]
        );
    }

    #[tokio::test]
    async fn what_nobody_keeps_does_not_begin() {
        let (journal, entries) = Journal::new();
        drop(entries);
        let decision = Decision::refused(None, Action::Ask, "select 1", &[]);
        assert_eq!(journal.begin(decision).await.err(), Some(NotKept));
    }
}
