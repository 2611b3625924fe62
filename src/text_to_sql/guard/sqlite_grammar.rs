//! SQLite's grammar for the parser, with what sqlparser's own dialect lacks: `a IS b`, `a ISNULL`, `<<`, `>>`, `$` in names.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::dialect::{Dialect, Precedence, SQLiteDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

#[derive(Debug)]
pub struct SqliteGrammar;

const BASE: SQLiteDialect = SQLiteDialect {};

impl Dialect for SqliteGrammar {
    /// The parser takes it for SQLite wherever it asks.
    fn dialect(&self) -> TypeId {
        TypeId::of::<SQLiteDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        BASE.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        BASE.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        BASE.is_identifier_part(ch) || ch == '$'
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        BASE.supports_filter_during_aggregation()
    }

    fn supports_in_empty_list(&self) -> bool {
        BASE.supports_in_empty_list()
    }

    fn supports_limit_comma(&self) -> bool {
        BASE.supports_limit_comma()
    }

    fn supports_notnull_operator(&self) -> bool {
        BASE.supports_notnull_operator()
    }

    fn supports_comma_separated_trim(&self) -> bool {
        BASE.supports_comma_separated_trim()
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        is_null_follows(parser).then(|| Ok(self.prec_value(Precedence::Is)))
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if is_null_follows(parser) {
            parser.next_token();
            return Some(Ok(Expr::IsNull(Box::new(left.clone()))));
        }
        if is_with_value_follows(parser) {
            parser.next_token();
            let negated = parser.parse_keyword(Keyword::NOT);
            let op = if negated { BinaryOperator::NotEq } else { BinaryOperator::Eq };
            let right = parser.parse_subexpr(precedence);
            return Some(right.map(|right| Expr::BinaryOp {
                left: Box::new(left.clone()),
                op,
                right: Box::new(right),
            }));
        }
        BASE.parse_infix(parser, left, precedence)
    }
}

fn is_null_follows(parser: &Parser) -> bool {
    matches!(&parser.peek_token_ref().token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("isnull"))
}

/// IS or IS NOT before anything but the forms that the parser knows.
fn is_with_value_follows(parser: &Parser) -> bool {
    let keyword = |place: usize| match &parser.peek_nth_token_ref(place).token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let after = if keyword(1) == Keyword::NOT { keyword(2) } else { keyword(1) };
    let known = matches!(after, Keyword::NULL | Keyword::TRUE | Keyword::FALSE | Keyword::DISTINCT);
    keyword(0) == Keyword::IS && !known
}
