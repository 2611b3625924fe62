//! Conversation: the whole question that "and by month?" means after "how many orders were there in 2024?".
//!
//! What the new words name takes the place of the same kind of thing in the question before (a period, a value of the same
//! column, a grouping, a number of rows, a table); the rest is added at its end. The result is a question like any other,
//! shown to whoever asked, so nothing is remembered but words. A question that stands by itself is left alone.

use super::link::catalog::{Catalog, ColumnId};
use super::link::tokens::{MAX_TOKENS, Token, TokenKind, tokenize};
use super::link::{Meaning, Mention, link};

/// Ways to begin that only carry on.
const OPENINGS: &[&[&str]] = &[
    &["and", "what", "about"],
    &["and", "how", "about"],
    &["what", "about"],
    &["how", "about"],
    &["and", "now"],
    &["and", "then"],
    &["and", "also"],
    &["and"],
    &["but"],
    &["now"],
    &["also"],
    &["then"],
    &["ok"],
    &["okay"],
    &["so"],
];
/// Ways to end that say that something is replaced.
const ENDINGS: &[&str] = &["instead", "then", "please", "too"];
/// A question that begins so needs another before it.
const DEPENDENT: &[&str] = &[
    "by",
    "per",
    "for",
    "in",
    "from",
    "with",
    "without",
    "of",
    "since",
    "after",
    "before",
    "between",
    "sorted",
    "ordered",
    "grouped",
    "top",
    "only",
    "just",
    "except",
    "excluding",
    "over",
    "under",
    "during",
    "within",
    "until",
    "where",
    "than",
    "broken",
    "split",
    "limited",
    "last",
    "this",
];
/// What a question of its own begins with.
const ASKING: &[&str] = &[
    "how",
    "what",
    "which",
    "who",
    "whose",
    "whom",
    "when",
    "where",
    "show",
    "list",
    "give",
    "find",
    "count",
    "display",
    "return",
    "tell",
    "get",
    "name",
    "is",
    "are",
    "was",
    "were",
    "do",
    "does",
    "did",
    "compare",
    "calculate",
];
/// Words for what the question before was about.
const POINTING: &[&str] = &["them", "those", "these"];
/// Words before what is replaced that go with it.
const BEFORE_VALUE: &[&str] = &["in", "for", "from", "of", "during", "on", "at", "only", "just", "to", "with"];
const BEFORE_GROUP: &[&str] = &["by", "per"];

/// What `asked` means after `previous`, if it does not stand by itself.
pub fn read(previous: &str, asked: &str, catalog: &Catalog) -> Option<String> {
    let before = without_end(tokenize(previous));
    let said = without_end(tokenize(asked));
    if before.is_empty() || said.is_empty() || before.len() + said.len() > MAX_TOKENS {
        return None;
    }
    if let Some(whole) = pointing(&before, &said) {
        return Some(whole);
    }
    let fragment = fragment(&said, catalog)?;
    Some(Merge::new(before, fragment, catalog).whole())
}

/// "how many of those are paid?": the words of the question before in the place of the pointing one.
fn pointing(before: &[Token], said: &[Token]) -> Option<String> {
    let at = said.iter().position(|token| POINTING.contains(&token.lower.as_str()))?;
    let subject: Vec<&Token> = before.iter().skip_while(|token| opens(token)).collect();
    let alone = said.get(at + 1).is_none_or(|next| next.function || next.is_mark());
    if subject.is_empty() || !alone {
        return None;
    }
    let of = at > 0 && said[at - 1].lower == "of";
    let start = if of { at - 1 } else { at };
    Some(text(said[..start].iter().chain(subject).chain(&said[at + 1..])))
}

fn opens(token: &Token) -> bool {
    token.is_mark()
        || ASKING.contains(&token.lower.as_str())
        || matches!(token.lower.as_str(), "many" | "much" | "me" | "us" | "the" | "all")
}

/// The new words without their way of carrying on, if they need the question before.
fn fragment(said: &[Token], catalog: &Catalog) -> Option<Vec<Token>> {
    let says = |words: &&&[&str]| {
        words.iter().enumerate().all(|(at, word)| said.get(at).is_some_and(|token| token.lower == **word))
    };
    let opening = OPENINGS.iter().find(says).map_or(0, |words| words.len());
    let mut rest: Vec<Token> = said[opening..].iter().skip_while(|token| token.is_mark()).cloned().collect();
    let replaces = rest.last().is_some_and(|token| ENDINGS.contains(&token.lower.as_str()));
    while rest.last().is_some_and(|token| token.is_mark() || ENDINGS.contains(&token.lower.as_str())) {
        rest.pop();
    }
    let first = rest.first()?;
    let depends = DEPENDENT.contains(&first.lower.as_str());
    let asks = ASKING.contains(&first.lower.as_str()) && !depends;
    let bare = rest.len() <= SHORT && !names_table(&rest, catalog);
    let carries_on = opening > 0 || replaces;
    (!asks && (depends || carries_on || bare)).then_some(rest)
}

/// Fewer words than make a question, when they name no table.
const SHORT: usize = 4;

fn names_table(tokens: &[Token], catalog: &Catalog) -> bool {
    link(tokens, catalog).iter().any(|mention| kind(mention) == Kind::Table)
}

/// What a mention most likely is.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Table,
    Column,
    Value(ColumnId),
    Other,
}

fn kind(mention: &Mention) -> Kind {
    match mention.candidates.first().map(|candidate| &candidate.meaning) {
        Some(Meaning::Table(_)) => Kind::Table,
        Some(Meaning::Column(_)) => Kind::Column,
        Some(Meaning::Value(column, _) | Meaning::PartOf(column, _)) => Kind::Value(*column),
        _ => Kind::Other,
    }
}

/// The question before, while parts of the new words take their places in it.
struct Merge {
    before: Vec<Token>,
    known: Vec<Mention>,
    rest: Vec<Token>,
    named: Vec<Mention>,
}

impl Merge {
    fn new(before: Vec<Token>, rest: Vec<Token>, catalog: &Catalog) -> Merge {
        let (known, named) = (link(&before, catalog), link(&rest, catalog));
        Merge { before, known, rest, named }
    }

    fn whole(mut self) -> String {
        let _ = self.replace_group()
            || self.replace_period()
            || self.replace_limit()
            || self.replace_value()
            || self.replace_table();
        text(self.before.iter().chain(&self.rest))
    }

    /// "by month" in the place of "by city".
    fn replace_group(&mut self) -> bool {
        let groups = |tokens: &[Token], at: usize| BEFORE_GROUP.contains(&tokens[at].lower.as_str());
        if !groups(&self.rest, 0) {
            return false;
        }
        let place = (0..self.before.len()).rev().find(|at| {
            let ordered =
                *at > 0 && matches!(self.before[at - 1].lower.as_str(), "order" | "ordered" | "sort" | "sorted");
            groups(&self.before, *at) && !ordered
        });
        let Some(at) = place else { return false };
        let end = self.known.iter().filter(|mention| mention.start > at).map(|mention| mention.end).next();
        let end = end.unwrap_or_else(|| (at + 2).min(self.before.len()));
        self.put(at..end, 0..self.rest.len());
        true
    }

    /// "in 2023" in the place of "in 2024".
    fn replace_period(&mut self) -> bool {
        let period =
            |token: &Token| token.dates().is_some() || token.number().is_some_and(|number| number.year.is_some());
        let there = self.before.iter().position(period);
        let here = self.rest.iter().position(period);
        let (Some(there), Some(here)) = (there, here) else { return false };
        self.put(there..there + 1, here..here + 1);
        true
    }

    /// "top 10" in the place of "top 5".
    fn replace_limit(&mut self) -> bool {
        let place = |tokens: &[Token]| {
            let top = tokens.iter().position(|token| token.lower == "top")?;
            tokens.get(top + 1).filter(|token| token.number().is_some()).map(|_| top + 1)
        };
        let (Some(there), Some(here)) = (place(&self.before), place(&self.rest)) else { return false };
        self.rest.remove(here - 1);
        self.put(there..there + 1, here - 1..here);
        true
    }

    /// "in Rome" in the place of "in Paris", if both are values of one column.
    fn replace_value(&mut self) -> bool {
        let mut pairs = self.named.iter().filter_map(|new| {
            let Kind::Value(column) = kind(new) else { return None };
            let old = self.known.iter().find(|old| kind(old) == Kind::Value(column))?;
            Some((old.start..old.end, new.start..new.end))
        });
        let Some((there, here)) = pairs.next() else { return false };
        drop(pairs);
        let adds = here.start > 0 && matches!(self.rest[here.start - 1].lower.as_str(), "or" | "and" | "not");
        if adds {
            return false;
        }
        self.put(there, here);
        true
    }

    /// "what about suppliers?" after a question about customers.
    fn replace_table(&mut self) -> bool {
        let [new] = &self.named[..] else { return false };
        let idle = |token: &Token| token.function || token.is_mark();
        let outside = self.rest[..new.start].iter().chain(&self.rest[new.end..]);
        if kind(new) != Kind::Table || !outside.into_iter().all(idle) {
            return false;
        }
        let Some(old) = self.known.iter().find(|old| kind(old) == Kind::Table) else { return false };
        let there = old.start..old.end;
        self.put(there, new.start..new.end);
        self.rest.clear();
        true
    }

    /// Moves words of the new question, and leaves the little words before them behind.
    fn put(&mut self, there: std::ops::Range<usize>, here: std::ops::Range<usize>) {
        let moved: Vec<Token> = self.rest[here.clone()].to_vec();
        let little =
            |token: &Token| BEFORE_VALUE.contains(&token.lower.as_str()) || matches!(token.lower.as_str(), "the" | "a");
        let mut start = here.start;
        while start > 0 && little(&self.rest[start - 1]) {
            start -= 1;
        }
        self.rest.drain(start..here.end);
        self.before.splice(there, moved);
    }
}

fn without_end(mut tokens: Vec<Token>) -> Vec<Token> {
    while tokens.last().is_some_and(Token::is_mark) {
        tokens.pop();
    }
    tokens
}

fn text<'t>(tokens: impl Iterator<Item = &'t Token>) -> String {
    let mut text = String::new();
    for token in tokens {
        if !text.is_empty() && !(token.is_mark() && matches!(token.text.as_str(), "," | "." | ";" | ":" | "%")) {
            text.push(' ');
        }
        match token.kind {
            TokenKind::Quoted => text.push_str(&format!("\"{}\"", token.text)),
            _ => text.push_str(&token.text),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_to_sql::schema::{Column, ColumnKind, Engine, Schema, Table, TableKind};

    fn schema() -> Schema {
        let table = |name: &str, columns: &[(&str, ColumnKind, &[&str])]| {
            let columns = columns.iter().map(|(name, kind, values)| {
                let mut column = Column::found((*name).to_owned(), "x".to_owned(), *kind, true);
                column.sample_values = values.iter().map(|value| (*value).to_owned()).collect();
                column
            });
            Table { columns: columns.collect(), ..Table::found("main".to_owned(), name.to_owned(), TableKind::Table) }
        };
        let customers = table(
            "customers",
            &[
                ("id", ColumnKind::Integer, &[]),
                ("city", ColumnKind::Text, &["Paris", "Rome"]),
                ("segment", ColumnKind::Text, &["retail"]),
            ],
        );
        let orders = table("orders", &[("id", ColumnKind::Integer, &[]), ("ordered_on", ColumnKind::Date, &[])]);
        let suppliers =
            table("suppliers", &[("id", ColumnKind::Integer, &[]), ("country", ColumnKind::Text, &["Peru"])]);
        Schema {
            engine: Engine::Sqlite,
            search_path: vec!["main".to_owned()],
            server_version: String::new(),
            tables: vec![customers, orders, suppliers],
        }
    }

    fn after(previous: &str, asked: &str) -> Option<String> {
        let schema = schema();
        read(previous, asked, &Catalog::new(std::sync::Arc::new(schema)))
    }

    #[test]
    fn what_is_new_takes_the_place_of_its_like_or_is_added() {
        for (previous, asked, whole) in [
            ("How many orders in 2024?", "and by month?", "How many orders in 2024 by month"),
            ("How many orders by city in 2024?", "and by month?", "How many orders by month in 2024"),
            ("How many orders in 2024?", "what about 2023?", "How many orders in 2023"),
            ("How many orders in 2024 by month?", "And in 2023?", "How many orders in 2023 by month"),
            ("How many customers in Paris?", "and in Rome?", "How many customers in Rome"),
            ("How many customers in Paris?", "only retail", "How many customers in Paris only retail"),
            ("How many customers are there?", "how about suppliers?", "How many suppliers are there"),
            ("Show the top 5 customers", "top 10 instead", "Show the top 10 customers"),
            (
                "Which customers are in Paris?",
                "how many of those are retail?",
                "how many customers are in Paris are retail",
            ),
        ] {
            assert_eq!(after(previous, asked).as_deref(), Some(whole), "{previous} {asked}");
        }
    }

    #[test]
    fn a_question_that_stands_by_itself_is_left_alone() {
        for asked in [
            "How many suppliers are in Peru?",
            "And how many suppliers are there?",
            "List the customers in Rome",
            "suppliers in Peru",
            "",
            "?",
        ] {
            assert_eq!(after("How many orders in 2024?", asked), None, "{asked}");
        }
        assert_eq!(after("", "and by month?"), None);
        assert_eq!(after(&"many ".repeat(200), "and by month?"), None);
    }
}
