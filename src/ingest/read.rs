//! From an original to its text: opened with its password, read in a child process, its pictures recognised where a
//! program for that is set.

use secrecy::ExposeSecret;

use super::{
    IngestError, Tools,
    extract::{ContentType, ExtractFailure, ExtractOptions, Extracted, MAX_TEXT_BYTES, Password, ocr},
    failed, hindered,
    originals::{self, OriginalError},
};
use crate::store::{Sealed, documents::DocumentRow};

pub async fn read(tools: &Tools, document: &DocumentRow) -> Result<Extracted, IngestError> {
    let content_type = content_type(document)?;
    refuse_too_large(document, content_type)?;
    let options = ExtractOptions { password: password(tools, document)?, ..tools.options.clone() };
    let (original, fault) = originals::watched(tools.originals.read_checked(document).await?);
    let reply = tools.extractor.extract(original, size(document), content_type, &options).await;
    // The reader of the file only knows that it was cut off.
    if let Some(fault) = fault.take() {
        return Err(fault.into());
    }
    match &tools.ocr {
        Some(ocr) if ocr::is_wanted(content_type, &reply) => {
            let original = tools.originals.read_checked(document).await?;
            Ok(ocr.complete(reply, original, size(document)).await?)
        }
        _ => Ok(reply?),
    }
}

fn content_type(document: &DocumentRow) -> Result<ContentType, IngestError> {
    let named = ContentType::ALL.into_iter().find(|content_type| content_type.as_str() == document.content_type);
    named.ok_or_else(|| failed("unsupported", &format!("{} cannot be read", document.content_type), false))
}

/// Plain text of this size has too many characters in any encoding: it need not be read to know that.
fn refuse_too_large(document: &DocumentRow, content_type: ContentType) -> Result<(), IngestError> {
    let plain = matches!(content_type, ContentType::Text | ContentType::Markdown | ContentType::Json);
    if plain && size(document) > 2 * MAX_TEXT_BYTES as u64 {
        return Err(ExtractFailure::too_much_text(size(document)).into());
    }
    Ok(())
}

fn size(document: &DocumentRow) -> u64 {
    u64::try_from(document.size).unwrap_or(0)
}

fn password(tools: &Tools, document: &DocumentRow) -> Result<Option<Password>, IngestError> {
    let (Some(bytes), Some(key_id)) = (&document.password, &document.password_key_id) else { return Ok(None) };
    let sealed = Sealed { bytes: bytes.clone(), key_id: key_id.clone() };
    let opened = tools.sealer.open(document.knowledge_base_id, &sealed);
    let opened = opened.map_err(|error| failed("encrypted", &format!("the file's password: {error}"), false))?;
    Ok(Some(Password::new(opened.expose_secret().to_owned())))
}

impl From<OriginalError> for IngestError {
    fn from(error: OriginalError) -> IngestError {
        tracing::warn!(%error, "an original cannot be read");
        match error {
            OriginalError::Missing => failed("original_unavailable", "the stored file is missing", true),
            OriginalError::Unavailable(_) => {
                hindered("original_unavailable", "the storage for files does not answer; it is tried again")
            }
            OriginalError::Damaged(what) => {
                failed("original_damaged", &format!("the stored file is damaged ({what}): upload it again"), false)
            }
        }
    }
}
