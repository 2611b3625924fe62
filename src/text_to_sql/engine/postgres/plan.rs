//! What PostgreSQL expects of a statement: its plan, which is made and never run.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::text_to_sql::engine::Estimate;

/// Plans one statement in the transaction that the session is in. By the extended protocol, where two statements in one
/// text are an error; without `analyze`, so that nothing of the text runs.
pub(super) async fn estimate(connection: &mut PgConnection, sql: &str) -> Result<Option<Estimate>, sqlx::Error> {
    let explain = sqlx::query(AssertSqlSafe(format!("explain (format json) {sql}"))).persistent(false);
    let row = explain.fetch_one(connection).await?;
    let plan = row.try_get_raw(0)?;
    Ok(plan.as_str().ok().and_then(read))
}

/// The figures of a plan in the server's own layout: a key a line, line ends in texts escaped. Read by lines and not as
/// a tree, because a plan may be nested deeper than a parser likes to follow.
/// <https://www.postgresql.org/docs/current/sql-explain.html>
fn read(plan: &str) -> Option<Estimate> {
    let figures = |key: &'static str| {
        let of_key =
            move |line: &str| line.trim_start().strip_prefix(key).map(|rest| rest.trim_end_matches(',').parse());
        plan.lines().filter_map(of_key).filter_map(Result::<f64, _>::ok)
    };
    let rows = figures("\"Plan Rows\": ").reduce(f64::max)?;
    // A node's own figures come before those of the nodes below it.
    Some(Estimate { rows, cost: figures("\"Total Cost\": ").next() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_step_and_the_whole_cost_are_what_counts() {
        let plan = r#"[
  {
    "Plan": {
      "Node Type": "Aggregate",
      "Total Cost": 1791.01,
      "Plan Rows": 1,
      "Plan Width": 8,
      "Plans": [
        {
          "Node Type": "Seq Scan",
          "Total Cost": 1541.00,
          "Plan Rows": 100000,
          "Filter": "(a = '\n\"Plan Rows\": 9999999999'::text)"
        }
      ]
    }
  }
]"#;
        assert_eq!(read(plan), Some(Estimate { rows: 100_000.0, cost: Some(1791.01) }));
        assert_eq!(read("no plan"), None);
    }

    #[test]
    fn a_deep_plan_is_read_like_any_other() {
        let node = "\"Plans\": [\n{\n\"Total Cost\": 2.5,\n\"Plan Rows\": 7\n".repeat(10_000);
        assert_eq!(read(&node), Some(Estimate { rows: 7.0, cost: Some(2.5) }));
    }
}
