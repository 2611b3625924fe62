//! Workspaces and their API keys. A key is shown once; only its SHA-256 is kept.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Store, StoreError, Workspace};

/// What a key may do. `admin` includes the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read documents, search, answers.
    Read,
    /// Create and change knowledge bases and documents.
    Write,
    /// Ask databases.
    Sql,
    /// Connect databases, manage keys.
    Admin,
}

/// Who is calling: a key that exists, is not revoked and has not expired.
#[derive(Debug, Clone)]
pub struct Caller {
    pub key_id: Uuid,
    pub workspace_id: Uuid,
    pub scopes: Vec<Scope>,
    pub attributes: Attributes,
}

/// What a key says about its caller, for row filters: texts, whole numbers and booleans by name.
pub type Attributes = BTreeMap<String, Value>;

/// A key as it can be listed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApiKey {
    pub id: Uuid,
    pub name: String,
    /// The first characters of the key.
    pub prefix: String,
    pub scopes: Vec<Scope>,
    /// What the key says about its caller, for row filters.
    #[schema(value_type = Object)]
    pub attributes: Attributes,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// A key to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub attributes: Attributes,
    pub expires_at: Option<DateTime<Utc>>,
}

const SHOWN_CHARACTERS: usize = 8;
const KEY_PREFIX: &str = "alm_";

impl Caller {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| *held == scope || *held == Scope::Admin)
    }
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Sql => "sql",
            Scope::Admin => "admin",
        }
    }

    /// Names that no scope bears are left out: a key never gains by a scope this version does not know.
    fn parse_all(names: &[String]) -> Vec<Scope> {
        let all = [Scope::Read, Scope::Write, Scope::Sql, Scope::Admin];
        all.into_iter().filter(|scope| names.iter().any(|name| name == scope.as_str())).collect()
    }
}

/// A fresh key of 256 random bits.
pub fn generate_key() -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(SecretString::from(format!("{KEY_PREFIX}{}", hex::encode(bytes))))
}

impl Store {
    /// Whose key this is, if it is one.
    pub async fn authenticate(&self, key: &SecretString) -> Result<Option<Caller>, StoreError> {
        let row = sqlx::query!(
            r#"select key_id as "key_id!", workspace_id as "workspace_id!", scopes as "scopes!",
                      attributes as "attributes!: Json<Attributes>"
             from authenticate($1)"#,
            hash(key)
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Caller {
            key_id: row.key_id,
            workspace_id: row.workspace_id,
            scopes: Scope::parse_all(&row.scopes),
            attributes: row.attributes.0,
        }))
    }

    /// Makes the first workspace with `key` as its administrator's, unless the installation has keys already: then
    /// nothing changes, and the answer is false.
    pub async fn bootstrap(&self, key: &SecretString) -> Result<bool, StoreError> {
        let mut workspace = self.workspace(FIRST_WORKSPACE).await?;
        sqlx::query!("insert into workspaces (id, name) values ($1, 'default') on conflict do nothing", workspace.id())
            .execute(workspace.connection())
            .await?;
        if !workspace.keys().await?.is_empty() {
            return Ok(false);
        }
        workspace.create_key(&NewKey::first(), key).await?;
        workspace.commit().await?;
        Ok(true)
    }

    /// Another workspace with a key of its own. Not offered over HTTP: one installation serves one team until users exist.
    pub async fn create_workspace(&self, name: &str, key: &SecretString) -> Result<Uuid, StoreError> {
        let mut workspace = self.workspace(Uuid::now_v7()).await?;
        sqlx::query!("insert into workspaces (id, name) values ($1, $2)", workspace.id(), name)
            .execute(workspace.connection())
            .await?;
        workspace.create_key(&NewKey::first(), key).await?;
        let id = workspace.id();
        workspace.commit().await?;
        Ok(id)
    }
}

/// The workspace every installation starts with; fixed, so that two servers that start at once make one.
const FIRST_WORKSPACE: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

impl NewKey {
    fn first() -> NewKey {
        NewKey {
            name: "first administrator".to_owned(),
            scopes: vec![Scope::Admin],
            attributes: Attributes::new(),
            expires_at: None,
        }
    }
}

impl Workspace {
    pub async fn create_key(&mut self, new: &NewKey, key: &SecretString) -> Result<ApiKey, StoreError> {
        let scopes: Vec<String> = new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        let prefix: String = key.expose_secret().chars().take(SHOWN_CHARACTERS).collect();
        let (id, workspace_id) = (Uuid::now_v7(), self.id());
        sqlx::query!(
            "insert into api_keys (id, workspace_id, name, prefix, key_sha256, scopes, expires_at, attributes)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            id,
            workspace_id,
            new.name,
            prefix,
            hash(key),
            &scopes,
            new.expires_at,
            Json(&new.attributes) as _,
        )
        .execute(self.connection())
        .await?;
        self.key(id).await
    }

    pub async fn key(&mut self, id: Uuid) -> Result<ApiKey, StoreError> {
        self.keys().await?.into_iter().find(|key| key.id == id).ok_or(StoreError::NotFound)
    }

    /// Every key of the workspace, newest first, revoked ones too.
    pub async fn keys(&mut self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = sqlx::query!(
            r#"select id, name, prefix, scopes, attributes as "attributes: Json<Attributes>", expires_at, revoked_at,
                      last_used_at, created_at
             from api_keys
             order by id desc"#
        )
        .fetch_all(self.connection())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| ApiKey {
                id: row.id,
                name: row.name,
                prefix: row.prefix,
                scopes: Scope::parse_all(&row.scopes),
                attributes: row.attributes.0,
                expires_at: row.expires_at,
                revoked_at: row.revoked_at,
                last_used_at: row.last_used_at,
                created_at: row.created_at,
            })
            .collect())
    }

    /// Ends a key at once; it stays in the list.
    pub async fn revoke_key(&mut self, id: Uuid) -> Result<ApiKey, StoreError> {
        sqlx::query!("update api_keys set revoked_at = coalesce(revoked_at, now()) where id = $1 returning id", id)
            .fetch_one(self.connection())
            .await?;
        self.key(id).await
    }
}

fn hash(key: &SecretString) -> Vec<u8> {
    Sha256::digest(key.expose_secret().as_bytes()).to_vec()
}
