//! How many tokens a second the local model embeds on one core, and what a single question costs.
//!
//!     cargo bench --bench embedder -- MODEL_FOLDER
//!     python benches/peers/sentence_transformers_peer.py MODEL_FOLDER
//!
//! Both embed the same texts of 16 to 254 words, tokenising included, on one thread, and divide the tokens, special ones
//! counted, by the CPU time of the process, so that a busy machine disturbs neither.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use almanac::models::local::LocalEmbedder;
use almanac::models::{Embedder, Passage};

const TEXTS: usize = 200;
const ROUNDS: usize = 5;
const WORDS: &str = "river report small engine water light every village along coast kept grain salt copper paper timber \
                     glass before winter closed mountain roads measured pressure temperature velocity current voltage \
                     frequency resistance capacity lawyers contracts payments doctors recorded symptoms infection";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let folder = folder.expect("an argument names the model's folder");
    let loading = Instant::now();
    let embedder = LocalEmbedder::load(&folder, 1).expect("a model folder");
    println!("load: {:.0} ms", milliseconds(loading.elapsed()));

    let texts: Vec<String> = (0..TEXTS).map(text).collect();
    let tokens: usize = texts.iter().map(|text| embedder.tokenizer().count(text) + 2).sum();
    let rates = rates(&embedder, &texts, tokens).await;
    println!("{tokens} tokens, per CPU-second: best {:.0}, median {:.0}", rates[0], rates[ROUNDS / 2]);

    let text = "how long is the warranty of the pump?";
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        embedder.embed_query(text).await.expect("a vector");
        times.push(start.elapsed());
    }
    times.sort();
    println!("a question of 10 tokens: p50 {:.2} ms, p95 {:.2} ms", milliseconds(times[100]), milliseconds(times[190]));
    tokenise(&embedder);
}

/// Best first.
async fn rates(embedder: &LocalEmbedder, texts: &[String], tokens: usize) -> Vec<f64> {
    embed(embedder, texts).await;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let start = cpu_time();
        embed(embedder, texts).await;
        rates.push(tokens as f64 / (cpu_time() - start).as_secs_f64());
    }
    rates.sort_by(|a, b| b.total_cmp(a));
    rates
}

async fn embed(embedder: &LocalEmbedder, texts: &[String]) {
    let passage = |text: &String| Passage { text: text.clone(), token_ids: embedder.tokenizer().encode(text).ids };
    embedder.embed_documents(texts.iter().map(passage).collect()).await.expect("vectors");
}

fn tokenise(embedder: &LocalEmbedder) {
    let text = "The pump's heat exchanger, part 17-B, is due for maintenance after 2,000 hours.\n".repeat(12_500);
    let start = cpu_time();
    let count = embedder.tokenizer().encode(&text).ids.len();
    let seconds = (cpu_time() - start).as_secs_f64();
    println!("tokeniser: {count} tokens, {:.1} MB per CPU-second", text.len() as f64 / 1e6 / seconds);
}

/// Between 16 and 254 words of [`WORDS`], each of which is one token.
fn text(index: usize) -> String {
    let length = 16 + index * 238 / (TEXTS - 1);
    let words: Vec<&str> = WORDS.split(' ').collect();
    (0..length).map(|at| words[(index * 7_919 + at * at * 31 + at) % words.len()]).collect::<Vec<_>>().join(" ")
}

/// What all threads of this process have run, in the kernel's scheduler statistics.
fn cpu_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let nanoseconds = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    Duration::from_nanos(nanoseconds.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
