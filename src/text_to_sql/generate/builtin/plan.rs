//! The typed plan of a query: what is shown, under which conditions, grouped, ordered and cut how. Never a string.

use crate::text_to_sql::link::catalog::{Catalog, ColumnId, TableId};
use crate::text_to_sql::link::tokens::Dates;

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub outputs: Vec<Expression>,
    pub distinct: bool,
    /// Every table that takes part, the one that the question is about first.
    pub tables: Vec<TableId>,
    pub conditions: Vec<Condition>,
    /// One condition is enough instead of all.
    pub any_condition: bool,
    pub groups: Vec<Expression>,
    pub having: Option<Having>,
    pub order: Vec<Order>,
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expression {
    Column(ColumnId),
    /// The year or month of a date.
    Period(ColumnId, Unit),
    /// How many rows.
    CountRows,
    /// How many different values.
    CountDistinct(ColumnId),
    Aggregate(Function, ColumnId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Sum,
    Average,
    Minimum,
    Maximum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Year,
    Month,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Compare {
        column: ColumnId,
        comparison: Comparison,
        value: Literal,
    },
    OneOf {
        column: ColumnId,
        values: Vec<Literal>,
    },
    /// Both ends belong to it.
    Between {
        column: ColumnId,
        low: Literal,
        high: Literal,
    },
    /// On or after `from`, before `until`.
    Within {
        column: ColumnId,
        from: Option<chrono::NaiveDate>,
        until: Option<chrono::NaiveDate>,
    },
    Matches {
        column: ColumnId,
        text: String,
        place: Place,
    },
    /// A text that no sample confirms, whatever its case.
    SameText {
        column: ColumnId,
        text: String,
    },
    IsTrue {
        column: ColumnId,
    },
    /// It has a value at all.
    IsKnown {
        column: ColumnId,
    },
    /// Compared with the average of the column over its whole table.
    Average {
        column: ColumnId,
        comparison: Comparison,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// As SQL writes it.
    Number(String),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    Start,
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Having {
    pub expression: Expression,
    pub comparison: Comparison,
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub expression: Expression,
    pub descending: bool,
}

impl Expression {
    pub fn column(self) -> Option<ColumnId> {
        match self {
            Self::Column(column)
            | Self::Period(column, _)
            | Self::CountDistinct(column)
            | Self::Aggregate(_, column) => Some(column),
            Self::CountRows => None,
        }
    }

    pub fn is_aggregate(self) -> bool {
        matches!(self, Self::CountRows | Self::CountDistinct(_) | Self::Aggregate(..))
    }
}

impl Condition {
    pub fn column(&self) -> ColumnId {
        match self {
            Self::Compare { column, .. }
            | Self::OneOf { column, .. }
            | Self::Between { column, .. }
            | Self::Within { column, .. }
            | Self::Matches { column, .. }
            | Self::SameText { column, .. }
            | Self::IsTrue { column }
            | Self::IsKnown { column }
            | Self::Average { column, .. } => *column,
        }
    }

    /// The condition on days that a comparison with a period means: "after 2010" begins with 2011.
    pub fn days(column: ColumnId, comparison: Comparison, dates: Dates) -> Self {
        let (from, until) = match comparison {
            Comparison::Equal => (Some(dates.from), Some(dates.until)),
            Comparison::Greater => (Some(dates.until), None),
            Comparison::GreaterOrEqual => (Some(dates.from), None),
            Comparison::Less => (None, Some(dates.from)),
            Comparison::LessOrEqual => (None, Some(dates.until)),
        };
        Self::Within { column, from, until }
    }
}

impl Plan {
    pub fn of(table: Option<TableId>) -> Self {
        Self {
            outputs: Vec::new(),
            distinct: false,
            tables: table.into_iter().collect(),
            conditions: Vec::new(),
            any_condition: false,
            groups: Vec::new(),
            having: None,
            order: Vec::new(),
            limit: None,
        }
    }

    pub fn add_table(&mut self, table: TableId) {
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    /// Adds the tables of every column that the plan mentions.
    pub fn complete_tables(&mut self, catalog: &Catalog) {
        for column in self.columns() {
            self.add_table(catalog.table_of(column));
        }
    }

    /// Every column that the plan mentions.
    pub fn columns(&self) -> Vec<ColumnId> {
        let shown = self.outputs.iter().filter_map(|output| output.column());
        let filtered = self.conditions.iter().map(Condition::column);
        let grouped = self.groups.iter().filter_map(|group| group.column());
        let counted = self.having.iter().filter_map(|having| having.expression.column());
        let ordered = self.order.iter().filter_map(|order| order.expression.column());
        shown.chain(filtered).chain(grouped).chain(counted).chain(ordered).collect()
    }
}
