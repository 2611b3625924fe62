//! SQL in plain words, from its parse: what a statement that a model or a person wrote will show.
//!
//! It is read from the SQL alone, so it cannot flatter: where the writer meant something else, the difference shows.
//! What has no simple wording is given as SQL. Never fails: text that does not parse is described by its tables.

mod expressions;
mod functions;

use std::collections::HashMap;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, LimitClause, OrderByExpr, OrderByKind, OrderBySort, Query, Select, SelectItem,
    SetExpr, SetOperator, SetQuantifier, Statement, TableAlias, TableFactor, TableWithJoins, TopQuantity, Value,
};
use sqlparser::dialect::Dialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use expressions::{bare, in_parentheses};

use super::lint::tree::conjuncts;
use super::schema::Engine;
use super::terms::dialect;

/// Longer statements are described by their tables: walking their trees costs stack.
const MAX_SQL_BYTES: usize = 4096;
/// Expressions nested deeper than this are given as SQL.
const MAX_DEPTH: usize = 12;

/// One or a few sentences.
pub fn restate(sql: &str, engine: Engine) -> String {
    let dialect = dialect(engine);
    let parsed = if sql.len() <= MAX_SQL_BYTES { Parser::parse_sql(dialect, sql).ok() } else { None };
    match parsed.as_deref() {
        Some([Statement::Query(query)]) => {
            let mut words = Words { tables: HashMap::new() };
            words.learn(query, 0);
            sentence(&words.query(query, 0))
        }
        _ => sentence(&by_tables(sql, dialect)),
    }
}

fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// The names that follow FROM and JOIN, for text that cannot be read as a query.
fn by_tables(sql: &str, dialect: &dyn Dialect) -> String {
    let tokens = Tokenizer::new(dialect, sql).tokenize().unwrap_or_default();
    let words: Vec<&str> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.value.as_str()),
            _ => None,
        })
        .collect();
    let opens = |word: &str| word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("join");
    let mut tables: Vec<String> = Vec::new();
    for pair in words.windows(2).filter(|pair| opens(pair[0])) {
        let name = readable(pair[1]);
        if !tables.contains(&name) {
            tables.push(name);
        }
    }
    if tables.is_empty() {
        "runs a statement that names no tables".to_owned()
    } else {
        format!("runs a query over {}", list(&tables, "and"))
    }
}

/// The writer of one statement's words.
struct Words {
    /// What aliases stand for; none where one stands for several tables.
    tables: HashMap<String, Option<String>>,
}

impl Words {
    /// Notes the aliases of a query's own FROM clauses; further in, names are told as they are.
    fn learn(&mut self, query: &Query, depth: usize) {
        self.learn_body(&query.body, depth);
    }

    fn learn_body(&mut self, body: &SetExpr, depth: usize) {
        match body {
            _ if depth > MAX_DEPTH => {}
            SetExpr::Select(select) => {
                for factor in select.from.iter().flat_map(factors) {
                    if let TableFactor::Table { name, alias: Some(TableAlias { name: alias, .. }), .. } = factor {
                        let table = name.0.last().and_then(|part| part.as_ident());
                        self.name(&alias.value, table.map(|name| name.value.as_str()));
                    }
                }
                let conditions = select.selection.iter().flat_map(conjuncts);
                for condition in conditions {
                    if let Expr::Exists { subquery, .. } | Expr::InSubquery { subquery, .. } = condition {
                        self.learn(subquery, depth + 1);
                    }
                }
            }
            SetExpr::Query(query) => self.learn(query, depth + 1),
            SetExpr::SetOperation { left, right, .. } => {
                self.learn_body(left, depth + 1);
                self.learn_body(right, depth + 1);
            }
            _ => {}
        }
    }

    fn name(&mut self, alias: &str, table: Option<&str>) {
        let known = self.tables.entry(alias.to_lowercase()).or_insert_with(|| table.map(readable));
        if *known != table.map(readable) {
            *known = None;
        }
    }

    fn table_called(&self, owner: &str) -> String {
        self.tables.get(&owner.to_lowercase()).cloned().flatten().unwrap_or_else(|| readable(owner))
    }

    /// "shows name from customers, …"
    fn query(&self, query: &Query, depth: usize) -> String {
        let mut words = match &query.with {
            Some(with) => {
                let told = with.cte_tables.iter().map(|table| {
                    let given = self.noun(&table.query, depth + 1);
                    format!("{}, which is {}", readable(&table.alias.name.value), given)
                });
                let told: Vec<String> = told.collect();
                format!("first works out {}; then {}", list(&told, "and"), self.body(&query.body, depth))
            }
            None => self.body(&query.body, depth),
        };
        if let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|order| &order.kind) {
            let keys = match &*query.body {
                SetExpr::Select(select) => self.keys(keys, &select.projection, depth),
                _ => self.order(keys, depth),
            };
            words.push_str(&format!(", ordered by {keys}"));
        }
        words.push_str(&self.limit(query, depth));
        words
    }

    /// What a query gives, as a thing: "(name from customers, …)".
    fn noun(&self, query: &Query, depth: usize) -> String {
        if depth > MAX_DEPTH {
            return "a nested query".to_owned();
        }
        let words = self.query(query, depth);
        in_parentheses(words.strip_prefix("shows ").unwrap_or(&words))
    }

    /// Where a query looks, whatever it shows: "orders where …". None where it does more than look.
    fn source(&self, query: &Query, depth: usize) -> Option<String> {
        let SetExpr::Select(select) = &*query.body else { return None };
        let groups = matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty());
        if query.with.is_some() || !groups || select.having.is_some() || depth > MAX_DEPTH {
            return None;
        }
        let tables = self.tables(&select.from, depth);
        let condition = select.selection.as_ref().map(|it| format!(" where {}", self.expression(it, depth)));
        (!tables.is_empty()).then(|| format!("{tables}{}", condition.unwrap_or_default()))
    }

    fn body(&self, body: &SetExpr, depth: usize) -> String {
        match body {
            _ if depth > MAX_DEPTH => "a nested query".to_owned(),
            SetExpr::Select(select) => self.select(select, depth),
            SetExpr::Query(query) => self.query(query, depth + 1),
            SetExpr::SetOperation { left, op, right, set_quantifier } => {
                let right = self.body(right, depth + 1);
                let right = in_parentheses(right.strip_prefix("shows ").unwrap_or(&right));
                let left = self.body(left, depth + 1);
                match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => format!("{left}, and below them {right}"),
                    (SetOperator::Union, _) => format!("{left}, together with {right}, each once"),
                    (SetOperator::Intersect, _) => format!("{left}, but only those that are also in {right}"),
                    (SetOperator::Except | SetOperator::Minus, _) => format!("{left}, leaving out those in {right}"),
                }
            }
            SetExpr::Values(_) => "shows fixed values".to_owned(),
            _ => "runs a statement that is no query".to_owned(),
        }
    }

    fn select(&self, select: &Select, depth: usize) -> String {
        let shown: Vec<String> = select.projection.iter().map(|item| self.item(item, depth)).collect();
        let different = matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)));
        let mut words = format!("shows {}{}", if different { "the different " } else { "" }, list(&shown, "and"));
        let tables = self.tables(&select.from, depth);
        if !tables.is_empty() {
            words.push_str(&format!(" from {tables}"));
        }
        if let Some(condition) = &select.selection {
            words.push_str(&format!(", only where {}", self.expression(condition, depth)));
        }
        if let GroupByExpr::Expressions(groups, _) = &select.group_by {
            let groups: Vec<String> =
                groups.iter().map(|group| self.expression(meant(group, &select.projection), depth)).collect();
            if !groups.is_empty() {
                words.push_str(&format!(", for each {}", list(&groups, "and")));
            }
        }
        if let Some(condition) = &select.having {
            words.push_str(&format!(", keeping those where {}", self.expression(condition, depth)));
        }
        words
    }

    fn item(&self, item: &SelectItem, depth: usize) -> String {
        match item {
            SelectItem::UnnamedExpr(shown) => self.expression(shown, depth),
            SelectItem::ExprWithAlias { expr, alias } => {
                format!("{} (as {})", self.expression(expr, depth), readable(&alias.value))
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => "all columns".to_owned(),
            SelectItem::ExprWithAliases { .. } => item.to_string(),
        }
    }

    /// "orders with items"; a table that is joined with itself is named once more.
    fn tables(&self, from: &[TableWithJoins], depth: usize) -> String {
        let tables: Vec<String> = from.iter().flat_map(factors).map(|table| self.table(table, depth)).collect();
        list(&tables, "with")
    }

    fn table(&self, table: &TableFactor, depth: usize) -> String {
        match table {
            TableFactor::Table { name, .. } => name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .map_or_else(|| name.to_string(), |name| readable(&name.value)),
            TableFactor::Derived { subquery, .. } => self.noun(subquery, depth + 1),
            TableFactor::NestedJoin { table_with_joins, .. } if depth < MAX_DEPTH => {
                self.tables(std::slice::from_ref(table_with_joins), depth + 1)
            }
            other => other.to_string(),
        }
    }

    /// Sort keys; a number or a name of the output is told as what it stands for.
    fn keys(&self, keys: &[OrderByExpr], shown: &[SelectItem], depth: usize) -> String {
        self.ordered(keys, |key| meant(key, shown), depth)
    }

    fn order(&self, keys: &[OrderByExpr], depth: usize) -> String {
        self.ordered(keys, |key| key, depth)
    }

    fn ordered<'a>(&self, keys: &'a [OrderByExpr], meant: impl Fn(&'a Expr) -> &'a Expr, depth: usize) -> String {
        let key = |key: &'a OrderByExpr| {
            let descending = matches!(key.options.sort, Some(OrderBySort::Desc));
            let direction = if descending { "from high to low" } else { "from low to high" };
            format!("{} {direction}", self.expression(meant(&key.expr), depth))
        };
        let keys: Vec<String> = keys.iter().map(key).collect();
        list(&keys, "then")
    }

    fn limit(&self, query: &Query, depth: usize) -> String {
        let (limit, offset) = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            None => (None, None),
        };
        let fetched = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref());
        let top = match &*query.body {
            SetExpr::Select(select) => select.top.as_ref().and_then(|top| top.quantity.as_ref()),
            _ => None,
        };
        let rows = match (limit.or(fetched), top) {
            (Some(rows), _) | (None, Some(TopQuantity::Expr(rows))) => Some(first_rows(&self.expression(rows, depth))),
            (None, Some(TopQuantity::Constant(rows))) => Some(first_rows(&rows.to_string())),
            (None, None) => None,
        };
        let skipped = offset.map(|offset| format!(", after leaving out {}", self.expression(offset, depth)));
        rows.into_iter().chain(skipped).collect()
    }
}

fn first_rows(number: &str) -> String {
    match number {
        "1" => ", the first row only".to_owned(),
        rows => format!(", the first {rows} rows only"),
    }
}

fn factors(from: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
}

/// What a number stands for in GROUP BY and ORDER BY.
fn meant<'a>(key: &'a Expr, shown: &'a [SelectItem]) -> &'a Expr {
    let place = match bare(key) {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)),
            _ => None,
        },
        _ => None,
    };
    match place.and_then(|place| shown.get(place)) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => expr,
        _ => key,
    }
}

fn readable(name: &str) -> String {
    name.replace('_', " ")
}

/// "a, b and c"
pub(super) fn list(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [start @ .., end] => format!("{} {last} {end}", start.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str) -> String {
        restate(sql, Engine::Postgres)
    }

    #[test]
    fn a_grouped_query_is_said_clause_by_clause() {
        assert_eq!(
            words(
                "select r.name, count(*) from regions r join customers c on c.region_id = r.id where c.since >= date '2024-01-01' group by r.name having count(*) > 3 order by count(*) desc limit 5"
            ),
            "Shows name and the number of rows from regions with customers, only where since is at least \"2024-01-01\", for each name, keeping those where the number of rows is more than 3, ordered by the number of rows from high to low, the first 5 rows only."
        );
    }

    #[track_caller]
    fn said(sql: &str, expected: &str) {
        assert_eq!(words(sql), expected, "{sql}");
    }

    #[test]
    fn set_operations_are_said() {
        said(
            "select name from customers union select name from suppliers order by name",
            "Shows name from customers, together with (name from suppliers), each once, ordered by name from low to high.",
        );
        said("select name from a union all select name from b", "Shows name from a, and below them (name from b).");
        said(
            "select city from customers where active intersect select city from suppliers",
            "Shows city from customers, only where active, but only those that are also in (city from suppliers).",
        );
        said(
            "select name from customers except select name from banned where banned.since > '2024-01-01'",
            "Shows name from customers, leaving out those in (name from banned, only where since of banned is more than \"2024-01-01\").",
        );
    }

    #[test]
    fn queries_inside_of_conditions_are_said() {
        said(
            "select name from customers where id not in (select customer_id from orders where total > 5)",
            "Shows name from customers, only where id is not among (customer id from orders, only where total is more than 5).",
        );
        said(
            "select c.name from customers c where not exists (select 1 from orders o where o.customer_id = c.id and o.total > 5)",
            "Shows name from customers, only where there is no row in orders where customer id of orders is id of customers and total is more than 5.",
        );
        said(
            "select name from customers c where exists (select 1 from orders o where o.customer_id = c.id)",
            "Shows name from customers, only where there is a row in orders where customer id of orders is id of customers.",
        );
        said(
            "select name from products where price > (select avg(price) from products)",
            "Shows name from products, only where price is more than (the average price from products).",
        );
        said(
            "select name from products where price >= all (select price from products)",
            "Shows name from products, only where price is at least each of (price from products).",
        );
    }

    #[test]
    fn queries_inside_of_from_and_with_are_said() {
        said(
            "select avg(n) from (select count(*) as n from orders group by customer_id) x",
            "Shows the average n from (the number of rows (as n) from orders, for each customer id).",
        );
        said(
            "with big as (select customer_id, sum(total) as spent from orders group by 1) select c.name, b.spent from big b join customers c on c.id = b.customer_id order by 2 desc limit 3",
            "First works out big, which is (customer id and the total total (as spent) from orders, for each customer id); then shows name and spent from big with customers, ordered by spent from high to low, the first 3 rows only.",
        );
    }

    #[test]
    fn cases_are_said_and_conditional_aggregates_as_what_they_count() {
        said(
            "select case when shipped > due then 'late' else 'in time' end from orders",
            "Shows (\"late\" if shipped is more than due, else \"in time\") from orders.",
        );
        said(
            "select case status when 'o' then 'open' when 'd' then 'done' end as state from orders",
            "Shows (\"open\" if status is \"o\", \"done\" if status is \"d\", else nothing) (as state) from orders.",
        );
        said(
            "select sum(case when status = 'open' then 1 else 0 end), sum(case when paid then total end), count(case when paid then 1 end), count(*) filter (where paid) from orders",
            "Shows the number of rows where status is \"open\", the total total where paid, the number of rows where paid and the number of rows where paid from orders.",
        );
    }

    #[test]
    fn windows_are_said() {
        said(
            "select name, row_number() over (partition by city order by total desc), rank() over (order by total) from orders",
            "Shows name, the position within each city (ordered by total from high to low) and the rank (ordered by total from low to high) from orders.",
        );
        said(
            "select day, sum(total) over (order by day), sum(total) over (), avg(total) over (partition by city), lag(total) over (order by day) from orders",
            "Shows day, the total total so far (ordered by day from low to high), the total total over all rows, the average total within each city and the total of the row before (ordered by day from low to high) from orders.",
        );
    }

    #[test]
    fn shares_and_arithmetic_are_said_without_ambiguity() {
        let share = "Shows the number of rows where paid as a percentage of the number of rows from orders.";
        said("select 100.0 * count(*) filter (where paid) / count(*) from orders", share);
        said("select count(*) filter (where paid) * 100.0 / nullif(count(*), 0) from orders", share);
        said("select 1.0 * count(*) filter (where paid) / count(*) * 100 from orders", share);
        said(
            "select round(100.0 * sum(total) / (select sum(total) from orders), 2) from orders where city = 'Bonn'",
            "Shows the total total as a percentage of (the total total from orders) rounded to 2 decimals from orders, only where city is \"Bonn\".",
        );
        said("select (price - cost) / price from products", "Shows (price minus cost) divided by price from products.");
        said(
            "select name from t where a = 1 and (b = 2 or not (c = 3))",
            "Shows name from t, only where a is 1 and (b is 2 or not (c is 3)).",
        );
        said(
            "select coalesce(discount, 0), count(1), count(distinct city) from orders",
            "Shows discount (0 where it is missing), the number of rows and the number of different city from orders.",
        );
    }

    #[test]
    fn patterns_dates_and_cuts_are_said() {
        said(
            "select date_trunc('month', day), extract(year from day) from t where name ilike '%ab%' and code like 'A%' and note not like '%z' and x like 'a_b'",
            "Shows the month of day and the year of day from t, only where name contains \"ab\" and code begins with \"A\" and note does not end with \"z\" and x matches \"a_b\".",
        );
        assert_eq!(
            restate("select top 5 name from t order by 1", Engine::Mssql),
            "Shows name from t, ordered by name from low to high, the first 5 rows only."
        );
        assert_eq!(
            restate("select strftime('%Y-%m', day), count(*) from t group by 1", Engine::Sqlite),
            "Shows the month of day and the number of rows from t, for each the month of day."
        );
    }

    #[test]
    fn what_does_not_parse_is_described_by_its_tables() {
        assert_eq!(words("select from from orders where join lines ((("), "Runs a query over from, orders and lines.");
        assert_eq!(words("🦀"), "Runs a statement that names no tables.");
        assert_eq!(words(&format!("select 1{} from numbers", "+1".repeat(5_000))), "Runs a query over numbers.");
    }
}
