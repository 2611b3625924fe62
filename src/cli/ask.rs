//! `almanac ask`: of documents, or of a database.

use std::process::ExitCode;

use anyhow::Context;
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
    /// Go on from this key's last question to the database: "and by month?"
    #[arg(long, requires = "database")]
    follow_up: bool,
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
            if arguments.follow_up {
                body["previous_query_id"] = last_question(&client, &id).await?;
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

async fn last_question(client: &Client, database: &str) -> anyhow::Result<Value> {
    let asked = client.get(&format!("/v1/queries?database_id={database}&mine=true&limit=100")).await?;
    let last = asked["data"].as_array().into_iter().flatten().find(|query| query["question"].is_string());
    last.map(|query| query["id"].clone()).context("nothing was asked of this database yet")
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
    let texts =
        |field: &str| query[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    if let Some(read_as) = query["read_as"].as_str() {
        line(&format!("read as: {read_as}"));
    }
    line(query["explanation"].as_str().unwrap_or_default());
    texts("assumptions").for_each(|assumption| line(&format!("assumed: {assumption}")));
    let unused: Vec<String> = texts("unused_words").collect();
    if !unused.is_empty() {
        line(&format!("not understood: {}", unused.join(", ")));
    }
    for lint in query["lints"].as_array().into_iter().flatten() {
        line(&format!("beware: {}", lint["detail"].as_str().unwrap_or_default()));
    }
    if let Some(sql) = query["sql"].as_str() {
        line(&format!("\n{sql}\n"));
    }
    if let Some(clarification) = query["clarification"].as_str() {
        line(clarification);
    }
    print_choices("did you mean", &query["choices"]);
    if let Some(error) = query["error"]["detail"].as_str() {
        line(&format!("it did not run: {error}"));
    }
    print_rows(&query["result"]);
    print_choices("or did you mean", &query["alternatives"]);
}

fn print_choices(words: &str, choices: &Value) {
    for choice in choices.as_array().into_iter().flatten() {
        line(&format!("{words}: {}", choice["explanation"].as_str().unwrap_or_default()));
        line(&format!("    {}", choice["sql"].as_str().unwrap_or_default().replace('\n', "\n    ")));
    }
}
