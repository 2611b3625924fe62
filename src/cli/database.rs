//! `almanac database add|list|notes|remove`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Subcommand;
use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{
    client::{self, Client},
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
        /// postgres://, mysql:// or mssql://user:password@host/database, or sqlite:file (in one of the sqlite_dirs)
        url: String,
        /// What is in it
        #[arg(long)]
        description: Option<String>,
        /// Refuse a login that can do more than read
        #[arg(long)]
        require_read_only: bool,
    },
    /// List databases
    List,
    /// Print what people said about a database's tables as YAML; or put a file in its place
    #[command(after_help = NOTES)]
    Notes {
        /// Its name or id
        name: String,
        /// Put this file in the place of everything that was said; - is standard input
        #[arg(long, value_name = "FILE")]
        import: Option<PathBuf>,
        /// Only say what the file would change
        #[arg(long, requires = "import")]
        dry_run: bool,
    },
    /// Disconnect a database and forget everything about it
    Remove {
        /// Its name or id
        name: String,
    },
}

const NOTES: &str = "\
Examples:
  almanac database notes sales > sales.yaml
  almanac database notes sales --import sales.yaml --dry-run
  almanac database notes sales --import sales.yaml

A file looks like this:
  schemas:
    public:
      orders:
        description: Orders and quotes
        synonyms: [sales]
        metrics:
        - name: net revenue
          expression: sum(amount - discount)
          unit: EUR
        filters:
        - name: active
          condition: status <> 'cancelled'
          default: true
        columns:
          amount: {unit: EUR, synonyms: [turnover]}
          internal_note: {hidden: true}";

const YAML: &str = "application/yaml";
const POLL: Duration = Duration::from_millis(200);

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::find()?;
    match arguments.action {
        Action::Add { name, url, description, require_read_only } => {
            let body = json!({
                "name": name, "url": url, "description": description, "require_read_only": require_read_only
            });
            add(&client, &name, &body).await
        }
        Action::List => {
            print_databases(&client.get("/v1/databases?limit=100").await?);
            Ok(ExitCode::SUCCESS)
        }
        Action::Notes { name, import, dry_run } => {
            let path = format!("/v1/databases/{}/notes", client.database(&name).await?);
            match import {
                Some(file) => import_notes(&client, &path, &file, dry_run).await,
                None => export_notes(&client, &path).await,
            }
        }
        Action::Remove { name } => {
            let id = client.database(&name).await?;
            client.delete(&format!("/v1/databases/{id}")).await?;
            line("removed");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn export_notes(client: &Client, path: &str) -> anyhow::Result<ExitCode> {
    let response = client.request(Method::GET, path).header(header::ACCEPT, YAML).send().await?;
    if !response.status().is_success() {
        client::json(response).await?;
        return Ok(ExitCode::FAILURE);
    }
    line(response.text().await?.trim_end());
    Ok(ExitCode::SUCCESS)
}

async fn import_notes(client: &Client, path: &str, file: &Path, dry_run: bool) -> anyhow::Result<ExitCode> {
    let text = if file == Path::new("-") {
        io::read_to_string(io::stdin())?
    } else {
        fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?
    };
    let request = client.request(Method::PUT, &format!("{path}?dry_run={dry_run}")).header(header::CONTENT_TYPE, YAML);
    let answer = client::json(request.body(text).send().await?).await?;
    let verb = if dry_run { "would change" } else { "changed" };
    for table in answer["changed"].as_array().into_iter().flatten() {
        line(&format!("{verb}  {}", table.as_str().unwrap_or_default()));
    }
    let count = answer["changed"].as_array().map_or(0, Vec::len);
    line(&format!("{count} {} {verb}", if count == 1 { "table" } else { "tables" }));
    Ok(ExitCode::SUCCESS)
}

async fn add(client: &Client, name: &str, body: &Value) -> anyhow::Result<ExitCode> {
    if client.id_of("/v1/databases", name).await?.is_some() {
        line(&format!("{name} is connected already"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut database = client.post("/v1/databases", body).await?;
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
    for warning in warnings(&database) {
        line(&format!("warning: {}", warning["detail"].as_str().unwrap_or_default()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the login can do beyond reading.
fn warnings(database: &Value) -> &[Value] {
    database["warnings"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn print_databases(databases: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |database: &Value| {
        let codes: Vec<&str> = warnings(database).iter().filter_map(|warning| warning["code"].as_str()).collect();
        let [name, engine, status, tables, id] =
            ["name", "engine", "status", "table_count", "id"].map(|field| text(&database[field]));
        vec![name, engine, status, tables, codes.join(","), id]
    };
    let rows: Vec<Vec<String>> = databases["data"].as_array().into_iter().flatten().map(row).collect();
    table::print(&["name", "engine", "status", "tables", "the login can", "id"], &rows);
}
