//! The catalog of a MySQL or MariaDB database, as far as the login may read.
//!
//! Six statements on `information_schema`, however many tables there are: of the one database that the URL names, since
//! that is what the login was given for. Left out: sequences, and keys that refer to other databases.

mod words;

use std::collections::HashMap;
use std::time::Instant;

use futures::TryStreamExt;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Executor};

use super::{Budget, CATALOG_BYTES, Gathered, Samples, TABLE_TIME, VALUE_CHARS, VALUE_ROWS, VALUES};
use crate::text_to_sql::engine::Meter;
use crate::text_to_sql::run::mysql::text;
use crate::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Index, Schema, Table, TableKind};

/// Reads everything in the transaction that the session is in.
pub(in crate::text_to_sql) async fn introspect(
    connection: &mut MySqlConnection,
    meter: &Meter,
    samples: &Samples,
) -> Result<Schema, sqlx::Error> {
    meter.allow(CATALOG_BYTES);
    let row = sqlx::query("select version(), database()").persistent(false).fetch_one(&mut *connection).await?;
    let version = text(&row, 0).unwrap_or_default();
    let database = text(&row, 1).unwrap_or_default();
    let is_mariadb = version.contains("MariaDB");
    let mut catalog = Catalog::default();
    for row in fetch(connection, meter, TABLES).await? {
        catalog.add_table(&row, &database);
    }
    for row in fetch(connection, meter, COLUMNS).await? {
        catalog.add_column(&row);
    }
    for row in fetch(connection, meter, INDEXES).await? {
        catalog.add_index_column(&row);
    }
    for row in fetch(connection, meter, FOREIGN_KEYS).await? {
        catalog.add_foreign_key_column(&row, &database);
    }
    for (table, check) in checks(connection, meter, is_mariadb).await? {
        catalog.add_check(&table, &check);
    }
    catalog.finish_keys();
    read_values(connection, meter, is_mariadb, samples, &mut catalog).await?;
    let tables = catalog.relations.into_iter().map(|relation| relation.table).collect();
    Ok(Schema { engine: Engine::Mysql, search_path: vec![database], server_version: version, tables })
}

const TABLES: &str = "
    select table_name, table_type, table_comment, table_rows, data_length
    from information_schema.tables
    where table_schema = database()
      and table_type in ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED', 'SYSTEM VIEW')
    order by table_name";

const COLUMNS: &str = "
    select table_name, column_name, column_type, data_type, is_nullable, column_comment
    from information_schema.columns
    where table_schema = database()
    order by table_name, ordinal_position";

/// The primary key is the index of that name.
const INDEXES: &str = "
    select table_name, index_name, non_unique, column_name
    from information_schema.statistics
    where table_schema = database()
    order by table_name, index_name, seq_in_index";

const FOREIGN_KEYS: &str = "
    select table_name, constraint_name, column_name, referenced_table_schema, referenced_table_name,
           referenced_column_name
    from information_schema.key_column_usage
    where table_schema = database()
      and referenced_table_name is not null
    order by table_name, constraint_name, ordinal_position";

const MARIADB_CHECKS: &str = "
    select table_name, check_clause
    from information_schema.check_constraints
    where constraint_schema = database()";

const MYSQL_CHECKS: &str = "
    select t.table_name, c.check_clause
    from information_schema.check_constraints c
    join information_schema.table_constraints t
      on t.constraint_schema = c.constraint_schema and t.constraint_name = c.constraint_name
    where c.constraint_schema = database()
      and t.constraint_type = 'CHECK'";

async fn fetch(
    connection: &mut MySqlConnection,
    meter: &Meter,
    sql: &'static str,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let mut rows = Vec::new();
    let mut answers = sqlx::query(sql).persistent(false).fetch(connection);
    while let Some(row) = answers.try_next().await? {
        meter.refill();
        rows.push(row);
    }
    Ok(rows)
}

/// Table and condition. Versions before MariaDB 10.2.22 and MySQL 8.0.16 know no checks, or do not tell of them.
async fn checks(
    connection: &mut MySqlConnection,
    meter: &Meter,
    is_mariadb: bool,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = match fetch(connection, meter, if is_mariadb { MARIADB_CHECKS } else { MYSQL_CHECKS }).await {
        Err(sqlx::Error::Database(_)) => return Ok(Vec::new()),
        rows => rows?,
    };
    let check = |row: &MySqlRow| {
        let condition = text(row, 1)?;
        // MySQL keeps the text as it would stand inside of another.
        Some((text(row, 0)?, if is_mariadb { condition } else { words::unescaped(&condition) }))
    };
    Ok(rows.iter().filter_map(check).collect())
}

/// What was read so far.
#[derive(Default)]
struct Catalog {
    relations: Vec<Relation>,
    by_name: HashMap<String, usize>,
}

struct Relation {
    /// About how many bytes the rows take.
    bytes: i64,
    /// Indexes over an expression: they name no columns, and are left out.
    expressions: Vec<String>,
    foreign_keys: Vec<(String, ForeignKey)>,
    table: Table,
}

impl Catalog {
    fn add_table(&mut self, row: &MySqlRow, database: &str) {
        let Some(name) = text(row, 0) else { return };
        let is_view = text(row, 1).is_some_and(|kind| kind.ends_with("VIEW"));
        let kind = if is_view { TableKind::View } else { TableKind::Table };
        let mut table = Table::found(database.to_owned(), name.clone(), kind);
        // The comment of a view is always the word VIEW.
        table.description = text(row, 2).filter(|comment| !comment.is_empty() && !is_view);
        table.row_count = number(row, 3).filter(|_| !is_view);
        self.by_name.insert(name, self.relations.len());
        let bytes = number(row, 4).unwrap_or_default();
        self.relations.push(Relation { bytes, expressions: Vec::new(), foreign_keys: Vec::new(), table });
    }

    fn add_column(&mut self, row: &MySqlRow) {
        let (Some(name), Some(column_type), Some(data_type)) = (text(row, 1), text(row, 2), text(row, 3)) else {
            return;
        };
        let kind = column_kind(&data_type, &column_type);
        let nullable = text(row, 4).is_some_and(|nullable| nullable == "YES");
        let enum_values = words::enum_labels(&column_type);
        let mut column = Column::found(name, column_type, kind, nullable);
        column.description = text(row, 5).filter(|comment| !comment.is_empty());
        column.enum_values = enum_values;
        if let Some(relation) = self.relation_mut(row) {
            relation.table.columns.push(column);
        }
    }

    fn add_index_column(&mut self, row: &MySqlRow) {
        let (Some(name), column) = (text(row, 1), text(row, 3)) else { return };
        let unique = number(row, 2) == Some(0);
        let Some(relation) = self.relation_mut(row) else { return };
        match (column, relation.table.indexes.last_mut()) {
            (None, _) => relation.expressions.push(name),
            (Some(column), Some(index)) if index.name == name => index.columns.push(column),
            (Some(column), _) => relation.table.indexes.push(Index { name, columns: vec![column], unique }),
        }
    }

    fn add_foreign_key_column(&mut self, row: &MySqlRow, database: &str) {
        let (Some(name), Some(column), Some(referenced)) = (text(row, 1), text(row, 2), text(row, 5)) else { return };
        let (Some(referenced_schema), Some(referenced_table)) = (text(row, 3), text(row, 4)) else { return };
        if referenced_schema != database || !self.by_name.contains_key(&referenced_table) {
            return;
        }
        let Some(relation) = self.relation_mut(row) else { return };
        match relation.foreign_keys.last_mut() {
            Some((last, key)) if *last == name => {
                key.columns.push(column);
                key.referenced_columns.push(referenced);
            }
            _ => {
                let (columns, referenced_columns) = (vec![column], vec![referenced]);
                let key = ForeignKey { columns, referenced_schema, referenced_table, referenced_columns };
                relation.foreign_keys.push((name, key));
            }
        }
    }

    /// What a check says about one column: the values it may have, or that it holds JSON, for which MariaDB has no type.
    fn add_check(&mut self, table: &str, condition: &str) {
        let Some(&at) = self.by_name.get(table) else { return };
        let (list, json) = (words::value_list(condition), words::json_check(condition));
        let Some(name) = list.as_ref().map(|(column, _)| column).or(json.as_ref()) else { return };
        let mut columns = self.relations[at].table.columns.iter_mut();
        let Some(column) = columns.find(|column| column.name.eq_ignore_ascii_case(name)) else { return };
        match list {
            Some((_, values)) => column.enum_values = values,
            None => column.kind = ColumnKind::Json,
        }
    }

    fn finish_keys(&mut self) {
        for Relation { expressions, foreign_keys, table, .. } in &mut self.relations {
            let indexes = std::mem::take(&mut table.indexes);
            for index in indexes.into_iter().filter(|index| !expressions.contains(&index.name)) {
                if index.name == "PRIMARY" {
                    table.primary_key.clone_from(&index.columns);
                }
                table.indexes.push(index);
            }
            table.foreign_keys = foreign_keys.drain(..).map(|(_, key)| key).collect();
        }
    }

    /// The table that a row of the catalog is about, by its first column.
    fn relation_mut(&mut self, row: &MySqlRow) -> Option<&mut Relation> {
        let at = *self.by_name.get(&text(row, 0)?)?;
        self.relations.get_mut(at)
    }
}

/// Statistics have been numbers of several types over time. The catalog's rows come in the binary protocol.
fn number(row: &MySqlRow, index: usize) -> Option<i64> {
    use sqlx::Row;
    row.try_get_unchecked::<Option<u64>, _>(index).ok().flatten().and_then(|number| i64::try_from(number).ok())
}

/// `tinyint(1)` is what both engines make of `boolean`.
fn column_kind(data_type: &str, column_type: &str) -> ColumnKind {
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" if column_type.starts_with("tinyint(1)") => ColumnKind::Boolean,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => ColumnKind::Integer,
        "decimal" | "float" | "double" => ColumnKind::Decimal,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => ColumnKind::Text,
        "date" => ColumnKind::Date,
        "datetime" | "timestamp" => ColumnKind::Timestamp,
        "json" => ColumnKind::Json,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Binary,
        _ => ColumnKind::Other,
    }
}

impl Relation {
    /// Text columns that are worth asking for their values.
    fn text_columns(&self, samples: &Samples) -> Vec<usize> {
        let wanted = |column: &Column| {
            column.kind == ColumnKind::Text
                && column.enum_values.is_empty()
                && samples.of(&self.table.schema, &self.table.name, &column.name)
        };
        let columns = self.table.columns.iter().enumerate();
        columns.filter(|(_, column)| wanted(column)).map(|(at, _)| at).collect()
    }

    /// Where the values of a column are read from: all of a small table, the first rows of a large one or of a view.
    fn source(&self, column: &str) -> String {
        let name = format!("{}.{}", quoted(&self.table.schema), quoted(&self.table.name));
        let is_large = self.table.row_count.is_none_or(|rows| rows > VALUE_ROWS) || self.bytes > LARGE_BYTES;
        match self.table.kind {
            TableKind::View => format!("(select {column} from {name} limit {VIEW_ROWS}) v"),
            TableKind::Table if is_large => format!("(select {column} from {name} limit {VALUE_ROWS}) t"),
            TableKind::Table => name,
        }
    }
}

/// Of a table with long rows even a few are slow to read.
const LARGE_BYTES: i64 = 64 << 20;
/// A view can be any computation; its first rows often come early.
const VIEW_ROWS: usize = 10_000;

/// A name as an identifier, which MySQL writes in its own quotes.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

async fn read_values(
    connection: &mut MySqlConnection,
    meter: &Meter,
    is_mariadb: bool,
    samples: &Samples,
    catalog: &mut Catalog,
) -> Result<(), sqlx::Error> {
    let mut budget = Budget::new(Instant::now());
    let limit = match is_mariadb {
        true => format!("set session max_statement_time = {}", TABLE_TIME.as_secs()),
        false => format!("set session max_execution_time = {}", TABLE_TIME.as_millis()),
    };
    connection.execute(sqlx::raw_sql(AssertSqlSafe(limit))).await?;
    // From here on no more is kept than there is room for.
    meter.allow(usize::MAX);
    for relation in &mut catalog.relations {
        if budget.is_spent(Instant::now()) {
            tracing::info!(
                table = relation.table.name,
                "no time or memory was left for the values of this table and those after it"
            );
            break;
        }
        let columns = relation.text_columns(samples);
        if let Some(statement) = values_statement(relation, &columns) {
            for (at, values) in values_of_table(connection, meter, statement, &columns).await? {
                relation.table.columns[at].sample_values = budget.keep(values);
            }
        }
    }
    Ok(())
}

/// One statement for all text columns of a table: the column's place, and a value.
fn values_statement(relation: &Relation, columns: &[usize]) -> Option<String> {
    let arm = |at: &usize| {
        let column = quoted(&relation.table.columns[*at].name);
        let source = relation.source(&column);
        format!(
            "(select {at}, convert({column} using utf8mb4) from {source}
              where char_length({column}) between 1 and {VALUE_CHARS}
              group by {column} order by count(*) desc, {column} limit {VALUES})"
        )
    };
    let arms: Vec<String> = columns.iter().map(arm).collect();
    (!arms.is_empty()).then(|| arms.join(" union all "))
}

/// The values by column; none if the table cannot be read in time.
async fn values_of_table(
    connection: &mut MySqlConnection,
    meter: &Meter,
    statement: String,
    columns: &[usize],
) -> Result<HashMap<usize, Vec<String>>, sqlx::Error> {
    let mut values = Gathered::of(columns);
    let mut answers = sqlx::query(AssertSqlSafe(statement)).persistent(false).fetch(connection);
    loop {
        match answers.try_next().await {
            Ok(Some(row)) => {
                meter.refill();
                if let (Some(at), Some(value)) = (number(&row, 0), text(&row, 1)) {
                    values.add(usize::try_from(at).unwrap_or_default(), value.len(), value);
                }
            }
            Ok(None) => return Ok(values.columns),
            // Too slow, or a broken view: no values, and on with the next table.
            Err(sqlx::Error::Database(_)) => return Ok(HashMap::new()),
            Err(error) => return Err(error),
        }
    }
}
