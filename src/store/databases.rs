//! Users' databases: how to reach them (sealed), what introspection found ([`syncs`]), and what people said about it
//! ([`notes`]).

pub mod changes;
pub mod notes;
pub mod syncs;

use changes::Changes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Sealed, StoreError, Workspace};
use crate::text_to_sql::engine::{Privileges, Warning};
use crate::text_to_sql::schema::Engine;

/// A database as the API shows it: never its URL.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Database {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub engine: Engine,
    /// As the server says it; empty before the first sync.
    pub server_version: String,
    pub status: DatabaseStatus,
    pub error: Option<DatabaseError>,
    /// The login's name in the engine; null before the first sync.
    pub login: Option<String>,
    /// What the login can do beyond reading.
    pub warnings: Vec<Warning>,
    /// Refuse to ask with a login that can do more than read.
    pub require_read_only: bool,
    /// Functions that statements may call beside the built-in ones that are allowed.
    pub approved_functions: Vec<String>,
    /// Null: as the server is set; 0: no limit.
    pub max_estimated_rows: Option<f64>,
    /// In the engine's units. Null: as the server is set; 0: no limit.
    pub max_estimated_cost: Option<f64>,
    /// Null: as the server is set; 0: only when somebody asks.
    pub sync_interval_hours: Option<i32>,
    /// Whether values are read as samples.
    pub samples: bool,
    /// What the last sync that changed something changed.
    pub last_changes: Option<Changes>,
    pub table_count: i64,
    pub last_synced_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Another one means another schema.
    #[serde(skip)]
    pub schema_version: i64,
    #[serde(skip)]
    privileges: Option<Privileges>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseStatus {
    Syncing,
    Ready,
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DatabaseError {
    pub code: String,
    pub detail: String,
}

/// A database to be; its id is chosen before, because the URL is sealed for it.
#[derive(Debug, Clone)]
pub struct NewDatabase {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub engine: Engine,
    pub url: Sealed,
    pub rules: DatabaseRules,
}

/// How a database may be used. Absent: as it is; for a new one, as the store has it by itself.
#[derive(Debug, Clone, Default)]
pub struct DatabaseRules {
    pub require_read_only: Option<bool>,
    pub approved_functions: Option<Vec<String>>,
    /// Null: as the server is set.
    pub max_estimated_rows: Option<Option<f64>>,
    pub max_estimated_cost: Option<Option<f64>>,
    pub sync_interval_hours: Option<Option<i32>>,
    pub samples: Option<bool>,
}

#[derive(Debug, Clone, Default)]
pub struct DatabaseChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub url: Option<(Engine, Sealed)>,
    pub rules: DatabaseRules,
}

/// Reads a field that was sent, if only as null.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Database {
    /// Whether its login must be one that only reads, and is not known to be.
    pub fn refuses_login(&self) -> bool {
        self.require_read_only && !self.privileges.as_ref().is_some_and(Privileges::read_only)
    }
}

#[derive(FromRow)]
struct DatabaseRow {
    id: Uuid,
    name: String,
    description: Option<String>,
    engine: String,
    server_version: String,
    status: String,
    error_code: Option<String>,
    error_detail: Option<String>,
    privileges: Option<Json<Privileges>>,
    require_read_only: bool,
    approved_functions: Vec<String>,
    max_estimated_rows: Option<f64>,
    max_estimated_cost: Option<f64>,
    sync_interval_hours: Option<i32>,
    samples: bool,
    schema_version: i64,
    last_changes: Option<Json<Changes>>,
    table_count: i64,
    last_synced_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<DatabaseRow> for Database {
    fn from(row: DatabaseRow) -> Database {
        let privileges = row.privileges.map(|Json(privileges)| privileges);
        Database {
            id: row.id,
            name: row.name,
            description: row.description,
            engine: engine(&row.engine),
            server_version: row.server_version,
            status: match row.status.as_str() {
                "ready" => DatabaseStatus::Ready,
                "failed" => DatabaseStatus::Failed,
                _ => DatabaseStatus::Syncing,
            },
            error: row.error_code.map(|code| DatabaseError { code, detail: row.error_detail.unwrap_or_default() }),
            login: privileges.as_ref().map(|privileges| privileges.login.clone()),
            warnings: privileges.as_ref().map(|privileges| privileges.warnings.clone()).unwrap_or_default(),
            require_read_only: row.require_read_only,
            approved_functions: row.approved_functions,
            max_estimated_rows: row.max_estimated_rows,
            max_estimated_cost: row.max_estimated_cost,
            sync_interval_hours: row.sync_interval_hours,
            samples: row.samples,
            schema_version: row.schema_version,
            last_changes: row.last_changes.map(|Json(changes)| changes),
            table_count: row.table_count,
            last_synced_at: row.last_synced_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            privileges,
        }
    }
}

impl Workspace {
    /// A new database, whose first sync is asked for.
    pub async fn create_database(&mut self, new: &NewDatabase) -> Result<Database, StoreError> {
        let workspace_id = self.id();
        sqlx::query!(
            "insert into databases (id, workspace_id, name, description, engine, url_sealed, url_key_id, sync_requested_at)
             values ($1, $2, $3, $4, $5, $6, $7, now())",
            new.id,
            workspace_id,
            new.name,
            new.description,
            new.engine.name(),
            new.url.bytes,
            new.url.key_id
        )
        .execute(self.connection())
        .await?;
        self.set_rules(new.id, &new.rules).await?;
        self.database(new.id).await
    }

    pub async fn database(&mut self, id: Uuid) -> Result<Database, StoreError> {
        self.select_databases(Some(id), None, 1).await?.pop().ok_or(StoreError::NotFound)
    }

    /// Newest first, from `after` on.
    pub async fn databases(&mut self, after: Option<Uuid>, limit: i64) -> Result<Vec<Database>, StoreError> {
        self.select_databases(None, after, limit).await
    }

    async fn select_databases(
        &mut self,
        id: Option<Uuid>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Database>, StoreError> {
        let rows: Vec<DatabaseRow> = sqlx::query_as(
            "select d.*, (select count(*) from tables t where t.database_id = d.id and t.gone_at is null) as table_count
             from databases d
             where ($1::uuid is null or d.id = $1)
               and ($2::uuid is null or d.id < $2)
             order by d.id desc
             limit $3",
        )
        .bind(id)
        .bind(after)
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().map(Database::from).collect())
    }

    /// Changes what was sent. Behind another URL there is another login, and perhaps another schema: nothing is asked of it
    /// until both have been read, and a sync that runs stores nothing any more.
    pub async fn change_database(&mut self, id: Uuid, change: &DatabaseChange) -> Result<Database, StoreError> {
        sqlx::query!(
            "update databases
             set name = coalesce($2, name),
                 description = coalesce($3, description)
             where id = $1
             returning id",
            id,
            change.name,
            change.description,
        )
        .fetch_one(self.connection())
        .await?;
        if let Some((engine, url)) = &change.url {
            sqlx::query!(
                "update databases
                 set engine = $2, url_sealed = $3, url_key_id = $4, privileges = null, last_synced_at = null,
                     sync_token = null, sync_until = null
                 where id = $1",
                id,
                engine.name(),
                url.bytes,
                url.key_id,
            )
            .execute(self.connection())
            .await?;
        }
        self.set_rules(id, &change.rules).await?;
        self.database(id).await
    }

    async fn set_rules(&mut self, id: Uuid, rules: &DatabaseRules) -> Result<(), StoreError> {
        sqlx::query(
            "update databases
             set require_read_only = coalesce($2, require_read_only),
                 approved_functions = coalesce($3, approved_functions),
                 max_estimated_rows = case when $4 then $5 else max_estimated_rows end,
                 max_estimated_cost = case when $6 then $7 else max_estimated_cost end,
                 sync_interval_hours = case when $8 then $9 else sync_interval_hours end,
                 samples = coalesce($10, samples)
             where id = $1",
        )
        .bind(id)
        .bind(rules.require_read_only)
        .bind(&rules.approved_functions)
        .bind(rules.max_estimated_rows.is_some())
        .bind(rules.max_estimated_rows.flatten())
        .bind(rules.max_estimated_cost.is_some())
        .bind(rules.max_estimated_cost.flatten())
        .bind(rules.sync_interval_hours.is_some())
        .bind(rules.sync_interval_hours.flatten())
        .bind(rules.samples)
        .execute(self.connection())
        .await?;
        match rules.samples {
            Some(false) => self.remove_samples(id).await,
            _ => Ok(()),
        }
    }

    pub async fn delete_database(&mut self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!("delete from databases where id = $1 returning id", id).fetch_one(self.connection()).await?;
        Ok(())
    }

    /// The sealed URL, for connecting.
    pub async fn database_url(&mut self, id: Uuid) -> Result<Sealed, StoreError> {
        let row = sqlx::query!("select url_sealed, url_key_id from databases where id = $1", id)
            .fetch_one(self.connection())
            .await?;
        Ok(Sealed { bytes: row.url_sealed, key_id: row.url_key_id })
    }
}

/// The check on `databases.engine` allows no other name.
fn engine(name: &str) -> Engine {
    Engine::ALL.into_iter().find(|engine| engine.name() == name).unwrap_or(Engine::Postgres)
}
