//! The values that a check constraint allows: `status in ('open', 'paid')`, however the engine writes it down.
//!
//! Read token by token and not as a tree, so that a long or deep condition costs nothing but its length. A condition that
//! says anything else than which texts one column may hold has no list; a list is a help, never a proof.

use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Longer texts than any table that somebody wrote: enough for some thousand values.
const CHARS: usize = 256 << 10;

/// The column of one condition, in its own spelling, and its values in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub column: String,
    pub values: Vec<String>,
}

/// What a condition allows: `((status)::text = ANY ((ARRAY['open'::character varying, …])::text[]))`.
pub(super) fn of_condition(condition: &str, dialect: &dyn Dialect) -> Option<Allowed> {
    Condition::new(&tokens(condition, dialect)?).read()
}

/// What each `check (…)` of a `create table` allows.
pub(super) fn of_table(create: &str, dialect: &dyn Dialect) -> Vec<Allowed> {
    let tokens = tokens(create, dialect).unwrap_or_default();
    let checks =
        tokens.windows(2).enumerate().filter(|(_, pair)| is(&pair[0], Keyword::CHECK) && pair[1] == Token::LParen);
    checks.filter_map(|(at, _)| Condition::new(enclosed(&tokens[at + 1..])?).read()).collect()
}

fn tokens(text: &str, dialect: &dyn Dialect) -> Option<Vec<Token>> {
    if text.len() > CHARS {
        return None;
    }
    let mut tokens = Tokenizer::new(dialect, text).tokenize().ok()?;
    tokens.retain(|token| !matches!(token, Token::Whitespace(_)));
    Some(tokens)
}

/// From an opening parenthesis to the one that closes it.
fn enclosed(tokens: &[Token]) -> Option<&[Token]> {
    let mut depth = 0_usize;
    let end = tokens.iter().position(|token| {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => (),
        }
        depth == 0
    });
    tokens.get(..=end?)
}

fn is(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword)
}

/// A condition without its parentheses, which change nothing as long as all that joins its parts is `or`.
struct Condition<'a> {
    tokens: Vec<&'a Token>,
    at: usize,
}

impl<'a> Condition<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let tokens = tokens.iter().filter(|token| !matches!(token, Token::LParen | Token::RParen)).collect();
        Self { tokens, at: 0 }
    }

    /// `part [or part]…` over one column.
    fn read(mut self) -> Option<Allowed> {
        let mut allowed = Allowed { column: String::new(), values: Vec::new() };
        loop {
            let column = self.name()?;
            if !allowed.column.is_empty() && column != allowed.column {
                return None;
            }
            allowed.column = column;
            allowed.values.extend(self.values()?);
            match self.keyword(Keyword::OR) {
                true => (),
                false if self.at == self.tokens.len() && !allowed.values.is_empty() => return Some(allowed),
                false => return None,
            }
        }
    }

    /// After the column: `= 'a'`, `in ('a', 'b')`, `= any (array['a', 'b'])`, `is null`.
    fn values(&mut self) -> Option<Vec<String>> {
        if self.keyword(Keyword::IS) {
            return self.keyword(Keyword::NULL).then(Vec::new);
        }
        if self.keyword(Keyword::IN) {
            return self.list();
        }
        if !self.token(&Token::Eq) && !self.token(&Token::DoubleEq) {
            return None;
        }
        if !self.keyword(Keyword::ANY) {
            return Some(vec![self.text()?]);
        }
        let array = self.keyword(Keyword::ARRAY) && self.token(&Token::LBracket);
        let values = if array { self.list()? } else { return None };
        let closed = self.token(&Token::RBracket);
        self.cast();
        closed.then_some(values)
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut values = vec![self.text()?];
        while self.token(&Token::Comma) {
            values.push(self.text()?);
        }
        Some(values)
    }

    fn text(&mut self) -> Option<String> {
        let Token::SingleQuotedString(text) = self.tokens.get(self.at)? else { return None };
        self.at += 1;
        self.cast();
        Some(text.clone())
    }

    fn name(&mut self) -> Option<String> {
        let Token::Word(word) = self.tokens.get(self.at)? else { return None };
        self.at += 1;
        self.cast();
        Some(word.value.clone())
    }

    /// `::character varying`, `::text[]`: which type a text is taken for changes nothing about it.
    fn cast(&mut self) {
        while self.token(&Token::DoubleColon) {
            let of_type = |token: &&Token| match token {
                Token::Word(word) => ![Keyword::OR, Keyword::IN, Keyword::IS].contains(&word.keyword),
                token => **token == Token::Period,
            };
            while self.tokens.get(self.at).is_some_and(of_type) {
                self.at += 1;
            }
            if self.token(&Token::LBracket) {
                self.token(&Token::RBracket);
            }
        }
    }

    fn keyword(&mut self, keyword: Keyword) -> bool {
        self.step(|token| is(token, keyword))
    }

    fn token(&mut self, wanted: &Token) -> bool {
        self.step(|token| token == wanted)
    }

    fn step(&mut self, wanted: impl Fn(&Token) -> bool) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|token| wanted(token));
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::{PostgreSqlDialect, SQLiteDialect};

    use super::*;

    fn values(condition: &str) -> Option<Vec<String>> {
        of_condition(condition, &PostgreSqlDialect {}).map(|allowed| allowed.values)
    }

    #[test]
    fn lists_are_read_as_postgresql_writes_them() {
        for condition in [
            "(status = ANY (ARRAY['open'::text, 'it''s'::text]))",
            "((status)::text = ANY ((ARRAY['open'::character varying, 'it''s'::character varying])::text[]))",
            "((status)::text = ANY (ARRAY[('open'::character varying)::text, ('it''s'::character varying)::text]))",
            "((status = 'open'::text) OR (status = 'it''s'::text))",
            "((status IS NULL) OR (status = ANY (ARRAY['open'::bpchar, 'it''s'::bpchar])))",
        ] {
            assert_eq!(values(condition).as_deref(), Some(&["open".to_owned(), "it's".to_owned()][..]), "{condition}");
        }
        let quoted = of_condition("(\"Order State\" = 'x'::text)", &PostgreSqlDialect {}).unwrap();
        assert_eq!(quoted, Allowed { column: "Order State".into(), values: vec!["x".into()] });
    }

    #[test]
    fn a_condition_that_says_more_has_no_list() {
        for condition in [
            "",
            "(status <> 'open'::text)",
            "(NOT (status = ANY (ARRAY['open'::text])))",
            "((status = 'open'::text) AND (total > 0))",
            "((status = 'open'::text) OR (kind = 'x'::text))",
            "((status = 'open'::text) OR (total > 0))",
            "(status <> ALL (ARRAY['open'::text]))",
            "(status = lower('OPEN'::text))",
            "(lower(status) = 'open'::text)",
            "(status = ANY (ARRAY[1, 2]))",
            "(status ~ 'open'::text)",
            "(status IS NULL)",
            "(status = ANY (ARRAY['a'::text",
            "(status = 'open",
        ] {
            assert_eq!(values(condition), None, "{condition}");
        }
    }

    #[test]
    fn a_long_or_deep_condition_is_no_danger() {
        let chain = format!("({}x = 'a')", "x = 'a' or ".repeat(20_000));
        assert_eq!(values(&chain).map(|values| values.len()), Some(20_001));
        let deep = format!("{}x = 'a'{}", "(".repeat(50_000), ")".repeat(50_000));
        assert_eq!(values(&deep).map(|values| values.len()), Some(1));
        assert_eq!(values(&"x = 'a' or ".repeat(CHARS)), None);
    }

    #[test]
    fn checks_are_found_in_what_created_a_sqlite_table() {
        let create = "CREATE TABLE t (
            a TEXT CHECK (a IN ('x', 'y''s')), -- check (b in ('no'))
            \"b c\" varchar(10) not null constraint known check( \"b c\" = 'p' or [b c] IS NULL ),
            d text check (length(d) < 5), e text default 'check (e in (''n''))',
            check (f in ('k')))";
        let found = of_table(create, &SQLiteDialect {});
        let found: Vec<_> = found.iter().map(|allowed| (allowed.column.as_str(), allowed.values.join("|"))).collect();
        assert_eq!(found, [("a", "x|y's".to_owned()), ("b c", "p".to_owned()), ("f", "k".to_owned())]);
        assert!(of_table("create table t (a text check (a in ('x')", &SQLiteDialect {}).is_empty());
    }
}
