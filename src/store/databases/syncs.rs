//! Syncs: who may read a database's schema now, and what became of it.
//!
//! A sync is claimed with a token and a lease that its owner renews, so that there is one at a time whatever asks for it,
//! on however many servers. What is asked for while one runs is done after it. A sync that has lost its token, because
//! its owner fell silent or the URL has changed, stores nothing.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use super::{
    super::{Sealed, Store, StoreError, Workspace, queue::interval},
    Database, DatabaseError,
    changes::{Changes, KnownColumn, KnownTable},
    notes::TableNotes,
};
use crate::text_to_sql::engine::Privileges;
use crate::text_to_sql::schema::{Schema, Table};

/// A sync that whoever holds this may make.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct SyncClaim {
    pub database_id: Uuid,
    pub workspace_id: Uuid,
    token: Uuid,
}

/// What a sync is made by.
#[derive(Debug)]
pub struct SyncPlan {
    pub url: Sealed,
    pub require_read_only: bool,
    pub samples: bool,
    /// Schema, table, and what people said about it.
    pub told: Vec<(String, String, TableNotes)>,
}

/// What people said about a table that is gone waits so long for its return.
const GONE_DAYS: i32 = 90;

impl Store {
    /// Claims up to `most` syncs that are due, of all workspaces. `default_hours` lie between two syncs of a database that
    /// does not say otherwise; 0: only those that somebody asked for, or that were cut off.
    pub async fn claim_due_syncs(
        &self,
        default_hours: i32,
        lease: Duration,
        most: usize,
    ) -> Result<Vec<SyncClaim>, StoreError> {
        let claims = sqlx::query_as("select * from claim_due_syncs($1, $2, $3)")
            .bind(default_hours)
            .bind(interval(lease))
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_all(&self.pool)
            .await?;
        Ok(claims)
    }
}

impl Workspace {
    /// Asks for a sync, which begins at once or after the one that runs.
    pub async fn request_sync(&mut self, id: Uuid) -> Result<Database, StoreError> {
        sqlx::query!(
            "update databases set status = 'syncing', sync_requested_at = now() where id = $1 returning id",
            id
        )
        .fetch_one(self.connection())
        .await?;
        self.database(id).await
    }

    /// The sync that was asked for, unless one runs.
    pub async fn claim_sync(&mut self, id: Uuid, lease: Duration) -> Result<Option<SyncClaim>, StoreError> {
        let claim = sqlx::query_as(
            "update databases
             set sync_token = gen_random_uuid(), sync_until = now() + $2, sync_requested_at = null
             where id = $1
               and sync_requested_at is not null
               and (sync_until is null or sync_until < now())
             returning id as database_id, workspace_id, sync_token as token",
        )
        .bind(id)
        .bind(interval(lease))
        .fetch_optional(self.connection())
        .await?;
        Ok(claim)
    }

    /// Whether the claim still holds; then it does for another `lease`.
    pub async fn renew_sync(&mut self, claim: &SyncClaim, lease: Duration) -> Result<bool, StoreError> {
        let renewed = sqlx::query!(
            "update databases set sync_until = now() + $3 where id = $1 and sync_token = $2",
            claim.database_id,
            claim.token,
            interval(lease)
        )
        .execute(self.connection())
        .await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// Nothing when the claim is lost.
    pub async fn sync_plan(&mut self, claim: &SyncClaim) -> Result<Option<SyncPlan>, StoreError> {
        let database = sqlx::query!(
            "select url_sealed, url_key_id, require_read_only, samples from databases where id = $1 and sync_token = $2",
            claim.database_id,
            claim.token
        )
        .fetch_optional(self.connection())
        .await?;
        let Some(database) = database else { return Ok(None) };
        let told: Vec<(String, String, Json<TableNotes>)> = sqlx::query_as(
            "select s.name, t.name, t.told
             from tables t
             join schemas s on s.id = t.schema_id
             where t.database_id = $1 and t.told <> '{}'",
        )
        .bind(claim.database_id)
        .fetch_all(self.connection())
        .await?;
        Ok(Some(SyncPlan {
            url: Sealed { bytes: database.url_sealed, key_id: database.url_key_id },
            require_read_only: database.require_read_only,
            samples: database.samples,
            told: told.into_iter().map(|(schema, table, Json(told))| (schema, table, told)).collect(),
        }))
    }

    /// Stores why a schema could not be read, and what was found out about the login before. What was known of the schema
    /// stays.
    pub async fn fail_sync(
        &mut self,
        claim: &SyncClaim,
        privileges: Option<&Privileges>,
        error: &DatabaseError,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update databases
             set status = case when sync_requested_at is null then 'failed' else 'syncing' end,
                 error_code = $3, error_detail = $4, privileges = coalesce($5, privileges),
                 sync_token = null, sync_until = null, sync_ended_at = now()
             where id = $1 and sync_token = $2",
        )
        .bind(claim.database_id)
        .bind(claim.token)
        .bind(&error.code)
        .bind(&error.detail)
        .bind(privileges.map(Json))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Stores what introspection found, and what that changed. A table keeps its id and what people said about it as long
    /// as its name stays, and for [`GONE_DAYS`] after it was last found.
    pub async fn finish_sync(
        &mut self,
        claim: &SyncClaim,
        privileges: &Privileges,
        mut found: Schema,
    ) -> Result<(), StoreError> {
        let database = sqlx::query!(
            "select last_synced_at, samples from databases where id = $1 and sync_token = $2 for update",
            claim.database_id,
            claim.token
        )
        .fetch_optional(self.connection())
        .await?;
        let Some(database) = database else { return Ok(()) };
        let mut known = self.known_tables(claim.database_id).await?;
        let changes = match database.last_synced_at {
            None if known.is_empty() => None,
            _ => Changes::between(&present(&known), &found.tables, Utc::now()),
        };
        let mut told: BTreeMap<_, _> =
            known.drain(..).map(|row| ((row.schema_name, row.name), (row.id, row.told.0))).collect();
        for table in &mut found.tables {
            if let Some((id, told)) = told.remove(&(table.schema.clone(), table.name.clone())) {
                table.id = id;
                // It may have been hidden or masked, or samples forbidden, since the sync began.
                told.close(table);
            }
            if !database.samples {
                table.columns.iter_mut().for_each(|column| column.sample_values.clear());
            }
        }
        self.store_tables(claim.database_id, &found.tables).await?;
        sqlx::query(
            "update databases
             set status = case when sync_requested_at is null then 'ready' else 'syncing' end,
                 error_code = null, error_detail = null, last_synced_at = now(), search_path = $2,
                 server_version = $3, privileges = $4, last_changes = coalesce($5, last_changes),
                 schema_version = schema_version + 1,
                 sync_token = null, sync_until = null, sync_ended_at = now()
             where id = $1",
        )
        .bind(claim.database_id)
        .bind(&found.search_path)
        .bind(&found.server_version)
        .bind(Json(privileges))
        .bind(changes.map(Json))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Every table that was ever found and is not forgotten, locked.
    async fn known_tables(&mut self, database: Uuid) -> Result<Vec<KnownRow>, StoreError> {
        let rows = sqlx::query_as(
            "select t.id, s.name as schema_name, t.name, t.told, t.gone_at is not null as gone,
                    -- the columns without their samples, which may be many
                    (select coalesce(jsonb_agg(jsonb_build_object('name', c -> 'name', 'data_type', c -> 'data_type',
                                                                  'nullable', c -> 'nullable')), '[]')
                     from jsonb_array_elements(t.found -> 'columns') c) as columns
             from tables t
             join schemas s on s.id = t.schema_id
             where t.database_id = $1
             for update of t",
        )
        .bind(database)
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }

    async fn store_tables(&mut self, database: Uuid, found: &[Table]) -> Result<(), StoreError> {
        let workspace = self.id();
        let names = |of: fn(&Table) -> &str| found.iter().map(|table| of(table).to_owned()).collect::<Vec<_>>();
        let (schemas, tables) = (names(|table| &table.schema), names(|table| &table.name));
        let ids: Vec<Uuid> = found.iter().map(|table| table.id).collect();
        sqlx::query!(
            "update tables
             set gone_at = now()
             where database_id = $1 and gone_at is null and id <> all ($2)",
            database,
            &ids
        )
        .execute(self.connection())
        .await?;
        sqlx::query(
            "insert into schemas (id, workspace_id, database_id, name)
             -- a schema is as old as its first table
             select distinct on (t.name) t.id, $1, $2, t.name
             from unnest($3::uuid[], $4::text[]) as t (id, name)
             order by t.name, t.id
             on conflict (database_id, name) do nothing",
        )
        .bind(workspace)
        .bind(database)
        .bind(&ids)
        .bind(&schemas)
        .execute(self.connection())
        .await?;
        sqlx::query(
            "insert into tables (id, workspace_id, database_id, schema_id, name, found)
             select t.id, $1, $2, s.id, t.name, t.found
             from unnest($3::uuid[], $4::text[], $5::text[], $6::jsonb[]) as t (id, schema_name, name, found)
             join schemas s on s.database_id = $2 and s.name = t.schema_name
             on conflict (schema_id, name) do update
             set found = excluded.found, gone_at = null
             where tables.gone_at is not null or tables.found is distinct from excluded.found",
        )
        .bind(workspace)
        .bind(database)
        .bind(&ids)
        .bind(schemas)
        .bind(tables)
        .bind(found.iter().map(Json).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "with forgotten as (
                 delete from tables
                 where database_id = $1 and gone_at < now() - make_interval(days => $2)
                 returning id
             )
             delete from schemas s
             where s.database_id = $1
               and not exists (select from tables t
                               where t.schema_id = s.id and t.id not in (select id from forgotten))",
            database,
            GONE_DAYS
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

#[derive(FromRow)]
struct KnownRow {
    id: Uuid,
    schema_name: String,
    name: String,
    told: Json<TableNotes>,
    gone: bool,
    columns: Json<Vec<KnownColumn>>,
}

fn present(known: &[KnownRow]) -> Vec<KnownTable> {
    let table = |row: &KnownRow| KnownTable {
        schema: row.schema_name.clone(),
        name: row.name.clone(),
        columns: row.columns.0.clone(),
    };
    known.iter().filter(|row| !row.gone).map(table).collect()
}
