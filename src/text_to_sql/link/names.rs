//! Spans of words that name tables and columns.
//!
//! A column's name counts with and without the words that repeat its table's (`customer_name` in `customers`), so that
//! "customer name", "name" and "name of the customer" all find it. Only columns that share a stem with the span are
//! scored.

use std::collections::BTreeSet;

use super::catalog::{Catalog, ColumnEntry, ColumnId, Holds, TableId, joined, prefix};
use super::tokens::Token;
use super::words::{is_generic_verb, stem, synonyms};
use super::{Found, Meaning};

/// The longest name looked for, in words.
const MAX_WORDS: usize = 6;
/// Weaker matches are chance.
const MIN_SCORE: f32 = 0.56;

/// More than the two tables named one after the other.
const DESCRIBED_TABLE: f32 = 1.04;

/// What people declared by this name is meant before what happens to be called so.
const DECLARED_TERM: f32 = 1.06;

/// Words of the grammar (aggregates, superlatives, orders) that name nothing when they stand alone.
const GRAMMAR_WORDS: &[&str] = &[
    "most",
    "least",
    "more",
    "less",
    "fewest",
    "highest",
    "lowest",
    "average",
    "mean",
    "maximum",
    "minimum",
    "total",
    "number",
    "count",
    "different",
    "distinct",
    "unique",
    "order",
    "ordered",
    "sorted",
    "sort",
    "descending",
    "ascending",
    "alphabetical",
    "top",
];

/// Words that add nothing to a name that a column already has in full.
const GENERIC_STEMS: &[&str] = &["number", "id", "code", "valu", "amount", "date", "rate", "size", "level"];

/// Endings that say how a column holds what the rest of its name says.
fn is_code(stem: &str) -> bool {
    matches!(stem, "code" | "name" | "descript" | "on" | "at")
}

/// Every span that names a table or a column well enough.
pub fn find(tokens: &[Token], catalog: &Catalog) -> Vec<Found> {
    let question: BTreeSet<&str> = tokens.iter().map(|token| token.stem.as_str()).collect();
    let mut found = Vec::new();
    for start in 0..tokens.len() {
        for end in start + 1..=tokens.len().min(start + MAX_WORDS) {
            if tokens[end - 1].is_mark() || tokens[end - 1].is_quoted() || tokens[end - 1].dates().is_some() {
                break;
            }
            if let Some(span) = Span::new(tokens, start, end, &question) {
                span.find_tables(catalog, &mut found);
                span.find_columns(catalog, &mut found);
                span.find_described_tables(catalog, &mut found);
                span.find_terms(catalog, &mut found);
            }
        }
    }
    found.extend(find_coordinated(tokens, catalog));
    found
}

/// Whether a lower-case word belongs to the grammar rather than to the data.
pub fn is_grammar_word(word: &str) -> bool {
    GRAMMAR_WORDS.contains(&word)
}

struct Span<'t> {
    start: usize,
    end: usize,
    words: &'t [Token],
    /// Stems of the words that are not function words.
    stems: Vec<&'t str>,
    /// No function word inside.
    contiguous: bool,
    /// "number of …", "total number …": a count more often than a name.
    counts: bool,
    question: &'t BTreeSet<&'t str>,
}

impl<'t> Span<'t> {
    fn new(tokens: &'t [Token], start: usize, end: usize, question: &'t BTreeSet<&'t str>) -> Option<Self> {
        let words = &tokens[start..end];
        let (first, last) = (words.first()?, words.last()?);
        let stems: Vec<&str> = words
            .iter()
            .filter(|word| !word.stem.is_empty() && !word.function)
            .map(|word| word.stem.as_str())
            .collect();
        let numbers = words.iter().filter(|word| word.number().is_some()).count();
        let inner_only = words.iter().all(|word| !word.function || matches!(word.lower.as_str(), "of" | "the"));
        let named_total = first.lower == "total" && tokens.get(end).is_none_or(|next| next.function || next.is_mark());
        let grammar = words.len() == 1 && GRAMMAR_WORDS.contains(&first.lower.as_str()) && !named_total;
        let counted = |next: &Token| matches!(next.lower.as_str(), "of" | "number");
        let counts = matches!(first.lower.as_str(), "number" | "numbers" | "count" | "total" | "amount" | "sum");
        let counts_alone = words.len() == 1 && counts && !named_total && tokens.get(end).is_some_and(counted);
        let age =
            matches!(first.lower.as_str(), "year" | "years") && tokens.get(end).is_some_and(|next| next.lower == "old");
        let names = !first.function && !last.function && inner_only && !grammar && !counts_alone && !age;
        let contiguous = stems.len() == words.len();
        let counts_of = words.len() == 2
            && first.lower == "total"
            && matches!(last.lower.as_str(), "number" | "count")
            && tokens.get(end).is_some_and(|next| next.lower == "of");
        let names = names && !counts_of;
        (names && numbers == 0 && !stems.is_empty() && words.len() - stems.len() <= 2).then_some(Self {
            start,
            end,
            words,
            stems,
            contiguous,
            counts: counts && words.get(1).is_some_and(|w| w.lower == "of"),
            question,
        })
    }

    fn find_tables(&self, catalog: &Catalog, found: &mut Vec<Found>) {
        let mut ids: BTreeSet<TableId> = BTreeSet::new();
        for stem in &self.stems {
            ids.extend(catalog.tables_with(stem));
            synonyms(stem).iter().for_each(|other| ids.extend(catalog.tables_with(other)));
        }
        for id in ids {
            let scores = catalog.table(id).names.iter().map(|name| self.table_score(name));
            let score = scores.fold(0.0, f32::max);
            found.extend((score > MIN_SCORE).then(|| Found::new(self.start, self.end, Meaning::Table(id), score)));
        }
    }

    /// "product categories": the name of one table that the name of another, joined to it by a key, describes.
    fn find_described_tables(&self, catalog: &Catalog, found: &mut Vec<Found>) {
        let (&[describing, described], true) = (&self.stems[..], self.contiguous) else { return };
        let here = |other: &Found| other.start == self.start && other.end == self.end;
        let known = found
            .iter()
            .rev()
            .take_while(|other| other.end >= self.start)
            .any(|other| here(other) && other.candidate.score > 0.85);
        let called = |id: TableId, stem: &str| catalog.table(id).names.iter().any(|name| *name == [stem]);
        let joined = |id: TableId| {
            catalog.edges_of(id).iter().map(|edge| catalog.edge(*edge)).any(|edge| {
                let other = if edge.child == id { edge.parent } else { edge.child };
                called(other, describing)
            })
        };
        let verb = ["ed", "ing"].iter().any(|ending| self.words[1].lower.ends_with(ending));
        let singular = !self.words[0].lower.ends_with('s') && !verb;
        let ids = catalog.tables_with(described).iter().copied().filter(|id| called(*id, described) && joined(*id));
        found.extend(
            ids.filter(|_| singular && !known)
                .map(|id| Found::new(self.start, self.end, Meaning::Table(id), DESCRIBED_TABLE)),
        );
    }

    /// Metrics and named filters, by all of their name or a synonym.
    fn find_terms(&self, catalog: &Catalog, found: &mut Vec<Found>) {
        let Some(first) = self.stems.first() else { return };
        let said: BTreeSet<&str> = self.stems.iter().copied().collect();
        let is_said = |name: &Vec<String>| name.iter().map(String::as_str).collect::<BTreeSet<_>>() == said;
        let terms = catalog.terms_with(first).filter(|term| term.names.iter().any(is_said));
        found.extend(terms.map(|term| Found::new(self.start, self.end, term.meaning.clone(), DECLARED_TERM)));
    }

    fn table_score(&self, name: &[String]) -> f32 {
        let own: BTreeSet<&str> = name.iter().map(String::as_str).collect();
        let said: BTreeSet<&str> = self.stems.iter().copied().collect();
        if said == own {
            return 1.0;
        }
        if said.is_subset(&own) && self.words.len() <= 2 {
            return 0.45 + 0.3 * ratio(said.len(), own.len());
        }
        let synonym = self.stems.len() == 1 && synonyms(self.stems[0]).iter().any(|other| own.contains(other.as_str()));
        if !synonym {
            return 0.0;
        }
        if own.len() == 1 { 0.8 } else { 0.62 }
    }

    fn find_columns(&self, catalog: &Catalog, found: &mut Vec<Found>) {
        for id in self.related_columns(catalog) {
            let entry = catalog.column(id);
            let table: BTreeSet<&str> = catalog.table(entry.table).names[0].iter().map(String::as_str).collect();
            let scores = entry.names.iter().map(|name| self.column_score(name, &table, &entry));
            let score = scores.fold(0.0, f32::max);
            let score =
                if self.words.len() == 1 && is_grammar_word(&self.words[0].lower) && score < 1.0 { 0.0 } else { score };
            let number = matches!(entry.holds, Holds::Number | Holds::NumericText);
            let countable =
                self.counts && (!number || entry.is_id || entry.names[0].last().is_some_and(|last| last == "number"));
            if score > MIN_SCORE && !countable {
                found.push(Found::new(self.start, self.end, Meaning::Column(id), score));
            }
        }
    }

    fn related_columns(&self, catalog: &Catalog) -> BTreeSet<ColumnId> {
        let mut ids = BTreeSet::new();
        for stem in &self.stems {
            ids.extend(catalog.columns_with(stem));
            synonyms(stem).iter().for_each(|other| ids.extend(catalog.columns_with(other)));
        }
        if let [only] = self.stems[..] {
            let key = prefix(only).map(|prefix| format!("{prefix}…"));
            ids.extend(key.iter().flat_map(|key| catalog.columns_with(key)));
        }
        ids.extend(catalog.columns_with(&joined(&self.lower_words())));
        ids
    }

    fn lower_words(&self) -> Vec<String> {
        self.words.iter().map(|word| word.lower.clone()).collect()
    }

    /// How well the span names a column with this name in a table with these stems.
    fn column_score(&self, name: &[String], table: &BTreeSet<&str>, entry: &ColumnEntry) -> f32 {
        let own: BTreeSet<&str> = name.iter().map(String::as_str).collect();
        let core: BTreeSet<&str> = own.difference(table).copied().collect();
        let said: BTreeSet<&str> = self.stems.iter().copied().collect();
        let whole = self.whole_score(&said, name, &core, table);
        if whole > 0.0 {
            return whole;
        }
        let partial = self.partial_score(&said, name, &own, &core, table);
        let extended = self.extended_score(&said, &own, entry);
        let near = self.near_score(&own, table);
        let score = partial.max(extended).max(near);
        if score > 0.0 { score } else { self.synonym_score(&own, &core) }
    }

    /// All of the name is said, perhaps with the table's.
    fn whole_score(
        &self,
        said: &BTreeSet<&str>,
        name: &[String],
        core: &BTreeSet<&str>,
        table: &BTreeSet<&str>,
    ) -> f32 {
        let own: &BTreeSet<&str> = &name.iter().map(String::as_str).collect();
        let id_only = core.len() == 1 && core.contains("id");
        if said == own || self.joins_to(name) {
            return 1.0;
        }
        if core.is_empty() {
            return 0.0;
        }
        if said == core {
            let repeats_table = own.difference(core).any(|stem| self.question.contains(stem)) || table.is_subset(own);
            return if id_only {
                0.9
            } else if repeats_table {
                0.95
            } else {
                0.86
            };
        }
        let with_table =
            self.contiguous && said.is_superset(core) && said.difference(core).all(|stem| table.contains(stem));
        if with_table { if id_only { 1.0 } else { 1.04 } } else { 0.0 }
    }

    fn joins_to(&self, own: &[String]) -> bool {
        let said = self.lower_words().concat();
        let other_count = own.len() != self.words.len();
        let single = own.len() == 1 || self.words.len() == 1;
        let together = own.concat();
        self.contiguous
            && self.words.len() <= 2
            && other_count
            && single
            && said.len() > 4
            && stem(&said) == stem(&together)
    }

    /// Only some of the name is said.
    fn partial_score(
        &self,
        said: &BTreeSet<&str>,
        name: &[String],
        own: &BTreeSet<&str>,
        core: &BTreeSet<&str>,
        table: &BTreeSet<&str>,
    ) -> f32 {
        let id_only = said.len() == 1 && said.contains("id");
        let only_table = said.is_subset(table) && !core.is_empty();
        if said.len() != self.words.len() || !said.is_subset(own) || id_only || only_table {
            return 0.0;
        }
        let coded = |whole: &BTreeSet<&str>| {
            whole.len() == said.len() + 1
                && name.last().is_some_and(|last| {
                    is_code(last)
                        && whole.contains(last.as_str())
                        && !said.contains(last.as_str())
                        && said.is_subset(whole)
                })
        };
        if coded(own) {
            return 0.9;
        }
        if coded(core) {
            return 0.85;
        }
        let share = ratio(said.len(), own.len());
        if said.len() > 1 {
            return 0.5 + 0.4 * share;
        }
        let core_share = if core.is_empty() { 0.0 } else { 0.92 * ratio(said.intersection(core).count(), core.len()) };
        let last = name.last().is_some_and(|last| said.contains(last.as_str()));
        0.4 + 0.45 * share.max(core_share) + if last { 0.03 } else { 0.0 }
    }

    /// More is said than the name has.
    fn extended_score(&self, said: &BTreeSet<&str>, own: &BTreeSet<&str>, entry: &ColumnEntry) -> f32 {
        let codes = |stem: &&&str| matches!(**stem, "number" | "id" | "code");
        let bare = |stems: &BTreeSet<&str>| {
            stems.iter().filter(|stem| !codes(stem)).map(|stem| stem.to_string()).collect::<BTreeSet<_>>()
        };
        let both_coded = said.iter().any(|stem| codes(&stem)) && own.iter().any(|stem| codes(&stem)) && said != own;
        if self.contiguous && both_coded && bare(said) == bare(own) && !bare(own).is_empty() {
            return 0.86;
        }
        if !self.contiguous || !own.is_subset(said) || said.len() != own.len() + 1 {
            return 0.0;
        }
        let Some(extra) = said.difference(own).next() else { return 0.0 };
        if entry.holds == Holds::Text && matches!(*extra, "name" | "titl" | "type") {
            return 0.9;
        }
        if own.len() == 1 && GENERIC_STEMS.contains(extra) {
            return 0.82;
        }
        if own.len() >= 2 { 0.8 } else { 0.0 }
    }

    /// One word that begins like a word of the name: `manager` for `management`.
    fn near_score(&self, own: &BTreeSet<&str>, table: &BTreeSet<&str>) -> f32 {
        let [only] = self.stems[..] else { return 0.0 };
        let Some(begin) = prefix(only) else { return 0.0 };
        let near = own.iter().any(|stem| stem.starts_with(begin) && !table.contains(stem));
        if self.words.len() == 1 && near && own.len() <= 2 { 0.72 } else { 0.0 }
    }

    fn synonym_score(&self, own: &BTreeSet<&str>, core: &BTreeSet<&str>) -> f32 {
        if self.words.len() > 2 || is_generic_verb(&self.words[0].lower) {
            return 0.0;
        }
        let mut best: f32 = 0.0;
        for (at, stem) in self.stems.iter().enumerate() {
            for other in synonyms(stem) {
                let mut replaced: BTreeSet<&str> =
                    self.stems.iter().copied().enumerate().filter(|(i, _)| *i != at).map(|(_, s)| s).collect();
                replaced.insert(other.as_str());
                let score = if replaced == *own || replaced == *core {
                    if replaced.len() == 1 { 0.78 } else { 0.88 }
                } else if replaced.is_subset(own) {
                    0.42 + 0.36 * ratio(replaced.len(), own.len())
                } else {
                    0.0
                };
                best = best.max(score);
            }
        }
        best
    }
}

/// How far ahead the second half of "start and end dates" may lie.
const COORDINATION_REACH: usize = 4;

/// "start and end dates": the first word borrows the last word of the second name.
fn find_coordinated(tokens: &[Token], catalog: &Catalog) -> Vec<Found> {
    let mut found = Vec::new();
    for at in 0..tokens.len().saturating_sub(2) {
        let first = &tokens[at];
        let joins = |token: &Token| matches!(token.lower.as_str(), "and" | "or" | "," | "the");
        if first.stem.is_empty() || first.function || !joins(&tokens[at + 1]) {
            continue;
        }
        let after = tokens[at + 1..].iter().skip_while(|token| joins(token)).skip(1).take(COORDINATION_REACH);
        for head in after.take_while(|token| !token.is_mark() && (!token.function || joins(token))) {
            if head.stem.is_empty() || head.function || head.stem == first.stem {
                continue;
            }
            let said = BTreeSet::from([first.stem.as_str(), head.stem.as_str()]);
            found.extend(columns_named(catalog, &said).map(|id| Found::new(at, at + 1, Meaning::Column(id), 0.94)));
        }
    }
    found
}

fn columns_named<'c>(catalog: &'c Catalog, said: &'c BTreeSet<&str>) -> impl Iterator<Item = ColumnId> + 'c {
    let first = said.first().copied().unwrap_or_default();
    catalog.columns_with(first).iter().copied().filter(move |id| {
        let own: BTreeSet<&str> = catalog.column(*id).names[0].iter().map(String::as_str).collect();
        let core: BTreeSet<&str> = catalog.core(*id).into_iter().collect();
        own == *said || core == *said
    })
}

fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}
