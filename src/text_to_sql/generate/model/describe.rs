//! Descriptions, synonyms and units that a language model proposes for tables and columns that have none.
//!
//! Proposals for a person to read: nothing here uses one. Tables go to the model in bounded batches, one after the other,
//! fenced as data; hidden tables and columns are not sent, nor are values of masked columns. What comes back is trusted
//! with nothing: names that were not asked about are dropped, texts are cut and cleaned, what is known already is left
//! alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::answer::object;
use super::fence::{clean, draw_mark, fenced, rule};
use super::left;
use super::prompt::BYTES_PER_TOKEN;
use super::tables::{column_line, head, size};
use crate::models::{AnswerFormat, LanguageModel, ModelError, Prompt, Usage};
use crate::text_to_sql::schema::{Column, Engine, Table};

/// What is proposed for a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableDraft {
    pub schema: String,
    pub table: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    /// By column name; those alone for which something is proposed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnDraft>,
}

/// What is proposed for a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ColumnDraft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Tables and bytes of one request: an answer of a few thousand tokens describes no more.
const MAX_BATCH: usize = 6;
const MAX_BATCH_BYTES: usize = 9_000;
/// Columns of a table that are asked about at once; a wider table takes several turns.
const MAX_COLUMNS: usize = 40;
/// For an answer: a sentence for each column of a batch.
const MAX_ANSWER_TOKENS: usize = 4_000;
/// The window is one half answer and one quarter tables; the rest is instructions, and for tokens unlike ours.
const ANSWER_SHARE: usize = 2;
const TABLES_SHARE: usize = 4;
/// Texts are cut here, in characters.
const MAX_DESCRIPTION: usize = 300;
const MAX_SYNONYM: usize = 60;
const MAX_UNIT: usize = 20;
/// Synonyms of one name; more are guesses.
const MAX_SYNONYMS: usize = 4;

/// What a model proposes, and what that took.
pub struct Described {
    /// In the order of the tables.
    pub drafts: Vec<TableDraft>,
    /// Nothing where one of the answers does not say.
    pub usage: Option<Usage>,
}

/// Proposals for what `tables` lack, by a model with a window of so many tokens. Those that came by the deadline, or before
/// the model failed, where there are any; else why there are none.
pub async fn describe(
    tables: &[&Table],
    engine: Engine,
    language_model: &dyn LanguageModel,
    window_tokens: usize,
    deadline: Instant,
) -> Result<Described, ModelError> {
    let mut usage = Vec::new();
    let mut drafts: BTreeMap<usize, TableDraft> = BTreeMap::new();
    let room = MAX_BATCH_BYTES.min(window_tokens / TABLES_SHARE * BYTES_PER_TOKEN);
    let max_tokens = MAX_ANSWER_TOKENS.min(window_tokens / ANSWER_SHARE);
    for batch in batches(tables, room) {
        let answered = async {
            let prompt = prompt(&batch, engine, max_tokens, left(deadline)?)?;
            language_model.complete(&prompt).await
        };
        match answered.await {
            Ok(completion) => {
                usage.push(completion.usage);
                told(&completion.text, &batch, tables, &mut drafts);
            }
            Err(error) if drafts.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    let drafts = drafts.into_values().filter(TableDraft::says_something).collect();
    Ok(Described { drafts, usage: Usage::sum(usage) })
}

/// What a text proposes for the tables of a batch; a wide table is in several.
fn told(text: &str, batch: &[Piece], tables: &[&Table], drafts: &mut BTreeMap<usize, TableDraft>) {
    let told = object(text, "tables").unwrap_or_default();
    let told = told["tables"].as_array().map_or(&[][..], Vec::as_slice);
    for piece in batch {
        let Some(draft) = piece.draft(tables[piece.table], told) else { continue };
        match drafts.get_mut(&piece.table) {
            Some(known) => known.columns.extend(draft.columns),
            None => {
                drafts.insert(piece.table, draft);
            }
        }
    }
}

impl TableDraft {
    fn says_something(&self) -> bool {
        self.description.is_some() || !self.synonyms.is_empty() || !self.columns.is_empty()
    }
}

/// A table, and the columns of it that are asked about.
struct Piece {
    table: usize,
    columns: Vec<usize>,
    lines: Vec<String>,
}

fn batches(tables: &[&Table], limit: usize) -> Vec<Vec<Piece>> {
    let mut batches: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for piece in tables.iter().enumerate().flat_map(|(place, table)| pieces(place, table, limit)) {
        let size = size(&piece.lines);
        match batches.last_mut().filter(|batch| batch.len() < MAX_BATCH && size <= room) {
            Some(batch) => {
                room -= size;
                batch.push(piece);
            }
            None => {
                room = limit.saturating_sub(size);
                batches.push(vec![piece]);
            }
        }
    }
    batches
}

/// What is to be asked about a table, in turns of bounded size.
fn pieces(place: usize, table: &Table, limit: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    if table.hidden {
        return pieces;
    }
    let first = || Piece { table: place, columns: Vec::new(), lines: vec![head(table, true)] };
    for (at, column) in table.columns.iter().enumerate().filter(|(_, column)| lacks(column)) {
        let line = column_line(table, column, true);
        let fits = |piece: &&mut Piece| {
            piece.columns.len() < MAX_COLUMNS && size(&piece.lines) + size(std::slice::from_ref(&line)) <= limit
        };
        if pieces.last_mut().filter(fits).is_none() {
            pieces.push(first());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.columns.push(at);
            piece.lines.push(line);
        }
    }
    if pieces.is_empty() && table.description.is_none() {
        pieces.push(first());
    }
    pieces
}

/// A column that may be spoken of, and that nobody described.
fn lacks(column: &Column) -> bool {
    !column.hidden && column.description.is_none()
}

fn prompt(batch: &[Piece], engine: Engine, max_tokens: usize, deadline: Duration) -> Result<Prompt, ModelError> {
    let mark = draw_mark().map_err(|error| ModelError::GiveUp(error.to_string()))?;
    let lines: Vec<String> = batch.iter().flat_map(|piece| piece.lines.clone()).collect();
    Ok(Prompt {
        system: instructions(&mark, engine),
        user: fenced(&mark, "tables", &lines),
        max_tokens: u32::try_from(max_tokens).unwrap_or(u32::MAX),
        temperature: 0.0,
        deadline,
        format: Some(format()),
    })
}

fn instructions(mark: &str, engine: Engine) -> String {
    format!(
        "You describe the tables and columns of a {} database, so that people find what they look for.\n\
         {}\n\
         Say in one short sentence what a row of each table is, and what each column holds, as far as names, types and \
         values show it. Where they do not, write null instead of a guess. Add other names that people use for it, if \
         there are, and the unit of numbers (EUR, kg, minutes), if it is plain to see. Do not repeat the names.\n\
         Answer with one JSON object and nothing else: {{\"tables\": [{{\"table\": \"schema.name\", \"description\": \
         \"…\", \"synonyms\": [\"…\"], \"columns\": [{{\"column\": \"name\", \"description\": \"…\", \"synonyms\": [], \
         \"unit\": null}}]}}]}}.",
        engine.name(),
        rule(mark)
    )
}

/// Without free property names, which not every server takes.
fn format() -> AnswerFormat {
    let text = json!({ "type": ["string", "null"] });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let of = |properties: Value| {
        let names: Vec<String> = properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
    };
    let column = of(json!({ "column": { "type": "string" }, "description": text, "synonyms": texts, "unit": text }));
    let table = of(json!({
        "table": { "type": "string" },
        "description": text,
        "synonyms": texts,
        "columns": { "type": "array", "items": column }
    }));
    let schema = of(json!({ "tables": { "type": "array", "items": table } }));
    AnswerFormat { name: "descriptions", schema }
}

impl Piece {
    /// What was told of this table, as far as it was asked.
    fn draft(&self, table: &Table, told: &[Value]) -> Option<TableDraft> {
        let whole = format!("{}.{}", table.schema, table.name);
        let own =
            told.iter().find(|told| told["table"].as_str().is_some_and(|name| name == whole || name == table.name))?;
        let columns = own["columns"].as_array().map_or(&[][..], Vec::as_slice);
        let column = |at: &usize| {
            let column = &table.columns[*at];
            let own = columns.iter().find(|told| told["column"].as_str() == Some(&column.name))?;
            Some((column.name.clone(), column_draft(column, own)?))
        };
        Some(TableDraft {
            schema: table.schema.clone(),
            table: table.name.clone(),
            description: text(&own["description"], MAX_DESCRIPTION).filter(|_| table.description.is_none()),
            synonyms: if table.synonyms.is_empty() { synonyms(&own["synonyms"], &table.name) } else { Vec::new() },
            columns: self.columns.iter().filter_map(column).collect(),
        })
    }
}

fn column_draft(column: &Column, told: &Value) -> Option<ColumnDraft> {
    let draft = ColumnDraft {
        description: text(&told["description"], MAX_DESCRIPTION),
        synonyms: if column.synonyms.is_empty() { synonyms(&told["synonyms"], &column.name) } else { Vec::new() },
        unit: text(&told["unit"], MAX_UNIT).filter(|_| column.unit.is_none()),
    };
    (draft != ColumnDraft::default()).then_some(draft)
}

/// One clean text; nothing where there is none, however it is written.
fn text(told: &Value, limit: usize) -> Option<String> {
    let text = clean(told.as_str()?.trim(), limit);
    let none = matches!(text.to_lowercase().as_str(), "" | "null" | "none" | "n/a" | "-" | "…" | "unknown");
    (!none).then_some(text)
}

fn synonyms(told: &Value, name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for synonym in told.as_array().into_iter().flatten().filter_map(|told| text(told, MAX_SYNONYM)) {
        let same = |other: &str| other.eq_ignore_ascii_case(&synonym);
        if !same(name) && !found.iter().any(|known| same(known)) && found.len() < MAX_SYNONYMS {
            found.push(synonym);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use futures::stream::BoxStream;

    use super::*;
    use crate::models::{Completion, Said};
    use crate::text_to_sql::schema::{ColumnKind, TableKind};

    /// Answers each request with the next text, and remembers it.
    #[derive(Default)]
    struct Model {
        texts: Mutex<Vec<String>>,
        asked: Mutex<Vec<Prompt>>,
    }

    #[async_trait]
    impl LanguageModel for Model {
        fn name(&self) -> &str {
            "model"
        }

        async fn complete(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
            self.asked.lock().unwrap().push(prompt.clone());
            let text = self.texts.lock().unwrap().pop().ok_or_else(|| ModelError::Retry("busy".to_owned()))?;
            Ok(Completion { text, usage: None, cut: false })
        }

        async fn stream(&self, _: &Prompt) -> Result<BoxStream<'static, Result<Said, ModelError>>, ModelError> {
            Err(ModelError::GiveUp("it does not stream".to_owned()))
        }
    }

    fn column(name: &str) -> Column {
        let found = Column::found(name.to_owned(), "text".to_owned(), ColumnKind::Text, true);
        Column { sample_values: vec![format!("value of {name}")], ..found }
    }

    fn trips() -> Table {
        let mut table = Table::found("public".to_owned(), "trips".to_owned(), TableKind::Table);
        table.columns = ["dist", "driver", "salary", "phone"].map(column).into();
        table.columns[1].description = Some("who drove".to_owned());
        table.columns[2].hidden = true;
        table.columns[3].masked = true;
        table
    }

    async fn described(tables: &[&Table], model: &Model) -> Result<Vec<TableDraft>, ModelError> {
        describe(tables, Engine::Postgres, model, 8_192, Instant::now() + Duration::from_secs(5))
            .await
            .map(|described| described.drafts)
    }

    fn says(text: &Value) -> Model {
        Model { texts: Mutex::new(vec![format!("Of course!\n```json\n{text}\n```")]), ..Model::default() }
    }

    #[tokio::test]
    async fn what_is_lacking_is_proposed_and_nothing_else() {
        let model = says(&json!({"tables": [
            {"table": "public.salaries", "description": "who earns what", "synonyms": [], "columns": []},
            {"table": "public.trips", "description": " One\nride ", "synonyms": ["rides", "Rides", "TRIPS", "a", "b", "c"],
             "columns": [
                {"column": "dist", "description": "how far it went".repeat(100), "synonyms": [], "unit": "km"},
                {"column": "driver", "description": "another text", "synonyms": [], "unit": null},
                {"column": "salary", "description": "it is hidden", "synonyms": [], "unit": null},
                {"column": "phone", "description": "null", "synonyms": [7], "unit": " "},
                {"column": "made_up", "description": "there is none", "synonyms": [], "unit": null}
            ]}
        ]}));
        let drafts = described(&[&trips()], &model).await.unwrap();
        let [draft] = &drafts[..] else { panic!("{drafts:?}") };
        assert_eq!(draft.description.as_deref(), Some("One ride"));
        assert_eq!(draft.synonyms, ["rides", "a", "b", "c"]);
        assert_eq!(draft.columns.keys().collect::<Vec<_>>(), ["dist"]);
        let dist = &draft.columns["dist"];
        assert_eq!((dist.description.as_ref().unwrap().chars().count(), dist.unit.as_deref()), (301, Some("km")));
    }

    #[tokio::test]
    async fn values_of_masked_columns_and_hidden_names_are_not_sent() {
        let model = says(&json!({"tables": []}));
        let hidden = Table { hidden: true, name: "salaries".to_owned(), ..trips() };
        assert_eq!(described(&[&trips(), &hidden], &model).await, Ok(Vec::new()));
        let asked = model.asked.lock().unwrap();
        let sent = format!("{}{}", asked[0].system, asked[0].user);
        assert!(sent.contains("value of dist") && sent.contains("phone"), "{sent}");
        assert!(!sent.contains("value of phone") && !sent.contains("salar"), "{sent}");
    }

    #[tokio::test]
    async fn what_is_described_costs_no_request() {
        let mut table = trips();
        table.description = Some("rides".to_owned());
        table.columns.iter_mut().for_each(|column| column.description = Some("known".to_owned()));
        let model = Model::default();
        assert_eq!(described(&[&table], &model).await, Ok(Vec::new()));
        assert!(model.asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn many_tables_and_wide_ones_go_in_bounded_requests() {
        let mut wide = trips();
        wide.columns = (0..100).map(|at| column(&format!("column_{at}"))).collect();
        let tables: Vec<Table> = std::iter::once(wide).chain((0..20).map(|_| trips())).collect();
        let tables: Vec<&Table> = tables.iter().collect();
        let model = Model { texts: Mutex::new(vec!["nothing".to_owned(); 50]), ..Model::default() };
        assert_eq!(described(&tables, &model).await, Ok(Vec::new()));
        let asked = model.asked.lock().unwrap();
        assert!((4..12).contains(&asked.len()), "{}", asked.len());
        assert!(asked.iter().all(|prompt| prompt.user.len() < MAX_BATCH_BYTES + 200));
        let all: String = asked.iter().map(|prompt| prompt.user.as_str()).collect();
        assert!((0..100).all(|at| all.contains(&format!("column_{at} "))));
    }

    #[tokio::test]
    async fn what_came_before_a_failure_is_kept() {
        let told = |name: &str| json!({"tables": [{"table": name, "description": "it is", "columns": []}]}).to_string();
        let tables: Vec<Table> = (0..20).map(|at| Table { name: format!("t{at}"), ..trips() }).collect();
        let tables: Vec<&Table> = tables.iter().collect();
        let model = Model { texts: Mutex::new(vec![told("t0")]), ..Model::default() };
        assert_eq!(described(&tables, &model).await.unwrap().len(), 1);
        assert_eq!(described(&tables, &Model::default()).await, Err(ModelError::Retry("busy".to_owned())));
    }
}
