//! SQL Server 2016 to 2022, from the Transact-SQL reference.
//!
//! A batch needs no semicolons, so a word that could begin a statement is never taken for a name unless it is quoted.
//! The session that runs the text pins `QUOTED_IDENTIFIER ON`. Not in the lists on purpose: whatever reads files, the
//! catalog, settings or other servers, waits, locks, numbers sequences, opens keys, or is the user's own.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::dialect::{Dialect, words};
use super::mssql_grammar::MssqlGrammar;

pub static DIALECT: LazyLock<Dialect> = LazyLock::new(|| Dialect {
    parser: &MssqlGrammar,

    line_comment_ends: &['\n', '\r'],
    line_comments: |rest| rest.starts_with("--"),
    executable_comments: false,
    nested_comments: true,
    identifier_quotes: &['"', '['],
    quotes: ('[', ']'),
    double_quoted_text: false,
    backslash_escapes: false,
    hex_numbers: true,
    money_numbers: true,
    calls_touch: false,
    dollar_in_names: false,
    dollar_quotes: false,
    unicode_escapes: false,
    text_prefixes: &["n"],
    arrays: false,
    max_name_bytes: 256,
    operator_length,
    operators: words(&["+ - * / % = <> != !< !> < > <= >= & | ^ ~"]),

    keywords: words(&[KEYWORDS, FIELDS, TYPE_WORDS]),
    reserved: words(&[RESERVED]),
    needs_as: words(&[STARTERS]),
    any_word_after_as: false,
    parser_gaps: words(&["option hash loop remote within"]),
    passed_over: |_, _| 0,
    shown_as: |_, _| None,

    folds_quoted: true,
    spells_tables: true,
    system_columns: words(&["$rowguid $identity $action $node_id $edge_id $from_id $to_id"]),
    row_ids: words(&[]),
    system_schemas: words(&["sys information_schema master msdb tempdb model resource guest"]),
    system_prefixes: &[],

    functions: words(&[AGGREGATES, WINDOWS, NUMBERS, STRINGS, DATES, JSON, CONDITIONS]),
    constants: words(&["current_timestamp current_date"]),
    table_functions: HashMap::from([
        ("string_split", &["value", "ordinal"] as &[&str]),
        ("openjson", &["key", "value", "type"]),
        ("generate_series", &["value"]),
    ]),
    row_functions: words(&[]),
    sized_functions: HashMap::from([("replicate", 1), ("space", 0)]),
    format_functions: words(&[]),
    part_functions: HashMap::from([
        ("dateadd", 0),
        ("datediff", 0),
        ("datediff_big", 0),
        ("datename", 0),
        ("datepart", 0),
        ("datetrunc", 0),
        ("date_bucket", 0),
    ]),
    date_parts: words(&[FIELDS]),
    introducers: words(&[]),
    builtin_schema: None,
    types: words(&[
        "bit tinyint smallint int bigint decimal numeric money smallmoney float real date time datetime datetime2",
        "smalldatetime datetimeoffset char varchar nchar nvarchar text ntext binary varbinary uniqueidentifier xml json",
        "sysname sql_variant",
    ]),
    collations: None,

    lateral: false,
    apply: true,
    join_scopes: true,
    bare_joins: false,
    names_calls: false,
    qualifies_tables: true,
    aliases_everywhere: false,
    aliases_in_having: false,
    ctes_see_all: true,
    double_quoted_strings: false,
    table_match: false,
    text_aliases: true,
    merged_columns_first: true,
});

fn operator_length(rest: &str) -> usize {
    const OPERATORS: [&str; 26] = [
        "<=", ">=", "<>", "!=", "!<", "!>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "::", "=", "<", ">", "+",
        "-", "*", "/", "%", "&", "|", "^",
    ];
    let one = || usize::from(rest.starts_with('~'));
    OPERATORS.iter().find(|operator| rest.starts_with(**operator)).map_or_else(one, |operator| operator.len())
}

const KEYWORDS: &str = "select distinct all from where group by having order asc desc top percent ties offset fetch next \
    first row rows only with as not union intersect except values join inner left right full outer cross apply on case \
    when then else end and or in is null between like escape exists any some cast try_cast convert try_convert collate \
    over partition window range unbounded preceding following current within rollup cube grouping sets at zone for \
    json xml path auto raw root type elements base64 include_null_values without_array_wrapper pivot unpivot openjson sum avg min max count count_big stdev var \
    ceil floor substring trim leading trailing both position respect ignore nulls distinct separator";

const FIELDS: &str = "year yyyy yy quarter qq q month mm m dayofyear dy y day dd d week wk ww weekday dw w iso_week isowk \
    isoww hour hh minute mi n second ss s millisecond ms microsecond mcs nanosecond ns tzoffset tz";

const TYPE_WORDS: &str = "bit tinyint smallint int integer bigint decimal dec numeric money smallmoney float real double \
    precision date time datetime datetime2 smalldatetime datetimeoffset char character varchar varying nchar nvarchar \
    text ntext binary varbinary uniqueidentifier xml json max sql_variant sysname";

/// Reserved keywords of Transact-SQL, and those of ODBC that it may reserve.
const RESERVED: &str = "add all alter and any as asc authorization backup begin between break browse bulk by cascade case \
    check checkpoint close clustered coalesce collate column commit compute constraint contains containstable continue \
    convert create cross current current_date current_time current_timestamp current_user cursor database dbcc \
    deallocate declare default delete deny desc disk distinct distributed double drop dump else end errlvl escape \
    except exec execute exists exit external fetch file fillfactor for foreign freetext freetexttable from full \
    function goto grant group having holdlock identity identity_insert identitycol if in index inner insert intersect \
    into is join key kill left like lineno load merge national nocheck nonclustered not null nullif of off offsets on \
    open opendatasource openquery openrowset openxml option or order outer over percent pivot plan precision primary \
    print proc procedure public raiserror read readtext reconfigure references replication restore restrict return \
    revert revoke right rollback rowcount rowguidcol rule save schema securityaudit select semantickeyphrasetable \
    semanticsimilaritydetailstable semanticsimilaritytable session_user set setuser shutdown some statistics \
    system_user table tablesample textsize then to top tran transaction trigger truncate try_convert tsequal union \
    unique unpivot update updatetext use user values varying view waitfor when where while with within writetext";

/// Words that begin a statement, or end a batch, without being reserved.
const STARTERS: &str = "go throw receive send get move enable disable";

const AGGREGATES: &str = "count count_big sum avg min max stdev stdevp var varp string_agg checksum_agg \
    approx_count_distinct grouping grouping_id approx_percentile_cont approx_percentile_disc";
const WINDOWS: &str = "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value \
    percentile_cont percentile_disc";
const NUMBERS: &str = "abs ceiling floor round sign power square sqrt exp log log10 pi degrees radians sin cos tan cot asin \
    acos atan atn2 rand greatest least ceil bit_count left_shift right_shift";
const STRINGS: &str = "lower upper len datalength left right substring trim ltrim rtrim replicate space replace reverse \
    concat concat_ws charindex patindex ascii unicode char nchar stuff translate str format quotename soundex difference \
    hashbytes checksum binary_checksum string_escape isnumeric";
const DATES: &str = "getdate getutcdate sysdatetime sysutcdatetime sysdatetimeoffset dateadd datediff datediff_big datename \
    datepart datetrunc date_bucket day month year eomonth datefromparts timefromparts datetimefromparts \
    datetime2fromparts smalldatetimefromparts datetimeoffsetfromparts isdate switchoffset todatetimeoffset";
const JSON: &str = "json_value json_query json_modify isjson json_object json_array json_path_exists json_arrayagg \
    json_objectagg";
const CONDITIONS: &str = "coalesce nullif isnull iif choose";
