//! Which files a run is about: those that were named, those in folders, and standard input; in a stable order, each
//! once. Symbolic links in folders are not followed. What cannot be read is a failure of that path alone.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{self, Read, Seek},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use ignore::{
    WalkBuilder,
    overrides::{Override, OverrideBuilder},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Which files of a folder are taken.
#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// Take only files that match, as in .gitignore: '*.md', 'handbook/**'; may be given again
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Leave out files and folders that match; wins over --include; may be given again
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Take hidden files and folders too
    #[arg(long)]
    hidden: bool,
    /// Leave out what .gitignore files name, as .almanacignore files always do
    #[arg(long)]
    gitignore: bool,
}

/// A file to ingest.
#[derive(Debug)]
pub struct File {
    /// As it was named, or found under a folder that was.
    pub path: PathBuf,
    /// Standard input, kept on disk so that it can be sent again.
    spooled: Option<fs::File>,
}

/// A path that could not be ingested, and why.
#[derive(Debug)]
pub struct Failure {
    pub name: String,
    pub reason: String,
}

#[derive(Debug, Default)]
pub struct Found {
    pub files: Vec<File>,
    pub failures: Vec<Failure>,
}

pub type Sha256Bytes = [u8; 32];

const STANDARD_INPUT: &str = "-";
const IGNORE_FILE: &str = ".almanacignore";
/// The longest external id that the server takes.
const MAX_EXTERNAL_ID: usize = 500;
/// How much of a longer path is kept behind its hash.
const KEPT_OF_LONG_PATH: usize = 400;
const READ_BYTES: usize = 128 << 10;

/// Every file that `paths` lead to. An error is a bad glob, not a bad path.
pub fn find(paths: &[PathBuf], selection: &Selection) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in paths {
        if is_standard_input(path) {
            found.take(path, File::spool());
        } else {
            match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => walk(path, selection, &mut found)?,
                Ok(metadata) if metadata.is_file() => found.take(path, Ok(File::at(path.clone()))),
                Ok(_) => found.take(path, Err(io::Error::other("is neither a file nor a folder"))),
                Err(error) => found.take(path, Err(error)),
            }
        }
    }
    if paths.len() > 1 {
        let mut seen = HashSet::new();
        found.files.retain(|file| seen.insert(std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone())));
    }
    Ok(found)
}

pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}

fn walk(root: &Path, selection: &Selection, found: &mut Found) -> anyhow::Result<()> {
    let include = globs(root, &selection.include, "")?;
    let mut builder = WalkBuilder::new(root);
    builder
        .standard_filters(false)
        .parents(true)
        .hidden(!selection.hidden)
        .git_ignore(selection.gitignore)
        .git_exclude(selection.gitignore)
        .require_git(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        .overrides(globs(root, &selection.exclude, "!")?)
        .sort_by_file_name(OsStr::cmp);
    for entry in builder.build() {
        match entry {
            Ok(entry) => {
                if let Some(error) = entry.error() {
                    eprintln!("almanac: {error}");
                }
                let is_file = entry.file_type().is_some_and(|kind| kind.is_file()) && entry.file_name() != IGNORE_FILE;
                if is_file && (include.is_empty() || include.matched(entry.path(), false).is_whitelist()) {
                    found.files.push(File::at(entry.into_path()));
                }
            }
            Err(error) => found.failures.push(failure(root, &error)),
        }
    }
    Ok(())
}

fn globs(root: &Path, globs: &[String], prefix: &str) -> anyhow::Result<Override> {
    let mut builder = OverrideBuilder::new(root);
    for glob in globs {
        builder.add(&format!("{prefix}{glob}")).with_context(|| format!("the pattern {glob} is malformed"))?;
    }
    Ok(builder.build()?)
}

fn failure(root: &Path, error: &ignore::Error) -> Failure {
    match error {
        ignore::Error::WithDepth { err, .. } => failure(root, err),
        ignore::Error::WithPath { path, err } => Failure { name: shown(path), reason: err.to_string() },
        other => Failure { name: shown(root), reason: other.to_string() },
    }
}

impl Found {
    fn take(&mut self, path: &Path, file: io::Result<File>) {
        match file {
            Ok(file) => self.files.push(file),
            Err(error) => self.failures.push(Failure { name: shown(path), reason: error.to_string() }),
        }
    }
}

impl File {
    fn at(path: PathBuf) -> File {
        File { path, spooled: None }
    }

    /// Copies standard input into a file that nobody else can open and that goes with this process.
    fn spool() -> io::Result<File> {
        let path = std::env::temp_dir().join(format!("almanac-{}", Uuid::now_v7()));
        let mut file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        io::copy(&mut io::stdin().lock(), &mut file)?;
        Ok(File { path: PathBuf::from(STANDARD_INPUT), spooled: Some(file) })
    }

    pub fn try_clone(&self) -> io::Result<File> {
        let spooled = self.spooled.as_ref().map(fs::File::try_clone).transpose()?;
        Ok(File { path: self.path.clone(), spooled })
    }

    /// What people are shown: the path, with what is no text written out.
    pub fn shown(&self) -> String {
        shown(&self.path)
    }

    /// The file's own name, without its folders.
    pub fn name(&self) -> String {
        match (&self.spooled, self.path.file_name()) {
            (None, Some(name)) => shown(Path::new(name)),
            _ => "standard input".to_owned(),
        }
    }

    /// A file goes by its absolute path, so that running again replaces what changed; standard input goes by its bytes.
    pub fn external_id(&self) -> Option<String> {
        let absolute = || std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        self.spooled.is_none().then(|| external_id(&absolute()))
    }

    /// The bytes from the first on, and how many there are. Reads of the same file must not overlap.
    pub fn open(&self) -> io::Result<(fs::File, u64)> {
        let mut file = match &self.spooled {
            Some(spooled) => spooled.try_clone()?,
            None => fs::File::open(&self.path)?,
        };
        file.rewind()?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    pub fn sha256(&self) -> io::Result<Sha256Bytes> {
        let (mut file, mut hash, mut buffer) = (self.open()?.0, Sha256::new(), vec![0; READ_BYTES]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hash.finalize().into()),
                read => hash.update(buffer.get(..read).unwrap_or_default()),
            }
        }
    }
}

fn external_id(path: &Path) -> String {
    let name = shown(path);
    let length = name.chars().count();
    if length <= MAX_EXTERNAL_ID {
        return name;
    }
    let hash = hex::encode(Sha256::digest(path.as_os_str().as_bytes()));
    let end: String = name.chars().skip(length - KEPT_OF_LONG_PATH).collect();
    format!("{hash}…{end}")
}

/// A path may be any bytes: those that are no text, or that steer a terminal, are written as `\xff`.
fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            // A backslash, too: else a name could be written like another one's escape.
            if character.is_control() || character == '\\' {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{:02x}", u32::from(character));
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Selection =
        Selection { include: Vec::new(), exclude: Vec::new(), hidden: false, gitignore: false };

    fn tree(files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("almanac-files-{}", Uuid::now_v7()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn names(root: &Path, selection: &Selection) -> Vec<String> {
        let found = find(&[root.to_owned()], selection).unwrap();
        assert!(found.failures.is_empty(), "{:?}", found.failures);
        found.files.iter().map(|file| file.path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn folders_are_walked_in_order_without_hidden_ignored_and_linked_files() {
        let root = tree(&[
            ("b.md", "b"),
            ("a/z.txt", "z"),
            ("a/y.log", "y"),
            ("drafts/c.md", "c"),
            (".hidden/d.md", "d"),
            (".gitignore", "b.md"),
            (".almanacignore", "*.log\ndrafts/"),
        ]);
        std::os::unix::fs::symlink(root.join("b.md"), root.join("link.md")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("round")).unwrap();
        assert_eq!(names(&root, &EVERYTHING), ["a/z.txt", "b.md"]);
        assert_eq!(names(&root, &Selection { gitignore: true, ..EVERYTHING }), ["a/z.txt"]);
        let hidden = Selection { hidden: true, ..EVERYTHING };
        assert_eq!(names(&root, &hidden), [".gitignore", ".hidden/d.md", "a/z.txt", "b.md"]);
    }

    #[test]
    fn patterns_choose_and_leave_out_and_exclude_wins() {
        let root = tree(&[("a/x.md", ""), ("a/y.txt", ""), ("old/z.md", ""), (".m.md", ""), ("w.md", "")]);
        let patterns = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>();
        let markdown = Selection { include: patterns(&["*.md"]), ..EVERYTHING };
        assert_eq!(names(&root, &markdown), ["a/x.md", "old/z.md", "w.md"]);
        let recent = Selection { exclude: patterns(&["old", "w.*"]), ..markdown };
        assert_eq!(names(&root, &recent), ["a/x.md"]);
        let folder = Selection { include: patterns(&["a/**"]), ..EVERYTHING };
        assert_eq!(names(&root, &folder), ["a/x.md", "a/y.txt"]);
        let malformed = Selection { exclude: patterns(&["[a"]), ..EVERYTHING };
        assert!(find(&[root], &malformed).unwrap_err().to_string().contains("[a"));
    }

    #[test]
    fn a_file_is_found_once_and_a_path_that_is_missing_stops_nothing() {
        let root = tree(&[("a.md", ""), (".b.md", "")]);
        let found =
            find(&[root.join("missing"), root.clone(), root.join("a.md"), root.join(".b.md")], &EVERYTHING).unwrap();
        let paths: Vec<_> = found.files.iter().map(|file| &file.path).collect();
        assert_eq!(paths, [&root.join("a.md"), &root.join(".b.md")]);
        assert_eq!(found.failures.len(), 1);
        assert!(found.failures[0].name.ends_with("missing"), "{:?}", found.failures);
    }

    #[test]
    fn names_that_are_no_text_stay_apart_and_long_ones_fit() {
        let name = |bytes: &[u8]| external_id(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(name("/hüte/a b.md".as_bytes()), "/hüte/a b.md");
        assert_eq!(name(b"/a\xff"), "/a\\xff");
        assert_ne!(name(b"/a\xff"), name(b"/a\xfe"));
        assert_eq!(name(b"/a\nb\x1b[2J"), "/a\\x0ab\\x1b[2J");
        let (one, other) = (name(&[b'a'; 5_000]), name(&[b'a'; 5_001]));
        assert!(one.chars().count() <= MAX_EXTERNAL_ID && one != other, "{one}");
    }

    #[test]
    fn hashes_are_of_the_bytes_from_the_first_on() {
        let root = tree(&[("a.txt", "abc")]);
        let file = File::at(root.join("a.txt"));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(file.sha256().unwrap()), abc);
        assert_eq!(hex::encode(file.sha256().unwrap()), abc);
        assert_eq!(file.open().unwrap().1, 3);
    }
}
