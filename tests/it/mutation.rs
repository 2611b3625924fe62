//! Damaged files of every format, thousands of ways, through the real worker: each is read or is a typed failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use almanac::ingest::extract::worker::{Limits, Worker};
use almanac::ingest::extract::{ContentType, ExtractCode, ExtractFailure, ExtractOptions, Extracted, detect};
use tokio::task::JoinSet;

use crate::extract_worker::{executable, fixture, read};

/// Another number makes other files.
const SEED: u64 = 0x5eed_2026;
const CASES: usize = 1_500;
const AT_ONCE: usize = 8;
/// Larger samples cost time and reach nothing new.
const MAX_SAMPLE_BYTES: u64 = 256 * 1024;
/// What is no document.
const OTHER_FOLDERS: [&str; 3] = ["database", "embedding", "make"];

type Samples = BTreeMap<&'static str, Vec<(ContentType, Vec<u8>)>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_of_every_format_are_read_or_refused_in_words() {
    let samples = samples();
    for format in ContentType::ALL.map(ContentType::as_str) {
        assert!(samples.contains_key(format), "no sample of {format}");
    }
    let limits =
        Limits { cpu: Duration::from_secs(5), wall: Duration::from_secs(60), memory_bytes: 1024 * 1024 * 1024 };
    let worker = Arc::new(Worker::new(executable(), limits));
    let (mut running, mut read) = (JoinSet::new(), 0);
    for case in 0..CASES {
        if running.len() == AT_ONCE {
            read += usize::from(running.join_next().await.unwrap().unwrap());
        }
        let (content_type, bytes) = damaged(&samples, case);
        running.spawn(is_read(Arc::clone(&worker), case, content_type, bytes));
    }
    read += running.join_all().await.into_iter().filter(|read| *read).count();
    assert!(
        read > CASES / 10 && read < CASES * 9 / 10,
        "{read} of {CASES} were read: the damage is too small or too big"
    );
}

async fn is_read(worker: Arc<Worker>, case: usize, content_type: ContentType, bytes: Vec<u8>) -> bool {
    let reply = read(&worker, &bytes, content_type, &ExtractOptions::default()).await;
    if let Some(wrong) = wrong_with(&reply) {
        panic!("seed {SEED:#x}, case {case}, {content_type:?}, {} bytes: {wrong}", bytes.len());
    }
    reply.is_ok()
}

fn wrong_with(reply: &Result<Extracted, ExtractFailure>) -> Option<String> {
    match reply {
        Err(failure) if failure.code == ExtractCode::Unavailable => Some(format!("nobody answered: {failure}")),
        Err(failure) if matches!(failure.code, ExtractCode::Crashed | ExtractCode::Timeout) => {
            Some(format!("{:?}: {failure}", failure.code))
        }
        Err(failure) if failure.detail.is_empty() => Some("a failure without words".to_owned()),
        Err(_) => None,
        Ok(extracted) if extracted.text.trim().is_empty() => Some("blank text".to_owned()),
        Ok(extracted) if extracted.text.contains(|char: char| char.is_control() && !matches!(char, '\n' | '\t')) => {
            Some("text with control characters".to_owned())
        }
        Ok(Extracted { text, pages, .. }) => {
            let wrong = !pages.is_sorted_by_key(|page| page.start) || pages.iter().any(|page| page.start > text.len());
            wrong.then(|| format!("{} bytes with pages at {pages:?}", text.len()))
        }
    }
}

/// Every document among the fixtures, by format.
fn samples() -> Samples {
    let mut samples = Samples::new();
    collect(&fixture(""), &mut samples);
    samples
}

fn collect(folder: &Path, samples: &mut Samples) {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Folders list in any order, and a case must be the same file every time.
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !OTHER_FOLDERS.contains(&name) {
            collect(&path, samples);
        } else if path.is_file() && path.metadata().unwrap().len() <= MAX_SAMPLE_BYTES {
            let bytes = std::fs::read(&path).unwrap();
            if let Ok(content_type) = detect(&bytes, Some(name), None) {
                samples.entry(content_type.as_str()).or_default().push((content_type, bytes));
            }
        }
    }
}

/// Case `case`: a sample of the format whose turn it is, damaged one to four times.
fn damaged(samples: &Samples, case: usize) -> (ContentType, Vec<u8>) {
    let mut random = Random(SEED ^ (case as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let of_format = samples.values().nth(case % samples.len()).unwrap();
    let (content_type, mut bytes) = of_format[random.below(of_format.len())].clone();
    for _ in 0..=random.below(4) {
        damage(&mut bytes, samples, &mut random);
    }
    (content_type, bytes)
}

fn damage(bytes: &mut Vec<u8>, samples: &Samples, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let length = random.below(64.min(bytes.len() - at) + 1);
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes[at..at + length].iter_mut().for_each(|byte| *byte ^= 1 << random.below(8)),
        2 => bytes[at..at + length].fill([0, 0xff, b' ', b'9'][random.below(4)]),
        3 => drop(bytes.drain(at..at + length)),
        4 => drop(bytes.splice(at..at, (0..length).map(|_| random.next().to_le_bytes()[0]).collect::<Vec<_>>())),
        _ => {
            let others: Vec<&Vec<u8>> = samples.values().flatten().map(|(_, bytes)| bytes).collect();
            let other = others[random.below(others.len())];
            let from = random.below(other.len() + 1);
            let part = &other[from..(from + random.below(2_000)).min(other.len())];
            bytes.splice(at..at + length, part.iter().copied());
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
