//! The schema as lines of a prompt: all of it where it fits, else the tables that count, each with its keys and the
//! columns that count, and then as much more as there is room for.

use std::collections::{HashMap, HashSet};

use super::Context;
use super::fence::clean;
use super::prompt::MAX_TEXT;
use crate::text_to_sql::link::relevant::Ranking;
use crate::text_to_sql::schema::{Column, ForeignKey, Metric, NamedFilter, Schema, Table};
use crate::text_to_sql::terms::{MAX_FRAGMENT, open_filters, open_metrics};

/// Tables shown where not all can be; a query of more is none that a person asks for.
const MAX_TABLES: usize = 40;
/// Columns that a table shows in the first round; a wide table must not crowd out the others.
const CORE_COLUMNS: usize = 24;
/// Values shown of a column: enough to see how they are spelled.
const SAMPLES: usize = 5;
/// Names are cut here, in characters: engines allow 63 to 128.
const MAX_NAME: usize = 128;
/// Metrics, filters and keys of one table.
const MAX_TERMS: usize = 20;

/// Tables and names that other drafts use; they are shown first.
pub struct Shown {
    tables: Vec<usize>,
    words: HashSet<String>,
}

impl Shown {
    /// What stands in the first draft, in what was refused, before the question, and in the examples.
    pub fn choose(context: &Context<'_>, ranking: &Ranking, refused: Option<&str>) -> Shown {
        let near = context.draft.into_iter().chain(refused).chain(context.previous.map(|(_, sql)| sql));
        let examples = context.examples.iter().map(|(_, sql)| sql.as_str());
        let (schema, engine) = (context.schema, context.schema.engine);
        let mut shown = Shown { tables: Vec::new(), words: HashSet::new() };
        for sql in near {
            shown.add(context.relevance.named_in(schema, sql, engine));
            let words = sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            shown.words.extend(words.map(str::to_lowercase));
        }
        shown.add(ranking.tables.iter().copied());
        for sql in examples {
            shown.add(context.relevance.named_in(schema, sql, engine));
        }
        shown
    }

    fn add(&mut self, tables: impl IntoIterator<Item = usize>) {
        for table in tables {
            if !self.tables.contains(&table) {
                self.tables.push(table);
            }
        }
    }
}

/// The lines of the schema within a number of bytes.
pub fn table_lines(schema: &Schema, ranking: &Ranking, shown: &Shown, room: usize) -> Vec<String> {
    let open = Open::new(schema);
    let everything = || {
        let rest = ranking.tables.iter().chain(&ranking.others).filter(|table| !shown.tables.contains(table));
        shown.tables.iter().chain(rest).copied()
    };
    let whole: Vec<Vec<String>> =
        everything().take(MAX_WHOLE).map(|place| Piece::whole(&open, place).lines(&open)).collect();
    if whole.len() < MAX_WHOLE && whole.iter().map(|lines| size(lines)).sum::<usize>() <= room {
        return whole.concat();
    }
    let counts = if shown.tables.is_empty() { &ranking.others } else { &shown.tables };
    fitted(&open, ranking, shown, &counts[..counts.len().min(MAX_TABLES)], room)
}

/// A schema of more tables is not even tried to be shown as a whole.
const MAX_WHOLE: usize = 200;

/// The bytes of lines in a fence.
pub fn size(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 2).sum()
}

/// First the core of each table, then further columns of each, the first tables first.
fn fitted(open: &Open<'_>, ranking: &Ranking, shown: &Shown, tables: &[usize], room: usize) -> Vec<String> {
    let (mut left, mut pieces) = (room, Vec::new());
    for place in tables {
        let full = Piece::core(open, ranking, shown, *place);
        for piece in [full, Piece::named(open, *place)] {
            let size = size(&piece.lines(open));
            if size <= left {
                left -= size;
                pieces.push(piece);
                break;
            }
        }
    }
    for piece in &mut pieces {
        piece.grow(open, &mut left);
    }
    pieces.iter().flat_map(|piece| piece.lines(open)).collect()
}

/// A schema, and what in it can be named.
struct Open<'a> {
    schema: &'a Schema,
    tables: HashMap<(&'a str, &'a str), &'a Table>,
}

impl<'a> Open<'a> {
    fn new(schema: &'a Schema) -> Open<'a> {
        let named = |table: &'a Table| ((table.schema.as_str(), table.name.as_str()), table);
        Open { schema, tables: schema.visible_tables().map(named).collect() }
    }

    /// Whether a key leads from columns that may be seen to such columns.
    fn shows(&self, table: &Table, key: &ForeignKey) -> bool {
        let name = (key.referenced_schema.as_str(), key.referenced_table.as_str());
        let own = key.columns.iter().all(|name| table.visible_columns().any(|column| column.name == *name));
        own && self.tables.get(&name).is_some_and(|other| other.shows_end_of(key))
    }

    fn keys(&self, table: &'a Table) -> impl Iterator<Item = (&'static str, &'a ForeignKey)> {
        let declared = table.joins.iter().map(|key| ("join", key));
        let foreign = table.foreign_keys.iter().map(|key| ("foreign key", key));
        declared.chain(foreign).filter(|(_, key)| self.shows(table, key)).take(MAX_TERMS)
    }
}

/// A table as far as it is shown.
struct Piece {
    table: usize,
    /// In the order of the table.
    columns: Vec<usize>,
    left_out: usize,
    /// With descriptions, values and terms.
    full: bool,
}

impl Piece {
    fn whole(open: &Open<'_>, table: usize) -> Piece {
        Piece { table, columns: visible(&open.schema.tables[table]).collect(), left_out: 0, full: true }
    }

    /// Keys, and what the question or a draft speaks of.
    fn core(open: &Open<'_>, ranking: &Ranking, shown: &Shown, place: usize) -> Piece {
        let table = &open.schema.tables[place];
        let keys: HashSet<&String> =
            table.primary_key.iter().chain(open.keys(table).flat_map(|(_, key)| &key.columns)).collect();
        let score = |at: usize| {
            let name = &table.columns[at].name;
            let named = shown.words.contains(&name.to_lowercase());
            ranking.column(place, at) + if keys.contains(name) || named { KEY } else { 0.0 }
        };
        let mut columns: Vec<(usize, f32)> = visible(table).map(|at| (at, score(at))).collect();
        columns.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        columns.retain(|(_, score)| *score > 0.0);
        columns.truncate(CORE_COLUMNS);
        Piece::of(table, place, columns.into_iter().map(|(at, _)| at).collect(), true)
    }

    /// The name and the keys alone, so that at least joins can be written.
    fn named(open: &Open<'_>, place: usize) -> Piece {
        let table = &open.schema.tables[place];
        let key = |at: &usize| table.primary_key.contains(&table.columns[*at].name);
        Piece::of(table, place, visible(table).filter(key).take(CORE_COLUMNS).collect(), false)
    }

    fn of(table: &Table, place: usize, mut columns: Vec<usize>, full: bool) -> Piece {
        columns.sort_unstable();
        let left_out = visible(table).count() - columns.len();
        Piece { table: place, columns, left_out, full }
    }

    /// Takes in further columns, in their order, as far as there is room.
    fn grow(&mut self, open: &Open<'_>, left: &mut usize) {
        let table = &open.schema.tables[self.table];
        for at in visible(table) {
            let line = column_line(table, &table.columns[at], self.full);
            if self.columns.contains(&at) || line.len() + 2 > *left {
                continue;
            }
            *left -= line.len() + 2;
            self.columns.push(at);
            self.left_out -= 1;
        }
        self.columns.sort_unstable();
    }

    fn lines(&self, open: &Open<'_>) -> Vec<String> {
        let table = &open.schema.tables[self.table];
        let mut lines = vec![head(table, self.full)];
        lines.extend(self.columns.iter().map(|at| column_line(table, &table.columns[*at], self.full)));
        if self.left_out > 0 {
            lines.push(format!("  ({} further columns)", self.left_out));
        }
        if self.full {
            lines.extend(open_metrics(open.schema.engine, table).take(MAX_TERMS).map(metric_line));
            lines.extend(open_filters(open.schema.engine, table).take(MAX_TERMS).map(filter_line));
        }
        let shown = |key: &ForeignKey| {
            key.columns.iter().all(|name| self.columns.iter().any(|at| table.columns[*at].name == *name))
        };
        lines.extend(open.keys(table).filter(|(_, key)| shown(key)).map(|(kind, key)| key_line(kind, key)));
        lines
    }
}

/// A key counts more than any column that the question speaks of.
const KEY: f32 = 100.0;

fn visible(table: &Table) -> impl Iterator<Item = usize> {
    table.columns.iter().enumerate().filter(|(_, column)| !column.hidden).map(|(at, _)| at)
}

/// What a table is, on a line.
pub fn head(table: &Table, full: bool) -> String {
    let name = clean(&format!("table {}.{}", table.schema, table.name), 2 * MAX_NAME);
    if !full {
        return name;
    }
    let rows = table.row_count.map(|rows| format!(", about {rows} rows")).unwrap_or_default();
    format!("{name}{rows}{}{}", called(&table.synonyms), about(table.description.as_deref()))
}

/// What is known of a column, on a line.
pub fn column_line(table: &Table, column: &Column, full: bool) -> String {
    let mut line = clean(&format!("  {} {}", column.name, column.data_type), 2 * MAX_NAME);
    if table.primary_key.contains(&column.name) {
        line.push_str(", primary key");
    }
    if column.masked {
        line.push_str(", masked: may only be counted");
    } else if full {
        line.extend(column.unit.as_deref().map(|unit| format!(", in {}", clean(unit, MAX_TEXT / 4))));
        line.push_str(&called(&column.synonyms));
        let values = column.example_values.iter().chain(&column.sample_values).chain(&column.enum_values).take(SAMPLES);
        let values: Vec<String> = values.map(|value| format!("'{}'", clean(value, MAX_TEXT / 3))).collect();
        if !values.is_empty() {
            line.push_str(&format!(", such as {}", values.join(", ")));
        }
        line.push_str(&about(column.description.as_deref()));
    }
    line
}

fn metric_line(metric: &Metric) -> String {
    let unit = metric.unit.as_deref().map(|unit| format!(", in {}", clean(unit, MAX_TEXT / 4))).unwrap_or_default();
    let (name, called) = (clean(&metric.name, MAX_NAME), called(&metric.synonyms));
    let expression = clean(&metric.expression, MAX_FRAGMENT);
    format!("  metric \"{name}\"{called}{unit}: {expression}{}", about(metric.description.as_deref()))
}

fn filter_line(filter: &NamedFilter) -> String {
    let default = if filter.default { ", applies by default" } else { "" };
    let (name, called) = (clean(&filter.name, MAX_NAME), called(&filter.synonyms));
    let condition = clean(&filter.condition, MAX_FRAGMENT);
    format!("  filter \"{name}\"{called}{default}: {condition}{}", about(filter.description.as_deref()))
}

fn key_line(kind: &str, key: &ForeignKey) -> String {
    let (own, other) = (key.columns.join(", "), key.referenced_columns.join(", "));
    let line = format!("  {kind} ({own}) -> {}.{} ({other})", key.referenced_schema, key.referenced_table);
    clean(&line, 4 * MAX_NAME)
}

fn called(synonyms: &[String]) -> String {
    let names: Vec<String> = synonyms.iter().take(SAMPLES).map(|name| clean(name, MAX_TEXT / 3)).collect();
    if names.is_empty() { String::new() } else { format!(", also called {}", names.join(", ")) }
}

fn about(description: Option<&str>) -> String {
    description.map(|text| format!(" -- {}", clean(text, MAX_TEXT))).unwrap_or_default()
}
