//! Who of a process's workers may work: many at a time, or one alone on a document whose attempts keep ending badly. If it
//! ends the process again, it takes no other document with it.

use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Debug, Default)]
pub struct Gate {
    work: RwLock<()>,
    alone: Mutex<()>,
}

/// Held while a document is worked on.
#[derive(Debug)]
pub enum Pass<'a> {
    Among(RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code, reason = "is held, not read")] MutexGuard<'a, ()>, RwLockWriteGuard<'a, ()>),
}

impl<'a> Pass<'a> {
    /// Lets others work beside from now on.
    pub fn among(self) -> RwLockReadGuard<'a, ()> {
        match self {
            Pass::Among(among) => among,
            Pass::Alone(_, alone) => alone.downgrade(),
        }
    }
}

impl Gate {
    /// Waits while somebody works alone, or waits to.
    pub async fn opened(&self) {
        drop(self.alone.lock().await);
    }

    /// Lets work begin: at once, or, where it is to be `alone`, once the others have ended. `None`: somebody else works
    /// alone, or waits to.
    pub async fn pass(&self, alone: bool) -> Option<Pass<'_>> {
        if !alone {
            return self.work.try_read().ok().map(Pass::Among);
        }
        let one = self.alone.try_lock().ok()?;
        Some(Pass::Alone(one, self.work.write().await))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn who_works_alone_waits_for_the_others_and_keeps_them_out() {
        let gate = Gate::default();
        let among = gate.pass(false).await.unwrap();
        let mut alone = Box::pin(gate.pass(true));
        assert!((&mut alone).now_or_never().is_none(), "somebody works still");
        assert!(gate.pass(false).await.is_none(), "nobody begins while one waits to be alone");
        assert!(gate.pass(true).await.is_none(), "one at a time is alone");
        assert!(gate.opened().now_or_never().is_none());
        drop(among);
        let pass = alone.now_or_never().flatten().unwrap();
        assert!(gate.pass(false).await.is_none());
        let among = pass.among();
        assert!(gate.pass(false).await.is_some(), "it has been alone for long enough");
        drop(among);
        gate.opened().now_or_never().unwrap();
        assert!(gate.pass(false).await.is_some() && gate.pass(true).await.is_some());
    }
}
