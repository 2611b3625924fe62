//! Whether an answer is borne by what it cites: for each sentence the quote that bears it best, or why none does.
//!
//! A sentence is borne when every number it states is stated by what it cites, and its words are there, or most of them and
//! the meaning of a cited sentence is near. `check/tests.rs` measures the thresholds. A "not" that was added or left out is
//! not seen.

use std::{collections::HashMap, ops::Range};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    cite::Citation,
    marks::{marks, without_marks},
    meaning::{cosine, vectors},
    numbers::{Stated, figures},
    passages::Passage,
    sentences::{begins_item, sentences},
    words::Words,
};
use crate::{
    lexemes::Language,
    models::{Embedder, ModelError},
};

/// A sentence of the answer that nothing cited bears.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Unsupported {
    /// Offsets in characters into `answer`.
    pub start: usize,
    pub end: usize,
    pub text: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It cites no passage.
    CitesNothing,
    /// It states a number or an identifier that no passage it cites states.
    NumberNotFound,
    /// No passage it cites says so.
    NotSaid,
}

/// What an answer cites, and where it says more than that.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    pub citations: Vec<Citation>,
    pub unsupported: Vec<Unsupported>,
}

/// With this share of its words in a cited sentence, those around it and the headings above, a sentence is borne.
const ENOUGH_WORDS: f32 = 0.9;
/// Otherwise the mean of that share and of the cosine with the nearest cited sentence must reach this; without an embedding
/// model, the share alone.
const ENOUGH: f32 = 0.6;
/// Sentences compared by meaning: bounds the embedding work of one answer.
const MAX_COMPARED: usize = 96;

/// Checks `answer`, whose marks name `shown` from 1 on.
pub async fn check(
    answer: &str,
    shown: &[Passage<'_>],
    embedder: &dyn Embedder,
    degraded: &mut Vec<String>,
) -> Verdict {
    let sources: Vec<Source<'_>> = shown.iter().map(Source::read).collect();
    // Of sentences that cite nothing: as the best passage.
    let language = sources.first().map(|source| source.language).unwrap_or_default();
    let mut readings: Vec<Reading> =
        claims(answer, language).into_iter().map(|claim| Reading::of(claim, &sources, language)).collect();
    if let Err(error) = compare_meanings(&mut readings, &sources, embedder).await {
        degraded.push(format!("the answer's sentences were compared by words alone: {error}"));
    }
    Verdict { citations: citations(&readings, &sources), unsupported: unsupported(answer, &readings) }
}

/// A sentence of the answer.
#[derive(Debug, PartialEq)]
struct Claim {
    /// In bytes of the answer.
    range: Range<usize>,
    /// Without marks.
    said: String,
    /// Passages by number, each once.
    cites: Vec<usize>,
    needs_support: bool,
}

/// The answer's sentences with what each cites: marks in it and between it and the next one, and for items of a list those
/// of the line that announces it.
fn claims(answer: &str, language: Language) -> Vec<Claim> {
    let (plain, marks) = (without_marks(answer), marks(answer));
    let ranges = sentences(&plain);
    let mut claims: Vec<Claim> = Vec::new();
    // What the announcement before a list cites.
    let mut announced: Vec<usize> = Vec::new();
    for (index, range) in ranges.iter().enumerate() {
        let from = if index == 0 { 0 } else { range.start };
        let until = ranges.get(index + 1).map_or(answer.len(), |next| next.start);
        let here = marks.iter().filter(|(at, _)| (from..until).contains(&at.start));
        let mut cites: Vec<usize> = Vec::new();
        here.flat_map(|(_, numbers)| numbers).for_each(|n| {
            if !cites.contains(n) {
                cites.push(*n)
            }
        });
        let said = plain[range.clone()].to_owned();
        let announces = said.trim_end().ends_with(':');
        if cites.is_empty() && is_item(&said) {
            cites.clone_from(&announced);
        } else if !is_item(&said) {
            announced = if announces { cites.clone() } else { Vec::new() };
        }
        claims.push(Claim { range: range.clone(), needs_support: states_something(&said, language), said, cites });
    }
    claims
}

fn is_item(sentence: &str) -> bool {
    begins_item(sentence) || sentence.starts_with("• ")
}

/// A heading, a question and a short announcement of what follows ("Here is what I found:") state nothing by themselves,
/// unless there is a number in them.
fn states_something(sentence: &str, language: Language) -> bool {
    /// Announcements are short.
    const MOST_WORDS: usize = 12;
    let said = sentence.trim().trim_end_matches(['*', '_']).trim_end();
    let short = said.split_whitespace().count() <= MOST_WORDS;
    let announces = said.ends_with([':', '：']) && short;
    let asks = said.ends_with(['?', '？']);
    !((said.starts_with('#') || announces || asks) && figures(said, language).is_empty())
}

/// A passage with what is compared of it.
struct Source<'a> {
    passage: &'a Passage<'a>,
    language: Language,
    sentences: Vec<(Range<usize>, Words)>,
    /// Title and headings: what a sentence is about without saying it.
    about: Words,
    stated: Stated,
}

impl<'a> Source<'a> {
    fn read(passage: &'a Passage<'a>) -> Source<'a> {
        let language = passage.chunk().language;
        let ranges = sentences(&passage.text).into_iter();
        let sentences = ranges.map(|range| (range.clone(), Words::of(&passage.text[range], language))).collect();
        let mut stated = Stated::default();
        let mut about = Words::default();
        for label in passage.labels() {
            stated.add(label);
            about.add(&Words::of(label, language));
        }
        stated.add(&passage.text);
        Source { passage, language, sentences, about, stated }
    }

    fn text(&self, sentence: usize) -> &str {
        self.sentences.get(sentence).map_or(&self.passage.text, |(range, _)| &self.passage.text[range.clone()])
    }

    /// The words of a sentence, of those around it, of the headings above, and of what announces the list it is in.
    fn words_around(&self, sentence: usize) -> Words {
        let mut words = self.about.clone();
        let around = sentence.saturating_sub(1)..(sentence + 2).min(self.sentences.len());
        let mut before = 0..sentence.min(self.sentences.len());
        let heading = before.clone().rfind(|at| self.text(*at).starts_with('#'));
        let announcement = before.rfind(|at| !is_item(self.text(*at))).filter(|_| is_item(self.text(sentence)));
        for at in around.chain(heading).chain(announcement) {
            words.add(&self.sentences[at].1);
        }
        words
    }
}

/// A claim with what speaks for it.
struct Reading {
    claim: Claim,
    words: Words,
    /// For each cited passage the sentence that is nearest.
    nearest: Vec<Nearest>,
    numbers_found: bool,
    /// The share of its words in all of these sentences together, and around them.
    shared: f32,
    meaning: Option<f32>,
}

struct Nearest {
    /// The passage's number, from 1.
    number: usize,
    sentence: usize,
}

impl Reading {
    fn of(claim: Claim, sources: &[Source<'_>], language: Language) -> Reading {
        let cited: Vec<(usize, &Source<'_>)> =
            claim.cites.iter().filter_map(|n| Some((*n, sources.get(n.checked_sub(1)?)?))).collect();
        // Its words meet those of what it cites.
        let language = cited.first().map_or(language, |(_, source)| source.language);
        let words = Words::of(&claim.said, language);
        let figures = figures(&claim.said, language);
        let numbers_found = figures.iter().all(|figure| cited.iter().any(|(_, source)| source.stated.has(figure)));
        let nearest: Vec<Nearest> = cited
            .iter()
            .map(|(number, source)| Nearest { number: *number, sentence: best_by_words(&words, source) })
            .collect();
        let mut reading = Reading { claim, words, nearest, numbers_found, shared: 0.0, meaning: None };
        reading.shared = reading.share(sources);
        reading
    }

    fn share(&self, sources: &[Source<'_>]) -> f32 {
        let mut all = Words::default();
        for nearest in &self.nearest {
            all.add(&sources[nearest.number - 1].words_around(nearest.sentence));
        }
        self.words.share_in(&all)
    }

    fn is_doubtful(&self) -> bool {
        self.claim.needs_support && self.numbers_found && !self.nearest.is_empty() && self.shared < ENOUGH_WORDS
    }

    fn verdict(&self) -> Option<Reason> {
        let borne = self.meaning.map_or(self.shared, |meaning| f32::midpoint(self.shared, meaning)) >= ENOUGH;
        match () {
            () if !self.claim.needs_support => None,
            () if self.nearest.is_empty() => Some(Reason::CitesNothing),
            () if !self.numbers_found => Some(Reason::NumberNotFound),
            () if self.words.is_empty() || self.shared >= ENOUGH_WORDS || borne => None,
            () => Some(Reason::NotSaid),
        }
    }
}

/// The sentence that shares most words, those around it counted half; the first one when none does.
fn best_by_words(words: &Words, source: &Source<'_>) -> usize {
    let share = |(at, (_, own)): (usize, &(Range<usize>, Words))| {
        (at, words.share_in(own) + 0.5 * words.share_in(&source.words_around(at)))
    };
    let shares = source.sentences.iter().enumerate().map(share);
    shares.fold((0, 0.0), |best, (at, share)| if share > best.1 { (at, share) } else { best }).0
}

/// Compares claims whose words are not enough with every sentence of what they cite.
async fn compare_meanings(
    readings: &mut [Reading],
    sources: &[Source<'_>],
    embedder: &dyn Embedder,
) -> Result<(), ModelError> {
    let mut texts = Texts::default();
    let doubtful = readings.iter_mut().filter(|reading| reading.is_doubtful());
    let compared: Vec<(&mut Reading, Comparison)> = doubtful
        .map(|reading| {
            let comparison = Comparison::of(reading, sources, &mut texts);
            (reading, comparison)
        })
        .collect();
    texts.all.truncate(MAX_COMPARED);
    let vectors = vectors(embedder, texts.all).await?;
    compared.into_iter().for_each(|(reading, comparison)| reading.take_nearest(&comparison, &vectors));
    Ok(())
}

/// Texts to embed, each once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    places: HashMap<String, usize>,
}

/// A claim and the sentences it is compared with, as places in [`Texts`].
struct Comparison {
    claim: usize,
    /// By cited passage, in the order of [`Reading::nearest`].
    sentences: Vec<Vec<usize>>,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), self.all.len() - 1);
        self.all.len() - 1
    }
}

impl Comparison {
    fn of(reading: &Reading, sources: &[Source<'_>], texts: &mut Texts) -> Comparison {
        let claim = texts.place(reading.claim.said.trim());
        let mut places = |source: &Source<'_>| -> Vec<usize> {
            (0..source.sentences.len()).map(|sentence| texts.place(source.text(sentence))).collect()
        };
        let sentences = reading.nearest.iter().map(|nearest| places(&sources[nearest.number - 1])).collect();
        Comparison { claim, sentences }
    }
}

impl Reading {
    /// Vectors beyond the last one were not computed: such sentences are passed over.
    fn take_nearest(&mut self, comparison: &Comparison, vectors: &[Vec<f32>]) {
        let Some(claim) = vectors.get(comparison.claim) else { return };
        for (nearest, places) in self.nearest.iter_mut().zip(&comparison.sentences) {
            let near = |place: &usize| vectors.get(*place).map(|vector| cosine(claim, vector));
            let compared = places.iter().enumerate().filter_map(|(sentence, place)| Some((sentence, near(place)?)));
            if let Some((sentence, near)) = compared.max_by(|a, b| a.1.total_cmp(&b.1)) {
                nearest.sentence = sentence;
                self.meaning = Some(self.meaning.map_or(near, |other| other.max(near)));
            }
        }
    }
}

/// One for each quote, by the number of its passage.
fn citations(readings: &[Reading], sources: &[Source<'_>]) -> Vec<Citation> {
    let mut places: Vec<(usize, usize)> = Vec::new();
    for nearest in readings.iter().flat_map(|reading| &reading.nearest) {
        let place = (nearest.number, nearest.sentence);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places.sort_by_key(|(number, _)| *number);
    let quote = |(number, sentence): (usize, usize)| {
        let source = &sources[number - 1];
        let whole = 0..source.passage.text.len();
        source.passage.quote(number, source.sentences.get(sentence).map_or(whole, |(range, _)| range.clone()))
    };
    places.into_iter().map(quote).collect()
}

fn unsupported(answer: &str, readings: &[Reading]) -> Vec<Unsupported> {
    let characters = |at: usize| answer[..at].chars().count();
    let of = |reading: &Reading| {
        let range = &reading.claim.range;
        Some(Unsupported {
            start: characters(range.start),
            end: characters(range.end),
            text: answer[range.clone()].to_owned(),
            reason: reading.verdict()?,
        })
    };
    readings.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
