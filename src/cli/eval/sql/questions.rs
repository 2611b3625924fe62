//! Questions with the SQL that answers them: Spider's JSON, or a CSV table.
//!
//! Whatever is wrong with a file is said with its line or place; nothing wrong is skipped.

use std::{fs, path::Path};

use anyhow::{Context, bail, ensure};
use csv::{ReaderBuilder, StringRecord};
use serde::Deserialize;

use super::family::Kind;
use crate::cli::eval::bootstrap::Random;

#[derive(Debug)]
pub struct Question {
    /// "line 3" or "question 17".
    pub id: String,
    /// Its name, as the server knows it.
    pub database: String,
    pub text: String,
    /// The statement that answers it.
    pub gold: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub struct Questions {
    pub all: Vec<Question>,
    /// The form that comes with databases as SQLite files.
    pub is_spider: bool,
}

/// Read at once. Spider's own training part is 25 MB with everything that is not used here.
const MAX_FILE: u64 = 256 << 20;
const MAX_QUESTIONS: usize = 100_000;
/// The longest that the server takes.
const MAX_QUESTION: usize = 10_000;

/// As Spider writes it; other fields are not read.
#[derive(Deserialize)]
struct SpiderQuestion {
    db_id: String,
    question: String,
    query: String,
}

impl Questions {
    pub fn read(path: &Path) -> anyhow::Result<Questions> {
        let place = || path.display().to_string();
        let size = fs::metadata(path).with_context(place)?.len();
        ensure!(size <= MAX_FILE, "{}: longer than {MAX_FILE} bytes", place());
        let text = fs::read_to_string(path).with_context(place)?;
        let text = text.trim_start_matches('\u{feff}');
        let is_spider = text.trim_start().starts_with(['[', '{']);
        let all = if is_spider { spider(text) } else { table(text) }.with_context(place)?;
        ensure!(!all.is_empty(), "{}: there is no question", place());
        ensure!(all.len() <= MAX_QUESTIONS, "{}: more than {MAX_QUESTIONS} questions", place());
        Ok(Questions { all, is_spider })
    }

    /// Of these databases; all, if none is named.
    pub fn only(&mut self, databases: &[String]) -> anyhow::Result<()> {
        for name in databases {
            ensure!(self.all.iter().any(|question| question.database == *name), "no question is about {name}");
        }
        self.all.retain(|question| databases.is_empty() || databases.contains(&question.database));
        Ok(())
    }

    /// So many, drawn by chance, in the order of the file.
    pub fn sample(&mut self, number: usize, seed: u64) {
        let mut places: Vec<usize> = (0..self.all.len()).collect();
        Random::new(seed).shuffle(&mut places);
        places.truncate(number);
        let mut place = 0;
        self.all.retain(|_| {
            place += 1;
            places.contains(&(place - 1))
        });
    }

    /// The databases, each once, in the order of the file.
    pub fn databases(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for question in &self.all {
            if !names.contains(&question.database) {
                names.push(question.database.clone());
            }
        }
        names
    }
}

fn spider(text: &str) -> anyhow::Result<Vec<Question>> {
    let read: Vec<SpiderQuestion> =
        serde_json::from_str(text).context("it is not a list of {\"db_id\", \"question\", \"query\"}")?;
    let numbered = read.into_iter().zip(1..);
    numbered.map(|(it, number)| question(format!("question {number}"), it.db_id, it.question, it.query)).collect()
}

fn question(id: String, database: String, text: String, gold: String) -> anyhow::Result<Question> {
    let [database, text, gold] = [database, text, gold].map(|field| field.trim().to_owned());
    ensure!(!database.is_empty(), "{id}: there is no database");
    ensure!(!text.is_empty(), "{id}: the question is empty");
    ensure!(text.chars().count() <= MAX_QUESTION, "{id}: the question is longer than {MAX_QUESTION} characters");
    let gold = gold.trim_end_matches([';', ' ', '\n', '\r', '\t']).to_owned();
    ensure!(!gold.is_empty(), "{id}: there is no SQL");
    Ok(Question { kind: Kind::of(&gold), id, database, text, gold })
}

fn table(text: &str) -> anyhow::Result<Vec<Question>> {
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().find(|byte| header.as_bytes().contains(byte)).unwrap_or(b',');
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let places = places(reader.headers()?).context("line 1")?;
    let mut questions = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let [database, text, gold] = places.map(|place| record.get(place).unwrap_or_default().to_owned());
        questions.push(question(format!("line {line}"), database, text, gold)?);
    }
    Ok(questions)
}

fn places(header: &StringRecord) -> anyhow::Result<[usize; 3]> {
    let names: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
    let place = |wanted: &str| names.iter().position(|name| name == wanted);
    match (place("database"), place("question"), place("sql")) {
        (Some(database), Some(question), Some(sql)) => Ok([database, question, sql]),
        _ => bail!("the columns are database, question and sql; here are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn read(text: &str) -> anyhow::Result<Questions> {
        let path: PathBuf = std::env::temp_dir().join(format!("almanac-eval-sql-{}", uuid::Uuid::now_v7()));
        fs::write(&path, text).unwrap();
        let read = Questions::read(&path);
        fs::remove_file(path).unwrap();
        read
    }

    #[track_caller]
    fn refused(text: &str, reason: &str) {
        let error = format!("{:#}", read(text).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }

    const SPIDER: &str = r#"[
        {"db_id": "farm", "question": "How many farms?", "query": "SELECT count(*) FROM farm;", "sql": {}},
        {"db_id": "pets", "question": "Which pets?", "query": "SELECT name FROM pets"},
        {"db_id": "farm", "question": "Which farms?", "query": "SELECT name FROM farm"}
    ]"#;

    #[test]
    fn both_forms_are_read() {
        let spider = read(SPIDER).unwrap();
        assert!(spider.is_spider);
        assert_eq!(spider.databases(), ["farm", "pets"]);
        assert_eq!(
            (spider.all[0].id.as_str(), spider.all[0].gold.as_str()),
            ("question 1", "SELECT count(*) FROM farm")
        );
        let csv =
            read("\u{feff}question;database;sql\n\"Who; then?\";sales;select 1\n\nWho?;sales;\"select\n2\"\n").unwrap();
        assert!(!csv.is_spider);
        let of = |place: usize| (csv.all[place].text.as_str(), csv.all[place].gold.as_str());
        assert_eq!([of(0), of(1)], [("Who; then?", "select 1"), ("Who?", "select\n2")]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        refused("[]", "there is no question");
        refused("database,question,sql\n", "there is no question");
        refused("[{\"db_id\": \"a\"}]", "missing field `question`");
        refused("question,sql\nq,s\n", "the columns are database, question and sql; here are question, sql");
        refused("database,question,sql\nd,,s\n", "line 2: the question is empty");
        refused("database,question,sql\nd,q,;\n", "line 2: there is no SQL");
        refused("database,question,sql\nd,q\n", "line: 2");
        refused(&format!("database,question,sql\nd,{},s\n", "x".repeat(MAX_QUESTION + 1)), "longer than 10000");
    }

    #[test]
    fn questions_are_chosen_by_database_and_by_chance() {
        let mut questions = read(SPIDER).unwrap();
        assert!(questions.only(&["cats".to_owned()]).is_err());
        questions.only(&["farm".to_owned()]).unwrap();
        assert_eq!(questions.all.len(), 2);
        let drawn = |seed| {
            let mut questions = read(SPIDER).unwrap();
            questions.sample(2, seed);
            questions.all.iter().map(|question| question.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1).len(), 2);
        assert_eq!(drawn(1), drawn(1));
        assert!((1..20).any(|seed| drawn(seed) != drawn(1)), "another seed draws others");
    }
}
