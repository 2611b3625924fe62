//! The words of a question as they are looked up: stems, words run together, and pairs of characters of scripts that
//! put no blanks between words.

use std::collections::HashMap;

use crate::text_to_sql::link::words::{identifier_words, is_function_word, normal, stem, synonyms};

/// Words of a question that are looked at; a long one repeats itself.
const MAX_WORDS: usize = 120;
/// The longest value looked for, in words.
const MAX_VALUE_WORDS: usize = 6;
/// What a word counts that only stands beside the one in the schema: a synonym, its first letters.
const SYNONYM: f32 = 0.6;
const BEGINNING: f32 = 0.35;
const RUN_TOGETHER: f32 = 0.9;

pub struct Said {
    words: Vec<Word>,
    /// Where each stem is said, and how surely.
    stems: HashMap<String, (usize, f32)>,
}

struct Word {
    text: String,
    lower: String,
    stems: Vec<String>,
    function: bool,
}

impl Said {
    pub fn new(question: &str) -> Said {
        let words: Vec<Word> = pieces(question).into_iter().take(MAX_WORDS).map(Word::new).collect();
        let mut stems = HashMap::new();
        for (place, word) in words.iter().enumerate().filter(|(_, word)| !word.function) {
            for own in &word.stems {
                stems.insert(own.clone(), (place, 1.0));
            }
        }
        for (place, word) in words.iter().enumerate().filter(|(_, word)| !word.function) {
            for other in word.stems.iter().flat_map(|own| synonyms(own)) {
                stems.entry(other.clone()).or_insert((place, SYNONYM));
            }
        }
        Said { words, stems }
    }

    /// The terms to look up, what each counts, and the place of the word that it comes from. Where the schema knows
    /// nothing of a word, its first letters stand in.
    pub fn terms(&self, known: impl Fn(&str) -> bool) -> Vec<(String, f32, usize)> {
        let mut terms = Vec::new();
        for (stem, (place, weight)) in &self.stems {
            terms.push((stem.clone(), *weight, *place));
            if *weight == 1.0 && !known(stem) {
                terms.extend(beginning(stem).map(|term| (term, BEGINNING, *place)));
            }
        }
        for (place, pair) in self.words.windows(2).enumerate() {
            let [first, second] = pair else { continue };
            if !first.function && !second.function {
                terms.push((stem(&format!("{}{}", first.lower, second.lower)), RUN_TOGETHER, place));
            }
        }
        terms.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
        terms
    }

    /// Where a stem is said, and how surely.
    pub fn says(&self, stem: &str) -> Option<(usize, f32)> {
        self.stems.get(stem).copied()
    }

    pub fn says_any(&self, stems: &[String]) -> bool {
        stems.iter().any(|stem| self.stems.contains_key(stem))
    }

    /// Every run of words that may be a value: as it was written, and in the form that values are compared in.
    pub fn spans(&self) -> Vec<(String, String)> {
        let mut spans = Vec::new();
        for start in 0..self.words.len() {
            for end in start + 1..=self.words.len().min(start + MAX_VALUE_WORDS) {
                let words = &self.words[start..end];
                let says_nothing = |word: &Word| word.function || word.text.chars().all(|c| c.is_ascii_digit());
                let code = words[0].text.len() >= 2 && words[0].text.chars().all(char::is_uppercase);
                if words.iter().all(says_nothing) && !code {
                    continue;
                }
                let text: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                let text = text.join(" ");
                let form = normal(&text);
                if form.chars().count() > 2 || code || !form.is_ascii() {
                    spans.push((text, form));
                }
            }
        }
        spans
    }
}

impl Word {
    fn new(text: String) -> Word {
        let lower = text.to_lowercase();
        let function = is_function_word(&lower);
        Word { stems: stems(&text), lower, text, function }
    }
}

/// The stems of a name or a word; in scripts without blanks, its pairs of characters.
pub fn stems(text: &str) -> Vec<String> {
    identifier_words(text).iter().flat_map(|word| if is_dense(word) { pairs(word) } else { vec![stem(word)] }).collect()
}

/// The term under which words are found that begin alike.
pub fn beginning(stem: &str) -> Option<String> {
    const LETTERS: usize = 5;
    (stem.chars().count() > LETTERS).then(|| stem.chars().take(LETTERS).chain(['…']).collect())
}

/// Words, each script that knows no blanks apart from its neighbours.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut last: Option<bool> = None;
    for c in text.chars() {
        let kind = (c.is_alphanumeric() || c == '_').then(|| is_dense_character(c));
        match (kind, last) {
            (Some(dense), Some(before)) if dense == before => {
                if let Some(piece) = pieces.last_mut() {
                    piece.push(c);
                }
            }
            (Some(_), _) => pieces.push(c.to_string()),
            (None, _) => {}
        }
        last = kind;
    }
    pieces
}

fn is_dense(word: &str) -> bool {
    word.chars().any(is_dense_character)
}

/// Chinese, Japanese and Korean characters.
fn is_dense_character(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}

fn pairs(word: &str) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    match characters.len() {
        0 | 1 => vec![word.to_owned()],
        _ => characters.windows(2).map(|pair| pair.iter().collect()).collect(),
    }
}
