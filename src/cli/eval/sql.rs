//! `almanac eval sql`: asks a running server questions whose SQL is known, and says how often it finds the same rows.
//!
//! It measures what a client gets: everything goes over HTTP. Databases that it connects it removes again, whatever
//! happens. What it prints is reproducible, but for the times and for what a language model makes up anew.

mod ask;
mod compare;
mod databases;
mod family;
mod floor;
mod questions;
mod report;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use databases::Made;
use floor::Floor;
use questions::Questions;
use report::Report;

use super::{bootstrap::Resampling, progress::Progress, told};
use crate::cli::client::Client;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Spider's questions as JSON (db_id, question, query), or a CSV file of database,question,sql
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where Spider's databases are, as FOLDER/db_id/db_id.sqlite [default: database/ beside the file]
    #[arg(long, value_name = "FOLDER")]
    databases: Option<PathBuf>,
    /// Keep the databases that were connected
    #[arg(long)]
    keep: bool,
    /// Ask only about these databases
    #[arg(long, value_name = "DATABASE", value_delimiter = ',')]
    only: Vec<String>,
    /// Ask only so many questions, drawn by chance
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// The confidence from which an answer counts as given [default: the server's]
    #[arg(long, value_name = "VALUE", value_parser = share)]
    min_confidence: Option<f64>,
    /// Fail (exit code 1) below this: METRIC=VALUE for accuracy, precision, answered or offered; may be given again
    #[arg(long, value_name = "FLOOR")]
    floor: Vec<Floor>,
    /// List so many of the questions that went wrong, the surest first
    #[arg(long, value_name = "N", default_value_t = 0)]
    worst: usize,
    /// Write everything as JSON, each question by itself too; - is standard output, and the tables go to standard error
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Go on when expected statements do not run; their questions say nothing
    #[arg(long)]
    allow_broken: bool,
    /// Questions at a time; with more than one, the times are those under load
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How often the bootstrap draws the questions again
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u16).range(2_000..=10_000))]
    resamples: u16,
    /// Another seed gives other draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

const EXAMPLES: &str = "\
Examples:
  almanac eval sql questions.csv --worst 10
      asks databases that the server knows by name, and shows the ten surest of its wrong answers
  almanac eval sql spider/dev.json --databases spider/database --only farm,hr_1
      connects two of Spider's databases, asks their questions, and removes them again
  almanac eval sql questions.csv --floor accuracy=0.7 --floor precision=0.9 --json eval.json
      in CI: exit code 1 below a floor

questions.csv has a header and a row for each question:
  database,question,sql
  sales,How many customers are there?,select count(*) from customers

Spider's files are opened by the server: ALMANAC_SQLITE_DIRS must name their folder.

Measures: accuracy is the share of questions whose best guess gives the rows that the expected statement gives (its rows in \
any order unless it says ORDER BY, columns in any order, numbers within 10⁻⁶). answered is the share that is sure enough to be \
answered unasked, precision how many of those are right, offered how often the best guess or one of the two next to it is, \
declined how often there is no SQL. Every question is asked with min_confidence 0; each is kept in the server's history.

Exit codes: 0; 1 below a floor, when an expected statement did not run (see --allow-broken), or when something went wrong; \
2 for wrong usage; 130 after Ctrl-C.";

/// By convention: of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

fn share(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "it is from 0 to 1".to_owned())
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut questions = Questions::read(&arguments.file)?;
    questions.only(&arguments.only)?;
    if let Some(number) = arguments.sample {
        questions.sample(number.max(1), arguments.seed);
    }
    let (client, made) = (Client::find()?, Made::default());
    let ended = tokio::select! {
        report = evaluate(&client, &arguments, questions, &made) => Some(report),
        _ = tokio::signal::ctrl_c() => None,
    };
    if !arguments.keep {
        made.remove(&client).await;
    }
    match ended {
        Some(report) => {
            let report = report?;
            told::tell(&report.text(arguments.worst), || report.json(), arguments.json.as_deref(), report.is_failure())
        }
        None => Ok(ExitCode::from(INTERRUPTED)),
    }
}

async fn evaluate(client: &Client, arguments: &Arguments, questions: Questions, made: &Made) -> anyhow::Result<Report> {
    let folder = questions.is_spider.then(|| arguments.folder());
    let ids = databases::find(client, &questions.databases(), folder.as_deref(), made).await?;
    let first = questions.all.first().context("there is no question")?;
    let threshold = match arguments.min_confidence {
        Some(threshold) => threshold,
        None => ask::threshold(client, &ids[&first.database], &first.text).await?,
    };
    let progress = Progress::of("asked", questions.all.len());
    let outcomes = ask::all(client, &ids, &questions.all, usize::from(arguments.concurrency), &progress).await?;
    Ok(Report {
        name: arguments.name(),
        questions: questions.all,
        outcomes,
        threshold,
        resampling: Resampling { times: usize::from(arguments.resamples), seed: arguments.seed },
        floors: arguments.floor.clone(),
        allow_broken: arguments.allow_broken,
    })
}

impl Arguments {
    fn folder(&self) -> PathBuf {
        self.databases.clone().unwrap_or_else(|| self.file.parent().unwrap_or(Path::new("")).join("database"))
    }

    /// What people call the questions.
    fn name(&self) -> String {
        self.file.file_name().map_or_else(|| "questions".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}
