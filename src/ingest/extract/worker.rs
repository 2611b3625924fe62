//! Extraction in processes of their own: [`Worker`] is the server's end, [`main`] the child's (the hidden command
//! `extract-worker` of the same executable). A started process waits for files and forks for each: a copy costs a tenth of
//! a start, and nothing of a bad file outlives it.
//!
//! The server sends one line of JSON ([`Request`]) and the file's bytes, and keeps the pipe open; the copy answers with
//! one line of JSON ([`Head`]) and the text's bytes, and when it is gone its parent says [`DONE`]. Promises: the copy sees no
//! environment, opens no file, and ends when its time, its memory or its reader ends; the server holds the text once; a
//! password travels on the pipe alone; every way a process can end is a typed [`ExtractFailure`]; one that failed, or was
//! left in the middle of a file, is never used again.

mod child;
mod fork;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub use child::main;

use super::{
    ContentType, ExtractCode, ExtractFailure, ExtractOptions, Extracted, MAX_TEXT_BYTES, PageStart, Warning,
    pipe::{first_bytes, send, unavailable},
};

/// The longest first line of an answer: two hundred thousand pages.
const MAX_HEAD_BYTES: u64 = 8 * 1024 * 1024;

/// What is kept of the child's complaints: enough for the line that says why it aborted.
const MAX_COMPLAINT_BYTES: u64 = 8 * 1024;

/// A request line is a few hundred bytes, unless its password is long; no format has one of this length.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;

/// What a process says when it is ready for the next file.
const DONE: u8 = b'\n';

/// How long a file may take from the storage; storage that is silent ends it sooner.
const MAX_SENDING: Duration = Duration::from_secs(900);

/// How long a process may take to end, or to be ready again, after its answer.
const MAX_ENDING: Duration = Duration::from_secs(10);

/// Processes that wait for files: as many as anybody reads at a time; each takes some 5 MB.
const MAX_IDLE: usize = 16;

/// How much one file may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space of the child.
    pub memory_bytes: u64,
    /// Processor time, over all threads; whole seconds.
    pub cpu: Duration,
    /// Time on the clock, once the file is sent.
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
    idle: Arc<Mutex<Vec<Process>>>,
}

/// A started process and its pipes. Dropping it kills it.
#[derive(Debug)]
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    complaints: JoinHandle<Vec<u8>>,
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

/// The line that precedes the text: all of [`Extracted`] but its text, whose length it names.
#[derive(Serialize, Deserialize)]
struct Head {
    title: Option<String>,
    markdown: bool,
    pages: Vec<PageStart>,
    warnings: Vec<Warning>,
    text_bytes: usize,
}

type Reply = Result<Extracted, ExtractFailure>;

/// What came from the child.
enum Answer {
    Whole(Reply),
    TooLong,
    /// Something else, or nothing: how the child ended says why.
    Broken,
}

impl Worker {
    /// A worker whose processes run `executable extract-worker`.
    pub fn new(executable: PathBuf, limits: Limits) -> Worker {
        Worker { executable, limits, idle: Arc::default() }
    }

    /// Extracts the `size` bytes of `file` in a child. Dropping the future kills it. When `file` cannot be read, that
    /// is a failure that may pass.
    pub async fn extract(
        &self,
        file: impl AsyncRead + Unpin + Send,
        size: u64,
        content_type: ContentType,
        options: &ExtractOptions,
    ) -> Result<Extracted, ExtractFailure> {
        let request = Request {
            content_type,
            options: options.clone(),
            memory_bytes: self.limits.memory_bytes,
            cpu_seconds: self.limits.cpu.as_secs(),
            file_bytes: size,
        };
        let line = line_of(&request)?;
        let mut process = self.process().map_err(|error| unavailable("the extraction worker", &error))?;
        let (answer, is_sent) = process.converse(&line, file, size, self.limits.wall).await?;
        match answer {
            Answer::Whole(reply) => {
                if is_sent && process.is_done().await {
                    self.keep(process);
                }
                reply
            }
            Answer::TooLong => Err(ExtractFailure::of_file(
                ExtractCode::TooLarge,
                "The file holds more text than a document may have.",
            )),
            Answer::Broken => Err(process.why_it_ended().await),
        }
    }

    /// One that waits, or a new one.
    fn process(&self) -> io::Result<Process> {
        while let Some(mut process) = self.idle().pop() {
            if matches!(process.child.try_wait(), Ok(None)) {
                return Ok(process);
            }
        }
        Process::start(&self.executable)
    }

    fn keep(&self, process: Process) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(process);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    fn start(executable: &Path) -> io::Result<Process> {
        let mut child = Command::new(executable)
            .arg("extract-worker")
            .env_clear()
            // glibc reserves 64 MiB of address space a thread by default, which the memory limit would count.
            .env("MALLOC_ARENA_MAX", "2")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let complaints = tokio::spawn(first_bytes(stderr, MAX_COMPLAINT_BYTES));
        Ok(Process { child, stdin, stdout: BufReader::new(stdout), complaints })
    }

    /// The answer to one file, and whether all of the file was sent by then.
    async fn converse(
        &mut self,
        line: &[u8],
        file: impl AsyncRead + Unpin + Send,
        file_bytes: u64,
        wall: Duration,
    ) -> Result<(Answer, bool), ExtractFailure> {
        let mut is_sent = false;
        let answer = tokio::select! {
            answer = answer(&mut self.stdout) => answer.unwrap_or(Answer::Broken),
            failure = hold(&mut self.stdin, line, file, file_bytes, wall, &mut is_sent) => return Err(failure),
        };
        Ok((answer, is_sent))
    }

    /// Waits until it can take the next file; false when it cannot.
    async fn is_done(&mut self) -> bool {
        matches!(timeout(MAX_ENDING, self.stdout.read_u8()).await, Ok(Ok(DONE)))
    }

    async fn why_it_ended(self) -> ExtractFailure {
        let Process { mut child, stdin, stdout, complaints } = self;
        // One that goes on writing ends by it.
        drop((stdin, stdout));
        match timeout(MAX_ENDING, child.wait()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(status) => why_it_ended(status, &String::from_utf8_lossy(&complaints.await.unwrap_or_default())),
            Err(error) => unavailable("the extraction worker", &error),
        }
    }
}

fn line_of(request: &Request) -> Result<Vec<u8>, ExtractFailure> {
    let line = serde_json::to_vec(request).map_err(|error| unavailable("the extraction worker", &error.into()))?;
    match line.len() as u64 + 1 < MAX_REQUEST_BYTES {
        true => Ok([line, b"\n".to_vec()].concat()),
        false => Err(ExtractFailure::encrypted("The file", request.options.password.as_ref())),
    }
}

/// Sends all, then keeps the pipe open: its end is what tells the copy that nobody waits any more. Returns only when the
/// file cannot be read, or the answer takes too long.
async fn hold(
    stdin: &mut ChildStdin,
    line: &[u8],
    file: impl AsyncRead + Unpin + Send,
    file_bytes: u64,
    wall: Duration,
    is_sent: &mut bool,
) -> ExtractFailure {
    // Whoever does not read the line has ended, and gives no answer.
    if stdin.write_all(line).await.is_ok() {
        match timeout(MAX_SENDING, send(stdin, file, file_bytes)).await {
            Ok(Ok(())) => *is_sent = true,
            Ok(Err(failure)) => return failure,
            Err(_) => return too_long("Fetching the stored file", MAX_SENDING),
        }
    }
    sleep(wall).await;
    too_long("Reading the file", wall)
}

fn too_long(what: &str, limit: Duration) -> ExtractFailure {
    let detail = format!("{what} took longer than {} s.", limit.as_secs_f32());
    ExtractFailure::passing(ExtractCode::Timeout, detail)
}

async fn answer(stdout: &mut BufReader<ChildStdout>) -> io::Result<Answer> {
    let mut line = Vec::new();
    (&mut *stdout).take(MAX_HEAD_BYTES + 1).read_until(b'\n', &mut line).await?;
    if line.len() as u64 > MAX_HEAD_BYTES {
        return Ok(Answer::TooLong);
    }
    match serde_json::from_slice::<Result<Head, ExtractFailure>>(&line) {
        Ok(Ok(head)) if head.text_bytes > MAX_TEXT_BYTES => Ok(Answer::TooLong),
        Ok(Ok(head)) => {
            Ok(text_of(stdout, head).await?.map_or(Answer::Broken, |extracted| Answer::Whole(Ok(extracted))))
        }
        Ok(Err(failure)) => Ok(Answer::Whole(Err(failure))),
        Err(_) => Ok(Answer::Broken),
    }
}

/// Reads what `head` promises, and not a byte more.
async fn text_of(stdout: impl AsyncRead + Unpin, head: Head) -> io::Result<Option<Extracted>> {
    let mut text = Vec::with_capacity(head.text_bytes);
    stdout.take(head.text_bytes as u64).read_to_end(&mut text).await?;
    let text = String::from_utf8(text).ok().filter(|text| text.len() == head.text_bytes);
    let Head { title, markdown, pages, warnings, .. } = head;
    Ok(text.map(|text| Extracted { title, text, markdown, pages, warnings }))
}

fn why_it_ended(status: ExitStatus, complaints: &str) -> ExtractFailure {
    let crashed = |detail: &str| ExtractFailure::of_file(ExtractCode::Crashed, detail);
    match signal(status) {
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
        // Our worker ignores it: this is another program, whose words nobody read on.
        Some(libc::SIGPIPE) => {
            ExtractFailure::passing(ExtractCode::Unavailable, "The extraction worker gave no answer but other words.")
        }
        Some(signal) => crashed(&format!("The reader crashed on the file (signal {signal}). Export it again.")),
        None => ExtractFailure::passing(
            ExtractCode::Unavailable,
            format!("The extraction worker did not answer ({status})."),
        ),
    }
}

/// What ended the process, or the copy whose end it told.
fn signal(status: ExitStatus) -> Option<i32> {
    status.signal().or_else(|| status.code().and_then(|code| code.checked_sub(128)).filter(|signal| *signal > 0))
}
