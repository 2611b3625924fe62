//! The extraction worker as the server runs it: the real executable, real files, and every way a child can end.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use almanac::ingest::extract::worker::{Limits, Worker};
use almanac::ingest::extract::{
    ContentType, ExtractCode, ExtractFailure, ExtractOptions, Extracted, MAX_TEXT_BYTES, Password, PdfEngine, detect,
};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

type Reply = Result<Extracted, ExtractFailure>;

pub fn executable() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_almanac"))
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

async fn extract_with(worker: &Worker, path: &Path) -> Reply {
    let bytes = std::fs::read(path).unwrap();
    let content_type = detect(&bytes, path.file_name().and_then(|name| name.to_str()), None)?;
    read(worker, &bytes, content_type, &ExtractOptions::default()).await
}

pub async fn read(worker: &Worker, bytes: &[u8], content_type: ContentType, options: &ExtractOptions) -> Reply {
    worker.extract(bytes, bytes.len() as u64, content_type, options).await
}

async fn extract(name: &str) -> Reply {
    extract_with(&Worker::new(executable(), Limits::default()), &fixture(name)).await
}

async fn code_of(name: &str) -> ExtractCode {
    let failure = extract(name).await.unwrap_err();
    assert!(!failure.retryable, "{name} will not get better by itself");
    assert!(failure.detail.ends_with('.') || failure.code == ExtractCode::Unsupported, "{}", failure.detail);
    failure.code
}

/// A file that is deleted at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, bytes: &[u8]) -> TempFile {
        let path = std::env::temp_dir().join(format!("almanac-extract-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// A shell script that is deleted at the end.
pub struct TempProgram(TempFile);

impl TempProgram {
    pub fn new(name: &str, body: &str) -> TempProgram {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let file = TempFile::new(&format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)), b"");
        // Another process writes it: while a fork of this one still held it open for writing, it could not be executed.
        let write = format!("cat >{0} && chmod 755 {0}", file.0.display());
        let mut shell = Command::new("sh").args(["-c", &write]).stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{body}\n").as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        TempProgram(file)
    }

    pub fn path(&self) -> PathBuf {
        self.0.0.clone()
    }
}

/// A page that takes seconds to read.
fn slow_page() -> String {
    "<table><tr><td><b><i>a</i></b><p>word, <em>word</em></td></tr></table>".repeat(60_000)
}

#[tokio::test]
async fn every_sample_document_is_read() {
    let worker = Worker::new(executable(), Limits::default());
    for entry in std::fs::read_dir(fixture("documents")).unwrap() {
        let path = entry.unwrap().path();
        let extracted = extract_with(&worker, &path).await.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert!(extracted.text.len() > 500, "{}", path.display());
        assert!(!extracted.text.contains(['\r', '\0']));
        assert!(extracted.pages.is_sorted_by_key(|page| (page.number, page.start)));
        assert_eq!(extracted.pages.is_empty(), path.extension().is_none_or(|ending| ending != "pdf"));
    }
}

#[tokio::test]
async fn both_pdf_engines_find_the_words_of_every_page() {
    let worker = Worker::new(executable(), Limits::default());
    let bytes = std::fs::read(fixture("documents/annual-report-2025.pdf")).unwrap();
    let with = async |pdf_engine| {
        let options = ExtractOptions { pdf_engine, ..ExtractOptions::default() };
        read(&worker, &bytes, ContentType::Pdf, &options).await.unwrap()
    };
    let (rich, plain) = (with(PdfEngine::Pdfboss).await, with(PdfEngine::PdfExtract).await);
    assert!(rich.markdown && !plain.markdown);
    assert_eq!(rich.pages.len(), plain.pages.len());
    assert!(rich.pages.len() > 1 && rich.text.contains("\n# ") | rich.text.starts_with("# "));
    let words = |extracted: &Extracted| extracted.text.split_whitespace().count();
    assert!(words(&plain) * 10 > words(&rich) * 8);
}

#[tokio::test]
async fn bad_files_are_typed_failures() {
    assert_eq!(code_of("broken/empty.txt").await, ExtractCode::Empty);
    assert_eq!(code_of("broken/whitespace.txt").await, ExtractCode::Empty);
    assert_eq!(code_of("broken/encrypted.pdf").await, ExtractCode::Encrypted);
    assert!(
        extract("broken/not-a-pdf.pdf").await.unwrap().text.contains("two degrees"),
        "the bytes decide, not the name"
    );
    assert_eq!(code_of("broken/image-only.pdf").await, ExtractCode::NeedsOcr);
    assert_eq!(code_of("broken/picture.png").await, ExtractCode::Unsupported);
    assert_eq!(code_of("broken/archive.zip").await, ExtractCode::Unsupported);
}

#[tokio::test]
async fn a_truncated_pdf_gives_what_is_left_or_a_typed_failure() {
    let whole = std::fs::read(fixture("documents/annual-report-2025.pdf")).unwrap();
    let worker = Worker::new(executable(), Limits::default());
    for tenth in 1..10 {
        let file = TempFile::new(&format!("cut-{tenth}.pdf"), &whole[..whole.len() * tenth / 10]);
        if let Err(failure) = extract_with(&worker, &file.0).await {
            let known = [ExtractCode::Broken, ExtractCode::Empty, ExtractCode::NeedsOcr];
            assert!(known.contains(&failure.code), "{tenth}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn files_that_viewers_open_are_read() {
    assert!(extract("broken/owner-password.pdf").await.is_ok(), "encrypted under the empty password");
    for name in ["utf-16le.txt", "utf-16be.txt", "latin-1.txt", "shift-jis.txt"] {
        let extracted = extract(&format!("broken/{name}")).await.unwrap();
        assert!(!extracted.text.contains(['\u{fffd}', '\0']), "{name}: {}", extracted.text);
    }
    assert!(extract("broken/nested-lists.md").await.is_ok());
}

#[tokio::test]
async fn two_hundred_thousand_nested_elements_are_read() {
    let depth = 200_000;
    let divs =
        TempFile::new("divs.html", format!("{}deep{}", "<div>".repeat(depth), "</div>".repeat(depth)).as_bytes());
    let tables = TempFile::new("tables.html", format!("{}deep", "<table><tr><td>".repeat(60_000)).as_bytes());
    let worker = Worker::new(executable(), Limits::default());
    for file in [divs, tables] {
        assert_eq!(extract_with(&worker, &file.0).await.unwrap().text.trim(), "deep");
    }
}

#[tokio::test]
async fn too_much_text_is_a_typed_failure() {
    let file = TempFile::new("large.txt", &b"words and more words\n".repeat(MAX_TEXT_BYTES / 21 + 1));
    let failure = extract_with(&Worker::new(executable(), Limits::default()), &file.0).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ExtractCode::TooLarge, false));
}

#[tokio::test]
async fn too_much_memory_is_a_typed_failure() {
    let file = TempFile::new("memory.html", slow_page().as_bytes());
    let limits = Limits { memory_bytes: 160 * 1024 * 1024, ..Limits::default() };
    let failure = extract_with(&Worker::new(executable(), limits), &file.0).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ExtractCode::OutOfMemory, false), "{failure}");
}

#[tokio::test]
async fn too_much_computing_is_a_typed_failure() {
    let file = TempFile::new("cpu.html", slow_page().repeat(4).as_bytes());
    let limits = Limits { cpu: Duration::from_secs(1), ..Limits::default() };
    let failure = extract_with(&Worker::new(executable(), limits), &file.0).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ExtractCode::Timeout, false), "{failure}");
}

#[tokio::test]
async fn too_much_time_is_a_failure_that_may_pass() {
    let file = TempFile::new("wall.html", slow_page().as_bytes());
    let limits = Limits { wall: Duration::from_millis(100), ..Limits::default() };
    let failure = extract_with(&Worker::new(executable(), limits), &file.0).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ExtractCode::Timeout, true), "{failure}");
}

#[tokio::test]
async fn an_executable_that_is_no_worker_is_a_failure_that_may_pass() {
    for program in ["/bin/false", "/bin/cat", "/nowhere/almanac"] {
        let worker = Worker::new(PathBuf::from(program), Limits::default());
        let failure = extract_with(&worker, &fixture("documents/glossary.md")).await.unwrap_err();
        assert_eq!((failure.code, failure.retryable), (ExtractCode::Unavailable, true), "{program}: {failure}");
    }
}

#[tokio::test]
async fn a_child_that_answers_without_end_is_stopped() {
    let endless = TempProgram::new("endless", "exec tr '\\0' a </dev/zero");
    let lines = Worker::new(PathBuf::from("/usr/bin/yes"), Limits::default());
    let line = Worker::new(endless.path(), Limits::default());
    for (worker, code) in [(lines, ExtractCode::Unavailable), (line, ExtractCode::TooLarge)] {
        let failure = extract_with(&worker, &fixture("documents/glossary.md")).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
    }
}

#[tokio::test]
async fn a_child_that_breaks_off_or_lies_about_its_text_is_a_failure() {
    let head = |bytes: usize| {
        format!(r#"echo '{{"Ok":{{"title":null,"markdown":false,"pages":[],"warnings":[],"text_bytes":{bytes}}}}}'"#)
    };
    let cases = [
        (format!("{}; printf short", head(9)), ExtractCode::Unavailable),
        (format!("{}; printf '\\377\\377'", head(2)), ExtractCode::Unavailable),
        (format!("{}; exec yes", head(MAX_TEXT_BYTES + 1)), ExtractCode::TooLarge),
        (r#"printf '{"Ok":{"title":nu'; kill -SEGV $$"#.to_owned(), ExtractCode::Crashed),
    ];
    for (body, code) in cases {
        let program = TempProgram::new("liar", &body);
        let worker = Worker::new(program.path(), Limits::default());
        let failure = extract_with(&worker, &fixture("documents/glossary.md")).await.unwrap_err();
        assert_eq!(failure.code, code, "{body}");
    }
}

#[tokio::test]
async fn a_file_that_storage_does_not_give_is_a_failure_that_may_pass() {
    let worker = Worker::new(executable(), Limits::default());
    let options = ExtractOptions::default();
    let cut_off = b"only the beginning".chain(BrokenStorage);
    let broken = worker.extract(cut_off, 100, ContentType::Text, &options).await.unwrap_err();
    let short = worker.extract(&b"words"[..], 100, ContentType::Text, &options).await.unwrap_err();
    for failure in [broken, short] {
        assert_eq!((failure.code, failure.retryable), (ExtractCode::Unavailable, true), "{failure}");
    }
}

struct BrokenStorage;

impl AsyncRead for BrokenStorage {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }
}

#[tokio::test]
async fn an_encrypted_pdf_opens_with_its_users_or_its_owners_password_alone() {
    let worker = Worker::new(executable(), Limits::default());
    for (name, user, owner) in [("encrypted.pdf", "sesame", "open"), ("encrypted-aes.pdf", "Sésame", "Öffne")] {
        let bytes = std::fs::read(fixture(&format!("broken/{name}"))).unwrap();
        let open = async |password: Option<&str>, pdf_engine| {
            let password = password.map(|password| Password::new(password.to_owned()));
            read(&worker, &bytes, ContentType::Pdf, &ExtractOptions { pdf_engine, password }).await
        };
        for password in [None, Some(""), Some("wrong"), Some(&*"long".repeat(40_000))] {
            let failure = open(password, PdfEngine::Pdfboss).await.unwrap_err();
            assert_eq!((failure.code, failure.retryable), (ExtractCode::Encrypted, false));
        }
        for (password, engine) in
            [(user, PdfEngine::Pdfboss), (owner, PdfEngine::Pdfboss), (user, PdfEngine::PdfExtract)]
        {
            let text = open(Some(password), engine).await.unwrap().text;
            assert_eq!(text, "The frost warning is sent at two degrees.", "{name} {engine:?}");
        }
    }
}

#[tokio::test]
async fn an_encrypted_office_file_opens_with_its_password_alone() {
    let worker = Worker::new(executable(), Limits::default());
    let bytes = std::fs::read(fixture("broken/encrypted.docx")).unwrap();
    let content_type = detect(&bytes, Some("encrypted.docx"), None).unwrap();
    assert_eq!(content_type, ContentType::Docx);
    let open = async |content_type, password: Option<&str>| {
        let password = password.map(|password| Password::new(password.to_owned()));
        read(&worker, &bytes, content_type, &ExtractOptions { password, ..ExtractOptions::default() }).await
    };
    for password in [None, Some(""), Some("sesame")] {
        let failure = open(content_type, password).await.unwrap_err();
        assert_eq!((failure.code, failure.retryable), (ExtractCode::Encrypted, false), "{password:?}");
    }
    // What is inside tells what it is: the name was only a guess.
    for guess in [content_type, ContentType::Xlsx, ContentType::Pptx] {
        assert_eq!(open(guess, Some("Sésame")).await.unwrap().text.trim(), "The frost warning is sent at two degrees.");
    }
}

#[tokio::test]
async fn a_forms_values_and_notes_are_read_with_the_names_it_shows() {
    let text = extract("broken/form.pdf").await.unwrap().text;
    for found in [
        "Serial number: OI-4471-B",
        "Mill Lane 4",
        "Reason: Arrived broken",
        "Under warranty: Yes",
        "Wish: refund",
        "\nHanded in at the north gate.",
    ] {
        assert!(text.contains(found), "{found} is not in {text}");
    }
    for left_out in ["Remarks", "hidden", "Was a gift", "repair", "street", "Check the seal", "Who wrote"] {
        assert!(!text.contains(left_out), "{left_out} is in {text}");
    }
}

/// A floor under the quality of whatever library reads PDF files: the script that made these knows their words. The score
/// is that of scripts/score-pdf.py, F1 of words.
#[tokio::test]
async fn the_words_of_the_sample_pdfs_are_found() {
    let worker = Worker::new(executable(), Limits::default());
    let written: HashMap<String, Vec<String>> =
        serde_json::from_slice(&std::fs::read(fixture("pdf-text.json")).unwrap()).unwrap();
    for (name, least) in FLOORS {
        let text = extract_with(&worker, &fixture("documents").join(name)).await.unwrap().text;
        let score = f1(&words(&text), &words(&written[name].join("\n")));
        assert!(score >= least, "{name}: {score:.4}, recorded {least}");
    }
}

/// As measured, rounded down: the numbers of list items and a few split words are what is missing to 1.
const FLOORS: [(&str, f64); 3] = [
    ("annual-report-2025.pdf", 0.996),
    ("product-catalogue-2026.pdf", 0.996),
    ("station-installation-guide.pdf", 0.989),
];

fn words(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in text.to_lowercase().split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

fn f1(found: &HashMap<String, usize>, wanted: &HashMap<String, usize>) -> f64 {
    let common: usize = wanted.iter().map(|(word, count)| *count.min(found.get(word).unwrap_or(&0))).sum();
    2.0 * common as f64 / (found.values().sum::<usize>() + wanted.values().sum::<usize>()) as f64
}

#[tokio::test]
async fn a_password_that_a_file_does_not_need_is_no_obstacle() {
    let worker = Worker::new(executable(), Limits::default());
    for name in ["broken/owner-password.pdf", "documents/annual-report-2025.pdf", "documents/glossary.md"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let content_type = detect(&bytes, Some(name), None).unwrap();
        let password = Some(Password::new("another file's".to_owned()));
        let options = ExtractOptions { password, ..ExtractOptions::default() };
        assert!(read(&worker, &bytes, content_type, &options).await.is_ok(), "{name}");
    }
}

/// A copy of the executable: no other test has a process of it.
fn own_executable(name: &str) -> TempFile {
    let copy = TempFile::new(name, b"");
    std::fs::copy(executable(), &copy.0).unwrap();
    copy
}

#[tokio::test]
async fn a_process_reads_file_after_file_until_one_ends_it() {
    let copy = own_executable("reused");
    let worker = Worker::new(copy.0.clone(), Limits { cpu: Duration::from_secs(1), ..Limits::default() });
    let small = fixture("documents/glossary.md");
    // A program that another thread's child still holds open for writing cannot be started yet (ETXTBSY).
    while let Err(failure) = extract_with(&worker, &small).await {
        assert_eq!(failure.code, ExtractCode::Unavailable);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let first = processes_of(&copy.0);
    assert_eq!(first.len(), 1, "the reader of the file is gone, the process that forked it waits");
    assert!(extract_with(&worker, &small).await.is_ok());
    assert_eq!(extract_with(&worker, &fixture("broken/encrypted.pdf")).await.unwrap_err().code, ExtractCode::Encrypted);
    assert_eq!(processes_of(&copy.0), first, "a file that gives no text is no reason to start anew");

    let slow = TempFile::new("reused.html", slow_page().repeat(4).as_bytes());
    assert_eq!(extract_with(&worker, &slow.0).await.unwrap_err().code, ExtractCode::Timeout);
    assert!(extract_with(&worker, &small).await.is_ok());
    let second = processes_of(&copy.0);
    assert!(second.len() == 1 && second != first, "{first:?}, then {second:?}");

    let readings = (0..8).map(|_| extract_with(&worker, &small));
    assert!(futures::future::join_all(readings).await.iter().all(Result::is_ok));
    assert_eq!(processes_of(&copy.0).len(), 8, "one a file that is read at the same time");
    drop(worker);
    gone(&copy.0).await;
}

#[tokio::test]
async fn a_process_that_was_killed_while_it_waited_is_replaced() {
    let copy = own_executable("killed");
    let worker = Worker::new(copy.0.clone(), Limits::default());
    let small = fixture("documents/glossary.md");
    while extract_with(&worker, &small).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let [waiting] = processes_of(&copy.0)[..] else { panic!("one process waits") };
    assert!(Command::new("kill").args(["-9", &waiting.to_string()]).status().unwrap().success());
    gone(&copy.0).await;
    assert!(extract_with(&worker, &small).await.is_ok());
}

#[tokio::test]
async fn dropping_the_future_kills_the_child() {
    let copy = own_executable("dropped");
    let file = TempFile::new("dropped.html", slow_page().repeat(4).as_bytes());
    let worker = Worker::new(copy.0.clone(), Limits::default());
    // A program that another thread's child still holds open for writing cannot be started yet (ETXTBSY).
    let reading = async || tokio::time::timeout(Duration::from_millis(300), extract_with(&worker, &file.0)).await;
    while let Ok(reply) = reading().await {
        assert_eq!(reply.unwrap_err().code, ExtractCode::Unavailable, "the page takes longer to read than that");
    }
    gone(&copy.0).await;
}

async fn gone(executable: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !processes_of(executable).is_empty() {
        assert!(Instant::now() < deadline, "a process outlived its reader");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn processes_of(executable: &Path) -> Vec<u32> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let runs = |id: &u32| std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|link| link == executable);
    let mut processes: Vec<u32> = processes.filter(runs).collect();
    processes.sort_unstable();
    processes
}

#[test]
fn a_child_ends_when_its_parent_is_gone() {
    let page = slow_page().repeat(4);
    let mut child = Command::new(executable())
        .arg("extract-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let request = serde_json::json!({
        "content_type": "text/html",
        "options": { "pdf_engine": "pdfboss" },
        "memory_bytes": 2_u64 << 30,
        "cpu_seconds": 30,
        "file_bytes": page.len(),
    });
    writeln!(stdin, "{request}").unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{}", output.status);
}
