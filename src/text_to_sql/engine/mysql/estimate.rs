//! What the server expects of a statement: `explain format=json`, which plans and does not run.
//!
//! Read are MySQL's tree of query blocks, the plan tree that newer versions may send instead
//! (`explain_json_format_version = 2`), and MariaDB's blocks, which tell a cost from version 11 on. A subquery counts
//! as if it ran once.

use std::borrow::Cow;

use serde_json::Value;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::{EngineError, Estimate};
use crate::text_to_sql::run::mysql::text;

/// The plan as the server writes it; nothing where the login may read a view but not see what is in it. In the protocol
/// of prepared statements, as the statement itself will go.
pub(super) async fn plan(connection: &mut MySqlConnection, sql: &str) -> Result<Option<String>, sqlx::Error> {
    let explain = AssertSqlSafe(format!("explain format=json {sql}")).into_sql_str();
    match sqlx::query(explain).persistent(false).fetch_one(connection).await {
        Err(sqlx::Error::Database(error))
            if error.try_downcast_ref::<MySqlDatabaseError>().is_some_and(|error| error.number() == NO_SHOW_VIEW) =>
        {
            Ok(None)
        }
        row => Ok(text(&row?, 0)),
    }
}

/// `ER_VIEW_NO_EXPLAIN`
const NO_SHOW_VIEW: u16 = 1345;

/// A plan that cannot be read is refused, because whoever writes the statement can make it so: a few dozen tables inside
/// of each other are nested deeper than the parser follows.
pub(super) fn estimate(plan: &str) -> Result<Option<Estimate>, EngineError> {
    let figures: String = plan.lines().flat_map(|line| [without_texts(line), "\n".into()]).collect();
    match serde_json::from_str(&figures) {
        Ok(plan) => Ok(read(&plan)),
        Err(_) => Err(EngineError::TooLarge("its plan is too deep to be judged".into())),
    }
}

/// A line of a plan, a key a line in the layout of both servers, without its texts and lists of texts. MariaDB writes
/// names and conditions as they stand in the statement, with quotes that break the JSON, or pretend other figures.
fn without_texts(line: &str) -> Cow<'_, str> {
    let comma = if line.ends_with(',') { "," } else { "" };
    let is_word =
        |key: &str| key.trim_start().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"\"_-".contains(&byte));
    match line.split_once("\": ").filter(|(key, _)| is_word(key)) {
        Some((key, list)) if list.starts_with('[') && list != "[" => format!("{key}\": []{comma}").into(),
        Some((key, text)) if text.starts_with('"') && !is_figure(text) => format!("{key}\": \"\"{comma}").into(),
        None if line.trim_start().starts_with('"') => format!("\"\"{comma}").into(),
        _ => line.into(),
    }
}

fn is_figure(text: &str) -> bool {
    text.trim_matches([',', '"']).parse::<f64>().is_ok()
}

fn read(plan: &Value) -> Option<Estimate> {
    match plan.get("query_plan") {
        Some(tree) => {
            let cost = number(&tree["estimated_total_cost"]);
            Some(Estimate { rows: most_rows(tree), cost })
        }
        None => plan.get("query_block").map(|block| Estimate { rows: busiest(block), cost: cost(block) }),
    }
}

/// The rows that the busiest join in a block, or in a block below it, goes through: those of its tables so far, times
/// those that each of them makes the server look at in the next.
fn busiest(node: &Value) -> f64 {
    let joined = match node.get("nested_loop").and_then(Value::as_array) {
        Some(steps) => joined(steps.iter().filter_map(table)),
        None => joined(node.get("table").into_iter()),
    };
    children(node).map(busiest).fold(joined, f64::max)
}

fn joined<'a>(tables: impl Iterator<Item = &'a Value>) -> f64 {
    let (mut prefix, mut most) = (1.0, 0.0);
    for table in tables {
        let rows = number(&table["rows_examined_per_scan"]).or(number(&table["rows"])).unwrap_or(1.0);
        let examined = prefix * rows;
        most = f64::max(most, examined);
        prefix = examined * number(&table["filtered"]).unwrap_or(100.0) / 100.0;
    }
    most
}

/// The table of a join's step, which may lie inside of how it is read: `block-nl-join`, `read_sorted_file`.
fn table(step: &Value) -> Option<&Value> {
    match step.get("table") {
        Some(table) => Some(table),
        None => step.as_object()?.iter().filter(|(key, _)| *key != "query_block").find_map(|(_, inner)| table(inner)),
    }
}

fn most_rows(node: &Value) -> f64 {
    let own = node.get("estimated_rows").and_then(number).unwrap_or_default();
    children(node).map(most_rows).fold(own, f64::max)
}

/// Of a block, or of all the blocks of a union.
fn cost(block: &Value) -> Option<f64> {
    let own = number(&block["cost_info"]["query_cost"]).or(number(&block["cost"]));
    own.or_else(|| {
        let parts = block["union_result"]["query_specifications"].as_array()?;
        parts.iter().map(|part| cost(&part["query_block"])).sum()
    })
}

/// MySQL writes costs and shares as text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn children(node: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match node {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_join_counts_what_every_row_so_far_makes_the_server_look_at() {
        // As MySQL 8.0 writes it.
        let plan = json!({"query_block": {"select_id": 1, "cost_info": {"query_cost": "2513.35"}, "nested_loop": [
            {"table": {"table_name": "a", "rows_examined_per_scan": 1000, "filtered": "10.00"}},
            {"table": {"table_name": "b", "rows_examined_per_scan": 50, "filtered": "1.00"}},
            {"table": {"table_name": "c", "rows_examined_per_scan": 2, "filtered": "100.00"}}]}});
        assert_eq!(read(&plan), Some(Estimate { rows: 5000.0, cost: Some(2513.35) }));
    }

    #[test]
    fn the_parts_of_a_union_are_compared_and_their_costs_added() {
        let part = |rows: u64| json!({"query_block": {"cost_info": {"query_cost": "1.5"}, "table": {"rows_examined_per_scan": rows}}});
        let plan = json!({"query_block": {"union_result": {"query_specifications": [part(3), part(7)]}}});
        assert_eq!(read(&plan), Some(Estimate { rows: 7.0, cost: Some(3.0) }));
    }

    #[test]
    fn tables_are_found_inside_of_how_mariadb_reads_them() {
        let plan = json!({"query_block": {"select_id": 1, "filesort": {"temporary_table": {"nested_loop": [
            {"table": {"rows": 100, "filtered": 100}},
            {"block-nl-join": {"table": {"rows": 30, "filtered": 100}, "join_type": "BNL"}}]}}}});
        assert_eq!(read(&plan), Some(Estimate { rows: 3000.0, cost: None }));
    }

    #[test]
    fn a_plan_that_is_too_deep_to_be_judged_is_refused() {
        let nested = |depth: usize| {
            let (open, close) = (r#"{"query_block": "#.repeat(depth), "}".repeat(depth));
            estimate(&format!(r#"{open}{{"table": {{"rows": 1000000}}}}{close}"#))
        };
        assert_eq!(nested(100), Ok(Some(Estimate { rows: 1e6, cost: None })));
        assert!(matches!(nested(200), Err(EngineError::TooLarge(_))));
    }

    #[test]
    fn the_texts_of_a_plan_tell_no_figures() {
        for condition in [r#"s = 'x"y\\z' and "#, r#"s = 'x", "rows": 1, "y": "'"#, r#"'"}, "z": {"y": "'"#, ""] {
            let plan = format!(
                r#"{{
  "query_block": {{
    "cost_info": {{
      "query_cost": "12.50"
    }},
    "table": {{
      "table_name": "{condition}",
      "used_key_parts": ["{condition}", "b"],
      "ref": [
        "{condition}"
      ],
      "rows": 9000,
      "filtered": "50.00",
      "attached_condition": "{condition}"
    }}
  }}
}}"#
            );
            assert_eq!(estimate(&plan), Ok(Some(Estimate { rows: 9000.0, cost: Some(12.5) })), "{condition}");
        }
    }

    #[test]
    fn the_newer_tree_of_mysql_is_read_too() {
        let plan = json!({"query": "…", "query_plan": {"estimated_rows": 1.0, "estimated_total_cost": 91.2, "inputs": [
            {"estimated_rows": 850.0, "estimated_total_cost": 90.0}]}});
        assert_eq!(read(&plan), Some(Estimate { rows: 850.0, cost: Some(91.2) }));
        assert_eq!(read(&json!({})), None);
    }
}
