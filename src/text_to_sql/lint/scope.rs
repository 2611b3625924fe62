//! The relations of a SELECT as the lints see them: whose rows they are, what is unique in them, what may be missing.
//!
//! Only what the catalog proves is said. Anything else (functions in FROM, columns that cannot be told apart) is unknown,
//! and the lints are silent about it.

use std::rc::Rc;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor, TableWithJoins,
};

use super::numbers::is_whole;
use super::tree::{bare, conjuncts, has_aggregate, item, shown};
use super::{MAX_NESTING, nulls};
use crate::text_to_sql::schema::{Column, Schema, Table};

/// What names mean around a query.
#[derive(Clone)]
pub struct Names<'a> {
    pub schema: &'a Schema,
    /// Queries in WITH, the latest last.
    ctes: Vec<(String, Shape<'a>)>,
    /// Of the SELECT around it.
    outer: Option<Rc<Scope<'a>>>,
    pub depth: usize,
}

/// What a query or a table gives.
#[derive(Debug, Clone, Default)]
pub struct Shape<'a> {
    /// None: not known.
    pub columns: Option<Vec<Output<'a>>>,
    /// Places of columns that together are different in every row.
    pub keys: Vec<Vec<usize>>,
    pub one_row: bool,
    /// Its rows are rows of this table, each at most once.
    pub table: Option<&'a Table>,
}

#[derive(Debug, Clone)]
pub struct Output<'a> {
    pub name: String,
    /// The column of the catalog whose values these are.
    pub column: Option<&'a Column>,
    /// That column's table.
    pub table: Option<&'a Table>,
    /// The catalog, or an outer join, says so.
    pub may_be_null: bool,
    /// The engine computes with it as with whole numbers.
    pub whole: bool,
}

#[derive(Debug)]
pub struct Relation<'a> {
    /// What columns can be qualified with.
    pub name: String,
    pub shape: Shape<'a>,
    /// A function or something else that is not looked into; it may refer to the relations before it.
    pub opaque: bool,
}

/// The FROM clause of one SELECT.
#[derive(Debug, Default)]
pub struct Scope<'a> {
    pub relations: Vec<Relation<'a>>,
    /// What ON says, one condition each.
    pub on: Vec<&'a Expr>,
    /// What ON says of inner joins: it holds for every row.
    pub always: Vec<&'a Expr>,
    /// Pairs of columns that USING and NATURAL make equal.
    pub merged: Vec<(Place, Place)>,
    /// What WHERE says, one condition each.
    pub wheres: Vec<&'a Expr>,
    /// Relations that CROSS JOIN or APPLY was written before.
    pub crossed: Vec<usize>,
    outer: Option<Rc<Scope<'a>>>,
}

/// A column of a relation in a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub relation: usize,
    pub column: usize,
}

impl<'a> Names<'a> {
    pub fn new(schema: &'a Schema) -> Names<'a> {
        Names { schema, ctes: Vec::new(), outer: None, depth: 0 }
    }

    /// Inside a SELECT with this scope.
    pub fn inside(&self, scope: &Rc<Scope<'a>>) -> Names<'a> {
        Names { outer: Some(Rc::clone(scope)), depth: self.depth + 1, ..self.clone() }
    }

    /// In FROM, where the other relations cannot be seen.
    pub fn deeper(&self) -> Names<'a> {
        Names { depth: self.depth + 1, ..self.clone() }
    }

    /// After the WITH of `query`.
    pub fn with(&self, query: &'a Query) -> Names<'a> {
        let mut names = self.clone();
        let Some(with) = &query.with else { return names };
        for cte in &with.cte_tables {
            // A recursive query's own rows are unknown to it.
            let own = cte.alias.name.value.clone();
            names.ctes.push((own.clone(), Shape::default()));
            let shape = if with.recursive { Shape::default() } else { names.deeper().shape(&cte.query) };
            names.ctes.pop();
            names.ctes.push((own, shape.renamed(&cte.alias)));
        }
        names
    }

    pub fn shape(&self, query: &'a Query) -> Shape<'a> {
        if self.depth > MAX_NESTING {
            return Shape::default();
        }
        let mut shape = self.with(query).body(&query.body);
        shape.one_row |= query.limit_clause.is_some() && is_limited_to_one(query);
        shape
    }

    fn body(&self, body: &'a SetExpr) -> Shape<'a> {
        match body {
            SetExpr::Select(select) => self.selected(select),
            SetExpr::Query(query) => self.deeper().shape(query),
            SetExpr::SetOperation { left, op, set_quantifier, right } if self.depth <= MAX_NESTING => {
                let (left, right) = (self.deeper().body(left), self.deeper().body(right));
                left.united(right, *op == SetOperator::Union, *set_quantifier)
            }
            _ => Shape::default(),
        }
    }

    fn selected(&self, select: &'a Select) -> Shape<'a> {
        let scope = self.scope(select);
        let columns = scope.outputs(select, self);
        let groups = groups(select);
        let grouped = !groups.is_empty();
        let one_row = !grouped && has_aggregate(shown(select)) || select.from.is_empty();
        let mut keys = Vec::new();
        let mut table = None;
        if let ([only], false, false) = (&scope.relations[..], grouped, one_row) {
            table = only.shape.table.filter(|_| select.distinct.is_none());
            keys = only.shape.keys.iter().filter_map(|key| scope.shown_key(key, select)).collect();
        }
        if grouped {
            keys.extend(shown_groups(select, &groups));
        }
        if matches!(select.distinct, Some(Distinct::Distinct)) {
            keys.extend(columns.as_ref().map(|columns| (0..columns.len()).collect()));
        }
        Shape { columns, keys, one_row, table }
    }

    /// Whatever else happens to it afterwards.
    pub fn gives_one_row(&self, body: &'a SetExpr) -> bool {
        self.depth <= MAX_NESTING && self.body(body).one_row
    }

    pub fn scope(&self, select: &'a Select) -> Scope<'a> {
        let mut scope = Scope { outer: self.outer.clone(), ..Scope::default() };
        for from in &select.from {
            self.add_joined(&mut scope, from, 0);
        }
        scope.wheres = select.selection.as_ref().map(|condition| conjuncts(condition)).unwrap_or_default();
        scope
    }

    fn add_joined(&self, scope: &mut Scope<'a>, from: &'a TableWithJoins, depth: usize) {
        let first = scope.relations.len();
        self.add(scope, &from.relation, depth);
        for join in &from.joins {
            let before = scope.relations.len();
            self.add(scope, &join.relation, depth);
            let added = before..scope.relations.len();
            let (constraint, left_optional, right_optional) = sides(&join.join_operator);
            if matches!(join.join_operator, JoinOperator::CrossJoin(_) | JoinOperator::CrossApply)
                || matches!(join.join_operator, JoinOperator::OuterApply)
            {
                scope.crossed.extend(added.clone());
            }
            if let Some(constraint) = constraint {
                scope.constrain(constraint, first, before, !left_optional && !right_optional);
            }
            if left_optional {
                scope.relations[first..before].iter_mut().for_each(Relation::may_be_missing);
            }
            if right_optional {
                scope.relations[added].iter_mut().for_each(Relation::may_be_missing);
            }
        }
    }

    fn add(&self, scope: &mut Scope<'a>, factor: &'a TableFactor, depth: usize) {
        let relation = match factor {
            TableFactor::Table { name, alias, args: None, .. } => self.table(name, alias.as_ref()),
            TableFactor::Derived { lateral, subquery, alias: Some(alias), .. } => {
                let shape = self.deeper().shape(subquery).renamed(alias);
                Relation { name: alias.name.value.clone(), shape, opaque: *lateral }
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if depth < MAX_NESTING => {
                return self.add_joined(scope, table_with_joins, depth + 1);
            }
            _ => Relation { name: String::new(), shape: Shape::default(), opaque: true },
        };
        scope.relations.push(relation);
    }

    fn table(&self, name: &ObjectName, alias: Option<&'a TableAlias>) -> Relation<'a> {
        let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let own = parts.last().map(|name| name.value.clone()).unwrap_or_default();
        let called = alias.map_or_else(|| own.clone(), |alias| alias.name.value.clone());
        let schema = parts.len().checked_sub(2).map(|place| parts[place].value.as_str());
        let cte = self.ctes.iter().rev().find(|(name, _)| schema.is_none() && same(name, &own));
        let shape = match cte {
            Some((_, shape)) => shape.clone(),
            None => self.found(schema, &own).map(Shape::of_table).unwrap_or_default(),
        };
        let shape = alias.map_or(shape.clone(), |alias| shape.renamed(alias));
        Relation { name: called, shape, opaque: false }
    }

    /// The one table that a name can mean.
    fn found(&self, schema: Option<&str>, name: &str) -> Option<&'a Table> {
        let named = self.schema.visible_tables().filter(|table| same(&table.name, name));
        let in_schema = |table: &&Table, schema: &str| same(&table.schema, schema);
        let found: Vec<&Table> = match schema {
            Some(schema) => named.filter(|table| in_schema(table, schema)).collect(),
            None => {
                let all: Vec<&Table> = named.collect();
                let path = self.schema.search_path.iter();
                path.map(|schema| all.iter().copied().filter(|table| in_schema(table, schema)).collect::<Vec<_>>())
                    .find(|found| !found.is_empty())
                    .unwrap_or_default()
            }
        };
        if let [table] = found[..] { Some(table) } else { None }
    }
}

/// The constraint of a join, and which side is kept without a partner on the other, so that the other may be missing.
fn sides(operator: &JoinOperator) -> (Option<&JoinConstraint>, bool, bool) {
    match operator {
        JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => (Some(on), false, false),
        JoinOperator::StraightJoin(on) => (Some(on), false, false),
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (Some(on), false, true),
        JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (Some(on), true, false),
        JoinOperator::FullOuter(on) => (Some(on), true, true),
        _ => (None, true, true),
    }
}

fn is_limited_to_one(query: &Query) -> bool {
    use sqlparser::ast::LimitClause::{LimitOffset, OffsetCommaLimit};
    let limit = match &query.limit_clause {
        Some(LimitOffset { limit, .. }) => limit.as_ref(),
        Some(OffsetCommaLimit { limit, .. }) => Some(limit),
        None => None,
    };
    limit.and_then(super::tree::number) == Some("1")
}

/// What a SELECT groups by; ordinals and output names are taken for what they stand for.
pub fn groups(select: &Select) -> Vec<&Expr> {
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return Vec::new() };
    let meant = |group| {
        let ordinal = super::tree::number(group).and_then(|number| number.parse::<usize>().ok());
        let named = |name: &Ident| {
            select.projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if same(&alias.value, &name.value) => Some(expr),
                _ => None,
            })
        };
        match (ordinal, group) {
            (Some(ordinal), _) => {
                ordinal.checked_sub(1).and_then(|place| select.projection.get(place)).and_then(item).unwrap_or(group)
            }
            (None, Expr::Identifier(name)) => named(name).unwrap_or(group),
            _ => group,
        }
    };
    groups.iter().map(meant).collect()
}

/// The places in the output of all group keys, if all are shown.
fn shown_groups(select: &Select, groups: &[&Expr]) -> Option<Vec<usize>> {
    let shows = |group: &Expr, shown: &SelectItem| item(shown).is_some_and(|expr| bare(expr) == bare(group));
    if select.projection.iter().any(|shown| item(shown).is_none()) {
        return None;
    }
    groups.iter().map(|group| select.projection.iter().position(|shown| shows(group, shown))).collect()
}

impl<'a> Shape<'a> {
    fn of_table(table: &'a Table) -> Shape<'a> {
        let columns: Vec<Output> = table.visible_columns().map(|column| Output::of(table, column)).collect();
        let unique = table.indexes.iter().filter(|index| index.unique).map(|index| &index.columns);
        let place = |name: &String| columns.iter().position(|column| same(&column.name, name));
        let keys = std::iter::once(&table.primary_key).chain(unique).filter(|key| !key.is_empty());
        let keys = keys.filter_map(|key| key.iter().map(place).collect::<Option<Vec<usize>>>()).collect();
        Shape { columns: Some(columns), keys, one_row: false, table: Some(table) }
    }

    fn renamed(mut self, alias: &TableAlias) -> Shape<'a> {
        let names = alias.columns.iter().map(|column| &column.name.value);
        for (column, name) in self.columns.iter_mut().flatten().zip(names) {
            column.name.clone_from(name);
        }
        self
    }

    fn united(self, other: Shape<'a>, both: bool, quantifier: SetQuantifier) -> Shape<'a> {
        let columns = self.columns.zip(other.columns).filter(|(left, right)| left.len() == right.len());
        let columns = columns.map(|(left, right)| {
            let pairs = left.into_iter().zip(right);
            pairs.map(|(left, right)| if both { left.or(&right) } else { left }).collect::<Vec<_>>()
        });
        let distinct = matches!(quantifier, SetQuantifier::None | SetQuantifier::Distinct);
        let all = columns.as_ref().filter(|_| distinct).map(|columns| (0..columns.len()).collect());
        Shape { columns, keys: all.into_iter().collect(), one_row: false, table: None }
    }
}

impl<'a> Output<'a> {
    fn of(table: &'a Table, column: &'a Column) -> Output<'a> {
        use crate::text_to_sql::schema::ColumnKind::Integer;
        let is_key = |column: &Column| table.primary_key.iter().any(|key| same(key, &column.name));
        // Where nothing but keys is declared NOT NULL, nobody thought about nulls: in Spider, none of the 27 such columns
        // that lints named held one.
        let declared = table.columns.iter().any(|column| !column.nullable && !is_key(column));
        let may_be_null = column.nullable && !is_key(column) && declared;
        let (name, whole) = (column.name.clone(), column.kind == Integer);
        Output { name, column: Some(column), table: Some(table), may_be_null, whole }
    }

    fn computed(name: String, whole: bool) -> Output<'a> {
        Output { name, column: None, table: None, may_be_null: false, whole }
    }

    /// Of rows that come from either.
    fn or(self, other: &Output) -> Output<'a> {
        let same = self.column.zip(other.column).is_some_and(|(one, other)| std::ptr::eq(one, other));
        Output {
            may_be_null: self.may_be_null || other.may_be_null,
            whole: self.whole && other.whole,
            column: self.column.filter(|_| same),
            table: self.table.filter(|_| same),
            name: self.name,
        }
    }
}

impl Relation<'_> {
    fn may_be_missing(&mut self) {
        self.shape.columns.iter_mut().flatten().for_each(|column| column.may_be_null = true);
    }

    fn column(&self, name: &str) -> Option<usize> {
        let mut found = self.shape.columns.as_ref()?.iter().enumerate().filter(|(_, column)| same(&column.name, name));
        let (place, _) = found.next()?;
        found.next().is_none().then_some(place)
    }
}

impl<'a> Scope<'a> {
    fn constrain(&mut self, constraint: &'a JoinConstraint, first: usize, before: usize, inner: bool) {
        match constraint {
            JoinConstraint::On(condition) => {
                let conditions = conjuncts(condition);
                if inner {
                    self.always.extend(&conditions);
                }
                self.on.extend(conditions);
            }
            JoinConstraint::Using(names) => {
                let names = names.iter().filter_map(|name| name.0.last()?.as_ident());
                names.for_each(|name| self.merge(&name.value, first, before));
            }
            JoinConstraint::Natural => {
                let columns = self.relations.get(before).and_then(|relation| relation.shape.columns.as_ref());
                let names: Vec<String> = columns.into_iter().flatten().map(|column| column.name.clone()).collect();
                names.iter().for_each(|name| self.merge(name, first, before));
            }
            JoinConstraint::None => {}
        }
    }

    fn merge(&mut self, name: &str, first: usize, before: usize) {
        let Some(right) = self.relations.get(before).and_then(|relation| relation.column(name)) else { return };
        let right = Place { relation: before, column: right };
        let left = (first..before)
            .find_map(|relation| self.relations[relation].column(name).map(|column| Place { relation, column }));
        self.merged.extend(left.map(|left| (left, right)));
    }

    /// The column of this scope that an expression is, and no other can be.
    pub fn place(&self, expr: &Expr) -> Option<Place> {
        match bare(expr) {
            Expr::Identifier(name) => self.unqualified(&name.value),
            Expr::CompoundIdentifier(parts) => {
                let [.., owner, name] = &parts[..] else { return None };
                let mut named =
                    self.relations.iter().enumerate().filter(|(_, relation)| same(&relation.name, &owner.value));
                let (relation, found) = named.next().filter(|_| named.next().is_none())?;
                Some(Place { relation, column: found.column(&name.value)? })
            }
            _ => None,
        }
    }

    fn unqualified(&self, name: &str) -> Option<Place> {
        if self.relations.iter().any(|relation| relation.shape.columns.is_none()) {
            return None;
        }
        let places = self.relations.iter().enumerate();
        let found: Vec<Place> =
            places.filter_map(|(relation, it)| it.column(name).map(|column| Place { relation, column })).collect();
        match found[..] {
            [place] => Some(place),
            // Joined by USING or NATURAL.
            [place, other] if self.merged.contains(&(place, other)) => Some(place),
            _ => None,
        }
    }

    pub fn output(&self, place: Place) -> Option<&Output<'a>> {
        self.relations.get(place.relation)?.shape.columns.as_ref()?.get(place.column)
    }

    /// What a column of this SELECT or of one around it is.
    pub fn column(&self, expr: &Expr) -> Option<&Output<'a>> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(place) = here.place(expr) {
                return here.output(place);
            }
            if here.may_hold(expr) {
                return None;
            }
            scope = here.outer.as_deref();
        }
        None
    }

    /// Whether a column that was not found may be one of this scope nevertheless.
    fn may_hold(&self, expr: &Expr) -> bool {
        match bare(expr) {
            Expr::CompoundIdentifier(parts) => {
                let owner = parts.len().checked_sub(2).and_then(|place| parts.get(place));
                owner.is_none_or(|owner| self.relations.iter().any(|relation| same(&relation.name, &owner.value)))
            }
            Expr::Identifier(name) => self
                .relations
                .iter()
                .any(|relation| relation.shape.columns.is_none() || relation.column(&name.value).is_some()),
            _ => true,
        }
    }

    /// Whether a column is known to be one of a SELECT around this one: the same for every row here.
    pub fn is_outer(&self, expr: &Expr) -> bool {
        self.place(expr).is_none() && !self.may_hold(expr)
    }

    fn outputs(&self, select: &'a Select, names: &Names<'a>) -> Option<Vec<Output<'a>>> {
        let mut outputs = Vec::new();
        for shown in &select.projection {
            match shown {
                SelectItem::Wildcard(_) => {
                    for relation in &self.relations {
                        outputs.extend(relation.shape.columns.clone()?);
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let owner = name.0.last()?.as_ident()?;
                    let relation = self.relations.iter().find(|relation| same(&relation.name, &owner.value))?;
                    outputs.extend(relation.shape.columns.clone()?);
                }
                SelectItem::UnnamedExpr(expr) => outputs.push(self.computed(expr, column_name(expr), names)),
                SelectItem::ExprWithAlias { expr, alias } => {
                    outputs.push(self.computed(expr, alias.value.clone(), names));
                }
                _ => return None,
            }
        }
        Some(outputs)
    }

    fn computed(&self, expr: &'a Expr, name: String, names: &Names<'a>) -> Output<'a> {
        match self.column(expr) {
            Some(column) => {
                let known = nulls::is_known(self, expr);
                Output { name, may_be_null: column.may_be_null && !known, ..column.clone() }
            }
            None => Output::computed(name, is_whole(expr, self, names, 0)),
        }
    }

    /// Where the columns of a key of the only relation are shown, if all are.
    fn shown_key(&self, key: &[usize], select: &Select) -> Option<Vec<usize>> {
        let wildcard = matches!(select.projection[..], [SelectItem::Wildcard(_)]);
        if wildcard {
            return Some(key.to_vec());
        }
        if select.projection.iter().any(|shown| item(shown).is_none()) {
            return None;
        }
        let shows = |shown: &SelectItem, column| {
            item(shown).and_then(|expr| self.place(expr)).map(|it| it.column) == Some(column)
        };
        key.iter().map(|column| select.projection.iter().position(|shown| shows(shown, *column))).collect()
    }
}

fn column_name(expr: &Expr) -> String {
    match bare(expr) {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// As people write it: "orders.total".
pub fn label(output: &Output) -> String {
    match (output.table, output.column) {
        (Some(table), Some(column)) => format!("{}.{}", table.name, column.name),
        _ => output.name.clone(),
    }
}
