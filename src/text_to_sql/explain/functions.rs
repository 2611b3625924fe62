//! Functions in words: aggregates, with and without conditions, windows, and the parts of dates.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, WindowSpec, WindowType};

use super::expressions::{bare, is_number};
use super::{Words, list};

pub(super) fn function_words(words: &Words, function: &Function, depth: usize) -> String {
    let told = told(words, function, depth);
    let filtered = match &function.filter {
        Some(condition) => format!("{told} where {}", words.expression(condition, depth + 1)),
        None => told,
    };
    match &function.over {
        Some(WindowType::WindowSpec(window)) => over(words, function, &filtered, window, depth),
        Some(WindowType::NamedWindow(name)) => format!("{filtered} over {name}"),
        None => filtered,
    }
}

fn told(words: &Words, function: &Function, depth: usize) -> String {
    let FunctionArguments::List(arguments) = &function.args else { return function.to_string() };
    let name = name(function);
    if let Some(told) = conditional(words, function, &name, depth) {
        return told;
    }
    let different = if arguments.duplicate_treatment.is_some() { "different " } else { "" };
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(shown)) => words.expression(shown, depth + 1),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => "rows".to_owned(),
        other => other.to_string(),
    };
    let parts: Vec<String> = arguments.args.iter().map(argument).collect();
    match (name.as_str(), &parts[..]) {
        // Who counts a constant counts rows.
        ("count" | "count_big", [only]) if only.bytes().all(|byte| byte.is_ascii_digit()) => {
            "the number of rows".to_owned()
        }
        ("count" | "count_big", [only]) => format!("the number of {different}{only}"),
        ("count", _) => format!("the number of {different}combinations of {}", list(&parts, "and")),
        ("sum" | "total", [only]) => format!("the total {different}{only}"),
        ("avg", [only]) => format!("the average {different}{only}"),
        ("min", [only]) => format!("the lowest {only}"),
        ("max", [only]) => format!("the highest {only}"),
        ("lower" | "upper" | "trim", [only]) => only.clone(),
        ("coalesce" | "ifnull" | "isnull", [value, other]) => format!("{value} ({other} where it is missing)"),
        ("nullif", [value, other]) => format!("{value} (nothing where it is {other})"),
        ("round", [value]) => format!("{value} rounded"),
        ("round", [value, places]) => format!("{value} rounded to {places} decimals"),
        ("abs", [value]) => format!("the size of {value}"),
        ("length" | "char_length" | "len", [value]) => format!("the length of {value}"),
        ("year" | "quarter" | "month" | "week" | "day" | "date", [value]) => format!("the {name} of {value}"),
        ("date_trunc", [unit, value]) => format!("the {} of {value}", unit.trim_matches('"')),
        ("strftime", [form, value]) | ("date_format", [value, form]) => match unit(form.trim_matches('"')) {
            Some(unit) => format!("the {unit} of {value}"),
            None => format!("{value} as {form}"),
        },
        ("row_number", []) => "the position".to_owned(),
        ("rank" | "dense_rank", []) => "the rank".to_owned(),
        ("lag", [value, ..]) => format!("the {value} of the row before"),
        ("lead", [value, ..]) => format!("the {value} of the row after"),
        ("first_value", [value]) => format!("the first {value}"),
        ("last_value", [value]) => format!("the last {value}"),
        _ => format!("{name}({})", parts.join(", ")),
    }
}

/// What `strftime` and `date_format` print, where it has a name.
fn unit(form: &str) -> Option<&'static str> {
    match form {
        "%Y" => Some("year"),
        "%Y-%m" | "%m" => Some("month"),
        "%Y-%m-%d" => Some("day"),
        "%Y-%W" | "%W" => Some("week"),
        "%H" => Some("hour"),
        _ => None,
    }
}

/// An aggregate over a CASE of one arm is one over the rows that meet the condition.
fn conditional(words: &Words, function: &Function, name: &str, depth: usize) -> Option<String> {
    let FunctionArguments::List(arguments) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(of))] = &arguments.args[..] else { return None };
    let Expr::Case { operand: None, conditions, else_result, .. } = bare(of) else { return None };
    let [arm] = &conditions[..] else { return None };
    let nothing = else_result.as_deref().is_none_or(is_null);
    let zero = else_result.as_deref().is_some_and(|it| is_number(it, 0.0));
    let value = words.expression(&arm.result, depth + 2);
    let noun = match name {
        "count" if nothing && arguments.duplicate_treatment.is_some() => format!("the number of different {value}"),
        "count" if nothing => "the number of rows".to_owned(),
        "sum" if (nothing || zero) && is_number(&arm.result, 1.0) => "the number of rows".to_owned(),
        "sum" if nothing || zero => format!("the total {value}"),
        "avg" if nothing => format!("the average {value}"),
        _ => return None,
    };
    Some(format!("{noun} where {}", words.expression(&arm.condition, depth + 2)))
}

fn is_null(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Value(value) if value.value == Value::Null)
}

/// A function over a window of rows.
fn over(words: &Words, function: &Function, told: &str, window: &WindowSpec, depth: usize) -> String {
    let groups: Vec<String> = window.partition_by.iter().map(|group| words.expression(group, depth + 1)).collect();
    let order = words.order(&window.order_by, depth);
    let aggregate = ["sum", "count", "avg", "min", "max"].contains(&name(function).as_str());
    let within = if groups.is_empty() { String::new() } else { format!(" within each {}", list(&groups, "and")) };
    let told = match (aggregate, order.is_empty()) {
        // Up to the row itself, in the window's order.
        (true, false) => format!("{told} so far"),
        (true, true) if groups.is_empty() => format!("{told} over all rows"),
        _ => told.to_owned(),
    };
    match order.is_empty() {
        true => format!("{told}{within}"),
        false => format!("{told}{within} (ordered by {order})"),
    }
}

fn name(function: &Function) -> String {
    function.name.to_string().to_lowercase()
}

/// The first argument of a call of `wanted`.
pub(super) fn first_argument<'a>(expr: &'a Expr, wanted: &str) -> Option<&'a Expr> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(arguments) = &function.args else { return None };
    match arguments.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) if name(function) == wanted => Some(first),
        _ => None,
    }
}
