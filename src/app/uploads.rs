//! Who uploads now, how long the queue is, and how much JSON is being parsed: what an upload is admitted by.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::store::queue::QueueLength;

/// Uploads that are received at the same time. Each holds three parts of 5 MiB for the storage, and what the network brings;
/// what a text takes beside that is weighed.
pub const MAX_UPLOADS: usize = 16;
/// Of them, those of one workspace: slow clients of one leave places for others.
pub const MAX_OWN_UPLOADS: usize = 12;
/// How long an upload waits for a place.
const PATIENCE: Duration = Duration::from_secs(20);
/// Counting a long queue costs more than being a second late.
const FRESH: Duration = Duration::from_secs(1);

/// MiB of JSON that are parsed at the same time: one of the largest. While it is parsed, each takes two and more.
const MAX_JSON: u32 = 48;

/// The places for uploads; cloned cheaply.
#[derive(Clone)]
pub struct Uploads(Arc<State>);

struct State {
    all: Arc<Semaphore>,
    json: Arc<Semaphore>,
    own: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
    queues: Mutex<HashMap<Uuid, (Instant, QueueLength)>>,
}

/// A share of the memory for JSON, until it is dropped.
pub struct Weight {
    _share: OwnedSemaphorePermit,
}

/// The right to upload, until it is dropped.
pub struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Default for Uploads {
    fn default() -> Uploads {
        let all = Arc::new(Semaphore::new(MAX_UPLOADS));
        let json = Arc::new(Semaphore::new(MAX_JSON as usize));
        Uploads(Arc::new(State { all, json, own: Mutex::default(), queues: Mutex::default() }))
    }
}

impl Uploads {
    /// A place, first come first served; `None` when none becomes free in time.
    pub async fn enter(&self, workspace: Uuid) -> Option<Place> {
        let own = {
            let mut places = self.0.own.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(MAX_OWN_UPLOADS));
            Arc::clone(places.entry(workspace).or_insert_with(new))
        };
        let place = async {
            let own = own.acquire_owned().await.ok()?;
            let all = Arc::clone(&self.0.all).acquire_owned().await.ok()?;
            Some(Place { _own: own, _all: all })
        };
        tokio::time::timeout(PATIENCE, place).await.ok().flatten()
    }

    /// The memory to parse so many bytes of JSON, when it is free. Only those with a place ask, and no client is waited for
    /// meanwhile, so nobody waits for long.
    pub async fn weigh(&self, bytes: u64) -> Option<Weight> {
        let share = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(MAX_JSON).min(MAX_JSON);
        let share = Arc::clone(&self.0.json).acquire_many_owned(share).await.ok()?;
        Some(Weight { _share: share })
    }

    /// What was counted a moment ago, and one more for each time it was asked since: an upload follows.
    pub fn queue_of(&self, workspace: Uuid) -> Option<QueueLength> {
        let mut queues = self.0.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, length) = queues.get_mut(&workspace).filter(|(counted, _)| counted.elapsed() < FRESH)?;
        *length = QueueLength { own: length.own + 1, everybodys: length.everybodys + 1 };
        Some(*length)
    }

    pub fn remember_queue(&self, workspace: Uuid, length: QueueLength) {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace, (Instant::now(), length));
    }
}
