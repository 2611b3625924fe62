//! The child's end: the process that the server starts waits for files, and reads each in a copy of itself, under limits.
//! It ends when the server closes the pipe, and with the first copy that does, telling how as shells do (128 and the
//! signal's number).

use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use super::super::limits::{self, Confinement};
use super::super::{ExtractCode, ExtractFailure, Extracted, extract_here, pipe::unavailable};
use super::{DONE, Head, MAX_REQUEST_BYTES, Reply, Request};

/// Parsers recurse into what files nest; the default of 2 MiB a thread is too little for some real ones.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Reads requests and files from standard input, and answers on standard output. Must be called before there are threads.
pub fn main() -> ExitCode {
    match work_off() {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn work_off() -> Result<(), ExitCode> {
    let failed = |_| ExitCode::FAILURE;
    while super::fork::has_input().map_err(failed)? {
        let ended = super::fork::in_a_copy(|| serve(io::stdin(), &io::stdout()).is_ok()).map_err(failed)?;
        if !ended.success() {
            return Err(told(ended));
        }
        // The copy is gone, and cannot take what is sent next.
        io::stdout().write_all(&[DONE]).and_then(|()| io::stdout().flush()).map_err(failed)?;
    }
    Ok(())
}

fn told(ended: ExitStatus) -> ExitCode {
    let signal = ended.signal().and_then(|signal| u8::try_from(128 + signal).ok());
    signal.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn serve(stdin: io::Stdin, stdout: &io::Stdout) -> io::Result<()> {
    let request = read_request(&mut stdin.lock())?;
    limits::apply(&Confinement::without_files(request.memory_bytes, request.cpu_seconds))?;
    let bytes = read_file(&mut stdin.lock(), request.file_bytes)?;
    std::thread::spawn(move || exit_with_parent(stdin));
    let reply = extract_guarded(bytes, &request);
    write_answer(&mut io::BufWriter::new(stdout.lock()), reply)
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

/// Nothing more is sent before the answer, so a read returns only when the pipe is closed.
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
    // What a panic says is for programmers, and on standard error.
    running.join().unwrap_or_else(|_| {
        let detail =
            "The reader failed on the file, which is damaged in a way that it did not expect. Export it again.";
        Err(ExtractFailure::of_file(ExtractCode::Crashed, detail))
    })
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
