//! `almanac ask`: of documents, or of a database.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{client::Client, sql::print_rows, table::line};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The question
    #[arg(required = true)]
    question: Vec<String>,
    /// Ask this database (name or id) instead of the documents
    #[arg(long, short)]
    database: Option<String>,
    /// Only from these knowledge bases (names or ids)
    #[arg(long, short)]
    knowledge_base: Vec<String>,
    /// Run the best guess however unsure it is, with --database
    #[arg(long)]
    best_guess: bool,
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::find()?;
    let question = arguments.question.join(" ");
    let answer = match &arguments.database {
        Some(database) => {
            let id = client.database(database).await?;
            let mut body = json!({ "question": question });
            if arguments.best_guess {
                body["min_confidence"] = json!(0);
            }
            client.post(&format!("/v1/databases/{id}/ask"), &body).await?
        }
        None => {
            let knowledge_bases = client.knowledge_bases(&arguments.knowledge_base).await?;
            client.post("/v1/answers", &json!({ "question": question, "knowledge_base_ids": knowledge_bases })).await?
        }
    };
    if arguments.json {
        line(&serde_json::to_string_pretty(&answer)?);
    } else if arguments.database.is_some() {
        print_query(&answer);
    } else {
        print_answer(&answer);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_answer(answer: &Value) {
    line(answer["answer"].as_str().or(answer["explanation"].as_str()).unwrap_or_default());
    for citation in answer["citations"].as_array().into_iter().flatten() {
        let page = citation["page"].as_i64().map(|page| format!(", page {page}")).unwrap_or_default();
        line(&format!("\n[{}] {}{page}", citation["index"], citation["title"].as_str().unwrap_or_default()));
        line(&format!("    “{}”", citation["quote"].as_str().unwrap_or_default()));
    }
    for sentence in answer["unsupported"].as_array().into_iter().flatten() {
        line(&format!("\nnot supported by what is cited: {}", sentence["text"].as_str().unwrap_or_default()));
    }
}

fn print_query(query: &Value) {
    line(query["explanation"].as_str().unwrap_or_default());
    for assumption in query["assumptions"].as_array().into_iter().flatten() {
        line(&format!("assumed: {}", assumption.as_str().unwrap_or_default()));
    }
    if let Some(sql) = query["sql"].as_str() {
        line(&format!("\n{sql}\n"));
    }
    for choice in query["choices"].as_array().into_iter().flatten() {
        line(&format!("did you mean: {}", choice["explanation"].as_str().unwrap_or_default()));
        line(&format!("    {}", choice["sql"].as_str().unwrap_or_default()));
    }
    if let Some(error) = query["error"]["detail"].as_str() {
        line(&format!("it did not run: {error}"));
    }
    print_rows(&query["result"]);
}
