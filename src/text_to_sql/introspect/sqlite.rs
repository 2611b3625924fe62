//! The catalog of a SQLite file, and what its values say that the catalog does not: SQLite has no date type, and a
//! column may hold other than it declares. <https://www.sqlite.org/datatype3.html>

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::{Budget, Samples, TABLE_TIME, VALUE_CHARS, VALUE_ROWS, VALUES, checks, quoted};
use crate::text_to_sql::engine::Stop;
use crate::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Index, Schema, Table, TableKind};
use sqlparser::dialect::SQLiteDialect;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row};

/// The only schema of a file that is opened alone.
const MAIN: &str = "main";

/// What the catalog says, before the connection is confined to reading tables.
pub(in crate::text_to_sql) async fn catalog(connection: &mut SqliteConnection) -> Result<Schema, sqlx::Error> {
    let mut catalog = Catalog::default();
    for row in sqlx::query(TABLES).fetch_all(&mut *connection).await? {
        catalog.add_table(row.try_get(0)?, row.try_get(1)?);
    }
    for row in sqlx::query(COLUMNS).fetch_all(&mut *connection).await? {
        catalog.add_column(&row)?;
    }
    catalog.add_views(connection).await?;
    for row in sqlx::query(PRIMARY_KEYS).fetch_all(&mut *connection).await? {
        catalog.set_primary_key(row.try_get(0)?, row.try_get(1)?);
    }
    for row in sqlx::query(FOREIGN_KEYS).fetch_all(&mut *connection).await? {
        catalog.add_foreign_key(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    }
    for row in sqlx::query(INDEXES).fetch_all(&mut *connection).await? {
        catalog.add_index(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    }
    for row in sqlx::query(CHECKED).fetch_all(&mut *connection).await? {
        catalog.add_checks(row.try_get(0)?, row.try_get(1)?);
    }
    let server_version = sqlx::query_scalar("select sqlite_version()").fetch_one(connection).await?;
    Ok(Schema { engine: Engine::Sqlite, search_path: vec![MAIN.to_owned()], server_version, tables: catalog.tables })
}

/// Adds kinds, row counts and values, on a connection that can do no more than read. Without samples no row is read:
/// columns are what they declare, and rows are only counted.
pub(in crate::text_to_sql) async fn describe(
    connection: &mut SqliteConnection,
    mut schema: Schema,
    stop: &Stop,
    samples: &Samples,
) -> Result<Schema, sqlx::Error> {
    let mut budget = Budget::new(Instant::now());
    for table in &mut schema.tables {
        stop.within(TABLE_TIME);
        table.columns.iter_mut().for_each(|column| column.kind = Held::default().kind(&column.data_type));
        if samples.enabled {
            look(connection, table, samples).await?;
        }
        if table.kind == TableKind::Table {
            table.row_count = row_count(connection, table).await?;
        }
        if !budget.is_spent(Instant::now()) {
            read_values(connection, table, samples, &mut budget).await?;
        }
    }
    Ok(schema)
}

const TABLES: &str = "
    select name, type
    from pragma_table_list
    where schema = 'main' and type in ('table', 'view', 'virtual') and name not like 'sqlite|_%' escape '|'
    order by name";

/// Hidden columns of virtual tables (1) are their module's own; generated ones (2, 3) are columns like others.
const COLUMNS: &str = "
    select t.name, c.name, c.type, c.\"notnull\" or c.pk > 0
    from pragma_table_list t
    join pragma_table_xinfo(t.name) c
    where t.schema = 'main' and t.type in ('table', 'virtual') and c.hidden <> 1
    order by t.name, c.cid";

/// One statement a view: a view over a table that is gone is an error, and must not take the others with it.
const VIEW_COLUMNS: &str = "select ?1, name, type, \"notnull\" from pragma_table_xinfo(?1) order by cid";

const PRIMARY_KEYS: &str = "
    select t.name, json_group_array(c.name order by c.pk)
    from pragma_table_list t
    join pragma_table_xinfo(t.name) c
    where t.schema = 'main' and t.type = 'table' and c.pk > 0
    group by t.name";

const FOREIGN_KEYS: &str = "
    select t.name, f.\"table\", json_group_array(f.\"from\" order by f.seq), json_group_array(f.\"to\" order by f.seq)
    from pragma_table_list t
    join pragma_foreign_key_list(t.name) f
    where t.schema = 'main' and t.type = 'table'
    group by t.name, f.id
    order by t.name, f.id desc";

/// A partial index makes only some rows unique.
const INDEXES: &str = "
    select t.name, i.name, i.\"unique\" and not i.partial, json_group_array(c.name order by c.seqno)
    from pragma_table_list t
    join pragma_index_list(t.name) i
    join pragma_index_info(i.name) c
    where t.schema = 'main' and t.type = 'table'
    group by t.name, i.name
    order by t.name, i.name";

/// Tables that may have checks, with what created them: the only place that knows.
const CHECKED: &str = "
    select name, sql
    from sqlite_schema
    where type = 'table' and sql like '%check%' and length(sql) <= 262144";

#[derive(Default)]
struct Catalog {
    tables: Vec<Table>,
    /// SQLite does not tell the case of names apart.
    by_name: HashMap<String, usize>,
}

impl Catalog {
    fn add_table(&mut self, name: String, kind: &str) {
        self.by_name.insert(name.to_lowercase(), self.tables.len());
        let kind = if kind == "view" { TableKind::View } else { TableKind::Table };
        self.tables.push(Table::found(MAIN.to_owned(), name, kind));
    }

    fn add_column(&mut self, row: &SqliteRow) -> Result<(), sqlx::Error> {
        let nullable = !row.try_get_unchecked::<bool, _>(3)?;
        let column = Column::found(row.try_get(1)?, row.try_get(2)?, ColumnKind::Other, nullable);
        if let Some(table) = self.table(row.try_get(0)?) {
            table.columns.push(column);
        }
        Ok(())
    }

    async fn add_views(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let views = self.tables.iter().filter(|table| table.kind == TableKind::View);
        let views: Vec<String> = views.map(|table| table.name.clone()).collect();
        for view in views {
            match sqlx::query(VIEW_COLUMNS).bind(view).fetch_all(&mut *connection).await {
                Ok(columns) => columns.iter().try_for_each(|row| self.add_column(row))?,
                Err(sqlx::Error::Database(_)) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_primary_key(&mut self, table: &str, Json(columns): Json<Vec<String>>) {
        if let Some(table) = self.table(table) {
            table.primary_key = columns;
        }
    }

    /// A key that does not say which columns it refers to means the primary key.
    fn add_foreign_key(
        &mut self,
        table: &str,
        other: &str,
        Json(columns): Json<Vec<String>>,
        Json(named): Json<Vec<Option<String>>>,
    ) {
        let Some(other) = self.table(other) else { return };
        let (referenced_table, primary_key) = (other.name.clone(), other.primary_key.clone());
        let referenced_columns = named.into_iter().collect::<Option<Vec<String>>>().unwrap_or(primary_key);
        if let Some(table) = self.table(table)
            && columns.len() == referenced_columns.len()
        {
            let referenced_schema = MAIN.to_owned();
            table.foreign_keys.push(ForeignKey { columns, referenced_schema, referenced_table, referenced_columns });
        }
    }

    /// An index over an expression names no column, and is left out.
    fn add_index(&mut self, table: &str, name: String, unique: bool, Json(columns): Json<Vec<Option<String>>>) {
        if let Some(table) = self.table(table)
            && let Some(columns) = columns.into_iter().collect()
        {
            table.indexes.push(Index { name, columns, unique });
        }
    }

    fn add_checks(&mut self, table: &str, create: &str) {
        let Some(table) = self.table(table) else { return };
        for allowed in checks::of_table(create, &SQLiteDialect {}) {
            let named = |column: &&mut Column| column.name.eq_ignore_ascii_case(&allowed.column);
            if let Some(column) = table.columns.iter_mut().find(named) {
                column.enum_values = allowed.values;
            }
        }
    }

    fn table(&mut self, name: &str) -> Option<&mut Table> {
        self.tables.get_mut(*self.by_name.get(&name.to_lowercase())?)
    }
}

/// Rows whose values tell what a column really holds; fewer than [`Held::BASE`].
const LOOKED_AT: i64 = 200;
/// Rows that are counted; a larger table is estimated by its last row id.
const COUNTED: i64 = 1_000_000;

/// Finds the kinds of the columns; a table that cannot be read, and a column that may not be, keeps what it declares.
/// Counts come back, and no value.
async fn look(connection: &mut SqliteConnection, table: &mut Table, samples: &Samples) -> Result<(), sqlx::Error> {
    let open = |column: &&mut Column| samples.of(&table.schema, &table.name, &column.name);
    let mut open: Vec<&mut Column> = table.columns.iter_mut().filter(open).collect();
    let names: Vec<String> = open.iter().map(|column| quoted(&column.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let sums: Vec<String> = names.iter().map(|name| Held::counting(name)).collect();
    let (sums, names) = (sums.join(", "), names.join(", "));
    let statement = format!("select {sums} from (select {names} from {} limit {LOOKED_AT})", quoted(&table.name));
    for row in readable(connection, statement).await? {
        for (at, column) in open.iter_mut().enumerate() {
            column.kind = Held::from_sum(row.try_get_unchecked(at).unwrap_or_default()).kind(&column.data_type);
        }
    }
    Ok(())
}

async fn row_count(connection: &mut SqliteConnection, table: &Table) -> Result<Option<i64>, sqlx::Error> {
    let name = quoted(&table.name);
    let counted = format!("select count(*) from (select 1 from {name} limit {})", COUNTED + 1);
    let number = |rows: Vec<SqliteRow>| rows.first().and_then(|row| row.try_get_unchecked::<i64, _>(0).ok());
    match number(readable(connection, counted).await?) {
        Some(count) if count <= COUNTED => Ok(Some(count)),
        _ => match row_id(table) {
            Some(row_id) => Ok(number(readable(connection, format!("select max({row_id}) from {name}")).await?)),
            None => Ok(None),
        },
    }
}

/// The number of a row by a name that no column of the table has taken.
/// <https://www.sqlite.org/lang_createtable.html#rowid>
fn row_id(table: &Table) -> Option<&'static str> {
    let taken = |name: &str| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name))
}

/// SQLite's own limit on the arms of a `union` is well above this many columns.
const COLUMNS_AT_ONCE: usize = 50;

async fn read_values(
    connection: &mut SqliteConnection,
    table: &mut Table,
    samples: &Samples,
    budget: &mut Budget,
) -> Result<(), sqlx::Error> {
    let wanted = |column: &Column| {
        column.kind == ColumnKind::Text
            && column.enum_values.is_empty()
            && samples.of(&table.schema, &table.name, &column.name)
    };
    let wanted: Vec<usize> = (0..table.columns.len()).filter(|at| wanted(&table.columns[*at])).collect();
    for columns in wanted.chunks(COLUMNS_AT_ONCE) {
        let mut values: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for row in readable(connection, values_statement(table, columns)).await? {
            if let (Ok(at), Ok(value)) = (row.try_get_unchecked(0), row.try_get_unchecked(1)) {
                values.entry(at).or_default().push(value);
            }
        }
        for (at, values) in values {
            if let Some(column) = usize::try_from(at).ok().and_then(|at| table.columns.get_mut(at)) {
                column.sample_values = budget.keep(values);
            }
        }
    }
    Ok(())
}

/// One statement for some text columns of a table: the column's place, and a value, most frequent first.
fn values_statement(table: &Table, columns: &[usize]) -> String {
    let source = quoted(&table.name);
    let arm = |at: &usize| {
        let column = quoted(&table.columns[*at].name);
        format!(
            "select * from (
                 select {at}, v from (select {column} as v from {source} limit {VALUE_ROWS})
                 where typeof(v) = 'text' and length(v) between 1 and {VALUE_CHARS}
                 group by v order by count(*) desc, v limit {VALUES})"
        )
    };
    columns.iter().map(arm).collect::<Vec<_>>().join(" union all ")
}

/// The rows, or none if the table is too slow or cannot be read (a view over a table that is gone, a missing module).
async fn readable(connection: &mut SqliteConnection, statement: String) -> Result<Vec<SqliteRow>, sqlx::Error> {
    match sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(connection).await {
        Err(sqlx::Error::Database(_)) => Ok(Vec::new()),
        rows => rows,
    }
}

/// How often the values of a column were of which class.
#[derive(Debug, Default, PartialEq)]
struct Held {
    integers: i64,
    reals: i64,
    blobs: i64,
    texts: i64,
    /// Texts that are `2024-02-29`, and texts that are such a date with a time of day as SQLite's date functions read it:
    /// `2024-02-29 10:30`, `2024-02-29T10:30:00.123Z`. The texts before are the others.
    dates: i64,
    times: i64,
}

impl Held {
    /// Each count is one digit of a sum.
    const BASE: i64 = 256;

    fn counting(column: &str) -> String {
        let [integers, reals, blobs, texts, dates, times] = [0, 1, 2, 3, 4, 5].map(|place| Held::BASE.pow(place));
        format!(
            "sum(case typeof({column})
                 when 'null' then 0 when 'integer' then {integers} when 'real' then {reals} when 'blob' then {blobs}
                 else case when {column} not glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' then {texts}
                           when date({column}) = {column} then {dates}
                           when substr({column}, 11, 6) glob '[T ][0-9][0-9]:[0-9][0-9]'
                                and date(substr({column}, 1, 10)) = substr({column}, 1, 10) then {times}
                           else {texts} end
             end)"
        )
    }

    fn from_sum(sum: i64) -> Held {
        let digit = |place| sum / Held::BASE.pow(place) % Held::BASE;
        let [integers, reals, blobs, texts, dates, times] = [0, 1, 2, 3, 4, 5].map(digit);
        Held { integers, reals, blobs, texts, dates, times }
    }

    /// What the values show wins over what the column declares; an empty column is what it declares.
    fn kind(&self, declared: &str) -> ColumnKind {
        let said = declared_kind(declared);
        let (numbers, texts) = (self.integers + self.reals, self.texts + self.dates + self.times);
        let only_texts = texts > 0 && numbers + self.blobs == 0;
        match said {
            Some(ColumnKind::Boolean | ColumnKind::Json) => said,
            _ if only_texts && self.dates == texts => Some(ColumnKind::Date),
            _ if only_texts && self.texts == 0 => Some(ColumnKind::Timestamp),
            Some(ColumnKind::Integer | ColumnKind::Decimal | ColumnKind::Date | ColumnKind::Timestamp)
                if only_texts =>
            {
                Some(ColumnKind::Text)
            }
            // Seconds or days since some epoch, whatever the column is called.
            Some(ColumnKind::Date | ColumnKind::Timestamp) | None if numbers > 0 && texts + self.blobs == 0 => {
                Some(if self.reals > 0 { ColumnKind::Decimal } else { ColumnKind::Integer })
            }
            None if texts > 0 => Some(ColumnKind::Text),
            None if self.blobs > 0 => Some(ColumnKind::Binary),
            said => said,
        }
        .unwrap_or(ColumnKind::Other)
    }
}

/// By SQLite's own rules of affinity, after the words that people use beyond them.
/// <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>
fn declared_kind(declared: &str) -> Option<ColumnKind> {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if declared.is_empty() => None,
        () if has(&["BOOL"]) => Some(ColumnKind::Boolean),
        () if has(&["DATETIME", "TIMESTAMP"]) => Some(ColumnKind::Timestamp),
        () if has(&["DATE"]) => Some(ColumnKind::Date),
        () if has(&["JSON"]) => Some(ColumnKind::Json),
        () if has(&["INT"]) => Some(ColumnKind::Integer),
        () if has(&["CHAR", "CLOB", "TEXT", "STRING"]) => Some(ColumnKind::Text),
        () if has(&["BLOB", "BINARY"]) => Some(ColumnKind::Binary),
        () if has(&["REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL", "MONEY", "NUMBER"]) => Some(ColumnKind::Decimal),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_all_dates_make_a_date_column() {
        assert_eq!(Held { dates: 2, ..Held::default() }.kind("TEXT"), ColumnKind::Date);
        assert_eq!(Held { dates: 1, times: 1, ..Held::default() }.kind("DATETIME"), ColumnKind::Timestamp);
        assert_eq!(Held { times: 1, ..Held::default() }.kind("TEXT"), ColumnKind::Timestamp);
        assert_eq!(Held { dates: 1, texts: 1, ..Held::default() }.kind("TEXT"), ColumnKind::Text);
        assert_eq!(Held { texts: 1, ..Held::default() }.kind("DATE"), ColumnKind::Text);
    }

    #[test]
    fn counts_survive_being_one_sum() {
        let held = Held { integers: 200, reals: 1, blobs: 0, texts: 199, dates: 3, times: 200 };
        let sum = [200, 1, 0, 199, 3, 200].iter().rev().fold(0, |sum, digit| sum * Held::BASE + digit);
        assert_eq!(Held::from_sum(sum), held);
    }

    #[test]
    fn what_a_column_holds_wins_over_what_it_declares() {
        let numbers = Held { integers: 3, ..Held::default() };
        assert_eq!(numbers.kind("DATETIME"), ColumnKind::Integer);
        assert_eq!(numbers.kind(""), ColumnKind::Integer);
        assert_eq!(numbers.kind("BOOLEAN"), ColumnKind::Boolean);
        assert_eq!(Held { texts: 1, ..Held::default() }.kind("INTEGER"), ColumnKind::Text);
        assert_eq!(Held { blobs: 1, ..Held::default() }.kind(""), ColumnKind::Binary);
    }

    #[test]
    fn an_empty_column_is_what_it_declares() {
        let declared = [
            ("INTEGER", ColumnKind::Integer),
            ("varchar(40)", ColumnKind::Text),
            ("DECIMAL(10,2)", ColumnKind::Decimal),
            ("date", ColumnKind::Date),
            ("TIMESTAMP", ColumnKind::Timestamp),
            ("BLOB", ColumnKind::Binary),
            ("", ColumnKind::Other),
        ];
        for (data_type, kind) in declared {
            assert_eq!(Held::default().kind(data_type), kind, "{data_type}");
        }
    }
}
