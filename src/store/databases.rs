//! Users' databases: how to reach them (sealed), what introspection found, and what people said about it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Sealed, Store, StoreError, Workspace};
use crate::text_to_sql::schema::{Engine, Schema, Table};

/// A database as the API shows it: never its URL.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Database {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub engine: Engine,
    pub status: DatabaseStatus,
    pub error: Option<DatabaseError>,
    pub table_count: i64,
    pub last_synced_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
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
}

#[derive(Debug, Clone, Default)]
pub struct DatabaseChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub url: Option<(Engine, Sealed)>,
}

/// What people say about a table and the catalog does not; absent fields leave what was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TableNotes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synonyms: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    /// By column name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnNotes>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnNotes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synonyms: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<bool>,
}

impl Store {
    /// Databases, with their workspaces, whose schema was being read when a server ended.
    pub async fn unfinished_syncs(&self) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        Ok(sqlx::query_as("select database_id, workspace_id from unfinished_syncs()").fetch_all(&self.pool).await?)
    }
}

#[derive(FromRow)]
struct DatabaseRow {
    id: Uuid,
    name: String,
    description: Option<String>,
    engine: String,
    status: String,
    error_code: Option<String>,
    error_detail: Option<String>,
    table_count: i64,
    last_synced_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<DatabaseRow> for Database {
    fn from(row: DatabaseRow) -> Database {
        Database {
            id: row.id,
            name: row.name,
            description: row.description,
            engine: engine(&row.engine),
            status: match row.status.as_str() {
                "ready" => DatabaseStatus::Ready,
                "failed" => DatabaseStatus::Failed,
                _ => DatabaseStatus::Syncing,
            },
            error: row.error_code.map(|code| DatabaseError { code, detail: row.error_detail.unwrap_or_default() }),
            table_count: row.table_count,
            last_synced_at: row.last_synced_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Workspace {
    pub async fn create_database(&mut self, new: &NewDatabase) -> Result<Database, StoreError> {
        let workspace_id = self.id();
        sqlx::query!(
            "insert into databases (id, workspace_id, name, description, engine, url_sealed, url_key_id)
             values ($1, $2, $3, $4, $5, $6, $7)",
            new.id,
            workspace_id,
            new.name,
            new.description,
            engine_name(new.engine),
            new.url.bytes,
            new.url.key_id
        )
        .execute(self.connection())
        .await?;
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
            "select d.*, (select count(*) from database_tables t where t.database_id = d.id) as table_count
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

    pub async fn change_database(&mut self, id: Uuid, change: &DatabaseChange) -> Result<Database, StoreError> {
        sqlx::query!(
            "update databases
             set name = coalesce($2, name),
                 description = coalesce($3, description),
                 engine = coalesce($4, engine),
                 url_sealed = coalesce($5, url_sealed),
                 url_key_id = coalesce($6, url_key_id)
             where id = $1
             returning id",
            id,
            change.name,
            change.description,
            change.url.as_ref().map(|(engine, _)| engine_name(*engine)),
            change.url.as_ref().map(|(_, sealed)| sealed.bytes.as_slice()),
            change.url.as_ref().map(|(_, sealed)| sealed.key_id.as_str()),
        )
        .fetch_one(self.connection())
        .await?;
        self.database(id).await
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

    pub async fn start_sync(&mut self, id: Uuid) -> Result<Database, StoreError> {
        sqlx::query!("update databases set status = 'syncing' where id = $1 returning id", id)
            .fetch_one(self.connection())
            .await?;
        self.database(id).await
    }

    /// Stores why the schema behind `url` could not be read; nothing happens when the database has moved meanwhile.
    pub async fn fail_sync(&mut self, id: Uuid, url: &Sealed, error: &DatabaseError) -> Result<(), StoreError> {
        sqlx::query!(
            "update databases set status = 'failed', error_code = $2, error_detail = $3 where id = $1 and url_sealed = $4",
            id,
            error.code,
            error.detail,
            url.bytes
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Stores what introspection found behind `url`; nothing happens when the database has moved meanwhile. A table keeps
    /// its id and what people said about it as long as its name stays.
    pub async fn finish_sync(&mut self, id: Uuid, url: &Sealed, found: &Schema) -> Result<(), StoreError> {
        let still =
            sqlx::query!("select id from databases where id = $1 and url_sealed = $2 for update", id, url.bytes)
                .fetch_optional(self.connection())
                .await?;
        if still.is_none() {
            return Ok(());
        }
        let names = |of: fn(&Table) -> &str| found.tables.iter().map(|table| of(table).to_owned()).collect::<Vec<_>>();
        let (schemas, tables) = (names(|table| &table.schema), names(|table| &table.name));
        sqlx::query!(
            "delete from database_tables
             where database_id = $1
               and (schema_name, name) not in (select * from unnest($2::text[], $3::text[]))",
            id,
            &schemas,
            &tables
        )
        .execute(self.connection())
        .await?;
        sqlx::query(
            "insert into database_tables (id, workspace_id, database_id, schema_name, name, found)
             select t.id, $1, $2, t.schema_name, t.name, t.found
             from unnest($3::uuid[], $4::text[], $5::text[], $6::jsonb[]) as t (id, schema_name, name, found)
             on conflict (database_id, schema_name, name) do update set found = excluded.found",
        )
        .bind(self.id())
        .bind(id)
        .bind(found.tables.iter().map(|table| table.id).collect::<Vec<_>>())
        .bind(schemas)
        .bind(tables)
        .bind(found.tables.iter().map(Json).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "update databases
             set status = 'ready', error_code = null, error_detail = null, last_synced_at = now(), search_path = $2
             where id = $1",
            id,
            &found.search_path
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// The schema as it was found, with what people said about it laid over.
    pub async fn schema(&mut self, database: &Database) -> Result<Schema, StoreError> {
        let search_path = sqlx::query!("select search_path from databases where id = $1", database.id)
            .fetch_one(self.connection())
            .await?
            .search_path;
        let rows: Vec<(Uuid, Json<Table>, Json<TableNotes>)> = sqlx::query_as(
            "select id, found, told from database_tables where database_id = $1 order by schema_name, name",
        )
        .bind(database.id)
        .fetch_all(self.connection())
        .await?;
        let tables = rows.into_iter().map(|(id, Json(found), Json(told))| told.over(Table { id, ..found })).collect();
        Ok(Schema { engine: database.engine, search_path, tables })
    }

    /// Lays `notes` over what was said before about a table of this database.
    pub async fn note_table(
        &mut self,
        database: &Database,
        table: Uuid,
        notes: &TableNotes,
    ) -> Result<Table, StoreError> {
        let (Json(found), Json(told)): (Json<Table>, Json<TableNotes>) =
            sqlx::query_as("select found, told from database_tables where database_id = $1 and id = $2 for update")
                .bind(database.id)
                .bind(table)
                .fetch_one(self.connection())
                .await?;
        if let Some(unknown) =
            notes.columns.keys().find(|name| !found.columns.iter().any(|column| column.name == **name))
        {
            return Err(StoreError::Refused(format!("{} has no column {unknown}", found.name)));
        }
        let told = told.merged(notes);
        sqlx::query("update database_tables set told = $2 where id = $1")
            .bind(table)
            .bind(Json(&told))
            .execute(self.connection())
            .await?;
        Ok(told.over(Table { id: table, ..found }))
    }
}

impl TableNotes {
    /// Newer notes win; columns they do not name keep theirs.
    fn merged(mut self, newer: &TableNotes) -> TableNotes {
        let newer = newer.clone();
        self.description = newer.description.or(self.description);
        self.synonyms = newer.synonyms.or(self.synonyms);
        self.hidden = newer.hidden.or(self.hidden);
        for (name, notes) in newer.columns {
            let column = self.columns.entry(name).or_default();
            column.description = notes.description.or(column.description.take());
            column.synonyms = notes.synonyms.or(column.synonyms.take());
            column.hidden = notes.hidden.or(column.hidden);
            column.masked = notes.masked.or(column.masked);
        }
        self
    }

    fn over(mut self, mut table: Table) -> Table {
        table.description = self.description.or(table.description);
        table.synonyms = self.synonyms.unwrap_or(table.synonyms);
        table.hidden = self.hidden.unwrap_or(table.hidden);
        for column in &mut table.columns {
            let Some(notes) = self.columns.remove(&column.name) else { continue };
            column.description = notes.description.or(column.description.take());
            column.synonyms = notes.synonyms.unwrap_or(std::mem::take(&mut column.synonyms));
            column.hidden = notes.hidden.unwrap_or(column.hidden);
            column.masked = notes.masked.unwrap_or(column.masked);
            if column.hidden || column.masked {
                // Values of a column nobody may see are not shown as samples either.
                column.sample_values.clear();
            }
        }
        table
    }
}

fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres",
        Engine::Sqlite => "sqlite",
    }
}

/// The check on `databases.engine` allows no third name.
fn engine(name: &str) -> Engine {
    if name == "sqlite" { Engine::Sqlite } else { Engine::Postgres }
}
