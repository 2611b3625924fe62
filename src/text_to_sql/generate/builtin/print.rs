//! A plan as SQL of one dialect: a clause a line, names qualified only where several tables take part.

use super::dialect;
use super::joins::JoinTree;
use super::plan::{Comparison, Condition, Expression, Function, Literal, Order, Place, Plan, Query, SetOperation};
use crate::text_to_sql::link::catalog::{Catalog, ColumnId, TableId};
use crate::text_to_sql::schema::Engine;
use crate::text_to_sql::terms;

pub fn print(catalog: &Catalog, query: &Query) -> String {
    Printer { catalog, joins: &query.joins, sides: &query.plan.sides }.statement(&query.plan)
}

struct Printer<'a> {
    catalog: &'a Catalog,
    joins: &'a JoinTree,
    sides: &'a [Condition],
}

impl Printer<'_> {
    fn statement(&self, plan: &Plan) -> String {
        let outputs: Vec<String> = plan.outputs.iter().map(|output| self.expression(*output)).collect();
        let distinct = if plan.distinct { "distinct " } else { "" };
        let tops = self.catalog.engine() == Engine::Mssql;
        let top = plan.limit.filter(|_| tops).map(|limit| format!("top ({limit}) ")).unwrap_or_default();
        let mut lines = vec![format!("select {distinct}{top}{}", outputs.join(", ")), self.from()];
        lines.extend(self.joins.steps.iter().map(|step| self.join(step.table, step.edge)));
        lines.extend(self.filters(plan).map(|conditions| format!("where {conditions}")));
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
        if let Some((operation, other)) = &plan.combined {
            lines.push(set_operation(*operation).to_owned());
            lines.push(print(self.catalog, other));
        }
        lines.join("\n")
    }

    fn filters(&self, plan: &Plan) -> Option<String> {
        let said: Vec<String> = plan.conditions.iter().map(|condition| self.condition(condition)).collect();
        let always: Vec<String> = plan.always.iter().map(|condition| self.condition(condition)).collect();
        let any = plan.any_condition && said.len() > 1;
        let said = said.join(if any { " or " } else { " and " });
        let said = if any && !always.is_empty() { format!("({said})") } else { said };
        let all: Vec<String> = std::iter::once(said).filter(|said| !said.is_empty()).chain(always).collect();
        (!all.is_empty()).then(|| all.join(" and "))
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
        format!("{}.{name}", self.owner(entry.table))
    }

    fn owner(&self, table: TableId) -> String {
        let name = || dialect::identifier(self.catalog.engine(), &self.catalog.table(table).table.name);
        self.alias(table).unwrap_or_else(name)
    }

    fn expression(&self, expression: Expression) -> String {
        match expression {
            Expression::Column(column) => self.column(column),
            Expression::Period(column, unit) => dialect::period(self.catalog.engine(), unit, &self.column(column)),
            Expression::CountRows => "count(*)".to_owned(),
            Expression::CountDistinct(column) => format!("count(distinct {})", self.column(column)),
            Expression::Aggregate(function, column) => format!("{}({})", name(function), self.column(column)),
            Expression::Spread(column) => format!("max({0}) - min({0})", self.column(column)),
            Expression::Metric(table, at) => self.metric(table, at),
            Expression::Share => format!("100.0 * {} / count(*)", self.side(0, "1")),
            Expression::Difference(column) => {
                let measure = column.map_or_else(|| "1".to_owned(), |column| self.column(column));
                format!("{} - {}", self.side(1, &measure), self.side(0, &measure))
            }
        }
    }

    /// What the rows on one side add up to.
    fn side(&self, at: usize, measure: &str) -> String {
        let condition = self.sides.get(at).map_or_else(|| "1 = 1".to_owned(), |side| self.condition(side));
        format!("sum(case when {condition} then {measure} else 0 end)")
    }

    fn metric(&self, id: TableId, at: usize) -> String {
        let table = self.catalog.table(id).table;
        let metric = terms::open_metrics(self.catalog.engine(), table).nth(at);
        metric.map(|metric| self.fragment(id, &metric.expression)).unwrap_or_default()
    }

    fn named(&self, id: TableId, at: usize) -> String {
        let table = self.catalog.table(id).table;
        let filter = terms::open_filters(self.catalog.engine(), table).nth(at);
        filter.map(|filter| format!("({})", self.fragment(id, &filter.condition))).unwrap_or_default()
    }

    /// What people wrote, its columns told apart from those of other tables.
    fn fragment(&self, id: TableId, text: &str) -> String {
        if self.joins.steps.is_empty() {
            return text.trim().to_owned();
        }
        terms::qualified(self.catalog.engine(), self.catalog.table(id).table, text.trim(), &self.owner(id))
    }

    fn condition(&self, condition: &Condition) -> String {
        let engine = self.catalog.engine();
        let column = condition.column().map(|column| self.column(column)).unwrap_or_default();
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
            Condition::Against { comparison, query, .. } => {
                format!("{column} {} ({})", sign(*comparison), self.inner(query))
            }
            Condition::Among { query, .. } => format!("{column} in ({})", self.inner(query)),
            Condition::Absent { query, .. } => format!("{column} not in ({})", self.inner(query)),
            Condition::Not(condition) => self.negation(condition, &column),
            Condition::Named { table, filter } => self.named(*table, *filter),
        }
    }

    fn negation(&self, condition: &Condition, column: &str) -> String {
        let engine = self.catalog.engine();
        match condition {
            Condition::Compare { comparison: Comparison::Equal, value, .. } => {
                format!("{column} <> {}", literal(value))
            }
            Condition::OneOf { values, .. } => {
                format!("{column} not in ({})", values.iter().map(literal).collect::<Vec<_>>().join(", "))
            }
            Condition::Matches { text, place, .. } => {
                format!("{column} not {} {}", dialect::like(engine), pattern(engine, text, *place))
            }
            Condition::SameText { text, .. } => format!("lower({column}) <> lower({})", dialect::text(text)),
            Condition::IsKnown { .. } => format!("{column} is null"),
            other => format!("not ({})", self.condition(other)),
        }
    }

    /// A query inside another, on one line.
    fn inner(&self, query: &Query) -> String {
        print(self.catalog, query).replace('\n', " ")
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

fn set_operation(operation: SetOperation) -> &'static str {
    match operation {
        SetOperation::Union => "union",
        SetOperation::Intersect => "intersect",
        SetOperation::Except => "except",
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
