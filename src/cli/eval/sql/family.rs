//! What kinds of question a statement answers, by its words: the tokens of any dialect, read once, without a parse.

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// A statement may belong to several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// None of the others.
    Plain,
    Filter,
    Aggregate,
    Group,
    Having,
    Superlative,
    Join,
    NotIn,
    SetOperation,
    Nested,
}

impl Family {
    pub const ALL: [Family; 10] = [
        Family::Plain,
        Family::Filter,
        Family::Aggregate,
        Family::Group,
        Family::Having,
        Family::Superlative,
        Family::Join,
        Family::NotIn,
        Family::SetOperation,
        Family::Nested,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Family::Plain => "plain",
            Family::Filter => "filter",
            Family::Aggregate => "aggregate",
            Family::Group => "group",
            Family::Having => "having",
            Family::Superlative => "superlative",
            Family::Join => "join",
            Family::NotIn => "not_in",
            Family::SetOperation => "set_operation",
            Family::Nested => "nested",
        }
    }
}

/// What is read from a statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kind {
    pub families: Vec<Family>,
    /// The rows have an order that was asked for.
    pub ordered: bool,
}

impl Kind {
    pub fn of(sql: &str) -> Kind {
        let words = words(sql);
        let has = |one: &str| words.iter().any(|(word, _)| word == one);
        let pair = |one: &str, other: &str| words.windows(2).any(|pair| pair[0].0 == one && pair[1].0 == other);
        let limited = has("limit") || has("fetch") || pair("select", "top");
        let nested = words.windows(2).any(|pair| pair[0].0 == "(" && pair[1].0 == "select" && pair[1].1 > 0);
        let negated =
            |one: &str| words.windows(3).any(|three| three[0].0 == "not" && three[1].0 == one && three[2].0 == "(");
        let selects_in = words.windows(4).any(|it| {
            (it[0].0.as_str(), it[1].0.as_str(), it[2].0.as_str(), it[3].0.as_str()) == ("not", "in", "(", "select")
        });
        let found = [
            (Family::Filter, has("where")),
            (Family::Aggregate, ["count", "sum", "avg", "min", "max"].iter().any(|name| pair(name, "("))),
            (Family::Group, pair("group", "by")),
            (Family::Having, has("having")),
            (Family::Superlative, pair("order", "by") && limited),
            (Family::Join, has("join") || joins_by_comma(&words)),
            (Family::NotIn, selects_in || negated("exists")),
            (Family::SetOperation, ["union", "intersect", "except", "minus"].iter().any(|word| has(word))),
            (Family::Nested, nested),
        ];
        let mut families: Vec<Family> = found.into_iter().filter(|(_, is)| *is).map(|(family, _)| family).collect();
        if families.is_empty() {
            families.push(Family::Plain);
        }
        Kind { families, ordered: words.windows(2).any(|pair| pair[0] == ("order".to_owned(), 0) && pair[1].0 == "by") }
    }
}

/// Unquoted words, parentheses and commas, each with how deep it stands in parentheses.
fn words(sql: &str) -> Vec<(String, usize)> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let (mut depth, mut words) = (0_usize, Vec::new());
    for token in tokens {
        match token {
            Token::LParen => {
                words.push(("(".to_owned(), depth));
                depth += 1;
            }
            Token::RParen => {
                depth = depth.saturating_sub(1);
                words.push((")".to_owned(), depth));
            }
            Token::Comma => words.push((",".to_owned(), depth)),
            Token::Word(word) if word.quote_style.is_none() => words.push((word.value.to_lowercase(), depth)),
            Token::Whitespace(_) => {}
            _ => words.push((String::new(), depth)),
        }
    }
    words
}

/// A comma between FROM and the clause after it, at FROM's depth.
fn joins_by_comma(words: &[(String, usize)]) -> bool {
    const ENDS: [&str; 9] = ["where", "group", "having", "order", "limit", "union", "intersect", "except", "fetch"];
    let places = words.iter().enumerate().filter(|(_, (word, _))| word == "from");
    places.into_iter().any(|(place, (_, depth))| {
        let rest = words[place + 1..]
            .iter()
            .take_while(|(word, at)| at > depth || at == depth && !ENDS.contains(&word.as_str()));
        rest.into_iter().any(|(word, at)| word == "," && at == depth)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(sql: &str, names: &str, ordered: bool) {
        let kind = Kind::of(sql);
        let found: Vec<&str> = kind.families.iter().map(|family| family.name()).collect();
        assert_eq!((found.join(" ").as_str(), kind.ordered), (names, ordered), "{sql}");
    }

    #[test]
    fn families_are_read_from_the_words() {
        is("SELECT name FROM city", "plain", false);
        is("SELECT a, b FROM city WHERE name = 'group by (select'", "filter", false);
        is("select count(*) from a join b on a.id = b.id", "aggregate join", false);
        is("select x from a, b where a.id = b.id", "filter join", false);
        is("select a, b from t order by a, b", "plain", true);
        is(
            "select g, sum(n) from t group by g having sum(n) > 3 order by 2 desc limit 1",
            "aggregate group having superlative",
            true,
        );
        is("select top 3 name from t order by n", "superlative", true);
        is("select a from t where id not in (select id from u order by id)", "filter not_in nested", false);
        is("select a from t where id not in (1, 2)", "filter", false);
        is("select a from t where not exists (select 1 from u)", "filter not_in nested", false);
        is("select a from t union select a from u order by a", "set_operation", true);
        is("select max(n) from (select count(*) as n from t group by g)", "aggregate group nested", false);
        is("", "plain", false);
        is("select 'unclosed", "plain", false);
    }
}
