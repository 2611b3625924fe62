//! Which files are new or have changed since they were last ingested, by modification time and size.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    Arguments,
    files::{self, File, is_standard_input},
    is_away,
};

/// Between looks. A file is taken when two looks in a row saw the same, so that one being written is not taken half.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Watch {
    /// What was handed out last.
    taken: HashMap<PathBuf, Stamp>,
    seen: HashMap<PathBuf, Stamp>,
    last: Vec<PathBuf>,
}

type Stamp = (SystemTime, u64);

impl Watch {
    /// Everything but `files` as they are now is new.
    pub fn of(files: &[File]) -> Watch {
        let mut watch = Watch::default();
        let stamped = files.iter().filter_map(|file| Some((file.path.clone(), stamp(&file.path)?)));
        watch.taken.extend(stamped);
        watch.last.extend(watch.taken.keys().cloned());
        watch
    }

    /// Waits for files that are new or changed, and settled.
    pub async fn changed(&mut self, arguments: &Arguments) -> anyhow::Result<Vec<File>> {
        loop {
            tokio::time::sleep(LOOK).await;
            let paths: Vec<PathBuf> = arguments.paths.iter().filter(|path| !is_standard_input(path)).cloned().collect();
            let selection = arguments.selection.clone();
            // A folder that cannot be read just now is looked into again next time.
            let found = tokio::task::spawn_blocking(move || files::find(&paths, &selection)).await??;
            let files = self.settled(found.files);
            if !files.is_empty() {
                self.last = files.iter().map(|file| file.path.clone()).collect();
                return Ok(files);
            }
        }
    }

    fn settled(&mut self, files: Vec<File>) -> Vec<File> {
        let before = std::mem::take(&mut self.seen);
        let mut settled = Vec::new();
        for file in files {
            let Some(now) = stamp(&file.path) else { continue };
            if self.taken.get(&file.path) == Some(&now) {
                continue;
            }
            if before.get(&file.path) == Some(&now) {
                self.taken.insert(file.path.clone(), now);
                settled.push(file);
            } else {
                self.seen.insert(file.path.clone(), now);
            }
        }
        settled
    }

    /// A pass that failed because the server is away is made again; any other failure is the caller's.
    pub fn later(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        if !is_away(&error) {
            return Err(error);
        }
        eprintln!("almanac: {error:#}; trying again");
        for path in self.last.drain(..) {
            self.taken.remove(&path);
        }
        Ok(())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_once_it_has_stopped_changing_and_again_when_it_changes() {
        let dir = std::env::temp_dir().join(format!("almanac-watch-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&dir).unwrap();
        let selection = || <SelectionOnly as clap::Parser>::parse_from(["test"]).selection;
        let find = || files::find(std::slice::from_ref(&dir), &selection()).unwrap().files;
        std::fs::write(dir.join("old.md"), "old").unwrap();
        let mut watch = Watch::of(&find());
        let mut look = || watch.settled(find()).iter().map(|file| file.name()).collect::<Vec<_>>();
        assert!(look().is_empty());
        std::fs::write(dir.join("new.md"), "n").unwrap();
        assert!(look().is_empty(), "it may still be written");
        std::fs::write(dir.join("new.md"), "new").unwrap();
        assert!(look().is_empty());
        assert_eq!(look(), ["new.md"]);
        assert!(look().is_empty());
        std::fs::write(dir.join("old.md"), "changed").unwrap();
        assert!(look().is_empty());
        assert_eq!(look(), ["old.md"]);
    }

    #[derive(clap::Parser)]
    struct SelectionOnly {
        #[command(flatten)]
        selection: files::Selection,
    }
}
