use std::{env, path::Path, process::ExitCode};

fn main() -> anyhow::Result<ExitCode> {
    match env::args().nth(1).as_deref() {
        Some("extract-worker") => Ok(almanac::ingest::extract::worker::main()),
        Some("postgres") => {
            let install = env::var_os("ALMANAC_POSTGRES_DIR");
            let data = env::var_os("ALMANAC_DATA_DIR").unwrap_or_else(|| "data".into());
            almanac::cli::postgres::run(install.as_deref().map(Path::new), Path::new(&data))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => anyhow::bail!("usage: almanac postgres"),
    }
}
