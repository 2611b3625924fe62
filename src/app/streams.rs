//! How many clients watch batches: each looks at the store once a second for as long as it likes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

/// Of a process.
const MOST: usize = 64;
/// Of one key.
const MOST_OWN: usize = 8;

/// Who watches; cloned cheaply.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<Uuid, usize>>>);

/// A stream, until it is dropped.
#[derive(Debug)]
pub struct Stream {
    streams: Streams,
    key: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManyStreams {
    #[error("this key has {MOST_OWN} streams open already")]
    OfKey,
    #[error("{MOST} streams are open already")]
    OfAll,
}

impl Streams {
    pub fn open(&self, key: Uuid) -> Result<Stream, TooManyStreams> {
        let mut open = self.counts();
        if open.get(&key).is_some_and(|own| *own >= MOST_OWN) {
            return Err(TooManyStreams::OfKey);
        }
        if open.values().sum::<usize>() >= MOST {
            return Err(TooManyStreams::OfAll);
        }
        *open.entry(key).or_default() += 1;
        Ok(Stream { streams: self.clone(), key })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        // Nothing in here panics between two writes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.streams.counts();
        if let Some(own) = open.get_mut(&self.key) {
            *own = own.saturating_sub(1);
        }
        open.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_a_process_have_so_many_streams_and_a_closed_one_makes_room() {
        let streams = Streams::default();
        let mut open: Vec<Stream> =
            (0..MOST).map(|n| streams.open(Uuid::from_u128((n / MOST_OWN) as u128)).unwrap()).collect();
        assert_eq!(streams.open(Uuid::from_u128(0)).unwrap_err(), TooManyStreams::OfKey);
        assert_eq!(streams.open(Uuid::from_u128(99)).unwrap_err(), TooManyStreams::OfAll);
        open.pop();
        let last = streams.open(Uuid::from_u128(99)).unwrap();
        drop((open, last));
        assert!(streams.counts().is_empty());
    }
}
