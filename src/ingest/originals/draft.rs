//! Writing an upload: hashed while its parts go out, verified when it is whole, and taken back unless it is kept.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, buffered::BufWriter, path::Path as Key};
use sha2::{Digest, Sha256};
use tokio::{io::AsyncWriteExt, runtime::Handle};
use uuid::Uuid;

use super::{OriginalError, Originals, key, unavailable};
use crate::ingest::extract::HEAD_BYTES;

/// What is held in memory before a part goes out, and the largest upload that goes out at once: the least that S3 takes
/// as a part (and 10,000 of them are more than any upload).
const PART_BYTES: usize = 5 << 20;
/// One part is sent while the next one fills.
const PARTS_IN_FLIGHT: usize = 2;

/// An upload that is being written. Dropped, it leaves nothing behind.
pub struct Draft {
    id: Uuid,
    originals: Originals,
    key: Key,
    writer: Option<BufWriter>,
    hash: Sha256,
    size: u64,
    head: Vec<u8>,
}

/// An upload that is durable and verified. Dropped before [`Written::keep`], it is removed again.
pub struct Written {
    pub id: Uuid,
    pub sha256: Vec<u8>,
    pub size: u64,
    /// The first bytes, by which the content type is told.
    pub head: Vec<u8>,
    unkept: Option<(Arc<dyn ObjectStore>, Key)>,
}

impl Draft {
    pub(super) fn new(originals: &Originals, workspace: Uuid, knowledge_base: Uuid) -> Draft {
        let id = Uuid::now_v7();
        let key = key(workspace, knowledge_base, id);
        let writer = BufWriter::with_capacity(Arc::clone(&originals.store), key.clone(), PART_BYTES)
            .with_max_concurrency(PARTS_IN_FLIGHT);
        Draft {
            id,
            originals: originals.clone(),
            key,
            writer: Some(writer),
            hash: Sha256::new(),
            size: 0,
            head: Vec::new(),
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), OriginalError> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..missing).unwrap_or_default());
        let writer = self.writer.as_mut().ok_or_else(|| unavailable(&"writing it has failed already"))?;
        if let Err(error) = writer.write_all(bytes).await {
            // A writer that failed must not be written to again.
            take_back(self.writer.take());
            return Err(unavailable(&error));
        }
        Ok(())
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sends what is left, and returns when all of it is durable and has the right size.
    pub async fn finish(mut self) -> Result<Written, OriginalError> {
        let writer = self.writer.take().ok_or_else(|| unavailable(&"writing it has failed already"))?;
        let originals = self.originals.clone();
        let written = Written {
            id: self.id,
            sha256: std::mem::take(&mut self.hash).finalize().to_vec(),
            size: self.size,
            head: std::mem::take(&mut self.head),
            unkept: Some((Arc::clone(&originals.store), self.key.clone())),
        };
        // On a task of its own: a client that hangs up just now must not cut a store's protocol in the middle.
        let finished = async move { originals.complete(writer, &written).await.map(|()| written) };
        tokio::spawn(finished).await.map_err(|error| unavailable(&error))?
    }
}

impl Originals {
    async fn complete(&self, mut writer: BufWriter, written: &Written) -> Result<(), OriginalError> {
        let Some((_, key)) = &written.unkept else { return Ok(()) };
        let sent = writer.shutdown().await;
        match sent {
            Ok(()) => match self.store.head(key).await {
                Ok(found) if found.size == written.size => Ok(()),
                Ok(_) => Err(unavailable(&"the stored file has another size than was written")),
                Err(error) => Err(unavailable(&error)),
            },
            // The answer may have been lost and not the upload: a store that is asked to complete it once more knows of
            // none. Of a folder, an error means that it may not be durable.
            Err(error) => match self.store.head(key).await {
                Ok(found) if self.folder.is_none() && found.size == written.size => Ok(()),
                _ => Err(unavailable(&error)),
            },
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        take_back(self.writer.take());
    }
}

/// Aborts an upload that is not finished, in the background: nobody waits for it.
fn take_back(writer: Option<BufWriter>) {
    if let (Some(mut writer), Ok(runtime)) = (writer, Handle::try_current()) {
        runtime.spawn(async move {
            if let Err(error) = writer.abort().await {
                tracing::warn!(error = %unavailable(&error), "an upload could not be taken back");
            }
        });
    }
}

impl Written {
    /// From now on only the sweep removes it, if no row names it. To be called before the row is committed: a commit that
    /// fails may still have happened.
    pub fn keep(&mut self) {
        self.unkept = None;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let (Some((store, key)), Ok(runtime)) = (self.unkept.take(), Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = super::ignore_missing(store.delete(&key).await) {
                    tracing::warn!(%error, "an unneeded original could not be removed; the sweep will");
                }
            });
        }
    }
}
