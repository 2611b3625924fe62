//! What people say about tables and columns, laid over what introspection found. It is kept by name, so that it survives
//! every sync.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::{StoreError, Workspace},
    Database, given,
};
use crate::text_to_sql::schema::{ForeignKey, Metric, NamedFilter, Schema, Table};

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
    /// A condition that every read of the table carries, in the engine's SQL; `:name` stands for an attribute of the
    /// caller's key. Null: none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 4000)]
    pub row_filter: Option<Option<String>>,
    /// Joins beside the foreign keys, to be preferred to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joins: Option<Vec<ForeignKey>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<NamedFilter>>,
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
    /// What its numbers count: `EUR`, `kg`, `minutes`. Empty: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Values that show what it holds, and that questions may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_values: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<bool>,
}

/// What people said about the tables of one database, by schema and table: a file that can be reviewed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// Whose notes they are; not read when they come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(default)]
    pub schemas: BTreeMap<String, BTreeMap<String, TableNotes>>,
}

/// What a language model proposes to say of a table; nothing uses it before a person accepts it.
#[derive(Debug, Clone, Serialize, FromRow, ToSchema)]
pub struct TableDraft {
    pub table_id: Uuid,
    pub schema: String,
    pub table: String,
    #[sqlx(json)]
    pub draft: TableNotes,
}

#[derive(FromRow)]
struct TableRow {
    id: Uuid,
    found: Json<Table>,
    told: Json<TableNotes>,
}

impl Workspace {
    /// The schema as it was found, with what people said about it laid over.
    pub async fn schema(&mut self, database: &Database) -> Result<Schema, StoreError> {
        let search_path = sqlx::query!("select search_path from databases where id = $1", database.id)
            .fetch_one(self.connection())
            .await?
            .search_path;
        let rows: Vec<TableRow> = sqlx::query_as(
            "select t.id, t.found, t.told
             from tables t
             join schemas s on s.id = t.schema_id
             where t.database_id = $1 and t.gone_at is null
             order by s.name, t.name",
        )
        .bind(database.id)
        .fetch_all(self.connection())
        .await?;
        let server_version = database.server_version.clone();
        let tables = rows.into_iter().map(TableRow::table).collect();
        Ok(Schema { engine: database.engine, search_path, server_version, tables })
    }

    /// Lays `notes` over what was said before about a table of this database.
    pub async fn note_table(
        &mut self,
        database: &Database,
        table: Uuid,
        notes: &TableNotes,
    ) -> Result<Table, StoreError> {
        // The database before its tables, as a sync locks them.
        self.count_schema_change(database.id).await?;
        let mut row: TableRow = sqlx::query_as(
            "select id, found, told from tables where database_id = $1 and id = $2 and gone_at is null for update",
        )
        .bind(database.id)
        .bind(table)
        .fetch_one(self.connection())
        .await?;
        if let Some(unknown) =
            notes.columns.keys().find(|name| !row.found.columns.iter().any(|column| column.name == **name))
        {
            return Err(StoreError::Refused(format!("{} has no column {unknown}", row.found.name)));
        }
        row.told.0 = row.told.0.merged(notes);
        self.store_notes(&mut row).await?;
        Ok(row.table())
    }

    /// What people said about the tables and columns that are there; those of which nothing was said are left out.
    pub async fn notes(&mut self, database: &Database) -> Result<Notes, StoreError> {
        let schema = self.schema(database).await?;
        let rows: Vec<(Uuid, Json<TableNotes>)> =
            sqlx::query_as("select id, told from tables where database_id = $1 and gone_at is null and told <> '{}'")
                .bind(database.id)
                .fetch_all(self.connection())
                .await?;
        let mut notes = Notes { database: Some(database.name.clone()), schemas: BTreeMap::new() };
        for (id, Json(mut told)) in rows {
            let Some(table) = schema.tables.iter().find(|table| table.id == id) else { continue };
            told.leave_out_what_is_gone(&schema, table);
            notes.schemas.entry(table.schema.clone()).or_default().insert(table.name.clone(), told);
        }
        Ok(notes)
    }

    /// Puts `notes` in the place of all that was said about the tables that are there. The tables of which something else
    /// is said now, with their schemas.
    pub async fn replace_notes(&mut self, database: &Database, notes: &Notes) -> Result<Vec<String>, StoreError> {
        self.count_schema_change(database.id).await?;
        let rows: Vec<TableRow> = sqlx::query_as(
            "select id, found, told from tables where database_id = $1 and gone_at is null order by id for update",
        )
        .bind(database.id)
        .fetch_all(self.connection())
        .await?;
        let mut changed = Vec::new();
        for mut row in rows {
            let said = notes.schemas.get(&row.found.schema).and_then(|tables| tables.get(&row.found.name));
            let said = said.cloned().unwrap_or_default();
            if said != row.told.0 {
                changed.push(format!("{}.{}", row.found.schema, row.found.name));
                row.told.0 = said;
                self.store_notes(&mut row).await?;
            }
        }
        changed.sort();
        Ok(changed)
    }

    /// Keeps what a language model proposes to say of some tables, in the place of what it proposed before.
    pub async fn save_drafts(&mut self, database_id: Uuid, drafts: &[(Uuid, TableNotes)]) -> Result<(), StoreError> {
        for (table, draft) in drafts {
            sqlx::query("update tables set drafted = $3 where database_id = $1 and id = $2 and gone_at is null")
                .bind(database_id)
                .bind(table)
                .bind(Json(draft))
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// The tables of which something is proposed.
    pub async fn drafted_tables(&mut self, database_id: Uuid) -> Result<Vec<Uuid>, StoreError> {
        let tables = sqlx::query_scalar("select id from tables where database_id = $1 and drafted is not null")
            .bind(database_id)
            .fetch_all(self.connection())
            .await?;
        Ok(tables)
    }

    /// What is proposed and neither accepted nor dropped, by table, from `after` on.
    pub async fn drafts(
        &mut self,
        database_id: Uuid,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<TableDraft>, StoreError> {
        let drafts = sqlx::query_as(
            "select t.id as table_id, s.name as schema, t.name as table, t.drafted as draft
             from tables t
             join schemas s on s.id = t.schema_id
             where t.database_id = $1 and t.gone_at is null and t.drafted is not null
               and ($2::uuid is null or t.id < $2)
             order by t.id desc
             limit $3",
        )
        .bind(database_id)
        .bind(after)
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        Ok(drafts)
    }

    /// Makes a proposal a person's own, but for what people have said already.
    pub async fn accept_draft(&mut self, database: &Database, table: Uuid) -> Result<Table, StoreError> {
        self.count_schema_change(database.id).await?;
        let draft: Json<TableNotes> = sqlx::query_scalar(
            "select drafted
             from tables
             where database_id = $1 and id = $2 and gone_at is null and drafted is not null",
        )
        .bind(database.id)
        .bind(table)
        .fetch_one(self.connection())
        .await?;
        let mut row: TableRow = sqlx::query_as("select id, found, told from tables where id = $1 for update")
            .bind(table)
            .fetch_one(self.connection())
            .await?;
        let mut draft = draft.0;
        draft.columns.retain(|name, _| row.found.columns.iter().any(|column| column.name == *name));
        row.told.0 = draft.merged(&row.told.0);
        self.store_notes(&mut row).await?;
        self.drop_draft(database.id, table).await?;
        Ok(row.table())
    }

    pub async fn drop_draft(&mut self, database_id: Uuid, table: Uuid) -> Result<(), StoreError> {
        let dropped =
            sqlx::query("update tables set drafted = null where database_id = $1 and id = $2 and drafted is not null")
                .bind(database_id)
                .bind(table)
                .execute(self.connection())
                .await?;
        if dropped.rows_affected() == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Stores what is said of a table. Samples of what is hidden or masked now are gone with the same update.
    async fn store_notes(&mut self, row: &mut TableRow) -> Result<(), StoreError> {
        row.told.close(&mut row.found);
        sqlx::query("update tables set found = $2, told = $3 where id = $1")
            .bind(row.id)
            .bind(&row.found)
            .bind(&row.told)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Removes every sample value of a database.
    pub(super) async fn remove_samples(&mut self, database: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            r#"update tables
             set found = jsonb_set(found, '{columns}', (
                 select coalesce(jsonb_agg(c.value || '{"sample_values": []}' order by c.place), '[]')
                 from jsonb_array_elements(found -> 'columns') with ordinality as c (value, place)
             ))
             where database_id = $1"#,
            database
        )
        .execute(self.connection())
        .await?;
        self.count_schema_change(database).await
    }

    async fn count_schema_change(&mut self, database: Uuid) -> Result<(), StoreError> {
        sqlx::query("update databases set schema_version = schema_version + 1 where id = $1")
            .bind(database)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl TableRow {
    fn table(self) -> Table {
        self.told.0.over(Table { id: self.id, ..self.found.0 })
    }
}

impl TableNotes {
    /// Takes the samples of what not everybody may see out of what was found: such values are not even stored.
    pub(super) fn close(&self, found: &mut Table) {
        let closed = self.is_closed();
        for column in &mut found.columns {
            if closed || self.columns.get(&column.name).is_some_and(ColumnNotes::is_closed) {
                column.sample_values.clear();
            }
        }
    }

    /// Whether the table is hidden, or shows some of its rows to some.
    pub fn is_closed(&self) -> bool {
        self.hidden == Some(true) || matches!(self.row_filter, Some(Some(_)))
    }

    /// Columns that a sync does not find any more, and joins over them: a file that names them would be refused.
    fn leave_out_what_is_gone(&mut self, schema: &Schema, table: &Table) {
        let there = |table: &Table, name: &String| table.columns.iter().any(|column| column.name == *name);
        self.columns.retain(|name, _| there(table, name));
        let leads = |join: &ForeignKey| {
            let mut referenced = schema.tables.iter().filter(|other| other.schema == join.referenced_schema);
            let referenced = referenced.find(|other| other.name == join.referenced_table);
            join.columns.iter().all(|name| there(table, name))
                && referenced.is_some_and(|other| join.referenced_columns.iter().all(|name| there(other, name)))
        };
        self.joins.iter_mut().for_each(|joins| joins.retain(leads));
    }

    /// Newer notes win; columns they do not name keep theirs.
    fn merged(mut self, newer: &TableNotes) -> TableNotes {
        let newer = newer.clone();
        self.description = newer.description.or(self.description);
        self.synonyms = newer.synonyms.or(self.synonyms);
        self.hidden = newer.hidden.or(self.hidden);
        self.row_filter = newer.row_filter.or(self.row_filter);
        self.joins = newer.joins.or(self.joins);
        self.metrics = newer.metrics.or(self.metrics);
        self.filters = newer.filters.or(self.filters);
        for (name, notes) in newer.columns {
            let column = self.columns.entry(name).or_default();
            column.description = notes.description.or(column.description.take());
            column.synonyms = notes.synonyms.or(column.synonyms.take());
            column.unit = notes.unit.or(column.unit.take());
            column.example_values = notes.example_values.or(column.example_values.take());
            column.hidden = notes.hidden.or(column.hidden);
            column.masked = notes.masked.or(column.masked);
        }
        self
    }

    fn over(mut self, mut table: Table) -> Table {
        self.close(&mut table);
        table.description = self.description.or(table.description);
        table.synonyms = self.synonyms.unwrap_or(table.synonyms);
        table.hidden = self.hidden.unwrap_or(table.hidden);
        table.row_filter = self.row_filter.unwrap_or(table.row_filter);
        table.joins = self.joins.unwrap_or(table.joins);
        table.metrics = self.metrics.unwrap_or(table.metrics);
        table.filters = self.filters.unwrap_or(table.filters);
        for column in &mut table.columns {
            let Some(notes) = self.columns.remove(&column.name) else { continue };
            column.description = notes.description.or(column.description.take());
            column.synonyms = notes.synonyms.unwrap_or(std::mem::take(&mut column.synonyms));
            column.unit = notes.unit.filter(|unit| !unit.is_empty());
            column.example_values = notes.example_values.unwrap_or_default();
            column.hidden = notes.hidden.unwrap_or(column.hidden);
            column.masked = notes.masked.unwrap_or(column.masked);
        }
        table
    }
}

impl ColumnNotes {
    /// Whether nobody may see its values.
    pub fn is_closed(&self) -> bool {
        self.hidden == Some(true) || self.masked == Some(true)
    }
}
