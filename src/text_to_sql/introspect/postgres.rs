//! The catalog of a PostgreSQL database, as far as the login may read.
//!
//! Six statements, however many tables there are, and one more for each table whose values are wanted. Left out: system schemas, partitions (their parent stands for them),
//! what an extension brought, and columns without the right to select.

use std::collections::HashMap;
use std::time::Instant;

use super::{Budget, CATALOG_BYTES, Gathered, Samples, TABLE_TIME, VALUE_CHARS, VALUE_ROWS, VALUES, checks, quoted};
use crate::text_to_sql::engine::Meter;
use crate::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Index, Schema, Table, TableKind};
use futures::TryStreamExt;
use sqlparser::dialect::PostgreSqlDialect;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Either, Executor, Postgres, Row};

/// Reads everything in the transaction that the session is in.
pub(in crate::text_to_sql) async fn introspect(
    connection: &mut PgConnection,
    meter: &Meter,
    samples: &Samples,
) -> Result<Schema, sqlx::Error> {
    meter.allow(CATALOG_BYTES);
    let session = sqlx::query(SESSION).persistent(false).fetch_one(&mut *connection).await?;
    let mut catalog = Catalog::default();
    for row in fetch(connection, meter, sqlx::query(TABLES)).await? {
        catalog.add_table(&row)?;
    }
    let tables: Vec<Oid> = catalog.relations.iter().map(|relation| relation.oid).collect();
    for row in fetch(connection, meter, sqlx::query(COLUMNS).bind(&tables)).await? {
        catalog.add_column(&row)?;
    }
    for row in fetch(connection, meter, sqlx::query(KEYS).bind(&tables)).await? {
        catalog.add_key(&row)?;
    }
    for row in fetch(connection, meter, sqlx::query(INDEXES).bind(&tables)).await? {
        catalog.add_index(&row)?;
    }
    for row in fetch(connection, meter, sqlx::query(CHECKS).bind(&tables)).await? {
        catalog.add_check(&row)?;
    }
    if samples.enabled {
        read_values(connection, meter, samples, &mut catalog).await?;
    }
    let tables = catalog.relations.into_iter().map(|relation| relation.table).collect();
    let (search_path, server_version) = (session.try_get(0)?, session.try_get(1)?);
    Ok(Schema { engine: Engine::Postgres, search_path, server_version, tables })
}

/// The catalog's own schema comes first in every search path and is nothing that a user named. The version goes without
/// what a packager adds: `16.4 (Debian 16.4-1)`.
const SESSION: &str = "
    select array_remove(current_schemas(false), 'pg_catalog')::text[],
           split_part(current_setting('server_version'), ' ', 1)";

const TABLES: &str = "
    select c.oid, n.nspname::text, c.relname::text, c.relkind::text, d.description,
           -- an estimate of -1 is none; a partitioned table holds the rows of its partitions
           case c.relkind
               when 'p' then (select sum(greatest(leaf.reltuples, 0))::bigint
                              from pg_partition_tree(c.oid) p join pg_class leaf on leaf.oid = p.relid
                              where p.isleaf)
               else nullif(c.reltuples, -1)::bigint
           end,
           case when c.relkind in ('r', 'm') then pg_relation_size(c.oid) end
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = c.oid and d.objsubid = 0
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and not c.relispartition
      and n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
      and has_schema_privilege(n.oid, 'usage')
      and has_any_column_privilege(c.oid, 'select')
      and not exists (select from pg_depend e
                      where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')
    order by n.nspname, c.relname";

const COLUMNS: &str = "
    with recursive
    -- a domain may stand on a domain; what counts is the type below them all
    base (domain, type) as (
        select oid, typbasetype from pg_type where typtype = 'd'
        union all
        select base.domain, t.typbasetype from base join pg_type t on t.oid = base.type where t.typtype = 'd'
    )
    select a.attrelid, a.attnum, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text,
           t.typcategory::text, not a.attnotnull, d.description,
           coalesce((select array_agg(e.enumlabel::text order by e.enumsortorder)
                     from pg_enum e
                     where e.enumtypid = t.oid), '{}'),
           -- a domain over an enumeration may run functions of the database's own when it is cast to
           t.typtype = 'e' and t.oid = a.atttypid
    from pg_attribute a
    left join base on base.domain = a.atttypid
                  and exists (select from pg_type b where b.oid = base.type and b.typtype <> 'd')
    join pg_type t on t.oid = coalesce(base.type, a.atttypid)
    left join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = a.attrelid and d.objsubid = a.attnum
    where a.attrelid = any ($1)
      and a.attnum > 0
      and not a.attisdropped
      and has_column_privilege(a.attrelid, a.attnum, 'select')
    order by a.attrelid, a.attnum";

const KEYS: &str = "
    select conrelid, contype::text, conkey, nullif(confrelid, 0), coalesce(confkey, '{}')
    from pg_constraint
    where conrelid = any ($1)
      and contype in ('p', 'f')
    order by conrelid, conname";

const INDEXES: &str = "
    select i.indrelid, c.relname::text,
           -- a partial index makes only some rows unique
           i.indisunique and i.indpred is null,
           (array(select unnest(i.indkey::int2[])))[1:i.indnkeyatts]
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    where i.indrelid = any ($1)
      and i.indisvalid
    order by i.indrelid, c.relname";

/// Of one column each. A check that is not valid says nothing about the rows that were there before it.
const CHECKS: &str = "
    select conrelid, conkey[1], pg_get_expr(conbin, conrelid)
    from pg_constraint
    where conrelid = any ($1)
      and contype = 'c'
      and convalidated
      and cardinality(conkey) = 1
    order by conrelid, conname";

async fn fetch(
    connection: &mut PgConnection,
    meter: &Meter,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut rows = Vec::new();
    let mut answers = query.persistent(false).fetch(connection);
    while let Some(row) = answers.try_next().await? {
        meter.refill();
        rows.push(row);
    }
    Ok(rows)
}

/// What was read so far.
#[derive(Default)]
struct Catalog {
    relations: Vec<Relation>,
    by_oid: HashMap<u32, usize>,
}

struct Relation {
    oid: Oid,
    kind: String,
    /// Of the main file, where there is one.
    bytes: Option<i64>,
    /// The number in the catalog of each column in `table`.
    numbers: Vec<i16>,
    table: Table,
}

impl Catalog {
    fn add_table(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let (oid, kind): (Oid, String) = (row.try_get(0)?, row.try_get(3)?);
        let table_kind = if matches!(kind.as_str(), "v" | "m") { TableKind::View } else { TableKind::Table };
        let mut table = Table::found(row.try_get(1)?, row.try_get(2)?, table_kind);
        (table.description, table.row_count) = (row.try_get(4)?, row.try_get(5)?);
        self.by_oid.insert(oid.0, self.relations.len());
        self.relations.push(Relation { oid, kind, bytes: row.try_get(6)?, numbers: Vec::new(), table });
        Ok(())
    }

    fn add_column(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let (number, base): (i16, String) = (row.try_get(1)?, row.try_get(4)?);
        let kind = column_kind(&base, row.try_get(5)?);
        let mut column = Column::found(row.try_get(2)?, row.try_get(3)?, kind, row.try_get(6)?);
        (column.description, column.enum_values) = (row.try_get(7)?, row.try_get(8)?);
        column.enumeration = row.try_get(9)?;
        if let Some(relation) = self.relation_mut(row.try_get(0)?) {
            relation.numbers.push(number);
            relation.table.columns.push(column);
        }
        Ok(())
    }

    /// Keys over columns or tables that the login cannot see are no keys to it.
    fn add_key(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let (kind, numbers, others): (String, Vec<i16>, Vec<i16>) = (row.try_get(1)?, row.try_get(2)?, row.try_get(4)?);
        let referenced = row.try_get::<Option<Oid>, _>(3)?.and_then(|oid| self.relation(oid)).and_then(|other| {
            let columns = other.names(&others)?;
            Some((other.table.schema.clone(), other.table.name.clone(), columns))
        });
        let Some(relation) = self.relation_mut(row.try_get(0)?) else { return Ok(()) };
        match (kind.as_str(), relation.names(&numbers), referenced) {
            ("p", Some(columns), _) => relation.table.primary_key = columns,
            ("f", Some(columns), Some((referenced_schema, referenced_table, referenced_columns))) => {
                let key = ForeignKey { columns, referenced_schema, referenced_table, referenced_columns };
                relation.table.foreign_keys.push(key);
            }
            _ => (),
        }
        Ok(())
    }

    /// An index over an expression names no columns, and is left out.
    fn add_index(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let (name, unique, numbers): (String, bool, Vec<i16>) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        if let Some(relation) = self.relation_mut(row.try_get(0)?)
            && let Some(columns) = relation.names(&numbers)
        {
            relation.table.indexes.push(Index { name, columns, unique });
        }
        Ok(())
    }

    /// A domain keeps its own list to itself: the labels of a column are those of its type where it has some.
    fn add_check(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let (number, condition): (i16, String) = (row.try_get(1)?, row.try_get(2)?);
        if let Some(relation) = self.relation_mut(row.try_get(0)?)
            && let Some(at) = relation.numbers.iter().position(|own| *own == number)
            && let column = &mut relation.table.columns[at]
            && column.kind == ColumnKind::Text
            && column.enum_values.is_empty()
            && let Some(allowed) = checks::of_condition(&condition, &PostgreSqlDialect {})
        {
            column.enum_values = allowed.values;
        }
        Ok(())
    }

    fn relation(&self, oid: Oid) -> Option<&Relation> {
        self.relations.get(*self.by_oid.get(&oid.0)?)
    }

    fn relation_mut(&mut self, oid: Oid) -> Option<&mut Relation> {
        self.relations.get_mut(*self.by_oid.get(&oid.0)?)
    }
}

impl Relation {
    fn names(&self, numbers: &[i16]) -> Option<Vec<String>> {
        let name = |number| self.numbers.iter().position(|own| own == number);
        numbers.iter().map(|number| name(number).map(|at| self.table.columns[at].name.clone())).collect()
    }

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

    fn is_large(&self) -> bool {
        // A table that was never analysed has no estimate, but a size.
        self.table.row_count.is_some_and(|rows| rows > VALUE_ROWS)
            || self.bytes.is_some_and(|bytes| bytes > LARGE_BYTES)
    }

    /// Where values are read from: all of a small table, some blocks of a large one, the first rows of a view, of which
    /// no other column may be computed.
    fn source(&self, column: &str) -> Option<String> {
        let name = format!("{}.{}", quoted(&self.table.schema), quoted(&self.table.name));
        match self.kind.as_str() {
            // Another server's table: reading it would be paid for there.
            "f" => None,
            "v" => Some(format!("(select {column} from {name} limit {VIEW_ROWS}) v")),
            _ if self.is_large() => {
                let rows = self.table.row_count.unwrap_or(0).max(self.bytes.unwrap_or(0) / ROW_BYTES).max(1);
                let percent = 100.0 * VALUE_ROWS as f64 / rows as f64;
                Some(format!("{name} tablesample system ({:.6})", percent.clamp(0.000_001, 100.0)))
            }
            _ => Some(name),
        }
    }
}

/// A table without an estimate is read as a whole only below this size.
const LARGE_BYTES: i64 = 64 << 20;
/// A guess at the rows of a table that was never analysed.
const ROW_BYTES: i64 = 100;
/// A view can be any computation; its first rows often come early.
const VIEW_ROWS: usize = 10_000;

/// By the type's category in the catalog, and by name where that is too wide.
/// <https://www.postgresql.org/docs/current/catalog-pg-type.html#CATALOG-TYPCATEGORY-TABLE>
fn column_kind(base: &str, category: &str) -> ColumnKind {
    match (base, category) {
        ("int2" | "int4" | "int8" | "oid", _) => ColumnKind::Integer,
        ("numeric" | "float4" | "float8" | "money", _) => ColumnKind::Decimal,
        ("date", _) => ColumnKind::Date,
        ("timestamp" | "timestamptz", _) => ColumnKind::Timestamp,
        ("json" | "jsonb", _) => ColumnKind::Json,
        ("bytea", _) => ColumnKind::Binary,
        (_, "B") => ColumnKind::Boolean,
        (_, "S" | "E") => ColumnKind::Text,
        _ => ColumnKind::Other,
    }
}

async fn read_values(
    connection: &mut PgConnection,
    meter: &Meter,
    samples: &Samples,
    catalog: &mut Catalog,
) -> Result<(), sqlx::Error> {
    let mut budget = Budget::new(Instant::now());
    let known = common_values(connection, meter, samples, catalog).await?;
    // From here on no more is kept than there is room for.
    meter.allow(usize::MAX);
    let limit = format!("set local statement_timeout = {}", TABLE_TIME.as_millis());
    sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut *connection).await?;
    for relation in &mut catalog.relations {
        if budget.is_spent(Instant::now()) {
            tracing::info!(
                table = relation.table.name,
                "no time or memory was left for the values of this table and those after it"
            );
            break;
        }
        let (mut unknown, columns) = (Vec::new(), relation.text_columns(samples));
        for at in columns {
            match known.get(&(relation.oid.0, relation.table.columns[at].name.clone())) {
                Some(values) => relation.table.columns[at].sample_values = budget.keep(values.clone()),
                None => unknown.push(at),
            }
        }
        if let Some(statement) = values_statement(relation, &unknown) {
            for (at, values) in values_of_table(connection, meter, statement, &unknown).await? {
                relation.table.columns[at].sample_values = budget.keep(values);
            }
        }
    }
    Ok(())
}

/// What `analyze` noted about large tables, most frequent first.
const COMMON_VALUES: &str = "
    select c.oid, s.attname::text, s.most_common_vals::text::text[]
    from pg_stats s
    join pg_namespace n on n.nspname = s.schemaname
    join pg_class c on c.relnamespace = n.oid and c.relname = s.tablename
    -- of no other column: a value that may not be shown may not be read
    join unnest($1::oid[], $2::text[]) as wanted (relation, attribute)
      on wanted.relation = c.oid and wanted.attribute = s.attname
    where s.most_common_vals is not null";

async fn common_values(
    connection: &mut PgConnection,
    meter: &Meter,
    samples: &Samples,
    catalog: &Catalog,
) -> Result<HashMap<(u32, String), Vec<String>>, sqlx::Error> {
    let large = catalog.relations.iter().filter(|relation| relation.is_large());
    let (mut relations, mut columns) = (Vec::new(), Vec::new());
    for relation in large {
        for at in relation.text_columns(samples) {
            relations.push(relation.oid);
            columns.push(relation.table.columns[at].name.clone());
        }
    }
    let mut known = HashMap::new();
    for row in fetch(connection, meter, sqlx::query(COMMON_VALUES).bind(relations).bind(columns)).await? {
        let mut values: Vec<String> = row.try_get(2)?;
        values.retain(|value| !value.is_empty() && value.chars().count() <= VALUE_CHARS);
        values.truncate(VALUES);
        known.insert((row.try_get::<Oid, _>(0)?.0, row.try_get(1)?), values);
    }
    Ok(known)
}

/// One statement for all text columns of a table: the column's place, and a value.
fn values_statement(relation: &Relation, columns: &[usize]) -> Option<String> {
    let arm = |at: &usize| {
        let column = quoted(&relation.table.columns[*at].name);
        let source = relation.source(&column)?;
        Some(format!(
            "(select {at}, {column}::text from {source} where length({column}::text) between 1 and {VALUE_CHARS}
              group by {column}::text order by count(*) desc, 2 limit {VALUES})"
        ))
    };
    let arms: Vec<String> = columns.iter().filter_map(arm).collect();
    (!arms.is_empty()).then(|| arms.join(" union all "))
}

/// The values by column; none if the table cannot be read in time.
async fn values_of_table(
    connection: &mut PgConnection,
    meter: &Meter,
    statement: String,
    columns: &[usize],
) -> Result<HashMap<usize, Vec<String>>, sqlx::Error> {
    let guarded = format!("savepoint sample; {statement}; release savepoint sample");
    let read: Result<_, sqlx::Error> = async {
        let mut values = Gathered::of(columns);
        let mut answers = (&mut *connection).fetch_many(sqlx::raw_sql(AssertSqlSafe(guarded)));
        while let Some(answer) = answers.try_next().await? {
            meter.refill();
            if let Either::Right(row) = answer {
                let at = usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or_default();
                let value: String = row.try_get(1)?;
                values.add(at, value.len(), value);
            }
        }
        Ok(values.columns)
    }
    .await;
    match read {
        // Too slow, a broken view, a row-level policy that fails: no values, and on with the next table.
        Err(sqlx::Error::Database(_)) => {
            sqlx::raw_sql("rollback to savepoint sample").execute(connection).await?;
            Ok(HashMap::new())
        }
        read => read,
    }
}
