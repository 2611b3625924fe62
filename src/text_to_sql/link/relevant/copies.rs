//! Tables that are copies of others: histories, staging tables, archives. A question means the original unless it says
//! what the copy's name, or its schema's, adds to the original's.

use std::collections::{HashMap, HashSet};

use super::Scores;
use super::joins::Joins;
use super::question::{Said, stems};
use crate::text_to_sql::schema::{Schema, Table};

/// What a copy counts beside its original.
const DEMOTED: f32 = 0.5;
/// A copy has this share of its original's columns.
const SHARED: f32 = 0.8;
/// Words that a copy's name adds: `archive 2019`, `history`.
const MAX_ADDED: usize = 2;

/// What each copy adds to the name of its original.
pub struct Copies(HashMap<usize, Vec<String>>);

impl Copies {
    pub fn new(schema: &Schema, joins: &Joins) -> Copies {
        let named: Vec<(usize, Vec<String>)> = schema
            .tables
            .iter()
            .enumerate()
            .filter(|(_, table)| !table.hidden)
            .map(|(place, table)| (place, stems(&table.name)))
            .collect();
        let mut by_name: HashMap<&[String], Vec<usize>> = HashMap::new();
        for (place, name) in &named {
            by_name.entry(name).or_default().push(*place);
        }
        let mut copies = HashMap::new();
        for (place, name) in &named {
            let added = origins(name).find_map(|(origin, added)| {
                let others = by_name.get(origin)?.iter().filter(|other| *other != place);
                let mut originals = others.filter(|other| is_copy(schema, joins, *place, **other));
                originals.next().map(|_| added)
            });
            if let Some(added) = added {
                let own = if added.is_empty() { stems(&schema.tables[*place].schema) } else { added };
                copies.insert(*place, own);
            }
        }
        Copies(copies)
    }

    pub fn is_copy(&self, table: usize) -> bool {
        self.0.contains_key(&table)
    }

    pub fn demote(&self, said: &Said, scores: &mut Scores) {
        for (table, words) in &mut scores.tables {
            if self.0.get(table).is_some_and(|added| !said.says_any(added)) {
                words.iter_mut().for_each(|(_, score)| *score *= DEMOTED);
            }
        }
    }
}

/// The names that a table's may be made of, and the words added to each.
fn origins(name: &[String]) -> impl Iterator<Item = (&[String], Vec<String>)> {
    let most = MAX_ADDED.min(name.len().saturating_sub(1));
    (0..=most).flat_map(move |added| {
        let (front, back) = (&name[..added], &name[name.len() - added..]);
        [(&name[added..], front.to_vec()), (&name[..name.len() - added], back.to_vec())]
    })
}

fn is_copy(schema: &Schema, joins: &Joins, copy: usize, original: usize) -> bool {
    let (table, other) = (&schema.tables[copy], &schema.tables[original]);
    let columns: HashSet<String> = table.columns.iter().map(|column| column.name.to_lowercase()).collect();
    let shared = other.columns.iter().filter(|column| columns.contains(&column.name.to_lowercase())).count();
    let same = shared as f32 >= SHARED * other.columns.len() as f32;
    same && care(table, joins.of(copy)) < care(other, joins.of(original))
}

/// How much a table is looked after: people describe and join originals.
fn care(table: &Table, joins: &[usize]) -> usize {
    let described = usize::from(table.description.is_some()) + table.synonyms.len();
    usize::from(!table.primary_key.is_empty()) + described + joins.len()
}
