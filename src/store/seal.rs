//! Seals users' connection strings with AES-256-GCM, bound to the row they belong to.

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const NONCE_BYTES: usize = 12;

/// A secret as it lies in a row: a 96-bit random nonce, then ciphertext and tag.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub bytes: Vec<u8>,
    /// Which key sealed it: the first characters of the key's SHA-256.
    pub key_id: String,
}

/// Holds the key; prints as nothing.
#[derive(Clone)]
pub struct Sealer {
    cipher: Aes256Gcm,
    key_id: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("ALMANAC_SECRET_KEY is not 64 hex digits")]
    BadKey,
    #[error("sealed with key {0}, which is not the one in ALMANAC_SECRET_KEY")]
    OtherKey(String),
    #[error("damaged, or moved from another row")]
    Damaged,
    #[error("the system gives no randomness")]
    NoRandomness,
}

impl Sealer {
    /// `key` is 64 hex digits.
    pub fn new(key: &SecretString) -> Result<Sealer, SealError> {
        let bytes = hex::decode(key.expose_secret()).map_err(|_| SealError::BadKey)?;
        let cipher = Aes256Gcm::new_from_slice(&bytes).map_err(|_| SealError::BadKey)?;
        Ok(Sealer { cipher, key_id: hex::encode(&Sha256::digest(&bytes)[..4]) })
    }

    /// Seals `secret` for row `owner`: in another row it does not open.
    pub fn seal(&self, owner: Uuid, secret: &SecretString) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: owner.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce.into(), payload).map_err(|_| SealError::Damaged)?;
        Ok(Sealed { bytes: [&nonce[..], &sealed].concat(), key_id: self.key_id.clone() })
    }

    pub fn open(&self, owner: Uuid, sealed: &Sealed) -> Result<SecretString, SealError> {
        if sealed.key_id != self.key_id {
            return Err(SealError::OtherKey(sealed.key_id.clone()));
        }
        let (nonce, ciphertext) = sealed.bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: ciphertext, aad: owner.as_bytes() };
        let secret = self.cipher.decrypt(&(*nonce).into(), payload).map_err(|_| SealError::Damaged)?;
        String::from_utf8(secret).map(SecretString::from).map_err(|_| SealError::Damaged)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Sealer({}, [redacted])", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_in_its_own_row_with_its_own_key_only() {
        let sealer = Sealer::new(&SecretString::from("07".repeat(32))).unwrap();
        let (row, other_row) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = sealer.seal(row, &SecretString::from("postgres://u:p@h/d")).unwrap();
        assert_eq!(sealer.open(row, &sealed).unwrap().expose_secret(), "postgres://u:p@h/d");
        assert!(matches!(sealer.open(other_row, &sealed), Err(SealError::Damaged)));
        let other_key = Sealer::new(&SecretString::from("08".repeat(32))).unwrap();
        assert!(matches!(other_key.open(row, &sealed), Err(SealError::OtherKey(_))));
        assert!(!sealed.bytes.windows(8).any(|window| window == b"postgres"));
    }
}
