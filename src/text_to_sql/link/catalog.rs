//! A schema as questions see it: stems of every name, what a column holds, keys, and the graph of foreign keys.
//!
//! Hidden tables and columns and masked columns are not in it, so nothing built on it can mention them. It is made once
//! for a version of a schema and then only read, by any number of questions at a time.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::Meaning;
use super::foreign::is_han;
use super::values::ValueIndex;
use super::words::{identifier_stems, stem, stems_without_unit};
use crate::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Schema, Table};
use crate::text_to_sql::terms;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(usize);

#[derive(Debug)]
pub struct Catalog {
    schema: Arc<Schema>,
    tables: Vec<KnownTable>,
    columns: Vec<KnownColumn>,
    edges: Vec<Edge>,
    edges_of: Vec<Vec<usize>>,
    tables_by_stem: HashMap<String, Vec<TableId>>,
    columns_by_stem: HashMap<String, Vec<ColumnId>>,
    values: ValueIndex,
    terms: Vec<Term>,
    terms_by_stem: HashMap<String, Vec<usize>>,
    /// Names and values in Han characters.
    han: HashSet<String>,
    longest_han: usize,
}

/// What people declared on a table, and what they call it.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    pub meaning: Meaning,
    /// The stems of its name and of every synonym.
    pub names: Vec<Vec<String>>,
}

/// A table as the schema has it, with what was made of its names.
#[derive(Clone, Copy)]
pub struct TableEntry<'c> {
    pub table: &'c Table,
    /// The stems of its name and of every synonym; never empty.
    pub names: &'c [Vec<String>],
    /// The primary key; empty when there is none or part of it is hidden.
    pub key: &'c [ColumnId],
}

/// A column as the schema has it, with what was made of its names, keys and values.
#[derive(Clone, Copy)]
pub struct ColumnEntry<'c> {
    pub column: &'c Column,
    pub table: TableId,
    /// The stems of its name and of every synonym; never empty.
    pub names: &'c [Vec<String>],
    pub holds: Holds,
    /// It identifies: a key, or named like one.
    pub is_id: bool,
    /// Part of a foreign key.
    pub is_foreign: bool,
    /// A foreign key to the table it is in: another row of the same kind.
    pub refers_to_own_table: bool,
    /// No two rows share its value, as far as the catalog says.
    pub is_unique: bool,
}

#[derive(Debug)]
struct KnownTable {
    /// Among the schema's tables.
    at: usize,
    names: Vec<Vec<String>>,
    key: Vec<ColumnId>,
    columns: Range<usize>,
}

#[derive(Debug)]
struct KnownColumn {
    table: TableId,
    /// Among its table's columns.
    at: usize,
    names: Vec<Vec<String>>,
    holds: Holds,
    is_id: bool,
    is_foreign: bool,
    refers_to_own_table: bool,
    is_unique: bool,
}

/// What a column holds, judged by its type and by its samples where the type is only text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Number,
    Text,
    /// Text that is all numbers.
    NumericText,
    /// Days or moments that compare as such: a date type, or ISO text.
    Date,
    /// Dates in a spelling that does not compare.
    LooseDate,
    Boolean,
    Other,
}

/// How two tables belong together, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    pub child: TableId,
    pub parent: TableId,
    pub pairs: Vec<(ColumnId, ColumnId)>,
    pub tie: Tie,
}

/// Who says that two tables belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// A person declared the join.
    Declared,
    /// A foreign key of the database.
    Key,
    /// A column has the name of another table's key.
    Inferred,
}

impl Catalog {
    pub fn new(schema: Arc<Schema>) -> Self {
        let tables = Arc::clone(&schema);
        let mut catalog = Self {
            schema,
            tables: Vec::new(),
            columns: Vec::new(),
            edges: Vec::new(),
            edges_of: Vec::new(),
            tables_by_stem: HashMap::new(),
            columns_by_stem: HashMap::new(),
            values: ValueIndex::default(),
            terms: Vec::new(),
            terms_by_stem: HashMap::new(),
            han: HashSet::new(),
            longest_han: 0,
        };
        let visible = tables.tables.iter().enumerate().filter(|(_, table)| !table.hidden);
        visible.for_each(|(at, table)| catalog.add_table(at, table));
        catalog.add_declared_edges();
        catalog.add_inferred_edges();
        catalog.index_edges();
        catalog.index_names();
        catalog.index_terms();
        catalog.values = ValueIndex::new(&catalog);
        catalog.index_han();
        catalog
    }

    pub fn engine(&self) -> Engine {
        self.schema.engine
    }

    /// The schemas that unqualified names resolve in, in order.
    pub fn search_path(&self) -> &[String] {
        &self.schema.search_path
    }

    pub fn table(&self, id: TableId) -> TableEntry<'_> {
        let KnownTable { at, names, key, .. } = &self.tables[id.0];
        TableEntry { table: &self.schema.tables[*at], names, key }
    }

    pub fn column(&self, id: ColumnId) -> ColumnEntry<'_> {
        let known = &self.columns[id.0];
        ColumnEntry {
            column: &self.table(known.table).table.columns[known.at],
            table: known.table,
            names: &known.names,
            holds: known.holds,
            is_id: known.is_id,
            is_foreign: known.is_foreign,
            refers_to_own_table: known.refers_to_own_table,
            is_unique: known.is_unique,
        }
    }

    /// Metrics and filters with this stem in one of their names.
    pub fn terms_with(&self, stem: &str) -> impl Iterator<Item = &Term> {
        let found = self.terms_by_stem.get(stem).map_or(&[][..], Vec::as_slice);
        found.iter().map(|at| &self.terms[*at])
    }

    /// Whether a text of Han characters is a name or a value.
    pub fn knows_han(&self, text: &str) -> bool {
        self.han.contains(text)
    }

    /// Characters of the longest name or value in Han characters, and of the longest word of the grammar.
    pub fn longest_han(&self) -> usize {
        self.longest_han.max(3)
    }

    /// Where known values stand.
    pub fn values(&self) -> &ValueIndex {
        &self.values
    }

    pub fn edge(&self, index: usize) -> &Edge {
        &self.edges[index]
    }

    pub fn tables(&self) -> impl Iterator<Item = TableId> + use<> {
        (0..self.tables.len()).map(TableId)
    }

    pub fn columns(&self) -> impl Iterator<Item = ColumnId> + use<> {
        (0..self.columns.len()).map(ColumnId)
    }

    pub fn columns_of(&self, table: TableId) -> impl Iterator<Item = ColumnId> + use<> {
        self.tables[table.0].columns.clone().map(ColumnId)
    }

    pub fn edges_of(&self, table: TableId) -> &[usize] {
        &self.edges_of[table.0]
    }

    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    pub fn table_of(&self, column: ColumnId) -> TableId {
        self.column(column).table
    }

    /// Tables with this stem in one of their names.
    pub fn tables_with(&self, stem: &str) -> &[TableId] {
        self.tables_by_stem.get(stem).map_or(&[], Vec::as_slice)
    }

    /// Columns with this stem, its first five letters or a whole run-together name in one of their names.
    pub fn columns_with(&self, stem: &str) -> &[ColumnId] {
        self.columns_by_stem.get(stem).map_or(&[], Vec::as_slice)
    }

    /// The column that identifies a row, where a single one does.
    pub fn single_key(&self, table: TableId) -> Option<ColumnId> {
        match self.table(table).key[..] {
            [key] => Some(key),
            _ => None,
        }
    }

    /// The key, or else the first column, by which rows of a table are told apart when grouped.
    pub fn row_columns(&self, table: TableId) -> Vec<ColumnId> {
        let key = self.table(table).key;
        if key.is_empty() { self.columns_of(table).take(1).collect() } else { key.to_vec() }
    }

    /// The stems of a column's own name that do not repeat its table's.
    pub fn core(&self, column: ColumnId) -> Vec<&str> {
        let entry = self.column(column);
        let table = &self.table(entry.table).names[0];
        entry.names[0].iter().filter(|stem| !table.contains(stem)).map(String::as_str).collect()
    }

    pub fn has_stem(&self, column: ColumnId, stem: &str) -> bool {
        self.column(column).names[0].iter().any(|own| own == stem)
    }

    /// The columns by which people recognise a row of the table: its name, first and last name, title, or the like.
    pub fn display(&self, table: TableId) -> Vec<ColumnId> {
        let columns: Vec<ColumnId> = self.columns_of(table).collect();
        let texts: Vec<ColumnId> =
            columns.iter().copied().filter(|id| !matches!(self.column(*id).holds, Holds::Number)).collect();
        let first = |fits: &dyn Fn(ColumnId) -> bool| texts.iter().copied().find(|id| fits(*id));
        let has = |id: ColumnId, stem: &str| self.has_stem(id, stem);
        let free = |id: ColumnId| !self.column(id).is_id && !self.column(id).is_foreign;
        if let Some(name) = first(&|id| self.core(id) == ["name"]) {
            return vec![name];
        }
        let given = first(&|id| has(id, "first") && has(id, "name"));
        let family = first(&|id| (has(id, "last") || has(id, "famili")) && has(id, "name"));
        if let (Some(given), Some(family)) = (given, family) {
            return vec![given, family];
        }
        let fallback = first(&|id| matches!(self.core(id)[..], ["titl"] | ["full", "name"]))
            .or_else(|| first(&|id| has(id, "name") && free(id)))
            .or_else(|| first(&|id| self.column(id).names[0] == self.table(table).names[0] && free(id)))
            .or_else(|| first(&|id| has(id, "titl") && free(id)))
            .or_else(|| first(&|id| free(id) && (has(id, "descript") || has(id, "detail") || has(id, "type"))))
            .or_else(|| first(&|id| free(id) && self.column(id).holds == Holds::Text));
        fallback.map_or_else(|| self.row_columns(table), |column| vec![column])
    }

    /// Whether a column is what people call the row by, not just its first text.
    pub fn is_name(&self, column: ColumnId) -> bool {
        self.has_stem(column, "name") || self.has_stem(column, "titl")
    }

    fn add_table(&mut self, at: usize, table: &Table) {
        let id = TableId(self.tables.len());
        let start = self.columns.len();
        let key_columns: HashSet<&str> = table.primary_key.iter().map(String::as_str).collect();
        let open = table.columns.iter().enumerate().filter(|(_, column)| !column.hidden && !column.masked);
        for (at, column) in open {
            self.columns.push(KnownColumn { at, ..known_column(self.engine(), id, table, column, &key_columns) });
        }
        let columns = start..self.columns.len();
        let names = names(&table.name, &table.synonyms, table.description.as_deref());
        self.tables.push(KnownTable { at, names, key: Vec::new(), columns: columns.clone() });
        let key = table.primary_key.iter().filter_map(|name| self.find_in(&columns, name)).collect::<Vec<_>>();
        if key.len() == table.primary_key.len() {
            self.tables[id.0].key = key;
        }
    }

    fn find_in(&self, columns: &Range<usize>, name: &str) -> Option<ColumnId> {
        let mut found =
            columns.clone().filter(|index| self.column(ColumnId(*index)).column.name.eq_ignore_ascii_case(name));
        found.next().map(ColumnId)
    }

    fn add_declared_edges(&mut self) {
        let by_name: HashMap<(String, String), TableId> = self
            .tables()
            .map(|id| (self.table(id).table, id))
            .map(|(table, id)| ((table.schema.to_lowercase(), table.name.to_lowercase()), id))
            .collect();
        let schema = Arc::clone(&self.schema);
        for child in self.tables() {
            let table = &schema.tables[self.tables[child.0].at];
            let joins = table.joins.iter().map(|join| (join, Tie::Declared));
            for (key, tie) in joins.chain(table.foreign_keys.iter().map(|key| (key, Tie::Key))) {
                let name = (key.referenced_schema.to_lowercase(), key.referenced_table.to_lowercase());
                let edge = by_name.get(&name).and_then(|parent| self.declared_edge(child, *parent, key, tie));
                let known = |edge: &Edge| self.edges.iter().any(|other| other.pairs == edge.pairs);
                self.edges.extend(edge.filter(|edge| !known(edge)));
            }
        }
        self.mark_foreign();
    }

    fn declared_edge(&self, child: TableId, parent: TableId, key: &ForeignKey, tie: Tie) -> Option<Edge> {
        let find = |table: TableId, name: &str| self.find_in(&self.tables[table.0].columns, name);
        let pair = |(from, to): (&String, &String)| Some((find(child, from)?, find(parent, to)?));
        let referenced = if key.referenced_columns.is_empty() {
            &self.table(parent).table.primary_key
        } else {
            &key.referenced_columns
        };
        let pairs: Option<Vec<_>> = key.columns.iter().zip(referenced).map(pair).collect();
        let pairs = pairs.filter(|pairs| !pairs.is_empty() && pairs.len() == key.columns.len())?;
        (child != parent).then_some(Edge { child, parent, pairs, tie })
    }

    /// A column named exactly like another table's single key refers to it, unless the name is as common as `id`.
    fn add_inferred_edges(&mut self) {
        let mut linked: HashSet<(TableId, TableId)> =
            self.edges.iter().flat_map(|edge| [(edge.child, edge.parent), (edge.parent, edge.child)]).collect();
        let mut keys: HashMap<String, Vec<(TableId, ColumnId)>> = HashMap::new();
        for parent in self.tables() {
            let name = |key: ColumnId| self.column(key).column.name.to_lowercase();
            let key = self.single_key(parent).filter(|key| !matches!(name(*key).as_str(), "id" | "name" | "code"));
            key.into_iter().for_each(|key| keys.entry(name(key)).or_default().push((parent, key)));
        }
        for column in self.columns() {
            let child = self.table_of(column);
            let own_key = self.single_key(child) == Some(column);
            let name = self.column(column).column.name.to_lowercase();
            for &(parent, key) in keys.get(&name).map_or(&[][..], Vec::as_slice) {
                let backwards = own_key && child < parent;
                if child != parent && !backwards && linked.insert((child, parent)) {
                    linked.insert((parent, child));
                    self.edges.push(Edge { child, parent, pairs: vec![(column, key)], tie: Tie::Inferred });
                }
            }
        }
        self.mark_foreign();
    }

    fn mark_foreign(&mut self) {
        for (from, _) in self.edges.iter().flat_map(|edge| edge.pairs.iter()) {
            self.columns[from.0].is_foreign = true;
            self.columns[from.0].is_id = true;
        }
    }

    fn index_edges(&mut self) {
        self.edges_of = vec![Vec::new(); self.tables.len()];
        for (index, edge) in self.edges.iter().enumerate() {
            self.edges_of[edge.child.0].push(index);
            self.edges_of[edge.parent.0].push(index);
        }
    }

    fn index_terms(&mut self) {
        let schema = Arc::clone(&self.schema);
        for id in self.tables() {
            let table = &schema.tables[self.tables[id.0].at];
            let metrics = terms::open_metrics(schema.engine, table).enumerate();
            let metrics = metrics.map(|(at, metric)| (Meaning::Metric(id, at), &metric.name, &metric.synonyms));
            let filters = terms::open_filters(schema.engine, table).enumerate();
            let filters = filters.map(|(at, filter)| (Meaning::Filter(id, at), &filter.name, &filter.synonyms));
            for (meaning, name, synonyms) in metrics.chain(filters) {
                self.terms.push(Term { meaning, names: names(name, synonyms, None) });
                self.add_han(std::iter::once(name).chain(synonyms));
            }
        }
        for (at, term) in self.terms.iter().enumerate() {
            let stems: HashSet<&String> = term.names.iter().flatten().collect();
            stems.into_iter().for_each(|stem| self.terms_by_stem.entry(stem.clone()).or_default().push(at));
        }
    }

    fn index_han(&mut self) {
        let schema = Arc::clone(&self.schema);
        for table in schema.visible_tables() {
            self.add_han(std::iter::once(&table.name).chain(&table.synonyms));
            for column in table.visible_columns().filter(|column| !column.masked) {
                let values = column.sample_values.iter().chain(&column.enum_values).chain(&column.example_values);
                self.add_han(std::iter::once(&column.name).chain(&column.synonyms).chain(values));
            }
        }
    }

    fn add_han<'n>(&mut self, names: impl Iterator<Item = &'n String>) {
        for name in names.filter(|name| name.chars().all(is_han) && !name.is_empty()) {
            self.longest_han = self.longest_han.max(name.chars().count());
            self.han.insert(name.clone());
        }
    }

    fn index_names(&mut self) {
        for id in self.tables() {
            let stems: HashSet<&String> = self.tables[id.0].names.iter().flatten().collect();
            stems.into_iter().for_each(|stem| self.tables_by_stem.entry(stem.clone()).or_default().push(id));
        }
        for id in self.columns() {
            let keys: HashSet<String> = self.columns[id.0].names.iter().flat_map(|name| column_keys(name)).collect();
            keys.into_iter().for_each(|key| self.columns_by_stem.entry(key).or_default().push(id));
        }
    }
}

/// The marks under which a column is found: its stems, their first letters, and the name run together.
fn column_keys(name: &[String]) -> Vec<String> {
    let prefixes = name.iter().filter_map(|stem| prefix(stem)).map(|prefix| format!("{prefix}…"));
    name.iter().cloned().chain(prefixes).chain([joined(name)]).collect()
}

/// The first five letters, by which `manager` finds `management`.
pub fn prefix(stem: &str) -> Option<&str> {
    stem.char_indices().nth(4).map(|(at, last)| &stem[..at + last.len_utf8()])
}

/// A name run together, as in `gradepoint`.
pub fn joined(words: &[String]) -> String {
    format!("={}", stem(&words.concat()))
}

fn known_column(engine: Engine, id: TableId, table: &Table, column: &Column, key: &HashSet<&str>) -> KnownColumn {
    let mut names = names(&column.name, &column.synonyms, column.description.as_deref());
    names.extend(stems_without_unit(&column.name).filter(|bare| !names.contains(bare)));
    let in_key = key.contains(column.name.as_str());
    let alone = |columns: &[String]| columns.len() == 1 && columns[0] == column.name;
    let is_unique =
        alone(&table.primary_key) || table.indexes.iter().any(|index| index.unique && alone(&index.columns));
    let last = names[0].last().map_or("", String::as_str);
    let is_id = last == "id" || (in_key && key.len() == 1 && matches!(last, "code" | "number"));
    KnownColumn {
        table: id,
        at: 0,
        holds: holds(engine, column, &names[0], is_id),
        names,
        is_id,
        is_foreign: false,
        refers_to_own_table: table.foreign_keys.iter().any(|key| {
            key.referenced_table == table.name && key.referenced_schema == table.schema && alone(&key.columns)
        }),
        is_unique,
    }
}

/// The longest description that is read as another name rather than as a sentence.
const MAX_NAME_WORDS: usize = 4;

fn names(name: &str, synonyms: &[String], description: Option<&str>) -> Vec<Vec<String>> {
    let own = identifier_stems(name);
    let own = if own.is_empty() { vec![name.to_lowercase()] } else { own };
    let short = description.filter(|text| text.split_whitespace().count() <= MAX_NAME_WORDS);
    let others = synonyms.iter().map(String::as_str).chain(short).map(identifier_stems);
    let mut names = vec![own];
    for other in others {
        if !other.is_empty() && !names.contains(&other) {
            names.push(other);
        }
    }
    names
}

fn holds(engine: Engine, column: &Column, name: &[String], is_id: bool) -> Holds {
    let samples = &column.sample_values;
    let all = |fits: &dyn Fn(&str) -> bool| !samples.is_empty() && samples.iter().all(|value| fits(value));
    let dated = name.iter().any(|stem| stem == "date");
    match column.kind {
        ColumnKind::Integer | ColumnKind::Decimal => Holds::Number,
        ColumnKind::Boolean => Holds::Boolean,
        ColumnKind::Date | ColumnKind::Timestamp
            if engine == Engine::Sqlite && !samples.is_empty() && !all(&starts_iso) =>
        {
            Holds::LooseDate
        }
        ColumnKind::Date | ColumnKind::Timestamp => Holds::Date,
        ColumnKind::Text if engine == Engine::Sqlite && (all(&starts_iso) || (dated && samples.is_empty())) => {
            Holds::Date
        }
        ColumnKind::Text if dated => Holds::LooseDate,
        ColumnKind::Text if !is_id && all(&is_numeric) => Holds::NumericText,
        ColumnKind::Text => Holds::Text,
        ColumnKind::Json | ColumnKind::Binary | ColumnKind::Other => Holds::Other,
    }
}

/// `2024-05-01…`
fn starts_iso(text: &str) -> bool {
    let shape = b"dddd-dd-dd";
    let fits = |(byte, expected): (u8, &u8)| if *expected == b'd' { byte.is_ascii_digit() } else { byte == *expected };
    text.len() >= shape.len() && text.bytes().zip(shape).all(fits)
}

fn is_numeric(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}
