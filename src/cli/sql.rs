//! `almanac sql`: a statement of one's own, proven and run.

use std::process::ExitCode;

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{
    client::{Client, json},
    table::{self, line},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The statement
    #[arg(required = true)]
    sql: Vec<String>,
    /// The database (name or id)
    #[arg(long, short)]
    database: String,
    /// Only say whether it may run, and as what
    #[arg(long)]
    check: bool,
    /// Print the rows as CSV
    #[arg(long)]
    csv: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::find()?;
    let id = client.database(&arguments.database).await?;
    let body = json!({ "sql": arguments.sql.join(" ") });
    if arguments.check {
        let verdict = client.post(&format!("/v1/databases/{id}/validate"), &body).await?;
        return Ok(print_verdict(&verdict));
    }
    let path = format!("/v1/databases/{id}/execute");
    if arguments.csv {
        let request = client.request(Method::POST, &path).header(header::ACCEPT, "text/csv").json(&body);
        let response = request.send().await?;
        if !response.status().is_success() {
            json(response).await?;
            return Ok(ExitCode::FAILURE);
        }
        let has_rows = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("text/csv")));
        if !has_rows {
            return Ok(print_error(&json(response).await?));
        }
        line(response.text().await?.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let query = client.post(&path, &body).await?;
    if query["executed"] != true {
        return Ok(print_error(&query));
    }
    print_rows(&query["result"]);
    Ok(ExitCode::SUCCESS)
}

/// Why a statement that may run has no rows, on standard error, where it is in nobody's way.
fn print_error(query: &Value) -> ExitCode {
    let error = &query["error"];
    let (code, detail) = (error["code"].as_str().unwrap_or_default(), error["detail"].as_str().unwrap_or_default());
    eprintln!("it did not run: {detail} ({code})");
    ExitCode::FAILURE
}

fn print_verdict(verdict: &Value) -> ExitCode {
    if let Some(sql) = verdict["sql"].as_str() {
        line(sql);
        return ExitCode::SUCCESS;
    }
    for violation in verdict["violations"].as_array().into_iter().flatten() {
        line(&format!(
            "{}: {}",
            violation["code"].as_str().unwrap_or_default(),
            violation["detail"].as_str().unwrap_or_default()
        ));
    }
    ExitCode::FAILURE
}

/// A result's rows as a table, and how many there are.
pub fn print_rows(result: &Value) {
    let (Some(columns), Some(rows)) = (result["columns"].as_array(), result["rows"].as_array()) else { return };
    let names: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap_or_default()).collect();
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.as_array().into_iter().flatten().map(cell).collect()).collect();
    table::print(&names, &rows);
    let more = if result["truncated"] == true { ", and more that were not read" } else { "" };
    line(&format!("({} {}{more})", rows.len(), if rows.len() == 1 { "row" } else { "rows" }));
}
