//! The walk over a query's tree: every clause is taken apart field by field, so that a clause which a new parser version
//! adds does not compile until somebody has decided about it, and whatever is not expected is refused.
//!
//! This file has queries, set operations, SELECT and WITH, and the names in scope; [`super::from`] has the FROM clause,
//! [`super::expressions`] and [`super::functions`] what can stand in expressions.

use std::collections::BTreeSet;
use std::ops::Range;

use sqlparser::ast::*;
use sqlparser::tokenizer::Span;

use super::Policy;
use super::dialect::{Dialect, contains};
use super::lexical::Canonical;
use super::scope::{Cte, Name, Output, Relation, Scope, Source};
use super::violation::{Violation, ViolationCode, did_you_mean};
use super::words::Words;
use crate::text_to_sql::schema::Schema;

/// What a walk has found out: a statement is good if there is no violation and nothing to rewrite.
pub struct Findings {
    pub violations: Vec<Violation>,
    pub rewrites: Vec<Rewrite>,
    /// Places in [`Schema::tables`].
    pub tables: BTreeSet<usize>,
    /// Places in [`Schema::tables`] with column names.
    pub columns: BTreeSet<(usize, String)>,
}

/// Bytes of the canonical text to replace before it is checked again.
pub struct Rewrite {
    pub range: Range<usize>,
    pub with: String,
    /// Puts the schema of a table before its name, and changes nothing else.
    pub only_qualifies: bool,
}

impl Rewrite {
    pub fn new(range: Range<usize>, with: String) -> Self {
        Self { range, with, only_qualifies: false }
    }
}

/// More would not help anybody to repair the statement.
const MAX_VIOLATIONS: usize = 20;
/// PostgreSQL gives at most 1,664, SQL Server and MySQL 4,096.
const MAX_OUTPUTS: usize = 4_096;
/// Of all SELECTs and joins of a statement.
const MAX_ALL_OUTPUTS: usize = 100_000;

pub fn walk(query: &Query, canonical: &Canonical, schema: &Schema, policy: &Policy) -> Findings {
    let mut walker = Walker {
        dialect: Dialect::of(schema.engine),
        schema,
        policy,
        words: Words::new(canonical),
        scopes: Vec::new(),
        ctes: Vec::new(),
        open_ctes: Vec::new(),
        later_ctes: Vec::new(),
        sized_calls: 0,
        unread_star: false,
        outputs: 0,
        violations: Vec::new(),
        rewrites: Vec::new(),
        tables: BTreeSet::new(),
        columns: BTreeSet::new(),
    };
    walker.query(query, &mut None);
    walker.finish()
}

pub(super) struct Walker<'a> {
    pub(super) dialect: &'static Dialect,
    pub(super) schema: &'a Schema,
    pub(super) policy: &'a Policy,
    pub(super) words: Words<'a>,
    /// Innermost last.
    pub(super) scopes: Vec<Scope<'a>>,
    /// Innermost last.
    pub(super) ctes: Vec<Cte<'a>>,
    /// Names of the WITH queries that this place is inside of.
    pub(super) open_ctes: Vec<Name<'a>>,
    /// Names that a WITH around this place declares further on.
    pub(super) later_ctes: Vec<Name<'a>>,
    /// Calls around this place whose result is as long as an argument says.
    pub(super) sized_calls: usize,
    /// The next SELECT is only asked whether it has rows.
    pub(super) unread_star: bool,
    /// Columns that stars have given so far.
    outputs: usize,
    violations: Vec<Violation>,
    pub(super) rewrites: Vec<Rewrite>,
    tables: BTreeSet<usize>,
    columns: BTreeSet<(usize, String)>,
}

/// A WITH query that may refer to itself: it can be named once its first SELECT has given it columns.
pub(super) struct Recursive<'a> {
    name: Name<'a>,
    spelled: &'a str,
    columns: Vec<Name<'a>>,
}

impl<'a> Walker<'a> {
    fn finish(mut self) -> Findings {
        let mut violations = std::mem::take(&mut self.violations);
        for violation in self.words.unaccounted(self.dialect) {
            // What was refused above is often also left over; saying it twice helps nobody.
            if violations.is_empty() || violation.code == ViolationCode::Writes {
                violations.push(violation);
            }
        }
        violations.truncate(MAX_VIOLATIONS);
        violations.dedup();
        Findings { violations, rewrites: self.rewrites, tables: self.tables, columns: self.columns }
    }

    /// Nothing more will be told, so no hint is worth its time.
    pub(super) fn is_full(&self) -> bool {
        self.violations.len() >= MAX_VIOLATIONS
    }

    /// Stars over stars multiply: each SELECT, and all together, give a bounded number of columns.
    pub(super) fn few_outputs(&mut self, outputs: &mut Vec<Output<'a>>) {
        self.outputs += outputs.len();
        if outputs.len() > MAX_OUTPUTS || self.outputs > MAX_ALL_OUTPUTS {
            outputs.clear();
            self.refuse(
                ViolationCode::TooComplex,
                "The statement selects too many columns; name those that are needed.",
            );
        }
    }

    pub(super) fn refuse(&mut self, code: ViolationCode, detail: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation::new(code, detail));
        }
    }

    pub(super) fn not_allowed(&mut self, what: &str) {
        self.refuse(ViolationCode::NotAllowed, format!("{what} is not allowed."));
    }

    /// Refuses a clause if it is there.
    pub(super) fn absent(&mut self, absent: bool, what: &str) {
        if !absent {
            self.not_allowed(what);
        }
    }

    /// A query, and what it gives.
    pub(super) fn query(&mut self, query: &'a Query, recursive: &mut Option<Recursive<'a>>) -> Vec<Output<'a>> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if !locks.is_empty() {
            self.refuse(ViolationCode::Locks, "FOR UPDATE and FOR SHARE are not allowed: statements may only read.");
        }
        self.for_clause(for_clause.as_ref());
        self.absent(format_clause.is_none(), "FORMAT after a query");
        self.absent(settings.is_none() && pipe_operators.is_empty(), "SETTINGS or a pipe");
        let outer = (self.ctes.len(), self.later_ctes.len());
        if let Some(with) = with {
            self.with(with);
        }
        let (outputs, scope) = self.set_expr(body, recursive);
        self.order_by(order_by.as_ref(), &outputs, scope);
        self.limit(limit_clause.as_ref(), fetch.as_ref());
        self.ctes.truncate(outer.0);
        self.later_ctes.truncate(outer.1);
        outputs
    }

    /// SQL Server's `FOR JSON` and `FOR XML` shape the result; an XML schema or browse mode would say more than that.
    fn for_clause(&mut self, clause: Option<&ForClause>) {
        match clause {
            None | Some(ForClause::Json { for_json: _, root: _, include_null_values: _, without_array_wrapper: _ }) => {
            }
            Some(ForClause::Xml { for_xml, elements: _, binary_base64: _, root: _, r#type: _ }) => {
                self.absent(!matches!(for_xml, ForXml::Explicit), "FOR XML EXPLICIT");
            }
            Some(ForClause::Browse) => self.not_allowed("FOR BROWSE"),
        }
    }

    fn with(&mut self, with: &'a With) {
        let With { with_token: _, recursive, cte_tables } = with;
        let sees_all = *recursive || self.dialect.ctes_see_all;
        let names: Vec<Name<'a>> = cte_tables.iter().map(|cte| self.dialect.fold(&cte.alias.name)).collect();
        for (place, cte) in cte_tables.iter().enumerate() {
            self.unused_cte_name(&names[place]);
            let outer = self.later_ctes.len();
            if sees_all {
                self.later_ctes.extend_from_slice(&names[place + 1..]);
            }
            self.cte(cte, names[place].clone(), sees_all);
            self.later_ctes.truncate(outer);
        }
    }

    /// Which of two WITH queries of one name is meant depends on the engine, so there may not be two in sight.
    fn unused_cte_name(&mut self, name: &Name<'a>) {
        if self.open_ctes.contains(name) || self.ctes.iter().any(|cte| cte.name == *name) {
            self.refuse(ViolationCode::NotAllowed, format!("WITH declares `{name}` twice; choose another name."));
        }
    }

    fn cte(&mut self, cte: &'a sqlparser::ast::Cte, name: Name<'a>, sees_itself: bool) {
        let sqlparser::ast::Cte { alias, query, from, materialized: _, closing_paren_token: _ } = cte;
        self.absent(from.is_none(), "FROM in WITH");
        let (_, columns) = self.alias(alias);
        let spelled = alias.name.value.as_str();
        let mut itself = sees_itself.then(|| Recursive { name: name.clone(), spelled, columns: columns.clone() });
        self.open_ctes.push(name.clone());
        let outputs = self.query(query, &mut itself);
        self.open_ctes.pop();
        let outputs = self.renamed(outputs, &columns);
        self.ctes.push(Cte { name, spelled, columns: outputs });
    }

    /// A body and what it gives; with its scope if it is a plain SELECT, which ORDER BY can see into.
    fn set_expr(
        &mut self,
        body: &'a SetExpr,
        recursive: &mut Option<Recursive<'a>>,
    ) -> (Vec<Output<'a>>, Option<Scope<'a>>) {
        match body {
            SetExpr::Select(select) => {
                let (outputs, scope) = self.select(select);
                (outputs, Some(scope))
            }
            SetExpr::Query(query) => (self.query(query, recursive), None),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.set_operator(op, set_quantifier);
                let (left, _) = self.set_expr(left, recursive);
                if let Some(itself) = recursive.take() {
                    let columns = self.renamed(without_sources(&left), &itself.columns);
                    self.ctes.push(Cte { name: itself.name, spelled: itself.spelled, columns });
                }
                let (right, _) = self.set_expr(right, &mut None);
                (self.combined(&left, &right), None)
            }
            SetExpr::Values(values) => (self.values(values), None),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                self.refuse(
                    ViolationCode::Writes,
                    "INSERT, UPDATE, DELETE and MERGE are not allowed: statements may only read.",
                );
                (Vec::new(), None)
            }
            SetExpr::Table(_) => {
                self.not_allowed("TABLE as a query (write SELECT * FROM …)");
                (Vec::new(), None)
            }
        }
    }

    fn set_operator(&mut self, op: &SetOperator, quantifier: &SetQuantifier) {
        let known_operator = matches!(op, SetOperator::Union | SetOperator::Except | SetOperator::Intersect);
        let known_quantifier = matches!(quantifier, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None);
        self.absent(known_operator && known_quantifier, "MINUS or BY NAME");
    }

    fn combined(&mut self, left: &[Output<'a>], right: &[Output<'a>]) -> Vec<Output<'a>> {
        if left.len() != right.len() && self.violations.is_empty() {
            let detail = format!("The SELECTs combined here have {} and {} columns.", left.len(), right.len());
            self.refuse(ViolationCode::Syntax, detail);
        }
        without_sources(left)
    }

    fn values(&mut self, values: &'a Values) -> Vec<Output<'a>> {
        let Values { explicit_row: _, value_keyword, rows } = values;
        self.absent(!value_keyword, "VALUE without S");
        for row in rows {
            let Parens { opening_token: _, content, closing_token: _ } = row;
            self.expressions(content);
        }
        let width = rows.first().map_or(0, |row| row.content.len());
        let named = !self.dialect.spells_tables;
        let output = |place| Output { name: named.then(|| format!("column{place}").into()), source: None };
        (1..=width).map(output).collect()
    }

    fn select(&mut self, select: &'a Select) -> (Vec<Output<'a>>, Scope<'a>) {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        if into.is_some() {
            self.refuse(ViolationCode::Writes, "SELECT INTO is not allowed: statements may only read.");
        }
        self.absent(optimizer_hints.is_empty(), "A hint");
        // MySQL's modifiers (SQL_NO_CACHE, STRAIGHT_JOIN, …) say how to read, not what.
        let _ = select_modifiers;
        self.absent(!top_before_distinct, "TOP before DISTINCT");
        self.top(top.as_ref());
        self.absent(exclude.is_none() && value_table_mode.is_none(), "EXCLUDE or AS STRUCT");
        self.absent(
            lateral_views.is_empty() && prewhere.is_none() && connect_by.is_empty(),
            "LATERAL VIEW, PREWHERE or CONNECT BY",
        );
        self.absent(
            cluster_by.is_empty() && distribute_by.is_empty() && sort_by.is_empty(),
            "CLUSTER, DISTRIBUTE or SORT BY",
        );
        self.absent(qualify.is_none(), "QUALIFY");
        self.absent(matches!(flavor, SelectFlavor::Standard), "FROM before SELECT");

        let unread_star = std::mem::take(&mut self.unread_star);
        let scope = self.from(from);
        self.scopes.push(scope);
        let aliases = self.declared_aliases(projection);
        if self.dialect.aliases_everywhere {
            self.scope().aliases.clone_from(&aliases);
        }
        self.expressions(selection);
        self.group_by(group_by, &aliases);
        if self.dialect.aliases_in_having {
            self.scope().aliases = aliases;
        }
        self.expressions(having);
        self.scope().aliases.clear();
        for NamedWindowDefinition(name, window) in named_window {
            self.name(name);
            match window {
                NamedWindowExpr::NamedWindow(other) => self.name(other),
                NamedWindowExpr::WindowSpec(spec) => self.window(spec),
            }
        }
        let outputs = self.projection(projection, unread_star);
        match distinct {
            Some(Distinct::On(keys)) => keys.iter().for_each(|key| self.sort_key(key, &outputs)),
            Some(Distinct::All | Distinct::Distinct) | None => {}
        }
        (outputs, self.scopes.pop().unwrap_or_default())
    }

    fn top(&mut self, top: Option<&'a Top>) {
        let Some(Top { with_ties: _, percent: _, quantity }) = top else { return };
        self.absent(self.dialect.apply, "TOP (use LIMIT)");
        match quantity {
            Some(TopQuantity::Expr(quantity)) => self.expressions([quantity]),
            Some(TopQuantity::Constant(_)) | None => {}
        }
    }

    pub(super) fn scope(&mut self) -> &mut Scope<'a> {
        self.scopes.last_mut().expect("a scope was pushed by the SELECT that is being walked")
    }

    fn declared_aliases(&self, projection: &'a [SelectItem]) -> Vec<Name<'a>> {
        let alias = |item: &'a SelectItem| match item {
            SelectItem::ExprWithAlias { alias, expr: _ } => Some(self.dialect.fold(alias)),
            _ => None,
        };
        projection.iter().filter_map(alias).collect()
    }

    fn projection(&mut self, projection: &'a [SelectItem], unread_star: bool) -> Vec<Output<'a>> {
        let mut outputs = Vec::with_capacity(projection.len());
        for item in projection {
            if outputs.len() > MAX_OUTPUTS {
                break;
            }
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let source = self.expression(expr);
                    outputs.push(Output { name: self.natural_name(expr), source });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let source = self.expression(expr);
                    self.output_alias(alias);
                    outputs.push(Output { name: Some(self.dialect.fold(alias)), source });
                }
                SelectItem::Wildcard(options) if unread_star => self.plain_wildcard(options),
                SelectItem::Wildcard(options) => {
                    self.plain_wildcard(options);
                    outputs.extend(self.star(options.wildcard_token.0.span));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    self.plain_wildcard(options);
                    outputs.extend(self.qualified_star(name, Some(options.wildcard_token.0.span)));
                }
                _ => self.not_allowed("A select item of this form"),
            }
        }
        self.few_outputs(&mut outputs);
        outputs
    }

    fn plain_wildcard(&mut self, options: &WildcardAdditionalOptions) {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        let plain = opt_ilike.is_none() && opt_exclude.is_none() && opt_except.is_none();
        self.absent(plain && opt_replace.is_none() && opt_rename.is_none() && opt_alias.is_none(), "`*` with options");
    }

    /// `*`: reads every column; over a table with hidden columns it is rewritten to name the others.
    fn star(&mut self, at: Span) -> Vec<Output<'a>> {
        let scope = self.scope();
        let (star, merged, nothing) = (scope.star.clone(), !scope.merged.is_empty(), scope.relations.is_empty());
        if nothing {
            self.refuse(ViolationCode::Syntax, "`*` needs a FROM clause.");
        }
        if self.scope().relations.iter().any(|relation| !relation.hidden.is_empty()) {
            let relations = self.scope().relations.clone();
            let names: Vec<String> = relations.iter().flat_map(|relation| self.spelled_columns(relation)).collect();
            match self.words.range(at).filter(|_| !merged && !names.is_empty()) {
                Some(range) => self.rewrites.push(Rewrite::new(range, names.join(", "))),
                None => self.not_allowed("`*` here (name the columns)"),
            }
        }
        self.read_all(&star);
        star
    }

    /// `t.*`; `at` is where the `*` stands, if it stands in a select list and may be rewritten.
    pub(super) fn qualified_star(&mut self, name: &'a ObjectName, at: Option<Span>) -> Vec<Output<'a>> {
        let Some(parts) = self.plain_parts(name) else { return Vec::new() };
        let Some(relation) = self.qualified_relation(&parts).cloned() else {
            self.unknown_qualifier(&parts);
            return Vec::new();
        };
        if self.has_closed_namesake(&relation) {
            self.not_allowed("`*` of a table whose name another one has here (name the columns)");
            return Vec::new();
        }
        if !relation.hidden.is_empty() {
            let first = self.words.range(parts[0].span);
            let last = at.and_then(|span| self.words.range(span));
            match first.zip(last) {
                Some((first, last)) if !relation.columns.is_empty() => {
                    let with = self.spelled_columns(&relation).join(", ");
                    self.rewrites.push(Rewrite::new(first.start..last.end, with));
                }
                _ => self.not_allowed("The whole row of this table (name the columns)"),
            }
        }
        self.read_all(&relation.columns);
        relation.columns
    }

    /// `"t"."a", "t"."b"`, as this engine quotes.
    fn spelled_columns(&self, relation: &Relation<'a>) -> Vec<String> {
        let declared = |column: &Output<'a>| match column.source {
            Some(Source { table, column }) => self.schema.tables[table].columns[column].name.clone(),
            None => column.name.as_deref().unwrap_or_default().to_owned(),
        };
        let name = &relation.name;
        let renamed = |column: &Output<'a>| {
            relation.table.is_none().then(|| column.name.as_deref().unwrap_or_default().to_owned())
        };
        let spell = |column: &Output<'a>| {
            let column = renamed(column).unwrap_or_else(|| declared(column));
            format!("{}.{}", self.dialect.quoted(name), self.dialect.quoted(&column))
        };
        relation.columns.iter().map(spell).collect()
    }

    pub(super) fn read_all(&mut self, columns: &[Output<'a>]) {
        columns.iter().filter_map(|column| column.source).for_each(|source| self.read(source));
    }

    /// The column's values reach the result, or decide about it.
    pub(super) fn read(&mut self, source: Source) {
        let column = &self.schema.tables[source.table].columns[source.column];
        if column.masked {
            let detail =
                format!("The values of `{}` are masked; they can only be counted, with count(…).", column.name);
            self.refuse(ViolationCode::Masked, detail);
        }
        self.count(source);
    }

    /// The column is only asked whether it is null.
    pub(super) fn count(&mut self, source: Source) {
        let column = &self.schema.tables[source.table].columns[source.column];
        self.columns.insert((source.table, column.name.clone()));
    }

    /// The row number is the other name of a key of one whole-number column.
    pub(super) fn read_row_id(&mut self, table: usize, name: &str) {
        let column = match self.schema.tables[table].primary_key.as_slice() {
            [key] => key,
            _ => name,
        };
        self.columns.insert((table, column.to_owned()));
    }

    pub(super) fn read_table(&mut self, index: usize) {
        self.tables.insert(index);
    }

    /// The name that the engine gives to an output without an alias, where it is a column's.
    fn natural_name(&self, expr: &'a Expr) -> Option<Name<'a>> {
        match expr {
            Expr::Identifier(ident) => Some(self.dialect.fold(ident)),
            Expr::CompoundIdentifier(parts) => parts.last().map(|ident| self.dialect.fold(ident)),
            Expr::Nested(inner) => self.natural_name(inner),
            Expr::Collate { expr: inner, collation: _ } if !self.dialect.spells_tables => self.natural_name(inner),
            Expr::Cast { expr: inner, kind: _, data_type: _, format: _ } if self.dialect.names_calls => {
                self.natural_name(inner)
            }
            Expr::Position { expr: _, r#in: _ } if self.dialect.names_calls => Some("position".into()),
            Expr::Exists { subquery: _, negated: false } if self.dialect.names_calls => Some("exists".into()),
            Expr::Extract { field: _, syntax: _, expr: _ } if self.dialect.names_calls => Some("extract".into()),
            Expr::Function(function) if self.dialect.names_calls => match function.name.0.as_slice() {
                [ObjectNamePart::Identifier(name)] => Some(self.dialect.fold(name)),
                _ => None,
            },
            _ => None,
        }
    }

    fn group_by(&mut self, group_by: &'a GroupByExpr, aliases: &[Name<'a>]) {
        match group_by {
            GroupByExpr::Expressions(keys, modifiers) => {
                let known =
                    |it: &GroupByWithModifier| matches!(it, GroupByWithModifier::Rollup | GroupByWithModifier::Cube);
                self.absent(modifiers.iter().all(known), "A modifier of GROUP BY");
                keys.iter().for_each(|key| self.group_key(key, aliases));
            }
            GroupByExpr::All(_) => self.not_allowed("GROUP BY ALL"),
        }
    }

    fn group_key(&mut self, key: &'a Expr, aliases: &[Name<'a>]) {
        match key {
            Expr::Identifier(_) => {
                let before = std::mem::replace(&mut self.scope().aliases, aliases.to_vec());
                self.expressions([key]);
                self.scope().aliases = before;
            }
            Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                sets.iter().flatten().for_each(|key| self.group_key(key, aliases));
            }
            Expr::Tuple(keys) => keys.iter().for_each(|key| self.group_key(key, aliases)),
            other => self.expressions([other]),
        }
    }

    fn order_by(&mut self, order_by: Option<&'a OrderBy>, outputs: &[Output<'a>], scope: Option<Scope<'a>>) {
        let Some(OrderBy { kind, interpolate }) = order_by else { return };
        self.absent(interpolate.is_none(), "INTERPOLATE");
        let OrderByKind::Expressions(keys) = kind else { return self.not_allowed("ORDER BY ALL") };
        let mut scope = scope.unwrap_or_else(|| Scope {
            relations: vec![Relation::of_columns(Name::default(), outputs.to_vec())],
            ..Scope::default()
        });
        if self.dialect.aliases_in_having {
            scope.aliases = outputs.iter().filter_map(|output| output.name.clone()).collect();
        }
        self.scopes.push(scope);
        for key in keys {
            let key = self.plain_order(key);
            self.sort_key(key, outputs);
        }
        self.scopes.pop();
    }

    /// A key of ORDER BY or DISTINCT ON: a bare name is an output first.
    fn sort_key(&mut self, key: &'a Expr, outputs: &[Output<'a>]) {
        match key {
            Expr::Identifier(ident)
                if !self.dialect.is_reserved(ident)
                    && outputs.iter().any(|output| output.is(&self.dialect.fold(ident))) =>
            {
                self.name(ident);
                // Engines disagree about which outputs have a name: an order by a closed column would tell its values.
                if self.is_closed_elsewhere(&self.dialect.fold(ident), None) {
                    self.could_be_closed(ident);
                }
            }
            other => self.expressions([other]),
        }
    }

    /// The expression of an ORDER BY item that has nothing odd beside it.
    pub(super) fn plain_order(&mut self, item: &'a OrderByExpr) -> &'a Expr {
        let OrderByExpr { expr, options: OrderByOptions { sort, nulls_first: _ }, with_fill } = item;
        self.absent(
            !matches!(sort, Some(OrderBySort::Using(_))) && with_fill.is_none(),
            "USING or WITH FILL in ORDER BY",
        );
        expr
    }

    fn limit(&mut self, limit: Option<&'a LimitClause>, fetch: Option<&'a Fetch>) {
        match limit {
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                self.absent(limit_by.is_empty(), "LIMIT BY");
                self.expressions(limit);
                self.expressions(offset.as_ref().map(|Offset { value, rows: _ }| value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => self.expressions([offset, limit]),
            None => {}
        }
        if let Some(Fetch { with_ties: _, percent, quantity }) = fetch {
            self.absent(!percent, "FETCH … PERCENT");
            self.expressions(quantity);
        }
    }

    pub(super) fn window(&mut self, spec: &'a WindowSpec) {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        if let Some(name) = window_name {
            self.name(name);
        }
        self.expressions(partition_by);
        for item in order_by {
            let key = self.plain_order(item);
            self.expressions([key]);
        }
        if let Some(WindowFrame { units: _, start_bound, end_bound }) = window_frame {
            for bound in [Some(start_bound), end_bound.as_ref()].into_iter().flatten() {
                match bound {
                    WindowFrameBound::CurrentRow => {}
                    WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance) => {
                        self.expressions(distance.as_deref());
                    }
                }
            }
        }
    }

    /// Accounts for a word that is a name.
    pub(super) fn name(&mut self, ident: &'a Ident) {
        if !self.words.name(ident) {
            self.refuse(ViolationCode::ParserGap, format!("`{}` has no place in the statement.", ident.value));
        }
    }

    /// A declared name: not a word that the engine would read as something else.
    pub(super) fn declared(&mut self, ident: &'a Ident) -> Name<'a> {
        self.name(ident);
        if self.dialect.is_reserved(ident) || !is_name_quote(ident) {
            self.refuse(ViolationCode::NotAllowed, format!("`{}` cannot be a name unless it is quoted.", ident.value));
        }
        self.dialect.fold(ident)
    }

    /// After AS almost any word is a name; without it, words that begin a clause are not.
    fn output_alias(&mut self, alias: &'a Ident) {
        if let Some('\'' | '"') = alias.quote_style.filter(|quote| *quote == '\'' || self.dialect.double_quoted_text) {
            // In MySQL two texts side by side are one text, and the second is no alias.
            let after_as = self.words.before(alias.span).is_some_and(|word| word.eq_ignore_ascii_case("as"));
            let alias = self.dialect.text_aliases && (after_as || !self.dialect.double_quoted_text);
            return self.absent(alias, "A string as an alias (write AS and a name)");
        }
        self.name(alias);
        let after_as = self.words.before(alias.span).is_some_and(|word| word.eq_ignore_ascii_case("as"));
        let clause = alias.quote_style.is_none() && !after_as && contains(&self.dialect.needs_as, &alias.value);
        let reserved = self.dialect.is_reserved(alias) && (!after_as || !self.dialect.any_word_after_as);
        if clause || reserved {
            let detail = format!("`{}` cannot be an alias here; write AS and quote it.", alias.value);
            self.refuse(ViolationCode::NotAllowed, detail);
        }
    }

    /// A table alias: its name and the new names of its first columns.
    pub(super) fn alias(&mut self, alias: &'a TableAlias) -> (Name<'a>, Vec<Name<'a>>) {
        let TableAlias { explicit: _, name, columns, at } = alias;
        self.absent(at.is_none(), "AT after an alias");
        let folded = self.declared(name);
        self.implicit_alias(name);
        let columns = columns.iter().map(|TableAliasColumnDef { name, data_type }| {
            if let Some(data_type) = data_type {
                self.data_type(data_type);
            }
            self.declared(name)
        });
        (folded, columns.collect())
    }

    /// Where statements need no semicolon between them, a bare word after a table may begin another one.
    fn implicit_alias(&mut self, name: &'a Ident) {
        let starts = name.quote_style.is_none() && contains(&self.dialect.needs_as, &name.value);
        let after_as = self.words.before(name.span).is_some_and(|word| word.eq_ignore_ascii_case("as"));
        if starts && !after_as && !self.dialect.any_word_after_as {
            self.refuse(ViolationCode::NotAllowed, format!("`{}` cannot be an alias without AS.", name.value));
        }
    }

    /// The outputs with their first names replaced.
    pub(super) fn renamed(&mut self, mut outputs: Vec<Output<'a>>, names: &[Name<'a>]) -> Vec<Output<'a>> {
        if names.len() > outputs.len() && self.violations.is_empty() {
            let detail = format!("{} column names are given for {} columns.", names.len(), outputs.len());
            self.refuse(ViolationCode::Syntax, detail);
        }
        for (output, name) in outputs.iter_mut().zip(names) {
            output.name = Some(name.clone());
        }
        outputs
    }

    /// The identifiers of a name that has no call in it.
    pub(super) fn plain_parts(&mut self, name: &'a ObjectName) -> Option<Vec<&'a Ident>> {
        let ObjectName(parts) = name;
        let parts: Option<Vec<&'a Ident>> = parts
            .iter()
            .map(|part| match part {
                ObjectNamePart::Identifier(ident) => Some(ident),
                ObjectNamePart::Function(_) => None,
            })
            .collect();
        if parts.is_none() {
            self.not_allowed("A call inside a name");
        }
        parts.filter(|parts| !parts.is_empty())
    }

    /// The relation that `t` or `schema.t` qualifies with, in the innermost scope that has it.
    pub(super) fn qualified_relation(&mut self, parts: &[&'a Ident]) -> Option<&Relation<'a>> {
        parts.iter().for_each(|part| self.name(part));
        let folded: Vec<Name<'a>> = parts.iter().map(|part| self.dialect.fold(part)).collect();
        let (schema, name) = match folded.as_slice() {
            [name] => (None, name),
            [schema, name] => (Some(schema), name),
            _ => return None,
        };
        let dialect = self.dialect;
        let in_schema = |relation: &&Relation<'a>| match schema {
            Some(schema) => relation.schema.is_some_and(|declared| dialect.same(declared, schema)),
            None => true,
        };
        let found = self.scopes.iter().rev().find_map(|scope| scope.relation(name).filter(in_schema))?;
        if let [schema, table] = parts
            && found.filtered
            && let Some((schema, table)) = self.words.range(schema.span).zip(self.words.range(table.span))
        {
            self.rewrites.push(Rewrite::new(schema.start..table.start, String::new()));
        }
        Some(found)
    }

    pub(super) fn unknown_qualifier(&mut self, parts: &[&'a Ident]) {
        if self.scopes.iter().any(|scope| scope.relations.iter().any(|relation| relation.unknown)) {
            return;
        }
        if self.is_full() {
            return;
        }
        let name = spelled(parts);
        let relations = self.scopes.iter().flat_map(Scope::visible).map(|relation| relation.name.as_ref());
        let hint = did_you_mean(&name, relations);
        self.refuse(ViolationCode::UnknownTable, format!("There is no table or alias `{name}` here.{hint}"));
    }
}

/// Whether the name is bare or quoted as names are, not as strings are.
fn is_name_quote(ident: &Ident) -> bool {
    ident.quote_style != Some('\'')
}

pub(super) fn spelled(parts: &[&Ident]) -> String {
    parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
}

fn without_sources<'a>(outputs: &[Output<'a>]) -> Vec<Output<'a>> {
    outputs.iter().map(|output| Output { name: output.name.clone(), source: None }).collect()
}
