//! The command line: one file a command. `serve` is the server; client commands speak HTTP to a running one.

mod ask;
mod client;
mod database;
mod doctor;
mod eval;
mod guard;
mod ingest;
mod key;
mod postgres;
mod search;
mod serve;
mod sql;
mod table;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, Given},
    ingest::extract::{
        self,
        limits::{self, Confinement},
    },
};

/// Ask your documents and your databases.
///
/// `almanac serve` starts the server. The other commands talk to it: they find a server on this machine by themselves,
/// or the one in ALMANAC_URL with the key in ALMANAC_API_KEY.
#[derive(Debug, Parser)]
#[command(name = "almanac", version, arg_required_else_help = true)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the server, with an embedded PostgreSQL unless ALMANAC_DATABASE_URL names one
    Serve(SettingArgs),
    /// Ingest documents beside a running server, on this machine or another, against the same PostgreSQL
    Worker(worker::Arguments),
    /// Upload files and folders into a knowledge base and wait until they are searchable
    Ingest(ingest::Arguments),
    /// Search documents
    Search(search::Arguments),
    /// Ask a question: of documents, or of a database with --database
    Ask(ask::Arguments),
    /// Prove that a statement only reads, and run it
    Sql(sql::Arguments),
    /// Judge statements of your own as the server would, without running them
    Guard(guard::Arguments),
    /// Measure how good searches are, on questions of yours
    Eval(eval::Arguments),
    /// Connect, list and remove databases
    Database(database::Arguments),
    /// Create, list and revoke API keys
    Key(key::Arguments),
    /// Print the settings in force, secrets hidden
    Config(SettingArgs),
    /// Say what is set up, what is missing, and how to mend it
    Doctor(SettingArgs),
    /// Run the embedded PostgreSQL alone, to look into it while the server is down
    Postgres(SettingArgs),
    /// Read one document from standard input, in a process of its own
    #[command(hide = true)]
    ExtractWorker,
    /// Run a program under limits
    #[command(hide = true)]
    Confined {
        #[command(flatten)]
        limits: Confinement,
        program: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Settings that may be given as flags. All are listed by `almanac config`; flags win over ALMANAC_… variables, those
/// over almanac.toml.
#[derive(Debug, Args)]
struct SettingArgs {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long)]
    bind: Option<String>,
    /// Folder for everything Almanac keeps [default: almanac-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Any other setting, as NAME=VALUE
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
}

/// Runs what the arguments ask for.
pub fn run() -> ExitCode {
    // The worker is started for every document, and answers through its exit code and its output alone. Building the
    // description of all commands would take as long as reading a small file.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "extract-worker") {
        return extract::worker::main();
    }
    match Command::parse().verb.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("almanac: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Verb {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Verb::Serve(settings) => serve::run(settings.load()?),
            Verb::Worker(arguments) => worker::run(arguments),
            Verb::Ingest(arguments) => client::block_on(ingest::run(arguments)),
            Verb::Search(arguments) => client::block_on(search::run(arguments)),
            Verb::Ask(arguments) => client::block_on(ask::run(arguments)),
            Verb::Sql(arguments) => client::block_on(sql::run(arguments)),
            Verb::Guard(arguments) => client::block_on(guard::run(arguments)),
            Verb::Eval(arguments) => client::block_on(eval::run(arguments)),
            Verb::Database(arguments) => client::block_on(database::run(arguments)),
            Verb::Key(arguments) => client::block_on(key::run(arguments)),
            Verb::Config(settings) => Ok(print_config(&settings.load()?)),
            Verb::Doctor(settings) => doctor::run(&settings.load()?),
            Verb::Postgres(settings) => {
                let config = settings.load()?;
                postgres::run(config.postgres_dir.as_deref(), &config.data_dir)?;
                Ok(ExitCode::SUCCESS)
            }
            Verb::ExtractWorker => Ok(extract::worker::main()),
            Verb::Confined { limits, program, arguments } => Ok(limits::exec(&limits, &program, &arguments)),
        }
    }
}

impl SettingArgs {
    fn load(self) -> anyhow::Result<Config> {
        let mut flags: Given = self.settings.into_iter().collect();
        flags.extend(self.bind.map(|bind| ("bind".to_owned(), bind)));
        flags.extend(self.data_dir.map(|dir| ("data_dir".to_owned(), dir.to_string_lossy().into_owned())));
        Ok(Config::load(flags)?)
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.trim().to_lowercase(), value.to_owned()))
}

fn print_config(config: &Config) -> ExitCode {
    for (setting, value) in config.describe() {
        table::line(&format!("{:<22} {value:<24} {}", setting.name, setting.purpose));
    }
    ExitCode::SUCCESS
}
