//! The lines of a file, with their numbers, one at a time.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

/// A document is one line; a server takes none that is longer as JSON.
pub const MAX_LINE: usize = 32 << 20;

pub struct Lines {
    file: BufReader<File>,
    path: PathBuf,
    number: u64,
}

pub struct Line {
    pub number: u64,
    pub text: String,
}

impl Lines {
    pub fn of(path: &Path) -> anyhow::Result<Lines> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Lines { file: BufReader::new(file), path: path.to_owned(), number: 0 })
    }

    /// The next line that holds something, without its end.
    pub fn next(&mut self) -> anyhow::Result<Option<Line>> {
        loop {
            self.number += 1;
            let Some(text) = self.read().with_context(|| at(&self.path, self.number))? else { return Ok(None) };
            if !text.trim().is_empty() {
                return Ok(Some(Line { number: self.number, text }));
            }
        }
    }

    fn read(&mut self) -> anyhow::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes)?;
        ensure!(read <= MAX_LINE, "longer than {MAX_LINE} bytes");
        let text = String::from_utf8(bytes).context("not UTF-8")?;
        let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
        Ok((read > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// A place in a file, for people.
pub fn at(path: &Path, line: u64) -> String {
    format!("{}, line {line}", path.display())
}
