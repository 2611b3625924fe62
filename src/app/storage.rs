//! The storage for files: opened, known to be this installation's, with room on the disk, and swept once a day.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use tokio::time::timeout;
use uuid::Uuid;

use super::App;
use crate::{
    config::Config,
    ingest::originals::{OriginalError, Originals},
};

/// A start does not wait longer for a storage that is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a start there is more urgent work.
const FIRST_SWEEP: Duration = Duration::from_secs(10 * 60);
const SWEEP_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn open(config: &Config) -> anyhow::Result<Originals> {
    Originals::open(&config.data_dir, config.storage_url.as_ref(), &config.storage_options)
        .context("the storage for files (ALMANAC_STORAGE_URL)")
}

impl App {
    /// Writes into the storage whose it is, so that workers can tell. Storage that is away keeps no server from starting:
    /// searches need none.
    pub(super) async fn mark_storage(&self) -> anyhow::Result<()> {
        let installation = self.store.installation_id().await?;
        let mark = async {
            let marked = self.originals.marked().await?;
            if marked.as_deref() == Some(&installation.to_string()) {
                return Ok(());
            }
            if let Some(other) = marked {
                tracing::warn!(other, "the storage for files held those of another installation: give each its own");
            }
            self.originals.mark(installation).await
        };
        match timeout(PATIENCE, mark).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "uploads will fail until the storage for files answers"),
            Err(_) => tracing::warn!("uploads will fail until the storage for files answers"),
        }
        Ok(())
    }

    /// A worker on other files than the server's would fail one document after the other.
    pub(super) async fn check_storage(&self) -> anyhow::Result<()> {
        let installation = self.store.installation_id().await?;
        match timeout(PATIENCE, self.originals.marked()).await {
            Ok(Ok(marked)) => is_ours(marked.as_deref(), installation),
            Ok(Err(OriginalError::Unavailable(why))) => {
                tracing::warn!(why, "documents wait until the storage for files answers");
                Ok(())
            }
            Ok(Err(error)) => Err(error).context("the storage for files"),
            Err(_) => {
                tracing::warn!("documents wait until the storage for files answers");
                Ok(())
            }
        }
    }

    /// Whether the disk of the data folder, which PostgreSQL needs as well, has room for uploads. A file system that does not
    /// say counts as one that has.
    pub fn has_room(&self) -> bool {
        let free = rustix::fs::statvfs(&self.config.data_dir).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        free.map_or(true, |free| free >= self.config.min_free_bytes)
    }

    /// Once a day until [`super::Parts::stop`], removes stored files that no document names.
    pub async fn sweep_originals(&self) {
        let mut wait = FIRST_SWEEP;
        while self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            match self.originals.sweep(&self.store, SystemTime::now()).await {
                Ok(removed) => tracing::info!(removed, "swept the storage for files"),
                Err(error) => tracing::warn!(%error, "the storage for files could not be swept"),
            }
            wait = SWEEP_INTERVAL;
        }
    }
}

fn is_ours(marked: Option<&str>, installation: Uuid) -> anyhow::Result<()> {
    match marked {
        Some(id) if id == installation.to_string() => Ok(()),
        Some(_) => {
            bail!("this storage holds the files of another installation: set ALMANAC_STORAGE_URL as the server has it")
        }
        None => bail!(
            "this storage holds no files of the server: set ALMANAC_STORAGE_URL, or ALMANAC_DATA_DIR, as the server has it \
             (and start the server first)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_storage_is_a_workers() {
        let ours = Uuid::from_u128(1);
        assert!(is_ours(Some(&ours.to_string()), ours).is_ok());
        for marked in [None, Some("00000000-0000-0000-0000-000000000002"), Some("")] {
            assert!(is_ours(marked, ours).unwrap_err().to_string().contains("ALMANAC_STORAGE_URL"), "{marked:?}");
        }
    }
}
