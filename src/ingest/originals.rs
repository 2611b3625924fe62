//! Uploaded bytes, kept unchanged in the data directory under their SHA-256, one folder a knowledge base.
//!
//! They are on disk before a row says `uploaded`: written aside, synced, renamed. The same bytes are one file.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::{fs, io::AsyncWriteExt};
use uuid::Uuid;

/// The folder of originals.
#[derive(Debug, Clone)]
pub struct Originals {
    root: PathBuf,
}

/// An upload that is being written; dropped before [`Draft::keep`], it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    file: fs::File,
    hash: Sha256,
    size: u64,
    /// The first bytes, by which the content type is told.
    head: Vec<u8>,
    kept: bool,
}

/// A file whose bytes are safe.
#[derive(Debug, Clone)]
pub struct Kept {
    pub sha256: Vec<u8>,
    pub size: u64,
    pub head: Vec<u8>,
}

/// Enough for every signature, and for a guess at a text's encoding.
const HEAD_BYTES: usize = 8 * 1024;

impl Originals {
    pub fn open(data_dir: &Path) -> io::Result<Originals> {
        let root = data_dir.join("originals");
        std::fs::create_dir_all(root.join("drafts"))?;
        Ok(Originals { root })
    }

    /// Where the bytes with this hash lie.
    pub fn path(&self, workspace: Uuid, knowledge_base: Uuid, sha256: &[u8]) -> PathBuf {
        self.folder(workspace, knowledge_base).join(hex::encode(sha256))
    }

    pub async fn draft(&self) -> io::Result<Draft> {
        let path = self.root.join("drafts").join(Uuid::now_v7().to_string());
        let file = fs::File::create_new(&path).await?;
        Ok(Draft { path, file, hash: Sha256::new(), size: 0, head: Vec::new(), kept: false })
    }

    /// Removes the bytes with this hash; they may be gone already.
    pub async fn remove(&self, workspace: Uuid, knowledge_base: Uuid, sha256: &[u8]) -> io::Result<()> {
        ignore_missing(fs::remove_file(self.path(workspace, knowledge_base, sha256)).await)
    }

    /// Removes everything of a knowledge base.
    pub async fn remove_all(&self, workspace: Uuid, knowledge_base: Uuid) -> io::Result<()> {
        ignore_missing(fs::remove_dir_all(self.folder(workspace, knowledge_base)).await)
    }

    fn folder(&self, workspace: Uuid, knowledge_base: Uuid) -> PathBuf {
        self.root.join(workspace.to_string()).join(knowledge_base.to_string())
    }
}

impl Draft {
    pub async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.file.write_all(bytes).await
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes the bytes durable under their hash.
    pub async fn keep(mut self, originals: &Originals, workspace: Uuid, knowledge_base: Uuid) -> io::Result<Kept> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let sha256 = std::mem::take(&mut self.hash).finalize().to_vec();
        let folder = originals.folder(workspace, knowledge_base);
        fs::create_dir_all(&folder).await?;
        fs::rename(&self.path, originals.path(workspace, knowledge_base, &sha256)).await?;
        self.kept = true;
        fs::File::open(&folder).await?.sync_all().await?;
        Ok(Kept { sha256, size: self.size, head: std::mem::take(&mut self.head) })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // A left-over draft wastes space and nothing else.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
