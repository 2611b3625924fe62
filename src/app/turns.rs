//! Whose statement a user's database runs next: a few at a time, first come first served, except that one key has at most
//! half of the places while another waits.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use uuid::Uuid;

/// Places on one database: one fewer than an engine has sessions, since reading the catalog takes one without a turn.
const PLACES: usize = 4;
const HALF: usize = PLACES / 2;
/// Of one key on one database. Each waits a few seconds at most, so more would be for nothing.
const WAITING: usize = 16;

/// The places on one database.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<State>>);

/// A place; given to the next by dropping it.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    key: Uuid,
}

/// Too many statements of one key wait for one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{WAITING} statements of this key wait for the database already")]
pub struct TooManyWaiting;

#[derive(Debug, Default)]
struct State {
    running: HashMap<Uuid, usize>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    key: Uuid,
    place: oneshot::Sender<Turn>,
}

impl Turns {
    /// Whether another statement of `key` may wait.
    pub fn admit(&self, key: Uuid) -> Result<(), TooManyWaiting> {
        match self.state().waiting(key) < WAITING {
            true => Ok(()),
            false => Err(TooManyWaiting),
        }
    }

    /// Whether anybody else holds or may take a place.
    pub fn in_use(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// A place, as soon as there is one for `key`.
    pub async fn take(&self, key: Uuid) -> Result<Turn, TooManyWaiting> {
        let turn = {
            let mut state = self.state();
            if state.waiting(key) >= WAITING {
                return Err(TooManyWaiting);
            }
            let (place, turn) = oneshot::channel();
            state.waiting.push_back(Waiting { key, place });
            self.seat(&mut state);
            turn
        };
        // The state lives as long as this borrow of it, and it never drops who waits.
        turn.await.map_err(|_| TooManyWaiting)
    }

    /// Gives free places to those whose turn it is.
    fn seat(&self, state: &mut State) {
        while let Some(next) = state.next() {
            let turn = Turn { turns: self.clone(), key: next.key };
            match next.place.send(turn) {
                Ok(()) => *state.running.entry(next.key).or_default() += 1,
                // It left in this moment. Its turn was never counted, so it must not be given back.
                Err(turn) => turn.disarm(),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two writes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&mut self, key: Uuid) -> usize {
        self.waiting.retain(|waiting| !waiting.place.is_closed());
        self.waiting.iter().filter(|waiting| waiting.key == key).count()
    }

    /// The first whose key has less than its half, else the first.
    fn next(&mut self) -> Option<Waiting> {
        if self.running.values().sum::<usize>() >= PLACES {
            return None;
        }
        self.waiting.retain(|waiting| !waiting.place.is_closed());
        let modest = |waiting: &Waiting| self.running.get(&waiting.key).is_none_or(|running| *running < HALF);
        let index = self.waiting.iter().position(modest).unwrap_or(0);
        self.waiting.remove(index)
    }
}

impl Turn {
    fn disarm(mut self) {
        // What is dropped now is the place of a database that nobody else knows.
        self.turns = Turns::default();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        if let Some(running) = state.running.get_mut(&self.key) {
            *running -= 1;
            if *running == 0 {
                state.running.remove(&self.key);
            }
        }
        self.turns.seat(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const GREEDY: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    #[tokio::test]
    async fn a_key_alone_has_all_places_and_half_of_them_when_another_waits() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.push(turns.take(GREEDY).await.unwrap());
        }
        let mut greedy = Box::pin(turns.take(GREEDY));
        assert!((&mut greedy).now_or_never().is_none(), "no fifth place");
        let mut others: Vec<_> = (0..3).map(|_| Box::pin(turns.take(OTHER))).collect();
        for other in &mut others {
            assert!(other.now_or_never().is_none());
        }
        drop(held.pop());
        assert!((&mut greedy).now_or_never().is_none(), "it came first, and has more than half");
        let first = (&mut others[0]).now_or_never().unwrap().unwrap();
        drop(held.pop());
        let second = (&mut others[1]).now_or_never().unwrap().unwrap();
        drop(held.pop());
        assert!((&mut greedy).now_or_never().is_some(), "now it has one, and the other has its half");
        drop((first, second));
        assert!((&mut others[2]).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_nothing() {
        let turns = Turns::default();
        let held: Vec<_> = futures::future::try_join_all((0..PLACES).map(|_| turns.take(GREEDY))).await.unwrap();
        let mut gone = Box::pin(turns.take(OTHER));
        assert!((&mut gone).now_or_never().is_none());
        let mut seated = Box::pin(turns.take(OTHER));
        assert!((&mut seated).now_or_never().is_none());
        drop(gone);
        drop(held);
        // The turn of one that was seated and never looked is given back.
        drop(seated);
        assert!(turns.state().running.is_empty() && turns.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn the_queue_of_a_key_ends_and_another_keys_does_not() {
        let turns = Turns::default();
        let _held: Vec<_> = futures::future::try_join_all((0..PLACES).map(|_| turns.take(GREEDY))).await.unwrap();
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(turns.take(GREEDY))).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        assert_eq!(turns.admit(GREEDY), Err(TooManyWaiting));
        assert!(turns.take(GREEDY).await.is_err());
        assert_eq!(turns.admit(OTHER), Ok(()));
        waiting.pop();
        assert_eq!(turns.admit(GREEDY), Ok(()));
    }
}
