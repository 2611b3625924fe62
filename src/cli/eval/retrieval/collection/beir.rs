//! BEIR's form: corpus.jsonl, queries.jsonl and qrels/test.tsv. Thakur et al., "BEIR: A Heterogeneous Benchmark for
//! Zero-shot Evaluation of Information Retrieval Models", NeurIPS 2021.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Collection, Judgement, Judgements, MAX_QUESTIONS, Question, check_question,
    lines::{Line, Lines, at},
    parse_grade,
};

/// The documents of a collection, from its file.
pub struct Corpus {
    lines: Lines,
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
pub struct CorpusDocument {
    #[serde(rename = "_id")]
    pub id: String,
    #[serde(default)]
    pub title: Option<String>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Query {
    #[serde(rename = "_id")]
    id: String,
    text: String,
}

pub fn read(folder: &Path, judgements: &Path) -> anyhow::Result<Collection> {
    let mut judged = read_judgements(judgements)?;
    let questions = read_questions(&folder.join("queries.jsonl"), &mut judged)?;
    let without_text = judged.by_question.values().filter(|left| super::is_answered(left)).count();
    Ok(Collection { questions, without_text })
}

fn read_judgements(path: &Path) -> anyhow::Result<Judgements> {
    let (mut lines, mut judgements) = (Lines::of(path)?, Judgements::default());
    while let Some(line) = lines.next()? {
        let first = line.number == 1;
        read_judgement(&line, first, &mut judgements).with_context(|| at(path, line.number))?;
    }
    Ok(judgements)
}

fn read_judgement(line: &Line, first: bool, judgements: &mut Judgements) -> anyhow::Result<()> {
    let fields: Vec<&str> = line.text.split('\t').collect();
    let [question, document, grade] = fields[..] else {
        bail!("three fields between tabs are wanted (query-id, corpus-id, score), here are {}", fields.len());
    };
    match parse_grade(grade) {
        Ok(grade) => judgements.add(question, Judgement { expected: document.to_owned(), grade, line: line.number }),
        // The header.
        Err(_) if first => Ok(()),
        Err(error) => Err(error),
    }
}

/// The questions that are judged, in the order of their file.
fn read_questions(path: &Path, judged: &mut Judgements) -> anyhow::Result<Vec<Question>> {
    let (mut lines, mut seen, mut questions) = (Lines::of(path)?, HashMap::new(), Vec::new());
    while let Some(line) = lines.next()? {
        let mut read = || {
            let query: Query = parse(&line.text)?;
            if let Some(earlier) = seen.insert(query.id.clone(), line.number) {
                bail!("the id {} is on line {earlier} too", query.id);
            }
            let Some(judgements) = judged.take(&query.id) else { return Ok(()) };
            check_question(&query.text)?;
            ensure!(questions.len() < MAX_QUESTIONS, "there are more than {MAX_QUESTIONS} judged questions");
            questions.push(Question { id: query.id, text: query.text, judgements });
            Ok(())
        };
        read().with_context(|| at(path, line.number))?;
    }
    Ok(questions)
}

impl Corpus {
    /// None: the folder has no corpus.
    pub fn of(folder: &Path) -> anyhow::Result<Option<Corpus>> {
        let path = folder.join("corpus.jsonl");
        if !path.is_file() {
            return Ok(None);
        }
        Ok(Some(Corpus { lines: Lines::of(&path)?, path }))
    }

    pub fn next(&mut self) -> anyhow::Result<Option<CorpusDocument>> {
        let Some(line) = self.lines.next()? else { return Ok(None) };
        parse(&line.text).with_context(|| at(&self.path, line.number)).map(Some)
    }
}

impl CorpusDocument {
    /// What is searched: a document without text of its own is its title.
    pub fn content(&self) -> &str {
        if self.text.trim().is_empty() { self.title().unwrap_or_default() } else { &self.text }
    }

    pub fn title(&self) -> Option<&str> {
        self.title.as_deref().map(str::trim).filter(|title| !title.is_empty())
    }
}

/// The line is known already; its column is what helps.
fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| anyhow!("{}", error.to_string().replace(" at line 1 column ", " at column ")))
}
