use std::{env, path::Path};

fn main() -> anyhow::Result<()> {
    let install = env::var_os("ALMANAC_POSTGRES_DIR");
    let data = env::var_os("ALMANAC_DATA_DIR").unwrap_or_else(|| "data".into());
    anyhow::ensure!(env::args().nth(1).as_deref() == Some("postgres"), "usage: almanac postgres");
    almanac::cli::postgres::run(install.as_deref().map(Path::new), Path::new(&data))
}
