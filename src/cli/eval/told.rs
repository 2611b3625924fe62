//! What an evaluation prints and writes, and what its exit code says.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context;
use serde_json::Value;

use crate::cli::table::line;

/// Prints the text, and writes the JSON where it is wanted; as standard output, it sends the text to standard error.
pub fn tell(
    text: &[String],
    json: impl FnOnce() -> Value,
    file: Option<&Path>,
    failed: bool,
) -> anyhow::Result<ExitCode> {
    match file {
        Some(file) if file.as_os_str() == "-" => {
            text.iter().for_each(|text| eprintln!("{text}"));
            line(&serde_json::to_string_pretty(&json())?);
        }
        Some(file) => {
            text.iter().for_each(|text| line(text));
            let json = serde_json::to_string_pretty(&json())? + "\n";
            fs::write(file, json).with_context(|| file.display().to_string())?;
        }
        None => text.iter().for_each(|text| line(text)),
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
