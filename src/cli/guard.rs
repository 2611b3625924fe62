//! `almanac guard`: what the guard says about statements of one's own, before anything is connected.
//!
//! Nothing is run and no database is asked: the schema comes from a file, or from a running server that has read it
//! already. The verdict is the one that `POST /v1/databases/{id}/validate` gives for the same schema and policy.

mod ddl;
mod report;
mod schema;
mod statements;

use std::{io::Read, path::PathBuf, process::ExitCode};

use anyhow::{Context, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use report::{Judged, Report};
use serde_json::Value;
use statements::Form;

use super::{client::Client, key};
use crate::text_to_sql::{
    guard::{self, Policy},
    schema::{Engine, Schema},
};

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    /// Files of statements, each ended by a semicolon; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the statements are written for; a JSON schema and a server say it themselves
    #[arg(long, value_parser = engines())]
    dialect: Option<Engine>,
    /// What is in the database: CREATE TABLE and CREATE VIEW statements, or the JSON of GET /v1/databases/{id}/schema
    #[arg(long, value_name = "FILE", required_unless_present = "database", conflicts_with = "database")]
    schema: Option<PathBuf>,
    /// Take the schema of this database (name or id) from a running server
    #[arg(long, short, value_name = "NAME")]
    database: Option<String>,
    /// A function that an administrator approved; may be given again
    #[arg(long, value_name = "FUNCTION")]
    approve: Vec<String>,
    /// What row filters know about the caller, as NAME=VALUE; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Vec<(String, Value)>,
    /// Read one statement a line: what follows the last ` -- ` is its category, and ⏎ stands for a line end
    #[arg(long)]
    lines: bool,
    /// Fail (exit code 1) if any statement is judged otherwise; without it, if any is refused
    #[arg(long, value_name = "VERDICT", value_parser = ["accepted", "refused"])]
    expect: Option<String>,
    /// Say why, and what would run
    #[arg(long, short)]
    verbose: bool,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  almanac guard reports.sql --schema shop.sql --dialect postgres
      One line a statement: accepted, or refused with the reasons' codes. Exit code 1 if any is refused.
  echo 'select emial from customers' | almanac guard - --schema shop.sql --dialect sqlite --verbose
      The reasons as sentences, with the nearest name that exists.
  almanac guard attacks.sql --lines --database shop --expect refused
      A check for a build: exit code 1 if a single line would be let through.

A .sql schema begins in the engine's own default schema (public, main, dbo); `USE name;` says another, as MySQL needs.";

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let schema = arguments.read_schema().await?;
    let policy = Policy {
        approved_functions: arguments.approve.iter().map(|name| name.to_lowercase()).collect(),
        attributes: arguments.attribute.iter().cloned().collect(),
    };
    let form = if arguments.lines { Form::Lines } else { Form::Chunks };
    let mut judged = Vec::new();
    for file in &arguments.files {
        let name = file.display().to_string();
        let bytes = read(file).with_context(|| name.clone())?;
        for statement in statements::read(&bytes, form, schema.engine).with_context(|| name.clone())? {
            let verdict = guard::check(&statement.sql, &schema, &policy);
            judged.push(Judged { file: name.clone(), statement, verdict });
        }
    }
    ensure!(!judged.is_empty(), "there is no statement to judge");
    Ok(arguments.conclude(&Report { judged }))
}

impl Arguments {
    async fn read_schema(&self) -> anyhow::Result<Schema> {
        let schema = match (&self.schema, &self.database) {
            (Some(file), _) => self.schema_in(file).with_context(|| file.display().to_string())?,
            (None, Some(name)) => served_schema(name).await?,
            (None, None) => anyhow::bail!("--schema or --database says what the statements may name"),
        };
        let same = self.dialect.is_none_or(|dialect| dialect == schema.engine);
        ensure!(same, "the schema is one of {}, which --dialect contradicts", schema.engine.name());
        Ok(schema)
    }

    fn schema_in(&self, file: &PathBuf) -> anyhow::Result<Schema> {
        schema::read(&read(file)?, self.dialect)
    }

    fn conclude(&self, report: &Report) -> ExitCode {
        let expected_refused = self.expect.as_deref().map(|verdict| verdict == "refused");
        if self.json {
            report.print_json();
        } else {
            report.print(self.verbose, expected_refused);
        }
        let otherwise = report.judged.iter().any(|it| it.is_refused() != expected_refused.unwrap_or(false));
        if otherwise { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

async fn served_schema(name: &str) -> anyhow::Result<Schema> {
    let client = Client::find()?;
    let id = client.database(name).await?;
    let schema = client.get(&format!("/v1/databases/{id}/schema")).await?;
    serde_json::from_value(schema).context("the server's schema could not be read")
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return Ok(std::fs::read(file)?);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn engines() -> impl TypedValueParser<Value = Engine> {
    let named = |name: String| Engine::ALL.into_iter().find(|engine| engine.name() == name).ok_or("unknown dialect");
    PossibleValuesParser::new(Engine::ALL.map(Engine::name)).try_map(named)
}

/// As a key has them; blanks around a name are slips.
fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = key::attribute(text)?;
    Ok((name.trim().to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_numbers_booleans_or_texts() {
        let value = |text| attribute(text).unwrap().1;
        assert_eq!(value("tenant=42"), 42);
        assert_eq!(value("auditor=true"), true);
        assert_eq!(value("tenant=\"42\""), "42");
        assert_eq!(value("region=north=east"), "north=east");
        assert_eq!(value("list=[1]"), "[1]");
        assert!(attribute("tenant").is_err());
    }
}
