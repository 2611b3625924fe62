//! `almanac database add|list|remove`.

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    client::Client,
    table::{self, line},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Connect a database and wait until its schema is read; one of that name is left as it is
    Add {
        /// What to call it
        name: String,
        /// postgres://user:password@host/database, or sqlite:file (in one of the sqlite_dirs)
        url: String,
        /// What is in it
        #[arg(long)]
        description: Option<String>,
    },
    /// List databases
    List,
    /// Disconnect a database and forget everything about it
    Remove {
        /// Its name or id
        name: String,
    },
}

const POLL: Duration = Duration::from_millis(200);

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::find()?;
    match arguments.action {
        Action::Add { name, url, description } => add(&client, &name, &url, description).await,
        Action::List => {
            print_databases(&client.get("/v1/databases?limit=100").await?);
            Ok(ExitCode::SUCCESS)
        }
        Action::Remove { name } => {
            let id = client.database(&name).await?;
            client.delete(&format!("/v1/databases/{id}")).await?;
            line("removed");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn add(client: &Client, name: &str, url: &str, description: Option<String>) -> anyhow::Result<ExitCode> {
    if client.id_of("/v1/databases", name).await?.is_some() {
        line(&format!("{name} is connected already"));
        return Ok(ExitCode::SUCCESS);
    }
    let body = json!({ "name": name, "url": url, "description": description });
    let mut database = client.post("/v1/databases", &body).await?;
    let path = format!("/v1/databases/{}", database["id"].as_str().unwrap_or_default());
    while database["status"] == "syncing" {
        tokio::time::sleep(POLL).await;
        database = client.get(&path).await?;
    }
    if let Some(error) = database["error"]["detail"].as_str() {
        line(&format!("{name} is known, but its schema cannot be read: {error}"));
        return Ok(ExitCode::FAILURE);
    }
    line(&format!("{name} is connected: {} tables", database["table_count"]));
    Ok(ExitCode::SUCCESS)
}

fn print_databases(databases: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |database: &Value| {
        ["name", "engine", "status", "table_count", "id"].map(|field| text(&database[field])).to_vec()
    };
    let rows: Vec<Vec<String>> = databases["data"].as_array().into_iter().flatten().map(row).collect();
    table::print(&["name", "engine", "status", "tables", "id"], &rows);
}
