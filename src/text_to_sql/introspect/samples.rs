//! Whose values may be read as samples.

use std::collections::BTreeSet;

/// Values of hidden and masked columns never leave their database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    pub enabled: bool,
    /// Schema and table.
    pub hidden_tables: BTreeSet<(String, String)>,
    /// Schema, table and column.
    pub closed_columns: BTreeSet<(String, String, String)>,
}

impl Samples {
    /// Of every column there is.
    pub fn all() -> Samples {
        Samples { enabled: true, hidden_tables: BTreeSet::new(), closed_columns: BTreeSet::new() }
    }

    pub fn none() -> Samples {
        Samples { enabled: false, ..Samples::all() }
    }

    /// Whether values of the column may be read.
    pub fn of(&self, schema: &str, table: &str, column: &str) -> bool {
        self.enabled
            && !self.hidden_tables.contains(&(schema.to_owned(), table.to_owned()))
            && !self.closed_columns.contains(&(schema.to_owned(), table.to_owned(), column.to_owned()))
    }
}
