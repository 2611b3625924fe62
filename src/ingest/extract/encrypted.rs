//! Office files that a password encrypts (MS-OFFCRYPTO), by `office-crypto`: documents of the new kind lie encrypted as a
//! whole in a compound file; Word and PowerPoint documents of the old kind are encrypted in place. Left out: workbooks of the
//! old kind, OpenDocument files and archives with encrypted entries.

use office_crypto::{DecryptError, decrypt_from_bytes};

use super::detect;
use super::detect::{OLE, ZIP};
use super::{ContentType, ExtractFailure, Password};

const WHAT: &str = "The file";

/// Whether a password would open the file here.
pub fn can_be_opened(bytes: &[u8], content_type: ContentType) -> bool {
    bytes.starts_with(OLE) && content_type != ContentType::Xls
}

/// The file without its encryption, and what it is.
pub fn open(
    bytes: &[u8],
    content_type: ContentType,
    password: Option<&Password>,
) -> Result<(Vec<u8>, ContentType), ExtractFailure> {
    let refused = || ExtractFailure::encrypted(WHAT, password);
    let password = password.ok_or_else(refused)?;
    let opened = decrypt_from_bytes(bytes.to_vec(), password.expose()).map_err(|error| match error {
        DecryptError::Unimplemented(_) => ExtractFailure::locked(WHAT),
        // A wrong password and a damaged file look the same.
        _ => refused(),
    })?;
    // Another password may give other bytes and no error.
    if !opened.starts_with(ZIP) && !opened.starts_with(OLE) {
        return Err(refused());
    }
    let content_type = detect::detect(&opened, None, Some(content_type.as_str())).map_err(|_| refused())?;
    Ok((opened, content_type))
}
