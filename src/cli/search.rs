//! `almanac search`.

use std::process::ExitCode;

use serde_json::json;

use super::{client::Client, table::line};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to search for
    #[arg(required = true)]
    query: Vec<String>,
    /// Only in these knowledge bases (names or ids)
    #[arg(long, short)]
    knowledge_base: Vec<String>,
    /// hybrid, vector or text
    #[arg(long, default_value = "hybrid")]
    mode: String,
    /// How many results
    #[arg(long, short = 'n', default_value_t = 5)]
    limit: usize,
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::find()?;
    let knowledge_bases = client.knowledge_bases(&arguments.knowledge_base).await?;
    let body = json!({
        "query": arguments.query.join(" "),
        "knowledge_base_ids": knowledge_bases,
        "mode": arguments.mode,
        "limit": arguments.limit,
    });
    let found = client.post("/v1/search", &body).await?;
    if arguments.json {
        line(&serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    for result in found["results"].as_array().into_iter().flatten() {
        let page = result["page"].as_i64().map(|page| format!(", page {page}")).unwrap_or_default();
        let score = result["score"].as_f64().unwrap_or_default();
        line(&format!("{score:6.3}  {}{page}", result["title"].as_str().unwrap_or_default()));
        let content = result["content"].as_str().unwrap_or_default();
        let words: String = content.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
        line(&format!("        {words}\n"));
    }
    Ok(ExitCode::SUCCESS)
}
