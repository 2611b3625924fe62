//! What cutting a document into chunks costs, against `text-splitter` as it comes, at 256 tokens.
//!
//!     cargo bench --bench chunker -- MODEL_FOLDER [MB that text-splitter gets at most, 1 unless given]
//!
//! All read the same texts: the sample documents again and again, with other numbers and some other words every time.
//! `text-splitter` counts tokens once with the `tokenizers` crate, as its documentation shows, and once with our
//! tokenizer, which gives the same. What is measured is the CPU time of the process from the text to the last passage.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod samples;

use std::path::PathBuf;
use std::time::Duration;

use almanac::ingest::chunk::{self, ChunkSizes};
use almanac::ingest::extract::Extracted;
use almanac::models::Tokenizer;
use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

const SIZES: ChunkSizes = ChunkSizes { max_tokens: 256, overlap: 0 };
const MEGABYTES: [f64; 5] = [0.25, 1.0, 4.0, 8.0, 32.0];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let folder = arguments.next().map(PathBuf::from).expect("an argument names the model's folder");
    let stock_megabytes: f64 = arguments.next().map_or(1.0, |limit| limit.parse().expect("a number of megabytes"));
    let file = folder.join("tokenizer.json");
    let ours = Tokenizer::load(&file).expect("a tokenizer");
    let mut crates = Crates(tokenizers::Tokenizer::from_file(&file).expect("a tokenizer"));
    crates.0.with_padding(None);
    crates.0.with_truncation(None).expect("none is always possible");
    for (kind, markdown) in [("Markdown", true), ("plain text", false)] {
        for megabytes in MEGABYTES {
            let text = samples::text(markdown, (megabytes * 1e6) as usize);
            let tokenised = cost(|| ours.count(&text));
            let chunked = cost(|| cut(&text, markdown, &ours));
            report(kind, megabytes, "our tokenizer alone", "tokens", tokenised, None);
            report(kind, megabytes, "our chunks", "chunks", chunked, None);
            if megabytes <= stock_megabytes {
                let theirs = cost(|| crates.count(&text));
                report(kind, megabytes, "tokenizers alone", "tokens", theirs, Some(tokenised));
                let theirs = cost(|| stock(&text, markdown, Counted(&ours)));
                report(kind, megabytes, "text-splitter on our tokenizer", "chunks", theirs, Some(chunked));
                let theirs = cost(|| stock(&text, markdown, &crates));
                report(kind, megabytes, "text-splitter on tokenizers", "chunks", theirs, Some(chunked));
            }
        }
    }
}

/// What was made, and the CPU time it took.
#[derive(Clone, Copy)]
struct Cost(usize, f64);

/// Of one time of several, because the kernel counts in milliseconds.
fn cost(work: impl Fn() -> usize) -> Cost {
    let start = cpu_time();
    let (mut made, mut times) = (0, 0);
    while (cpu_time() - start).as_secs_f64() < 0.25 {
        made = work();
        times += 1;
    }
    Cost(made, (cpu_time() - start).as_secs_f64() / f64::from(times))
}

fn report(kind: &str, megabytes: f64, what: &str, unit: &str, cost: Cost, ours: Option<Cost>) {
    let Cost(made, seconds) = cost;
    let ratio = ours.map_or(String::new(), |ours| format!(", {:.1} times ours", seconds / ours.1));
    println!(
        "{megabytes:5.2} MB {kind:10} {what:30} {made:8} {unit}, {seconds:7.3} s, {:6.2} MB/s{ratio}",
        megabytes / seconds
    );
}

/// From the text to every chunk and passage.
fn cut(text: &str, markdown: bool, tokenizer: &Tokenizer) -> usize {
    let extracted = Extracted { text: text.to_owned(), markdown, ..Extracted::default() };
    let chunked = chunk::chunk(extracted, "The title", tokenizer, SIZES);
    let all = 0..chunked.len();
    chunked.chunks(all.clone()).zip(chunked.passages(all)).filter(|(_, passage)| !passage.text.is_empty()).count()
}

fn stock(text: &str, markdown: bool, sizer: impl ChunkSizer) -> usize {
    let config = ChunkConfig::new(SIZES.max_tokens).with_sizer(sizer);
    match markdown {
        true => MarkdownSplitter::new(config).chunks(text).count(),
        false => TextSplitter::new(config).chunks(text).count(),
    }
}

struct Crates(tokenizers::Tokenizer);

impl Crates {
    /// In blocks, because longer texts cost it more.
    fn count(&self, text: &str) -> usize {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        lines.chunks(64).map(|lines| (&self).size(&lines.concat())).sum()
    }
}

impl ChunkSizer for &Crates {
    /// As `text-splitter` does it under a feature that would bring a C library along.
    fn size(&self, chunk: &str) -> usize {
        self.0.encode_fast(chunk, false).expect("word pieces encode any text").len()
    }
}

struct Counted<'a>(&'a Tokenizer);

impl ChunkSizer for Counted<'_> {
    fn size(&self, chunk: &str) -> usize {
        self.0.count(chunk)
    }
}

/// What all threads of this process have run, in the kernel's scheduler statistics.
fn cpu_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let nanoseconds = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    Duration::from_nanos(nanoseconds.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum())
}
