//! What a sync changed: tables and columns that came, went, or have another type. Descriptions, keys, indexes, sizes and
//! samples are not compared.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text_to_sql::schema::{Column, Table};

/// What a sync changed; at most 50 names in each list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    pub at: DateTime<Utc>,
    /// With their schemas: `public.orders`.
    pub tables_added: Vec<String>,
    pub tables_removed: Vec<String>,
    pub tables_changed: Vec<TableChanges>,
    /// There was more than the lists hold.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableChanges {
    pub schema: String,
    pub table: String,
    pub columns_added: Vec<String>,
    pub columns_removed: Vec<String>,
    pub columns_changed: Vec<ColumnChange>,
}

/// A column whose type, or whether it may be null, is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ColumnChange {
    pub name: String,
    pub from: String,
    pub to: String,
}

/// A table as it was known before.
#[derive(Debug, Clone)]
pub struct KnownTable {
    pub schema: String,
    pub name: String,
    pub columns: Vec<KnownColumn>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KnownColumn {
    pub name: String,
    pub data_type: String,
    pub nullable: bool,
}

/// A person reads this; what changed more is another schema.
const LISTED: usize = 50;

impl Changes {
    /// What tells `found` from `known`, if anything does.
    pub fn between(known: &[KnownTable], found: &[Table], at: DateTime<Utc>) -> Option<Changes> {
        let before: BTreeMap<_, _> = known.iter().map(|table| ((&table.schema, &table.name), table)).collect();
        let after: BTreeMap<_, _> = found.iter().map(|table| ((&table.schema, &table.name), table)).collect();
        let missing = |name: &(&String, &String)| format!("{}.{}", name.0, name.1);
        let mut changes = Changes {
            at,
            tables_added: after.keys().filter(|name| !before.contains_key(*name)).map(missing).collect(),
            tables_removed: before.keys().filter(|name| !after.contains_key(*name)).map(missing).collect(),
            tables_changed: before
                .iter()
                .filter_map(|(name, known)| TableChanges::between(known, after.get(name)?))
                .collect(),
            truncated: false,
        };
        changes.bound();
        let nothing =
            changes.tables_added.is_empty() && changes.tables_removed.is_empty() && changes.tables_changed.is_empty();
        (!nothing).then_some(changes)
    }

    fn bound(&mut self) {
        let mut cut = cut(&mut self.tables_added) | cut(&mut self.tables_removed) | cut(&mut self.tables_changed);
        for table in &mut self.tables_changed {
            cut |= self::cut(&mut table.columns_added);
            cut |= self::cut(&mut table.columns_removed);
            cut |= self::cut(&mut table.columns_changed);
        }
        self.truncated = cut;
    }
}

fn cut<T>(list: &mut Vec<T>) -> bool {
    let long = list.len() > LISTED;
    list.truncate(LISTED);
    long
}

impl TableChanges {
    fn between(known: &KnownTable, found: &Table) -> Option<TableChanges> {
        let before: BTreeMap<_, _> = known.columns.iter().map(|column| (column.name.as_str(), column)).collect();
        let after: BTreeMap<_, _> = found.columns.iter().map(|column| (column.name.as_str(), column)).collect();
        let columns = |these: Vec<&&str>| these.into_iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let changes = TableChanges {
            schema: known.schema.clone(),
            table: known.name.clone(),
            columns_added: columns(after.keys().filter(|name| !before.contains_key(*name)).collect()),
            columns_removed: columns(before.keys().filter(|name| !after.contains_key(*name)).collect()),
            columns_changed: before
                .iter()
                .filter_map(|(name, known)| ColumnChange::between(known, after.get(name)?))
                .collect(),
        };
        let nothing = changes.columns_added.is_empty()
            && changes.columns_removed.is_empty()
            && changes.columns_changed.is_empty();
        (!nothing).then_some(changes)
    }
}

impl ColumnChange {
    fn between(known: &KnownColumn, found: &Column) -> Option<ColumnChange> {
        let from = typed(&known.data_type, known.nullable);
        let to = typed(&found.data_type, found.nullable);
        (from != to).then(|| ColumnChange { name: known.name.clone(), from, to })
    }
}

fn typed(data_type: &str, nullable: bool) -> String {
    if nullable { data_type.to_owned() } else { format!("{data_type} not null") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_to_sql::schema::{ColumnKind, TableKind};

    fn found(name: &str, columns: &[(&str, &str, bool)]) -> Table {
        let columns = columns.iter().map(|(name, data_type, nullable)| {
            Column::found((*name).to_owned(), (*data_type).to_owned(), ColumnKind::Other, *nullable)
        });
        Table { columns: columns.collect(), ..Table::found("public".to_owned(), name.to_owned(), TableKind::Table) }
    }

    fn known(table: &Table) -> KnownTable {
        let columns = table.columns.iter().map(|column| KnownColumn {
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            nullable: column.nullable,
        });
        KnownTable { schema: table.schema.clone(), name: table.name.clone(), columns: columns.collect() }
    }

    fn between(before: &[Table], after: &[Table]) -> Option<Changes> {
        Changes::between(&before.iter().map(known).collect::<Vec<_>>(), after, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn the_same_tables_in_another_order_with_other_samples_are_no_change() {
        let before = [found("a", &[("x", "int", true), ("y", "int", true)]), found("b", &[])];
        let mut after = [found("b", &[]), found("a", &[("y", "int", true), ("x", "int", true)])];
        after[1].columns[0].sample_values.push("new".to_owned());
        after[1].description = Some("new".to_owned());
        assert_eq!(between(&before, &after), None);
    }

    #[test]
    fn what_came_went_and_is_another_is_named() {
        let before = [found("a", &[("x", "int", true), ("y", "text", true), ("z", "int", true)]), found("old", &[])];
        let after = [found("a", &[("x", "bigint", true), ("y", "text", false), ("w", "int", true)]), found("new", &[])];
        let changes = between(&before, &after).unwrap();
        assert_eq!(
            (changes.tables_added, changes.tables_removed),
            (vec!["public.new".into()], vec!["public.old".into()])
        );
        let [table] = &changes.tables_changed[..] else { panic!("{:?}", changes.tables_changed) };
        assert_eq!((&table.columns_added, &table.columns_removed), (&vec!["w".into()], &vec!["z".into()]));
        let change =
            |name: &str, from: &str, to: &str| ColumnChange { name: name.into(), from: from.into(), to: to.into() };
        assert_eq!(table.columns_changed, [change("x", "int", "bigint"), change("y", "text", "text not null")]);
        assert!(!changes.truncated);
    }

    #[test]
    fn a_schema_that_is_wholly_another_is_not_listed_in_full() {
        let tables = |prefix: &str| (0..60).map(|n| found(&format!("{prefix}{n}"), &[])).collect::<Vec<_>>();
        let changes = between(&tables("a"), &tables("b")).unwrap();
        assert_eq!((changes.tables_added.len(), changes.tables_removed.len()), (LISTED, LISTED));
        assert!(changes.truncated);
        let wide = |kind| (0..60).map(|n| (format!("c{n}"), kind)).collect::<Vec<(String, &str)>>();
        let table = |kind| {
            let columns = wide(kind);
            let columns: Vec<_> = columns.iter().map(|(name, kind)| (name.as_str(), *kind, true)).collect();
            found("t", &columns)
        };
        let changes = between(&[table("int")], &[table("text")]).unwrap();
        assert!(changes.truncated && changes.tables_changed[0].columns_changed.len() == LISTED);
    }
}
