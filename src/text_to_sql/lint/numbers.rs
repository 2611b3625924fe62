//! Whole numbers where the engine drops the fraction: division in PostgreSQL, SQLite and SQL Server, and the averages of
//! SQL Server. MySQL and MariaDB divide in decimals.

use std::ptr;

use sqlparser::ast::{BinaryOperator, DataType, Expr, Function, FunctionArguments, UnaryOperator};

use super::scope::{Names, Scope};
use super::tree::{arguments, bare, is_null, name, number};
use super::walk::Looked;
use super::{LintCode, Linter, MAX_NESTING};
use crate::text_to_sql::schema::Engine;

pub fn check(looked: &Looked, linter: &mut Linter) {
    let engine = looked.names.schema.engine;
    if engine == Engine::Mysql {
        return;
    }
    let exprs = &looked.parts.exprs;
    let meant: Vec<&Expr> = exprs.iter().filter_map(|expr| meant_whole(expr)).collect();
    for expr in exprs {
        if !meant.iter().any(|meant| ptr::eq(*meant, *expr)) && drops_fraction(looked, expr) {
            let detail = format!(
                "{expr} divides whole numbers, and {} drops the fraction (7 / 2 is 3); multiply one side by 1.0 first.",
                called(engine)
            );
            linter.say(LintCode::IntegerDivision, detail);
        }
        if let (Engine::Mssql, Expr::Function(function)) = (engine, expr)
            && averages_whole(looked, function)
        {
            let detail =
                format!("{function} is of whole numbers, and SQL Server drops the fraction; average 1.0 * the value.");
            linter.say(LintCode::IntegerDivision, detail);
        }
    }
}

fn called(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::Mysql => "MySQL",
        Engine::Sqlite => "SQLite",
        Engine::Mssql => "SQL Server",
    }
}

/// The division inside of an expression that shows that the fraction is not wanted.
fn meant_whole(expr: &Expr) -> Option<&Expr> {
    let division = |expr| Some(bare(expr)).filter(|it| matches!(it, Expr::BinaryOp { op: BinaryOperator::Divide, .. }));
    match expr {
        Expr::Floor { expr, .. } | Expr::Ceil { expr, .. } => division(expr),
        Expr::Cast { expr, data_type, .. } if is_whole_type(data_type) => division(expr),
        Expr::Function(function) if ["floor", "trunc", "truncate"].contains(&name(function).as_str()) => {
            match &function.args {
                FunctionArguments::List(list) => arguments(list).next().and_then(division),
                _ => None,
            }
        }
        // year / 10 * 10 is the decade.
        Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } => match division(left)? {
            inner @ Expr::BinaryOp { right: by, .. } if bare(by) == bare(right) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}

fn drops_fraction(looked: &Looked, expr: &Expr) -> bool {
    let Expr::BinaryOp { left, op: BinaryOperator::Divide, right } = expr else { return false };
    let value = |expr: &Expr| number(expr).and_then(|number| number.parse::<u64>().ok());
    let exact = match (value(left), value(right)) {
        (_, Some(1)) => true,
        (Some(whole), Some(by)) => by != 0 && whole % by == 0,
        _ => false,
    };
    let whole = |expr: &Expr| is_whole(expr, looked.scope, looked.names, 0);
    !exact && whole(left) && whole(right)
}

fn averages_whole(looked: &Looked, function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let mut of = arguments(list);
    name(function) == "avg" && of.next().is_some_and(|of| is_whole(of, looked.scope, looked.names, 0))
}

/// Whether the engine is sure to compute with a value as a whole number.
pub fn is_whole(expr: &Expr, scope: &Scope, names: &Names, depth: usize) -> bool {
    if depth > MAX_NESTING {
        return false;
    }
    let engine = names.schema.engine;
    let whole = |expr: &Expr| is_whole(expr, scope, names, depth + 1);
    match bare(expr) {
        Expr::Value(_) => number(expr).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())),
        column @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {
            scope.column(column).is_some_and(|column| column.whole)
        }
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => whole(expr),
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => whole(left) && whole(right),
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => engine == Engine::Sqlite,
            _ => false,
        },
        Expr::Cast { data_type, .. } => is_whole_type(data_type),
        Expr::Case { conditions, else_result, .. } => {
            let mut results = conditions.iter().map(|arm| &arm.result).chain(else_result.as_deref());
            results.all(|result| is_null(result) || whole(result))
        }
        Expr::Subquery(query) => {
            let column = names.deeper().shape(query).columns.and_then(|columns| columns.into_iter().next());
            column.is_some_and(|column| column.whole)
        }
        Expr::Function(function) => function_is_whole(function, engine, &whole, scope),
        _ => false,
    }
}

fn function_is_whole(function: &Function, engine: Engine, whole: &dyn Fn(&Expr) -> bool, scope: &Scope) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let mut of = arguments(list);
    match name(function).as_str() {
        "count" | "count_big" | "length" | "char_length" | "len" | "datediff" => true,
        "min" | "max" | "abs" | "nullif" => of.next().is_some_and(whole),
        "coalesce" | "ifnull" | "isnull" => of.all(whole),
        // PostgreSQL adds up its largest whole numbers as decimals.
        "sum" if engine == Engine::Postgres => of.next().is_some_and(|of| whole(of) && is_small(of, scope)),
        "sum" => of.next().is_some_and(whole),
        _ => false,
    }
}

/// Made of columns and numbers of at most 32 bits.
fn is_small(expr: &Expr, scope: &Scope) -> bool {
    let parts = super::tree::taken_apart([expr]);
    let large = |expr: &&Expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            let column = scope.column(expr).and_then(|output| output.column);
            column
                .is_none_or(|column| ["big", "int8"].iter().any(|part| column.data_type.to_lowercase().contains(part)))
        }
        Expr::Function(_) | Expr::Subquery(_) | Expr::Cast { .. } => true,
        _ => false,
    };
    !parts.exprs.iter().any(large)
}

fn is_whole_type(data_type: &DataType) -> bool {
    use DataType::{BigInt, Int, Int2, Int4, Int8, Integer, SmallInt, TinyInt};
    matches!(data_type, BigInt(_) | Int(_) | Int2(_) | Int4(_) | Int8(_) | Integer(_) | SmallInt(_) | TinyInt(_))
}
