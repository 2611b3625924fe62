//! The typed plan of a query: what is shown, under which conditions, grouped, ordered and cut how. Never a string.

use super::joins::JoinTree;
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
    /// Conditions that hold besides.
    pub always: Vec<Condition>,
    pub groups: Vec<Expression>,
    pub having: Option<Having>,
    pub order: Vec<Order>,
    pub limit: Option<u64>,
    /// What [`Expression::Share`] and [`Expression::Difference`] count: the rows that meet the first of these, or the
    /// second.
    pub sides: Vec<Condition>,
    /// Another query whose rows are kept too, demanded too, or taken away.
    pub combined: Option<(SetOperation, Box<Query>)>,
}

/// A plan and how its tables are joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub plan: Plan,
    pub joins: JoinTree,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperation {
    Union,
    Intersect,
    Except,
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
    /// The highest less the lowest value.
    Spread(ColumnId),
    /// A figure that people declared on a table, by its place among the table's open metrics.
    Metric(TableId, usize),
    /// Of all rows, the percentage on the plan's first side.
    Share,
    /// What the second side has more than the first: rows, or the sum of a column.
    Difference(Option<ColumnId>),
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
    /// Compared with the one figure that a query gives, such as an average.
    Against {
        column: ColumnId,
        comparison: Comparison,
        query: Box<Query>,
    },
    /// The value is not among those that a query gives.
    Absent {
        column: ColumnId,
        query: Box<Query>,
    },
    /// The value is among those that a query gives.
    Among {
        column: ColumnId,
        query: Box<Query>,
    },
    /// The contrary.
    Not(Box<Condition>),
    /// A condition that people declared on a table, by its place among the table's open filters.
    Named {
        table: TableId,
        filter: usize,
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
            | Self::Aggregate(_, column)
            | Self::Spread(column)
            | Self::Difference(Some(column)) => Some(column),
            Self::CountRows | Self::Metric(..) | Self::Share | Self::Difference(None) => None,
        }
    }

    /// The table whose rows it needs.
    pub fn table(self, catalog: &Catalog) -> Option<TableId> {
        match self {
            Self::Metric(table, _) => Some(table),
            other => other.column().map(|column| catalog.table_of(column)),
        }
    }

    pub fn is_aggregate(self) -> bool {
        !matches!(self, Self::Column(_) | Self::Period(..))
    }
}

impl Condition {
    /// The column that it is about, unless people wrote it.
    pub fn column(&self) -> Option<ColumnId> {
        match self {
            Self::Compare { column, .. }
            | Self::OneOf { column, .. }
            | Self::Between { column, .. }
            | Self::Within { column, .. }
            | Self::Matches { column, .. }
            | Self::SameText { column, .. }
            | Self::IsTrue { column }
            | Self::IsKnown { column }
            | Self::Against { column, .. }
            | Self::Among { column, .. }
            | Self::Absent { column, .. } => Some(*column),
            Self::Not(condition) => condition.column(),
            Self::Named { .. } => None,
        }
    }

    /// The table whose rows it is about.
    pub fn table(&self, catalog: &Catalog) -> Option<TableId> {
        match self {
            Self::Named { table, .. } => Some(*table),
            other => other.column().map(|column| catalog.table_of(column)),
        }
    }

    pub fn negated(self) -> Self {
        match self {
            Self::Not(condition) => *condition,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The query inside it.
    pub fn query(&self) -> Option<&Query> {
        match self {
            Self::Against { query, .. } | Self::Among { query, .. } | Self::Absent { query, .. } => Some(query),
            _ => None,
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
            always: Vec::new(),
            groups: Vec::new(),
            having: None,
            order: Vec::new(),
            limit: None,
            sides: Vec::new(),
            combined: None,
        }
    }

    pub fn add_table(&mut self, table: TableId) {
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    /// Adds the tables of everything that the plan mentions.
    pub fn complete_tables(&mut self, catalog: &Catalog) {
        let expressions: Vec<TableId> = self.expressions().filter_map(|expression| expression.table(catalog)).collect();
        let conditions: Vec<TableId> = self.filters().filter_map(|condition| condition.table(catalog)).collect();
        expressions.into_iter().chain(conditions).for_each(|table| self.add_table(table));
    }

    /// Every column that the plan mentions, those of queries inside it left out.
    pub fn columns(&self) -> Vec<ColumnId> {
        let expressions = self.expressions().filter_map(Expression::column);
        expressions.chain(self.filters().filter_map(Condition::column)).collect()
    }

    /// The conditions on rows, those of sides among them.
    pub fn filters(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().chain(&self.always).chain(&self.sides)
    }

    fn expressions(&self) -> impl Iterator<Item = Expression> + '_ {
        let having = self.having.iter().map(|having| having.expression);
        let order = self.order.iter().map(|order| order.expression);
        self.outputs.iter().chain(&self.groups).copied().chain(having).chain(order)
    }
}
