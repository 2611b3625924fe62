//! A plan in plain words, for the person who asked: what is shown, of what, under which conditions.

use super::joins::JoinTree;
use super::plan::{Comparison, Condition, Expression, Function, Literal, Order, Place, Query, SetOperation, Unit};
use crate::text_to_sql::explain::list;
use crate::text_to_sql::link::catalog::{Catalog, ColumnId, TableId};
use crate::text_to_sql::link::words::identifier_words;
use crate::text_to_sql::terms;

/// One sentence.
pub fn restate(catalog: &Catalog, query: &Query) -> String {
    let mut text = clauses(catalog, query);
    if let Some((operation, other)) = &query.plan.combined {
        let joined = match operation {
            SetOperation::Union => "; also those",
            SetOperation::Intersect => "; of these, those that are also",
            SetOperation::Except => "; of these, those that are not",
        };
        let words = Words { catalog, several: !other.joins.steps.is_empty(), sides: &other.plan.sides };
        let conditions: Vec<String> =
            other.plan.conditions.iter().map(|condition| words.condition(condition)).collect();
        let whose = if conditions.is_empty() { String::new() } else { format!(" where {}", list(&conditions, "and")) };
        text.push_str(&format!("{joined} from {}{whose}", words.tables(&other.joins)));
    }
    text.push('.');
    text
}

fn clauses(catalog: &Catalog, Query { plan, joins }: &Query) -> String {
    let words = Words { catalog, several: !joins.steps.is_empty(), sides: &plan.sides };
    let outputs: Vec<String> = plan.outputs.iter().map(|output| words.expression(*output)).collect();
    let mut text = format!("Shows {}{}", if plan.distinct { "the different " } else { "" }, list(&outputs, "and"));
    text.push_str(&format!(" from {}", words.tables(joins)));
    if !plan.conditions.is_empty() {
        let conditions: Vec<String> = plan.conditions.iter().map(|condition| words.condition(condition)).collect();
        text.push_str(&format!(", only where {}", list(&conditions, if plan.any_condition { "or" } else { "and" })));
    }
    let always: Vec<String> = plan.always.iter().map(|condition| words.condition(condition)).collect();
    if !always.is_empty() {
        text.push_str(&format!(", always where {}", list(&always, "and")));
    }
    let groups = words.groups(&plan.groups);
    if !groups.is_empty() {
        text.push_str(&format!(", for each {}", list(&groups, "and")));
    }
    if let Some(having) = &plan.having {
        let compared = comparison(having.comparison);
        text.push_str(&format!(
            ", keeping those where {} is {compared}{}",
            words.expression(having.expression),
            having.value
        ));
    }
    let order: Vec<String> = plan.order.iter().map(|order| words.order(*order)).collect();
    if !order.is_empty() {
        text.push_str(&format!(", ordered by {}", list(&order, "then")));
    }
    match plan.limit {
        Some(1) => text.push_str(", the first row only"),
        Some(limit) => text.push_str(&format!(", the first {limit} rows only")),
        None => {}
    }
    text
}

struct Words<'a> {
    catalog: &'a Catalog,
    several: bool,
    sides: &'a [Condition],
}

impl Words<'_> {
    fn tables(&self, joins: &JoinTree) -> String {
        let names: Vec<String> = joins.tables().map(|table| self.table(table)).collect();
        match &names[..] {
            [only] => only.clone(),
            [first, others @ ..] => format!("{first} with their {}", list(others, "and")),
            [] => String::new(),
        }
    }

    fn table(&self, id: TableId) -> String {
        self.catalog.table(id).table.name.replace('_', " ")
    }

    fn column(&self, id: ColumnId) -> String {
        let entry = self.catalog.column(id);
        let name = identifier_words(&entry.column.name).join(" ");
        if self.several { format!("{name} of {}", self.table(entry.table)) } else { name }
    }

    fn expression(&self, expression: Expression) -> String {
        match expression {
            Expression::Column(column) => self.column(column),
            Expression::Period(column, Unit::Year) => format!("year of {}", self.column(column)),
            Expression::Period(column, Unit::Month) => format!("month of {}", self.column(column)),
            Expression::CountRows => "the number of rows".to_owned(),
            Expression::Spread(column) => format!("the highest less the lowest {}", self.column(column)),
            Expression::Metric(table, at) => self.metric(table, at),
            Expression::Share => format!("the percentage of rows where {}", self.side(0)),
            Expression::Difference(column) => {
                let measure =
                    column.map_or_else(|| "number of rows".to_owned(), |c| format!("total {}", self.column(c)));
                format!("the {measure} where {} less that where {}", self.side(1), self.side(0))
            }
            Expression::CountDistinct(column) => format!("the number of different {}", self.column(column)),
            Expression::Aggregate(function, column) => {
                let function = match function {
                    Function::Sum => "total",
                    Function::Average => "average",
                    Function::Minimum => "lowest",
                    Function::Maximum => "highest",
                };
                format!("the {function} {}{}", self.column(column), self.unit(column))
            }
        }
    }

    /// Groups by a whole key are said as the table's rows; what else of that table is grouped adds nothing.
    fn groups(&self, groups: &[Expression]) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        for group in groups {
            let owner = group.column().map(|column| self.catalog.table_of(column));
            let keyed = owner.filter(|table| {
                let key = &self.catalog.table(*table).key;
                !key.is_empty() && key.iter().all(|column| groups.contains(&Expression::Column(*column)))
            });
            let words = keyed.map_or_else(|| self.expression(*group), |table| format!("row of {}", self.table(table)));
            if !said.contains(&words) {
                said.push(words);
            }
        }
        said
    }

    fn side(&self, at: usize) -> String {
        self.sides.get(at).map(|side| self.condition(side)).unwrap_or_default()
    }

    fn unit(&self, column: ColumnId) -> String {
        let unit = self.catalog.column(column).column.unit.as_deref();
        unit.map(|unit| format!(" in {unit}")).unwrap_or_default()
    }

    fn metric(&self, id: TableId, at: usize) -> String {
        let metric = terms::open_metrics(self.catalog.engine(), self.catalog.table(id).table).nth(at);
        let unit = |unit: &Option<String>| unit.as_ref().map(|unit| format!(" in {unit}")).unwrap_or_default();
        metric.map(|metric| format!("the {}{}", metric.name, unit(&metric.unit))).unwrap_or_default()
    }

    fn named(&self, id: TableId, at: usize) -> String {
        let filter = terms::open_filters(self.catalog.engine(), self.catalog.table(id).table).nth(at);
        filter.map(|filter| format!("{} is \"{}\"", self.table(id), filter.name)).unwrap_or_default()
    }

    /// What a query inside another gives, without "Shows".
    fn inner(&self, query: &Query) -> String {
        clauses(self.catalog, query).trim_start_matches("Shows ").to_owned()
    }

    fn condition(&self, condition: &Condition) -> String {
        let column = condition.column().map(|column| self.column(column)).unwrap_or_default();
        match condition {
            Condition::Compare { comparison: by, value, .. } => {
                format!("{column} is {}{}", comparison(*by), literal(value))
            }
            Condition::OneOf { values, .. } => {
                format!("{column} is {}", list(&values.iter().map(literal).collect::<Vec<_>>(), "or"))
            }
            Condition::Between { low, high, .. } => format!("{column} is from {} to {}", literal(low), literal(high)),
            Condition::Within { from, until, .. } => {
                let from = from.map(|day| format!("on or after {day}"));
                let until = until.map(|day| format!("before {day}"));
                format!("{column} is {}", list(&from.into_iter().chain(until).collect::<Vec<_>>(), "and"))
            }
            Condition::Matches { text, place, .. } => {
                let verb = match place {
                    Place::Anywhere => "contains",
                    Place::Start => "starts with",
                    Place::End => "ends with",
                };
                format!("{column} {verb} \"{text}\"")
            }
            Condition::SameText { text, .. } => format!("{column} is \"{text}\""),
            Condition::IsTrue { .. } => format!("{column} is true"),
            Condition::IsKnown { .. } => format!("{column} is known"),
            Condition::Against { comparison: by, query, .. } => {
                format!("{column} is {}({})", comparison(*by), self.inner(query))
            }
            Condition::Among { query, .. } => format!("{column} is among ({})", self.inner(query)),
            Condition::Absent { query, .. } => format!("{column} is not among ({})", self.inner(query)),
            Condition::Not(condition) => format!("not ({})", self.condition(condition)),
            Condition::Named { table, filter } => self.named(*table, *filter),
        }
    }

    fn order(&self, order: Order) -> String {
        let direction = if order.descending { "from high to low" } else { "from low to high" };
        format!("{} {direction}", self.expression(order.expression))
    }
}

fn comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "",
        Comparison::Greater => "more than ",
        Comparison::GreaterOrEqual => "at least ",
        Comparison::Less => "less than ",
        Comparison::LessOrEqual => "at most ",
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Number(number) => number.clone(),
        Literal::Text(text) => format!("\"{text}\""),
    }
}
