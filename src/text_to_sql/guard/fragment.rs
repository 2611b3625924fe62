//! Metrics and named filters: fragments that people declare on a table, proven by the smallest statements that hold them.

use super::dialect::Dialect;
use super::violation::Violation;
use super::{Policy, check};
use crate::text_to_sql::schema::{Schema, Table};

/// Whether `expression` can be shown of the rows of `table`, by whoever may read it.
pub fn check_metric(schema: &Schema, table: &Table, expression: &str, policy: &Policy) -> Result<(), Vec<Violation>> {
    let (alone, name) = unfiltered(schema, table);
    check(&format!("select {expression} from {name}"), &alone, policy).map(drop)
}

/// Whether `condition` can choose among the rows of `table`.
pub fn check_filter(schema: &Schema, table: &Table, condition: &str, policy: &Policy) -> Result<(), Vec<Violation>> {
    let (alone, name) = unfiltered(schema, table);
    check(&format!("select 1 from {name} where ({condition})"), &alone, policy).map(drop)
}

/// The table by itself without its row filter, which asks for attributes of a caller that there is none of; and its name.
fn unfiltered(schema: &Schema, table: &Table) -> (Schema, String) {
    let dialect = Dialect::of(schema.engine);
    let name = format!("{}.{}", dialect.quoted(&table.schema), dialect.quoted(&table.name));
    let table = Table { hidden: false, row_filter: None, ..table.clone() };
    let alone = Schema {
        engine: schema.engine,
        search_path: schema.search_path.clone(),
        server_version: schema.server_version.clone(),
        tables: vec![table],
    };
    (alone, name)
}
