//! Rows that a join repeats, and that are summed, averaged or counted as if it did not.
//!
//! A table's rows are repeated by a join when some other table is not determined by them: no key of it is fixed by the
//! join conditions, by constants, or by what the query groups by. That alone is no proof where keys are not declared, so
//! besides, the other table must refer to the first ones by a foreign key or a declared join that is in the conditions.

use std::collections::BTreeSet;

use sqlparser::ast::{BinaryOperator, Expr, Function, FunctionArguments};

use super::scope::{Place, Scope, groups, same};
use super::tree::{arguments, is_aggregate, name, taken_apart};
use super::walk::Looked;
use super::{LintCode, Linter};
use crate::text_to_sql::schema::{ForeignKey, Table};

/// More relations than people join; the search is cubic.
const MAX_RELATIONS: usize = 16;

pub fn check(looked: &Looked, linter: &mut Linter) {
    let scope = looked.scope;
    if !(2..=MAX_RELATIONS).contains(&scope.relations.len()) || scope.relations.iter().any(|relation| relation.opaque) {
        return;
    }
    let joined = Joined::of(looked);
    for function in looked.parts.exprs.iter().filter_map(|expr| aggregate(expr)) {
        if let Some(detail) = joined.repeated(function) {
            linter.say(LintCode::FanOut, detail);
        }
    }
}

fn aggregate(expr: &Expr) -> Option<&Function> {
    match expr {
        Expr::Function(function) if is_aggregate(function) => Some(function),
        _ => None,
    }
}

/// What the conditions of a SELECT make equal.
struct Joined<'a, 's> {
    scope: &'s Scope<'a>,
    /// Sets of columns with one value in every row.
    classes: Vec<BTreeSet<Place>>,
    /// Columns with one value in all rows of a group.
    constant: BTreeSet<Place>,
    /// Relations of which WHERE keeps no rows: the query looks for what has none.
    absent: BTreeSet<usize>,
}

type Relations = BTreeSet<usize>;

impl<'a, 's> Joined<'a, 's> {
    fn of(looked: &'s Looked<'a, 's>) -> Joined<'a, 's> {
        let scope: &Scope = looked.scope;
        let mut joined = Joined { scope, classes: Vec::new(), constant: BTreeSet::new(), absent: BTreeSet::new() };
        for (left, right) in &scope.merged {
            joined.equate(*left, *right);
        }
        for condition in scope.on.iter().chain(&scope.wheres) {
            joined.learn(condition);
        }
        for condition in &scope.wheres {
            if let Expr::IsNull(column) = condition {
                joined.absent.extend(scope.place(column).map(|place| place.relation));
            }
        }
        let grouped = groups(looked.select);
        joined.constant.extend(grouped.iter().filter_map(|group| scope.place(group)));
        joined
    }

    fn learn(&mut self, condition: &Expr) {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return };
        match (self.scope.place(left), self.scope.place(right)) {
            (Some(left), Some(right)) => self.equate(left, right),
            (Some(place), None) if self.is_constant(right) => _ = self.constant.insert(place),
            (None, Some(place)) if self.is_constant(left) => _ = self.constant.insert(place),
            _ => {}
        }
    }

    /// The same for all rows here. A nested query counts as that: at worst nothing is said.
    fn is_constant(&self, expr: &Expr) -> bool {
        let columns = taken_apart([expr]).exprs.into_iter();
        let mut columns = columns.filter(|it| matches!(it, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
        columns.all(|column| self.scope.is_outer(column))
    }

    fn equate(&mut self, left: Place, right: Place) {
        let (mut joint, others): (Vec<_>, Vec<_>) =
            self.classes.drain(..).partition(|class| class.contains(&left) || class.contains(&right));
        let mut class: BTreeSet<Place> = joint.drain(..).flatten().collect();
        class.extend([left, right]);
        self.classes = others;
        self.classes.push(class);
    }

    /// Whether the rows of `known` fix the value of a column.
    fn is_fixed(&self, place: Place, known: &Relations) -> bool {
        let fixed = |place: &Place| self.constant.contains(place) || known.contains(&place.relation);
        let class = self.classes.iter().find(|class| class.contains(&place));
        fixed(&place) || class.is_some_and(|class| class.iter().any(fixed))
    }

    fn are_equal(&self, one: Place, other: Place) -> bool {
        self.classes.iter().any(|class| class.contains(&one) && class.contains(&other))
    }

    /// The relations of which at most one row goes with a row of each of `known`.
    fn determined(&self, mut known: Relations) -> Relations {
        loop {
            let next = (0..self.scope.relations.len())
                .find(|relation| !known.contains(relation) && self.is_determined(*relation, &known));
            match next {
                Some(relation) => _ = known.insert(relation),
                None => return known,
            }
        }
    }

    fn is_determined(&self, relation: usize, known: &Relations) -> bool {
        let shape = &self.scope.relations[relation].shape;
        let fixed =
            |key: &Vec<usize>| key.iter().all(|column| self.is_fixed(Place { relation, column: *column }, known));
        shape.one_row || self.absent.contains(&relation) || shape.keys.iter().any(fixed)
    }

    /// The relations of which many rows refer to one of `known`, which is proven by the schema.
    fn many(&self, known: &Relations) -> Relations {
        let others = (0..self.scope.relations.len()).filter(|relation| !known.contains(relation));
        others.filter(|many| known.iter().any(|one| self.refers(*many, *one))).collect()
    }

    fn refers(&self, many: usize, one: usize) -> bool {
        let (many_shape, one_shape) = (&self.scope.relations[many].shape, &self.scope.relations[one].shape);
        let (Some(many_table), Some(one_table)) = (many_shape.table, one_shape.table) else { return false };
        let rows = many_table.row_count.zip(one_table.row_count);
        // Without any key in the catalog, more rows than it refers to are proof that some refer to the same.
        let proven = !many_shape.keys.is_empty() || rows.is_some_and(|(many, one)| many > one);
        let declared = many_table.joins.iter().filter(|join| is_key(one_table, &join.referenced_columns));
        proven
            && many_table
                .foreign_keys
                .iter()
                .chain(declared)
                .filter(|key| {
                    same(&key.referenced_table, &one_table.name) && same(&key.referenced_schema, &one_table.schema)
                })
                .any(|key| self.follows(key, many, one))
    }

    /// Whether the conditions join by this key.
    fn follows(&self, key: &ForeignKey, many: usize, one: usize) -> bool {
        let pairs = key.columns.iter().zip(&key.referenced_columns);
        !key.columns.is_empty()
            && pairs.into_iter().all(|(from, to)| {
                let ends = self.named(many, from).zip(self.named(one, to));
                ends.is_some_and(|(from, to)| self.are_equal(from, to))
            })
    }

    /// Where a relation gives a column of the catalog.
    fn named(&self, relation: usize, name: &str) -> Option<Place> {
        let columns = self.scope.relations[relation].shape.columns.as_ref()?;
        let is = |column: &crate::text_to_sql::schema::Column| same(&column.name, name);
        let column = columns.iter().position(|output| output.column.is_some_and(is))?;
        Some(Place { relation, column })
    }

    /// What to say of an aggregate, if rows are repeated in it.
    fn repeated(&self, function: &Function) -> Option<String> {
        let FunctionArguments::List(list) = &function.args else { return None };
        let name = name(function);
        if !["sum", "avg", "count", "total", "count_big"].contains(&name.as_str()) || list.duplicate_treatment.is_some()
        {
            return None;
        }
        let of = self.relations_of(arguments(list))?;
        let one_row_a_group = self.determined(Relations::new()).is_superset(&of);
        let counts_rows = one_row_a_group || arguments(list).all(|counted| self.is_of_group(counted));
        match name.as_str() {
            "count" | "count_big" if counts_rows => self.product(function),
            "avg" if one_row_a_group => None,
            _ if of.is_empty() => None,
            _ => self.repeats(function, &of),
        }
    }

    /// One value in a whole group: who counts it counts rows.
    fn is_of_group(&self, expr: &Expr) -> bool {
        self.scope.place(expr).is_some_and(|place| self.is_fixed(place, &Relations::new()))
    }

    /// The relations that the arguments are computed from.
    fn relations_of<'b>(&self, arguments: impl Iterator<Item = &'b Expr>) -> Option<Relations> {
        let parts = taken_apart(arguments);
        let columns = parts.exprs.iter().filter(|it| matches!(it, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
        let known = parts.complete && parts.queries.is_empty();
        known.then(|| columns.map(|column| self.scope.place(column).map(|place| place.relation)).collect())?
    }

    fn repeats(&self, function: &Function, of: &Relations) -> Option<String> {
        let known = self.determined(of.clone());
        let mut many = self.many(&known);
        if name(function) == "avg" {
            many.retain(|many| self.is_detail(*many, &known));
        }
        let by = self.called(&many)?;
        let rows = self.called(of)?;
        let mended = match name(function).as_str() {
            "count" => "count DISTINCT keys",
            _ => "aggregate before the join",
        };
        Some(format!(
            "Several rows of {by} go with one row of {rows}, and the join repeats it for each, so {} takes it several times; {mended}, or leave {by} out of the join.",
            spelled(function)
        ))
    }

    /// Whether the rows of a relation are parts of those it refers to: the reference is in its primary key. Averages over
    /// others may be meant, such as that of the prices of what was sold.
    fn is_detail(&self, many: usize, known: &Relations) -> bool {
        let Some(table) = self.scope.relations[many].shape.table else { return false };
        let fixed = |name: &String| self.named(many, name).is_some_and(|place| self.is_fixed(place, known));
        table.primary_key.iter().any(fixed)
    }

    /// Two tables that refer to a third, and not to each other: every row of the one meets every row of the other.
    fn product(&self, function: &Function) -> Option<String> {
        let all = self.scope.relations.len();
        if (0..all).any(|grain| self.determined(Relations::from([grain])).len() == all) {
            return None;
        }
        let pair = (0..all).find_map(|one| {
            let many = self.many(&self.determined(Relations::from([one])));
            let apart = |left: usize, right: usize| !self.determined(Relations::from([left])).contains(&right);
            let pairs = many.iter().flat_map(|left| many.iter().map(move |right| (*left, *right)));
            pairs.into_iter().find(|(left, right)| left < right && apart(*left, *right) && apart(*right, *left))
        });
        let (left, right) = pair?;
        let (left, right) = (self.called(&Relations::from([left]))?, self.called(&Relations::from([right]))?);
        Some(format!(
            "The join pairs every row of {left} with every row of {right} that goes with it, so {} counts the pairs; count DISTINCT keys, or aggregate {right} before the join.",
            spelled(function)
        ))
    }

    fn called(&self, relations: &Relations) -> Option<String> {
        let named = |relation: &usize| {
            let relation = &self.scope.relations[*relation];
            relation.shape.table.map_or(relation.name.clone(), |table| table.name.clone())
        };
        let names: BTreeSet<String> = relations.iter().map(named).filter(|name| !name.is_empty()).collect();
        let names: Vec<String> = names.into_iter().collect();
        (!names.is_empty()).then(|| crate::text_to_sql::explain::list(&names, "and"))
    }
}

/// A longer aggregate is named by its function.
const SPELLED: usize = 60;

fn spelled(function: &Function) -> String {
    let text = function.to_string();
    if text.chars().count() <= SPELLED { text } else { format!("{}(…)", name(function)) }
}

fn is_key(table: &Table, columns: &[String]) -> bool {
    let covers = |key: &[String]| !key.is_empty() && key.iter().all(|name| columns.iter().any(|it| same(it, name)));
    covers(&table.primary_key) || table.indexes.iter().any(|index| index.unique && covers(&index.columns))
}
