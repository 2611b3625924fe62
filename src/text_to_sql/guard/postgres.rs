//! PostgreSQL 15 to 18, from `scan.l`, `kwlist.h` and the chapters on functions of its manual.
//!
//! Not in the lists on purpose: whatever runs SQL text (`query_to_xml`, `ts_stat`, `ts_rewrite`), reads files, settings,
//! catalogs, sizes, sequences or large objects, locks, sleeps, notifies, writes the log, or depends on the session.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlparser::dialect::PostgreSqlDialect;

use super::dialect::{Dialect, words};

pub static DIALECT: LazyLock<Dialect> = LazyLock::new(|| Dialect {
    parser: &PostgreSqlDialect {},

    line_comment_ends: &['\n', '\r'],
    line_comments: |rest| rest.starts_with("--"),
    executable_comments: false,
    nested_comments: true,
    identifier_quotes: &['"'],
    quotes: ('"', '"'),
    double_quoted_text: false,
    backslash_escapes: false,
    hex_numbers: false,
    money_numbers: false,
    calls_touch: false,
    dollar_in_names: true,
    dollar_quotes: true,
    unicode_escapes: true,
    text_prefixes: &["e", "x", "b", "n"],
    arrays: true,
    max_name_bytes: 63,
    operator_length,
    operators: words(&[
        "+ - * / % ^ = <> != < > <= >= || | & # ~ << >> |/ ||/ @ ::",
        "~* !~ !~* ~~ ~~* !~~ !~~* ^@",
        "-> ->> #> #>> #- @> <@ @? @@ ? ?& ?| && <-> -|- &< &> =>",
    ]),

    keywords: words(&[KEYWORDS, FIELDS, TYPE_WORDS]),
    reserved: words(&[RESERVED]),
    needs_as: words(&[NEEDS_AS]),
    any_word_after_as: true,
    parser_gaps: words(&["search cycle json_table rows"]),
    passed_over,
    shown_as: |_, _| None,

    folds_quoted: false,
    spells_tables: false,
    system_columns: words(&["ctid xmin xmax cmin cmax tableoid"]),
    row_ids: words(&[]),
    system_schemas: words(&["pg_catalog information_schema pg_toast pg_temp"]),
    system_prefixes: &["pg_"],

    functions: words(&[
        AGGREGATES,
        WINDOWS,
        NUMBERS,
        STRINGS,
        DATES,
        JSON,
        ARRAYS,
        RANGES,
        TEXT_SEARCH,
        CONDITIONS,
        SETS,
    ]),
    constants: words(&["current_date current_time current_timestamp localtime localtimestamp"]),
    table_functions: HashMap::from([
        ("unnest", &[] as &[&str]),
        ("generate_series", &[]),
        ("generate_subscripts", &[]),
        ("regexp_matches", &[]),
        ("regexp_split_to_table", &[]),
        ("string_to_table", &[]),
        ("jsonb_array_elements", &["value"]),
        ("jsonb_array_elements_text", &["value"]),
        ("json_array_elements", &["value"]),
        ("json_array_elements_text", &["value"]),
        ("jsonb_object_keys", &[]),
        ("json_object_keys", &[]),
        ("jsonb_path_query", &[]),
        ("jsonb_each", &["key", "value"]),
        ("jsonb_each_text", &["key", "value"]),
        ("json_each", &["key", "value"]),
        ("json_each_text", &["key", "value"]),
        ("jsonb_to_record", &[]),
        ("jsonb_to_recordset", &[]),
        ("json_to_record", &[]),
        ("json_to_recordset", &[]),
    ]),
    row_functions: words(&["count json_agg jsonb_agg row_to_json to_json to_jsonb"]),
    sized_functions: HashMap::from([("repeat", 1), ("lpad", 1), ("rpad", 1)]),
    format_functions: words(&["format"]),
    part_functions: HashMap::new(),
    date_parts: words(&[]),
    introducers: words(&[]),
    builtin_schema: Some("pg_catalog."),
    types: words(&[
        "bool boolean smallint int2 int integer int4 bigint int8 numeric decimal dec real float float4 float8 double money",
        "text varchar char character bpchar citext uuid bytea bit varbit date time timetz timestamp timestamptz",
        "interval json jsonb jsonpath inet cidr macaddr tsvector tsquery point",
        "int4range int8range numrange tsrange tstzrange daterange",
        "int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange",
    ]),
    collations: None,

    lateral: true,
    apply: false,
    join_scopes: true,
    bare_joins: false,
    names_calls: true,
    qualifies_tables: true,
    aliases_everywhere: false,
    aliases_in_having: false,
    ctes_see_all: false,
    double_quoted_strings: false,
    table_match: false,
    text_aliases: false,
    merged_columns_first: true,
});

/// `BETWEEN SYMMETRIC`, and what a window frame excludes: neither changes what is read.
fn passed_over(before: &str, from_here: &[&str]) -> usize {
    let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
    match from_here {
        [symmetric, ..] if is(before, "between") && (is(symmetric, "symmetric") || is(symmetric, "asymmetric")) => 1,
        // In `f(a, VARIADIC b)` the values of `b` are arguments one by one.
        [variadic, ..] if matches!(before, "," | "(") && is(variadic, "variadic") => 1,
        _ => excluded(before, from_here),
    }
}

/// `EXCLUDE TIES` and its kin, at the end of a window frame.
pub fn excluded(before: &str, from_here: &[&str]) -> usize {
    let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
    let frame_ends = ["row", "preceding", "following"].iter().any(|end| is(before, end));
    match from_here {
        [exclude, what, ..] if frame_ends && is(exclude, "exclude") && (is(what, "group") || is(what, "ties")) => 2,
        [exclude, current, row, ..] if frame_ends && is(exclude, "exclude") => {
            3 * usize::from((is(current, "current") && is(row, "row")) || (is(current, "no") && is(row, "others")))
        }
        _ => 0,
    }
}

/// The longest run of operator characters, cut at a comment; a longer one may end in `+` or `-` only with one of `~!@#%^&|?` in it.
fn operator_length(rest: &str) -> usize {
    const OPERATOR: &str = "+-*/<>=~!@#%^&|`?";
    let run = &rest[..rest.find(|c| !OPERATOR.contains(c)).unwrap_or(rest.len())];
    let comment = ["--", "/*"].iter().filter_map(|start| run.find(start)).min();
    let mut run = &run[..comment.unwrap_or(run.len())];
    if !run.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) {
        while run.len() > 1 && run.ends_with(['+', '-']) {
            run = &run[..run.len() - 1];
        }
    }
    run.len()
}

const KEYWORDS: &str = "select distinct on all from where group by having order asc desc nulls first last limit offset \
    fetch next row rows only ties with recursive as materialized not union intersect except values join inner left right \
    full outer cross natural using lateral ordinality tablesample bernoulli system repeatable case when then else end \
    and or in is null true false unknown between like ilike similar to escape exists any some array cast extract \
    interval at zone collate over partition window range groups unbounded preceding following current filter within \
    rollup cube grouping sets unnest substring substr trim both leading trailing position overlay placing for ceil floor isnull notnull \
    symmetric asymmetric variadic exclude others no normalized nfc nfd nfkc nfkd overlaps json scalar object unique keys without value";

const FIELDS: &str = "year month day hour minute second quarter week dow doy epoch century decade millennium millenium \
    milliseconds microseconds millisecond microsecond isodow isoyear julian timezone timezone_hour timezone_minute";

const TYPE_WORDS: &str = "bool boolean smallint int2 int integer int4 bigint int8 numeric decimal dec real float float4 \
    float8 double precision text varchar char character varying uuid bytea bit varbit date time timestamp timestamptz \
    timetz interval json jsonb tsvector tsquery point zone with without";

/// `RESERVED_KEYWORD` and `TYPE_FUNC_NAME_KEYWORD` of `kwlist.h`, and the bare-word functions among the others.
const RESERVED: &str = "all analyse analyze and any array as asc asymmetric both case cast check collate column \
    constraint create current_catalog current_date current_role current_time current_timestamp current_user default \
    deferrable desc distinct do else end except false fetch for foreign from grant group having in initially intersect \
    into lateral leading limit localtime localtimestamp not null offset on only or order placing primary references \
    returning select session_user some symmetric system_user table then to trailing true union unique user using \
    variadic when where window with authorization binary collation concurrently cross current_schema freeze full ilike \
    inner is isnull join left like natural notnull outer overlaps right similar tablesample verbose";

/// `AS_LABEL` of `kwlist.h`.
const NEEDS_AS: &str = "array as char character create day except fetch filter for from grant group having hour \
    intersect into isnull limit minute month notnull offset on order over overlaps precision returning second to union \
    varying where window with within without year";

const AGGREGATES: &str = "count sum avg min max string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg \
    bool_and bool_or every bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop \
    covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy \
    percentile_cont percentile_disc mode grouping any_value range_agg";
const WINDOWS: &str =
    "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value";
const NUMBERS: &str = "abs ceil ceiling floor round trunc sign mod div power sqrt cbrt exp ln log log10 gcd lcm pi degrees \
    radians sin cos tan asin acos atan atan2 cot sinh cosh tanh width_bucket random scale trim_scale min_scale \
    greatest least";
const STRINGS: &str = "lower upper initcap length char_length character_length octet_length bit_length left right \
    substr substring trim btrim ltrim rtrim lpad rpad repeat replace translate reverse concat concat_ws split_part \
    strpos position overlay starts_with ascii chr md5 sha256 encode decode format regexp_replace regexp_match \
    regexp_matches regexp_substr regexp_count regexp_instr regexp_like regexp_split_to_array quote_literal quote_ident \
    to_hex normalize casefold";
const DATES: &str = "now date_trunc date_part date_bin extract age to_char to_date to_timestamp to_number make_date \
    make_time make_timestamp make_timestamptz make_interval justify_days justify_hours justify_interval isfinite \
    date_add date_subtract timezone overlaps";
const JSON: &str = "to_json to_jsonb row_to_json json_build_object jsonb_build_object json_build_array jsonb_build_array \
    json_object jsonb_object json_array json_array_length jsonb_array_length json_typeof jsonb_typeof json_extract_path \
    jsonb_extract_path json_extract_path_text jsonb_extract_path_text jsonb_path_exists jsonb_path_match \
    jsonb_path_query_array jsonb_path_query_first jsonb_strip_nulls json_strip_nulls jsonb_pretty jsonb_set \
    json_value json_query json_exists json_arrayagg json_objectagg";
const ARRAYS: &str = "array array_length array_ndims array_upper array_lower array_position array_positions array_append \
    array_prepend array_cat array_remove array_replace array_to_string string_to_array cardinality array_to_json \
    array_dims trim_array array_to_tsvector";
const RANGES: &str = "isempty lower_inc upper_inc lower_inf upper_inf range_merge int4range int8range numrange tsrange \
    tstzrange daterange";
const TEXT_SEARCH: &str = "to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd \
    ts_headline setweight numnode strip tsvector_to_array";
const CONDITIONS: &str = "coalesce nullif row num_nonnulls num_nulls";
const SETS: &str = "unnest generate_series generate_subscripts jsonb_array_elements jsonb_array_elements_text \
    json_array_elements json_array_elements_text jsonb_object_keys json_object_keys jsonb_path_query jsonb_each \
    jsonb_each_text json_each json_each_text regexp_split_to_table string_to_table";
