//! Function calls: only functions of the dialect's lists or those an admin approved, called in the usual ways.

use sqlparser::ast::*;

use super::dialect::contains;
use super::expressions::literal;
use super::violation::{ViolationCode, did_you_mean};
use super::walk::{Walker, spelled};

/// Longer padding is not for reading; `repeat('x', 1000000000)` is a gigabyte on the server.
const MAX_LENGTH: f64 = 10_000.0;
/// More rows out of nothing are not for reading either; hourly buckets of a century fit.
const MAX_SERIES: f64 = 1_000_000.0;
/// Widths in `format('%20s', …)`, in digits.
const MAX_WIDTH_DIGITS: usize = 3;

impl<'a> Walker<'a> {
    pub(super) fn function(&mut self, function: &'a Function) {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment: _, over } =
            function;
        self.absent(!uses_odbc_syntax && matches!(parameters, FunctionArguments::None), "A call of this form");
        let Some(parts) = self.plain_parts(name) else { return };
        let Some(function) = self.function_name(&parts) else { return self.unknown_function(&parts) };
        self.arguments(&function, args);
        for item in within_group {
            let key = self.plain_order(item);
            self.expressions([key]);
        }
        self.expressions(filter.as_deref());
        match over {
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
            Some(WindowType::NamedWindow(name)) => self.name(name),
            None => {}
        }
    }

    /// The function's name if it may be called. Quoted names are not accepted: nobody quotes a function in good faith.
    pub(super) fn function_name(&mut self, parts: &[&'a Ident]) -> Option<String> {
        parts.iter().for_each(|part| self.name(part));
        if parts.iter().any(|part| part.quote_style.is_some()) {
            return None;
        }
        let full = spelled(parts).to_ascii_lowercase();
        if self.policy.approved_functions.contains(&full) {
            return Some(full);
        }
        let name = self.dialect.builtin_schema.and_then(|schema| full.strip_prefix(schema)).unwrap_or(&full);
        let known = self.dialect.functions.contains(name)
            || self.dialect.constants.contains(name)
            || self.dialect.table_functions.contains_key(name);
        known.then(|| name.to_owned())
    }

    fn unknown_function(&mut self, parts: &[&'a Ident]) {
        if self.is_full() {
            return;
        }
        let name = spelled(parts);
        let hint = did_you_mean(&name, self.dialect.functions.iter().copied());
        self.refuse(ViolationCode::FunctionNotAllowed, format!("The function `{name}` is not allowed.{hint}"));
    }

    fn arguments(&mut self, function: &str, args: &'a FunctionArguments) {
        match args {
            FunctionArguments::None => {
                self.absent(self.dialect.constants.contains(function), "A call without parentheses")
            }
            FunctionArguments::Subquery(query) => {
                self.absent(function == "array", "A query as the only argument");
                self.query(query, &mut None);
            }
            FunctionArguments::List(FunctionArgumentList { duplicate_treatment: _, args, clauses }) => {
                self.argument_limits(function, args);
                let grows = matches!(function, "replace" | "regexp_replace" | "translate" | "stuff" | "insert");
                let sized = usize::from(grows || self.dialect.sized_functions.contains_key(function));
                self.sized_calls += sized;
                for (place, arg) in args.iter().enumerate() {
                    if !self.is_date_part(function, place, arg) {
                        self.argument(function, arg);
                    }
                }
                self.sized_calls -= sized;
                clauses.iter().for_each(|clause| self.clause(clause));
            }
        }
    }

    /// `dateadd(month, 1, day)`: a part of a date stands there as a bare word, whatever columns there are.
    fn is_date_part(&mut self, function: &str, place: usize, arg: &'a FunctionArg) -> bool {
        if self.dialect.part_functions.get(function) != Some(&place) {
            return false;
        }
        let Some(Expr::Identifier(ident)) = plain(arg) else {
            self.not_allowed("A date part that is not a plain word");
            return true;
        };
        self.name(ident);
        let word = ident.quote_style.is_none() && ident.value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        self.absent(word && contains(&self.dialect.date_parts, &ident.value), "A date part of this name");
        true
    }

    fn argument(&mut self, function: &str, arg: &'a FunctionArg) {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                let counted = matches!(function, "count" | "count_big") && self.counted_column(expr);
                let row = matches!(expr, Expr::Identifier(ident) if !counted && self.takes_row(function, ident));
                if !counted && !row {
                    self.argument_value(expr);
                }
            }
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if matches!(function, "count" | "count_big") => {}
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name))
                if self.dialect.row_functions.contains(function) =>
            {
                self.qualified_star(name, None);
            }
            FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(expr), operator } if self.dialect.arrays => {
                match (operator, name) {
                    (FunctionArgOperator::RightArrow, Expr::Identifier(name)) => self.name(name),
                    (FunctionArgOperator::Colon | FunctionArgOperator::Value, name) => self.expressions([name]),
                    _ => self.not_allowed("An argument of this form"),
                }
                self.expressions([expr]);
            }
            _ => self.not_allowed("An argument of this form"),
        }
    }

    fn takes_row(&mut self, function: &str, ident: &'a Ident) -> bool {
        self.dialect.row_functions.contains(function) && !self.dialect.is_reserved(ident) && self.whole_row(ident)
    }

    fn clause(&mut self, clause: &'a FunctionArgumentClause) {
        match clause {
            FunctionArgumentClause::OrderBy(items) => {
                for item in items {
                    let key = self.plain_order(item);
                    self.expressions([key]);
                }
            }
            FunctionArgumentClause::IgnoreOrRespectNulls(_) | FunctionArgumentClause::JsonNullClause(_) => {}
            FunctionArgumentClause::Separator(value) => self.value(value),
            FunctionArgumentClause::Limit(limit) => self.expressions([limit]),
            FunctionArgumentClause::JsonReturningClause(JsonReturningClause { data_type }) => self.data_type(data_type),
            _ => self.not_allowed("A clause inside a call"),
        }
    }

    /// Refuses calls that make much out of little.
    fn argument_limits(&mut self, function: &str, args: &'a [FunctionArg]) {
        self.series_bounds(function, args);
        if let Some(&place) = self.dialect.sized_functions.get(function) {
            let length = args.get(place).and_then(plain).and_then(literal);
            if self.sized_calls > 0 || !length.is_some_and(|length| length <= MAX_LENGTH) {
                let detail = format!(
                    "The length in `{function}` must be a number up to {MAX_LENGTH}, and not inside another such call."
                );
                self.refuse(ViolationCode::TooComplex, detail);
            }
        }
        if self.dialect.format_functions.contains(function) && !args.first().is_some_and(is_modest_format) {
            let detail =
                format!("The first argument of `{function}` must be a text with widths below 1000 and without `*`.");
            self.refuse(ViolationCode::TooComplex, detail);
        }
        if matches!(function, "power" | "pow" | "exp")
            && let Some(exponent) = args.last().and_then(plain)
        {
            self.exponent(exponent);
        }
        if function == "mod" && args.get(1).and_then(plain).and_then(literal) == Some(0.0) {
            self.not_allowed("Division by zero");
        }
    }

    /// `generate_series` with literal bounds says how many rows it makes.
    pub(super) fn series_bounds(&mut self, function: &str, args: &'a [FunctionArg]) {
        let numbers: Vec<f64> = args.iter().filter_map(plain).filter_map(literal).collect();
        if function != "generate_series" || numbers.len() != args.len() {
            return;
        }
        if let [from, to, rest @ ..] = numbers.as_slice() {
            let step = rest.first().copied().unwrap_or(1.0);
            if step == 0.0 || (to - from) / step > MAX_SERIES {
                self.refuse(
                    ViolationCode::TooComplex,
                    format!("A series of more than {MAX_SERIES} rows is not allowed."),
                );
            }
        }
    }
}

fn plain(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// Whether the argument is a literal format string with small widths.
fn is_modest_format(arg: &FunctionArg) -> bool {
    let Some(Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(format), span: _ })) = plain(arg) else {
        return false;
    };
    let digits = format.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    digits <= MAX_WIDTH_DIGITS && !format.contains('*')
}
