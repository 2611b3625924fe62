//! Expressions: which forms may stand in a query, and what the names in them mean.

use sqlparser::ast::*;

use super::dialect::contains;
use super::scope::{Name, Output, Relation, Scope, Source};
use super::violation::{ViolationCode, did_you_mean};
use super::walk::{Rewrite, Walker, spelled};
use crate::text_to_sql::schema::TableKind;

/// A whole number from here on overflows in arithmetic or is read as a float; nobody asks about such numbers.
const INTEGERS_END: u64 = i64::MAX as u64;
/// Powers beyond it keep a server busy for minutes with arbitrary-precision numbers.
const MAX_EXPONENT: f64 = 1_000.0;

/// What a bare name was found to be.
enum Meaning {
    /// Columns with these sources, if any: several after USING.
    Columns(Vec<Option<Source>>),
    Alias,
    RowId(usize),
    Ambiguous,
    /// Something that the engine might take for a hidden or masked column.
    Risky,
    /// A hidden column, or nothing at all.
    Unknown,
    /// Nothing is known about a table in scope, which was said already.
    Unsure,
}

impl<'a> Walker<'a> {
    pub(super) fn expressions(&mut self, expressions: impl IntoIterator<Item = &'a Expr>) {
        for expression in expressions {
            self.expression(expression);
        }
    }

    /// Walks an expression; gives the column that it is, if it is nothing but a column.
    pub(super) fn expression(&mut self, expr: &'a Expr) -> Option<Source> {
        match expr {
            Expr::Identifier(ident) => return self.bare_name(ident),
            Expr::CompoundIdentifier(parts) => return self.qualified_name(&parts.iter().collect::<Vec<_>>()),
            Expr::Nested(inner) => return self.expression(inner),
            Expr::Value(value) => self.value(value),
            Expr::Function(function) => self.function(function),
            Expr::Subquery(query) => {
                self.query(query, &mut None);
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::AnyOp { left, compare_op, right, is_some: _ } | Expr::AllOp { left, compare_op, right } => {
                self.binary(left, compare_op, right);
            }
            Expr::UnaryOp { op, expr } => {
                self.unary(*op);
                self.expressions([&**expr]);
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.expressions(operand.as_deref());
                for CaseWhen { condition, result } in conditions {
                    self.compared(operand.as_deref(), condition);
                    self.value_or_loose_text(result);
                }
                else_result.iter().for_each(|result| self.value_or_loose_text(result));
            }
            Expr::Exists { subquery, negated: _ } => {
                // Whether there is a row does not depend on what `*` stands for.
                self.unread_star = subquery.with.is_none() && matches!(*subquery.body, SetExpr::Select(_));
                self.query(subquery, &mut None);
                self.unread_star = false;
            }
            Expr::InSubquery { expr, subquery, negated: _ } => {
                self.expressions([&**expr]);
                self.query(subquery, &mut None);
            }
            Expr::InList { expr, list, negated: _ } => {
                self.expressions([&**expr]);
                list.iter().for_each(|item| self.compared(Some(expr), item));
            }
            Expr::Between { expr, negated: _, low, high } => {
                self.expressions([&**expr]);
                self.compared(Some(expr), low);
                self.compared(Some(expr), high);
            }
            Expr::Like { negated: _, any, expr, pattern, escape_char } => {
                self.absent(!any || self.dialect.arrays, "LIKE ANY");
                self.pattern(expr, pattern, escape_char.as_deref());
            }
            Expr::ILike { negated: _, any, expr, pattern, escape_char } => {
                self.absent(!any || self.dialect.arrays, "ILIKE ANY");
                self.pattern(expr, pattern, escape_char.as_deref());
            }
            Expr::RLike { negated: _, expr, pattern, regexp: _ } => self.pattern(expr, pattern, None),
            Expr::SimilarTo { negated: _, expr, pattern, escape_char } => {
                self.pattern(expr, pattern, escape_char.as_deref());
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => self.expressions([&**inner]),
            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => self.expressions([&**inner]),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => self.comparison(left, right),
            Expr::IsJson { expr, kind: _, unique_keys: _, negated: _ }
            | Expr::IsNormalized { expr, form: _, negated: _ } => self.expressions([&**expr]),
            Expr::Tuple(items) => self.expressions(items),
            _ => self.special_form(expr),
        }
        None
    }

    /// Forms with a syntax of their own: casts, literals with types, functions with keywords among their arguments.
    fn special_form(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Cast { kind, expr, data_type, format } => {
                let known = match kind {
                    CastKind::Cast => true,
                    CastKind::DoubleColon => self.dialect.arrays,
                    CastKind::TryCast => self.dialect.apply,
                    CastKind::SafeCast => false,
                };
                self.absent(known && format.is_none(), "A cast of this form");
                self.data_type(data_type);
                self.expressions([&**expr]);
            }
            Expr::Convert { is_try: _, expr, data_type, charset, target_before_value: _, styles } => {
                data_type.iter().for_each(|data_type| self.data_type(data_type));
                charset.iter().for_each(|charset| self.collation(charset));
                self.expressions([&**expr]);
                self.expressions(styles);
            }
            Expr::Prefixed { prefix, value } if contains(&self.dialect.introducers, &prefix.value) => {
                self.name(prefix);
                self.absent(matches!(**value, Expr::Value(_)), "A character set before anything but a text");
                self.expressions([&**value]);
            }
            Expr::MatchAgainst { columns, match_value, opt_search_modifier: _ } => {
                for column in columns {
                    if let Some(parts) = self.plain_parts(column) {
                        self.column_named(&parts);
                    }
                }
                self.value(match_value);
            }
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax }) => {
                self.absent(!uses_odbc_syntax, "ODBC syntax");
                self.data_type(data_type);
                self.value(value);
            }
            Expr::Interval(Interval {
                value,
                leading_field,
                leading_precision: _,
                last_field,
                fractional_seconds_precision: _,
            }) => {
                self.expressions([&**value]);
                [leading_field, last_field].into_iter().flatten().for_each(|field| self.field(field));
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.expressions([&**timestamp, &**time_zone]),
            Expr::Extract { field, syntax: ExtractSyntax::From, expr } => {
                self.field(field);
                self.expressions([&**expr]);
            }
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
                self.absent(
                    matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)),
                    "CEIL or FLOOR TO",
                );
                self.expressions([&**expr]);
            }
            Expr::Position { expr, r#in } => self.expressions([&**expr, &**r#in]),
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.expressions([&**expr]);
                self.expressions(substring_from.as_deref());
                self.expressions(substring_for.as_deref());
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                self.expressions([&**expr]);
                self.expressions(trim_what.as_deref());
                self.expressions(trim_characters.iter().flatten());
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.expressions([&**expr, &**overlay_what, &**overlay_from]);
                self.expressions(overlay_for.as_deref());
            }
            Expr::Collate { expr, collation } => {
                self.expressions([&**expr]);
                self.collation(collation);
            }
            Expr::Array(Array { elem, named: _ }) if self.dialect.arrays => self.expressions(elem),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            _ => self.refuse(
                ViolationCode::NotAllowed,
                format!("`{}` is not a form that is allowed here.", shortened(expr)),
            ),
        }
    }

    fn pattern(&mut self, expr: &'a Expr, pattern: &'a Expr, escape: Option<&'a Expr>) {
        self.comparison(expr, pattern);
        self.expressions(escape);
    }

    /// Two values that are compared: SQLite's `"text"` may stand for one of them.
    fn comparison(&mut self, left: &'a Expr, right: &'a Expr) {
        if self.is_loose_text(left) {
            self.compared(Some(right), left);
        } else {
            self.expressions([left]);
        }
        self.compared(Some(left), right);
    }

    /// A value that is compared with another: if it is a double-quoted string, it is rewritten to a single-quoted one.
    ///
    /// SQLite takes `"x"` for a string when no column is called `x`, and models write it so. What runs must not depend on
    /// that: the rewritten text says what was meant. Where both sides could be such a string, a name was meant.
    fn compared(&mut self, with: Option<&'a Expr>, value: &'a Expr) {
        let against_a_value = with.is_some_and(|with| !self.is_loose_text(with) && !matches!(with, Expr::Value(_)));
        if against_a_value { self.value_or_loose_text(value) } else { self.expressions([value]) }
    }

    fn value_or_loose_text(&mut self, value: &'a Expr) {
        match value {
            Expr::Identifier(ident) if self.is_loose_text(value) => {
                self.name(ident);
                if let Some(range) = self.words.range(ident.span) {
                    self.rewrites.push(Rewrite::new(range, format!("'{}'", ident.value.replace('\'', "''"))));
                }
            }
            _ => self.expressions([value]),
        }
    }

    /// An argument like `"%Y"`, which nobody would take for a column.
    pub(super) fn argument_value(&mut self, value: &'a Expr) {
        let name_like = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ');
        match value {
            Expr::Identifier(ident) if !ident.value.chars().all(name_like) => self.value_or_loose_text(value),
            _ => self.expressions([value]),
        }
    }

    fn is_loose_text(&self, expr: &Expr) -> bool {
        let Expr::Identifier(ident) = expr else { return false };
        self.dialect.double_quoted_strings
            && ident.quote_style == Some('"')
            && !self.hidden_anywhere(&ident.value)
            && matches!(self.meaning(ident), Meaning::Unknown)
    }

    fn hidden_anywhere(&self, name: &str) -> bool {
        let mut relations = self.scopes.iter().flat_map(|scope| &scope.relations);
        relations.any(|relation| relation.hides(name, self.dialect.folds_quoted))
    }

    fn binary(&mut self, left: &'a Expr, op: &'a BinaryOperator, right: &'a Expr) {
        use BinaryOperator as Op;
        if matches!(op, Op::Match) && self.dialect.table_match {
            self.whole_table_match(left);
            return self.expressions([right]);
        }
        let allowed = match op {
            Op::Plus | Op::Minus | Op::Multiply | Op::StringConcat | Op::And | Op::Or => true,
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Glob => {
                return self.comparison(left, right);
            }
            Op::Divide | Op::Modulo => {
                self.not_by_zero(right);
                true
            }
            Op::PGExp => {
                self.exponent(right);
                true
            }
            Op::BitwiseOr | Op::BitwiseAnd | Op::Arrow | Op::LongArrow => true,
            Op::PGBitwiseShiftLeft | Op::PGBitwiseShiftRight | Op::BitwiseXor => true,
            Op::Spaceship => return self.comparison(left, right),
            Op::Xor => true,
            Op::MyIntegerDivide => {
                self.not_by_zero(right);
                true
            }
            Op::PGBitwiseXor
            | Op::PGOverlap
            | Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGRegexNotMatch
            | Op::PGRegexNotIMatch
            | Op::PGLikeMatch
            | Op::PGILikeMatch
            | Op::PGNotLikeMatch
            | Op::PGNotILikeMatch
            | Op::PGStartsWith
            | Op::HashArrow
            | Op::HashLongArrow
            | Op::HashMinus
            | Op::AtAt
            | Op::AtArrow
            | Op::ArrowAt
            | Op::AtQuestion
            | Op::Question
            | Op::QuestionAnd
            | Op::QuestionPipe
            | Op::Overlaps
            | Op::LtDashGt
            | Op::AndLt
            | Op::AndGt => self.dialect.arrays,
            _ => false,
        };
        if !allowed {
            self.refuse(ViolationCode::OperatorNotAllowed, format!("The operator `{op}` is not allowed."));
        }
        self.expressions([left, right]);
    }

    fn unary(&mut self, op: UnaryOperator) {
        use UnaryOperator as Op;
        let allowed = match op {
            Op::Plus | Op::Minus | Op::Not | Op::BitwiseNot => true,
            Op::BangNot => true,
            Op::PGSquareRoot | Op::PGCubeRoot | Op::PGAbs => self.dialect.arrays,
            _ => false,
        };
        if !allowed {
            self.refuse(ViolationCode::OperatorNotAllowed, format!("The operator `{op}` is not allowed."));
        }
    }

    /// Errors on purpose answer questions about data, one bit each.
    fn not_by_zero(&mut self, divisor: &Expr) {
        if literal(divisor) == Some(0.0) {
            self.not_allowed("Division by zero");
        }
    }

    pub(super) fn exponent(&mut self, exponent: &Expr) {
        if literal(exponent).is_some_and(|value| value.abs() > MAX_EXPONENT) {
            self.refuse(ViolationCode::TooComplex, format!("An exponent beyond {MAX_EXPONENT} is not allowed."));
        }
    }

    /// `docs MATCH 'words'`: a full-text table is searched as a whole, through a column of its own name.
    fn whole_table_match(&mut self, left: &'a Expr) {
        let closed = |relation: &Relation<'a>| {
            relation.table.is_some_and(|table| {
                self.schema.tables[table].columns.iter().any(|column| column.hidden || column.masked)
            })
        };
        // The words may name a column of the table themselves: `'secret: x'`.
        if self.scopes.iter().flat_map(|scope| &scope.relations).any(closed) {
            return self.not_allowed("MATCH on a table with columns that may not be read");
        }
        let Expr::Identifier(ident) = left else { return self.expressions([left]) };
        let name = self.dialect.fold(ident);
        let table =
            self.scopes.iter().rev().find_map(|scope| scope.relation(&name).filter(|r| r.table.is_some()).cloned());
        match table {
            Some(table) if matches!(self.meaning(ident), Meaning::Unknown) => {
                self.name(ident);
                self.read_all(&table.columns);
            }
            _ => self.expressions([left]),
        }
    }

    pub(super) fn value(&mut self, value: &'a ValueWithSpan) {
        match &value.value {
            Value::Number(digits, _) => {
                let whole = !digits.contains(['.', 'e', 'E']);
                if whole && digits.parse::<u64>().map_or(true, |number| number >= INTEGERS_END) {
                    let detail = format!("The number {digits} does not fit into 64 bits; write it as a decimal.");
                    self.refuse(ViolationCode::Lexical, detail);
                }
            }
            Value::SingleQuotedString(_)
            | Value::NationalStringLiteral(_)
            | Value::EscapedStringLiteral(_)
            | Value::DollarQuotedString(_)
            | Value::HexStringLiteral(_)
            | Value::SingleQuotedByteStringLiteral(_)
            | Value::Boolean(_)
            | Value::Null => {}
            Value::DoubleQuotedString(_) if self.dialect.double_quoted_text => {}
            Value::Placeholder(amount) if self.dialect.money_numbers && is_amount(amount) => {}
            Value::Placeholder(name) => {
                self.refuse(
                    ViolationCode::Parameter,
                    format!("`{name}` looks like a parameter; write the value itself."),
                );
            }
            _ => self.not_allowed("A literal of this form"),
        }
    }

    fn field(&mut self, field: &'a DateTimeField) {
        use DateTimeField as Field;
        match field {
            Field::Week(Some(_)) => self.not_allowed("WEEK(…)"),
            Field::Custom(ident) => {
                self.name(ident);
                if !ident.value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') {
                    self.not_allowed("A date field of this name");
                }
            }
            _ => {}
        }
    }

    fn collation(&mut self, collation: &'a ObjectName) {
        let Some(parts) = self.plain_parts(collation) else { return };
        parts.iter().for_each(|part| self.name(part));
        let [ident] = parts.as_slice() else { return self.not_allowed("A collation with a schema") };
        if self.dialect.collations.as_ref().is_some_and(|known| !contains(known, &ident.value)) {
            self.refuse(ViolationCode::NotAllowed, format!("`{}` is not a collation of this engine.", ident.value));
        }
    }

    /// Array elements (`tags[1]`, `t.tags[1:2]`). `(x).f` reads a field or calls the function `f(x)`: refused.
    fn access(&mut self, root: &'a Expr, chain: &'a [AccessExpr]) {
        let mut parts: Vec<&'a Ident> = match root {
            Expr::Identifier(ident) => vec![ident],
            Expr::CompoundIdentifier(idents) => idents.iter().collect(),
            _ => Vec::new(),
        };
        let mut links = chain.iter().peekable();
        while let (false, Some(AccessExpr::Dot(Expr::Identifier(ident)))) = (parts.is_empty(), links.peek()) {
            parts.push(ident);
            links.next();
        }
        match parts.as_slice() {
            [] => self.expressions([root]),
            parts => self.column_named(parts),
        }
        for link in links {
            match link {
                AccessExpr::Subscript(Subscript::Index { index }) => self.expressions([index]),
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                    self.expressions(lower_bound);
                    self.expressions(upper_bound);
                }
                AccessExpr::Subscript(Subscript::Slice { .. }) | AccessExpr::Dot(_) => {
                    self.not_allowed("`(…).name` (write the column as table.column)");
                }
            }
        }
        self.absent(self.dialect.arrays, "A subscript");
    }

    fn column_named(&mut self, parts: &[&'a Ident]) {
        match parts {
            [ident] => drop(self.bare_name(ident)),
            parts => drop(self.qualified_name(parts)),
        }
    }

    fn bare_name(&mut self, ident: &'a Ident) -> Option<Source> {
        self.name(ident);
        if self.dialect.is_reserved(ident) {
            let detail = format!("`{}` is a keyword; quote it if a column is called so.", ident.value);
            self.refuse(ViolationCode::NotAllowed, detail);
            return None;
        }
        match self.meaning(ident) {
            Meaning::Columns(sources) => {
                sources.iter().flatten().for_each(|&source| self.read(source));
                return if let [source] = sources.as_slice() { *source } else { None };
            }
            Meaning::RowId(table) => self.read_row_id(table, &ident.value.to_ascii_lowercase()),
            Meaning::Alias | Meaning::Unsure => {}
            Meaning::Ambiguous => self.ambiguous(ident),
            Meaning::Risky => self.could_be_closed(ident),
            Meaning::Unknown => self.unknown_column(ident),
        }
        None
    }

    /// Finds a bare name, from the innermost scope outwards, as the engine would.
    fn meaning(&self, ident: &Ident) -> Meaning {
        let name = self.dialect.fold(ident);
        if self.dialect.system_columns.contains(name.as_ref()) {
            return Meaning::Unknown;
        }
        let places = self.scopes.iter().enumerate().rev();
        let found = places.into_iter().find_map(|(place, scope)| Some((place, self.meaning_in(scope, &name)?)));
        let scalar = || self.scopes.iter().rev().find_map(|scope| scope.relation(&name)).is_some_and(|it| it.scalar);
        match found {
            Some((_, meaning @ (Meaning::Unknown | Meaning::Ambiguous))) => meaning,
            // An output's name may be a column of its own scope to an engine that folds more than we do.
            Some((_, Meaning::Alias)) if self.is_closed_elsewhere(&name, None) => Meaning::Risky,
            Some((place, _)) if self.is_closed_elsewhere(&name, Some(place)) => Meaning::Risky,
            Some((_, meaning)) => meaning,
            None if !scalar() => Meaning::Unknown,
            None if self.is_closed_elsewhere(&name, None) => Meaning::Risky,
            None => Meaning::Alias,
        }
    }

    fn meaning_in(&self, scope: &Scope<'a>, name: &str) -> Option<Meaning> {
        let visible = scope.visible();
        let sources: Vec<Option<Source>> =
            visible.iter().flat_map(|relation| relation.named(name)).map(|column| column.source).collect();
        let hidden = visible.iter().any(|relation| relation.hides(name, self.dialect.folds_quoted));
        let row_id = self.dialect.row_ids.contains(name);
        match sources.len() {
            0 if hidden => Some(Meaning::Unknown),
            // A row has its number whatever the outputs are called.
            0 if row_id && !visible.is_empty() => Some(self.row_id(visible)),
            0 if scope.aliases.iter().any(|alias| alias == name) => Some(Meaning::Alias),
            0 => visible.iter().any(|relation| relation.unknown).then_some(Meaning::Unsure),
            _ if hidden => Some(Meaning::Ambiguous),
            1 => Some(Meaning::Columns(sources)),
            _ if scope.has_merged(name) => Some(Meaning::Columns(sources)),
            _ => Some(Meaning::Ambiguous),
        }
    }

    /// SQLite's row number: of a single table, all of whose columns may be seen, for it may be the key's other name.
    fn row_id(&self, visible: &[Relation<'a>]) -> Meaning {
        match visible {
            [relation] if self.has_open_row_id(relation) => relation.table.map_or(Meaning::Unknown, Meaning::RowId),
            _ => Meaning::Unknown,
        }
    }

    fn has_open_row_id(&self, relation: &Relation<'a>) -> bool {
        relation.table.is_some_and(|table| {
            let table = &self.schema.tables[table];
            table.kind == TableKind::Table && !table.columns.iter().any(|column| column.hidden || column.masked)
        })
    }

    fn qualified_name(&mut self, parts: &[&'a Ident]) -> Option<Source> {
        let (&column, qualifier) = parts.split_last()?;
        self.name(column);
        let name: Name<'a> = self.dialect.fold(column);
        let Some(relation) = self.qualified_relation(qualifier) else {
            self.unknown_qualifier(qualifier);
            return None;
        };
        let relation = relation.clone();
        if self.hides_or_shadows(qualifier, &relation, &name) {
            self.could_be_closed(column);
            return None;
        }
        let sources: Vec<Option<Source>> = relation.named(&name).map(|column| column.source).collect();
        let row_id = self.dialect.row_ids.contains(name.as_ref()) && self.has_open_row_id(&relation);
        match (sources.as_slice(), relation.table) {
            ([source], _) => {
                if let Some(source) = source {
                    self.read(*source);
                }
                *source
            }
            ([], Some(table)) if row_id => {
                self.read_row_id(table, &name);
                None
            }
            ([], _) if relation.unknown => None,
            ([], _) => {
                self.unknown_column_of(&relation, &spelled(qualifier), column);
                None
            }
            _ => {
                self.ambiguous(column);
                None
            }
        }
    }

    /// Whether the engine might find a closed column for `qualifier.name`: in this relation under another case, or in
    /// another relation of the qualifier's name.
    fn hides_or_shadows(&self, qualifier: &[&'a Ident], relation: &Relation<'a>, name: &str) -> bool {
        let found = self.scopes.iter().flat_map(|scope| &scope.relations).rev().find(|other| {
            other.name == relation.name && other.table == relation.table && other.schema == relation.schema
        });
        let last = qualifier.last().map(|ident| ident.value.as_str()).unwrap_or_default();
        let named = relation.named(name).next().is_some();
        let shadowed = || found.is_some_and(|found| self.is_closed_in_namesake(last, name, found));
        named && (relation.hides(name, self.dialect.folds_quoted) || shadowed())
    }

    /// A table's name where a value is expected, which PostgreSQL takes for the whole row.
    pub(super) fn whole_row(&mut self, ident: &'a Ident) -> bool {
        let name = self.dialect.fold(ident);
        if !matches!(self.meaning(ident), Meaning::Unknown) || self.hidden_anywhere(&name) {
            return false;
        }
        let relation = self.scopes.iter().rev().find_map(|scope| scope.relation(&name)).cloned();
        let Some(relation) = relation else { return false };
        self.name(ident);
        self.absent(relation.hidden.is_empty(), "The whole row of this table (name the columns)");
        self.read_all(&relation.columns);
        true
    }

    /// The column that a name means, read or not; for `count(column)`.
    pub(super) fn counted_column(&mut self, expr: &'a Expr) -> bool {
        let Expr::Identifier(ident) = expr else { return self.counted_qualified(expr) };
        match self.meaning(ident) {
            Meaning::Columns(sources) if !self.dialect.is_reserved(ident) => {
                self.name(ident);
                sources.into_iter().flatten().for_each(|source| self.count(source));
                true
            }
            _ => false,
        }
    }

    fn counted_qualified(&mut self, expr: &'a Expr) -> bool {
        let Expr::CompoundIdentifier(parts) = expr else { return false };
        let parts: Vec<&'a Ident> = parts.iter().collect();
        let Some((&column, qualifier)) = parts.split_last() else { return false };
        let name = self.dialect.fold(column);
        let Some(relation) = self.qualified_relation(qualifier).cloned() else { return false };
        if self.hides_or_shadows(qualifier, &relation, &name) {
            return false;
        }
        let mut columns = relation.named(&name).map(|column| column.source);
        match (columns.next(), columns.next()) {
            (Some(Some(source)), None) => {
                self.name(column);
                self.count(source);
                true
            }
            _ => false,
        }
    }

    fn ambiguous(&mut self, ident: &Ident) {
        let name = self.dialect.fold(ident);
        let visible = self.scopes.iter().rev().flat_map(Scope::visible);
        let owner = visible.filter(|relation| relation.named(&name).next().is_some()).map(|relation| &relation.name);
        let hint = owner
            .take(1)
            .filter(|owner| !owner.is_empty())
            .map(|owner| format!(" Write `{owner}.{name}` or another table's."));
        let detail = format!("The column `{}` is ambiguous.{}", ident.value, hint.collect::<String>());
        self.refuse(ViolationCode::AmbiguousColumn, detail);
    }

    fn unknown_column(&mut self, ident: &Ident) {
        if self.is_full() {
            return;
        }
        let name = self.dialect.fold(ident);
        let columns = self.scopes.iter().rev().flat_map(Scope::visible).flat_map(|relation| &relation.columns);
        let names: Vec<&str> = columns.filter_map(|column| column.name.as_deref()).collect();
        let mut hint = did_you_mean(&name, names);
        if hint.is_empty() && self.dialect.double_quoted_strings && ident.quote_style == Some('"') {
            hint = format!(" If a text is meant, write '{}'.", ident.value.replace('\'', "''"));
        }
        if self.scopes.iter().any(|scope| scope.relation(&name).is_some()) {
            hint = format!(" `{name}` is a table: name one of its columns.");
        }
        self.refuse(ViolationCode::UnknownColumn, format!("There is no column `{}` here.{hint}", ident.value));
    }

    fn unknown_column_of(&mut self, relation: &Relation<'a>, qualifier: &str, column: &Ident) {
        if self.is_full() {
            return;
        }
        let names = relation.columns.iter().filter_map(|column: &Output<'a>| column.name.as_deref());
        let hint = did_you_mean(&column.value, names);
        let detail = format!("`{qualifier}` has no column `{}`.{hint}", column.value);
        self.refuse(ViolationCode::UnknownColumn, detail);
    }
}

/// `$12.50`
fn is_amount(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// The value of a literal number, behind any parentheses and signs.
pub(super) fn literal(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), span: _ }) => digits.parse().ok(),
        Expr::Nested(inner) | Expr::Cast { expr: inner, kind: _, data_type: _, format: _ } => literal(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => literal(expr).map(|value| -value),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => literal(expr),
        _ => None,
    }
}

/// An expression's first words, for a message.
fn shortened(expr: &Expr) -> String {
    let text: String = expr.to_string().chars().take(40).collect();
    text.replace(['\n', '\r'], " ")
}
