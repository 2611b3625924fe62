//! Texts of any length for benches, the same in every run: the sample documents again and again, with other numbers and some
//! other words every time.

use std::path::{Path, PathBuf};

/// The Markdown files among the sample documents, or their plain text, up to `length` bytes.
pub fn text(markdown: bool, length: usize) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documents");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("sample documents").map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == if markdown { "md" } else { "txt" }));
    paths.sort();
    let samples: Vec<String> = paths.iter().map(|path| std::fs::read_to_string(path).expect("UTF-8")).collect();
    let words: Vec<&str> = samples
        .iter()
        .flat_map(|sample| sample.split_whitespace())
        .filter(|word| word.chars().all(char::is_alphabetic))
        .collect();
    let mut random = 1_u64;
    let mut text = String::new();
    while text.len() < length {
        for line in samples.iter().flat_map(|sample| sample.split_inclusive('\n')) {
            vary(line, &words, &mut random, &mut text);
        }
    }
    text.truncate(text.floor_char_boundary(length));
    text
}

/// `line` with one word in eight another and all digits others.
fn vary(line: &str, words: &[&str], random: &mut u64, text: &mut String) {
    let mut next = |below: usize| {
        // Knuth's constants.
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) as usize % below
    };
    for word in line.split_inclusive([' ', '\n']) {
        let bare = word.trim_end();
        match bare.chars().all(char::is_alphabetic) && !bare.is_empty() && next(8) == 0 {
            true => text.extend([words[next(words.len())], &word[bare.len()..]]),
            false => text.extend(word.chars().map(|c| match c {
                '0'..='9' => char::from(b'0' + next(10) as u8),
                other => other,
            })),
        }
    }
}
