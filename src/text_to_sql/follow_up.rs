//! Conversation: the whole question that "and by month?" means after "how many orders were there in 2024?".
//!
//! What the new words name takes the place of the same kind of thing in the question before (a period, a value of the same
//! column, a grouping, a number of rows, a table); the rest is added at its end. The result is a question like any other,
//! shown to whoever asked, so nothing is remembered but words. A question that stands by itself is left alone, and so is
//! one that would lose a word of the question before beside the one that is replaced.

use std::ops::Range;

use super::link::catalog::{Catalog, ColumnId};
use super::link::tokens::relative::resolve;
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
const GRAINS: &[&str] = &["hour", "day", "weekday", "week", "month", "quarter", "year"];
/// What a number after them is a year by.
const BEFORE_PERIOD: &[&str] = &["in", "during", "for", "of", "since", "from", "until", "before", "after", "between"];
/// Words that let a value stand beside the one before it.
const ADDING: &[&str] = &["or", "and", "not", "without", "except", "excluding", "no", "than", "but"];
/// No question ends with these.
const DANGLING: &[&str] = &[
    "in", "for", "from", "of", "during", "on", "at", "to", "with", "by", "per", "since", "until", "before", "after",
    "between", "over", "above", "below", "under", "than", "the", "a", "an", "and", "or", "not", "only", "just",
    "without",
];

/// What `asked` means after `previous`, if it does not stand by itself.
pub fn read(previous: &str, asked: &str, catalog: &Catalog) -> Option<String> {
    let before = without_end(tokenize(previous));
    let said = without_end(tokenize(asked));
    if before.is_empty() || said.is_empty() || before.len() + said.len() > MAX_TOKENS {
        return None;
    }
    if !is_whole(previous, &before) || !is_whole(asked, &said) {
        return None;
    }
    if let Some(whole) = pointing(&before, &said) {
        return Some(whole);
    }
    let fragment = fragment(&said, catalog)?;
    Merge::new(before, fragment, catalog).whole()
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

/// The question before, while a part of the new words takes its place in it.
struct Merge {
    before: Vec<Token>,
    known: Vec<Mention>,
    rest: Vec<Token>,
    named: Vec<Mention>,
}

/// What a rule has to say of the new words.
enum Found {
    /// Put the second range in the place of the first.
    Replace(Range<usize>, Range<usize>),
    /// It cannot be told what takes whose place.
    Unclear,
    Nothing,
}

impl Merge {
    fn new(before: Vec<Token>, rest: Vec<Token>, catalog: &Catalog) -> Merge {
        let (known, named) = (link(&before, catalog), link(&rest, catalog));
        Merge { before, known, rest, named }
    }

    fn whole(&self) -> Option<String> {
        let rules = [Merge::group, Merge::period, Merge::limit, Merge::value, Merge::table];
        let found: Vec<Found> = rules.iter().map(|rule| rule(self)).collect();
        let mut replaced = Vec::new();
        for one in found {
            match one {
                Found::Unclear => return None,
                Found::Replace(there, here) => replaced.push((there, here)),
                Found::Nothing => {}
            }
        }
        let merged = match &replaced[..] {
            [] => self.before.iter().chain(&self.rest).collect(),
            [(there, here)] => self.merged(there, here)?,
            // Two kinds of things at once are not taken apart.
            _ => return None,
        };
        let dangling = merged.last().is_none_or(|last| DANGLING.contains(&last.lower.as_str()));
        (!dangling).then(|| text(merged.into_iter()))
    }

    /// The words of the new question at `here` in the place of those at `there`, the others of both left as they are: only
    /// little words before what has moved are left out.
    fn merged(&self, there: &Range<usize>, here: &Range<usize>) -> Option<Vec<&Token>> {
        let little = |token: &&Token| BEFORE_VALUE.contains(&token.lower.as_str()) || is_article(token);
        let lead = self.rest[..here.start].iter().rev().take_while(little).count();
        let left = self.rest[..here.start - lead].iter().chain(&self.rest[here.end..]);
        let merged = self.before[..there.start].iter().chain(&self.rest[here.clone()]);
        let merged = merged.chain(&self.before[there.end..]).chain(left);
        (!self.drops_more(there)).then(|| merged.collect())
    }

    /// Whether more than one thing that the question before names would be gone, or a part of one.
    fn drops_more(&self, there: &Range<usize>) -> bool {
        let touched = self.known.iter().filter(|mention| mention.start < there.end && mention.end > there.start);
        let touched: Vec<&Mention> = touched.collect();
        touched.len() > 1 || touched.iter().any(|mention| mention.start < there.start || mention.end > there.end)
    }

    /// "by month" in the place of "by city". The old group is one name or one unit of time, and nothing after it.
    fn group(&self) -> Found {
        let old = groups(&self.before);
        let new = groups(&self.rest);
        let (&[there], &[here]) = (&old[..], &new[..]) else {
            return if old.is_empty() || new.is_empty() { Found::Nothing } else { Found::Unclear };
        };
        let ends = (group_end(&self.before, there, &self.known), group_end(&self.rest, here, &self.named));
        match ends {
            (Some(there_end), Some(here_end)) => Found::Replace(there..there_end, here..here_end),
            _ => Found::Unclear,
        }
    }

    /// "since 2024" in the place of "in 2023", with its preposition.
    fn period(&self) -> Found {
        let (old, new) = (periods(&self.before, &self.known), periods(&self.rest, &self.named));
        let (was_relative, is_relative) = (is_relative(&self.before), is_relative(&self.rest));
        if (new.is_empty() && !is_relative) || (old.is_empty() && !was_relative) {
            return Found::Nothing;
        }
        let (false, false, &[there], &[here]) = (was_relative, is_relative, &old[..], &new[..]) else {
            return Found::Unclear;
        };
        let start = |tokens: &[Token], at: usize| {
            let before = at.checked_sub(1)?;
            BEFORE_PERIOD.contains(&tokens[before].lower.as_str()).then_some(before)
        };
        match (start(&self.before, there), start(&self.rest, here)) {
            (Some(from), Some(to)) => Found::Replace(from..there + 1, to..here + 1),
            (None, Some(to)) => Found::Replace(there..there + 1, to..here + 1),
            (_, None) => Found::Replace(there..there + 1, here..here + 1),
        }
    }

    /// "top 10" in the place of "top 5".
    fn limit(&self) -> Found {
        let places = |tokens: &[Token]| {
            let top =
                |at: &usize| tokens[*at].lower == "top" && tokens.get(at + 1).is_some_and(|t| t.number().is_some());
            (0..tokens.len()).filter(top).collect::<Vec<_>>()
        };
        match (&places(&self.before)[..], &places(&self.rest)[..]) {
            (&[there], &[here]) => Found::Replace(there..there + 2, here..here + 2),
            ([], _) | (_, []) => Found::Nothing,
            _ => Found::Unclear,
        }
    }

    /// "in Rome" in the place of "in Paris", if both are values of one column.
    fn value(&self) -> Found {
        let values = |mentions: &[Mention], column: ColumnId| {
            mentions.iter().filter(|mention| kind(mention) == Kind::Value(column)).cloned().collect::<Vec<_>>()
        };
        let adds = |token: &Token| ADDING.contains(&token.lower.as_str());
        if self.rest.iter().any(adds) {
            return Found::Nothing;
        }
        let mut found = Found::Nothing;
        for new in &self.named {
            let Kind::Value(column) = kind(new) else { continue };
            match (&values(&self.known, column)[..], &values(&self.named, column)[..], &found) {
                ([], _, _) => {}
                // "not in Paris" says nothing of Rome.
                ([old], [_], Found::Nothing) if !self.before[..old.start].iter().any(adds) => {
                    found = Found::Replace(old.start..old.end, new.start..new.end);
                }
                _ => return Found::Unclear,
            }
        }
        found
    }

    /// "what about suppliers?" after a question about customers.
    fn table(&self) -> Found {
        let [new] = &self.named[..] else { return Found::Nothing };
        let idle = |token: &Token| token.function || token.is_mark();
        let mut outside = self.rest[..new.start].iter().chain(&self.rest[new.end..]);
        let Some(old) = self.known.iter().find(|old| kind(old) == Kind::Table) else { return Found::Nothing };
        let grouped = !groups(&self.rest).is_empty();
        if kind(new) != Kind::Table || grouped || !outside.all(idle) {
            return Found::Nothing;
        }
        Found::Replace(old.start..old.end, new.start..new.end)
    }
}

/// Where a grouping begins; an order is none.
fn groups(tokens: &[Token]) -> Vec<usize> {
    let ordered = |at: usize| {
        let before = at.checked_sub(1).map_or("", |before| tokens[before].lower.as_str());
        matches!(before, "order" | "ordered" | "sort" | "sorted" | "ranked" | "made" | "placed")
    };
    (0..tokens.len()).filter(|at| BEFORE_GROUP.contains(&tokens[*at].lower.as_str()) && !ordered(*at)).collect()
}

/// Where the grouping that begins at `at` is over, if it is by one thing.
fn group_end(tokens: &[Token], at: usize, mentions: &[Mention]) -> Option<usize> {
    let start = at + 1 + tokens[at + 1..].iter().take_while(|token| is_article(token)).count();
    let grain = tokens.get(start).is_some_and(|token| GRAINS.contains(&token.lower.as_str()));
    let named = mentions.iter().find(|mention| mention.start == start).map(|mention| mention.end);
    let end = if grain { start + 1 } else { named? };
    let more = tokens.get(end).is_some_and(|next| next.is_mark() || matches!(next.lower.as_str(), "and" | "or"));
    (!more).then_some(end)
}

/// Dates, and numbers that can only be years: after a preposition of time that belongs to no measure, or alone.
fn periods(tokens: &[Token], mentions: &[Mention]) -> Vec<usize> {
    let measured = |at: usize| {
        let measure = |mention: &Mention| mention.end == at && matches!(kind(mention), Kind::Column | Kind::Other);
        mentions.iter().any(measure)
    };
    let second = |at: usize| {
        let range = matches!(tokens[at].lower.as_str(), "and" | "to" | "or");
        range && at > 0 && tokens[at - 1].number().is_some_and(|number| number.year.is_some())
    };
    let year = |at: usize| {
        let Some(before) = at.checked_sub(1) else { return tokens.len() == 1 };
        let timed = BEFORE_PERIOD.contains(&tokens[before].lower.as_str()) && !measured(before);
        timed || second(before)
    };
    let is = |at: &usize| {
        let number = tokens[*at].number();
        tokens[*at].dates().is_some() || (number.is_some_and(|number| number.year.is_some()) && year(*at))
    };
    (0..tokens.len()).filter(is).collect()
}

/// Whether it says a period that depends on the day.
fn is_relative(tokens: &[Token]) -> bool {
    let any_day = chrono::NaiveDate::default();
    resolve(tokens, any_day) != tokens
}

fn is_article(token: &Token) -> bool {
    matches!(token.lower.as_str(), "the" | "a" | "an" | "each" | "every")
}

/// Whether the tokens say all that was written: linking overlooks signs, and a question must not lose one.
fn is_whole(written: &str, tokens: &[Token]) -> bool {
    let marks: &[char] = &['"', '“', '”', '`', '\'', '‘'];
    let squeezed =
        |text: &str| text.to_lowercase().chars().filter(|c| !c.is_whitespace() && !marks.contains(c)).collect();
    let straight = written.to_lowercase().replace('’', "'").replace("can't", "can not").replace("won't", "will not");
    let spoken: String = squeezed(&straight.replace("n't", " not").replace("'s ", " "));
    let ended = spoken.trim_end_matches([',', '.', '?', ';', ':', '!']);
    let said: String = squeezed(&text(tokens.iter()));
    ended == said
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
        let closes = token.is_mark() && matches!(token.text.as_str(), "," | "." | ";" | ":" | "%");
        if !text.is_empty() && !closes {
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
    fn nothing_else_of_the_question_before_is_lost() {
        let merged = |previous: &str, asked: &str| after(previous, asked).unwrap_or_default();
        for (previous, asked, whole) in [
            ("orders per month in Paris", "per quarter", "orders per quarter in Paris"),
            (
                "orders by month in 2025 for customers in Paris",
                "by year",
                "orders by year in 2025 for customers in Paris",
            ),
            ("average credit over 2000 in Paris", "and since 2024?", "average credit over 2000 in Paris since 2024"),
            ("average credit above 2000 in 2023", "in 2024", "average credit above 2000 in 2024"),
            ("orders in 2023 by month", "since 2024", "orders since 2024 by month"),
            ("orders since 2023", "and in 2024?", "orders in 2024"),
            ("orders in 2023", "2024?", "orders in 2024"),
            ("orders in 2023", "over 2000", "orders in 2023 over 2000"),
            ("top 5 customers in Paris", "top 10", "top 10 customers in Paris"),
            ("customers in Paris by segment", "in Rome", "customers in Rome by segment"),
            ("customers in Paris", "or in Rome", "customers in Paris or in Rome"),
            ("customers by city sorted by id", "by segment", "customers by segment sorted by id"),
            ("orders by month", "in 2024", "orders by month in 2024"),
            ("orders at least 2000", "in 2024", "orders at least 2000 in 2024"),
            ("customers by city", "for Paris", "customers by city for Paris"),
            ("customers in Paris", "what about suppliers?", "suppliers in Paris"),
        ] {
            assert_eq!(merged(previous, asked), whole, "{previous} + {asked}");
        }
    }

    #[test]
    fn what_cannot_be_merged_for_sure_is_not_merged() {
        for (previous, asked) in [
            ("orders between 2023 and 2025", "and in 2024?"),
            ("orders from 2023 to 2025", "since 2024"),
            ("customers since 2020 with orders in 2024", "in 2023"),
            ("orders in 2023", "between 2024 and 2025"),
            ("orders last month", "in 2024"),
            ("orders in 2024", "last month"),
            ("customers by city and segment", "by id"),
            ("customers in Paris or Rome", "in Paris"),
            ("customers not in Paris", "in Rome"),
            ("customers in Paris in 2024", "in Rome in 2023"),
            ("orders by month in 2024", "by year in 2023"),
            ("orders > 500", "in 2024"),
            ("orders with 5% off", "in 2024"),
            ("orders in 2024", "by"),
            ("orders by things nobody knows in 2024", "by year"),
        ] {
            assert_eq!(after(previous, asked), None, "{previous} + {asked}");
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
