//! Where PostgreSQL's programs are.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::PostgresError;

/// A folder of PostgreSQL programs that has what the server needs. That they run, and how new they are, is found out
/// when they are started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    bin: PathBuf,
}

impl Install {
    /// Looks in `dir` only, if given; else beside the executable, as a package lays it out, then in the cache folder
    /// under the current directory, as `make setup` does.
    pub fn find(dir: Option<&Path>) -> Result<Install, PostgresError> {
        let places = dir.map_or_else(usual_places, |dir| vec![dir.to_owned()]);
        places.iter().find_map(|place| Install::at(place)).ok_or(PostgresError::NotInstalled { looked_in: places })
    }

    /// The path of one of its programs, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn at(dir: &Path) -> Option<Install> {
        // Resolved, since PostgreSQL finds its libraries and data files relative to where its programs really are.
        let bin = dir.join("bin").canonicalize().ok()?;
        ["postgres", "initdb"].iter().all(|name| bin.join(name).is_file()).then_some(Install { bin })
    }
}

fn usual_places() -> Vec<PathBuf> {
    let executable = env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    let beside = executable.parent().unwrap_or(Path::new(""));
    vec![
        beside.join("../lib/almanac/postgresql"),
        beside.join("postgresql"),
        PathBuf::from(".cache/almanac/postgresql"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_programs_is_named_in_the_error() {
        let error = Install::find(Some(Path::new("/usr/share"))).unwrap_err();
        assert!(error.to_string().contains("no PostgreSQL programs in /usr/share: run `make setup`"), "{error}");
    }
}
