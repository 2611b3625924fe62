//! `almanac eval`: measures a running server on a user's own questions, so that a change that makes answers worse fails in
//! a user's CI. One file a subject.

mod bootstrap;
mod progress;
mod retrieval;
mod sql;
mod told;

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, clap::Subcommand)]
enum Subject {
    /// How well searches find the documents that answer judged questions
    Retrieval(retrieval::Arguments),
    /// How often questions to databases are answered with the rows that known SQL gives
    Sql(sql::Arguments),
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.subject {
        Subject::Retrieval(arguments) => retrieval::run(arguments).await,
        Subject::Sql(arguments) => sql::run(arguments).await,
    }
}
