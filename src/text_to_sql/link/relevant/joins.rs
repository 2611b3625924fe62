//! Which tables join which: foreign keys, declared joins, and columns named after another table's key.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::question::stems;
use crate::text_to_sql::schema::{ForeignKey, Schema, Table};

/// Tables between two others; a longer chain joins nothing that one question is about.
const MAX_BETWEEN: usize = 3;

pub struct Joins {
    /// By the place of each table of the schema, sorted.
    of: Vec<Vec<usize>>,
}

impl Joins {
    pub fn new(schema: &Schema) -> Joins {
        let places: HashMap<(&str, &str), usize> =
            visible(schema).map(|(place, table)| ((table.schema.as_str(), table.name.as_str()), place)).collect();
        let mut joins = Joins { of: vec![Vec::new(); schema.tables.len()] };
        let keys = KeyNames::new(schema);
        for (place, table) in visible(schema) {
            let declared = table.foreign_keys.iter().chain(&table.joins).filter(|key| shows(table, key));
            for key in declared {
                let name = (key.referenced_schema.as_str(), key.referenced_table.as_str());
                places.get(&name).into_iter().for_each(|other| joins.add(place, *other));
            }
            if table.foreign_keys.is_empty() && table.joins.is_empty() {
                keys.of(table).for_each(|other| joins.add(place, other));
            }
        }
        for of in &mut joins.of {
            of.sort_unstable();
            of.dedup();
        }
        joins
    }

    pub fn of(&self, table: usize) -> &[usize] {
        self.of.get(table).map_or(&[], Vec::as_slice)
    }

    /// The tables between `to` and the nearest of `from`, those first that have most to do with the question.
    pub fn path(&self, from: &[usize], to: usize, worth: impl Fn(usize) -> f32) -> Vec<usize> {
        let mut before: HashMap<usize, usize> = HashMap::from([(to, to)]);
        let mut queue = VecDeque::from([(to, 0)]);
        while let Some((here, steps)) = queue.pop_front() {
            if from.contains(&here) {
                return walk(here, to, &before);
            }
            if steps > MAX_BETWEEN {
                continue;
            }
            let mut next: Vec<usize> = self.of(here).to_vec();
            next.sort_by(|a, b| worth(*b).total_cmp(&worth(*a)).then(a.cmp(b)));
            for other in next {
                if let Entry::Vacant(open) = before.entry(other) {
                    open.insert(here);
                    queue.push_back((other, steps + 1));
                }
            }
        }
        Vec::new()
    }

    fn add(&mut self, one: usize, other: usize) {
        if one != other {
            self.of[one].push(other);
            self.of[other].push(one);
        }
    }
}

fn walk(end: usize, start: usize, before: &HashMap<usize, usize>) -> Vec<usize> {
    let step = |here: &usize| before.get(here).copied().filter(|next| *next != start && next != here);
    let mut between: Vec<usize> = std::iter::successors(step(&end), step).collect();
    between.retain(|table| *table != end);
    between
}

fn visible(schema: &Schema) -> impl Iterator<Item = (usize, &Table)> {
    schema.tables.iter().enumerate().filter(|(_, table)| !table.hidden)
}

fn shows(table: &Table, key: &ForeignKey) -> bool {
    key.columns.iter().all(|name| table.visible_columns().any(|column| column.name == *name))
}

/// Tables by the name that a column has which refers to them.
struct KeyNames(HashMap<Vec<String>, Vec<usize>>);

impl KeyNames {
    fn new(schema: &Schema) -> KeyNames {
        let mut names: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
        for (place, table) in visible(schema) {
            if let [key] = &table.primary_key[..] {
                let mut called = vec![stems(key)];
                called.push(stems(&table.name).into_iter().chain(["id".to_owned()]).collect());
                called.retain(|name| name.len() > 1);
                called.dedup();
                called.into_iter().for_each(|name| names.entry(name).or_default().push(place));
            }
        }
        KeyNames(names)
    }

    /// The tables that the columns of one without declared keys are named after.
    fn of<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = usize> + 'a {
        let columns = table.visible_columns().filter(|column| !table.primary_key.contains(&column.name));
        let found = columns.filter_map(|column| self.0.get(&stems(&column.name)));
        // A name that several tables answer to tells nothing.
        found.filter(|places| places.len() == 1).flatten().copied()
    }
}
