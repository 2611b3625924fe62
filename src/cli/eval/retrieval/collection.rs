//! Questions with the documents that answer them: a folder in BEIR form or a CSV file.
//!
//! Whatever is wrong with a file is said with its line; nothing wrong is skipped. Judgements and questions are held, the
//! documents of a corpus are read as they are needed.

mod beir;
mod csv;
mod lines;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
pub use beir::{Corpus, CorpusDocument};

/// What is at a path.
#[derive(Debug)]
pub enum Source {
    Beir { folder: PathBuf, judgements: PathBuf },
    Csv(PathBuf),
}

#[derive(Debug)]
pub struct Collection {
    pub questions: Vec<Question>,
    /// Questions of the judgements that are not among the questions.
    pub without_text: usize,
}

/// A question that at least one document answers.
#[derive(Debug)]
pub struct Question {
    pub id: String,
    pub text: String,
    pub judgements: Vec<Judgement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub expected: String,
    /// Above zero: relevant, the more the better.
    pub grade: i32,
    /// Where it stands.
    pub line: u64,
}

/// Each is asked dozens of times when a weight is fitted; nobody judges more by hand.
const MAX_QUESTIONS: usize = 50_000;
/// The longest that a search takes.
const MAX_QUESTION: usize = 10_000;
/// Held in memory.
const MAX_JUDGEMENTS: usize = 5_000_000;

impl Source {
    pub fn find(path: &Path) -> anyhow::Result<Source> {
        let kind = fs::metadata(path).with_context(|| path.display().to_string())?;
        if kind.is_file() {
            return Ok(Source::Csv(path.to_owned()));
        }
        let judgements =
            ["qrels/test.tsv", "qrels.tsv"].map(|file| path.join(file)).into_iter().find(|file| file.is_file());
        match judgements {
            Some(judgements) if path.join("queries.jsonl").is_file() => {
                Ok(Source::Beir { folder: path.to_owned(), judgements })
            }
            _ => only_csv(path),
        }
    }

    pub fn read(&self) -> anyhow::Result<Collection> {
        let collection = match self {
            Source::Beir { folder, judgements } => beir::read(folder, judgements)?,
            Source::Csv(file) => csv::read(file)?,
        };
        let place = self.judgements().display();
        ensure!(!collection.questions.is_empty(), "{place}: no question has a document with a grade above zero");
        Ok(collection)
    }

    /// The file with the judgements.
    pub fn judgements(&self) -> &Path {
        match self {
            Source::Beir { judgements, .. } => judgements,
            Source::Csv(file) => file,
        }
    }

    /// What people call it.
    pub fn name(&self) -> String {
        let path = match self {
            Source::Beir { folder, .. } => folder,
            Source::Csv(file) => file,
        };
        let full = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        full.file_stem().map_or_else(|| "collection".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}

fn only_csv(folder: &Path) -> anyhow::Result<Source> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            found.push(path);
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(file), true) => Ok(Source::Csv(file)),
        (Some(_), false) => bail!("{} holds more than one CSV file: name one", folder.display()),
        (None, _) => {
            bail!("{} holds neither queries.jsonl with qrels/test.tsv (or qrels.tsv), nor a CSV file", folder.display())
        }
    }
}

/// Judgements as they are read, by question, in the order of the questions' first appearance.
#[derive(Debug, Default)]
struct Judgements {
    number: usize,
    order: Vec<String>,
    by_question: HashMap<String, Vec<Judgement>>,
    /// The grade of each pair of question and document, and its line.
    seen: HashMap<(String, String), (i32, u64)>,
}

impl Judgements {
    /// The same judgement twice is one.
    fn add(&mut self, question: &str, judgement: Judgement) -> anyhow::Result<()> {
        self.number += 1;
        ensure!(self.number <= MAX_JUDGEMENTS, "there are more than {MAX_JUDGEMENTS} judgements");
        let pair = (question.to_owned(), judgement.expected.clone());
        if let Some((grade, line)) = self.seen.get(&pair) {
            let other = judgement.grade;
            ensure!(
                *grade == other,
                "the grade is {other}, but {grade} on line {line} for the same question and document"
            );
            return Ok(());
        }
        self.seen.insert(pair, (judgement.grade, judgement.line));
        if !self.by_question.contains_key(question) {
            self.order.push(question.to_owned());
        }
        self.by_question.entry(question.to_owned()).or_default().push(judgement);
        Ok(())
    }

    /// Takes a question's judgements, if one of them says relevant.
    fn take(&mut self, question: &str) -> Option<Vec<Judgement>> {
        self.by_question.remove(question).filter(|judgements| is_answered(judgements))
    }
}

fn is_answered(judgements: &[Judgement]) -> bool {
    judgements.iter().any(|judgement| judgement.grade > 0)
}

fn check_question(text: &str) -> anyhow::Result<()> {
    ensure!(!text.trim().is_empty(), "the question is empty");
    ensure!(text.chars().count() <= MAX_QUESTION, "the question is longer than {MAX_QUESTION} characters");
    Ok(())
}

fn parse_grade(text: &str) -> anyhow::Result<i32> {
    text.trim().parse().with_context(|| format!("the grade is not a whole number: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn folder(files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("almanac-eval-{}", uuid::Uuid::now_v7()));
        for (name, content) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn read(files: &[(&str, &str)]) -> anyhow::Result<Collection> {
        let folder = folder(files);
        let read = Source::find(&folder).and_then(|source| source.read());
        fs::remove_dir_all(folder).unwrap();
        read
    }

    #[track_caller]
    fn refused(files: &[(&str, &str)], reason: &str) {
        let error = format!("{:#}", read(files).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }

    const QUERIES: &str =
        "{\"_id\": \"q1\", \"text\": \"one?\", \"metadata\": {}}\n\n{\"_id\": \"q2\", \"text\": \"two?\"}\n";
    const HEADER: &str = "query-id\tcorpus-id\tscore\n";

    fn beir(judgements: &str) -> [(&'static str, String); 2] {
        [("queries.jsonl", QUERIES.to_owned()), ("qrels/test.tsv", judgements.to_owned())]
    }

    fn read_beir(judgements: &str) -> anyhow::Result<Collection> {
        let files = beir(judgements);
        read(&files.each_ref().map(|(name, content)| (*name, content.as_str())))
    }

    #[test]
    fn a_folder_in_beir_form_gives_the_questions_that_something_answers() {
        let collection =
            read_beir(&format!("{HEADER}q2\td1\t2\nq1\td1\t0\nq2\td2\t-1\r\nq9\td1\t1\nq2\td1\t2\n")).unwrap();
        assert_eq!(collection.questions.len(), 1, "q1 has no relevant document");
        assert_eq!(collection.without_text, 1, "q9");
        let question = &collection.questions[0];
        assert_eq!((question.id.as_str(), question.text.as_str()), ("q2", "two?"));
        let judged: Vec<_> =
            question.judgements.iter().map(|each| (each.expected.as_str(), each.grade, each.line)).collect();
        assert_eq!(judged, [("d1", 2, 2), ("d2", -1, 4)], "the same judgement twice is one");
    }

    #[test]
    fn judgements_are_read_with_and_without_header_and_from_either_place() {
        assert_eq!(read_beir("q1\td1\t1\nq2\td1\t1\n").unwrap().questions.len(), 2);
        let flat = [("queries.jsonl", QUERIES), ("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n")];
        assert_eq!(read(&flat).unwrap().questions.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let wrong = |lines: &str, reason: &str| {
            let error = format!("{:#}", read_beir(&format!("{HEADER}{lines}")).unwrap_err());
            assert!(error.contains("test.tsv") && error.contains(reason), "{error}");
        };
        wrong("q1\td1\t1\nq1\td2\n", "line 3: three fields");
        wrong("q1\td1\thigh\n", "line 2: the grade is not a whole number: high");
        wrong("q1\td1\t1\nq1\td1\t2\n", "line 3: the grade is 2, but 1 on line 2");
        wrong("q1\td1\t0\n", "no question has a document with a grade above zero");
        let judged = ("qrels.tsv", "q1\td1\t1\n");
        refused(&[("queries.jsonl", "{\"_id\": \"q1\"}\n"), judged], "queries.jsonl, line 1: missing field `text`");
        refused(
            &[("queries.jsonl", "\n{\"_id\": \"q1\", \"text\": \" \"}\n"), judged],
            "line 2: the question is empty",
        );
        refused(&[("queries.jsonl", "[1]\n"), judged], "queries.jsonl, line 1: ");
        let twice = "{\"_id\": \"q1\", \"text\": \"a\"}\n{\"_id\": \"q1\", \"text\": \"b\"}\n";
        refused(&[("queries.jsonl", twice), judged], "line 2: the id q1 is on line 1 too");
    }

    #[test]
    fn a_csv_gathers_the_rows_of_a_question() {
        let rows =
            "\u{feff}question,expected,grade\nHow long?,Warranty,2\n\"Who, then?\",who.md,\nHow long?,Returns,1\n";
        let collection = read(&[("judged.csv", rows)]).unwrap();
        let texts: Vec<_> =
            collection.questions.iter().map(|question| (question.id.as_str(), question.text.as_str())).collect();
        assert_eq!(texts, [("line 2", "How long?"), ("line 3", "Who, then?")]);
        let expected = |place: usize| collection.questions[place].judgements.clone();
        let judgement = |expected: &str, grade, line| Judgement { expected: expected.to_owned(), grade, line };
        assert_eq!(expected(0), [judgement("Warranty", 2, 2), judgement("Returns", 1, 4)]);
        assert_eq!(expected(1), [judgement("who.md", 1, 3)], "no grade is 1");
        let german = read(&[("judged.csv", "expected;question\nGarantie;Wie lange?\n")]).unwrap();
        assert_eq!(german.questions[0].text, "Wie lange?", "semicolons, and another order");
    }

    #[test]
    fn a_wrong_csv_is_refused_with_its_line() {
        refused(&[("a.csv", "question,answer\n")], "line 1: the columns are question, expected and perhaps grade");
        refused(&[("a.csv", "question,expected,note\nq,e,n\n")], "line 1: the columns are");
        refused(&[("a.csv", "question,expected\nq,e\n\nq2\n")], "line 4: ");
        refused(
            &[("a.csv", "question,expected\r\n\"q\nr\",e\r\n\r\nq2,\r\n")],
            "line 5: there is no expected document",
        );
        refused(&[("a.csv", "question,expected\nq,e\nq2, \n")], "line 3: there is no expected document");
        refused(&[("a.csv", "question,expected\n,e\n")], "line 2: the question is empty");
        refused(&[("a.csv", "question,expected,grade\nq,e,1.5\n")], "line 2: the grade is not a whole number: 1.5");
        refused(&[("a.csv", "question,expected\n")], "no question");
        refused(&[("a.csv", ""), ("b.csv", "")], "more than one CSV");
        refused(&[("a.txt", "")], "holds neither");
    }

    #[test]
    fn lines_have_a_longest() {
        let long = format!("{{\"_id\": \"q1\", \"text\": \"{}\"}}\n", "x".repeat(lines::MAX_LINE));
        refused(&[("queries.jsonl", &long), ("qrels.tsv", "q1\td1\t1\n")], "line 1: longer than");
        let question = format!("question,expected\n{},d\n", "x".repeat(MAX_QUESTION + 1));
        refused(&[("a.csv", &question)], "line 2: the question is longer than 10000 characters");
    }
}
