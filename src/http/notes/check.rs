//! What is wrong with the notes on a table, and where.

use serde::Serialize;

use crate::{
    http::problem::Problem,
    store::databases::{
        Database,
        notes::{ColumnNotes, TableNotes},
    },
    text_to_sql::{
        guard::{self, Policy, Violation},
        schema::{ForeignKey, Schema, Table},
        terms,
    },
};

/// Bytes of the notes on one table, as JSON: a few paragraphs and some lists.
const MOST_BYTES: usize = 64 * 1024;
/// Synonyms, metrics, filters, joins or values in one list.
const MOST_ITEMS: usize = 100;
/// Characters of a name, a synonym, a unit or a value.
const MOST_NAME: usize = 200;
/// Characters of a row filter.
const MOST_FILTER: usize = 4_000;

/// A place in the body, as a JSON pointer (RFC 6901).
pub struct Place(String);

impl Place {
    pub fn root() -> Place {
        Place(String::new())
    }

    pub fn at(&self, part: &(impl ToString + ?Sized)) -> Place {
        Place(format!("{}/{}", self.0, part.to_string().replace('~', "~0").replace('/', "~1")))
    }
}

/// Notes that our store could not keep, or that nobody would read.
pub fn size(notes: &TableNotes) -> Result<(), Problem> {
    let text = serde_json::to_string(notes).map_err(Problem::internal)?;
    if text.len() > MOST_BYTES || holds_nul(notes) {
        return Err(Problem::invalid(
            "/",
            format!("must be at most {MOST_BYTES} bytes a table, without NUL characters"),
        ));
    }
    Ok(())
}

fn holds_nul(value: &impl Serialize) -> bool {
    serde_json::to_string(value).is_ok_and(|text| text.contains("\\u0000"))
}

/// What is wrong in one place, in words; and why the guard refuses it, if that is so.
pub struct Fault {
    pub pointer: String,
    pub detail: String,
    pub violations: Vec<Violation>,
}

impl Fault {
    pub fn new(place: &Place, detail: impl Into<String>) -> Fault {
        Fault { pointer: place.0.clone(), detail: detail.into(), violations: Vec::new() }
    }

    fn refused(place: &Place, violations: Vec<Violation>) -> Fault {
        let words: Vec<&str> = violations.iter().map(|violation| violation.detail.as_str()).collect();
        let detail = words.join(" ");
        Fault { violations, ..Fault::new(place, detail) }
    }
}

/// What is wrong with `notes` on `table`, which has them already.
pub fn faults(schema: &Schema, database: &Database, table: &Table, notes: &TableNotes, place: &Place) -> Vec<Fault> {
    let policy = Policy { approved_functions: database.approved_functions.clone(), ..Policy::default() };
    let mut faults = Faults { schema, table, policy, found: Vec::new() };
    faults.names(notes.synonyms.iter().flatten(), &place.at("synonyms"));
    for (name, column) in &notes.columns {
        faults.column(name, column, &place.at("columns").at(name));
    }
    faults.row_filter(notes, &place.at("row_filter"));
    faults.joins(notes.joins.as_deref().unwrap_or_default(), &place.at("joins"));
    faults.metrics(notes, &place.at("metrics"));
    faults.filters(notes, &place.at("filters"));
    faults.found
}

struct Faults<'a> {
    schema: &'a Schema,
    table: &'a Table,
    policy: Policy,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn add(&mut self, place: &Place, detail: impl Into<String>) {
        self.found.push(Fault::new(place, detail));
    }

    /// A fragment that cannot be taken up, or that the guard refuses.
    fn fragment(&mut self, place: &Place, fault: Option<String>, proof: Result<(), Vec<Violation>>) {
        match (fault, proof) {
            (Some(fault), _) => self.add(place, fault),
            (None, Err(violations)) => self.found.push(Fault::refused(place, violations)),
            (None, Ok(())) => {}
        }
    }

    fn names<'n>(&mut self, names: impl Iterator<Item = &'n String>, place: &Place) {
        for (index, name) in names.enumerate() {
            if index >= MOST_ITEMS {
                return self.add(place, format!("must hold at most {MOST_ITEMS}"));
            }
            if name.trim().is_empty() || name.chars().count() > MOST_NAME {
                self.add(&place.at(&index), format!("must be 1 to {MOST_NAME} characters"));
            }
        }
    }

    fn column(&mut self, name: &str, notes: &ColumnNotes, place: &Place) {
        if !self.table.columns.iter().any(|column| column.name == name) {
            return self.add(place, format!("{} has no such column", self.table.name));
        }
        self.names(notes.synonyms.iter().flatten(), &place.at("synonyms"));
        self.names(notes.example_values.iter().flatten(), &place.at("example_values"));
        self.names(notes.unit.iter().filter(|unit| !unit.is_empty()), &place.at("unit"));
    }

    fn row_filter(&mut self, notes: &TableNotes, place: &Place) {
        let Some(Some(filter)) = &notes.row_filter else { return };
        if filter.trim().is_empty() || filter.chars().count() > MOST_FILTER {
            return self.add(place, format!("must be 1 to {MOST_FILTER} characters, or null"));
        }
        self.fragment(place, None, guard::check_row_filter(self.schema, self.table, filter));
    }

    fn joins(&mut self, joins: &[ForeignKey], place: &Place) {
        if joins.len() > MOST_ITEMS {
            return self.add(place, format!("must hold at most {MOST_ITEMS}"));
        }
        for (index, join) in joins.iter().enumerate() {
            if let Some(fault) = self.join_fault(join) {
                self.add(&place.at(&index), fault);
            }
        }
    }

    fn join_fault(&self, join: &ForeignKey) -> Option<String> {
        let unknown = |table: &Table, names: &[String]| {
            names.iter().find(|name| !table.columns.iter().any(|column| column.name == **name)).cloned()
        };
        let refers = |table: &&Table| table.schema == join.referenced_schema && table.name == join.referenced_table;
        let Some(referenced) = self.schema.tables.iter().find(refers) else {
            return Some(format!("there is no table {}.{}", join.referenced_schema, join.referenced_table));
        };
        if join.columns.is_empty() || join.columns.len() != join.referenced_columns.len() {
            return Some("must name as many columns here as there, at least one".to_owned());
        }
        let missing =
            |table: &Table, names| unknown(table, names).map(|name| format!("{} has no column {name}", table.name));
        missing(self.table, &join.columns).or_else(|| missing(referenced, &join.referenced_columns))
    }

    fn metrics(&mut self, notes: &TableNotes, place: &Place) {
        let metrics = notes.metrics.as_deref().unwrap_or_default();
        self.named(metrics.iter().map(|metric| (&metric.name, &metric.synonyms)), place);
        for (index, metric) in metrics.iter().enumerate().take(MOST_ITEMS) {
            let fault = terms::metric_fault(self.schema.engine, self.table, metric);
            let proof = guard::check_metric(self.schema, self.table, &metric.expression, &self.policy);
            self.fragment(&place.at(&index).at("expression"), fault, proof);
        }
    }

    fn filters(&mut self, notes: &TableNotes, place: &Place) {
        let filters = notes.filters.as_deref().unwrap_or_default();
        self.named(filters.iter().map(|filter| (&filter.name, &filter.synonyms)), place);
        for (index, filter) in filters.iter().enumerate().take(MOST_ITEMS) {
            let fault = terms::filter_fault(self.schema.engine, self.table, filter);
            let proof = guard::check_filter(self.schema, self.table, &filter.condition, &self.policy);
            self.fragment(&place.at(&index).at("condition"), fault, proof);
        }
    }

    /// Terms have names of their own, each once a table.
    fn named<'n>(&mut self, terms: impl Iterator<Item = (&'n String, &'n Vec<String>)>, place: &Place) {
        let mut seen: Vec<String> = Vec::new();
        for (index, (name, synonyms)) in terms.enumerate() {
            if index == MOST_ITEMS {
                return self.add(place, format!("must hold at most {MOST_ITEMS}"));
            }
            self.names(std::iter::once(name), &place.at(&index).at("name"));
            self.names(synonyms.iter(), &place.at(&index).at("synonyms"));
            if seen.contains(&name.to_lowercase()) {
                self.add(&place.at(&index).at("name"), "is taken by another one before it");
            }
            seen.push(name.to_lowercase());
        }
    }
}
