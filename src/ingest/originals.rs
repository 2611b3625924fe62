//! Uploaded bytes, kept unchanged in object storage: the data directory, S3 or Azure Blob.
//!
//! An upload is written once, in parts of bounded size, straight to its own key `workspace/knowledge base/uuid`; it is
//! durable and verified before a row may name it. What no row names goes away: a [`Draft`] or [`Written`] that is dropped
//! removes what it stored, and [`Originals::sweep`] finds what a crash left behind. Reading checks size and SHA-256.

mod draft;
mod place;
mod read;
mod sweep;
mod watched;

use std::{fmt, io, ops::Range, path::Path, sync::Arc};

pub use draft::{Draft, Written};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as Key};
use secrecy::SecretString;
pub use sweep::SweepError;
use tokio::io::AsyncRead;
use url::Url;
use uuid::Uuid;
pub use watched::watched;

use crate::store::documents::DocumentRow;

/// The object that says whose the storage is.
const MARK: &str = "installation";

/// Where originals are; cheap to clone.
#[derive(Clone)]
pub struct Originals {
    store: Arc<dyn ObjectStore>,
    /// The folder, where the store is one.
    folder: Option<Arc<Path>>,
}

/// Why an original cannot be stored or had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginalError {
    /// Nothing is there: it was removed, or never was.
    #[error("the stored file is missing")]
    Missing,
    /// The storage does not answer, or refuses; holds what is known, and nothing that a server repeated of a request.
    #[error("the storage for files is not available: {0}")]
    Unavailable(String),
    /// Something else is there than what was uploaded.
    #[error("the stored file is damaged: {0}")]
    Damaged(&'static str),
}

impl Originals {
    /// The folder `originals` in the data directory, or the place that `url` names (`file`, `s3`, `az` and the `https`
    /// forms of both clouds). `options` are named like the environment variables of the clouds' own tools.
    pub fn open(
        data_dir: &Path,
        url: Option<&Url>,
        options: &[(String, SecretString)],
    ) -> Result<Originals, OriginalError> {
        place::open(data_dir, url, options)
    }

    /// Begins an upload under an id of its own; nobody sees it before a row names it.
    pub fn draft(&self, workspace: Uuid, knowledge_base: Uuid) -> Draft {
        Draft::new(self, workspace, knowledge_base)
    }

    /// The size of original `id`, and its bytes as they are. An error while reading is an [`OriginalError`]: see its
    /// conversion from [`io::Error`].
    pub async fn read(
        &self,
        workspace: Uuid,
        knowledge_base: Uuid,
        id: Uuid,
    ) -> Result<(u64, impl AsyncRead + Unpin + Send + 'static), OriginalError> {
        read::whole(self, &key(workspace, knowledge_base, id)).await
    }

    /// The bytes of a document, or an error before the last of them when they are not the uploaded ones.
    pub async fn read_checked(
        &self,
        document: &DocumentRow,
    ) -> Result<impl AsyncRead + Unpin + Send + 'static, OriginalError> {
        read::checked(self, document).await
    }

    /// Some bytes of a document; of these only the number can be checked.
    pub async fn read_range(
        &self,
        document: &DocumentRow,
        range: Range<u64>,
    ) -> Result<impl AsyncRead + Unpin + Send + 'static, OriginalError> {
        read::part(self, document, range).await
    }

    /// Removes original `id`; it may be gone already.
    pub async fn remove(&self, workspace: Uuid, knowledge_base: Uuid, id: Uuid) -> Result<(), OriginalError> {
        ignore_missing(self.store.delete(&key(workspace, knowledge_base, id)).await)
    }

    /// Removes everything of a knowledge base.
    pub async fn remove_all(&self, workspace: Uuid, knowledge_base: Uuid) -> Result<(), OriginalError> {
        let prefix = Key::from_iter([workspace.to_string(), knowledge_base.to_string()]);
        let keys = self.store.list(Some(&prefix)).map_ok(|object| object.location);
        self.remove_each(Box::pin(keys)).await?;
        Ok(())
    }

    /// Which installation the storage belongs to, as [`Originals::mark`] wrote it; `None`: nobody has yet.
    pub async fn marked(&self) -> Result<Option<String>, OriginalError> {
        match self.store.get(&Key::from(MARK)).await {
            Ok(found) => Ok(Some(String::from_utf8_lossy(&found.bytes().await?).trim().to_owned())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down that the storage belongs to `installation`.
    pub async fn mark(&self, installation: Uuid) -> Result<(), OriginalError> {
        self.store.put(&Key::from(MARK), installation.to_string().into()).await?;
        Ok(())
    }

    /// Removes objects, and says how many; those that are gone already do not count.
    async fn remove_each(
        &self,
        keys: futures::stream::BoxStream<'static, object_store::Result<Key>>,
    ) -> Result<usize, OriginalError> {
        let mut removed = 0;
        let mut results = self.store.delete_stream(keys);
        loop {
            match results.try_next().await {
                Ok(Some(_)) => removed += 1,
                Ok(None) => return Ok(removed),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn key(workspace: Uuid, knowledge_base: Uuid, id: Uuid) -> Key {
    Key::from_iter([workspace.to_string(), knowledge_base.to_string(), id.to_string()])
}

fn ignore_missing(result: object_store::Result<()>) -> Result<(), OriginalError> {
    match result {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        other => Ok(other?),
    }
}

impl fmt::Debug for Originals {
    /// The store's own `Debug` would show its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Originals({})", self.store)
    }
}

impl From<object_store::Error> for OriginalError {
    fn from(error: object_store::Error) -> OriginalError {
        match error {
            object_store::Error::NotFound { .. } => OriginalError::Missing,
            error => unavailable(&error),
        }
    }
}

impl From<io::Error> for OriginalError {
    fn from(error: io::Error) -> OriginalError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<OriginalError>()) {
            Some(inner) => inner.clone(),
            None => unavailable(&error),
        }
    }
}

impl From<OriginalError> for io::Error {
    fn from(error: OriginalError) -> io::Error {
        let kind = match &error {
            OriginalError::Missing => io::ErrorKind::NotFound,
            OriginalError::Unavailable(_) => io::ErrorKind::Other,
            OriginalError::Damaged(_) => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

fn unavailable(error: &dyn fmt::Display) -> OriginalError {
    OriginalError::Unavailable(without_answer(&error.to_string()))
}

/// An error's words without the server's answer in them, of which only the code stays: S3 repeats the whole signed
/// request in it, session token included, when a signature is wrong.
fn without_answer(text: &str) -> String {
    /// Enough for a method, a URL and a status.
    const MOST: usize = 400;
    let (words, answer) = text.find(['<', '{']).map_or((text, ""), |at| text.split_at(at));
    let words: String = words.trim_end_matches(|c: char| c.is_whitespace() || c == ':').chars().take(MOST).collect();
    let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    match code.filter(|code| code.len() <= 64 && code.chars().all(char::is_alphanumeric)) {
        Some(code) => format!("{words} ({code})"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_servers_answer_only_the_code_is_repeated() {
        let text = "Error performing PUT http://h/b/k in 3ms - Server returned non-2xx status code: 403 Forbidden: \
                    <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>PUT\n\
                    x-amz-security-token:SECRET</CanonicalRequest></Error>";
        assert_eq!(
            without_answer(text),
            "Error performing PUT http://h/b/k in 3ms - Server returned non-2xx status code: 403 Forbidden \
             (SignatureDoesNotMatch)"
        );
        assert_eq!(without_answer("refused: {\"access_token\": \"SECRET\"}"), "refused");
        assert_eq!(without_answer("no route to host"), "no route to host");
    }

    #[test]
    fn what_went_wrong_survives_a_reader_that_only_knows_io_errors() {
        for error in [
            OriginalError::Missing,
            OriginalError::Damaged("it ends early"),
            OriginalError::Unavailable("connection refused".to_owned()),
        ] {
            assert_eq!(OriginalError::from(io::Error::from(error.clone())), error);
        }
    }
}
