//! Missing values: comparisons that never hold, and those that silently drop rows.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::scope::label;
use super::scope::{Output, Scope};
use super::tree::{bare, is_null, number, text};
use super::walk::Looked;
use super::{LintCode, Linter};

pub fn check(looked: &Looked, linter: &mut Linter) {
    for expr in &looked.parts.exprs {
        if compares_with_null(expr) {
            let detail =
                format!("A comparison with NULL never holds, so {expr} finds nothing; write IS NULL or IS NOT NULL.");
            linter.say(LintCode::NullComparison, detail);
        }
        if let Some(column) = not_in_query(looked, expr) {
            let name = label(&column);
            let detail = format!(
                "{name} may be missing in some rows, and NOT IN finds nothing at all as soon as one is; add {name} IS NOT NULL to the inner query, or write NOT EXISTS."
            );
            linter.say(LintCode::NotInNull, detail);
        }
    }
    for condition in &looked.scope.wheres {
        if let Some(column) = dropped(looked.scope, condition) {
            let name = label(column);
            let detail = format!(
                "Rows without a value in {name} are left out too, since a missing value is neither equal nor unequal; add OR {name} IS NULL if they belong to the answer."
            );
            linter.say(LintCode::NotEqualNull, detail);
        }
    }
}

fn compares_with_null(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { left, op, right } => is_comparison(op) && (is_null(left) || is_null(right)),
        Expr::InList { list, negated: true, .. } => list.iter().any(is_null),
        _ => false,
    }
}

fn is_comparison(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// The column that a query in NOT IN gives, if it may be null.
fn not_in_query<'a>(looked: &Looked<'a, '_>, expr: &'a Expr) -> Option<Output<'a>> {
    let subquery = match expr {
        Expr::InSubquery { subquery, negated: true, .. } => subquery,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => match bare(expr) {
            Expr::InSubquery { subquery, negated: false, .. } => subquery,
            _ => return None,
        },
        _ => return None,
    };
    let shape = looked.names.inside(looked.scope).shape(subquery);
    shape.columns?.into_iter().next().filter(|column| column.may_be_null)
}

/// The column of which a condition drops the rows without a value, though it only speaks of other values.
fn dropped<'s, 'a>(scope: &'s Scope<'a>, condition: &Expr) -> Option<&'s Output<'a>> {
    let column = match condition {
        Expr::BinaryOp { left, op: BinaryOperator::NotEq, right } if is_literal(right) => left,
        Expr::BinaryOp { left, op: BinaryOperator::NotEq, right } if is_literal(left) => right,
        Expr::InList { expr, list, negated: true } if list.iter().all(is_literal) => expr,
        Expr::Like { expr, negated: true, .. } | Expr::ILike { expr, negated: true, .. } => expr,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => equalled(bare(expr))?,
        _ => return None,
    };
    let place = scope.place(column)?;
    let output = scope.output(place).filter(|output| output.may_be_null)?;
    let others = scope.wheres.iter().filter(|other| !std::ptr::eq(**other, condition)).chain(&scope.always);
    let known = others.into_iter().any(|other| rejects_null(scope, other, column));
    (!known).then_some(output)
}

fn equalled(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_literal(right) => Some(left),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_literal(left) => Some(right),
        Expr::InList { expr, list, negated: false } if list.iter().all(is_literal) => Some(expr),
        Expr::Like { expr, negated: false, .. } | Expr::ILike { expr, negated: false, .. } => Some(expr),
        _ => None,
    }
}

fn is_literal(expr: &Expr) -> bool {
    text(expr).is_some() || number(expr).is_some()
}

/// Whether the conditions of a scope leave only rows in which a column has a value.
pub fn is_known(scope: &Scope, column: &Expr) -> bool {
    scope.wheres.iter().chain(&scope.always).any(|condition| rejects_null(scope, condition, column))
}

fn rejects_null(scope: &Scope, condition: &Expr, column: &Expr) -> bool {
    let Some(place) = scope.place(column) else { return false };
    let is = |expr: &Expr| scope.place(expr) == Some(place);
    match condition {
        Expr::IsNotNull(expr) => is(expr),
        Expr::BinaryOp { left, op, right } => is_comparison(op) && (is(left) || is(right)),
        Expr::InList { expr, .. } | Expr::Like { expr, .. } | Expr::ILike { expr, .. } | Expr::Between { expr, .. } => {
            is(expr)
        }
        Expr::InSubquery { expr, negated: false, .. } => is(expr),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => match bare(expr) {
            Expr::IsNull(expr) => is(expr),
            _ => false,
        },
        _ => false,
    }
}
