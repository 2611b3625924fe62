//! What names mean where: the relations of a FROM clause, their columns, and the scopes around them.
//!
//! Hidden columns are kept in the model, because the engine sees them: a name that the engine would bind to one must not
//! be taken for another column further out. They are never hinted at and count as unknown.

use std::borrow::Cow;

use crate::text_to_sql::schema::{Schema, Table};

/// A name as the engine folds it.
pub type Name<'a> = Cow<'a, str>;

/// A column that a relation or a query gives; `source` if its values are those of a column in the catalog.
#[derive(Debug, Clone)]
pub struct Output<'a> {
    pub name: Option<Name<'a>>,
    pub source: Option<Source>,
}

/// A column in the catalog: the table's and the column's place in the [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub table: usize,
    pub column: usize,
}

/// Something in FROM.
#[derive(Debug, Clone, Default)]
pub struct Relation<'a> {
    /// Nothing can be qualified with the empty name.
    pub name: Name<'a>,
    /// The schema of a table without an alias: it may be qualified with it.
    pub schema: Option<&'a str>,
    pub table: Option<usize>,
    pub columns: Vec<Output<'a>>,
    pub hidden: Vec<&'a str>,
    /// Some columns are hidden or masked.
    pub closes: bool,
    /// The table stands for a part of itself, so that its schema cannot qualify it.
    pub filtered: bool,
    /// A function of one column: its alias stands for that column, whatever the column is called.
    pub scalar: bool,
    /// An unknown table stands here, which was said; its columns are not complained about one by one.
    pub unknown: bool,
}

/// The names of one SELECT.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    pub relations: Vec<Relation<'a>>,
    /// Relations before this one cannot be seen at the moment.
    pub floor: usize,
    /// Columns joined by USING or NATURAL: more than one relation has them, and they are not ambiguous.
    pub merged: Vec<Name<'a>>,
    /// What `*` gives.
    pub star: Vec<Output<'a>>,
    /// Output names that expressions may use at the moment.
    pub aliases: Vec<Name<'a>>,
}

/// A WITH query that can be named now.
#[derive(Debug, Clone)]
pub struct Cte<'a> {
    pub name: Name<'a>,
    /// As WITH spells it.
    pub spelled: &'a str,
    pub columns: Vec<Output<'a>>,
}

impl<'a> Output<'a> {
    pub fn named(name: impl Into<Name<'a>>) -> Self {
        Self { name: Some(name.into()), source: None }
    }

    pub fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

impl<'a> Relation<'a> {
    /// A table or view of the catalog, with names folded as this engine compares them.
    pub fn of_table(schema: &'a Schema, index: usize, folds: bool) -> Self {
        let table = &schema.tables[index];
        let columns = table.columns.iter().enumerate().filter(|(_, column)| !column.hidden);
        Self {
            name: folded(&table.name, folds),
            schema: Some(&table.schema),
            table: Some(index),
            columns: columns
                .map(|(place, column)| Output {
                    name: Some(folded(&column.name, folds)),
                    source: Some(Source { table: index, column: place }),
                })
                .collect(),
            hidden: hidden_columns(table),
            closes: table.columns.iter().any(|column| column.hidden || column.masked),
            filtered: false,
            scalar: false,
            unknown: false,
        }
    }

    pub fn of_columns(name: Name<'a>, columns: Vec<Output<'a>>) -> Self {
        Self { name, columns, ..Self::default() }
    }

    pub fn unknown(name: Name<'a>) -> Self {
        Self { name, unknown: true, ..Self::default() }
    }

    pub fn hides(&self, name: &str, folds: bool) -> bool {
        self.hidden.iter().any(|hidden| if folds { hidden.eq_ignore_ascii_case(name) } else { *hidden == name })
    }

    /// The columns of that name; more than one in `(select 1 as a, 2 as a)`.
    pub fn named<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b Output<'a>> {
        self.columns.iter().filter(move |column| column.is(name))
    }
}

impl<'a> Scope<'a> {
    pub fn visible(&self) -> &[Relation<'a>] {
        &self.relations[self.floor..]
    }

    pub fn relation(&self, name: &str) -> Option<&Relation<'a>> {
        self.visible().iter().find(|relation| !relation.name.is_empty() && relation.name == name)
    }

    pub fn has_merged(&self, name: &str) -> bool {
        self.merged.iter().any(|merged| merged == name)
    }
}

fn hidden_columns(table: &Table) -> Vec<&str> {
    table.columns.iter().filter(|column| column.hidden).map(|column| column.name.as_str()).collect()
}

fn folded(name: &str, folds: bool) -> Name<'_> {
    if folds && name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}
