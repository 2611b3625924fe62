//! What introspection found in a user's database, and what people said about it. Plain nouns; no behaviour beyond lookups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The SQL engines Almanac speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Postgres,
    Sqlite,
}

/// One database as its catalog shows it to the login we were given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schema {
    pub engine: Engine,
    /// The schemas that unqualified names resolve in, in order: `["public"]`, `["main"]`.
    pub search_path: Vec<String>,
    pub tables: Vec<Table>,
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Table {
    pub id: Uuid,
    pub schema: String,
    pub name: String,
    pub kind: TableKind,
    /// The comment in the catalog, or what a person wrote over it.
    pub description: Option<String>,
    /// Other names people use for it.
    #[serde(default)]
    pub synonyms: Vec<String>,
    /// Hidden tables do not exist for questions, statements or models.
    #[serde(default)]
    pub hidden: bool,
    pub columns: Vec<Column>,
    /// Column names in key order; empty when there is none.
    pub primary_key: Vec<String>,
    pub foreign_keys: Vec<ForeignKey>,
    pub indexes: Vec<Index>,
    /// As the engine estimates it, or counted where that is cheap.
    pub row_count: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    Table,
    View,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Column {
    pub name: String,
    /// The type in the engine's own words: `numeric(10,2)`, `TEXT`.
    pub data_type: String,
    /// What the type means, the same for every engine.
    pub kind: ColumnKind,
    pub nullable: bool,
    pub description: Option<String>,
    #[serde(default)]
    pub synonyms: Vec<String>,
    #[serde(default)]
    pub hidden: bool,
    #[serde(default)]
    pub masked: bool,
    /// Labels of an enum type, else empty.
    #[serde(default)]
    pub enum_values: Vec<String>,
    /// Distinct values of a text column with few of them, most frequent first; never of a hidden or masked column.
    #[serde(default)]
    pub sample_values: Vec<String>,
}

/// What a column holds, as far as questions and printing care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    Integer,
    Decimal,
    Text,
    Boolean,
    Date,
    Timestamp,
    Json,
    Binary,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForeignKey {
    pub columns: Vec<String>,
    pub referenced_schema: String,
    pub referenced_table: String,
    pub referenced_columns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Index {
    pub name: String,
    pub columns: Vec<String>,
    pub unique: bool,
}

/// Enough to see what a column holds.
const SHOWN_SAMPLES: usize = 10;

impl Schema {
    /// For people: a few sample values a column instead of all that questions are matched with.
    pub fn for_reading(mut self) -> Schema {
        for column in self.tables.iter_mut().flat_map(|table| &mut table.columns) {
            column.sample_values.truncate(SHOWN_SAMPLES);
        }
        self
    }

    /// Without the sample values that hold a NUL, which our store cannot keep and nobody asks for.
    pub fn without_nul(mut self) -> Schema {
        for column in self.tables.iter_mut().flat_map(|table| &mut table.columns) {
            column.sample_values.retain(|value| !value.contains('\0'));
        }
        self
    }

    /// The tables that exist for questions and statements.
    pub fn visible_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| !table.hidden)
    }
}

impl Table {
    /// The columns that exist for questions and statements.
    pub fn visible_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.hidden)
    }
}
