//! The FROM clause: tables, derived tables, functions and joins become the relations of a scope.

use sqlparser::ast::*;

use super::lexical::Canonical;
use super::row_filter;
use super::scope::{Name, Output, Relation, Scope, Source};
use super::violation::{Violation, ViolationCode, did_you_mean};
use super::walk::{Rewrite, Walker, spelled};
use crate::text_to_sql::schema::{Engine, Table};

/// Expressions that can only be resolved when the whole FROM clause is known (SQLite's ON and function arguments).
type Deferred<'a> = Vec<&'a Expr>;

impl<'a> Walker<'a> {
    pub(super) fn from(&mut self, from: &'a [TableWithJoins]) -> Scope<'a> {
        let mut scope = Scope::default();
        let mut deferred = Deferred::new();
        for tree in from {
            let star = self.join_tree(tree, &mut scope, &mut deferred);
            scope.star.extend(star);
        }
        self.unique_names(&scope);
        self.within(&mut scope, 0, |walker| walker.expressions(deferred));
        scope
    }

    /// Walks something that sees the relations of the scope from `floor` on.
    fn within(&mut self, scope: &mut Scope<'a>, floor: usize, walk: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut scope.floor, floor);
        self.scopes.push(std::mem::take(scope));
        walk(self);
        *scope = self.scopes.pop().unwrap_or_default();
        scope.floor = before;
    }

    fn unique_names(&mut self, scope: &Scope<'a>) {
        for (place, relation) in scope.relations.iter().enumerate() {
            let same = |other: &&Relation<'a>| other.name == relation.name && !other.name.is_empty();
            if let Some(other) = scope.relations[..place].iter().find(same)
                && (other.schema.is_none() || other.schema == relation.schema)
            {
                let detail = format!("FROM has two tables called `{}`; give each its own alias.", relation.name);
                self.refuse(ViolationCode::AmbiguousColumn, detail);
            }
        }
    }

    /// Adds the relations of a tree of joins and returns what `*` makes of it.
    fn join_tree(
        &mut self,
        tree: &'a TableWithJoins,
        scope: &mut Scope<'a>,
        deferred: &mut Deferred<'a>,
    ) -> Vec<Output<'a>> {
        let TableWithJoins { relation, joins } = tree;
        let floor = scope.relations.len();
        let mut star = self.factor(relation, false, scope, deferred);
        for Join { relation, global, join_operator } in joins {
            self.absent(!global, "GLOBAL JOIN");
            let middle = scope.relations.len();
            let applied = matches!(join_operator, JoinOperator::CrossApply | JoinOperator::OuterApply);
            let right = self.factor(relation, applied, scope, deferred);
            let merged = match self.constraint(join_operator) {
                Some(JoinConstraint::On(condition)) if self.dialect.join_scopes => {
                    self.within(scope, floor, |walker| walker.expressions([condition]));
                    Vec::new()
                }
                Some(JoinConstraint::On(condition)) => {
                    deferred.push(condition);
                    Vec::new()
                }
                Some(JoinConstraint::Using(columns)) => self.using(columns, scope, floor, middle),
                Some(JoinConstraint::Natural) => self.natural(scope, floor, middle),
                Some(JoinConstraint::None) => {
                    self.joined_on_something(join_operator);
                    Vec::new()
                }
                None => Vec::new(),
            };
            self.absent(!applied || self.dialect.apply, "APPLY");
            star = self.joined_star(star, right, &merged);
            self.few_outputs(&mut star);
            scope.merged.extend(merged);
        }
        star
    }

    fn constraint(&mut self, operator: &'a JoinOperator) -> Option<&'a JoinConstraint> {
        match operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::StraightJoin(constraint)
            | JoinOperator::CrossJoin(constraint) => Some(constraint),
            JoinOperator::CrossApply | JoinOperator::OuterApply => None,
            _ => {
                self.not_allowed("A join of this kind");
                None
            }
        }
    }

    /// Some engines take a join without a condition for a cross join.
    fn joined_on_something(&mut self, operator: &JoinOperator) {
        let joins =
            matches!(operator, JoinOperator::CrossJoin(_) | JoinOperator::CrossApply | JoinOperator::OuterApply);
        if !self.dialect.bare_joins && !joins {
            self.refuse(ViolationCode::Syntax, "JOIN needs ON or USING; a join of everything is CROSS JOIN.");
        }
    }

    fn using(&mut self, columns: &'a [ObjectName], scope: &Scope<'a>, floor: usize, middle: usize) -> Vec<Name<'a>> {
        let mut merged = Vec::with_capacity(columns.len());
        for column in columns {
            let Some([ident]) = self.plain_parts(column).and_then(|parts| <[&'a Ident; 1]>::try_from(parts).ok())
            else {
                self.not_allowed("A qualified name in USING");
                continue;
            };
            let name = self.declared(ident);
            let left = self.joins_on(&scope.relations[floor..middle], &name);
            let right = self.joins_on(&scope.relations[middle..], &name);
            if !(left && right) {
                let detail = format!("USING needs a column `{name}` on both sides of the join.");
                self.refuse(ViolationCode::UnknownColumn, detail);
            }
            merged.push(name);
        }
        merged
    }

    /// Reads the columns of that name on one side of a join; false if there is none that may be read.
    fn joins_on(&mut self, side: &[Relation<'a>], name: &str) -> bool {
        let sources: Vec<Option<Source>> =
            side.iter().flat_map(|relation| relation.named(name)).map(|column| column.source).collect();
        sources.iter().flatten().for_each(|&source| self.read(source));
        let hidden = side.iter().any(|relation| relation.hides(name, self.dialect.folds_quoted));
        !hidden && (!sources.is_empty() || side.iter().any(|relation| relation.unknown))
    }

    /// NATURAL joins on whatever the engine thinks both sides have, closed columns included.
    fn natural(&mut self, scope: &Scope<'a>, floor: usize, middle: usize) -> Vec<Name<'a>> {
        let (left, right) = (&scope.relations[floor..middle], &scope.relations[middle..]);
        if left.iter().chain(right).any(|relation| relation.closes) {
            self.not_allowed("NATURAL JOIN with a table that has columns which may not be read (use USING)");
            return Vec::new();
        }
        let has = |side: &[Relation<'a>], name: &str| side.iter().any(|it| it.named(name).next().is_some());
        let names = left.iter().flat_map(|relation| &relation.columns).filter_map(|column| column.name.clone());
        let mut merged: Vec<Name<'a>> = names.filter(|name| has(right, name)).collect();
        merged.dedup();
        for name in &merged {
            self.joins_on(left, name);
            self.joins_on(right, name);
        }
        merged
    }

    fn joined_star(&self, left: Vec<Output<'a>>, right: Vec<Output<'a>>, merged: &[Name<'a>]) -> Vec<Output<'a>> {
        let is_merged = |column: &Output<'a>| merged.iter().any(|name| column.is(name));
        let right = right.into_iter().filter(|column| !is_merged(column));
        if !self.dialect.merged_columns_first {
            return left.into_iter().chain(right).collect();
        }
        let first = merged.iter().filter_map(|name| left.iter().find(|column| column.is(name)).cloned());
        let rest = left.iter().filter(|column| !is_merged(column)).cloned();
        first.chain(rest).chain(right).collect()
    }

    /// Adds one item of FROM and returns its columns. `applied`: it may refer to what stands before it.
    fn factor(
        &mut self,
        factor: &'a TableFactor,
        applied: bool,
        scope: &mut Scope<'a>,
        deferred: &mut Deferred<'a>,
    ) -> Vec<Output<'a>> {
        let relation = match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                self.absent(with_hints.is_empty(), "A table hint");
                self.index_hints(index_hints);
                self.absent(
                    version.is_none() && partitions.is_empty() && json_path.is_none(),
                    "A table version or partition",
                );
                self.sample(sample.as_ref());
                match args {
                    Some(TableFunctionArgs { args, settings }) => {
                        self.absent(settings.is_none(), "SETTINGS");
                        self.table_function(name, args, *with_ordinality, alias.as_ref(), scope, deferred)
                    }
                    None => {
                        self.absent(!with_ordinality, "WITH ORDINALITY on a table");
                        self.table(name, alias.as_ref())
                    }
                }
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                self.absent(sample.is_none(), "TABLESAMPLE on a query");
                self.absent(!lateral || self.dialect.lateral, "LATERAL");
                let filtered = self.filtered_table(subquery, alias.as_ref());
                filtered.unwrap_or_else(|| self.derived_table(subquery, alias.as_ref(), *lateral || applied, scope))
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality, alias } => {
                self.table_function(name, args, *with_ordinality, alias.as_ref(), scope, deferred)
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                self.absent(!with_offset && with_offset_alias.is_none() && self.dialect.arrays, "UNNEST WITH OFFSET");
                self.within(scope, 0, |walker| walker.expressions(array_exprs));
                self.function_relation("unnest", array_exprs.len(), &[], *with_ordinality, alias.as_ref())
            }
            TableFactor::JsonTable { json_expr, json_path, columns, alias } => {
                self.within(scope, 0, |walker| walker.expressions([json_expr]));
                self.value(json_path);
                let outputs = self.json_columns(columns);
                self.derived(outputs, alias.as_ref())
            }
            TableFactor::OpenJsonTable { json_expr, json_path, columns, alias } => {
                self.within(scope, 0, |walker| walker.expressions([json_expr]));
                json_path.iter().for_each(|path| self.value(path));
                let outputs = self.open_json_columns(columns);
                self.derived(outputs, alias.as_ref())
            }
            TableFactor::Pivot { table, aggregate_functions, value_column, value_source, default_on_null, alias } => {
                self.absent(default_on_null.is_none(), "DEFAULT ON NULL");
                let Some(input) = self.pivoted(table, scope, deferred) else { return Vec::new() };
                let outputs = self.pivot(input, aggregate_functions, value_column, value_source);
                self.derived(outputs, alias.as_ref())
            }
            TableFactor::Unpivot { table, value, name, columns, null_inclusion, alias } => {
                self.absent(null_inclusion.is_none(), "INCLUDE or EXCLUDE NULLS");
                let Some(input) = self.pivoted(table, scope, deferred) else { return Vec::new() };
                let closes = input.closes;
                let outputs = self.unpivot(input, value, name, columns);
                Relation { closes, ..self.derived(outputs, alias.as_ref()) }
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                return self.nested_join(table_with_joins, alias.as_ref(), scope, deferred);
            }
            _ => {
                self.not_allowed("An item of FROM of this form");
                Relation::unknown(Name::default())
            }
        };
        let star = relation.columns.clone();
        scope.relations.push(relation);
        star
    }

    /// The one relation that PIVOT or UNPIVOT works on, taken back out of the scope.
    fn pivoted(
        &mut self,
        table: &'a TableFactor,
        scope: &mut Scope<'a>,
        deferred: &mut Deferred<'a>,
    ) -> Option<Relation<'a>> {
        self.absent(self.dialect.apply, "PIVOT or UNPIVOT");
        let before = scope.relations.len();
        self.factor(table, false, scope, deferred);
        let relation = scope.relations.pop().filter(|relation| relation.hidden.is_empty());
        if relation.is_none() || scope.relations.len() != before {
            scope.relations.truncate(before);
            self.not_allowed("PIVOT or UNPIVOT of this table (select the columns it needs first)");
            return None;
        }
        relation
    }

    fn nested_join(
        &mut self,
        tree: &'a TableWithJoins,
        alias: Option<&'a TableAlias>,
        scope: &mut Scope<'a>,
        deferred: &mut Deferred<'a>,
    ) -> Vec<Output<'a>> {
        let floor = scope.relations.len();
        let mut inner = Deferred::new();
        let star = self.join_tree(tree, scope, if self.dialect.join_scopes { deferred } else { &mut inner });
        self.within(scope, floor, |walker| walker.expressions(inner));
        let Some(alias) = alias else { return star };
        let hides = scope.relations[floor..].iter().any(|relation| !relation.hidden.is_empty());
        self.absent(!hides, "An alias for a join of these tables");
        let closes = scope.relations[floor..].iter().any(|relation| relation.closes);
        let relation = Relation { closes, ..self.derived(star, Some(alias)) };
        scope.relations.truncate(floor);
        let star = relation.columns.clone();
        scope.relations.push(relation);
        star
    }

    /// `sees_before`: it may refer to what stands before it in FROM.
    fn derived_table(
        &mut self,
        subquery: &'a Query,
        alias: Option<&'a TableAlias>,
        sees_before: bool,
        scope: &mut Scope<'a>,
    ) -> Relation<'a> {
        let mut outputs = Vec::new();
        match sees_before {
            true => self.within(scope, 0, |walker| outputs = walker.query(subquery, &mut None)),
            false => outputs = self.query(subquery, &mut None),
        }
        self.derived(outputs, alias)
    }

    fn derived(&mut self, outputs: Vec<Output<'a>>, alias: Option<&'a TableAlias>) -> Relation<'a> {
        let (name, columns) = alias.map(|alias| self.alias(alias)).unwrap_or_default();
        Relation::of_columns(name, self.renamed(outputs, &columns))
    }

    fn table(&mut self, name: &'a ObjectName, alias: Option<&'a TableAlias>) -> Relation<'a> {
        let Some(parts) = self.plain_parts(name) else { return Relation::unknown(Name::default()) };
        let mut relation = self.cte_named(&parts).unwrap_or_else(|| self.base_table(&parts, alias));
        let Some(alias) = alias else { return relation };
        let (name, columns) = self.alias(alias);
        // SQL Server reads `t (tablockx)` as an order to lock.
        if !columns.is_empty() && (!relation.hidden.is_empty() || self.dialect.apply) {
            self.not_allowed("A list of column names for this table");
        }
        relation.columns = if relation.unknown { Vec::new() } else { self.renamed(relation.columns, &columns) };
        relation.name = name;
        relation.schema = None;
        relation
    }

    fn cte_named(&mut self, parts: &[&'a Ident]) -> Option<Relation<'a>> {
        let [ident] = parts else { return None };
        let name = self.dialect.fold(ident);
        let cte = self.ctes.iter().rev().find(|cte| cte.name == name).cloned();
        if cte.is_none() && self.later_ctes.contains(&name) {
            self.name(ident);
            self.refuse(ViolationCode::NotAllowed, format!("WITH declares `{name}` only further on; move it up."));
            return Some(Relation::unknown(name));
        }
        let cte = cte?;
        self.declared(ident);
        // Whether names that differ in case are one name is a matter of the server: a table could be meant instead.
        if self.dialect.spells_tables && ident.value != cte.spelled {
            let detail = format!("WITH declares `{}`; write its name in the same case.", cte.spelled);
            self.refuse(ViolationCode::NotAllowed, detail);
        }
        Some(Relation::of_columns(cte.name, cte.columns))
    }

    fn base_table(&mut self, parts: &[&'a Ident], alias: Option<&'a TableAlias>) -> Relation<'a> {
        let folded: Vec<Name<'a>> = parts.iter().map(|part| self.dialect.fold(part)).collect();
        let last = folded.last().cloned().unwrap_or_default();
        if parts.iter().any(|part| part.quote_style == Some('\'')) {
            self.refuse(ViolationCode::NotAllowed, format!("Table names take double quotes, not '{last}'."));
            return Relation::unknown(last);
        }
        parts.iter().for_each(|part| self.name(part));
        let index = match folded.as_slice() {
            [name] if self.is_dual(parts[0]) => return Relation::of_columns(name.clone(), Vec::new()),
            [name] if !self.dialect.is_reserved(parts[0]) && !self.dialect.is_system_table(name) => {
                self.search(name, &parts[0].value)
            }
            [schema, name] if !self.is_system_schema(schema) && !self.dialect.is_system_table(name) => {
                self.find_table(schema, name, &parts[1].value)
            }
            _ => None,
        };
        match index {
            Some(index) => {
                self.read_table(index);
                let relation = Relation::of_table(self.schema, index, self.dialect.folds_quoted);
                if self.schema.tables[index].row_filter.is_some() {
                    self.filter_rows(parts, index, alias);
                    return Relation { filtered: true, ..relation };
                }
                self.spell(parts, index);
                relation
            }
            None => {
                self.unknown_table(parts, &folded);
                Relation::unknown(last)
            }
        }
    }

    /// Spells a table as the catalog does, with its schema where a name alone could come to mean another table.
    fn spell(&mut self, parts: &[&'a Ident], index: usize) {
        let table = &self.schema.tables[index];
        let Some(name) = parts.last() else { return };
        let misspelled = self.dialect.spells_tables && name.value != table.name;
        let bare = parts.len() == 1 && self.dialect.qualifies_tables;
        let Some(range) = self.words.range(name.span).filter(|_| misspelled || bare) else { return };
        let glued = if self.words.is_glued(name.span) { " " } else { "" };
        let schema = if bare { format!("{glued}{}.", self.schema_name(&table.schema)) } else { String::new() };
        let rewrite = match misspelled {
            true => Rewrite::new(range, format!("{schema}{}", self.dialect.quoted(&table.name))),
            false => Rewrite { only_qualifies: true, ..Rewrite::new(range.start..range.start, schema) },
        };
        self.rewrites.push(rewrite);
    }

    /// Quoted only where it must be.
    fn schema_name(&self, schema: &str) -> String {
        let plain = schema.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !self.dialect.is_reserved(&Ident::new(schema));
        if plain { schema.to_owned() } else { self.dialect.quoted(schema) }
    }

    /// Puts the filtered table in the place of a table's name.
    fn filter_rows(&mut self, parts: &[&'a Ident], index: usize, alias: Option<&'a TableAlias>) {
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return };
        let ends = self.words.range(first.span).zip(self.words.range(last.span));
        match (self.row_filter(index), ends) {
            (Ok(filtered), Some((first, last))) => {
                let name = self.dialect.quoted(&self.schema.tables[index].name);
                let alias = if alias.is_none() { format!(" as {name}") } else { String::new() };
                self.rewrites.push(Rewrite::new(first.start..last.end, format!("{}{alias}", filtered.text)));
            }
            (Err(violations), _) => violations.into_iter().for_each(|it| self.refuse(it.code, it.detail)),
            (Ok(_), None) => self.not_allowed("A table name here"),
        }
    }

    fn row_filter(&self, index: usize) -> Result<Canonical, Vec<Violation>> {
        let table = &self.schema.tables[index];
        let filter = table.row_filter.as_deref().unwrap_or_default();
        row_filter::filtered(self.schema.engine, table, filter, self.policy)
    }

    /// The table that a derived table stands for, if its text is exactly what [`Self::filter_rows`] writes.
    fn filtered_table(&mut self, subquery: &'a Query, alias: Option<&'a TableAlias>) -> Option<Relation<'a>> {
        let SetExpr::Select(select) = &*subquery.body else { return None };
        let [TableWithJoins { relation: TableFactor::Table { name: ObjectName(parts), .. }, joins: _ }] =
            select.from.as_slice()
        else {
            return None;
        };
        let [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)] = parts.as_slice() else {
            return None;
        };
        let is = |table: &Table| table.schema == schema.value && table.name == name.value && table.row_filter.is_some();
        let index = self.schema.tables.iter().position(|table| is(table) && !table.hidden)?;
        let filtered = self.row_filter(index).ok()?;
        let (start, text) = self.words.text_from_before(select.select_token.0.span)?;
        if !text.starts_with(&filtered.text) {
            return None;
        }
        self.words.name_all(start..start + filtered.text.len());
        self.read_table(index);
        let (name, columns) = self.alias(alias?);
        let mut relation = Relation::of_table(self.schema, index, self.dialect.folds_quoted);
        relation.columns = self.renamed(relation.columns, &columns);
        self.absent(columns.is_empty() || relation.hidden.is_empty(), "A list of column names for this table");
        Some(Relation { name, schema: None, ..relation })
    }

    fn is_dual(&self, ident: &Ident) -> bool {
        self.schema.engine == Engine::Mysql && ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("dual")
    }

    fn index_hints(&mut self, hints: &'a [TableIndexHints]) {
        for TableIndexHints { hint_type: _, index_type: _, for_clause: _, index_names } in hints {
            index_names.iter().for_each(|name| self.name(name));
        }
    }

    /// The table that an unqualified name means, hidden or not; hidden ones do not exist.
    fn search(&self, name: &str, spelled: &str) -> Option<usize> {
        self.schema.search_path.iter().find_map(|schema| self.tables_named(schema, name, spelled)).flatten()
    }

    fn find_table(&self, schema: &str, name: &str, spelled: &str) -> Option<usize> {
        self.tables_named(schema, name, spelled).flatten()
    }

    /// The one table that a name means, if it is not hidden; nothing if there is no such name in the schema. Of several
    /// that differ in case, the one that is spelled so.
    fn tables_named(&self, schema: &str, name: &str, spelled: &str) -> Option<Option<usize>> {
        let named = |(_, table): &(usize, &Table)| {
            self.dialect.same(&table.name, name) && self.dialect.same(&table.schema, schema)
        };
        let found: Vec<(usize, &Table)> = self.schema.tables.iter().enumerate().filter(named).collect();
        let (index, table) = match found.as_slice() {
            [] => return None,
            [one] => *one,
            several => match several.iter().find(|(_, table)| table.name == spelled) {
                Some(exact) => *exact,
                None => return Some(None),
            },
        };
        Some((!table.hidden).then_some(index))
    }

    fn is_system_schema(&self, folded: &str) -> bool {
        self.dialect.system_schemas.contains(folded)
            || (self.dialect.is_system_table(folded) && folded.starts_with("pg_"))
    }

    fn unknown_table(&mut self, parts: &[&'a Ident], folded: &[Name<'a>]) {
        if self.is_full() {
            return;
        }
        let name = spelled(parts);
        let last = folded.last().map(AsRef::as_ref).unwrap_or_default();
        if self.dialect.is_system_table(last)
            || folded[..folded.len() - 1].iter().any(|part| self.is_system_schema(part))
        {
            let detail = format!("`{name}` belongs to the engine's own catalog, which cannot be queried.");
            return self.refuse(ViolationCode::SystemCatalog, detail);
        }
        let elsewhere = self.schema.visible_tables().find(|table| self.dialect.same(&table.name, last));
        let hint = match elsewhere {
            Some(table) => format!(" Did you mean `{}.{}`?", table.schema, table.name),
            None => did_you_mean(last, self.schema.visible_tables().map(|table| table.name.as_str())),
        };
        self.refuse(ViolationCode::UnknownTable, format!("There is no table `{name}`.{hint}"));
    }

    fn table_function(
        &mut self,
        name: &'a ObjectName,
        args: &'a [FunctionArg],
        with_ordinality: bool,
        alias: Option<&'a TableAlias>,
        scope: &mut Scope<'a>,
        deferred: &mut Deferred<'a>,
    ) -> Relation<'a> {
        let Some(parts) = self.plain_parts(name) else { return Relation::unknown(Name::default()) };
        let function = self.function_name(&parts);
        let dialect = self.dialect;
        let known = function.as_deref().and_then(|function| dialect.table_functions.get_key_value(function));
        let Some((&function, &columns)) = known else {
            self.unknown_table_function(&parts);
            return Relation::unknown(Name::default());
        };
        self.series_bounds(function, args);
        let expressions: Option<Vec<&'a Expr>> = args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect();
        match expressions {
            None => self.not_allowed("An argument of this form in FROM"),
            Some(expressions) if dialect.join_scopes => self.within(scope, 0, |walker| walker.expressions(expressions)),
            Some(expressions) => deferred.extend(expressions),
        }
        self.function_relation(function, 1, columns, with_ordinality, alias)
    }

    fn unknown_table_function(&mut self, parts: &[&'a Ident]) {
        if self.is_full() {
            return;
        }
        let name = spelled(parts);
        let hint = did_you_mean(&name, self.dialect.table_functions.keys().copied());
        self.refuse(ViolationCode::FunctionNotAllowed, format!("The function `{name}` is not allowed in FROM.{hint}"));
    }

    /// What a function in FROM looks like: a single column takes the alias's name, records name their own.
    fn function_relation(
        &mut self,
        function: &'static str,
        width: usize,
        columns: &'static [&'static str],
        with_ordinality: bool,
        alias: Option<&'a TableAlias>,
    ) -> Relation<'a> {
        let (name, names) = alias.map_or_else(|| (function.into(), Vec::new()), |alias| self.alias(alias));
        let own = if width == 1 && columns.is_empty() { name.clone() } else { function.into() };
        let mut outputs: Vec<Output<'a>> = columns.iter().map(|&column| Output::named(column)).collect();
        if columns.is_empty() {
            let width = if function.contains("_to_record") { names.len() } else { width };
            outputs.extend((0..width).map(|_| Output::named(own.clone())));
        }
        if with_ordinality {
            outputs.push(Output::named("ordinality"));
        }
        let scalar = outputs.len() == 1;
        Relation { scalar, ..Relation::of_columns(name, self.renamed(outputs, &names)) }
    }

    fn sample(&mut self, sample: Option<&'a TableSampleKind>) {
        let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample else {
            return;
        };
        let TableSample { modifier, name, quantity, seed, bucket, offset } = sample.as_ref();
        self.absent(matches!(modifier, TableSampleModifier::TableSample), "SAMPLE");
        let known = matches!(name, Some(TableSampleMethod::Bernoulli | TableSampleMethod::System));
        self.absent(known && bucket.is_none() && offset.is_none(), "TABLESAMPLE of this form");
        if let Some(TableSampleQuantity { parenthesized: _, value, unit }) = quantity {
            self.absent(unit.is_none(), "A unit in TABLESAMPLE");
            self.expressions([value]);
        }
        if let Some(TableSampleSeed { modifier: _, value }) = seed {
            self.value(value);
        }
    }
}
