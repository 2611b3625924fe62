//! The fixtures agree with themselves: rows with keys, reports with rows, questions with documents.
//!
//! Other tests and the demo build on these files, so a figure that a report states must be what its SQL yields, and a
//! quote that a question expects must stand in its document. PDFs are read with `pdf-extract`, the second engine, so
//! that a fault of the first one is not blamed on the files.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

const ROWS: [(&str, i64); 14] = [
    ("regions", 8),
    ("countries", 23),
    ("employees", 21),
    ("customers", 220),
    ("contacts", 412),
    ("categories", 9),
    ("products", 43),
    ("warehouses", 3),
    ("stock_levels", 84),
    ("orders", 932),
    ("order_items", 2084),
    ("invoices", 865),
    ("payments", 888),
    ("returns", 62),
];

#[tokio::test]
async fn the_sales_database_has_its_rows_and_keeps_every_foreign_key() -> Result<()> {
    let mut database = sales_database().await?;
    for (table, expected) in ROWS {
        assert_eq!(count(&mut database, &format!("select count(*) from {table}")).await?, expected, "{table}");
    }
    let broken = sqlx::query("pragma foreign_key_check").fetch_all(&mut database).await?;
    assert!(broken.is_empty(), "{} rows point nowhere", broken.len());
    Ok(())
}

#[tokio::test]
async fn amounts_and_dates_in_the_sales_database_are_consistent() -> Result<()> {
    let mut database = sales_database().await?;
    for (violation, sql) in [
        (
            "a line total is not quantity times price less discount",
            "select count(*) from order_items
             where abs(line_total_eur - quantity * unit_price_eur * (100 - discount_percent) / 100) > 0.006",
        ),
        (
            "an invoice is not the sum of its lines",
            "select count(*) from invoices v where abs(net_amount_eur
               - (select sum(line_total_eur) from order_items i where i.order_id = v.order_id)) > 0.001",
        ),
        (
            "an invoice is overpaid",
            "select count(*) from invoices v where total_amount_eur + 0.001
               < (select sum(amount_eur) from payments p where p.invoice_id = v.id)",
        ),
        (
            "an order was delivered before it shipped, or shipped before it was placed",
            "select count(*) from orders where delivered_on <= shipped_on or shipped_on <= ordered_on",
        ),
        (
            "an order lies outside the thirty months",
            "select count(*) from orders where ordered_on < '2024-01-01' or ordered_on > '2026-06-30'",
        ),
        (
            "a refund has no date, or no amount",
            "select count(*) from returns where (status = 'refunded') <> (refunded_on is not null)
               or (refunded_on is null) <> (refund_amount_eur is null)",
        ),
        (
            "a customer belongs to a desk of another region",
            "select count(*) from customers c join countries n on n.code = c.country_code
               join employees e on e.id = c.sales_rep_id where e.region_id <> n.region_id",
        ),
    ] {
        assert_eq!(count(&mut database, sql).await?, 0, "{violation}");
    }
    Ok(())
}

#[test]
fn both_dialects_hold_the_same_rows() -> Result<()> {
    let rows = |name: &str| -> Result<Vec<String>> {
        let script = text(&format!("database/{name}"))?;
        Ok(script.lines().filter(|line| line.starts_with(['(', 'i'])).map(String::from).collect())
    };
    assert_eq!(rows("sales.sql")?, rows("sales.postgres.sql")?);
    Ok(())
}

#[tokio::test]
async fn every_figure_follows_from_the_rows() -> Result<()> {
    let mut database = sales_database().await?;
    for (name, figure) in figures()? {
        let row = sqlx::query(AssertSqlSafe(figure.sql)).fetch_one(&mut database).await.context(name.clone())?;
        let same = match figure.value.as_f64() {
            Some(expected) => (number(&row)? - expected).abs() < 0.005,
            None => row.try_get::<&str, _>(0)? == figure.value,
        };
        assert!(same, "{name} is not {}", figure.value);
    }
    Ok(())
}

#[test]
fn every_report_states_the_figures_that_the_rows_yield() -> Result<()> {
    #[derive(Deserialize)]
    struct Statement {
        figure: String,
        document: String,
        text: String,
    }
    let figures = figures()?;
    for Statement { figure, document, text } in json::<Vec<Statement>>("report-figures.json")? {
        let value = &figures.iter().find(|(name, _)| *name == figure).context(figure.clone())?.1.value;
        let spelled = if figure.contains("_change_") {
            format!("{:.1} percent", value.as_f64().context("a change is a number")?.abs())
        } else {
            spelled(value)
        };
        assert!(text.contains(&spelled), "{figure} is {spelled}, but {document} is said to state: {text}");
        assert!(document_text(&document)?.contains(&text), "{document} does not state: {text}");
    }
    Ok(())
}

#[test]
fn every_question_over_documents_finds_its_quote_there() -> Result<()> {
    #[derive(Deserialize)]
    struct Question {
        id: String,
        document: Option<String>,
        quote: Option<String>,
    }
    let questions: Vec<Question> = questions("documents")?;
    ensure!(questions.len() >= 25);
    for Question { id, document, quote } in questions {
        let (Some(document), Some(quote)) = (document, quote) else { continue };
        assert!(document_text(&document)?.contains(&quote), "{id}: {document} does not say: {quote}");
    }
    Ok(())
}

#[tokio::test]
async fn every_question_over_the_database_has_sql_that_returns_rows() -> Result<()> {
    #[derive(Deserialize)]
    struct Question {
        id: String,
        sql: Option<String>,
    }
    let mut database = sales_database().await?;
    let questions: Vec<Question> = questions("database")?;
    ensure!(questions.len() >= 25);
    for Question { id, sql } in questions {
        let Some(sql) = sql else { continue };
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut database).await.context(id.clone())?;
        assert!(!rows.is_empty(), "{id} returns nothing");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Figure {
    sql: String,
    value: Value,
}

fn figures() -> Result<Vec<(String, Figure)>> {
    let figures: Map<String, Value> = json("database/figures.json")?;
    figures.into_iter().map(|(name, figure)| Ok((name, serde_json::from_value(figure)?))).collect()
}

fn questions<T: DeserializeOwned>(part: &str) -> Result<Vec<T>> {
    let mut parts: Map<String, Value> = json("questions.json")?;
    Ok(serde_json::from_value(parts.remove(part).context("no such part")?)?)
}

async fn sales_database() -> Result<SqliteConnection> {
    let mut database = SqliteConnection::connect("sqlite::memory:").await?;
    sqlx::raw_sql(AssertSqlSafe(text("database/sales.sql")?)).execute(&mut database).await?;
    Ok(database)
}

async fn count(database: &mut SqliteConnection, sql: &str) -> Result<i64> {
    Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(database).await?)
}

/// SQLite gives counts as integers and sums as reals.
fn number(row: &sqlx::sqlite::SqliteRow) -> Result<f64> {
    Ok(row.try_get::<f64, _>(0).or_else(|_| row.try_get::<i32, _>(0).map(f64::from))?)
}

/// As the reports write it: `1,234.50` for amounts, `1,234` for counts, names as they are.
fn spelled(value: &Value) -> String {
    let plain = match value {
        Value::String(name) => return name.clone(),
        Value::Number(count) if count.is_i64() => count.to_string(),
        amount => format!("{:.2}", amount.as_f64().unwrap_or_default()),
    };
    let whole = plain.find('.').unwrap_or(plain.len());
    let mut grouped = plain;
    for comma in (1..whole).rev().filter(|place| (whole - place).is_multiple_of(3)) {
        grouped.insert(comma, ',');
    }
    grouped
}

/// A document's text with every run of white space as one blank; HTML with its tags.
fn document_text(name: &str) -> Result<String> {
    let path = format!("documents/{name}");
    let text = if name.ends_with(".pdf") { pdf_extract::extract_text(fixture(&path))? } else { text(&path)? };
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn json<T: DeserializeOwned>(name: &str) -> Result<T> {
    Ok(serde_json::from_str(&text(name)?)?)
}

fn text(name: &str) -> Result<String> {
    std::fs::read_to_string(fixture(name)).with_context(|| name.to_owned())
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
