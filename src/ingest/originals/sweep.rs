//! Finds what a crash left behind: objects that no row names, and a folder's unfinished files.
//!
//! An upload has its row within minutes, so what is older than a day and has none will never have one. Objects of
//! workspaces that this installation does not know are not its own, and stay.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use uuid::Uuid;

use super::{OriginalError, Originals};
use crate::store::{Store, StoreError, originals::Stored};

/// How long an upload may be under way.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Objects that one statement asks about.
const BATCH: usize = 1_000;
/// Workspace and knowledge base: files lie below, and nothing of ours lies deeper.
const FOLDERS: usize = 2;
/// A file that `object_store` has not put in its place yet is called `name#number`.
const UNFINISHED: char = '#';

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Storage(#[from] OriginalError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Originals {
    /// Removes what no row names and was begun more than a day before `now`. Returns how many objects that were.
    pub async fn sweep(&self, store: &Store, now: SystemTime) -> Result<usize, SweepError> {
        let before = now.checked_sub(AGE).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut removed = self.sweep_unfinished(before).await?;
        let (mut objects, mut old) = (self.store.list(None), Vec::with_capacity(BATCH));
        while let Some(object) = objects.try_next().await.map_err(OriginalError::from)? {
            old.extend(stored(&object.location, before));
            if old.len() == BATCH {
                removed += self.remove_orphans(store, std::mem::take(&mut old)).await?;
            }
        }
        Ok(removed + self.remove_orphans(store, old).await?)
    }

    async fn remove_orphans(&self, store: &Store, stored: Vec<Stored>) -> Result<usize, SweepError> {
        let orphans = store.orphaned_originals(&stored).await?;
        let keys: Vec<_> = orphans
            .into_iter()
            .map(|orphan| Ok(super::key(orphan.workspace, orphan.knowledge_base, orphan.id)))
            .collect();
        Ok(self.remove_each(stream::iter(keys).boxed()).await?)
    }

    async fn sweep_unfinished(&self, before: SystemTime) -> Result<usize, OriginalError> {
        let Some(folder) = self.folder.clone() else { return Ok(0) };
        let swept = tokio::task::spawn_blocking(move || remove_unfinished(&folder, FOLDERS, before)).await;
        Ok(swept.map_err(io::Error::from)??)
    }
}

/// What lies under a key that is one of ours and old enough.
fn stored(key: &Key, before: SystemTime) -> Option<Stored> {
    let parts: Vec<_> = key.parts().collect();
    let [workspace, knowledge_base, id] = parts.as_slice() else { return None };
    let id = id.as_ref().parse().ok().filter(|id| begun(*id).is_some_and(|begun| begun < before))?;
    Some(Stored {
        workspace: workspace.as_ref().parse().ok()?,
        knowledge_base: knowledge_base.as_ref().parse().ok()?,
        id,
    })
}

/// The time in a version 7 UUID.
fn begun(id: Uuid) -> Option<SystemTime> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

fn remove_unfinished(folder: &Path, below: usize, before: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if below > 0 && entry.file_type()?.is_dir() {
            removed += remove_unfinished(&entry.path(), below - 1, before).or_else(nothing_there)?;
        } else if below == 0 && is_unfinished(&entry.file_name().to_string_lossy(), before) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A folder that has become empty is removed while others look.
fn nothing_there(error: io::Error) -> io::Result<usize> {
    if error.kind() == io::ErrorKind::NotFound { Ok(0) } else { Err(error) }
}

fn is_unfinished(name: &str, before: SystemTime) -> bool {
    let id = name.split_once(UNFINISHED).and_then(|(id, _)| id.parse::<Uuid>().ok());
    id.and_then(begun).is_some_and(|begun| begun < before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_objects_under_keys_of_ours_are_asked_about() {
        let now = SystemTime::now();
        let (workspace, knowledge_base, id) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let key = super::super::key(workspace, knowledge_base, id);
        let tomorrow = now + 2 * AGE;
        assert_eq!(stored(&key, tomorrow), Some(Stored { workspace, knowledge_base, id }));
        assert_eq!(stored(&key, now - AGE), None, "it may be under way");
        for foreign in [format!("{workspace}/{id}"), format!("a/{knowledge_base}/{id}"), format!("{key}/more")] {
            assert_eq!(stored(&Key::from(foreign.as_str()), tomorrow), None, "{foreign}");
        }
        let random = format!("{workspace}/{knowledge_base}/7d444840-9dc0-41d1-b245-5ffdce74fad2");
        assert_eq!(stored(&Key::from(random), tomorrow), None, "no time in its name");
    }

    #[test]
    fn unfinished_files_of_today_stay() {
        let (now, id) = (SystemTime::now(), Uuid::now_v7());
        assert!(is_unfinished(&format!("{id}#1"), now + AGE));
        assert!(!is_unfinished(&format!("{id}#1"), now - AGE));
        assert!(!is_unfinished(&id.to_string(), now + AGE));
        assert!(!is_unfinished("notes#1", now + AGE));
    }
}
