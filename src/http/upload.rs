//! Uploads: files and texts go to the storage, piece by piece, and then into the queue, all of a request or none.
//!
//! The bytes are durable under an id of their own before a row says `uploaded`; what is refused, unneeded or cut off is
//! taken back.

use std::time::Duration;

use axum::{
    extract::{
        Multipart,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, header},
};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    body::{bounded_metadata, check_metadata, check_name},
    idempotency::digest,
    problem::{Code, Problem, REQUEST_ID},
    receiving::Receipt,
    session::{CanWrite, Session},
};
use crate::{
    ingest::{
        extract::{self, ContentType, UnsupportedType},
        originals::{Draft, Written},
    },
    store::{
        StoreError, Workspace,
        documents::{Document, DocumentRow, Registered, Upload},
    },
};

pub const MAX_TITLE: usize = 500;
const MAX_EXTERNAL_ID: usize = 500;
/// Bytes; Office takes 255 characters, PDF 127 bytes.
const MAX_PASSWORD: usize = 1_024;
/// Characters of a name that is not known.
const MAX_SHOWN: usize = 100;
/// Files in one request; more go into further requests.
const MAX_FILES: usize = 1_000;
/// The parts of a form that are not files.
const MAX_FIELD: usize = 64 * 1024;
/// A text is written in pieces of this size.
const PIECE: usize = 64 << 10;
const MAX_WAIT: u64 = 60;
/// Between looks at documents that somebody waits for: a short one is seen at once, a long one costs little.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// One document as text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadDocument {
    #[schema(min_length = 1, max_length = 500)]
    title: Option<String>,
    content: String,
    /// text/plain, text/markdown or text/html.
    content_type: Option<String>,
    /// Your name for the document: another upload under it is a new version.
    #[schema(min_length = 1, max_length = 500)]
    external_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    #[serde(default, deserialize_with = "bounded_metadata")]
    metadata: Option<Value>,
}

/// The parts of a form, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form that is read part by part")]
pub struct UploadFiles {
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
    title: Option<String>,
    external_id: Option<String>,
    /// A JSON object, for all files.
    metadata: Option<String>,
    /// What opens the files, where they are encrypted; it is kept sealed.
    password: Option<String>,
}

/// `Prefer: wait=N` (RFC 7240).
pub fn wait(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let wait = preferences.flat_map(|value| value.split(',')).find_map(|part| part.trim().strip_prefix("wait="));
    wait.map(|seconds| match seconds.trim_matches('"').parse::<u64>() {
        Ok(seconds) if seconds <= MAX_WAIT => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::invalid("Prefer", format!("wait must be from 0 to {MAX_WAIT} seconds"))),
    })
    .transpose()
}

/// A document that came as JSON.
pub async fn receive_text(
    session: &Session<CanWrite>,
    knowledge_base_id: Uuid,
    batch_id: Uuid,
    document: UploadDocument,
) -> Result<Document, Problem> {
    let form =
        Form { title: document.title, external_id: document.external_id, metadata: document.metadata, password: None };
    let declared = document.content_type.as_deref().unwrap_or("text/plain");
    form.check()?;
    let mut draft = session.originals.draft(session.workspace_id(), knowledge_base_id);
    for piece in document.content.as_bytes().chunks(PIECE) {
        draft.write(piece).await?;
        // A storage that takes all of it at once must not keep a thread from everybody else.
        tokio::task::yield_now().await;
    }
    let written = draft.finish().await?;
    let content_type =
        extract::detect(&written.head, None, Some(declared)).map_err(|unsupported| refused(&unsupported))?;
    let upload = form.upload(session, knowledge_base_id, batch_id, &written, content_type, None)?;
    register(session, vec![(upload, written)]).await?.pop().ok_or_else(|| Problem::internal("an upload vanished"))
}

/// A form whose files are in the storage; dropped, it leaves nothing there.
#[derive(Default)]
pub struct Received {
    form: Form,
    files: Vec<ReceivedFile>,
    /// Of all that was received, in order, and not of how it was wrapped.
    sha256: Vec<u8>,
}

struct ReceivedFile {
    written: Written,
    name: Option<String>,
    content_type: Result<ContentType, UnsupportedType>,
}

impl Received {
    pub fn sha256(&self) -> &[u8] {
        &self.sha256
    }

    fn add_file(&mut self, mut written: Written, name: Option<String>, declared: Option<&str>) {
        let words = [name.as_deref(), declared].map(|word| word.unwrap_or_default().as_bytes());
        self.sha256 = digest(&[&self.sha256, b"file", words[0], words[1], &written.sha256]);
        // Its first bytes are not kept: a form may have a thousand files.
        let head = std::mem::take(&mut written.head);
        let content_type = extract::detect(&head, name.as_deref(), declared);
        self.files.push(ReceivedFile { written, name: name.map(|name| shown(&name)), content_type });
    }

    fn add_field(&mut self, name: &str, value: String) -> Result<(), Problem> {
        if name == "password" {
            // Not even a hash of it is kept.
            self.form.password = Some(SecretString::from(value));
            return Ok(());
        }
        self.sha256 = digest(&[&self.sha256, name.as_bytes(), value.as_bytes()]);
        match name {
            "metadata" => self.form.metadata = Some(part(&value)?),
            "external_id" => self.form.external_id = Some(value),
            _ => self.form.title = Some(value),
        }
        Ok(())
    }
}

/// A part of a form that is JSON; what it must be is checked with the others.
fn part(text: &str) -> Result<Value, Problem> {
    let malformed = |error| Problem::new(Code::MalformedJson, format!("The part metadata is not valid JSON: {error}"));
    serde_json::from_str(text).map_err(malformed)
}

/// The files of a form, streamed to the storage one after the other.
pub async fn receive_files(
    session: &Session<CanWrite>,
    knowledge_base_id: Uuid,
    mut multipart: Multipart,
    receipt: &Receipt,
) -> Result<Received, Problem> {
    let broken = |error: MultipartError| receipt.problem().unwrap_or_else(|| broken_form(&error));
    let mut received = Received::default();
    while let Some(field) = receipt.next_part(multipart.next_field()).await.map_err(broken)? {
        if received.files.len() == MAX_FILES && field.name() == Some("file") {
            return Err(Problem::new(Code::TooLarge, format!("Send at most {MAX_FILES} files in one request.")));
        }
        match field.name().unwrap_or_default() {
            "file" => {
                let (name, declared) = (file_name(&field), field.content_type().map(str::to_owned));
                let draft = receive_file(session, knowledge_base_id, field, &broken).await?;
                received.add_file(draft.finish().await?, name, declared.as_deref());
            }
            name @ ("metadata" | "external_id" | "title" | "password") => {
                let name = name.to_owned();
                received.add_field(&name, small_field(field, &broken).await?)?;
            }
            other => {
                let shown: String = other.chars().take(MAX_SHOWN).collect();
                return Err(Problem::invalid(
                    format!("/{shown}"),
                    "is no part of this form: file, metadata, external_id, title, password",
                ));
            }
        }
    }
    Ok(received)
}

/// Registers the files of a form in one transaction.
pub async fn register_files(
    session: &Session<CanWrite>,
    knowledge_base_id: Uuid,
    batch_id: Uuid,
    Received { form, files, .. }: Received,
) -> Result<Vec<Document>, Problem> {
    if files.is_empty() {
        return Err(Problem::invalid("/file", "is missing: send one or more files"));
    }
    if files.len() > 1 && (form.external_id.is_some() || form.title.is_some()) {
        return Err(Problem::invalid(
            "/external_id",
            "external_id and title name one file; send the others by themselves",
        ));
    }
    form.check()?;
    let mut uploads = Vec::with_capacity(files.len());
    for ReceivedFile { written, name, content_type } in files {
        let content_type = content_type.map_err(|unsupported| refused(&unsupported))?;
        let upload = form.clone().upload(session, knowledge_base_id, batch_id, &written, content_type, name)?;
        uploads.push((upload, written));
    }
    register(session, uploads).await
}

/// What a file is called. Some clients encode the name as they may in other headers (RFC 8187; RFC 7578, 4.2, does not want
/// it), some send it in an encoding of theirs.
fn file_name(field: &Field<'_>) -> Option<String> {
    field.file_name().map(str::to_owned).or_else(|| {
        let disposition = field.headers().get(header::CONTENT_DISPOSITION)?;
        other_file_name(&String::from_utf8_lossy(disposition.as_bytes()))
    })
}

fn other_file_name(disposition: &str) -> Option<String> {
    if let Some((_, value)) = disposition.split_once("filename*=") {
        let (charset, rest) = value.split_once('\'')?;
        let (_, name) = rest.split_once('\'')?;
        let bytes = percent_decode_str(name.split(';').next()?.trim());
        return charset.eq_ignore_ascii_case("utf-8").then(|| bytes.decode_utf8_lossy().into_owned());
    }
    let (_, value) = disposition.split_once("filename=\"")?;
    value.split('"').next().map(str::to_owned)
}

async fn receive_file(
    session: &Session<CanWrite>,
    knowledge_base_id: Uuid,
    mut field: Field<'_>,
    broken: &impl Fn(MultipartError) -> Problem,
) -> Result<Draft, Problem> {
    let most = session.config.max_upload_bytes as u64;
    let mut draft = session.originals.draft(session.workspace_id(), knowledge_base_id);
    while let Some(bytes) = field.chunk().await.map_err(broken)? {
        draft.write(&bytes).await?;
        if draft.size() > most {
            return Err(too_large(most));
        }
    }
    Ok(draft)
}

fn too_large(most: u64) -> Problem {
    Problem::new(Code::TooLarge, format!("A file may have {} MiB at most (ALMANAC_MAX_UPLOAD_MB).", most >> 20))
}

async fn small_field(mut field: Field<'_>, broken: &impl Fn(MultipartError) -> Problem) -> Result<String, Problem> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_FIELD {
            return Err(Problem::invalid(format!("/{name}"), format!("is larger than {MAX_FIELD} bytes")));
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::invalid(format!("/{name}"), "is not UTF-8"))
}

fn broken_form(error: &MultipartError) -> Problem {
    match error.status() {
        axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::TooLarge, "The form is larger than this endpoint takes (ALMANAC_MAX_UPLOAD_MB).")
        }
        _ => Problem::new(Code::MalformedRequest, format!("The form cannot be read: {}", error.body_text())),
    }
}

/// What a client says about its files.
#[derive(Debug, Clone, Default)]
struct Form {
    title: Option<String>,
    external_id: Option<String>,
    metadata: Option<Value>,
    password: Option<SecretString>,
}

impl Form {
    fn check(&self) -> Result<(), Problem> {
        if let Some(title) = &self.title {
            check_name("/title", title, MAX_TITLE)?;
        }
        if let Some(external_id) = &self.external_id {
            check_name("/external_id", external_id, MAX_EXTERNAL_ID)?;
        }
        if self.password.as_ref().is_some_and(|password| password.expose_secret().len() > MAX_PASSWORD) {
            return Err(Problem::invalid("/password", format!("is longer than {MAX_PASSWORD} bytes")));
        }
        self.metadata.as_ref().map_or(Ok(()), |metadata| check_metadata("/metadata", metadata))
    }

    fn upload(
        self,
        session: &Session<CanWrite>,
        knowledge_base_id: Uuid,
        batch_id: Uuid,
        written: &Written,
        content_type: ContentType,
        file_name: Option<String>,
    ) -> Result<Upload, Problem> {
        let password = self.password.filter(|password| !password.expose_secret().is_empty());
        let sealed = password.map(|password| session.sealer.seal(knowledge_base_id, &password));
        let title_given = self.title.is_some();
        let title = self.title.or_else(|| file_name.clone().filter(|name| !name.trim().is_empty()));
        Ok(Upload {
            knowledge_base_id,
            batch_id,
            title: title.or_else(|| self.external_id.clone()).unwrap_or_else(|| "Untitled".to_owned()),
            external_id: self.external_id,
            title_given,
            file_name,
            content_type: content_type.as_str().to_owned(),
            size: i64::try_from(written.size).unwrap_or(i64::MAX),
            sha256: written.sha256.clone(),
            original: written.id,
            metadata: self.metadata.unwrap_or_else(|| json!({})),
            password: sealed.transpose().map_err(Problem::internal)?,
            request_id: REQUEST_ID.try_with(Clone::clone).unwrap_or_default(),
        })
    }
}

/// Of a name, what a title may have.
fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(MAX_TITLE).collect()
}

fn refused(unsupported: &UnsupportedType) -> Problem {
    Problem::new(Code::UnsupportedMediaType, unsupported.to_string())
}

/// Registers uploads, all or none; what a new version replaces goes afterwards, and so does what was here already.
async fn register(session: &Session<CanWrite>, uploads: Vec<(Upload, Written)>) -> Result<Vec<Document>, Problem> {
    let (uploads, mut written): (Vec<Upload>, Vec<Written>) = uploads.into_iter().unzip();
    let (workspace, registered) = match enter(session, &uploads).await {
        // Somebody removed, or took back, a document in that very moment: now it is gone, or there.
        Err(StoreError::Conflict(_) | StoreError::NotFound) => enter(session, &uploads).await?,
        entered => entered?,
    };
    let registered = registered.ok_or_else(batch_closed)?;
    let needed = registered.iter().map(|(_, registered)| *registered != Registered::Unchanged);
    // Not before: until here a failure undoes everything. Not later: a commit that fails may still have happened.
    written.iter_mut().zip(needed).filter(|(_, needed)| *needed).for_each(|(written, _)| written.keep());
    workspace.commit().await?;
    let mut documents = Vec::with_capacity(registered.len());
    for (row, registered) in registered {
        if let Registered::NewVersion(older) | Registered::Renewed(older) = registered
            && let Err(error) = session.originals.remove(session.workspace_id(), row.knowledge_base_id, older).await
        {
            tracing::warn!(%error, "the original of an older version could not be removed");
        }
        documents.push(row.into_document(matches!(registered, Registered::Unchanged | Registered::Renewed(_))));
    }
    metrics::counter!("almanac_documents_uploaded_total").increment(documents.len() as u64);
    Ok(documents)
}

/// A transaction with the uploads in it; they are none when their batch is closed.
async fn enter(
    session: &Session<CanWrite>,
    uploads: &[Upload],
) -> Result<(Workspace, Option<Vec<(DocumentRow, Registered)>>), StoreError> {
    let mut workspace = session.store.workspace(session.workspace_id()).await?;
    let registered = workspace.register_uploads(uploads).await?;
    Ok((workspace, registered))
}

pub fn batch_closed() -> Problem {
    Problem::new(Code::BatchClosed, "This batch is closed: no more files can be added to it.")
}

/// Looks until every document has ended or `wait` is over.
pub async fn wait_for_end(
    session: &Session<CanWrite>,
    mut documents: Vec<Document>,
    wait: Duration,
) -> Result<Vec<Document>, Problem> {
    let end = tokio::time::Instant::now() + wait;
    let ids: Vec<Uuid> = documents.iter().map(|document| document.id).collect();
    let mut look = FIRST_LOOK;
    while !documents.iter().all(|document| document.status.is_terminal()) && tokio::time::Instant::now() < end {
        tokio::time::sleep(look).await;
        look = (look * 3 / 2).min(LAST_LOOK);
        let rows = session.workspace().await?.documents_by_id(&ids).await?;
        for document in &mut documents {
            if let Some(row) = rows.iter().find(|row| row.id == document.id) {
                *document = row.clone().into_document(document.unchanged);
            }
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_however_clients_write_them() {
        let name = |disposition| other_file_name(&format!("form-data; name=\"file\"; {disposition}"));
        assert_eq!(name("filename*=UTF-8''Gr%C3%BC%C3%9Fe.txt").as_deref(), Some("Grüße.txt"));
        assert_eq!(name("filename*=utf-8'de'a%20b.md; size=3").as_deref(), Some("a b.md"));
        assert_eq!(name("filename=\"caf\u{fffd}.txt\"").as_deref(), Some("caf\u{fffd}.txt"));
        assert_eq!(name("filename*=koi8-r''x"), None);
        assert_eq!(name("size=3"), None);
    }
}
