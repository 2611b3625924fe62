//! Extraction in a process of its own, both ends: [`Worker`] in the server, [`main`] in the child (the hidden command
//! `extract-worker` of the same executable). A process a file: starting one takes milliseconds, and nothing of a bad file
//! outlives it.
//!
//! The parent sends one line of JSON ([`Request`]) and the file's bytes, and keeps the pipe open; the child answers with
//! one line of JSON ([`Head`]) and the text's bytes. Promises: the child sees no environment, opens no file, and ends when
//! its time, its memory or its parent ends (the pipe closes; a parent-death signal would follow the parent's *thread*, and
//! those come and go); the parent holds the text once; a password travels on the pipe alone; and every way the child can
//! end is a typed [`ExtractFailure`].

use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{
    ContentType, ExtractCode, ExtractFailure, ExtractOptions, Extracted, MAX_TEXT_BYTES, PageStart, Warning,
    extract_here,
    limits::{self, Confinement},
    pipe::{first_bytes, send, unavailable},
};

/// The longest first line of an answer: two hundred thousand pages.
const MAX_HEAD_BYTES: u64 = 8 * 1024 * 1024;

/// What is kept of the child's complaints: enough for the line that says why it aborted.
const MAX_COMPLAINT_BYTES: u64 = 8 * 1024;

/// A request line is a few hundred bytes, unless its password is long; no format has one of this length.
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
    /// A worker that runs `executable extract-worker` for every file.
    pub fn new(executable: PathBuf, limits: Limits) -> Worker {
        Worker { executable, limits }
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
        let answer = tokio::time::timeout(self.limits.wall, self.ask(file, size, content_type, options));
        match answer.await {
            Ok(reply) => reply,
            Err(_) => Err(ExtractFailure::passing(
                ExtractCode::Timeout,
                format!("Reading the file took longer than {} s.", self.limits.wall.as_secs_f32()),
            )),
        }
    }

    async fn ask(
        &self,
        file: impl AsyncRead + Unpin + Send,
        file_bytes: u64,
        content_type: ContentType,
        options: &ExtractOptions,
    ) -> Reply {
        let request = Request {
            content_type,
            options: options.clone(),
            memory_bytes: self.limits.memory_bytes,
            cpu_seconds: self.limits.cpu.as_secs(),
            file_bytes,
        };
        let line = line_of(&request)?;
        let child = self.start().map_err(|error| unavailable("the extraction worker", &error))?;
        converse(child, &line, file, file_bytes).await
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

fn line_of(request: &Request) -> Result<Vec<u8>, ExtractFailure> {
    let line = serde_json::to_vec(request).map_err(|error| unavailable("the extraction worker", &error.into()))?;
    match line.len() as u64 + 1 < MAX_REQUEST_BYTES {
        true => Ok([line, b"\n".to_vec()].concat()),
        false => Err(ExtractFailure::encrypted("The file", request.options.password.as_ref())),
    }
}

async fn converse(mut child: Child, line: &[u8], file: impl AsyncRead + Unpin + Send, file_bytes: u64) -> Reply {
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(ExtractFailure::passing(ExtractCode::Unavailable, "The extraction worker has no pipes."));
    };
    let complaints = tokio::spawn(first_bytes(stderr, MAX_COMPLAINT_BYTES));
    let answer = tokio::select! {
        answer = answer(stdout) => answer.unwrap_or(Answer::Broken),
        failure = hold(stdin, line, file, file_bytes) => return Err(failure),
    };
    match answer {
        Answer::Whole(reply) => reply,
        Answer::TooLong => {
            Err(ExtractFailure::of_file(ExtractCode::TooLarge, "The file holds more text than a document may have."))
        }
        Answer::Broken => {
            let status = child.wait().await.map_err(|error| unavailable("the extraction worker", &error))?;
            let complaints = complaints.await.unwrap_or_default();
            Err(why_it_ended(status, &String::from_utf8_lossy(&complaints)))
        }
    }
}

/// Sends all, then keeps the pipe open: its end is what tells the child that its parent is gone. Returns only when the
/// file cannot be read.
async fn hold(
    mut stdin: ChildStdin,
    line: &[u8],
    file: impl AsyncRead + Unpin + Send,
    file_bytes: u64,
) -> ExtractFailure {
    // Whoever does not read the line has ended, and gives no answer.
    if stdin.write_all(line).await.is_ok()
        && let Err(failure) = send(&mut stdin, file, file_bytes).await
    {
        return failure;
    }
    std::future::pending().await
}

async fn answer(stdout: ChildStdout) -> io::Result<Answer> {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    (&mut stdout).take(MAX_HEAD_BYTES + 1).read_until(b'\n', &mut line).await?;
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

/// The child's end: reads a request and a file from standard input, answers on standard output.
pub fn main() -> ExitCode {
    match serve(io::stdin(), &io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(stdin: io::Stdin, stdout: &io::Stdout) -> io::Result<()> {
    let request = read_request(&mut stdin.lock())?;
    limits::apply(&Confinement::without_files(request.memory_bytes, request.cpu_seconds))?;
    let bytes = read_file(&mut stdin.lock(), request.file_bytes)?;
    std::thread::spawn(move || exit_with_parent(stdin));
    let reply = extract_guarded(bytes, &request);
    write_answer(&mut io::BufWriter::new(stdout.lock()), reply)
}

fn write_answer(to: &mut impl Write, reply: Reply) -> io::Result<()> {
    let (head, text) = match reply {
        Ok(Extracted { title, text, markdown, pages, warnings }) => {
            (Ok(Head { title, markdown, pages, warnings, text_bytes: text.len() }), text)
        }
        Err(failure) => (Err(failure), String::new()),
    };
    serde_json::to_writer(&mut *to, &head)?;
    to.write_all(b"\n")?;
    to.write_all(text.as_bytes())?;
    to.flush()
}

fn read_request(from: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    from.take(MAX_REQUEST_BYTES).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn read_file(from: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    // Doubling would leave room for nearly twice the file.
    let mut bytes = Vec::with_capacity(usize::try_from(count).map_err(io::Error::other)?);
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
