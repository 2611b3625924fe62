//! What introspection found in a user's database, and what people said about it. Plain nouns; no behaviour beyond lookups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::terms;

/// The SQL engines Almanac speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    Sqlite,
    /// SQL Server.
    Mssql,
}

impl Engine {
    pub const ALL: [Engine; 4] = [Engine::Postgres, Engine::Mysql, Engine::Sqlite, Engine::Mssql];

    /// As the API and the store spell it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::Mysql => "mysql",
            Engine::Sqlite => "sqlite",
            Engine::Mssql => "mssql",
        }
    }
}

/// One database as its catalog shows it to the login we were given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schema {
    pub engine: Engine,
    /// The schemas that unqualified names resolve in, in order: `["public"]`, `["main"]`.
    pub search_path: Vec<String>,
    /// As the server says it: `16.4`, `10.11.6-MariaDB`, `3.46.0`.
    #[serde(default)]
    pub server_version: String,
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
    /// A condition that every read of the table carries, in the engine's SQL; `:name` stands for an attribute of the
    /// caller's key.
    #[serde(default)]
    pub row_filter: Option<String>,
    pub columns: Vec<Column>,
    /// Column names in key order; empty when there is none.
    pub primary_key: Vec<String>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Joins that people declared, used like foreign keys and before them.
    #[serde(default)]
    pub joins: Vec<ForeignKey>,
    /// What people compute from its rows, by name.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// Conditions on its rows that people speak of by name.
    #[serde(default)]
    pub filters: Vec<NamedFilter>,
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
    /// What its numbers count: `EUR`, `kg`, `minutes`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Values that people gave to show what it holds.
    #[serde(default)]
    pub example_values: Vec<String>,
    #[serde(default)]
    pub hidden: bool,
    #[serde(default)]
    pub masked: bool,
    /// The type itself is an enumeration, so that a statement may name it in a cast.
    #[serde(default)]
    pub enumeration: bool,
    /// Labels of an enum type, or the values that a check allows; else empty.
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

/// A figure that people compute from the rows of a table: "net revenue" is `sum(amount - discount)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An aggregate over columns of the table, in the engine's SQL.
    pub expression: String,
    /// Of the figure: `EUR`, `kg`, `%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A condition that people speak of by name: "active" is `status = 'active'`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedFilter {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// On columns of the table, in the engine's SQL.
    pub condition: String,
    /// Taken for every question about the table, unless the question speaks against it. A statement that somebody sends
    /// is left as it is.
    #[serde(default)]
    pub default: bool,
}

/// Columns of one table that name rows of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
        self.tables = self.tables.into_iter().map(Table::for_reading).collect();
        self
    }

    /// For callers who make no rules: what is hidden does not exist for them, and rules are not told.
    pub fn for_callers(mut self) -> Schema {
        self.tables = self.visible_tables().map(|table| table.for_callers(self.engine)).collect();
        let visible = self.tables.clone();
        let shown = |key: &ForeignKey| visible.iter().any(|table| table.shows_end_of(key));
        for table in &mut self.tables {
            table.foreign_keys.retain(shown);
            table.joins.retain(shown);
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
    /// As a catalog first names it.
    pub fn found(schema: String, name: String, kind: TableKind) -> Table {
        Table {
            id: Uuid::now_v7(),
            schema,
            name,
            kind,
            description: None,
            synonyms: Vec::new(),
            hidden: false,
            row_filter: None,
            columns: Vec::new(),
            primary_key: Vec::new(),
            foreign_keys: Vec::new(),
            joins: Vec::new(),
            metrics: Vec::new(),
            filters: Vec::new(),
            indexes: Vec::new(),
            row_count: None,
        }
    }

    pub fn for_reading(mut self) -> Table {
        self.columns.iter_mut().for_each(|column| column.sample_values.truncate(SHOWN_SAMPLES));
        self
    }

    fn for_callers(&self, engine: Engine) -> Table {
        let mut table = Table { row_filter: None, ..self.clone() };
        table.columns.retain(|column| !column.hidden);
        for column in table.columns.iter_mut().filter(|column| column.masked) {
            column.enum_values.clear();
            column.example_values.clear();
        }
        table.metrics = terms::open_metrics(engine, self).cloned().collect();
        table.filters = terms::open_filters(engine, self).cloned().collect();
        if self.columns.iter().any(|column| column.hidden && self.primary_key.contains(&column.name)) {
            table.primary_key.clear();
        }
        table.foreign_keys = self.foreign_keys.iter().filter(|key| table.has_columns(&key.columns)).cloned().collect();
        table.joins = self.joins.iter().filter(|join| table.has_columns(&join.columns)).cloned().collect();
        table.indexes = self.indexes.iter().filter(|index| table.has_columns(&index.columns)).cloned().collect();
        table
    }

    /// Whether this is the table that `key` refers to, and may be named with all columns of it.
    pub fn shows_end_of(&self, key: &ForeignKey) -> bool {
        let visible = |name: &String| self.visible_columns().any(|column| column.name == *name);
        self.schema == key.referenced_schema
            && self.name == key.referenced_table
            && key.referenced_columns.iter().all(visible)
    }

    fn has_columns(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.columns.iter().any(|column| column.name == *name))
    }

    /// The columns that exist for questions and statements.
    pub fn visible_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.hidden)
    }
}

impl Column {
    /// As a catalog first names it.
    pub fn found(name: String, data_type: String, kind: ColumnKind, nullable: bool) -> Column {
        Column {
            name,
            data_type,
            kind,
            nullable,
            description: None,
            synonyms: Vec::new(),
            unit: None,
            example_values: Vec::new(),
            hidden: false,
            masked: false,
            enumeration: false,
            enum_values: Vec::new(),
            sample_values: Vec::new(),
        }
    }
}
