//! The threads that run the model, and their queue. What waits is run together up to a bound. A caller that went away costs
//! nothing: its work is skipped.
//!
//! Questions and documents have threads of their own, and the kernel gives way to those of questions: a document's batch
//! may be running on every core, and a question is not held up by it.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::background;
use super::bert::{Bert, Scratch};
use crate::models::ModelError;

/// The tokens of one batch, special tokens counted: an eighth of a second on one core, which is as long as an ingestion
/// that is given up may go on. Twice as many are no faster, half as many cost 2 to 7 % (`benches/embedder.rs`).
pub const BATCH_TOKENS: usize = 512;

/// Whether somebody waits for what these threads compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As important as anything.
    Now,
    /// With whatever the rest of the machine leaves.
    Background,
}

/// A question of so many tokens is worth the help of other threads; a shorter one is done before they have woken up.
const HELPED_TOKENS: usize = 48;

/// Threads that end when this is dropped.
pub struct Workers {
    queue: Arc<Queue>,
}

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Job {
    sequences: Vec<Vec<u32>>,
    answer: oneshot::Sender<Vec<Vec<f32>>>,
}

impl Workers {
    /// Starts `threads` threads, at least one.
    pub fn start(bert: &Arc<Bert>, threads: usize, urgency: Urgency) -> io::Result<Workers> {
        let queue = Arc::new(Queue { waiting: Mutex::default(), changed: Condvar::new() });
        let workers = Workers { queue };
        for index in 0..threads.max(1) {
            let (bert, queue) = (Arc::clone(bert), Arc::clone(&workers.queue));
            let name = match urgency {
                Urgency::Now => format!("questions-{index}"),
                Urgency::Background => format!("embedder-{index}"),
            };
            thread::Builder::new().name(name).spawn(move || {
                if urgency == Urgency::Background {
                    background::give_way();
                }
                work(&bert, &queue, if urgency == Urgency::Now { threads } else { 1 });
            })?;
        }
        Ok(workers)
    }

    /// The vectors of `sequences`, in order.
    pub async fn run(&self, sequences: Vec<Vec<u32>>) -> Result<Vec<Vec<f32>>, ModelError> {
        let (answer, vectors) = oneshot::channel();
        self.queue.put(Job { sequences, answer });
        vectors.await.map_err(|_| ModelError::GiveUp("the local model failed on this text".to_owned()))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

/// `helpers` may compute along with this thread.
fn work(bert: &Bert, queue: &Queue, helpers: usize) {
    let mut scratch = Scratch::default();
    while let Some(jobs) = queue.take() {
        let (sequences, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().filter(|job| !job.answer.is_closed()).map(|job| (job.sequences, job.answer)).unzip();
        let counts: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let sequences = sequences.concat();
        let tokens: usize = sequences.iter().map(Vec::len).sum();
        // Several questions keep the other threads busy as it is.
        let threads = if sequences.len() == 1 && tokens >= HELPED_TOKENS { helpers } else { 1 };
        // A panic would be a bug of ours; it costs these callers their answer, but never the process its worker.
        let Ok(vectors) = catch_unwind(AssertUnwindSafe(|| bert.embed(&sequences, &mut scratch, threads))) else {
            continue;
        };
        let mut vectors = vectors.into_iter();
        for (answer, count) in answers.into_iter().zip(counts) {
            // The caller may have gone away meanwhile, and that is fine.
            let _ = answer.send(vectors.by_ref().take(count).collect());
        }
    }
}

impl Queue {
    fn put(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.changed.notify_one();
    }

    /// The next batch; waits for one. `None` when the queue is closed.
    fn take(&self) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            let jobs = waiting.next_batch();
            if !jobs.is_empty() {
                return Some(jobs);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The first job, and those behind it that fit into the same batch.
    fn next_batch(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut tokens = 0;
        while let Some(job) = self.jobs.front() {
            tokens += job.tokens();
            if tokens > BATCH_TOKENS && !jobs.is_empty() {
                break;
            }
            jobs.extend(self.jobs.pop_front());
        }
        jobs
    }
}

impl Job {
    fn tokens(&self) -> usize {
        self.sequences.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(tokens: usize) -> Job {
        Job { sequences: vec![vec![0; tokens]], answer: oneshot::channel().0 }
    }

    fn batch(waiting: &mut Waiting) -> Vec<usize> {
        waiting.next_batch().iter().map(Job::tokens).collect()
    }

    #[test]
    fn a_batch_stays_under_the_token_budget_in_the_order_of_arrival() {
        let mut waiting = Waiting::default();
        waiting.jobs.extend([BATCH_TOKENS - 1, 1, 1, BATCH_TOKENS + 5, 3].map(job));
        assert_eq!(batch(&mut waiting), [BATCH_TOKENS - 1, 1]);
        assert_eq!(batch(&mut waiting), [1]);
        assert_eq!(batch(&mut waiting), [BATCH_TOKENS + 5]);
        assert_eq!(batch(&mut waiting), [3]);
        assert!(batch(&mut waiting).is_empty());
    }
}
