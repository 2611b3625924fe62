//! Reading an original, and noticing when it is not what was uploaded.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::TryStreamExt;
use object_store::{GetOptions, GetRange, GetResultPayload, path::Path as Key};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, ReadBuf};
use tokio_util::io::StreamReader;

use super::{OriginalError, Originals, key};
use crate::store::documents::DocumentRow;

type Reader = Pin<Box<dyn AsyncRead + Send>>;

const OTHER_SIZE: OriginalError = OriginalError::Damaged("it has another size than was uploaded");
const ENDS_EARLY: OriginalError = OriginalError::Damaged("it ends early");
const OTHER_BYTES: OriginalError = OriginalError::Damaged("its SHA-256 is not that of the upload");

pub(super) async fn whole(originals: &Originals, key: &Key) -> Result<(u64, Reader), OriginalError> {
    get(originals, key, None).await
}

pub(super) async fn checked(originals: &Originals, document: &DocumentRow) -> Result<Checked, OriginalError> {
    let (size, reader) = get(originals, &key_of(document), None).await?;
    if Ok(size) != u64::try_from(document.size) {
        return Err(OTHER_SIZE);
    }
    let checked = Checked { reader, left: size, hash: Some(Sha256::new()), sha256: document.sha256.clone() };
    if size == 0 { checked.of_nothing() } else { Ok(checked) }
}

pub(super) async fn part(
    originals: &Originals,
    document: &DocumentRow,
    range: Range<u64>,
) -> Result<Checked, OriginalError> {
    let left = range.end.saturating_sub(range.start);
    let (size, reader) = get(originals, &key_of(document), Some(range)).await?;
    if Ok(size) != u64::try_from(document.size) {
        return Err(OTHER_SIZE);
    }
    Ok(Checked { reader, left, hash: None, sha256: Vec::new() })
}

fn key_of(document: &DocumentRow) -> Key {
    key(document.workspace_id, document.knowledge_base_id, document.original)
}

/// The size of the whole object, and the bytes that were asked for.
async fn get(originals: &Originals, key: &Key, range: Option<Range<u64>>) -> Result<(u64, Reader), OriginalError> {
    let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
    let found = originals.store.get_opts(key, options).await?;
    let (size, range) = (found.meta.size, found.range.clone());
    let reader: Reader = match found.payload {
        GetResultPayload::File(file, _) => {
            let mut file = tokio::fs::File::from_std(file);
            file.seek(io::SeekFrom::Start(range.start)).await?;
            Box::pin(file.take(range.end.saturating_sub(range.start)))
        }
        GetResultPayload::Stream(stream) => {
            Box::pin(StreamReader::new(stream.map_err(|error| io::Error::from(OriginalError::from(error)))))
        }
    };
    Ok((size, reader))
}

/// Counts and hashes what goes through, and fails instead of handing out the last bytes when they are not the right ones.
pub(super) struct Checked {
    reader: Reader,
    left: u64,
    /// None once it is compared, and where only the number of bytes can be.
    hash: Option<Sha256>,
    sha256: Vec<u8>,
}

impl Checked {
    fn of_nothing(mut self) -> Result<Checked, OriginalError> {
        self.pass(&[])?;
        Ok(self)
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<(), OriginalError> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(OTHER_SIZE)?;
        let Some(hash) = &mut self.hash else { return Ok(()) };
        hash.update(bytes);
        if self.left == 0 && self.hash.take().is_some_and(|hash| hash.finalize().as_slice() != self.sha256) {
            return Err(OTHER_BYTES);
        }
        Ok(())
    }
}

impl AsyncRead for Checked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        ready!(self.reader.as_mut().poll_read(context, buffer))?;
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() && room > 0 && self.left > 0 {
            return Poll::Ready(Err(ENDS_EARLY.into()));
        }
        let passed = self.pass(bytes);
        if passed.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(passed.map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(bytes: &'static [u8], size: u64, sha256_of: &[u8]) -> Checked {
        let sha256 = Sha256::digest(sha256_of).to_vec();
        Checked { reader: Box::pin(bytes), left: size, hash: Some(Sha256::new()), sha256 }
    }

    async fn read(mut reader: Checked) -> (Vec<u8>, Result<(), OriginalError>) {
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes).await;
        (bytes, read.map(|_| ()).map_err(OriginalError::from))
    }

    #[tokio::test]
    async fn the_uploaded_bytes_pass() {
        assert_eq!(read(over(b"words", 5, b"words")).await, (b"words".to_vec(), Ok(())));
        assert_eq!(read(over(b"", 0, b"").of_nothing().unwrap()).await, (Vec::new(), Ok(())));
    }

    #[tokio::test]
    async fn other_bytes_are_damage_and_their_end_is_never_handed_out() {
        assert_eq!(read(over(b"wards", 5, b"words")).await, (Vec::new(), Err(OTHER_BYTES)));
        assert_eq!(read(over(b"wor", 5, b"words")).await.1, Err(ENDS_EARLY));
        assert_eq!(read(over(b"words and more", 5, b"words")).await.1, Err(OTHER_SIZE));
        assert_eq!(over(b"", 0, b"words").of_nothing().err(), Some(OTHER_BYTES));
    }
}
