//! What flows between the server and the processes it starts for a file.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;

use super::{ExtractCode, ExtractFailure};

/// A pipe holds as much.
const COPIED_BYTES: usize = 64 * 1024;

/// Copies the `file_bytes` bytes of `file`. That the process reads no more is no failure: it has answered, or ended.
pub async fn send(
    stdin: &mut ChildStdin,
    file: impl AsyncRead + Unpin + Send,
    file_bytes: u64,
) -> Result<(), ExtractFailure> {
    copy(stdin, file.take(file_bytes), file_bytes).await.map_err(|error| unavailable("the stored file", &error))
}

async fn copy(stdin: &mut ChildStdin, mut file: impl AsyncRead + Unpin + Send, file_bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPIED_BYTES];
    let mut sent = 0;
    loop {
        let count = file.read(&mut buffer).await?;
        match buffer.get(..count).unwrap_or_default() {
            [] if sent == file_bytes => return Ok(()),
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            part if stdin.write_all(part).await.is_err() => return Ok(()),
            part => sent += part.len() as u64,
        }
    }
}

/// The first bytes, and the rest read away, so that the writer never waits.
pub async fn first_bytes(mut from: impl AsyncRead + Unpin, count: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    let read = (&mut from).take(count).read_to_end(&mut kept).await;
    if read.is_ok() {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await.ok();
    }
    kept
}

/// Nothing is known about the file: `what` failed, and may not the next time.
pub fn unavailable(what: &str, error: &io::Error) -> ExtractFailure {
    ExtractFailure::passing(ExtractCode::Unavailable, format!("Almanac could not open {what}: {error}."))
}
