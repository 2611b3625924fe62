//! Uploaded bytes, kept unchanged in the data directory: one file an upload, in a folder a knowledge base.
//!
//! They are on disk before a row says `uploaded`: written aside, synced, and put in their place by whoever registers
//! them. What is never put there vanishes; what an earlier crash left aside is swept at the start.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::extract::HEAD_BYTES;

/// The folder of originals.
#[derive(Debug, Clone)]
pub struct Originals {
    root: PathBuf,
}

/// An upload that is being written.
#[derive(Debug)]
pub struct Draft {
    aside: Aside,
    file: tokio::fs::File,
    hash: Sha256,
    size: u64,
    /// The first bytes, by which the content type is told.
    head: Vec<u8>,
}

/// An upload whose bytes are on disk, and not in their place yet.
#[derive(Debug)]
pub struct Written {
    aside: Aside,
    pub sha256: Vec<u8>,
    pub size: u64,
    pub head: Vec<u8>,
}

/// A file that goes away unless it is put in its place.
#[derive(Debug)]
struct Aside {
    path: PathBuf,
}

const DRAFTS: &str = "drafts";

impl Originals {
    /// Only one server writes into a data directory at a time, so what lies aside now is nobody's.
    pub fn open(data_dir: &Path) -> io::Result<Originals> {
        let root = data_dir.join("originals");
        ignore_missing(fs::remove_dir_all(root.join(DRAFTS)))?;
        fs::create_dir_all(root.join(DRAFTS))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700))?;
        Ok(Originals { root })
    }

    /// Where original `id` lies.
    pub fn path(&self, workspace: Uuid, knowledge_base: Uuid, id: Uuid) -> PathBuf {
        self.folder(workspace, knowledge_base).join(id.to_string())
    }

    pub async fn draft(&self) -> io::Result<Draft> {
        let path = self.root.join(DRAFTS).join(Uuid::now_v7().to_string());
        let file = tokio::fs::File::create_new(&path).await?;
        Ok(Draft { aside: Aside { path }, file, hash: Sha256::new(), size: 0, head: Vec::new() })
    }

    /// Puts an upload in its place, durably.
    pub async fn place(&self, written: &Written, workspace: Uuid, knowledge_base: Uuid, id: Uuid) -> io::Result<()> {
        let folder = self.folder(workspace, knowledge_base);
        tokio::fs::create_dir_all(&folder).await?;
        tokio::fs::rename(&written.aside.path, folder.join(id.to_string())).await?;
        tokio::fs::File::open(&folder).await?.sync_all().await
    }

    /// Removes original `id`; it may be gone already.
    pub async fn remove(&self, workspace: Uuid, knowledge_base: Uuid, id: Uuid) -> io::Result<()> {
        ignore_missing(tokio::fs::remove_file(self.path(workspace, knowledge_base, id)).await)
    }

    /// Removes everything of a knowledge base.
    pub async fn remove_all(&self, workspace: Uuid, knowledge_base: Uuid) -> io::Result<()> {
        ignore_missing(tokio::fs::remove_dir_all(self.folder(workspace, knowledge_base)).await)
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

    /// Makes the bytes durable, still aside.
    pub async fn finish(mut self) -> io::Result<Written> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(Written { aside: self.aside, sha256: self.hash.finalize().to_vec(), size: self.size, head: self.head })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Once it is in its place there is nothing here any more; a left-over wastes space until the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
