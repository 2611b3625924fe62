//! SQLite 3.40 and later, from `tokenize.c`, `parse.y` and the lists of functions in its documentation.
//!
//! Not in the lists on purpose: `load_extension`, whatever reads files or the connection's state, functions of virtual
//! tables that take pointers (`fts5`, `snippet`, `geopoly_*`), table-valued pragmas, and `randomblob` and `zeroblob`,
//! which make memory out of nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::dialect::{Dialect, words};
use super::postgres;
use super::sqlite_grammar::SqliteGrammar;

pub static DIALECT: LazyLock<Dialect> = LazyLock::new(|| Dialect {
    parser: &SqliteGrammar,

    line_comment_ends: &['\n'],
    line_comments: |rest| rest.starts_with("--"),
    executable_comments: false,
    nested_comments: false,
    identifier_quotes: &['"', '`', '['],
    quotes: ('"', '"'),
    double_quoted_text: false,
    backslash_escapes: false,
    hex_numbers: false,
    money_numbers: false,
    calls_touch: false,
    dollar_in_names: true,
    dollar_quotes: false,
    unicode_escapes: false,
    text_prefixes: &["x"],
    arrays: false,
    max_name_bytes: 255,
    operator_length,
    operators: words(&["+ - * / % = == <> != < > <= >= || | & ~ << >> -> ->>"]),

    keywords: words(&[KEYWORDS]),
    reserved: words(&[RESERVED]),
    needs_as: words(&[]),
    any_word_after_as: false,
    parser_gaps: words(&["indexed"]),
    passed_over,
    shown_as: |_, _| None,

    folds_quoted: true,
    spells_tables: false,
    system_columns: words(&[]),
    row_ids: words(&["rowid oid _rowid_"]),
    system_schemas: words(&["temp"]),
    system_prefixes: &["sqlite_", "pragma_"],

    functions: words(&[AGGREGATES, WINDOWS, NUMBERS, STRINGS, DATES, JSON, CONDITIONS]),
    constants: words(&["current_date current_time current_timestamp"]),
    table_functions: HashMap::from([("json_each", JSON_COLUMNS), ("json_tree", JSON_COLUMNS)]),
    row_functions: words(&[]),
    sized_functions: HashMap::new(),
    format_functions: words(&["format printf"]),
    part_functions: HashMap::new(),
    date_parts: words(&[]),
    introducers: words(&[]),
    builtin_schema: None,
    types: words(&[
        "int integer tinyint smallint mediumint bigint int2 int8 real double float numeric decimal boolean",
        "text char character varchar nchar nvarchar clob blob date datetime",
    ]),
    collations: Some(words(&["binary nocase rtrim"])),

    lateral: false,
    apply: false,
    join_scopes: false,
    bare_joins: true,
    names_calls: false,
    qualifies_tables: false,
    aliases_everywhere: true,
    aliases_in_having: true,
    ctes_see_all: true,
    double_quoted_strings: true,
    table_match: true,
    text_aliases: true,
    merged_columns_first: false,
});

const JSON_COLUMNS: &[&str] = &["key", "value", "type", "atom", "id", "parent", "fullkey", "path"];

/// `AS MATERIALIZED (…)`, and what a window frame excludes.
fn passed_over(before: &str, from_here: &[&str]) -> usize {
    let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
    match from_here {
        [materialized, "(", ..] if is(before, "as") && is(materialized, "materialized") => 1,
        [not, materialized, "(", ..] if is(before, "as") && is(not, "not") && is(materialized, "materialized") => 2,
        _ => postgres::excluded(before, from_here),
    }
}

/// The longest operator at the start; SQLite has no user-defined ones.
fn operator_length(rest: &str) -> usize {
    const OPERATORS: [&str; 21] = [
        "->>", "->", "||", "<<", ">>", "<=", ">=", "<>", "!=", "==", "=", "<", ">", "+", "-", "*", "/", "%", "&", "|",
        "~",
    ];
    OPERATORS.iter().find(|operator| rest.starts_with(**operator)).map_or(0, |operator| operator.len())
}

const KEYWORDS: &str = "select distinct all from where group by having order asc desc nulls first last limit offset with \
    recursive as materialized not union intersect except values join inner left right full outer cross natural using on \
    case when then else end and or in is null true false isnull notnull between like glob match escape exists cast \
    collate over partition window range rows groups unbounded preceding following current row exclude no others ties filter \
    int integer tinyint smallint mediumint bigint int2 int8 real double precision float numeric decimal boolean text char \
    character varying varchar nchar nvarchar clob blob date datetime substring substr trim ceil floor";

/// Keywords of `parse.y` that do not fall back to a name, and the constants.
const RESERVED: &str = "add all alter and as autoincrement between case check collate commit constraint create cross \
    current_date current_time current_timestamp default deferrable delete distinct drop else escape except exists false \
    foreign from full group having in index inner insert intersect into is isnull join left limit natural not \
    notnull null on or order outer primary raise references returning right select set table then to transaction true \
    union unique update using values when where";

const AGGREGATES: &str = "count sum avg min max total group_concat string_agg json_group_array json_group_object median \
    percentile";
const WINDOWS: &str =
    "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value";
const NUMBERS: &str = "abs round sign ceil ceiling floor trunc mod power pow sqrt exp ln log log10 log2 pi degrees radians \
    sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh random";
const STRINGS: &str = "lower upper length octet_length substr substring trim ltrim rtrim replace instr char unicode hex \
    quote format printf concat concat_ws like glob soundex typeof";
const DATES: &str = "date time datetime julianday unixepoch strftime timediff";
const JSON: &str = "json json_array json_array_length json_extract json_object json_type json_valid json_quote json_patch \
    json_remove json_set json_replace json_insert jsonb_extract json_pretty";
const CONDITIONS: &str = "coalesce ifnull nullif iif if likely unlikely likelihood";
