//! A table of `question`, `expected` and perhaps `grade`, a row for each document that answers a question.

use std::{fs, path::Path};

use anyhow::{Context, anyhow, bail, ensure};
use csv::{ReaderBuilder, StringRecord};

use super::{Collection, Judgement, Judgements, MAX_QUESTIONS, Question, check_question, lines::at, parse_grade};

/// Read at once. What people judge by hand is a thousandth of this.
const MAX_FILE: u64 = 64 << 20;
/// Of a document that has none in its row.
const GRADE: i32 = 1;

/// Where the columns are.
struct Columns {
    question: usize,
    expected: usize,
    grade: Option<usize>,
}

pub fn read(path: &Path) -> anyhow::Result<Collection> {
    let size = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    ensure!(size <= MAX_FILE, "{}: longer than {MAX_FILE} bytes", path.display());
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(text.trim_start_matches('\u{feff}'), path)
}

fn parse(text: &str, path: &Path) -> anyhow::Result<Collection> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter(text)).from_reader(text.as_bytes());
    let columns = Columns::of(reader.headers()?).with_context(|| at(path, 1))?;
    let mut judgements = Judgements::default();
    for record in reader.records() {
        let record = record.map_err(|error| explained(&error, text, path))?;
        let line = line(text, record.position());
        columns.add(&record, line, &mut judgements).with_context(|| at(path, line))?;
    }
    let order = std::mem::take(&mut judgements.order);
    let questions: Vec<Question> = order.into_iter().filter_map(|text| question(text, &mut judgements)).collect();
    ensure!(questions.len() <= MAX_QUESTIONS, "{}: more than {MAX_QUESTIONS} questions", path.display());
    Ok(Collection { questions, without_text: 0 })
}

/// A question goes by the line where it stands first.
fn question(text: String, judgements: &mut Judgements) -> Option<Question> {
    let judgements = judgements.take(&text)?;
    let id = format!("line {}", judgements.first()?.line);
    Some(Question { id, text, judgements })
}

/// Spreadsheets write semicolons or tabs where a comma is the decimal point.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|byte| header.as_bytes().contains(byte)).unwrap_or(b',')
}

/// Where a record begins: its position is before the empty lines above it, and between the two bytes of a line's end.
fn line(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

fn explained(error: &csv::Error, text: &str, path: &Path) -> anyhow::Error {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, pos } => {
            let place = at(path, line(text, pos.as_ref()));
            anyhow!("{place}: the number of columns is {len}, but {expected_len} in the header")
        }
        _ => anyhow!("{}: {error}", path.display()),
    }
}

impl Columns {
    fn of(header: &StringRecord) -> anyhow::Result<Columns> {
        let names: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let known = names.iter().all(|name| ["question", "expected", "grade"].contains(&name.as_str()));
        match (place("question"), place("expected")) {
            (Some(question), Some(expected)) if known => Ok(Columns { question, expected, grade: place("grade") }),
            _ => bail!("the columns are question, expected and perhaps grade; here are {}", names.join(", ")),
        }
    }

    fn add(&self, record: &StringRecord, line: u64, judgements: &mut Judgements) -> anyhow::Result<()> {
        let field = |place: usize| record.get(place).unwrap_or_default().trim();
        let (question, expected) = (field(self.question), field(self.expected));
        check_question(question)?;
        ensure!(!expected.is_empty(), "there is no expected document");
        let grade = self.grade.map(field).filter(|grade| !grade.is_empty());
        let grade = grade.map(parse_grade).transpose()?.unwrap_or(GRADE);
        judgements.add(question, Judgement { expected: expected.to_owned(), grade, line })
    }
}
