//! A plan as SQL of one dialect: a clause a line, names qualified only where several tables take part.

use super::dialect;
use super::joins::JoinTree;
use super::plan::{Comparison, Condition, Expression, Function, Literal, Order, Place, Plan};
use crate::text_to_sql::link::catalog::{Catalog, ColumnId, TableId};
use crate::text_to_sql::schema::Engine;

pub fn print(catalog: &Catalog, plan: &Plan, joins: &JoinTree) -> String {
    Printer { catalog, joins }.statement(plan)
}

struct Printer<'a> {
    catalog: &'a Catalog,
    joins: &'a JoinTree,
}

impl Printer<'_> {
    fn statement(&self, plan: &Plan) -> String {
        let outputs: Vec<String> = plan.outputs.iter().map(|output| self.expression(*output)).collect();
        let distinct = if plan.distinct { "distinct " } else { "" };
        let tops = self.catalog.engine() == Engine::Mssql;
        let top = plan.limit.filter(|_| tops).map(|limit| format!("top ({limit}) ")).unwrap_or_default();
        let mut lines = vec![format!("select {distinct}{top}{}", outputs.join(", ")), self.from()];
        lines.extend(self.joins.steps.iter().map(|step| self.join(step.table, step.edge)));
        if !plan.conditions.is_empty() {
            let conditions: Vec<String> = plan.conditions.iter().map(|condition| self.condition(condition)).collect();
            lines.push(format!("where {}", conditions.join(if plan.any_condition { " or " } else { " and " })));
        }
        if !plan.groups.is_empty() {
            let groups: Vec<String> = plan.groups.iter().map(|group| self.expression(*group)).collect();
            lines.push(format!("group by {}", groups.join(", ")));
        }
        if let Some(having) = &plan.having {
            let sign = sign(having.comparison);
            lines.push(format!("having {} {sign} {}", self.expression(having.expression), having.value));
        }
        if !plan.order.is_empty() {
            let order: Vec<String> = plan.order.iter().map(|order| self.order(*order, plan.limit.is_some())).collect();
            lines.push(format!("order by {}", order.join(", ")));
        }
        lines.extend(plan.limit.filter(|_| !tops).map(|limit| format!("limit {limit}")));
        lines.join("\n")
    }

    fn from(&self) -> String {
        format!("from {}", self.declared(self.joins.root))
    }

    fn join(&self, table: TableId, edge: usize) -> String {
        let equal = |&(child, parent): &(ColumnId, ColumnId)| {
            let (joined, known) = if self.catalog.table_of(child) == table { (child, parent) } else { (parent, child) };
            format!("{} = {}", self.column(joined), self.column(known))
        };
        let pairs: Vec<String> = self.catalog.edge(edge).pairs.iter().map(equal).collect();
        format!("join {} on {}", self.declared(table), pairs.join(" and "))
    }

    /// The table as FROM names it, with an alias where its bare name would not be clear.
    fn declared(&self, table: TableId) -> String {
        let name = self.table_name(table);
        match self.alias(table) {
            Some(alias) => format!("{name} as {alias}"),
            None => name,
        }
    }

    /// Qualified by its schema unless the search path finds it first.
    fn table_name(&self, id: TableId) -> String {
        let table = self.catalog.table(id).table;
        let name = dialect::identifier(self.catalog.engine(), &table.name);
        let found_in = |schema: &&String| {
            let same = |other: TableId| {
                (&self.catalog.table(other).table.name, &self.catalog.table(other).table.schema)
                    == (&table.name, *schema)
            };
            self.catalog.tables().any(same)
        };
        if self.catalog.search_path().iter().find(found_in) == Some(&table.schema) {
            return name;
        }
        format!("{}.{name}", dialect::identifier(self.catalog.engine(), &table.schema))
    }

    fn alias(&self, id: TableId) -> Option<String> {
        let name = |id: TableId| self.catalog.table(id).table.name.to_lowercase();
        let twins = || self.joins.tables().filter(|other| name(*other) == name(id));
        let position = twins().position(|other| other == id)?;
        (twins().count() > 1).then(|| format!("t{}", position + 1))
    }

    fn column(&self, id: ColumnId) -> String {
        let entry = self.catalog.column(id);
        let name = dialect::identifier(self.catalog.engine(), &entry.column.name);
        if self.joins.steps.is_empty() {
            return name;
        }
        let table = self.catalog.table(entry.table).table;
        let owner = self.alias(entry.table).unwrap_or_else(|| dialect::identifier(self.catalog.engine(), &table.name));
        format!("{owner}.{name}")
    }

    fn expression(&self, expression: Expression) -> String {
        match expression {
            Expression::Column(column) => self.column(column),
            Expression::Period(column, unit) => dialect::period(self.catalog.engine(), unit, &self.column(column)),
            Expression::CountRows => "count(*)".to_owned(),
            Expression::CountDistinct(column) => format!("count(distinct {})", self.column(column)),
            Expression::Aggregate(function, column) => format!("{}({})", name(function), self.column(column)),
        }
    }

    fn condition(&self, condition: &Condition) -> String {
        let engine = self.catalog.engine();
        let column = self.column(condition.column());
        match condition {
            Condition::Compare { comparison, value, .. } => {
                format!("{column} {} {}", sign(*comparison), literal(value))
            }
            Condition::OneOf { values, .. } => {
                format!("{column} in ({})", values.iter().map(literal).collect::<Vec<_>>().join(", "))
            }
            Condition::Between { low, high, .. } => format!("{column} between {} and {}", literal(low), literal(high)),
            Condition::Within { from, until, .. } => {
                let from = from.map(|day| format!("{column} >= {}", dialect::day(engine, day)));
                let until = until.map(|day| format!("{column} < {}", dialect::day(engine, day)));
                from.into_iter().chain(until).collect::<Vec<_>>().join(" and ")
            }
            Condition::Matches { text, place, .. } => {
                format!("{column} {} {}", dialect::like(engine), pattern(engine, text, *place))
            }
            Condition::SameText { text, .. } => format!("lower({column}) = lower({})", dialect::text(text)),
            Condition::IsKnown { .. } => format!("{column} is not null"),
            Condition::IsTrue { .. } => dialect::truth(engine, &column),
            Condition::Average { column: id, comparison } => {
                let (table, inner) = (self.table_name(self.catalog.table_of(*id)), self.bare(*id));
                format!("{column} {} (select avg({inner}) from {table})", sign(*comparison))
            }
        }
    }

    fn bare(&self, id: ColumnId) -> String {
        dialect::identifier(self.catalog.engine(), &self.catalog.column(id).column.name)
    }

    /// Rows without a value must not win a superlative: the engines put them at different ends.
    fn order(&self, order: Order, limited: bool) -> String {
        let nullable = order.expression.column().is_some_and(|column| self.catalog.column(column).column.nullable);
        let counts = matches!(order.expression, Expression::CountRows | Expression::CountDistinct(_));
        let key = self.expression(order.expression);
        match (limited && nullable && !counts, order.descending) {
            (true, descending) => dialect::nulls_last(self.catalog.engine(), &key, descending),
            (false, true) => format!("{key} desc"),
            (false, false) => key,
        }
    }
}

pub fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
    }
}

fn name(function: Function) -> &'static str {
    match function {
        Function::Sum => "sum",
        Function::Average => "avg",
        Function::Minimum => "min",
        Function::Maximum => "max",
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Number(number) => number.clone(),
        Literal::Text(text) => dialect::text(text),
    }
}

/// A LIKE pattern in which only our own `%` is one.
fn pattern(engine: Engine, text: &str, place: Place) -> String {
    // A backslash is an escape by itself in MySQL, and `[` begins a class of characters in SQL Server.
    let special: &[char] = if engine == Engine::Mssql { &['!', '%', '_', '['] } else { &['!', '%', '_'] };
    let escaped = special.iter().fold(text.to_owned(), |text, sign| text.replace(*sign, &format!("!{sign}")));
    let (before, after) = match place {
        Place::Anywhere => ("%", "%"),
        Place::Start => ("", "%"),
        Place::End => ("%", ""),
    };
    let pattern = dialect::text(&format!("{before}{escaped}{after}"));
    if escaped == text { pattern } else { format!("{pattern} escape '!'") }
}
