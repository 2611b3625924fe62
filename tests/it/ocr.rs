//! Text recognition as the server runs it: programs that do it, that misbehave in every way, and the real `tesseract`
//! through scripts/ocr, where it is installed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use almanac::ingest::extract::limits::Confinement;
use almanac::ingest::extract::ocr::{self, Limits, Ocr};
use almanac::ingest::extract::worker::{self, Worker};
use almanac::ingest::extract::{ContentType, ExtractCode, ExtractFailure, ExtractOptions, Extracted, Warning};

use crate::extract_worker::{TempProgram, executable, fixture, read};

type Reply = Result<Extracted, ExtractFailure>;

const SENTENCE: &str = "The frost warning is sent at two degrees.";

/// As a document is ingested: the worker first, then recognition for what it left unread.
async fn extract_with(ocr: &Ocr, name: &str) -> Reply {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let worker = Worker::new(executable(), worker::Limits::default());
    let reply = read(&worker, &bytes, ContentType::Pdf, &ExtractOptions::default()).await;
    assert!(ocr::is_wanted(ContentType::Pdf, &reply), "{reply:?}");
    ocr.complete(reply, &bytes[..], bytes.len() as u64).await
}

fn program(path: &Path) -> Ocr {
    Ocr::new(executable(), vec![path.to_str().unwrap().to_owned()], Limits::default())
}

/// What becomes of a document of pictures alone when `body` is the OCR program.
async fn failure_of(body: &str, limits: Limits) -> ExtractFailure {
    let script = TempProgram::new("ocr", body);
    let ocr = Ocr::new(executable(), vec![script.path().to_str().unwrap().to_owned()], limits);
    extract_with(&ocr, "broken/image-only.pdf").await.unwrap_err()
}

#[tokio::test]
async fn pages_that_are_pictures_are_named_when_nothing_reads_them() {
    let bytes = std::fs::read(fixture("broken/half-scanned.pdf")).unwrap();
    let worker = Worker::new(executable(), worker::Limits::default());
    let extracted = read(&worker, &bytes, ContentType::Pdf, &ExtractOptions::default()).await.unwrap();
    assert_eq!(extracted.text, "The first page has text.\n\nThe third page has text.");
    assert_eq!(extracted.warnings, [Warning::UnreadPages { pages: vec![2, 4] }]);
    assert!(extracted.warnings[0].to_string().contains("pages 2, 4."), "{}", extracted.warnings[0]);
}

#[tokio::test]
async fn recognised_pages_take_their_places_among_the_others() {
    let script = TempProgram::new(
        "ocr",
        r#"test "$(head -c 5)" = %PDF- || exit 1
           cat >/dev/null
           printf 'not wanted\f\r\nsecond, of %s\n\fnot wanted\ffourth\f' "$ALMANAC_OCR_PAGES""#,
    );
    let extracted = extract_with(&program(&script.path()), "broken/half-scanned.pdf").await.unwrap();
    assert_eq!(extracted.text, "The first page has text.\n\nsecond, of 2,4\n\nThe third page has text.\n\nfourth");
    assert_eq!(extracted.pages.iter().map(|page| page.start).collect::<Vec<_>>(), [0, 26, 42, 68]);
    assert!(extracted.warnings.is_empty());
}

#[tokio::test]
async fn text_is_kept_when_recognition_fails_and_says_why() {
    let broken = TempProgram::new("ocr", "exit 3");
    let extracted = extract_with(&program(&broken.path()), "broken/half-scanned.pdf").await.unwrap();
    assert_eq!(extracted.text, "The first page has text.\n\nThe third page has text.");
    let [Warning::OcrFailed { pages, why }] = &extracted.warnings[..] else { panic!("{:?}", extracted.warnings) };
    assert!(pages == &[2, 4] && why.contains("exit status: 3"), "{why}");
}

#[tokio::test]
async fn a_program_that_fails_is_a_failure_that_may_pass() {
    for (body, code) in [
        ("echo 'no such language' >&2; exit 1", ExtractCode::NeedsOcr),
        ("kill -SEGV $$", ExtractCode::NeedsOcr),
        ("exec /nowhere/tesseract", ExtractCode::Unavailable),
    ] {
        let failure = failure_of(body, Limits::default()).await;
        assert_eq!((failure.code, failure.retryable), (code, true), "{body}: {failure}");
        assert!(!failure.detail.contains("language"), "what the program prints is for the log");
    }
    let missing = extract_with(&program(Path::new("/nowhere/ocr")), "broken/image-only.pdf").await.unwrap_err();
    assert_eq!((missing.code, missing.retryable), (ExtractCode::Unavailable, true), "{missing}");
}

#[tokio::test]
async fn a_program_that_answers_badly_is_a_failure_for_good() {
    for (body, code) in [
        ("printf '\\377\\376'", ExtractCode::NeedsOcr),
        ("cat >/dev/null; printf '\\f \\f'", ExtractCode::Empty),
        ("exec tr '\\0' a </dev/zero", ExtractCode::TooLarge),
    ] {
        let failure = failure_of(body, Limits::default()).await;
        assert_eq!((failure.code, failure.retryable), (code, false), "{body}: {failure}");
    }
    let pages = TempProgram::new("ocr", "printf '1\\f2\\f3\\f4\\f5'");
    let extracted = extract_with(&program(&pages.path()), "broken/half-scanned.pdf").await.unwrap();
    assert!(matches!(&extracted.warnings[..], [Warning::OcrFailed { why, .. }] if why.contains("5 pages for 4")));
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let marker = std::env::temp_dir().join(format!("almanac-ocr-{}", std::process::id()));
    let body = format!("ln -s /bin/sleep {0}; {0} 600 & {0} 600", marker.display());
    let limits = Limits { wall: Duration::from_millis(500), ..Limits::default() };
    let failure = failure_of(&body, limits).await;
    assert_eq!((failure.code, failure.retryable), (ExtractCode::Timeout, true), "{failure}");
    let deadline = Instant::now() + Duration::from_secs(5);
    while !processes_named(&marker).is_empty() {
        assert!(Instant::now() < deadline, "{:?} outlived their reader", processes_named(&marker));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_file(marker).unwrap();
}

/// Processes whose command line begins with `path`.
fn processes_named(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(path.to_str().unwrap())).collect()
}

#[tokio::test]
async fn the_program_runs_under_limits_and_without_the_servers_secrets() {
    let memory_bytes = 512 * 1024 * 1024;
    let confinement = Confinement { memory_bytes, cpu_seconds: 7, file_bytes: 1024 * 1024, open_files: 32 };
    let script = TempProgram::new("ocr", "cat >/dev/null; ulimit -v; ulimit -t; ulimit -f; ulimit -n; ulimit -c; env");
    let command = vec![script.path().to_str().unwrap().to_owned()];
    let ocr = Ocr::new(executable(), command, Limits { confinement, wall: Duration::from_secs(10) });
    let text = extract_with(&ocr, "broken/image-only.pdf").await.unwrap().text;
    // In KiB, seconds, blocks of 512 bytes, files and blocks.
    assert!(text.starts_with("524288\n7\n2048\n32\n0\n"), "{text}");
    assert!(text.contains("PATH=") && !text.contains("CARGO"), "{text}");
}

#[tokio::test]
async fn storage_that_breaks_off_is_not_blamed_on_the_program() {
    let script = TempProgram::new("ocr", "exec cat");
    let pictures = Err(ExtractFailure {
        code: ExtractCode::NeedsOcr,
        detail: "The pages are pictures.".to_owned(),
        retryable: false,
    });
    let failure = program(&script.path()).complete(pictures, &b"%PDF-1.7"[..], 1_000).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ExtractCode::Unavailable, true), "{failure}");
}

#[tokio::test]
async fn tesseract_reads_what_is_a_picture() {
    if ["tesseract", "pdftoppm"].iter().any(|name| Command::new(name).arg("-v").output().is_err()) {
        eprintln!("SKIPPED: scripts/ocr was not tried, because tesseract or pdftoppm is not installed");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ocr");
    let extracted = extract_with(&program(&script), "broken/half-scanned.pdf").await.unwrap();
    let read = format!("The first page has text.\n\n{SENTENCE}\n\nThe third page has text.\n\n{SENTENCE}");
    assert_eq!(extracted.text, read);
}
