use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("extract-worker") => almanac::ingest::extract::worker::main(),
        _ => ExitCode::FAILURE,
    }
}
