//! Which documents of a knowledge base the expected ones of a collection are.

use std::collections::HashMap;

use anyhow::bail;
use serde_json::Value;

use super::{
    collection::{Collection, Question, Source},
    corpus::{Kind, Survey},
    knowledge_base::{KnowledgeBase, get},
    metrics::Graded,
};
use crate::cli::client::Client;

/// A question and the documents that answer it.
#[derive(Debug)]
pub struct Judged {
    pub id: String,
    pub text: String,
    pub expected: Vec<Expected>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    /// As the collection names it.
    pub name: String,
    pub grade: i32,
    /// None: there is no such document, so it is never found.
    pub document: Option<Document>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub id: String,
    pub title: String,
}

/// By what names a collection means documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// BEIR: corpus ids, which are short and could be anything's title.
    ExternalIds,
    Any,
}

/// The documents of a knowledge base by what people call them.
#[derive(Debug, Default)]
pub struct Documents {
    all: Vec<Document>,
    by_id: HashMap<String, Vec<usize>>,
    by_external_id: HashMap<String, Vec<usize>>,
    by_title: HashMap<String, Vec<usize>>,
    by_file_name: HashMap<String, Vec<usize>>,
}

/// Relevant documents that are not there, each with its place and the reason.
#[derive(Debug, Default)]
pub struct Missing(pub Vec<String>);

/// Missing documents that are listed; the others are counted.
const LISTED: usize = 20;

impl Documents {
    pub async fn of(client: &Client, base: &KnowledgeBase) -> anyhow::Result<Documents> {
        let (mut documents, mut cursor) = (Documents::default(), String::new());
        loop {
            let page = get(client, &format!("{}/documents?limit=100{cursor}", base.path())).await?;
            for document in page["data"].as_array().into_iter().flatten() {
                documents.add(document);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(documents),
            }
        }
    }

    fn add(&mut self, document: &Value) {
        let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let (place, external_id) = (self.all.len(), text("external_id"));
        self.all.push(Document { id: text("id"), title: text("title") });
        // `almanac ingest` names documents by their path.
        let file_name = external_id.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        for (names, name) in [
            (&mut self.by_id, text("id")),
            (&mut self.by_external_id, external_id),
            (&mut self.by_title, text("title")),
            (&mut self.by_file_name, file_name),
        ] {
            if !name.is_empty() {
                names.entry(name).or_default().push(place);
            }
        }
    }

    /// The only document of that name, or why there is none. An id goes before a title, a title before a file's name.
    fn find(&self, name: &str, names: Names) -> Result<&Document, String> {
        let exact = [&self.by_external_id, &self.by_id];
        let loose = [&self.by_title, &self.by_file_name];
        let maps = exact.into_iter().chain(loose.into_iter().filter(|_| names == Names::Any));
        match maps.filter_map(|map| map.get(name)).next().map(Vec::as_slice) {
            Some([place]) => self.all.get(*place).ok_or_else(|| format!("there is no document {name}")),
            Some(places) => Err(format!("{} documents are called {name}: name one by its id", places.len())),
            None => Err(format!("there is no document {name}")),
        }
    }
}

/// Finds the documents of every question.
pub fn resolve(
    collection: Collection,
    source: &Source,
    survey: Option<&Survey>,
    documents: &Documents,
) -> (Vec<Judged>, Missing) {
    let names = if matches!(source, Source::Csv(_)) { Names::Any } else { Names::ExternalIds };
    let mut missing = Missing::default();
    let find = |name: &str| match survey.and_then(|survey| survey.kind(name)) {
        Some(Kind::Empty) => Ok(None),
        Some(Kind::SameAs(first)) => documents.find(first, names).map(Some),
        _ => documents.find(name, names).map(Some),
    };
    let judged = collection.questions.into_iter().map(|question| judge(question, find, &mut missing)).collect();
    (judged, missing)
}

fn judge<'a>(
    question: Question,
    find: impl Fn(&str) -> Result<Option<&'a Document>, String>,
    missing: &mut Missing,
) -> Judged {
    let mut expected: Vec<Expected> = Vec::with_capacity(question.judgements.len());
    for judgement in question.judgements {
        let document = find(&judgement.expected).unwrap_or_else(|reason| {
            if judgement.grade > 0 {
                missing.0.push(format!("line {}: {reason}", judgement.line));
            }
            None
        });
        // Two names of one document are one judgement, the better of both.
        let twin = expected.iter_mut().find(|other| other.document.is_some() && other.document.as_ref() == document);
        match twin {
            Some(twin) => twin.grade = twin.grade.max(judgement.grade),
            None => expected.push(Expected {
                name: judgement.expected,
                grade: judgement.grade,
                document: document.cloned(),
            }),
        }
    }
    Judged { id: question.id, text: question.text, expected }
}

impl Judged {
    /// The grades of a ranking of document ids.
    pub fn graded<'a>(&self, ranking: impl Iterator<Item = &'a str>) -> Graded {
        let grades: HashMap<&str, i32> = self.grades().collect();
        Graded::new(ranking.map(|id| grades.get(id).copied()), self.expected.iter().map(|expected| expected.grade))
    }

    fn grades(&self) -> impl Iterator<Item = (&str, i32)> {
        self.expected.iter().filter_map(|expected| Some((expected.document.as_ref()?.id.as_str(), expected.grade)))
    }
}

impl Missing {
    /// Relevant documents that a corpus does not hold.
    pub fn in_corpus(collection: &Collection, survey: &Survey) -> Missing {
        let judgements = collection.questions.iter().flat_map(|question| &question.judgements);
        let unknown = judgements.filter(|each| each.grade > 0 && survey.kind(&each.expected).is_none());
        Missing(unknown.map(|each| format!("line {}: there is no document {}", each.line, each.expected)).collect())
    }

    /// An error that lists them, unless they may be missing.
    pub fn check(&self, source: &Source, allowed: bool) -> anyhow::Result<()> {
        let number = self.0.len();
        if number == 0 || allowed {
            return Ok(());
        }
        let mut listed = self.0.iter().take(LISTED).fold(String::new(), |text, each| text + "\n  " + each);
        if number > LISTED {
            listed += &format!("\n  and {} more", number - LISTED);
        }
        bail!(
            "{}: expected documents are missing: {number}. With --allow-missing they count as not found.{listed}",
            source.judgements().display()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::eval::retrieval::{collection::Judgement, metrics::Metric};

    fn documents() -> Documents {
        let mut documents = Documents::default();
        for document in [
            json!({ "id": "i1", "external_id": "/home/a/warranty.md", "title": "Warranty" }),
            json!({ "id": "i2", "external_id": "/home/b/returns.md", "title": "Returns" }),
            json!({ "id": "i3", "external_id": "/home/c/returns.md", "title": "Warranty terms" }),
            json!({ "id": "i4", "external_id": null, "title": "i1" }),
        ] {
            documents.add(&document);
        }
        documents
    }

    fn question(expected: &[(&str, i32)]) -> Question {
        let judgements = expected.iter().zip(2..).map(|((name, grade), line)| Judgement {
            expected: (*name).to_owned(),
            grade: *grade,
            line,
        });
        Question { id: "q".to_owned(), text: "?".to_owned(), judgements: judgements.collect() }
    }

    fn resolved(expected: &[(&str, i32)]) -> (Judged, Missing) {
        let (documents, mut missing) = (documents(), Missing::default());
        let judged = judge(question(expected), |name| documents.find(name, Names::Any).map(Some), &mut missing);
        (judged, missing)
    }

    #[test]
    fn a_document_goes_by_its_id_its_external_id_its_title_and_its_file_name() {
        let documents = documents();
        let found = |name: &str| documents.find(name, Names::Any).map(|document| document.id.as_str());
        for name in ["i1", "/home/a/warranty.md", "Warranty", "warranty.md"] {
            assert_eq!(found(name), Ok("i1"), "{name}");
        }
        assert_eq!(found("returns.md").unwrap_err(), "2 documents are called returns.md: name one by its id");
        assert_eq!(found("nothing.md").unwrap_err(), "there is no document nothing.md");
        assert!(documents.find("Warranty", Names::ExternalIds).is_err(), "a corpus id is no title");
    }

    #[test]
    fn two_names_of_one_document_are_one_judgement() {
        let (judged, missing) = resolved(&[("Warranty", 1), ("warranty.md", 2), ("/home/b/returns.md", 1)]);
        assert!(missing.0.is_empty());
        assert_eq!(judged.expected.iter().map(|each| each.grade).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(judged.graded(["i1", "i2"].into_iter()).score(Metric::Ndcg), 1.0);
    }

    #[test]
    fn a_missing_document_stays_in_the_ideal() {
        let (judged, missing) = resolved(&[("Warranty", 1), ("nothing.md", 1), ("nowhere.md", 0)]);
        assert_eq!(missing.0, ["line 3: there is no document nothing.md"], "one that is irrelevant is not missed");
        assert_eq!(judged.graded(["i1"].into_iter()).score(Metric::Recall(10)), 0.5);
    }
}
