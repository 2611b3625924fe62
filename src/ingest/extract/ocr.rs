//! Text recognition by a program that the operator names (`ocr_command`): it reads a PDF on standard input and writes the
//! text of its pages to standard output in order, UTF-8, pages parted by form feeds. The variable `ALMANAC_OCR_PAGES`
//! names the pages that are wanted (`3,5,6`; unset: all); of others it may leave the text empty.
//!
//! The program runs under limits on memory, processor time, the length of files (each process of its own) and time on the
//! clock (all), in an environment of a few variables, and is killed with its process group when it is done or when nobody
//! waits any more. Left out: its network and the files it may read are not cut off, and it never learns a password.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::limits::{Confinement, Group};
use super::pipe::{first_bytes, send, unavailable};
use super::{
    ContentType, ExtractCode, ExtractFailure, Extracted, MAX_TEXT_BYTES, PageStart, Warning, check, pdf::join,
};

/// What a program may learn of the server's environment, which holds keys.
const ENVIRONMENT: [&str; 7] = ["PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TESSDATA_PREFIX"];

/// What the log keeps of the program's complaints.
const MAX_COMPLAINT_BYTES: u64 = 2 * 1024;

/// How much one run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub confinement: Confinement,
    /// Time on the clock for all pages.
    pub wall: Duration,
}

impl Default for Limits {
    /// Generous: a page of a book takes a processor one to five seconds, and its picture at 300 dpi 25 MB.
    fn default() -> Limits {
        Limits {
            confinement: Confinement {
                memory_bytes: 4 * 1024 * 1024 * 1024,
                cpu_seconds: 600,
                file_bytes: 1024 * 1024 * 1024,
                open_files: 256,
            },
            wall: Duration::from_secs(600),
        }
    }
}

/// The program, and how it is run.
#[derive(Debug, Clone)]
pub struct Ocr {
    /// This program, whose hidden command `confined` sets the limits.
    executable: PathBuf,
    command: Vec<String>,
    limits: Limits,
}

type Reply = Result<Extracted, ExtractFailure>;

/// Whether `reply` has pages that text recognition may read.
pub fn is_wanted(content_type: ContentType, reply: &Reply) -> bool {
    content_type == ContentType::Pdf
        && match reply {
            Ok(extracted) => unread_pages(extracted).is_some(),
            Err(failure) => failure.code == ExtractCode::NeedsOcr,
        }
}

fn unread_pages(extracted: &Extracted) -> Option<&[u32]> {
    extracted.warnings.iter().find_map(|warning| match warning {
        Warning::UnreadPages { pages } => Some(pages.as_slice()),
        Warning::OcrFailed { .. } | Warning::DamagedPages { .. } | Warning::Attachment { .. } => None,
    })
}

impl Ocr {
    /// Runs `command`, a program and its arguments, through `executable confined`.
    pub fn new(executable: PathBuf, command: Vec<String>, limits: Limits) -> Ocr {
        Ocr { executable, command, limits }
    }

    /// Reads what is missing in `reply`, of which [`is_wanted`] holds, from the same file once more. A text with some
    /// pages unread stays what it was when recognition fails; a document that is all pictures fails with it. Dropping the
    /// future kills the program.
    pub async fn complete(
        &self,
        reply: Result<Extracted, ExtractFailure>,
        file: impl AsyncRead + Unpin + Send,
        size: u64,
    ) -> Result<Extracted, ExtractFailure> {
        match reply {
            Ok(extracted) => Ok(self.fill(extracted, file, size).await),
            Err(_) => whole(&self.pages(&[], file, size).await?),
        }
    }

    async fn fill(&self, extracted: Extracted, file: impl AsyncRead + Unpin + Send, size: u64) -> Extracted {
        let Some(wanted) = unread_pages(&extracted).map(<[u32]>::to_vec) else { return extracted };
        let found = self.pages(&wanted, file, size).await;
        match found.and_then(|pages| filled(&extracted, &wanted, &pages)) {
            Ok(whole) => whole,
            Err(failure) => {
                let failed = Warning::OcrFailed { pages: wanted, why: failure.detail };
                let warnings = others(&extracted).chain([failed]).collect();
                Extracted { warnings, ..extracted }
            }
        }
    }

    async fn pages(
        &self,
        wanted: &[u32],
        file: impl AsyncRead + Unpin + Send,
        size: u64,
    ) -> Result<Vec<String>, ExtractFailure> {
        let child = self.start(wanted).map_err(|error| unavailable("the OCR command", &error))?;
        match tokio::time::timeout(self.limits.wall, converse(child, file, size)).await {
            Ok(output) => pages_of(output?),
            Err(_) => Err(ExtractFailure::passing(
                ExtractCode::Timeout,
                format!("Text recognition (OCR) took longer than {} s.", self.limits.wall.as_secs_f32()),
            )),
        }
    }

    fn start(&self, wanted: &[u32]) -> std::io::Result<Child> {
        let mut command = Command::new(&self.executable);
        command.arg("confined").args(self.limits.confinement.arguments()).args(&self.command).env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if !wanted.is_empty() {
            let list: Vec<String> = wanted.iter().map(u32::to_string).collect();
            command.env("ALMANAC_OCR_PAGES", list.join(","));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true).spawn()
    }
}

async fn converse(mut child: Child, file: impl AsyncRead + Unpin + Send, size: u64) -> Result<Vec<u8>, ExtractFailure> {
    let _group = Group(child.id());
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(ExtractFailure::passing(ExtractCode::Unavailable, "The OCR command has no pipes."));
    };
    let complaints = tokio::spawn(first_bytes(stderr, MAX_COMPLAINT_BYTES));
    let output = tokio::select! {
        output = read(stdout) => output?,
        failure = feed(stdin, file, size) => return Err(failure),
    };
    let status = child.wait().await.map_err(|error| unavailable("the OCR command", &error))?;
    match status.success() {
        true => Ok(output),
        false => {
            let complaints = complaints.await.unwrap_or_default();
            tracing::warn!(%status, stderr = %String::from_utf8_lossy(&complaints), "the OCR command failed");
            Err(failed(status))
        }
    }
}

/// Sends the file, closes the pipe, and returns only when the file cannot be read.
async fn feed(mut stdin: ChildStdin, file: impl AsyncRead + Unpin + Send, size: u64) -> ExtractFailure {
    if let Err(failure) = send(&mut stdin, file, size).await {
        return failure;
    }
    drop(stdin);
    std::future::pending().await
}

async fn read(stdout: ChildStdout) -> Result<Vec<u8>, ExtractFailure> {
    let mut output = Vec::new();
    let limit = MAX_TEXT_BYTES as u64;
    let count = stdout.take(limit + 1).read_to_end(&mut output).await;
    match count.map_err(|error| unavailable("the OCR command", &error))? as u64 > limit {
        true => Err(ExtractFailure::of_file(
            ExtractCode::TooLarge,
            "Text recognition (OCR) gave more text than a document may have.",
        )),
        false => Ok(output),
    }
}

fn failed(status: ExitStatus) -> ExtractFailure {
    let code = match status.code() {
        // What shells give a program that is not there or is none.
        Some(126 | 127) => ExtractCode::Unavailable,
        _ => ExtractCode::NeedsOcr,
    };
    ExtractFailure::passing(code, format!("The text recognition (OCR) of the server failed ({status})."))
}

/// Form feeds part pages; one at the very end, as many programs write it, parts nothing.
fn pages_of(output: Vec<u8>) -> Result<Vec<String>, ExtractFailure> {
    let text = String::from_utf8(output).map_err(|_| {
        ExtractFailure::of_file(ExtractCode::NeedsOcr, "The text recognition (OCR) of the server gave no UTF-8 text.")
    })?;
    let mut pages: Vec<String> = text.split('\u{c}').map(str::to_owned).collect();
    if pages.last().is_some_and(|page| page.trim().is_empty()) {
        pages.pop();
    }
    Ok(pages)
}

/// A document of which nothing was read before.
fn whole(pages: &[String]) -> Reply {
    let (text, pages) = join(pages);
    check(Extracted { text, pages, ..Extracted::default() })
}

/// `extracted` with the `wanted` pages taken from `found`. Blank pages at the end may be missing there.
fn filled(extracted: &Extracted, wanted: &[u32], found: &[String]) -> Reply {
    if found.len() > extracted.pages.len() {
        let detail = format!(
            "The text recognition (OCR) of the server gave {} pages for {}.",
            found.len(),
            extracted.pages.len()
        );
        return Err(ExtractFailure::of_file(ExtractCode::NeedsOcr, detail));
    }
    let ends = extracted.pages.iter().skip(1).map(|page| page.start).chain([extracted.text.len()]);
    let pages = extracted.pages.iter().zip(ends).zip(found.iter().map(String::as_str).chain(std::iter::repeat("")));
    let pages = pages.map(|((PageStart { number, start }, end), found)| {
        let read = extracted.text.get(*start..end).unwrap_or_default();
        match wanted.contains(number) {
            // What was read of it are notes and the values of fields.
            true => format!("{}\n\n{read}", found.trim_end()),
            false => read.to_owned(),
        }
    });
    let (text, pages) = join(&pages.collect::<Vec<_>>());
    let warnings = others(extracted).collect();
    check(Extracted { title: extracted.title.clone(), text, markdown: extracted.markdown, pages, warnings })
}

/// The warnings that text recognition has nothing to do with.
fn others(extracted: &Extracted) -> impl Iterator<Item = Warning> {
    extracted.warnings.iter().filter(|warning| !matches!(warning, Warning::UnreadPages { .. })).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(pages: &[&str]) -> Vec<String> {
        pages.iter().map(|page| (*page).to_owned()).collect()
    }

    fn half_read() -> Extracted {
        let (text, pages) = join(&strings(&["first", "", "third", ""]));
        let warnings = vec![Warning::UnreadPages { pages: vec![2, 4] }];
        Extracted { title: Some("Title".to_owned()), text, markdown: true, pages, warnings }
    }

    #[test]
    fn recognised_pages_take_their_places() {
        let whole = filled(&half_read(), &[2, 4], &strings(&["", "second", "other", "fourth"])).unwrap();
        assert_eq!(whole.text, "first\n\nsecond\n\nthird\n\nfourth");
        assert_eq!(whole.pages.iter().map(|page| page.start).collect::<Vec<_>>(), [0, 7, 15, 22]);
        assert_eq!((whole.title.as_deref(), whole.warnings.len()), (Some("Title"), 0));
        assert!(filled(&half_read(), &[2, 4], &strings(&["", "second"])).unwrap().text.ends_with("third"));
    }

    #[test]
    fn more_pages_than_the_document_has_are_refused() {
        let failure = filled(&half_read(), &[2, 4], &strings(&["1", "2", "3", "4", "5"])).unwrap_err();
        assert_eq!(failure.code, ExtractCode::NeedsOcr);
    }

    #[test]
    fn form_feeds_part_pages() {
        assert_eq!(pages_of(b"one\n\x0c\x0cthree\n\x0c".to_vec()).unwrap(), ["one\n", "", "three\n"]);
        assert_eq!(pages_of(b"one".to_vec()).unwrap(), ["one"]);
        assert!(pages_of(b"\xff\xfe".to_vec()).is_err());
    }

    #[test]
    fn only_unread_pages_of_a_pdf_want_recognition() {
        let pictures = || Err(ExtractFailure::of_file(ExtractCode::NeedsOcr, "Pictures."));
        assert!(is_wanted(ContentType::Pdf, &Ok(half_read())) && is_wanted(ContentType::Pdf, &pictures()));
        assert!(!is_wanted(ContentType::Email, &Ok(half_read())) && !is_wanted(ContentType::Email, &pictures()));
        assert!(!is_wanted(ContentType::Pdf, &Ok(Extracted { warnings: Vec::new(), ..half_read() })));
    }
}
