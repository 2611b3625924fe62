//! MySQL 8 and MariaDB 10.6 and later, from `sql_lex.cc`, `lex.h` and the manuals of both.
//!
//! The session that runs the text pins `sql_mode` without `ANSI_QUOTES`, `PIPES_AS_CONCAT`, `NO_BACKSLASH_ESCAPES` and
//! `IGNORE_SPACE`; what would be read differently under them is refused all the same. Not in the lists on purpose:
//! whatever reads files, variables, the session or the server, waits, locks, burns time (`benchmark`), answers by its
//! errors (`extractvalue`, `updatexml`), or is loaded from outside.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlparser::dialect::MySqlDialect;
use sqlparser::tokenizer::Token;

use super::dialect::{Dialect, words};

pub static DIALECT: LazyLock<Dialect> = LazyLock::new(|| Dialect {
    parser: &MySqlDialect {},

    line_comment_ends: &['\n'],
    line_comments,
    executable_comments: true,
    nested_comments: false,
    identifier_quotes: &['`'],
    quotes: ('`', '`'),
    double_quoted_text: true,
    backslash_escapes: true,
    hex_numbers: true,
    money_numbers: false,
    calls_touch: true,
    dollar_in_names: true,
    dollar_quotes: false,
    unicode_escapes: false,
    text_prefixes: &["x", "b", "n"],
    arrays: false,
    max_name_bytes: 256,
    operator_length,
    operators: words(&["+ - * / % = <=> <> != < > <= >= || && | & ^ ~ ! << >> -> ->>"]),

    keywords: words(&[KEYWORDS, FIELDS]),
    reserved: words(&[RESERVED]),
    needs_as: words(&[]),
    any_word_after_as: false,
    parser_gaps: words(&["member character sounds soname over"]),
    passed_over: |_, _| 0,
    shown_as,

    folds_quoted: true,
    spells_tables: true,
    system_columns: words(&[]),
    row_ids: words(&["_rowid"]),
    system_schemas: words(&["mysql information_schema performance_schema sys"]),
    system_prefixes: &[],

    functions: words(&[AGGREGATES, WINDOWS, NUMBERS, STRINGS, DATES, JSON, CONDITIONS]),
    constants: words(&[
        "current_date current_time current_timestamp localtime localtimestamp utc_date utc_time utc_timestamp",
    ]),
    table_functions: HashMap::new(),
    row_functions: words(&[]),
    sized_functions: HashMap::from([("repeat", 1), ("lpad", 1), ("rpad", 1), ("space", 0)]),
    format_functions: words(&[]),
    part_functions: HashMap::from([("timestampdiff", 0), ("timestampadd", 0)]),
    date_parts: words(&[FIELDS]),
    introducers: words(&["_utf8 _utf8mb3 _utf8mb4 _latin1 _ascii _binary"]),
    builtin_schema: None,
    types: words(&["signed unsigned binary year datetime time date char nchar decimal double float real json"]),
    collations: None,

    lateral: true,
    apply: false,
    join_scopes: true,
    bare_joins: true,
    names_calls: false,
    qualifies_tables: false,
    aliases_everywhere: false,
    aliases_in_having: true,
    ctes_see_all: false,
    double_quoted_strings: false,
    table_match: false,
    text_aliases: true,
    merged_columns_first: true,
});

/// Two hyphens begin a comment only before white space; `5--2` is seven.
fn line_comments(rest: &str) -> bool {
    rest.starts_with('#')
        || rest
            .strip_prefix("--")
            .is_some_and(|after| after.chars().next().is_none_or(|c| c.is_ascii_whitespace() || c.is_control()))
}

fn operator_length(rest: &str) -> usize {
    const OPERATORS: [&str; 25] = [
        "<=>", "->>", "->", "||", "&&", "<<", ">>", "<=", ">=", "<>", "!=", ":=", "=", "<", ">", "+", "-", "*", "/",
        "%", "&", "|", "^", "~", "!",
    ];
    OPERATORS.iter().find(|operator| rest.starts_with(**operator)).map_or(0, |operator| operator.len())
}

/// `!` is NOT, MOD between two operands is the sign `%`, and intervals of two fields read as those of one do.
fn shown_as(before: &[&str], word: &str) -> Option<Token> {
    const PAIRS: [&str; 11] = [
        "year_month",
        "day_hour",
        "day_minute",
        "day_second",
        "day_microsecond",
        "hour_minute",
        "hour_second",
        "hour_microsecond",
        "minute_second",
        "minute_microsecond",
        "second_microsecond",
    ];
    let is = |token: &str, keyword: &str| token.eq_ignore_ascii_case(keyword);
    let ends_operand = |token: &&&str| {
        let first = token.chars().next().unwrap_or(' ');
        let word = first.is_ascii_alphabetic() || first == '_';
        (word && !super::dialect::contains(&DIALECT.reserved, token) && !is(token, "select"))
            || first.is_ascii_digit()
            || matches!(first, ')' | '`' | '\'' | '"')
    };
    match before {
        _ if word == "!" => Some(Token::make_keyword("NOT")),
        [.., last] if is(word, "mod") => Some(last).filter(ends_operand).map(|_| Token::Mod),
        [.., extract, "("] if is(extract, "extract") && PAIRS.iter().any(|pair| is(word, pair)) => {
            Some(Token::make_keyword("YEAR"))
        }
        [.., interval, _] if is(interval, "interval") && PAIRS.iter().any(|pair| is(word, pair)) => {
            Some(Token::make_keyword("YEAR"))
        }
        _ => None,
    }
}

const KEYWORDS: &str = "select distinct distinctrow all from dual where group by having order asc desc limit offset with \
    recursive as not union intersect except values row join inner left right outer cross straight_join natural using on lateral \
    case when then else end and or xor div mod in is null true false unknown between like rlike regexp escape exists any \
    some cast convert extract interval collate over partition window range rows unbounded preceding following current \
    rollup separator match against boolean mode language query expansion use force ignore index key for \
    high_priority sql_small_result sql_big_result sql_buffer_result sql_no_cache sql_calc_found_rows \
    substring substr trim both leading trailing position ceil floor character set charset binary \
    signed unsigned integer int char nchar varchar date datetime time timestamp year decimal dec double float real json \
    json_table columns path ordinality nested error empty default";

const FIELDS: &str = "microsecond second minute hour day week month quarter year second_microsecond minute_microsecond \
    minute_second hour_microsecond hour_second hour_minute day_microsecond day_second day_minute day_hour year_month";

/// Reserved words of MySQL 8.4 and MariaDB 11 together.
const RESERVED: &str = "accessible add all alter analyze and as asc asensitive before between bigint binary blob both by \
    call cascade case change char character check collate column condition constraint continue convert create cross \
    cube cume_dist current_date current_role current_time current_timestamp current_user cursor database databases \
    day_hour day_microsecond day_minute day_second dec decimal declare default delayed delete delete_domain_id \
    dense_rank desc describe deterministic distinct distinctrow div do_domain_ids double drop dual each else elseif \
    empty enclosed escaped except exists exit explain false fetch first_value float float4 float8 for force foreign \
    from fulltext function general generated get grant group grouping groups having high_priority hour_microsecond \
    hour_minute hour_second if ignore ignore_domain_ids in index infile inner inout insensitive insert int int1 int2 \
    int3 int4 int8 integer intersect interval into io_after_gtids io_before_gtids is iterate join json_table key keys \
    kill lag last_value lateral lead leading leave left like limit linear lines load localtime localtimestamp lock \
    long longblob longtext loop low_priority manual master_bind master_heartbeat_period \
    master_ssl_verify_server_cert match maxvalue mediumblob mediumint mediumtext middleint minute_microsecond \
    minute_second mod modifies natural no_write_to_binlog not nth_value ntile null numeric of offset on optimize \
    optimizer_costs option optionally or order out outer outfile over page_checksum parallel parse_vcol_expr partition \
    percent_rank precision primary procedure purge qualify range rank read reads read_write real recursive \
    ref_system_id references regexp release rename repeat replace require resignal restrict return returning revoke \
    right rlike row row_number rows schema schemas second_microsecond select sensitive separator set show signal slow \
    smallint spatial specific sql sqlexception sqlstate sqlwarning sql_big_result sql_calc_found_rows sql_small_result \
    ssl starting stats_auto_recalc stats_persistent stats_sample_pages stored straight_join system table tablesample \
    terminated then tinyblob tinyint tinytext to trailing trigger true undo union unique unlock unsigned update usage \
    use using utc_date utc_time utc_timestamp values varbinary varchar varcharacter varying virtual when where while \
    window with write xor year_month zerofill";

const AGGREGATES: &str = "count sum avg min max group_concat json_arrayagg json_objectagg bit_and bit_or bit_xor std \
    stddev stddev_pop stddev_samp variance var_pop var_samp any_value grouping median percentile_cont percentile_disc";
const WINDOWS: &str =
    "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value";
const NUMBERS: &str = "abs ceil ceiling floor round truncate sign mod pow power sqrt exp ln log log2 log10 pi degrees \
    radians sin cos tan cot asin acos atan atan2 greatest least crc32 conv bin oct format rand bit_count";
const STRINGS: &str = "lower upper lcase ucase length char_length character_length octet_length bit_length left right \
    substr substring substring_index mid trim ltrim rtrim lpad rpad repeat space replace reverse concat concat_ws \
    instr locate position strcmp ascii ord char hex unhex md5 sha1 sha sha2 to_base64 from_base64 quote elt field \
    find_in_set make_set export_set insert regexp_replace regexp_substr regexp_like regexp_instr soundex weight_string \
    inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv6 uuid_to_bin bin_to_uuid is_uuid";
const DATES: &str = "now curdate curtime current_date current_time current_timestamp localtime localtimestamp sysdate \
    utc_date utc_time utc_timestamp date time timestamp year quarter month week day hour minute second microsecond \
    dayofmonth dayofweek dayofyear weekday weekofyear yearweek dayname monthname last_day date_add date_sub adddate \
    subdate addtime subtime datediff timediff timestampdiff timestampadd date_format time_format str_to_date makedate \
    maketime period_add period_diff to_days from_days to_seconds sec_to_time time_to_sec unix_timestamp from_unixtime \
    convert_tz extract";
const JSON: &str = "json_extract json_unquote json_value json_query json_contains json_contains_path json_keys json_length \
    json_depth json_type json_valid json_array json_object json_quote json_search json_overlaps json_pretty \
    json_compact json_detailed json_loose json_exists json_merge_patch json_merge_preserve json_set json_insert \
    json_replace json_remove json_array_append json_array_insert json_schema_valid";
const CONDITIONS: &str = "coalesce ifnull nullif if isnull nvl nvl2 interval";
