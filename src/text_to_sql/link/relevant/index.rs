//! The words of a schema and where they stand, and its values by a hash of their form.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::ValueHit;
use super::question::{Said, beginning, stems};
use crate::text_to_sql::link::words::{is_function_word, normal, stem};
use crate::text_to_sql::schema::{Column, Engine, Schema, Table};
use crate::text_to_sql::terms::{dialect, open_filters, open_metrics};

/// What a word counts, by where it stands.
const NAME: f32 = 3.0;
const TERM: f32 = 2.5;
const COLUMN: f32 = 1.2;
const DESCRIPTION: f32 = 0.8;
const COLUMN_DESCRIPTION: f32 = 0.4;
const VALUE: f32 = 0.6;
/// Values of a column whose words are kept, and how long they may be.
const MAX_SPOKEN: usize = 50;
const MAX_SPOKEN_BYTES: usize = 40;
/// A name whose words are run together, and the first letters of a word.
const WEAKER: f32 = 0.8;
/// Words of a description that are read.
const MAX_DESCRIPTION_WORDS: usize = 60;
/// Values longer than this are prose.
const MAX_VALUE_BYTES: usize = 80;
/// Columns told of one value: one that so many hold tells nothing.
const MAX_HOLDERS: usize = 12;

pub struct Index {
    terms: HashMap<String, Entry, FixedState>,
    /// The stems of each visible table's name and synonyms, by its place.
    names: Vec<(usize, Vec<Vec<String>>)>,
    /// Column and place among its values, by the hash of a value's form; sorted.
    values: Vec<(u64, u32, u32, u32)>,
}

#[derive(Default)]
pub struct Entry {
    pub tables: Vec<Posting>,
    pub columns: Vec<Posting>,
}

pub struct Posting {
    pub table: usize,
    /// Of no meaning in [`Entry::tables`].
    pub column: usize,
    pub weight: f32,
}

impl Index {
    pub fn new(schema: &Schema) -> Index {
        let mut index = Index { terms: HashMap::default(), names: Vec::new(), values: Vec::new() };
        for (place, table) in schema.tables.iter().enumerate().filter(|(_, table)| !table.hidden) {
            index.add(schema, place, table);
        }
        index.values.sort_unstable();
        index
    }

    pub fn visible(&self) -> impl Iterator<Item = usize> {
        self.names.iter().map(|(place, _)| *place)
    }

    pub fn knows(&self, term: &str) -> bool {
        self.terms.contains_key(term)
    }

    pub fn term(&self, term: &str) -> Option<&Entry> {
        self.terms.get(term)
    }

    /// How much a word tells: `ln(1 + (N - n + ½) / (n + ½))`, as in BM25.
    pub fn idf(&self, entry: &Entry) -> f32 {
        let (all, with) = (self.names.len() as f32, entry.tables.len() as f32);
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }

    pub fn names_of(&self, table: usize) -> impl Iterator<Item = &Vec<String>> {
        let at = self.names.binary_search_by_key(&table, |(place, _)| *place);
        at.ok().into_iter().flat_map(|at| &self.names[at].1)
    }

    /// The values of the schema that stand in a question, the longest first.
    pub fn values_in(&self, schema: &Schema, said: &Said) -> Vec<ValueHit> {
        let mut spans = said.spans();
        spans.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let mut hits: Vec<ValueHit> = Vec::new();
        for (text, form) in spans {
            if hits.iter().any(|hit| hit.said != text && hit.said.contains(&text)) {
                continue;
            }
            for other in inflections(&form) {
                let holders: Vec<ValueHit> = self.holders(schema, &text, &other).collect();
                if !holders.is_empty() {
                    hits.extend(holders);
                    break;
                }
            }
        }
        hits
    }

    fn holders(&self, schema: &Schema, text: &str, form: &str) -> impl Iterator<Item = ValueHit> {
        let hash = hash(form);
        let from = self.values.partition_point(|entry| entry.0 < hash);
        let same = self.values[from..].iter().take_while(move |entry| entry.0 == hash);
        let hit = move |&(_, table, column, value): &(u64, u32, u32, u32)| {
            let (table, column) = (table as usize, column as usize);
            let value = values(schema.tables.get(table)?.columns.get(column)?).nth(value as usize)?;
            // Two values may share a hash.
            (normal(value) == form).then(|| ValueHit { said: text.to_owned(), value: value.to_owned(), table, column })
        };
        same.filter_map(hit).take(MAX_HOLDERS)
    }

    /// The visible tables whose names stand in a statement, in its order.
    pub fn named_in(&self, schema: &Schema, sql: &str, engine: Engine) -> Vec<usize> {
        let tokens = Tokenizer::new(dialect(engine), sql).tokenize().unwrap_or_default();
        let words: Vec<&str> = tokens
            .iter()
            .filter_map(|token| if let Token::Word(word) = token { Some(word.value.as_str()) } else { None })
            .collect();
        let mut named = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let called = |place: &usize| schema.tables[*place].name.eq_ignore_ascii_case(word);
            let mut found: Vec<usize> = self.visible().filter(called).collect();
            let owner = at.checked_sub(1).map(|before| words[before]);
            let owned =
                |place: &usize| owner.is_some_and(|owner| schema.tables[*place].schema.eq_ignore_ascii_case(owner));
            if found.iter().any(owned) {
                found.retain(owned);
            }
            named.extend(found.into_iter().filter(|place| !named.contains(place)).collect::<Vec<_>>());
        }
        named
    }

    fn add(&mut self, schema: &Schema, place: usize, table: &Table) {
        let mut document = Document::of(schema.engine, table);
        for (at, column) in table.columns.iter().enumerate().filter(|(_, column)| !column.hidden) {
            let own = Document::of_column(column);
            // Many columns with a word say no more than one.
            own.0.iter().for_each(|(word, weight)| document.keep(word.clone(), *weight));
            for (word, weight) in own.0 {
                self.entry(word).columns.push(Posting { table: place, column: at, weight });
            }
            if !column.masked {
                self.add_values(place, at, column);
            }
        }
        for (word, weight) in document.0 {
            self.entry(word).tables.push(Posting { table: place, column: 0, weight });
        }
        let names = std::iter::once(&table.name).chain(&table.synonyms).map(|name| stems(name));
        self.names.push((place, names.filter(|name| !name.is_empty()).collect()));
    }

    fn add_values(&mut self, table: usize, column: usize, of: &Column) {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let short = |value: &str| value.len() <= MAX_VALUE_BYTES;
        for (place, value) in values(of).enumerate().filter(|(_, value)| short(value)) {
            let form = normal(value);
            if form.chars().any(|c| !c.is_numeric()) {
                self.values.push((hash(&form), small(table), small(column), small(place)));
            }
        }
    }

    fn entry(&mut self, word: String) -> &mut Entry {
        self.terms.entry(word).or_default()
    }
}

fn values(column: &Column) -> impl Iterator<Item = &str> {
    column.sample_values.iter().chain(&column.enum_values).chain(&column.example_values).map(String::as_str)
}

fn hash(form: &str) -> u64 {
    FixedState::default().hash_one(form)
}

/// A form, and the same with its last word in the singular or the plural.
fn inflections(form: &str) -> Vec<String> {
    let mut forms = vec![form.to_owned()];
    if form.len() > 3 {
        forms.extend(form.strip_suffix("ies").map(|base| format!("{base}y")));
        forms.extend(form.strip_suffix("es").map(str::to_owned));
        forms.extend(form.strip_suffix('s').map(str::to_owned));
        forms.push(format!("{form}s"));
    }
    forms
}

/// What a table or a column says of itself, by word.
#[derive(Default)]
struct Document(HashMap<String, f32, FixedState>);

impl Document {
    fn of(engine: Engine, table: &Table) -> Document {
        let mut document = Document::default();
        let names = std::iter::once(&table.name).chain(&table.synonyms);
        names.for_each(|name| document.name(name, NAME));
        document.text(table.description.as_deref(), DESCRIPTION);
        for metric in open_metrics(engine, table) {
            document.term(&metric.name, &metric.synonyms, metric.description.as_deref());
        }
        for filter in open_filters(engine, table) {
            document.term(&filter.name, &filter.synonyms, filter.description.as_deref());
        }
        document
    }

    fn of_column(column: &Column) -> Document {
        let mut document = Document::default();
        let names = std::iter::once(&column.name).chain(&column.synonyms);
        names.for_each(|name| document.name(name, COLUMN));
        if !column.masked {
            document.text(column.description.as_deref(), COLUMN_DESCRIPTION);
            document.values(column);
        }
        document
    }

    fn name(&mut self, name: &str, weight: f32) {
        let stems = stems(name);
        if (2..=3).contains(&stems.len()) {
            let together = name.to_lowercase().replace(['_', ' ', '-'], "");
            self.keep(stem(&together), WEAKER * weight);
        }
        for stem in stems {
            if let Some(term) = beginning(&stem) {
                self.keep(term, WEAKER * weight);
            }
            self.keep(stem, weight);
        }
    }

    fn term(&mut self, name: &str, synonyms: &[String], description: Option<&str>) {
        std::iter::once(name).chain(synonyms.iter().map(String::as_str)).for_each(|name| self.name(name, TERM));
        self.text(description, DESCRIPTION);
    }

    fn text(&mut self, text: Option<&str>, weight: f32) {
        for word in text.unwrap_or_default().split_whitespace().take(MAX_DESCRIPTION_WORDS) {
            let says = !is_function_word(&word.to_lowercase());
            stems(word).into_iter().filter(|_| says).for_each(|stem| self.keep(stem, weight));
        }
    }

    /// The words of values that name something; of many values few are ever said.
    fn values(&mut self, column: &Column) {
        let short = values(column).filter(|value| value.len() <= MAX_SPOKEN_BYTES).take(MAX_SPOKEN);
        for word in short.flat_map(str::split_whitespace).filter(|word| word.chars().any(char::is_alphabetic)) {
            stems(word).into_iter().filter(|stem| stem.len() > 2).for_each(|stem| self.keep(stem, VALUE));
        }
    }

    fn keep(&mut self, word: String, weight: f32) {
        let kept = self.0.entry(word).or_default();
        *kept = kept.max(weight);
    }
}
