//! Why a result may be empty: texts that a statement looks for, and that no known value is spelled like.
//!
//! Known are the values that introspection sampled, the labels of enumerations, and what people gave as examples; never
//! those of hidden or masked columns, nor of tables with a row filter, whose values are not everybody's. A value that is
//! near enough to be meant is named, and where one text alone is to be mended in one way, the mended statement is offered.
//! It is a proposal: it goes through the guard like any other.

use sqlparser::ast::{BinaryOperator, Expr, FunctionArguments, Query, Statement, Value, ValueWithSpan};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Location;

use super::guard::distance;
use super::lint::MAX_SQL_BYTES;
use super::lint::scope::{Output, Scope, label};
use super::lint::tree::{arguments, bare, name};
use super::lint::walk::{self, Looked, Visit};
use super::schema::{Column, Engine, Schema};
use super::terms::dialect;

/// What was looked for and is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nearest {
    /// A sentence for each text.
    pub notes: Vec<String>,
    /// The statement with the nearest value in place of the only text that is not known.
    pub suggestion: Option<String>,
}

/// Texts of one statement that are looked at.
const MAX_TEXTS: usize = 20;
/// Values that a text is compared with: edit distance takes quadratic time, in texts of this many characters.
const MAX_VALUES: usize = 2_000;
const MAX_CHARS: usize = 64;

/// Meant for statements that gave no rows.
pub fn nearest(sql: &str, schema: &Schema) -> Nearest {
    let parsed = Parser::parse_sql(dialect(schema.engine), sql);
    let (true, Ok([Statement::Query(query)])) = (sql.len() <= MAX_SQL_BYTES, parsed.as_deref()) else {
        return Nearest::default();
    };
    let unknown = unknown(query, schema);
    let suggestion = match &unknown[..] {
        [only] => only.mended(sql, schema.engine),
        _ => None,
    };
    Nearest { notes: unknown.iter().map(Unknown::note).collect(), suggestion }
}

fn unknown<'a>(query: &'a Query, schema: &'a Schema) -> Vec<Unknown> {
    let mut seeker = Seeker { engine: schema.engine, found: Vec::new(), looked_at: 0 };
    walk::all(query, schema, &mut seeker);
    seeker.found
}

/// A text that no known value is spelled like.
struct Unknown {
    column: String,
    text: String,
    /// The pattern around it, if it is part of one.
    pattern: Option<String>,
    near: Near,
    at: (Location, Location),
}

/// Values that may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Near {
    None,
    One(String),
    /// Several are equally near; this is the first.
    Several(String),
}

struct Seeker {
    engine: Engine,
    found: Vec<Unknown>,
    looked_at: usize,
}

impl Visit for Seeker {
    fn select(&mut self, looked: &Looked) {
        for expr in &looked.parts.exprs {
            for (column, text, how) in texts(expr) {
                if self.looked_at == MAX_TEXTS {
                    return;
                }
                self.looked_at += 1;
                self.found.extend(self.unknown(looked.scope, column, text, how));
            }
        }
        // Expressions come from the last to the first.
        self.found.sort_by_key(|unknown| (unknown.at.0.line, unknown.at.0.column));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Equal,
    /// LIKE, and ILIKE where there is one.
    Like {
        folds: bool,
    },
}

/// The texts that an expression asks a column to be, or to be like.
fn texts(expr: &Expr) -> Vec<(&Expr, &ValueWithSpan, How)> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let pair = [(&**left, &**right), (&**right, &**left)];
            pair.into_iter().filter_map(|(column, text)| Some((column, literal(text)?, How::Equal))).collect()
        }
        Expr::InList { expr, list, negated: false } => {
            list.iter().filter_map(|text| Some((&**expr, literal(text)?, How::Equal))).collect()
        }
        Expr::Like { expr, pattern, negated: false, escape_char: None, .. } => {
            literal(pattern).map(|text| (&**expr, text, How::Like { folds: false })).into_iter().collect()
        }
        Expr::ILike { expr, pattern, negated: false, escape_char: None, .. } => {
            literal(pattern).map(|text| (&**expr, text, How::Like { folds: true })).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn literal(expr: &Expr) -> Option<&ValueWithSpan> {
    match bare(expr) {
        Expr::Value(value) => text_of(&value.value).map(|_| value),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) | Value::NationalStringLiteral(text) => Some(text),
        _ => None,
    }
}

impl Seeker {
    fn unknown(&self, scope: &Scope, column: &Expr, value: &ValueWithSpan, how: How) -> Option<Unknown> {
        let (column, lowered) = unwrapped(column);
        let output = scope.column(column)?;
        let known = known_values(output)?;
        let written = text_of(&value.value)?;
        let folds = lowered || self.folds(how);
        let text = match how {
            How::Equal => written,
            // Only the plain forms: a beginning, an end, a part.
            How::Like { .. } => written.trim_matches('%'),
        };
        let plain = how == How::Equal || !text.contains(['%', '_', '\\']);
        if text.trim().is_empty() || !plain || known.iter().any(|known| fits(known, written, text, how, folds)) {
            return None;
        }
        let pattern = (how != How::Equal).then(|| written.to_owned());
        let near = near(text, &known);
        Some(Unknown {
            column: label(output),
            text: text.to_owned(),
            pattern,
            near,
            at: (value.span.start, value.span.end),
        })
    }

    /// Whether the engine takes upper and lower case for the same here, as it comes.
    fn folds(&self, how: How) -> bool {
        match (self.engine, how) {
            (_, How::Like { folds: true }) | (Engine::Mysql | Engine::Mssql, _) => true,
            (Engine::Sqlite, How::Like { .. }) => true,
            (Engine::Postgres | Engine::Sqlite, _) => false,
        }
    }
}

/// Without `lower` or `upper` around it.
fn unwrapped(expr: &Expr) -> (&Expr, bool) {
    let Expr::Function(function) = bare(expr) else { return (expr, false) };
    match &function.args {
        FunctionArguments::List(list) if ["lower", "upper"].contains(&name(function).as_str()) => {
            (arguments(list).next().unwrap_or(expr), true)
        }
        _ => (expr, false),
    }
}

/// What a column is known to hold; none where nothing is, or where not everybody may know it.
fn known_values<'a>(output: &Output<'a>) -> Option<Vec<&'a str>> {
    let (table, column) = output.table.zip(output.column)?;
    let Column { sample_values, enum_values, example_values, hidden, masked, .. } = column;
    if *hidden || *masked || table.hidden || table.row_filter.is_some() {
        return None;
    }
    if sample_values.is_empty() && enum_values.is_empty() {
        return None;
    }
    let values = enum_values.iter().chain(sample_values).chain(example_values);
    Some(values.map(String::as_str).collect())
}

fn fits(known: &str, written: &str, text: &str, how: How, folds: bool) -> bool {
    let fold = |text: &str| if folds { text.to_lowercase() } else { text.to_owned() };
    let (known, text) = (fold(known), fold(text));
    match (how, written.starts_with('%'), written.ends_with('%')) {
        (How::Equal, ..) | (_, false, false) => known.trim_end() == text.trim_end(),
        (_, true, true) => known.contains(&text),
        (_, true, false) => known.ends_with(&text),
        (_, false, true) => known.starts_with(&text),
    }
}

/// The known value that is a slip of the hand away, or has the same words.
fn near(text: &str, known: &[&str]) -> Near {
    if text.chars().count() > MAX_CHARS {
        return Near::None;
    }
    let lowered = text.to_lowercase();
    let short = known.iter().take(MAX_VALUES).filter(|value| value.chars().count() <= MAX_CHARS);
    let scored: Vec<(usize, &str)> =
        short.filter_map(|value| Some((remoteness(&lowered, &value.to_lowercase())?, *value))).collect();
    let Some(best) = scored.iter().map(|(remoteness, _)| *remoteness).min() else { return Near::None };
    let mut nearest: Vec<&str> = scored.iter().filter(|(remoteness, _)| *remoteness == best).map(|it| it.1).collect();
    nearest.dedup();
    match nearest[..] {
        [only] => Near::One(only.to_owned()),
        [first, ..] => Near::Several(first.to_owned()),
        [] => Near::None,
    }
}

/// 0: the same but for case, spaces and punctuation. None: something else.
fn remoteness(text: &str, value: &str) -> Option<usize> {
    let words = |text: &str| -> Vec<String> {
        text.split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (ours, theirs) = (words(text), words(value));
    if !ours.is_empty() && ours.concat() == theirs.concat() {
        return Some(0);
    }
    let edits = distance(text, value);
    let shorter = text.chars().count().min(value.chars().count());
    if edits <= 1 + shorter / 4 && edits < shorter {
        return Some(edits);
    }
    // All words of the one are in the other: "Berlin" and "Berlin (East)".
    let within = |few: &[String], many: &[String]| few.iter().all(|word| many.contains(word));
    let (few, many) = if ours.len() <= theirs.len() { (&ours, &theirs) } else { (&theirs, &ours) };
    let told = few.iter().any(|word| word.chars().count() > 2);
    (told && within(few, many)).then(|| 10 + many.len() - few.len())
}

/// Longer texts are cut where they are shown.
const SHOWN: usize = 60;

impl Unknown {
    fn note(&self) -> String {
        let Unknown { column, text, pattern, near, .. } = self;
        let how = match pattern {
            Some(pattern) => format!("is like '{}'", cut(pattern)),
            None => format!("is spelled '{}'", cut(text)),
        };
        match near {
            Near::None => format!("No known {column} {how}."),
            Near::One(value) => format!("No known {column} {how}; the nearest is '{}'.", cut(value)),
            Near::Several(value) => format!("No known {column} {how}; one of the nearest is '{}'.", cut(value)),
        }
    }

    /// The statement with the nearest value instead, if there is one such value.
    fn mended(&self, sql: &str, engine: Engine) -> Option<String> {
        let Near::One(value) = &self.near else { return None };
        let start = offset(sql, self.at.0)?;
        let end = offset(sql, self.at.1)?;
        let old = sql.get(start..end)?;
        let open = old.find('\'')?;
        let value = match &self.pattern {
            // A value that is itself a pattern would be read as one.
            Some(_) if value.contains(['%', '_', '\\']) => return None,
            Some(pattern) => pattern.replacen(&self.text, value, 1),
            None => value.clone(),
        };
        let escaped = value.replace('\'', "''");
        let escaped = if engine == Engine::Mysql { escaped.replace('\\', "\\\\") } else { escaped };
        Some(format!("{}{}'{escaped}'{}", sql.get(..start)?, old.get(..open)?, sql.get(end..)?))
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Where a place in lines and columns is in the text. Both count from 1, in characters.
fn offset(sql: &str, at: Location) -> Option<usize> {
    let line_start = match at.line.checked_sub(2) {
        None => 0,
        Some(before) => sql.match_indices('\n').nth(usize::try_from(before).ok()?)?.0 + 1,
    };
    let rest = sql.get(line_start..)?;
    let column = usize::try_from(at.column.checked_sub(1)?).ok()?;
    let ends = rest.char_indices().map(|(place, _)| place).chain([rest.len()]);
    ends.into_iter().nth(column).map(|place| line_start + place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_to_sql::schema::{ColumnKind, Table, TableKind};

    fn schema(engine: Engine) -> Schema {
        let text = |name: &str, values: &[&str]| {
            let mut column = Column::found(name.to_owned(), "text".to_owned(), ColumnKind::Text, true);
            column.sample_values = values.iter().map(|value| (*value).to_owned()).collect();
            column
        };
        let mut customers = Table::found("main".to_owned(), "customers".to_owned(), TableKind::Table);
        customers.columns = vec![
            text("city", &["Paris", "Berlin", "Saint-Denis", "New York City", "O'Fallon"]),
            text("name", &[]),
            text("status", &["new", "now"]),
            text("secret", &["alpha"]),
        ];
        customers.columns[3].masked = true;
        let mut plans = Table::found("main".to_owned(), "plans".to_owned(), TableKind::Table);
        plans.columns = vec![text("label", &["Gold"])];
        Schema {
            engine,
            search_path: vec!["main".to_owned()],
            server_version: String::new(),
            tables: vec![customers, plans],
        }
    }

    fn of(sql: &str) -> Nearest {
        nearest(sql, &schema(Engine::Sqlite))
    }

    #[test]
    fn a_misspelled_value_is_told_with_the_nearest_and_mended() {
        let found = of("select name from customers where city = 'Pariss' and name = 'x'");
        assert_eq!(found.notes, ["No known customers.city is spelled 'Pariss'; the nearest is 'Paris'."]);
        assert_eq!(found.suggestion.as_deref(), Some("select name from customers where city = 'Paris' and name = 'x'"));
        for (sql, mended) in [
            ("select 1 from customers c where c.city in ('Berlin', 'saint denis')", "'Saint-Denis'"),
            ("select 1 from customers where 'paris' = city", "'Paris'"),
            ("select 1 from customers\nwhere name = 'é'\n  and city = 'New York'", "'New York City'"),
            ("select 1 from customers where city = 'OFallon'", "'O''Fallon'"),
            ("select 1 from plans p where exists (select 1 from customers c where c.city = 'Belrin')", "'Berlin'"),
            ("select 1 from customers where city like '%Berlni%'", "'%Berlin%'"),
            ("with c as (select city from customers) select * from c where city = 'Pariz'", "'Paris'"),
        ] {
            let suggestion = of(sql).suggestion.unwrap_or_else(|| panic!("{sql}: {:?}", of(sql)));
            assert!(suggestion.contains(mended), "{suggestion}");
            assert!(Parser::parse_sql(dialect(Engine::Sqlite), &suggestion).is_ok(), "{suggestion}");
        }
    }

    #[test]
    fn what_is_known_or_cannot_be_known_is_not_told() {
        for sql in [
            "select 1 from customers where city = 'Paris'",
            "select 1 from customers where name = 'Pariss'",
            "select 1 from customers where city <> 'Pariss'",
            "select 1 from customers where city not in ('Pariss')",
            "select 1 from customers where city like 'Par%'",
            "select 1 from customers where city like '%PARIS%'",
            "select 1 from customers where city like 'P_ris'",
            "select 1 from customers where lower(city) = 'paris'",
            "select 1 from customers where secret = 'alphb'",
            "select 1 from nowhere where city = 'Pariss'",
            "select city = from",
            "",
        ] {
            assert_eq!(of(sql), Nearest::default(), "{sql}");
        }
    }

    #[test]
    fn a_text_that_nothing_is_near_to_is_told_without_a_guess() {
        let found = of("select 1 from customers where city = 'Tokyo'");
        assert_eq!(found.notes, ["No known customers.city is spelled 'Tokyo'."]);
        assert_eq!(found.suggestion, None);
        let tie = of("select 1 from customers where status = 'niw'");
        assert_eq!(tie.notes, ["No known customers.status is spelled 'niw'; one of the nearest is 'new'."]);
        assert_eq!(tie.suggestion, None, "two are equally near");
        let two = of("select 1 from customers where city = 'Pariss' or city = 'Berlim'");
        assert_eq!((two.notes.len(), two.suggestion), (2, None));
    }

    #[test]
    fn upper_and_lower_case_matter_where_the_engine_tells_them_apart() {
        let sql = "select 1 from customers where city = 'paris'";
        for (engine, notes) in [(Engine::Postgres, 1), (Engine::Sqlite, 1), (Engine::Mysql, 0), (Engine::Mssql, 0)] {
            assert_eq!(nearest(sql, &schema(engine)).notes.len(), notes, "{engine:?}");
        }
        let like = "select 1 from customers where city like 'paris%'";
        assert_eq!(nearest(like, &schema(Engine::Postgres)).suggestion.unwrap(), like.replace("paris", "Paris"));
        assert_eq!(nearest(&like.replace("like", "ilike"), &schema(Engine::Postgres)), Nearest::default());
        let national = "select 1 from customers where city = N'Pariss'";
        assert_eq!(nearest(national, &schema(Engine::Mssql)).suggestion.unwrap(), national.replace("Pariss", "Paris"));
    }

    #[test]
    fn values_of_a_table_with_a_row_filter_are_not_told() {
        let mut filtered = schema(Engine::Sqlite);
        filtered.tables[0].row_filter = Some("status = 'new'".to_owned());
        for sql in [
            "select 1 from customers where city = 'Pariss'",
            "select 1 from (select * from customers where (status = 'nwe') limit -1) as customers where city = 'Pariss'",
        ] {
            assert_eq!(nearest(sql, &filtered), Nearest::default(), "{sql}");
        }
    }

    #[test]
    fn much_and_long_text_is_bounded() {
        let mut large = schema(Engine::Sqlite);
        large.tables[0].columns[0].sample_values = (0..50_000).map(|number| format!("value {number}")).collect();
        let texts = vec!["'valeu 70000'"; 100].join(", ");
        let found = nearest(&format!("select 1 from customers where city in ({texts})"), &large);
        assert_eq!(found.notes.len(), MAX_TEXTS);
        let long = format!("select 1 from customers where city = '{}'", "x".repeat(2_000));
        assert!(of(&long).notes[0].len() < 200);
    }
}
