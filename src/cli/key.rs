//! `almanac key create|list|revoke`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value, json};

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
    /// Create a key; it is shown once
    Create {
        /// What it is for
        name: String,
        /// What it may do: read, write, sql, admin
        #[arg(long, value_delimiter = ',', default_values_t = ["read".to_owned(), "write".to_owned(), "sql".to_owned()])]
        scopes: Vec<String>,
        /// What it says about its caller, for row filters, as tenant=42; may be given several times
        #[arg(long = "attribute", value_parser = attribute)]
        attributes: Vec<(String, Value)>,
        /// When it stops working, as 2027-01-31T00:00:00Z
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// List keys, without the keys themselves
    List,
    /// Revoke a key at once
    Revoke {
        /// Its id
        id: String,
    },
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::find()?;
    match arguments.action {
        Action::Create { name, scopes, attributes, expires_at } => {
            let attributes: Map<String, Value> = attributes.into_iter().collect();
            let body = json!({ "name": name, "scopes": scopes, "attributes": attributes, "expires_at": expires_at });
            let created = client.post("/v1/keys", &body).await?;
            line(created["key"].as_str().unwrap_or_default());
        }
        Action::List => print_keys(&client.get("/v1/keys").await?),
        Action::Revoke { id } => {
            client.delete(&format!("/v1/keys/{id}")).await?;
            line("revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `name=value`; whole numbers, `true` and `false` are what they look like, a value in double quotes is text.
pub fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be name=value")?;
    let value = match serde_json::from_str(value) {
        Ok(plain @ (Value::Number(_) | Value::Bool(_) | Value::String(_))) => plain,
        _ => value.into(),
    };
    Ok((name.to_owned(), value))
}

fn print_keys(keys: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |key: &Value| {
        let scopes: Vec<&str> = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let state = if key["revoked_at"].is_null() { "active" } else { "revoked" };
        vec![
            text(&key["id"]),
            text(&key["name"]),
            format!("{}…", text(&key["prefix"])),
            scopes.join(","),
            state.to_owned(),
            text(&key["last_used_at"]),
        ]
    };
    let rows: Vec<Vec<String>> = keys["data"].as_array().into_iter().flatten().map(row).collect();
    table::print(&["id", "name", "key", "scopes", "state", "last used"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_what_they_look_like() {
        let value = |text| attribute(text).unwrap().1;
        assert_eq!((value("a=42"), value("a=true"), value("a=EU")), (json!(42), json!(true), json!("EU")));
        assert_eq!((value("a=\"42\""), value("a=x=y"), value("a=")), (json!("42"), json!("x=y"), json!("")));
        assert!(attribute("tenant").is_err());
    }
}
