//! Reading: which part each mention plays. The steps run in a fixed order, and each takes the mentions it explains, so
//! that a later step does not explain them again.
//!
//! The reader keeps what it was unsure of as doubts: factors that lower the confidence, with the sentence a person
//! should know where there is one.

mod conditions;
mod dates;
mod figures;
mod flags;
mod measures;
mod negation;
mod numbers;
mod outputs;
mod ranking;
mod sets;
mod terms;

pub use negation::Absence;
pub use sets::Combination;

use std::collections::HashMap;

use super::joins::{Cost, distances};
use super::phrases::Compared;
use super::plan::{Comparison, Condition, Expression, Function, Having, SetOperation};
use crate::text_to_sql::link::catalog::{Catalog, ColumnId, Holds, TableId};
use crate::text_to_sql::link::tokens::Token;
use crate::text_to_sql::link::words::stem;
use crate::text_to_sql::link::{Candidate, Meaning, Mention};
use crate::text_to_sql::schema::Engine;

/// A decision that may be taken otherwise. No choice is the first reading; candidates are readings with some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The mention means its n-th best column, table or value.
    Rank {
        mention: usize,
        rank: usize,
    },
    /// The mention is a table, a column or a value.
    Kind {
        mention: usize,
        kind: Kind,
    },
    /// Show each row once where the first reading does not, and the other way round.
    FlipDistinct,
    /// A superlative over a shown column is the value itself, not the row that has it, or the other way round.
    FlipSuperlative,
    /// The mention means nothing.
    Drop {
        mention: usize,
    },
    /// How the last two conditions belong together.
    Combine(Combination),
    /// Tables that are only named take no part.
    OnlyNeededTables,
    /// Groups are told apart by what is shown, not by the key.
    GroupByShown,
    /// The count that a superlative is about is shown, or is not.
    FlipCountShown,
    /// All rows with the highest value instead of the first.
    AllExtremes,
    /// A number limits no count.
    NoHaving,
    /// "each" and "by" group nothing.
    NoGroups,
    /// Rows instead of different values are counted, or the other way round.
    FlipCountDistinct,
    /// Beside a count nothing is shown.
    CountOnly,
    NoOrder,
    /// Columns outside of the part that says what to show are shown too.
    ShowAll,
    /// Nothing is left out.
    NoAbsence,
    /// Rows are shown by their key, not by name.
    ShowKeys,
    /// The tables are joined by another way that is as short.
    OtherPath,
    /// The next of several dates of the table.
    OtherDate,
    /// "more than any" is more than the most.
    FlipExtreme,
    /// "number of" counts nothing: a column holds the number.
    NoCount,
    /// The numbers of a column are added up instead of counted or shown.
    SumShown,
    /// What groups are by is shown.
    ShowGroups,
}

impl Choice {
    /// Those that every question has.
    pub const GENERAL: [Choice; 24] = [
        Choice::FlipDistinct,
        Choice::FlipSuperlative,
        Choice::OnlyNeededTables,
        Choice::FlipCountDistinct,
        Choice::GroupByShown,
        Choice::FlipCountShown,
        Choice::AllExtremes,
        Choice::Combine(Combination::All),
        Choice::Combine(Combination::Any),
        Choice::Combine(Combination::Sets(SetOperation::Intersect)),
        Choice::Combine(Combination::Sets(SetOperation::Union)),
        Choice::NoHaving,
        Choice::NoGroups,
        Choice::CountOnly,
        Choice::NoOrder,
        Choice::ShowAll,
        Choice::NoAbsence,
        Choice::ShowKeys,
        Choice::OtherPath,
        Choice::OtherDate,
        Choice::FlipExtreme,
        Choice::NoCount,
        Choice::SumShown,
        Choice::ShowGroups,
    ];

    /// Whether two decisions are about different things.
    pub fn goes_with(self, other: Choice) -> bool {
        let mention = |choice: Choice| match choice {
            Choice::Rank { mention, .. } | Choice::Kind { mention, .. } | Choice::Drop { mention } => Some(mention),
            _ => None,
        };
        let combines = |choice: Choice| matches!(choice, Choice::Combine(_));
        (mention(self).is_none() || mention(self) != mention(other)) && !(combines(self) && combines(other))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Table,
    Column,
    Value,
    /// A metric or a named filter.
    Term,
}

/// A mention with its meaning settled.
pub struct Settled {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
    pub table: Option<TableId>,
    pub column: Option<ColumnId>,
    /// How well the words fit, without what the context added.
    pub score: f32,
    /// With the context.
    pub weight: f32,
    /// Some step has explained it.
    pub used: bool,
    /// Read as if it meant nothing.
    pub dropped: bool,
    pub candidates: Vec<Candidate>,
}

/// A condition and where the question states it.
pub struct Placed {
    pub condition: Condition,
    pub at: usize,
}

/// What a superlative asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superlative {
    /// The rows at one end of a column; the mention that names it, where one does.
    Column { column: ColumnId, descending: bool, mention: Option<usize> },
    /// What has the most rows of a table.
    Rows { table: TableId, descending: bool },
    /// The rows or groups at one end of a declared figure.
    Metric { table: TableId, metric: usize, descending: bool },
    /// What occurs most often.
    Frequency { descending: bool, at: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Column(ColumnId),
    Table(TableId),
    Period(ColumnId, super::plan::Unit),
}

pub struct Count {
    pub at: usize,
    pub of: Option<usize>,
    pub distinct: bool,
}

pub struct OrderCue {
    pub at: usize,
    pub descending: bool,
}

/// Lowers the confidence by `factor`, and says why where a person should know.
pub struct Doubt {
    pub factor: f32,
    pub assumption: Option<String>,
}

/// A column that was chosen although another fits as well.
pub struct Rival {
    pub column: ColumnId,
    pub question: String,
}

/// Columns whose weights differ by less fit equally well.
const EQUALLY_WELL: f32 = 0.004;

pub struct Reader<'a> {
    pub catalog: &'a Catalog,
    pub tokens: &'a [Token],
    pub choices: &'a [Choice],
    pub mentions: Vec<Settled>,
    /// Tokens that a step explained without a mention.
    pub explained: Vec<bool>,
    /// The tables that the question names, in its order.
    pub named: Vec<TableId>,
    votes: HashMap<TableId, f32>,
    /// How far other tables are from the named ones.
    distances: HashMap<TableId, Cost>,
    pub conditions: Vec<Placed>,
    pub any_condition: bool,
    pub absence: Option<Absence>,
    /// The last condition is on a set of its own.
    pub split: Option<SetOperation>,
    pub sides: Vec<Condition>,
    /// A comparison of this column with figures of other rows.
    pub against: Option<(Compared, ColumnId)>,
    /// Filters that the question speaks of, for or against.
    pub spoken_filters: Vec<(TableId, usize)>,
    pub having: Option<(Having, Option<TableId>)>,
    pub limit: Option<u64>,
    pub superlative: Option<Superlative>,
    superlative_at: Option<usize>,
    pub order: Option<OrderCue>,
    pub aggregates: Vec<(usize, Function)>,
    pub groups: Vec<(Group, usize)>,
    pub count: Option<Count>,
    /// What the question asks to see, with the place where it says so.
    pub outputs: Vec<(Expression, usize)>,
    /// Tokens in the part of the question that says what to show.
    region: Vec<bool>,
    pub everything: bool,
    pub doubts: Vec<Doubt>,
    /// Columns that fit the question equally well, and what to ask about them.
    pub rivals: Vec<Rival>,
    /// What the grammar does not cover, as a sentence.
    pub missing: Option<String>,
}

/// How the question reads under these choices.
pub fn read<'a>(catalog: &'a Catalog, tokens: &'a [Token], mentions: &[Mention], choices: &'a [Choice]) -> Reader<'a> {
    let mut reader = Reader::new(catalog, tokens, mentions, choices);
    reader.settle();
    reader.find_region();
    reader.read_values();
    reader.read_terms();
    reader.read_flags();
    reader.read_limit();
    reader.read_comparison_with_rows();
    reader.read_aggregates();
    reader.read_numbers();
    reader.read_order();
    reader.read_superlative();
    reader.read_groups();
    reader.read_count();
    reader.read_absence();
    reader.settle_superlative();
    reader.read_outputs();
    reader.combine_conditions();
    reader.read_figure();
    reader
}

impl<'a> Reader<'a> {
    fn new(catalog: &'a Catalog, tokens: &'a [Token], mentions: &[Mention], choices: &'a [Choice]) -> Self {
        let settled = |mention: &Mention| Settled {
            start: mention.start,
            end: mention.end,
            kind: Kind::Value,
            table: None,
            column: None,
            score: 0.0,
            weight: 0.0,
            used: false,
            dropped: false,
            candidates: mention.candidates.clone(),
        };
        Self {
            catalog,
            tokens,
            choices,
            mentions: mentions.iter().map(settled).collect(),
            explained: vec![false; tokens.len()],
            named: Vec::new(),
            votes: HashMap::new(),
            distances: HashMap::new(),
            conditions: Vec::new(),
            any_condition: false,
            absence: None,
            split: None,
            sides: Vec::new(),
            against: None,
            spoken_filters: Vec::new(),
            having: None,
            limit: None,
            superlative: None,
            superlative_at: None,
            order: None,
            aggregates: Vec::new(),
            groups: Vec::new(),
            count: None,
            outputs: Vec::new(),
            region: vec![false; tokens.len()],
            everything: false,
            doubts: Vec::new(),
            rivals: Vec::new(),
            missing: None,
        }
    }

    pub fn doubt(&mut self, factor: f32) {
        self.doubts.push(Doubt { factor, assumption: None });
    }

    pub fn assume(&mut self, factor: f32, assumption: String) {
        self.doubts.push(Doubt { factor, assumption: Some(assumption) });
    }

    /// The lower-case word at a token, or nothing past the ends.
    pub fn word(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.lower.as_str())
    }

    /// The word some tokens before `at`.
    pub fn word_before(&self, at: usize, back: usize) -> &'a str {
        at.checked_sub(back).map_or("", |at| self.word(at))
    }

    /// The words from one token up to another.
    pub fn words(&self, from: usize, to: usize) -> impl DoubleEndedIterator<Item = &'a str> {
        self.tokens[from.min(to)..to].iter().map(|token| token.lower.as_str())
    }

    pub fn says(&self, words: &[&str]) -> bool {
        self.tokens
            .windows(words.len())
            .any(|window| window.iter().map(|token| token.lower.as_str()).eq(words.iter().copied()))
    }

    pub fn chose(&self, choice: Choice) -> bool {
        self.choices.contains(&choice)
    }

    pub fn holds(&self, column: ColumnId) -> Holds {
        self.catalog.column(column).holds
    }

    /// A column that can be added up or compared as a number.
    pub fn is_measure(&self, column: ColumnId) -> bool {
        matches!(self.holds(column), Holds::Number | Holds::NumericText) && !self.catalog.column(column).is_id
    }

    /// Like [`Self::is_measure`], and typed as a number: text cannot be summed on every engine.
    pub fn is_number(&self, column: ColumnId) -> bool {
        let numeric = match self.holds(column) {
            Holds::Number => true,
            Holds::NumericText => self.catalog.engine() == Engine::Sqlite,
            _ => false,
        };
        numeric && !self.catalog.column(column).is_id
    }

    pub fn name(&self, column: ColumnId) -> String {
        let entry = self.catalog.column(column);
        format!("{}.{}", self.catalog.table(entry.table).table.name, entry.column.name)
    }

    /// The named tables, or else those that the mentions vote for, most votes first.
    pub fn likely_tables(&self) -> Vec<TableId> {
        if !self.named.is_empty() {
            return self.named.clone();
        }
        let mut tables: Vec<(TableId, f32)> = self.votes.iter().map(|(table, votes)| (*table, *votes)).collect();
        tables.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        tables.into_iter().map(|(table, _)| table).collect()
    }

    /// How much the mentions speak for a table.
    pub fn votes_of(&self, table: TableId) -> f32 {
        self.votes.get(&table).copied().unwrap_or(0.0)
    }

    pub fn all_votes(&self) -> f32 {
        self.catalog.tables().map(|table| self.votes_of(table)).sum()
    }

    /// The first column of these tables that goes by one of the words, in the words' order.
    pub fn column_for(&self, tables: &[TableId], words: &[&str]) -> Option<ColumnId> {
        let matches = |column: &ColumnId, word: &str| {
            let stemmed = stem(word);
            !self.catalog.column(*column).is_id
                && self.catalog.column(*column).names.iter().flatten().any(|own| own.starts_with(&stemmed))
        };
        let columns = |word: &'_ str| {
            let word = word.to_owned();
            tables.iter().flat_map(|table| self.catalog.columns_of(*table)).find(|column| matches(column, &word))
        };
        words.iter().find_map(|word| columns(word))
    }

    /// Like [`Self::column_for`], then among what the tables refer to: an employee's age may be the person's.
    pub fn column_near(&self, tables: &[TableId], words: &[&str]) -> Option<ColumnId> {
        self.column_for(tables, words).or_else(|| {
            let parents: Vec<TableId> = tables.iter().flat_map(|table| self.parents(*table)).collect();
            self.column_for(&parents, words)
        })
    }

    /// The tables that rows of this one refer to.
    fn parents(&self, table: TableId) -> impl Iterator<Item = TableId> + '_ {
        let edges = self.catalog.edges_of(table).iter().map(|edge| self.catalog.edge(*edge));
        edges.filter(move |edge| edge.child == table).map(|edge| edge.parent)
    }

    fn settle(&mut self) {
        for index in 0..self.mentions.len() {
            self.mentions[index].kind = self.kind_of(index);
        }
        self.drop_mentions();
        self.count_votes();
        for index in 0..self.mentions.len() {
            self.settle_table(index);
        }
        self.named = self
            .mentions
            .iter()
            .filter(|mention| mention.kind == Kind::Table)
            .filter_map(|mention| mention.table)
            .collect();
        self.named.dedup();
        self.distances = distances(self.catalog, &self.named);
        for index in 0..self.mentions.len() {
            self.settle_column(index);
        }
    }

    fn drop_mentions(&mut self) {
        for choice in self.choices {
            if let Choice::Drop { mention } = choice
                && let Some(dropped) = self.mentions.get_mut(*mention)
            {
                dropped.kind = Kind::Value;
                dropped.candidates.clear();
                dropped.dropped = true;
            }
        }
    }

    /// The table that a meaning is in.
    fn table_meant(&self, meaning: &Meaning) -> Option<TableId> {
        table_of(meaning).or_else(|| column_of(meaning).map(|column| self.catalog.table_of(column)))
    }

    fn kind_of(&self, index: usize) -> Kind {
        let mention = &self.mentions[index];
        let best = |kind: Kind| {
            let of_kind = mention.candidates.iter().filter(|candidate| kind_of(candidate) == kind);
            of_kind.map(|candidate| candidate.score).reduce(f32::max)
        };
        let chosen = self.choices.iter().find_map(|choice| match choice {
            Choice::Kind { mention, kind } if *mention == index => Some(*kind),
            _ => None,
        });
        if let Some(kind) = chosen.filter(|kind| best(*kind).is_some()) {
            return kind;
        }
        let mut kind = mention.candidates.first().map_or(Kind::Value, kind_of);
        let top = mention.candidates.first().map_or(0.0, |candidate| candidate.score);
        if best(Kind::Table).is_some_and(|score| score >= top - 0.05) {
            kind = if self.is_rather_column(index, best(Kind::Column)) { Kind::Column } else { Kind::Table };
        }
        let preferred = best(kind).unwrap_or(0.0);
        let capital = self.tokens[mention.start].capital && mention.start > 0;
        let dated = kind == Kind::Column
            && mention
                .candidates
                .first()
                .and_then(|candidate| column_of(&candidate.meaning))
                .is_some_and(|column| self.holds(column) == Holds::Date);
        let value = best(Kind::Value).is_some_and(|score| {
            (score >= preferred - 0.1 && capital) || preferred < 0.7 || (dated && mention.end == mention.start + 1)
        });
        if value { Kind::Value } else { kind }
    }

    /// A word that names both a table and a column is the column when it is the thing to show, or follows "each".
    fn is_rather_column(&self, index: usize, score: Option<f32>) -> bool {
        let mention = &self.mentions[index];
        let meanings = |kind: Kind| mention.candidates.iter().filter(move |candidate| kind_of(candidate) == kind);
        let column = meanings(Kind::Column).find_map(|candidate| column_of(&candidate.meaning));
        let table = meanings(Kind::Table).find_map(|candidate| table_of(&candidate.meaning));
        let (Some(column), Some(table), Some(score)) = (column, table, score) else { return false };
        let refers = |edge: &usize| {
            let edge = self.catalog.edge(*edge);
            edge.parent == table && edge.pairs.iter().any(|pair| pair.0 == column)
        };
        if score < 0.95 || self.catalog.edges_of(table).iter().any(refers) {
            return false;
        }
        let next = self.word(mention.end);
        let each = matches!(self.word_before(mention.start, 1), "each" | "every" | "per" | "different" | "distinct");
        let counted = (1..=3).any(|back| matches!(self.word_before(mention.start, back), "many" | "number" | "count"));
        let clause = matches!(
            next,
            "who"
                | "that"
                | "which"
                | "whose"
                | "with"
                | "have"
                | "has"
                | "in"
                | "do"
                | "did"
                | "are"
                | "were"
                | "from"
        );
        let is_column =
            |other: &Settled| other.candidates.first().is_some_and(|candidate| kind_of(candidate) == Kind::Column);
        let others = self.mentions.iter().enumerate().any(|(at, other)| at != index && is_column(other));
        (!counted && !clause && !others) || (each && !matches!(next, "have" | "has" | "who"))
    }

    /// Every mention votes for the tables that its meanings belong to.
    fn count_votes(&mut self) {
        for mention in &self.mentions {
            let mut seen: HashMap<TableId, f32> = HashMap::new();
            for candidate in mention.candidates.iter().filter(|candidate| kind_of(candidate) == mention.kind) {
                let table = table_of(&candidate.meaning)
                    .or_else(|| column_of(&candidate.meaning).map(|column| self.catalog.table_of(column)));
                let score = candidate.score * if mention.kind == Kind::Table { 1.6 } else { 1.0 };
                if let Some(table) = table {
                    let best = seen.entry(table).or_default();
                    *best = best.max(score);
                }
            }
            let top = seen.values().copied().fold(0.0, f32::max);
            for (table, score) in seen {
                *self.votes.entry(table).or_default() += if score > top - 0.12 { score } else { score * 0.4 };
            }
        }
    }

    fn chosen_rank(&self, index: usize) -> usize {
        let rank = self.choices.iter().find_map(|choice| match choice {
            Choice::Rank { mention, rank } if *mention == index => Some(*rank),
            _ => None,
        });
        rank.unwrap_or(0)
    }

    fn settle_table(&mut self, index: usize) {
        if self.mentions[index].kind != Kind::Table {
            return;
        }
        let tables: Vec<(TableId, f32)> = self.mentions[index]
            .candidates
            .iter()
            .filter_map(|candidate| Some((table_of(&candidate.meaning)?, candidate.score)))
            .collect();
        let rank = self.chosen_rank(index).min(tables.len().saturating_sub(1));
        if let Some(&(table, score)) = tables.get(rank) {
            let close = tables.iter().enumerate().any(|(at, other)| at != rank && other.1 > score - 0.03);
            if close {
                self.doubt(0.75);
            }
            let mention = &mut self.mentions[index];
            (mention.table, mention.score, mention.weight) = (Some(table), score, score);
        }
    }

    fn settle_column(&mut self, index: usize) {
        if self.mentions[index].kind != Kind::Column {
            return;
        }
        let mut columns: Vec<(f32, ColumnId, f32)> = Vec::new();
        for candidate in &self.mentions[index].candidates {
            if let Meaning::Column(column) = candidate.meaning {
                columns.push((self.column_weight(column, candidate.score, index), column, candidate.score));
            }
        }
        columns.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.add_display_name(index, &mut columns);
        let rank = self.chosen_rank(index).min(columns.len().saturating_sub(1));
        let Some(&(weight, column, score)) = columns.get(rank) else { return };
        let rival = columns.get(1).filter(|_| rank == 0).filter(|rival| rival.0 > weight - 0.05).map(|rival| rival.1);
        if let Some(rival) = rival.filter(|rival| !self.are_joined_by(column, *rival)) {
            self.assume(0.6, format!("\"{}\" could also be {}", self.phrase(index), self.name(rival)));
        }
        let equal = columns.get(1).filter(|rival| rank == 0 && rival.0 > weight - EQUALLY_WELL).map(|rival| rival.1);
        if let Some(equal) = equal.filter(|equal| !self.are_joined_by(column, *equal)) {
            let phrase = self.phrase(index);
            let question = format!("Which \"{phrase}\" is meant: {} or {}?", self.name(column), self.name(equal));
            self.rivals.push(Rival { column, question });
        }
        if score < 0.75 || rank > 0 {
            let factor = if score < 0.75 { 0.8 } else { 1.0 };
            self.assume(factor, format!("\"{}\" is {}", self.phrase(index), self.name(column)));
        }
        self.doubt_own_reference(index, column);
        let mention = &mut self.mentions[index];
        (mention.column, mention.score, mention.weight) = (Some(column), score, weight);
    }

    /// "their managers" where the manager is a row of the same table: the reference is not what was asked for.
    fn doubt_own_reference(&mut self, index: usize, column: ColumnId) {
        let coded = self.words(self.mentions[index].start, self.mentions[index].end).any(|word| {
            matches!(word, "id" | "ids" | "number" | "numbers" | "code" | "codes" | "identifier" | "identifiers")
        });
        if self.catalog.column(column).refers_to_own_table && !coded {
            let table = &self.catalog.table(self.catalog.table_of(column)).table.name;
            self.assume(0.5, format!("\"{}\" is only a reference to another row of {table}", self.phrase(index)));
        }
    }

    /// A foreign key and the key it refers to say the same.
    fn are_joined_by(&self, one: ColumnId, other: ColumnId) -> bool {
        let joins = |pair: &(ColumnId, ColumnId)| *pair == (one, other) || *pair == (other, one);
        self.catalog.edges().iter().any(|edge| edge.pairs.iter().any(joins))
    }

    pub fn phrase(&self, index: usize) -> String {
        let mention = &self.mentions[index];
        let words: Vec<&str> =
            self.tokens[mention.start..mention.end].iter().map(|token| token.text.as_str()).collect();
        words.join(" ")
    }

    /// How well a column fits a mention in the light of the others.
    fn column_weight(&self, column: ColumnId, score: f32, index: usize) -> f32 {
        let entry = self.catalog.column(column);
        let votes = (self.votes.get(&entry.table).copied().unwrap_or(0.0) - score).min(2.5);
        let mut weight = score + 0.12 * votes;
        if self.named.contains(&entry.table) {
            weight += 0.12;
        }
        if self.owner_of(index) == Some(entry.table) {
            weight += 0.25;
        }
        if self.listed_before(index) == Some(entry.table) {
            weight += 0.15;
        }
        if entry.is_foreign {
            weight -= 0.12;
        }
        if self.catalog.single_key(entry.table) == Some(column) {
            weight += 0.03;
        }
        if !self.named.is_empty() && !self.named.contains(&entry.table) {
            weight -= self.distances.get(&entry.table).map_or(0.9, |cost| 0.008 * (*cost).min(40) as f32);
        }
        weight
    }

    /// The table of the column just before in a list: "ids, names and …" are mostly of one table.
    fn listed_before(&self, index: usize) -> Option<TableId> {
        let before = index.checked_sub(1).map(|before| &self.mentions[before])?;
        let joined = matches!(
            self.words(before.end, self.mentions[index].start).collect::<Vec<_>>()[..],
            ["and"] | [","] | [",", "and"] | ["and", "the"] | [",", "and", "the"]
        );
        before.column.filter(|_| joined).map(|column| self.catalog.table_of(column))
    }

    /// The table that the words around a mention say it belongs to: "name of the T", "T name", "T and their name".
    fn owner_of(&self, index: usize) -> Option<TableId> {
        let mention = &self.mentions[index];
        let tables = || self.mentions.iter().filter(|other| other.kind == Kind::Table);
        let between = |from: usize, to: usize| {
            (from..to).all(|at| {
                let link = [
                    "of",
                    "the",
                    "for",
                    "all",
                    "each",
                    "a",
                    "every",
                    "any",
                    "different",
                    "distinct",
                    "those",
                    "and",
                    ",",
                ];
                let column = self.mentions.iter().any(|m| m.kind == Kind::Column && m.start <= at && at < m.end);
                column || link.contains(&self.word(at))
            })
        };
        let next = tables().find(|table| {
            table.start >= mention.end && table.start - mention.end <= 7 && between(mention.end, table.start)
        });
        let adjacent = || tables().find(|table| table.end == mention.start);
        let owned = matches!(self.word_before(mention.start, 1), "whose" | "their" | "its" | "his" | "her");
        let before = || tables().rev().find(|table| owned && table.end <= mention.start);
        next.or_else(adjacent).or_else(before).and_then(|table| table.table)
    }

    /// A bare "name" of a table without a column of that word is the column its rows are known by.
    fn add_display_name(&self, index: usize, columns: &mut Vec<(f32, ColumnId, f32)>) {
        let mention = &self.mentions[index];
        let bare = mention.end == mention.start + 1 && self.tokens[mention.start].stem == "name";
        let Some(owner) = self.owner_of(index).filter(|_| bare) else { return };
        if columns.iter().any(|(_, column, _)| self.catalog.table_of(*column) == owner) {
            return;
        }
        let best = columns.first().map_or(0.0, |best| best.0);
        let shown = |table: TableId| self.catalog.display(table).first().copied();
        let named = |column: &ColumnId| self.catalog.is_name(*column);
        let own = shown(owner).filter(named);
        let column = own.or_else(|| self.parents(owner).filter_map(shown).find(named)).or_else(|| shown(owner));
        columns.splice(0..0, column.map(|column| (best + 0.1, column, 0.9)));
    }

    /// Mentions of columns that are still free.
    fn free_columns(&self) -> impl DoubleEndedIterator<Item = (usize, &Settled, ColumnId)> {
        let free =
            self.mentions.iter().enumerate().filter(|(_, mention)| mention.kind == Kind::Column && !mention.used);
        free.filter_map(|(index, mention)| Some((index, mention, mention.column?)))
    }

    fn add_condition(&mut self, condition: Condition, at: usize) {
        self.conditions.push(Placed { condition, at });
    }
}

pub fn kind_of(candidate: &Candidate) -> Kind {
    match candidate.meaning {
        Meaning::Table(_) => Kind::Table,
        Meaning::Column(_) => Kind::Column,
        Meaning::Value(..) | Meaning::PartOf(..) | Meaning::Literal(_) => Kind::Value,
        Meaning::Metric(..) | Meaning::Filter(..) => Kind::Term,
    }
}

fn table_of(meaning: &Meaning) -> Option<TableId> {
    match meaning {
        Meaning::Table(table) | Meaning::Metric(table, _) | Meaning::Filter(table, _) => Some(*table),
        _ => None,
    }
}

fn column_of(meaning: &Meaning) -> Option<ColumnId> {
    match meaning {
        Meaning::Column(column) | Meaning::Value(column, _) | Meaning::PartOf(column, _) => Some(*column),
        Meaning::Table(_) | Meaning::Literal(_) | Meaning::Metric(..) | Meaning::Filter(..) => None,
    }
}

/// Whether a comparison orders, rather than equates.
pub fn is_range(comparison: Option<Comparison>) -> bool {
    comparison.is_some_and(|comparison| comparison != Comparison::Equal)
}
