//! Extraction in a process of its own, both ends: [`Worker`] in the server, [`main`] in the child (the hidden command
//! `extract-worker` of the same executable). A process a file: starting one takes milliseconds, and nothing of a bad file
//! outlives it.
//!
//! The parent sends one line of JSON ([`Request`]) and the file's bytes, and keeps the pipe open; the child answers with
//! one line of JSON. Promises: the child sees no environment, opens no file, and ends when its time, its memory or its
//! parent ends (the pipe closes; a parent-death signal would follow the parent's *thread*, and those come and go); and
//! every way it can end is a typed [`ExtractFailure`].

use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::{
    ContentType, ExtractCode, ExtractFailure, ExtractOptions, Extracted, MAX_TEXT_BYTES, extract_here, limits,
};

/// The longest answer: JSON writes newlines, tabs and quotes in two bytes, and other control characters do not occur;
/// the rest is for pages and title.
const MAX_REPLY_BYTES: u64 = 2 * MAX_TEXT_BYTES as u64 + 8 * 1024 * 1024;

/// What is kept of the child's complaints: enough for the line that says why it aborted.
const MAX_COMPLAINT_BYTES: u64 = 8 * 1024;

/// A request line is a few hundred bytes.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;

/// Parsers recurse into what files nest; the default of 2 MiB a thread is too little for some real ones.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// How much one file may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space of the child.
    pub memory_bytes: u64,
    /// Processor time, over all threads; whole seconds.
    pub cpu: Duration,
    /// Time on the clock, with start and transfer.
    pub wall: Duration,
}

impl Default for Limits {
    /// The largest of a thousand real files took under a second and 600 MB.
    fn default() -> Limits {
        Limits { memory_bytes: 2 * 1024 * 1024 * 1024, cpu: Duration::from_secs(30), wall: Duration::from_secs(60) }
    }
}

/// The server's end.
#[derive(Debug, Clone)]
pub struct Worker {
    executable: PathBuf,
    limits: Limits,
}

/// The line that precedes the file.
#[derive(Serialize, Deserialize)]
struct Request {
    content_type: ContentType,
    options: ExtractOptions,
    memory_bytes: u64,
    cpu_seconds: u64,
    /// How many bytes of file follow.
    file_bytes: u64,
}

type Reply = Result<Extracted, ExtractFailure>;

impl Worker {
    /// A worker that runs `executable extract-worker` for every file.
    pub fn new(executable: PathBuf, limits: Limits) -> Worker {
        Worker { executable, limits }
    }

    /// Extracts `file` in a child. Dropping the future kills it.
    pub async fn extract(
        &self,
        file: &Path,
        content_type: ContentType,
        options: &ExtractOptions,
    ) -> Result<Extracted, ExtractFailure> {
        let answer = tokio::time::timeout(self.limits.wall, self.ask(file, content_type, options.clone()));
        match answer.await {
            Ok(reply) => reply,
            Err(_) => Err(ExtractFailure::passing(
                ExtractCode::Timeout,
                format!("Reading the file took longer than {} s.", self.limits.wall.as_secs_f32()),
            )),
        }
    }

    async fn ask(&self, file: &Path, content_type: ContentType, options: ExtractOptions) -> Reply {
        let file = tokio::fs::File::open(file).await.map_err(|error| unavailable("the stored file", &error))?;
        let file_bytes = file.metadata().await.map_err(|error| unavailable("the stored file", &error))?.len();
        let request = Request {
            content_type,
            options,
            memory_bytes: self.limits.memory_bytes,
            cpu_seconds: self.limits.cpu.as_secs(),
            file_bytes,
        };
        let child = self.start().map_err(|error| unavailable("the extraction worker", &error))?;
        converse(child, &request, file).await
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.executable)
            .arg("extract-worker")
            .env_clear()
            // glibc reserves 64 MiB of address space a thread by default, which the memory limit would count.
            .env("MALLOC_ARENA_MAX", "2")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

async fn converse(mut child: Child, request: &Request, file: tokio::fs::File) -> Reply {
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(ExtractFailure::passing(ExtractCode::Unavailable, "The extraction worker has no pipes."));
    };
    let complaints = tokio::spawn(first_bytes(stderr, MAX_COMPLAINT_BYTES));
    let reply = tokio::select! {
        reply = answer(stdout) => reply,
        never = hold(stdin, request, file) => match never {},
    };
    if reply.as_ref().is_ok_and(|reply| reply.len() as u64 > MAX_REPLY_BYTES) {
        return Err(ExtractFailure::of_file(
            ExtractCode::TooLarge,
            "The file holds more text than a document may have.",
        ));
    }
    let status = child.wait().await.map_err(|error| unavailable("the extraction worker", &error))?;
    let complaints = complaints.await.unwrap_or_default();
    let parsed = reply.ok().and_then(|reply| serde_json::from_slice::<Reply>(&reply).ok());
    parsed.unwrap_or_else(|| Err(why_it_ended(status, &String::from_utf8_lossy(&complaints))))
}

/// Sends all, then keeps the pipe open: its end is what tells the child that its parent is gone.
async fn hold(stdin: ChildStdin, request: &Request, file: tokio::fs::File) -> std::convert::Infallible {
    // An error means that the child has ended, or that the file shrank; then the closed pipe ends the child.
    let _open = send(stdin, request, file).await.ok();
    std::future::pending().await
}

async fn send(mut stdin: ChildStdin, request: &Request, file: tokio::fs::File) -> io::Result<ChildStdin> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stdin.write_all(&line).await?;
    let sent = tokio::io::copy(&mut file.take(request.file_bytes), &mut stdin).await?;
    stdin.flush().await?;
    match sent == request.file_bytes {
        true => Ok(stdin),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn answer(stdout: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    stdout.take(MAX_REPLY_BYTES + 1).read_to_end(&mut reply).await?;
    Ok(reply)
}

/// The first bytes, and the rest read away, so that the writer never waits.
async fn first_bytes(mut from: impl AsyncRead + Unpin, count: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    let read = (&mut from).take(count).read_to_end(&mut kept).await;
    if read.is_ok() {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await.ok();
    }
    kept
}

fn why_it_ended(status: ExitStatus, complaints: &str) -> ExtractFailure {
    let crashed = |detail: &str| ExtractFailure::of_file(ExtractCode::Crashed, detail);
    match status.signal() {
        Some(libc::SIGXCPU) => ExtractFailure::of_file(
            ExtractCode::Timeout,
            "The file takes too much computing time to read. Split it, or export it again in a simpler form.",
        ),
        Some(libc::SIGABRT) if complaints.contains("memory allocation of") => ExtractFailure::of_file(
            ExtractCode::OutOfMemory,
            "The file takes too much memory to read. Split it, or export it again in a simpler form.",
        ),
        // Nobody here sends it while somebody waits for the answer: the system was short of memory.
        Some(libc::SIGKILL) => ExtractFailure::passing(
            ExtractCode::OutOfMemory,
            "The system ended the reading of the file for want of memory.",
        ),
        Some(libc::SIGABRT) if complaints.contains("overflowed its stack") => {
            crashed("The file is nested too deeply to be read. Export it again in a simpler form.")
        }
        Some(signal) => crashed(&format!("The reader crashed on the file (signal {signal}). Export it again.")),
        None => ExtractFailure::passing(
            ExtractCode::Unavailable,
            format!("The extraction worker did not answer ({status})."),
        ),
    }
}

fn unavailable(what: &str, error: &io::Error) -> ExtractFailure {
    ExtractFailure::passing(ExtractCode::Unavailable, format!("Almanac could not open {what}: {error}."))
}

/// The child's end: reads a request and a file from standard input, answers on standard output.
pub fn main() -> ExitCode {
    match serve(io::stdin(), &io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(stdin: io::Stdin, stdout: &io::Stdout) -> io::Result<()> {
    let request = read_request(&mut stdin.lock())?;
    limits::apply(request.memory_bytes, request.cpu_seconds)?;
    let bytes = read_file(&mut stdin.lock(), request.file_bytes)?;
    std::thread::spawn(move || exit_with_parent(stdin));
    let reply = extract_guarded(bytes, &request);
    let mut stdout = io::BufWriter::new(stdout.lock());
    serde_json::to_writer(&mut stdout, &reply)?;
    stdout.flush()
}

fn read_request(from: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    from.take(MAX_REQUEST_BYTES).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn read_file(from: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(count).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == count {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Nothing more is sent, so a read returns only when the pipe is closed.
fn exit_with_parent(mut stdin: io::Stdin) {
    let _ = stdin.read(&mut [0]);
    std::process::exit(1);
}

/// Extracts in a thread with a large stack; a panic ends the thread and no more.
fn extract_guarded(bytes: Vec<u8>, request: &Request) -> Reply {
    let (content_type, options) = (request.content_type, request.options.clone());
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let running = thread.spawn(move || extract_here(&bytes, content_type, &options));
    let running = running.map_err(|error| unavailable("a thread", &error))?;
    running.join().unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let detail =
            format!("The reader failed on the file ({}). Export it again.", message.unwrap_or("no reason given"));
        Err(ExtractFailure::of_file(ExtractCode::Crashed, detail))
    })
}
