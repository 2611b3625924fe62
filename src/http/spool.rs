//! A document that comes as JSON. A small body is held in memory while it comes, a large one on disk, so that many slow
//! clients cost no memory; parsing takes memory, and what is parsed at one time is weighed for the whole process.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Seek},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::{
    MULTIPART_OVERHEAD,
    body::{self, require_json},
    problem::{Code, Problem, REQUEST_ID},
    receiving::Receipt,
};
use crate::app::{App, uploads::Weight};

/// A body of this size is held in memory; a larger one goes to disk in pieces of it.
const IN_MEMORY: usize = 1 << 20;
const READ_BYTES: usize = 64 << 10;

/// A body that is here as a whole.
#[derive(Clone)]
pub struct Spooled(Arc<Whole>);

struct Whole {
    sha256: Vec<u8>,
    kept: Kept,
}

enum Kept {
    Memory(Vec<u8>),
    /// Without a name: it goes when it is closed, also by a crash.
    File(File, u64),
}

/// The longest body in JSON: what is parsed is in memory twice, so larger documents come as files.
pub fn most(app: &App) -> usize {
    const MOST: usize = 40 << 20;
    MOST.min(app.config.max_upload_bytes + MULTIPART_OVERHEAD)
}

/// Takes in a body, whose client `receipt` watches.
pub async fn receive(app: &App, headers: &HeaderMap, receipt: &Receipt, body: Body) -> Result<Spooled, Problem> {
    require_json(headers)?;
    let most = most(app);
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let mut body = body.into_data_stream();
    let mut spool = Spool { dir: &app.config.data_dir, hash: Sha256::new(), size: 0, held: Vec::new(), file: None };
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| receipt.problem().unwrap_or_else(cut_off))?;
        spool.take(&piece).await.map_err(no_room)?;
        if spool.size > most {
            return Err(too_large(most));
        }
    }
    spool.end().await.map_err(no_room)
}

impl Spooled {
    pub fn sha256(&self) -> &[u8] {
        &self.0.sha256
    }

    /// What the body says. The weight is that of a large one, to be kept for as long as its text is.
    pub async fn parse<T: DeserializeOwned + Send + 'static>(self, app: &App) -> Result<(T, Option<Weight>), Problem> {
        let size = match &self.0.kept {
            Kept::Memory(bytes) => return Ok((body::parse(bytes)?, None)),
            Kept::File(_, size) => *size,
        };
        let weight = app.uploads.weigh(size).await;
        let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
        let parse = move || REQUEST_ID.sync_scope(request_id, || self.parse_file());
        Ok((tokio::task::spawn_blocking(parse).await.map_err(Problem::internal)??, weight))
    }

    fn parse_file<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let Kept::File(file, _) = &self.0.kept else { return Err(Problem::internal("a body is not on disk")) };
        body::parse_again(|| {
            let mut file = file;
            file.rewind()?;
            Ok(BufReader::with_capacity(READ_BYTES, file))
        })
    }
}

struct Spool<'a> {
    dir: &'a Path,
    hash: Sha256,
    size: usize,
    held: Vec<u8>,
    file: Option<tokio::fs::File>,
}

impl Spool<'_> {
    async fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hash.update(piece);
        self.size += piece.len();
        if self.held.len() + piece.len() > IN_MEMORY {
            self.write().await?;
        }
        self.held.extend_from_slice(piece);
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tokio::fs::File::from_std(nameless(self.dir)?)),
        };
        file.write_all(&self.held).await?;
        self.held.clear();
        Ok(())
    }

    async fn end(mut self) -> io::Result<Spooled> {
        if self.file.is_some() {
            self.write().await?;
        }
        let kept = match self.file {
            None => Kept::Memory(self.held),
            Some(mut file) => {
                file.flush().await?;
                Kept::File(file.into_std().await, self.size as u64)
            }
        };
        Ok(Spooled(Arc::new(Whole { sha256: self.hash.finalize().to_vec(), kept })))
    }
}

/// A new file in `dir` that nobody else can open.
fn nameless(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!("upload-{}", Uuid::now_v7()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn too_large(most: usize) -> Problem {
    let detail = format!("A document in JSON may have {} MiB at most; send it as a file instead.", most >> 20);
    Problem::new(Code::TooLarge, detail)
}

fn cut_off() -> Problem {
    Problem::new(Code::MalformedRequest, "The body could not be read to its end.")
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is that of map_err")]
fn no_room(error: io::Error) -> Problem {
    tracing::warn!(%error, "an upload could not be held on disk");
    Problem::new(Code::StoreUnavailable, "The server cannot hold the upload on disk just now; try again.")
        .retry_after(5)
}
