//! How far a reading covers its question: what is declined, what went unused, and how sure that leaves us.
//!
//! Confidence is a product of factors, one for each doubt. It is no probability from a model: the factors were set by
//! hand and only their order and the threshold were checked against questions with known answers.

use super::joins::{self, JoinTree};
use super::plan::{Condition, Expression, Function, Query};
use super::reader::{Choice, Kind, Reader, Settled};
use crate::text_to_sql::explain::list;
use crate::text_to_sql::link::catalog::{Catalog, ColumnId, TableId};
use crate::text_to_sql::link::tokens::{MAX_TOKENS, Token};
use crate::text_to_sql::link::words::is_generic_verb;
use crate::text_to_sql::link::{Meaning, Mention};

/// A content word that the SQL does not reflect.
const UNUSED_WORD: f32 = 0.7;
/// A number, date or quoted text that the SQL does not reflect: almost always a missing condition.
const UNUSED_LITERAL: f32 = 0.3;
/// A table or column that was recognised and plays no part.
const UNUSED_MENTION: f32 = 0.6;
/// Taking a decision otherwise than by its merits.
const OTHER_CHOICE: f32 = 0.6;

/// Which tables to join is often a guess, and the more so the longer the way.
const FIRST_JOIN: f32 = 0.82;
const FURTHER_JOIN: f32 = 0.75;
/// Which of several equally short ways is meant is not known, but each is better than leaving a table out.
const EQUAL_WAYS: f32 = 0.6;
/// Superlatives and limits on counts have more readings than lists.
const SELECTED_GROUP: f32 = 0.88;

/// Words without content in a question to a database.
const EMPTY_WORDS: &[&str] = &[
    "about",
    "list",
    "ones",
    "one",
    "there",
    "exist",
    "exists",
    "whose",
    "corresponding",
    "respective",
    "respectively",
    "available",
    "along",
    "together",
    "well",
    "including",
    "value",
    "values",
    "name",
    "named",
    "called",
    "result",
    "results",
    "different",
    "distinct",
    "unique",
    "number",
    "total",
    "order",
    "ascending",
    "descending",
    "count",
    "alphabetical",
    "alphabetically",
    "sort",
    "sorted",
    "ordered",
    "current",
    "currently",
    "recorded",
    "database",
    "table",
    "lexicographical",
    "increasing",
    "decreasing",
    "than",
    "most",
    "least",
    "more",
    "less",
    "fewer",
    "during",
    "using",
    "used",
    "use",
    "belong",
    "belongs",
    "belonging",
    "old",
    "year",
    "years",
    "times",
    "time",
    "per",
    "only",
    "exactly",
    "between",
    "equal",
    "above",
    "below",
    "over",
    "under",
    "after",
    "before",
    "since",
    "until",
    "having",
    "greater",
    "higher",
    "larger",
    "lower",
    "smaller",
    "older",
    "younger",
    "longer",
    "shorter",
    "later",
    "earlier",
    "kind",
    "kinds",
    "type",
    "types",
    "overall",
    "across",
    "within",
    "has",
    "contain",
    "contains",
    "containing",
    "include",
    "includes",
    "start",
    "starts",
    "starting",
    "begin",
    "begins",
    "end",
    "ends",
    "ending",
    "substring",
    "letter",
    "letters",
    "word",
    "string",
    "among",
    "so",
    "given",
    "based",
    "every",
    "full",
    "present",
    "compute",
    "calculate",
    "select",
    "retrieve",
    "get",
    "provide",
    "identify",
    "determine",
    "want",
    "know",
    "like",
];

/// What no reading of the grammar covers, and what one would have to do.
const NOT_COVERED: &[(&[&str], &str)] = &[
    (
        &["median", "variance", "deviation", "correlation", "percentile", "quartile"],
        "compute statistics beyond sums and averages",
    ),
    (&["compared", "versus", "vs"], "compare two results"),
];

/// Verbs that change data, at the beginning of a request.
const CHANGES: &[&str] = &[
    "delete", "remove", "drop", "insert", "update", "truncate", "erase", "add", "create", "alter", "set", "rename",
    "grant", "revoke", "replace", "clear",
];

/// Why a question cannot be read at all.
pub fn beyond_reading(tokens: &[Token], catalog: &Catalog) -> Option<String> {
    if catalog.tables().next().is_none() {
        return Some("The database has no tables that questions may use.".to_owned());
    }
    if tokens.is_empty() {
        return Some("The question has no words.".to_owned());
    }
    if let Some(verb) = asks_for_change(tokens) {
        return Some(format!("The request is to {verb} something, and questions only read: nothing was changed."));
    }
    (tokens.len() > MAX_TOKENS).then(|| format!("The question has more than {MAX_TOKENS} words; ask a shorter one."))
}

/// The verb of a request to change data: "please delete all orders", "can you drop the table".
fn asks_for_change(tokens: &[Token]) -> Option<&str> {
    let polite = |token: &&Token| {
        matches!(token.lower.as_str(), "please" | "can" | "could" | "would" | "you" | "now" | "kindly" | "just")
            || token.is_mark()
    };
    let first = tokens.iter().find(|token| !polite(token))?;
    CHANGES.contains(&first.lower.as_str()).then_some(first.lower.as_str())
}

/// Why the grammar cannot express what the question asks.
pub fn beyond_grammar(tokens: &[Token], mentions: &[Mention]) -> Option<String> {
    let named = mentions
        .iter()
        .any(|mention| mention.candidates.iter().any(|candidate| !matches!(candidate.meaning, Meaning::Literal(_))));
    if !named {
        return Some("No word of the question names a table, a column or a known value of this database.".to_owned());
    }
    let covered = |at: usize| mentions.iter().any(|mention| mention.start <= at && at < mention.end);
    let word = |at: usize| tokens.get(at).map_or("", |token| token.lower.as_str());
    for at in (0..tokens.len()).filter(|at| !covered(*at)) {
        let known = NOT_COVERED.iter().find(|(words, _)| words.contains(&word(at)));
        if let Some((_, what)) = known {
            return Some(format!(
                "The question says \"{}\", and the builtin generator cannot {what} yet.",
                tokens[at].text
            ));
        }
    }
    None
}

pub fn nothing_to_show() -> String {
    "The question does not say what to show in terms of this database's tables and columns.".to_owned()
}

pub fn unconnected(catalog: &Catalog, tables: &[TableId]) -> String {
    let names: Vec<String> = tables.iter().map(|table| catalog.table(*table).table.name.clone()).collect();
    format!("No key connects {}, so it is not known how they belong together.", list(&names, "and"))
}

/// Joins that repeat rows make sums wrong; several equally short ways make the meaning a guess.
pub fn doubt_joins(reader: &mut Reader, Query { plan, joins }: &Query) {
    if joins.ambiguous {
        let names: Vec<String> = joins.tables().map(|table| reader.catalog.table(table).table.name.clone()).collect();
        reader.assume(EQUAL_WAYS, format!("there are several ways to join {}", list(&names, "and")));
        let ways: Vec<String> = ways(reader.catalog, joins, joins);
        if reader.chose(Choice::OtherPath) {
            reader.assume(1.0, format!("they are joined by {}", list(&ways, "and")));
        }
    }
    for step in 0..joins.steps.len() {
        reader.doubt(if step == 0 { FIRST_JOIN } else { FURTHER_JOIN });
    }
    if plan.limit.is_some() || plan.having.is_some() {
        reader.doubt(SELECTED_GROUP);
    }
    for output in
        plan.outputs.iter().copied().chain(plan.order.iter().map(|order| order.expression)).collect::<Vec<_>>()
    {
        if let Expression::Aggregate(Function::Sum | Function::Average, column) = output
            && joins.repeats(reader.catalog, reader.catalog.table_of(column))
        {
            reader
                .assume(0.3, format!("rows of {} are counted once for every row joined to them", reader.name(column)));
        }
    }
    let averages = plan.conditions.iter().filter(|condition| matches!(condition, Condition::Against { .. })).count();
    if averages > 0 && plan.conditions.len() > averages {
        reader.doubt(0.85);
    }
}

/// What to ask back, where the query took one of several ways that are equally good.
pub fn clarification(reader: &Reader, Query { plan, joins }: &Query) -> Option<String> {
    let columns = plan.columns();
    let rival = reader.rivals.iter().find(|rival| columns.contains(&rival.column));
    rival.map(|rival| rival.question.clone()).or_else(|| {
        let undecided = joins.ambiguous && !reader.chose(Choice::OtherPath);
        let other = joins::connect_otherwise(reader.catalog, &plan.tables).filter(|_| undecided)?;
        let (one, two) = (ways(reader.catalog, joins, &other), ways(reader.catalog, &other, joins));
        let differ = !one.is_empty() && !two.is_empty();
        differ.then(|| format!("How do they belong together: by {}, or by {}?", list(&one, "and"), list(&two, "and")))
    })
}

/// The columns by which a tree joins, those that another joins by too left out unless it is the same tree.
fn ways(catalog: &Catalog, joins: &JoinTree, other: &JoinTree) -> Vec<String> {
    let shared = |edge: usize| joins != other && other.steps.iter().any(|step| step.edge == edge);
    let own = joins.steps.iter().filter(|step| !shared(step.edge)).map(|step| catalog.edge(step.edge));
    let named = own.filter_map(|edge| edge.pairs.first()).map(|(child, _)| {
        let entry = catalog.column(*child);
        format!("{}.{}", catalog.table(entry.table).table.name, entry.column.name)
    });
    named.collect()
}

/// Content words that no part of the plan explains.
pub fn unused_words(reader: &Reader) -> Vec<String> {
    let explains = |at: usize| {
        reader.explained[at]
            || reader.mentions.iter().any(|mention| mention.used && mention.start <= at && at < mention.end)
    };
    let counts_in = |at: usize| {
        let unit = |column: ColumnId| reader.catalog.column(column).column.unit.as_ref();
        let said = |column: ColumnId| unit(column).is_some_and(|unit| unit.eq_ignore_ascii_case(reader.word(at)));
        reader.mentions.iter().filter_map(|mention| mention.column).any(said)
    };
    let content = |at: &usize| {
        let token = &reader.tokens[*at];
        let literal = token.number().is_some() || token.dates().is_some() || token.is_quoted();
        !token.function
            && !token.is_mark()
            && !explains(*at)
            && !counts_in(*at)
            && (literal || !(is_empty(&token.lower) || (*at == 0 && token.lower == "report")) || mentioned(reader, *at))
    };
    (0..reader.tokens.len()).filter(content).map(|at| reader.tokens[at].text.clone()).collect()
}

fn is_empty(word: &str) -> bool {
    EMPTY_WORDS.contains(&word) || is_generic_verb(word)
}

fn mentioned(reader: &Reader, at: usize) -> bool {
    reader.mentions.iter().any(|mention| mention.start <= at && at < mention.end && !is_generic(reader, mention))
}

/// A column that a verb without content happens to resemble, like `created_at`.
fn is_generic(reader: &Reader, mention: &Settled) -> bool {
    mention.kind == Kind::Column && mention.end == mention.start + 1 && is_generic_verb(reader.word(mention.start))
}

/// From 0 to 1.
pub fn confidence(reader: &Reader, unused: &[String]) -> f32 {
    let doubts: f32 = reader.doubts.iter().map(|doubt| doubt.factor).product();
    let literal = |word: &String| {
        reader.tokens.iter().any(|token| {
            token.text == **word && (token.number().is_some() || token.dates().is_some() || token.is_quoted())
        })
    };
    let words: f32 = unused.iter().map(|word| if literal(word) { UNUSED_LITERAL } else { UNUSED_WORD }).product();
    let idle = |mention: &&Settled| !mention.used && mention.kind != Kind::Value && !is_generic(reader, mention);
    let idle = reader.mentions.iter().filter(idle).count();
    let mentions: f32 = (0..idle).map(|_| UNUSED_MENTION).product();
    let choices: f32 = reader.choices.iter().map(|choice| choice_factor(*choice)).product();
    (0.98 * doubts * words * mentions * choices).clamp(0.0, 1.0)
}

fn choice_factor(choice: Choice) -> f32 {
    match choice {
        Choice::Rank { rank, .. } => OTHER_CHOICE.powf(rank as f32),
        _ => OTHER_CHOICE,
    }
}
