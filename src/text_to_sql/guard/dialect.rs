//! What the guard has to know about an engine, as data: one value each in [`super::postgres`], [`super::mysql`],
//! [`super::sqlite`] and [`super::mssql`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::{mssql, mysql, postgres, sqlite};
use crate::text_to_sql::schema::Engine;

/// Looked up for every word of a statement.
pub type WordSet = HashSet<&'static str, foldhash::fast::FixedState>;

/// Facts only; all words lower case.
pub struct Dialect {
    pub parser: &'static (dyn sqlparser::dialect::Dialect + Sync),

    // How text splits into tokens.
    pub line_comment_ends: &'static [char],
    /// What begins a comment to the end of the line.
    pub line_comments: fn(&str) -> bool,
    /// `/*!` and the like: comments that the engine runs.
    pub executable_comments: bool,
    pub nested_comments: bool,
    pub identifier_quotes: &'static [char],
    /// How a name of the catalog is quoted.
    pub quotes: (char, char),
    /// `"x"` is a text, whatever names there are.
    pub double_quoted_text: bool,
    /// A backslash takes the next character with it.
    pub backslash_escapes: bool,
    /// `0x4A`.
    pub hex_numbers: bool,
    /// `$12.50`.
    pub money_numbers: bool,
    /// White space before the parenthesis of a call makes it the call of another function.
    pub calls_touch: bool,
    pub dollar_in_names: bool,
    pub dollar_quotes: bool,
    pub unicode_escapes: bool,
    /// Letters that may stand before a quote: `e` in `E'…'`.
    pub text_prefixes: &'static [&'static str],
    /// `a[1:2]`, `::`.
    pub arrays: bool,
    /// Longer names are cut off by the engine, and could then mean another thing than here.
    pub max_name_bytes: usize,
    /// The length of the operator at the start of a text, as the engine's lexer sees it; 0 if there is none.
    pub operator_length: fn(&str) -> usize,
    pub operators: WordSet,

    // Words.
    /// Keywords that may stand in a statement without being a name: nothing that writes, locks, calls or names.
    pub keywords: WordSet,
    /// Words that cannot be a name unless quoted: as a name they would be read as something else.
    pub reserved: WordSet,
    /// Words that cannot be an alias without AS.
    pub needs_as: WordSet,
    /// After AS even reserved words are aliases of outputs.
    pub any_word_after_as: bool,
    /// Syntax that the engine has and the parser has not.
    pub parser_gaps: WordSet,
    /// Words without a meaning for what a statement reads, which the parser is not shown: how many of the tokens from
    /// here on, given the token before them.
    pub passed_over: fn(before: &str, from_here: &[&str]) -> usize,
    /// Words that the parser is shown as others, with the token before them.
    pub shown_as: fn(before: &[&str], word: &str) -> Option<Token>,

    // Names.
    pub folds_quoted: bool,
    /// Names may differ in case alone, depending on how the server is set: the text spells tables as the catalog does.
    pub spells_tables: bool,
    /// Columns that every table has without being declared, refused wherever they are read.
    pub system_columns: WordSet,
    /// Names of the implicit row number.
    pub row_ids: WordSet,
    pub system_schemas: WordSet,
    /// Beginnings of table names that belong to the engine.
    pub system_prefixes: &'static [&'static str],

    // Calls.
    pub functions: WordSet,
    /// Functions without parentheses.
    pub constants: WordSet,
    /// Functions that stand in FROM, with the columns they give; none means one column with the alias's name.
    pub table_functions: HashMap<&'static str, &'static [&'static str]>,
    /// Functions that take a whole row: `json_agg(t)`.
    pub row_functions: WordSet,
    /// Functions whose result is as long as one of their arguments says, with the place of that argument.
    pub sized_functions: HashMap<&'static str, usize>,
    /// Functions that read widths from a format string, their first argument.
    pub format_functions: WordSet,
    /// Functions that take a part of a date as a bare word, with the place of that argument.
    pub part_functions: HashMap<&'static str, usize>,
    pub date_parts: WordSet,
    /// `_utf8mb4'x'`.
    pub introducers: WordSet,
    /// The schema that built-in functions may be named with.
    pub builtin_schema: Option<&'static str>,
    pub types: WordSet,
    pub collations: Option<WordSet>,

    // How scopes work.
    /// Derived tables may refer to what stands before them in FROM if marked LATERAL.
    pub lateral: bool,
    /// CROSS APPLY and OUTER APPLY.
    pub apply: bool,
    /// ON sees only the tables of its join, and functions in FROM what stands before them.
    pub join_scopes: bool,
    /// A join without a condition is a cross join.
    pub bare_joins: bool,
    /// Calls and casts without an alias are named after the function or the column.
    pub names_calls: bool,
    /// A schema on the search path may hold functions, operators and casts of its own that win over the built-in ones; so
    /// the text names the schema of every table, and runs with none but the built-in schema on the path.
    pub qualifies_tables: bool,
    /// Aliases of the select list may be used in WHERE, GROUP BY and HAVING expressions.
    pub aliases_everywhere: bool,
    /// In HAVING at least.
    pub aliases_in_having: bool,
    /// A CTE sees itself and all others of its WITH, even without RECURSIVE.
    pub ctes_see_all: bool,
    /// `"x"` that names no column is a string.
    pub double_quoted_strings: bool,
    /// `docs MATCH 'words'` searches all columns of a full-text table.
    pub table_match: bool,
    /// `SELECT 1 AS 'x'`.
    pub text_aliases: bool,
    /// USING columns come first in `*`.
    pub merged_columns_first: bool,
}

impl Dialect {
    pub fn of(engine: Engine) -> &'static Self {
        match engine {
            Engine::Postgres => &postgres::DIALECT,
            Engine::Sqlite => &sqlite::DIALECT,
            Engine::Mysql => &mysql::DIALECT,
            Engine::Mssql => &mssql::DIALECT,
        }
    }

    /// The name that the engine makes of an identifier.
    pub fn fold<'a>(&self, ident: &'a Ident) -> Cow<'a, str> {
        let folds = ident.quote_style.is_none() || self.folds_quoted;
        if folds && ident.value.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(ident.value.to_ascii_lowercase())
        } else {
            Cow::Borrowed(&ident.value)
        }
    }

    /// Whether a name in the catalog is what a folded name means.
    pub fn same(&self, declared: &str, folded: &str) -> bool {
        if self.folds_quoted { declared.eq_ignore_ascii_case(folded) } else { declared == folded }
    }

    /// A declared name as an identifier of this engine. Names with a quote inside come out as what cannot be read again.
    pub fn quoted(&self, name: &str) -> String {
        let (open, close) = self.quotes;
        format!("{open}{name}{close}")
    }

    pub fn is_reserved(&self, ident: &Ident) -> bool {
        ident.quote_style.is_none() && contains(&self.reserved, &ident.value)
    }

    /// Whether an unqualified table name belongs to the engine.
    pub fn is_system_table(&self, folded: &str) -> bool {
        self.system_prefixes.iter().any(|prefix| folded.starts_with(prefix))
    }
}

/// Whether the set has the word in any case.
pub fn contains(set: &WordSet, word: &str) -> bool {
    if !word.bytes().any(|b| b.is_ascii_uppercase()) {
        return set.contains(word);
    }
    let mut lower = [0; LONGEST_WORD];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    str::from_utf8(lower).is_ok_and(|word| set.contains(word))
}

/// Longer than any word in a set.
const LONGEST_WORD: usize = 64;

pub fn words(lists: &[&'static str]) -> WordSet {
    lists.iter().flat_map(|list| list.split_whitespace()).collect()
}
