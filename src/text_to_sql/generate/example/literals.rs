//! A statement cut into tokens, and its literals: what each is compared with, and another value in the place of one.

use std::collections::HashMap;

use sqlparser::tokenizer::{Token as SqlToken, Tokenizer};

use super::frozen::is_dated;
use crate::text_to_sql::schema::{Column, Engine, Schema, Table};
use crate::text_to_sql::terms::dialect;

pub struct Literals {
    tokens: Vec<SqlToken>,
    /// Places in `tokens` of texts and numbers.
    pub places: Vec<usize>,
    /// How often each is there, whatever its case and the `%` around it.
    counts: HashMap<String, usize>,
    /// Texts in other spellings (`N'…'`, `$$…$$`), which nobody looks into.
    pub other_texts: bool,
}

/// How a text is compared.
pub struct Compared {
    qualifier: Option<String>,
    /// Nothing in `case … when 'text'`.
    name: Option<String>,
    pub like: bool,
    pub negated: bool,
}

impl Literals {
    pub fn of(sql: &str, engine: Engine) -> Option<Literals> {
        let tokens = Tokenizer::new(dialect(engine), sql).with_unescape(false).tokenize().ok()?;
        let literal = |token: &SqlToken| matches!(token, SqlToken::SingleQuotedString(_) | SqlToken::Number(..));
        let places: Vec<usize> = (0..tokens.len()).filter(|place| literal(&tokens[*place])).collect();
        let other_texts = tokens.iter().any(is_other_text);
        let mut literals = Literals { tokens, places, counts: HashMap::new(), other_texts };
        for place in literals.places.clone() {
            *literals.counts.entry(literals.plain(place)).or_default() += 1;
        }
        Some(literals)
    }

    pub fn text(&self, place: usize) -> &str {
        match &self.tokens[place] {
            SqlToken::SingleQuotedString(text) | SqlToken::Number(text, _) => text,
            _ => "",
        }
    }

    /// As a question would say it, in lower case.
    pub fn plain(&self, place: usize) -> String {
        match self.is_number(place) {
            true => self.text(place).to_owned(),
            false => self.text(place).trim_matches('%').replace("''", "'").to_lowercase(),
        }
    }

    pub fn is_number(&self, place: usize) -> bool {
        matches!(self.tokens[place], SqlToken::Number(..))
    }

    pub fn is_alone(&self, place: usize) -> bool {
        self.counts.get(&self.plain(place)) == Some(&1)
    }

    pub fn is_dated(&self, place: usize) -> bool {
        is_dated(self.text(place))
    }

    /// The number of rows that are asked for.
    pub fn is_limit(&self, place: usize) -> bool {
        let mut before = self.before(place);
        if self.at(before).is_some_and(|token| *token == SqlToken::LParen) {
            before = before.and_then(|at| self.before(at));
        }
        let offset = self.at(self.after(place)).is_some_and(|token| *token == SqlToken::Comma);
        !offset && ["limit", "top", "first", "next"].iter().any(|word| self.says(before, word))
    }

    pub fn has_limit(&self) -> bool {
        (0..self.tokens.len()).any(|at| ["limit", "top", "fetch"].iter().any(|word| self.says(Some(at), word)))
    }

    /// Whether a name that the statement makes up, or another literal, says the value as well: a column that is called
    /// "paris" must not show figures of Rome.
    pub fn is_echoed(&self, place: usize, schema: &Schema) -> bool {
        let squeezed = |text: &str| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let value = squeezed(&self.plain(place));
        let number = self.is_number(place);
        let echoes = |text: &str| {
            if number {
                text.split(|c: char| !c.is_ascii_digit()).any(|run| run == self.text(place))
            } else {
                squeezed(text).contains(&value)
            }
        };
        let made_up = |word: &sqlparser::tokenizer::Word| {
            let keyword = word.quote_style.is_none() && word.keyword != sqlparser::keywords::Keyword::NoKeyword;
            !keyword && !is_known(schema, &word.value)
        };
        let name = |token: &SqlToken| matches!(token, SqlToken::Word(word) if echoes(&word.value) && made_up(word));
        let other = |other: &usize| *other != place && !self.is_number(*other) && echoes(self.text(*other));
        self.tokens.iter().any(name) || self.places.iter().any(other)
    }

    /// How the text at `place` is compared; nothing where it is anything else than one side of a plain comparison.
    pub fn compared(&self, place: usize) -> Option<Compared> {
        let ends = match self.at(self.after(place)) {
            None | Some(SqlToken::RParen | SqlToken::Comma | SqlToken::SemiColon) => true,
            Some(SqlToken::Word(word)) => AFTER_COMPARISON.contains(&word.value.to_lowercase().as_str()),
            Some(_) => false,
        };
        let before = self.before(place).filter(|_| ends)?;
        match &self.tokens[before] {
            SqlToken::Eq | SqlToken::DoubleEq => self.named(self.before(before)?, false, false),
            SqlToken::Neq => self.named(self.before(before)?, false, true),
            SqlToken::LParen | SqlToken::Comma => self.listed(before),
            SqlToken::Word(_) if self.says(Some(before), "when") => {
                Some(Compared { qualifier: None, name: None, like: false, negated: false })
            }
            SqlToken::Word(_) if self.says(Some(before), "like") || self.says(Some(before), "ilike") => {
                self.maybe_not(self.before(before)?, true)
            }
            _ => None,
        }
    }

    /// `column in ('a', 'b')`, from a bracket or comma in it.
    fn listed(&self, mut at: usize) -> Option<Compared> {
        while self.tokens[at] != SqlToken::LParen {
            let literal = self.before(at).filter(|at| self.places.binary_search(at).is_ok())?;
            at = self.before(literal)?;
            if !matches!(self.tokens[at], SqlToken::LParen | SqlToken::Comma) {
                return None;
            }
        }
        let word = self.before(at).filter(|at| self.says(Some(*at), "in"))?;
        self.maybe_not(self.before(word)?, false)
    }

    fn maybe_not(&self, at: usize, like: bool) -> Option<Compared> {
        match self.says(Some(at), "not") {
            true => self.named(self.before(at)?, like, true),
            false => self.named(at, like, false),
        }
    }

    /// The column whose name ends at `at`, if it stands by itself.
    fn named(&self, at: usize, like: bool, negated: bool) -> Option<Compared> {
        let SqlToken::Word(name) = &self.tokens[at] else { return None };
        let mut first = at;
        let mut qualifier = None;
        while let Some(period) = self.before(first).filter(|at| self.tokens[*at] == SqlToken::Period) {
            first = self.before(period)?;
            let SqlToken::Word(word) = &self.tokens[first] else { return None };
            qualifier = qualifier.or_else(|| Some(word.value.to_lowercase()));
        }
        let alone = match self.at(self.before(first)) {
            Some(SqlToken::LParen | SqlToken::Comma) => true,
            Some(SqlToken::Word(word)) => BEFORE_COMPARISON.contains(&word.value.to_lowercase().as_str()),
            _ => false,
        };
        let negated = negated || self.says(self.before(first), "not");
        alone.then(|| Compared { qualifier, name: Some(name.value.to_lowercase()), like, negated })
    }

    /// The columns that the text may be compared with. Where the statement does not tell, the only one that holds it.
    pub fn columns<'s>(&self, place: usize, compared: &Compared, schema: &'s Schema) -> Vec<&'s Column> {
        let named = |column: &&Column| compared.name.as_ref().is_some_and(|name| column.name.to_lowercase() == *name);
        let used: Vec<&Table> = schema.visible_tables().filter(|table| self.reads(table, None)).collect();
        let qualified: Vec<&Table> =
            used.iter().copied().filter(|table| self.reads(table, compared.qualifier.as_deref())).collect();
        let tables = if qualified.is_empty() { used } else { qualified };
        let told: Vec<&Column> = tables.iter().flat_map(|table| table.visible_columns().filter(named)).collect();
        if !told.is_empty() {
            return told;
        }
        let old = self.text(place).replace("''", "'");
        let columns = schema.visible_tables().flat_map(Table::visible_columns);
        let holding: Vec<&Column> = columns.filter(|column| held(column).any(|value| *value == old)).collect();
        if holding.len() == 1 { holding } else { Vec::new() }
    }

    /// Whether the statement names the table, and calls it `alias`.
    fn reads(&self, table: &Table, alias: Option<&str>) -> bool {
        let name = table.name.to_lowercase();
        (0..self.tokens.len()).filter(|at| self.says(Some(*at), &name)).any(|at| {
            let Some(alias) = alias else { return true };
            let next = self.after(at);
            let next = if self.says(next, "as") { next.and_then(|at| self.after(at)) } else { next };
            alias == name || self.says(next, alias)
        })
    }

    /// The statement with other tokens at some places.
    pub fn with(&self, values: &HashMap<usize, String>) -> String {
        let text =
            |(place, token): (usize, &SqlToken)| values.get(&place).cloned().unwrap_or_else(|| token.to_string());
        self.tokens.iter().enumerate().map(text).collect()
    }

    fn before(&self, at: usize) -> Option<usize> {
        (0..at).rev().find(|at| !matches!(self.tokens[*at], SqlToken::Whitespace(_)))
    }

    fn after(&self, at: usize) -> Option<usize> {
        (at + 1..self.tokens.len()).find(|at| !matches!(self.tokens[*at], SqlToken::Whitespace(_)))
    }

    fn at(&self, at: Option<usize>) -> Option<&SqlToken> {
        self.tokens.get(at?)
    }

    fn says(&self, at: Option<usize>, lower: &str) -> bool {
        matches!(self.at(at), Some(SqlToken::Word(word)) if word.value.to_lowercase() == lower)
    }
}

/// What may stand after a comparison and leaves it as it is, unlike `||` or `collate`.
const AFTER_COMPARISON: &[&str] = &[
    "and",
    "or",
    "then",
    "group",
    "order",
    "having",
    "limit",
    "offset",
    "fetch",
    "union",
    "except",
    "intersect",
    "end",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "where",
    "window",
];
const BEFORE_COMPARISON: &[&str] = &["where", "and", "or", "on", "when", "not", "having", "select", "by", "if"];

/// The values that a column is known to hold; of a masked one nothing is known.
pub fn held(column: &Column) -> impl Iterator<Item = &String> {
    let values = column.sample_values.iter().chain(&column.enum_values).chain(&column.example_values);
    values.filter(|_| !column.masked)
}

fn is_known(schema: &Schema, name: &str) -> bool {
    let same = |other: &String| other.eq_ignore_ascii_case(name);
    schema
        .tables
        .iter()
        .any(|table| same(&table.name) || same(&table.schema) || table.columns.iter().any(|column| same(&column.name)))
}

fn is_other_text(token: &SqlToken) -> bool {
    let text = token.to_string();
    let quoted = text.ends_with('\'') || text.ends_with('"') || text.ends_with('$');
    quoted && !matches!(token, SqlToken::SingleQuotedString(_) | SqlToken::Word(_) | SqlToken::Whitespace(_))
}
