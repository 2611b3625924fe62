use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    almanac::cli::Command::parse().run()
}
