//! The catalog of an SQL Server database, as far as the login may read.
//!
//! Six statements, however many tables there are, then one a table for its values, which the caller runs so that it can
//! stop one that takes too long. Left out: what came with the server, columns without the right to select, the hidden
//! columns of temporal tables, synonyms, and indexes over some rows only or over columns that the login cannot see.

use std::collections::HashMap;
use std::time::Instant;

use futures::TryStreamExt;
use tiberius::error::Error;
use tiberius::{FromSql, QueryItem, Row};

use super::{Budget, CATALOG_BYTES, Gathered, Samples, VALUE_CHARS, VALUE_ROWS, VALUES, quoted};
use crate::text_to_sql::engine::{Meter, MssqlConnection};
use crate::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Index, Schema, Table, TableKind};

/// Reads all but the values.
pub(in crate::text_to_sql) async fn catalog(connection: &mut MssqlConnection, meter: &Meter) -> Result<Catalog, Error> {
    meter.allow(CATALOG_BYTES);
    let mut catalog = Catalog::default();
    for row in fetch(connection, meter, SERVER).await? {
        catalog.add_server(&row)?;
    }
    for row in fetch(connection, meter, TABLES).await? {
        catalog.add_table(&row)?;
    }
    for row in fetch(connection, meter, COLUMNS).await? {
        catalog.add_column(&row)?;
    }
    catalog.forget_unreadable_tables();
    let keys = key_columns(&fetch(connection, meter, FOREIGN_KEYS).await?)?;
    keys.chunk_by(|one, next| one.key == next.key).for_each(|key| catalog.add_foreign_key(key));
    let indexes = index_columns(&fetch(connection, meter, INDEXES).await?)?;
    indexes
        .chunk_by(|one, next| (one.table, one.index) == (next.table, next.index))
        .for_each(|index| catalog.add_index(index));
    for row in fetch(connection, meter, CHECKS).await? {
        catalog.add_check(&row)?;
    }
    Ok(catalog)
}

/// The rows of one statement for [`Catalog::keep_values`].
pub(in crate::text_to_sql) async fn values(
    connection: &mut MssqlConnection,
    meter: &Meter,
    wanted: &Wanted,
) -> Result<Values, Error> {
    meter.refill();
    let mut values = Gathered::of(&wanted.columns);
    let mut answers = connection.simple_query(wanted.statement.as_str()).await?;
    while let Some(answer) = answers.try_next().await? {
        meter.refill();
        if let QueryItem::Row(row) = answer {
            let (at, value): (i32, String) = (required(&row, 0)?, text(&row, 1)?);
            values.add(usize::try_from(at).unwrap_or_default(), value.len(), (required(&row, 2)?, value));
        }
    }
    Ok(values.columns)
}

/// The statement for the values of a table, and the places of the columns that it asks for.
pub(in crate::text_to_sql) struct Wanted {
    statement: String,
    columns: Vec<usize>,
}

/// By column, with how often each occurs.
type Values = HashMap<usize, Vec<(i64, String)>>;

const SERVER: &str = "
    select schema_name(), cast(serverproperty('ProductVersion') as nvarchar(128))";

const TABLES: &str = "
    select o.object_id, s.name, o.name, cast(case o.type when 'V' then 1 else 0 end as bit),
           cast(isnull(t.is_external, 0) as bit), cast(d.value as nvarchar(4000)),
           -- of the heap or the clustered index, which every row is in once
           (select sum(p.rows) from sys.partitions p where p.object_id = o.object_id and p.index_id in (0, 1))
    from sys.objects o
    join sys.schemas s on s.schema_id = o.schema_id
    left join sys.tables t on t.object_id = o.object_id
    left join sys.extended_properties d
           on d.class = 1 and d.major_id = o.object_id and d.minor_id = 0 and d.name = 'MS_Description'
    where o.type in ('U', 'V')
      and o.is_ms_shipped = 0
    order by s.name, o.name";

const COLUMNS: &str = "
    select c.object_id, c.column_id, c.name, coalesce(b.name, t.name), c.max_length, c.precision, c.scale,
           c.is_nullable, c.is_masked, cast(d.value as nvarchar(4000))
    from sys.columns c
    join sys.objects o on o.object_id = c.object_id
    join sys.schemas s on s.schema_id = o.schema_id
    join sys.types t on t.user_type_id = c.user_type_id
    -- an alias type is shown as what it stands for; a type of .NET stands for itself
    left join sys.types b on t.is_user_defined = 1 and t.is_assembly_type = 0 and b.user_type_id = t.system_type_id
    left join sys.extended_properties d
           on d.class = 1 and d.major_id = c.object_id and d.minor_id = c.column_id and d.name = 'MS_Description'
    where o.type in ('U', 'V')
      and o.is_ms_shipped = 0
      and c.is_hidden = 0
      and has_perms_by_name(quotename(s.name) + '.' + quotename(o.name), 'OBJECT', 'SELECT', c.name, 'COLUMN') = 1
    order by c.object_id, c.column_id";

const FOREIGN_KEYS: &str = "
    select f.parent_object_id, f.object_id, f.referenced_object_id, c.parent_column_id, c.referenced_column_id
    from sys.foreign_keys f
    join sys.foreign_key_columns c on c.constraint_object_id = f.object_id
    order by f.parent_object_id, f.name, c.constraint_column_id";

const INDEXES: &str = "
    select i.object_id, i.index_id, i.name, i.is_primary_key, i.is_unique, c.column_id
    from sys.indexes i
    join sys.objects o on o.object_id = i.object_id
    join sys.index_columns c on c.object_id = i.object_id and c.index_id = i.index_id
    where o.type in ('U', 'V')
      and o.is_ms_shipped = 0
      -- heaps have none, and those over columns, texts or places have no order
      and i.type in (1, 2)
      and i.has_filter = 0
      and i.is_disabled = 0
      and i.is_hypothetical = 0
      and c.key_ordinal > 0
    order by i.object_id, i.index_id, c.key_ordinal";

const CHECKS: &str = "
    select parent_object_id, definition
    from sys.check_constraints
    where is_disabled = 0
      and definition is not null";

async fn fetch(connection: &mut MssqlConnection, meter: &Meter, statement: &str) -> Result<Vec<Row>, Error> {
    meter.refill();
    let mut rows = Vec::new();
    let mut answers = connection.simple_query(statement).await?;
    while let Some(answer) = answers.try_next().await? {
        meter.refill();
        if let QueryItem::Row(row) = answer {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// One column of a foreign key: of its own table, and of the other.
struct KeyColumn {
    key: i32,
    table: i32,
    number: i32,
    other_table: i32,
    other_number: i32,
}

fn key_columns(rows: &[Row]) -> Result<Vec<KeyColumn>, Error> {
    let column = |row: &Row| {
        Ok(KeyColumn {
            table: required(row, 0)?,
            key: required(row, 1)?,
            other_table: required(row, 2)?,
            number: required(row, 3)?,
            other_number: required(row, 4)?,
        })
    };
    rows.iter().map(column).collect()
}

/// One column of an index.
struct IndexColumn {
    table: i32,
    index: i32,
    name: String,
    primary: bool,
    unique: bool,
    number: i32,
}

fn index_columns(rows: &[Row]) -> Result<Vec<IndexColumn>, Error> {
    let column = |row: &Row| {
        Ok(IndexColumn {
            table: required(row, 0)?,
            index: required(row, 1)?,
            name: text(row, 2)?,
            primary: required(row, 3)?,
            unique: required(row, 4)?,
            number: required(row, 5)?,
        })
    };
    rows.iter().map(column).collect()
}

fn required<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T, Error> {
    optional(row, at)?.ok_or_else(|| Error::Protocol("the catalog lacks a value".into()))
}

fn optional<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<Option<T>, Error> {
    match at < row.len() {
        true => row.try_get(at),
        false => Err(Error::Protocol("the catalog lacks a column".into())),
    }
}

fn text(row: &Row, at: usize) -> Result<String, Error> {
    required::<&str>(row, at).map(str::to_owned)
}

/// What was read so far.
#[derive(Default)]
pub(in crate::text_to_sql) struct Catalog {
    search_path: Vec<String>,
    server_version: String,
    relations: Vec<Relation>,
    by_id: HashMap<i32, usize>,
    budget: Option<Budget>,
    /// The relation whose values were asked for last, and the one to ask for next.
    asked: usize,
    next: usize,
}

struct Relation {
    id: i32,
    /// In another database or file, where reading is paid for.
    external: bool,
    /// The number in the catalog of each column in `table`.
    numbers: Vec<i32>,
    /// Whether the login sees the column's values through a mask of the server's.
    masked: Vec<bool>,
    table: Table,
}

impl Catalog {
    pub(in crate::text_to_sql) fn into_schema(self) -> Schema {
        let tables = self.relations.into_iter().map(|relation| relation.table).collect();
        Schema { engine: Engine::Mssql, search_path: self.search_path, server_version: self.server_version, tables }
    }

    /// The statement for the values of the next table that has any worth reading, while there is time.
    pub(in crate::text_to_sql) fn next_values(&mut self, samples: &Samples, now: Instant) -> Option<Wanted> {
        let budget = self.budget.get_or_insert_with(|| Budget::new(now));
        while let Some(relation) = self.relations.get(self.next) {
            if budget.is_spent(now) {
                let table = relation.table.name.as_str();
                tracing::info!(table, "no time or memory was left for the values of this table and those after it");
                return None;
            }
            self.asked = self.next;
            self.next += 1;
            let columns = relation.text_columns(samples);
            if let Some(statement) = values_statement(relation, &columns) {
                return Some(Wanted { statement, columns });
            }
        }
        None
    }

    /// The answer to the last statement of [`Self::next_values`].
    pub(in crate::text_to_sql) fn keep_values(&mut self, values: Values) {
        let (Some(relation), Some(budget)) = (self.relations.get_mut(self.asked), &mut self.budget) else { return };
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable_by_key(|(at, _)| *at);
        for (at, mut values) in values {
            values.sort_unstable_by(|(many, one), (few, other)| few.cmp(many).then_with(|| one.cmp(other)));
            if let Some(column) = relation.table.columns.get_mut(at) {
                column.sample_values = budget.keep(values.into_iter().map(|(_, value)| value).collect());
            }
        }
    }

    /// An unqualified name is looked for in the user's own schema and then in `dbo`.
    fn add_server(&mut self, row: &Row) -> Result<(), Error> {
        let own = optional::<&str>(row, 0)?;
        self.search_path = own.into_iter().chain(Some("dbo")).map(str::to_owned).collect();
        self.search_path.dedup();
        self.server_version = text(row, 1)?;
        Ok(())
    }

    fn add_table(&mut self, row: &Row) -> Result<(), Error> {
        let (id, is_view): (i32, bool) = (required(row, 0)?, required(row, 3)?);
        let kind = if is_view { TableKind::View } else { TableKind::Table };
        let mut table = Table::found(text(row, 1)?, text(row, 2)?, kind);
        table.description = optional::<&str>(row, 5)?.map(str::to_owned);
        table.row_count = optional(row, 6)?;
        let external = required(row, 4)?;
        self.relations.push(Relation { id, external, numbers: Vec::new(), masked: Vec::new(), table });
        self.by_id.insert(id, self.relations.len() - 1);
        Ok(())
    }

    fn add_column(&mut self, row: &Row) -> Result<(), Error> {
        let (base, length): (&str, i16) = (required(row, 3)?, required(row, 4)?);
        let data_type = type_text(base, length, required(row, 5)?, required(row, 6)?);
        let mut column = Column::found(text(row, 2)?, data_type, column_kind(base), required(row, 7)?);
        column.description = optional::<&str>(row, 9)?.map(str::to_owned);
        let (number, masked): (i32, bool) = (required(row, 1)?, required(row, 8)?);
        if let Some(relation) = self.relation_mut(required(row, 0)?) {
            relation.numbers.push(number);
            relation.masked.push(masked);
            relation.table.columns.push(column);
        }
        Ok(())
    }

    /// The catalog shows a table for any right on it.
    fn forget_unreadable_tables(&mut self) {
        self.relations.retain(|relation| !relation.table.columns.is_empty());
        self.by_id = self.relations.iter().enumerate().map(|(at, relation)| (relation.id, at)).collect();
    }

    /// A key over columns or tables that the login cannot see is no key to it.
    fn add_foreign_key(&mut self, key: &[KeyColumn]) {
        let Some(first) = key.first() else { return };
        let numbers: Vec<i32> = key.iter().map(|column| column.other_number).collect();
        let Some(other) = self.relation(first.other_table) else { return };
        let Some(referenced_columns) = other.names(&numbers) else { return };
        let (referenced_schema, referenced_table) = (other.table.schema.clone(), other.table.name.clone());
        let numbers: Vec<i32> = key.iter().map(|column| column.number).collect();
        if let Some(relation) = self.relation_mut(first.table)
            && let Some(columns) = relation.names(&numbers)
        {
            let key = ForeignKey { columns, referenced_schema, referenced_table, referenced_columns };
            relation.table.foreign_keys.push(key);
        }
    }

    fn add_index(&mut self, index: &[IndexColumn]) {
        let Some(first) = index.first() else { return };
        let numbers: Vec<i32> = index.iter().map(|column| column.number).collect();
        if let Some(relation) = self.relation_mut(first.table)
            && let Some(columns) = relation.names(&numbers)
        {
            if first.primary {
                relation.table.primary_key = columns.clone();
            }
            relation.table.indexes.push(Index { name: first.name.clone(), columns, unique: first.unique });
        }
    }

    fn add_check(&mut self, row: &Row) -> Result<(), Error> {
        let (id, definition): (i32, &str) = (required(row, 0)?, required(row, 1)?);
        if let Some(relation) = self.relation_mut(id)
            && let Some((name, values)) = value_list(definition)
            && let Some(column) = relation.table.columns.iter_mut().find(|column| column.name == name)
        {
            column.enum_values = values;
        }
        Ok(())
    }

    fn relation(&self, id: i32) -> Option<&Relation> {
        self.relations.get(*self.by_id.get(&id)?)
    }

    fn relation_mut(&mut self, id: i32) -> Option<&mut Relation> {
        self.relations.get_mut(*self.by_id.get(&id)?)
    }
}

impl Relation {
    fn names(&self, numbers: &[i32]) -> Option<Vec<String>> {
        let name = |number| self.numbers.iter().position(|own| own == number);
        numbers.iter().map(|number| name(number).map(|at| self.table.columns[at].name.clone())).collect()
    }

    /// Text columns that are worth asking for their values.
    fn text_columns(&self, samples: &Samples) -> Vec<usize> {
        let wanted = |(column, masked): (&Column, &bool)| {
            column.kind == ColumnKind::Text
                && column.enum_values.is_empty()
                && !masked
                && samples.of(&self.table.schema, &self.table.name, &column.name)
        };
        let columns = self.table.columns.iter().zip(&self.masked).enumerate();
        columns.filter(|(_, column)| wanted(*column)).map(|(at, _)| at).collect()
    }

    /// Where values are read from: all of a small table, some pages of a large one, the first rows of a view.
    fn source(&self, column: &str) -> Option<String> {
        let name = format!("{}.{}", quoted(&self.table.schema), quoted(&self.table.name));
        match (self.table.kind, self.table.row_count) {
            // Another server's table: reading it would be paid for there.
            _ if self.external => None,
            (TableKind::View, _) => Some(format!("(select top ({VIEW_ROWS}) {column} from {name}) v")),
            (TableKind::Table, Some(rows)) if rows > VALUE_ROWS => {
                let percent = 100.0 * VALUE_ROWS as f64 / rows as f64;
                Some(format!("{name} tablesample system ({percent:.6} percent)"))
            }
            (TableKind::Table, _) => Some(name),
        }
    }
}

/// A view can be any computation; its first rows often come early.
const VIEW_ROWS: usize = 10_000;

/// One statement for all text columns of a table: the column's place, a value, and how often it occurs.
fn values_statement(relation: &Relation, columns: &[usize]) -> Option<String> {
    let arm = |at: &usize| {
        let column = quoted(&relation.table.columns[*at].name);
        // One character more than wanted tells what is too long.
        let cut = format!("cast({column} as nvarchar({}))", VALUE_CHARS + 1);
        let source = relation.source(&column)?;
        Some(format!(
            "select * from (select top ({VALUES}) {at} as place, value, count_big(*) as times
             from (select {cut} as value from {source}) c
             where len(value) between 1 and {VALUE_CHARS}
             group by value
             order by times desc, value) t{at}"
        ))
    };
    let arms: Vec<String> = columns.iter().map(arm).collect::<Option<_>>()?;
    (!arms.is_empty()).then(|| arms.join(" union all "))
}

/// The type as a table's author writes it: lengths in characters, decimals with their places.
fn type_text(base: &str, length: i16, precision: u8, scale: u8) -> String {
    match base {
        "char" | "varchar" | "binary" | "varbinary" | "nchar" | "nvarchar" if length == -1 => format!("{base}(max)"),
        "char" | "varchar" | "binary" | "varbinary" => format!("{base}({length})"),
        "nchar" | "nvarchar" => format!("{base}({})", length / 2),
        "decimal" | "numeric" => format!("{base}({precision},{scale})"),
        "datetime2" | "datetimeoffset" | "time" => format!("{base}({scale})"),
        // Its other name in the standard is something else entirely.
        "timestamp" => "rowversion".to_owned(),
        _ => base.to_owned(),
    }
}

fn column_kind(base: &str) -> ColumnKind {
    match base {
        "tinyint" | "smallint" | "int" | "bigint" => ColumnKind::Integer,
        "decimal" | "numeric" | "money" | "smallmoney" | "float" | "real" => ColumnKind::Decimal,
        "char" | "varchar" | "nchar" | "nvarchar" | "text" | "ntext" | "sysname" => ColumnKind::Text,
        "bit" => ColumnKind::Boolean,
        "date" => ColumnKind::Date,
        "datetime" | "datetime2" | "smalldatetime" | "datetimeoffset" => ColumnKind::Timestamp,
        "json" => ColumnKind::Json,
        "binary" | "varbinary" | "image" | "timestamp" => ColumnKind::Binary,
        _ => ColumnKind::Other,
    }
}

/// The column and the texts of a check that lists them, as the server keeps it: `([a]='y' OR [a]=N'x')` for what was
/// written `a in ('x', 'y')`. Nothing for any other check.
fn value_list(definition: &str) -> Option<(String, Vec<String>)> {
    let mut rest = definition;
    let (mut column, mut values) = (None, Vec::new());
    loop {
        rest = rest.trim_start_matches(['(', ')', ' ']);
        let name;
        (name, rest) = delimited(rest.strip_prefix('[')?, ']')?;
        if *column.get_or_insert_with(|| name.clone()) != name {
            return None;
        }
        let value;
        rest = rest.strip_prefix('=')?;
        (value, rest) = delimited(rest.strip_prefix("N'").or_else(|| rest.strip_prefix('\''))?, '\'')?;
        values.push(value);
        rest = rest.trim_start_matches([')', ' ']);
        match rest.strip_prefix("OR ") {
            Some(next) => rest = next,
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    // The server turns the list around.
    values.reverse();
    Some((column?, values))
}

/// Up to the closing mark, which stands twice where it is meant.
fn delimited(text: &str, mark: char) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        if char == mark && chars.next_if(|(_, next)| *next == mark).is_none() {
            return Some((inside, &text[at + mark.len_utf8()..]));
        }
        inside.push(char);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_lists_texts_is_read_in_the_order_it_was_written() {
        let list = |definition| value_list(definition).map(|(column, values)| (column, values.join("|")));
        let found = |column: &str, values: &str| Some((column.to_owned(), values.to_owned()));
        assert_eq!(list("([status]='paid' OR [status]='open')"), found("status", "open|paid"));
        assert_eq!(list("([s]=N'it''s' OR [s]=N'a] OR [s]=')"), found("s", "a] OR [s]=|it's"));
        assert_eq!(list("([odd]]name]='x')"), found("odd]name", "x"));
        for other in [
            "",
            "([a]>(0))",
            "([a]='x' AND [b]='y')",
            "([a]='x' OR [b]='y')",
            "([a]='x' OR [a] IS NULL)",
            "(NOT [a]='x')",
            "([a]='x",
            "([a]=[b])",
        ] {
            assert_eq!(value_list(other), None, "{other}");
        }
    }

    #[test]
    fn types_are_written_as_a_tables_author_does() {
        assert_eq!(type_text("nvarchar", 160, 0, 0), "nvarchar(80)");
        assert_eq!(type_text("varchar", -1, 0, 0), "varchar(max)");
        assert_eq!(type_text("decimal", 9, 10, 2), "decimal(10,2)");
        assert_eq!(type_text("datetime2", 8, 27, 7), "datetime2(7)");
        assert_eq!(type_text("xml", -1, 0, 0), "xml");
        assert_eq!(type_text("int", 4, 10, 0), "int");
    }

    #[test]
    fn hostile_names_stay_names_in_the_statement_for_values() {
        let mut table = Table::found("d\"bo".into(), "t]; drop table x --".into(), TableKind::Table);
        table.columns.push(Column::found("c\"".into(), "nvarchar(9)".into(), ColumnKind::Text, true));
        table.row_count = Some(2 * VALUE_ROWS);
        let relation = Relation { id: 1, external: false, numbers: vec![1], masked: vec![false], table };
        let statement = values_statement(&relation, &relation.text_columns(&Samples::all())).unwrap();
        assert!(statement.contains(r#"cast("c""" as nvarchar(81))"#), "{statement}");
        assert!(
            statement.contains(r#""d""bo"."t]; drop table x --" tablesample system (50.000000 percent)"#),
            "{statement}"
        );
        assert_eq!(values_statement(&relation, &relation.text_columns(&Samples::none())), None);
    }
}
