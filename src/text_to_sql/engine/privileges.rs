//! What a login could do beyond reading, found out when a database is connected.
//!
//! The guard and the read-only session hold without it; a login that can do little is what still holds if both fail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A login as the engine describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Privileges {
    /// The login's own name in the engine; empty for a file.
    pub login: String,
    pub warnings: Vec<Warning>,
}

/// Something that a login for reading should not be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    pub code: WarningCode,
    /// A sentence, with what to do about it.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// No check of the engine holds for it.
    Superuser,
    /// Can change rows.
    Writes,
    /// Can create or change tables, functions, schemas or databases.
    Creates,
    /// Can make, change or impersonate other logins.
    ManagesLogins,
    /// Can read files of the server's machine.
    ReadsFiles,
    /// Can write files of the server's machine, or run programs on it.
    WritesFiles,
    /// Sees other users' sessions, or databases beside this one.
    SeesOthers,
}

impl Privileges {
    /// Whether the login can do nothing but read; seeing more than it needs to is still reading.
    pub fn read_only(&self) -> bool {
        self.warnings.iter().all(|warning| warning.code == WarningCode::SeesOthers)
    }
}
