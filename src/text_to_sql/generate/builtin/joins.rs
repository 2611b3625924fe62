//! How the tables of a plan are joined: the cheapest tree over foreign keys that reaches them all.
//!
//! A foreign key costs 1, an inferred one 1.5, a join that people declared 0.8. The tree grows greedily from each table
//! in turn towards the nearest table still missing (a Steiner tree within a few percent on schemas of this size). Where
//! two ways are equally short the tree says so: the caller must not pretend to know.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::text_to_sql::link::catalog::{Catalog, Edge, TableId, Tie};

/// In tenths of a foreign key, so that costs are whole numbers and ties exact.
pub type Cost = u32;
/// Paths longer than this connect things that have little to do with each other.
const MAX_PATH: Cost = 50;

fn cost_of(edge: &Edge) -> Cost {
    match edge.tie {
        Tie::Declared => 8,
        Tie::Key => 10,
        Tie::Inferred => 15,
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct JoinTree {
    pub root: TableId,
    /// Each joins one more table by an edge of the catalog to those before it.
    pub steps: Vec<Step>,
    pub cost: Cost,
    /// Another way is as short.
    pub ambiguous: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub table: TableId,
    /// Of [`Catalog::edge`].
    pub edge: usize,
}

/// The tree over these tables, or `None` where no keys connect them.
pub fn connect(catalog: &Catalog, tables: &[TableId]) -> Option<JoinTree> {
    connect_by(catalog, tables, Tied::First)
}

/// A tree that is as cheap and takes another way wherever there is one.
pub fn connect_otherwise(catalog: &Catalog, tables: &[TableId]) -> Option<JoinTree> {
    connect_by(catalog, tables, Tied::Last)
}

/// Which of several equally short ways is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tied {
    First,
    Last,
}

fn connect_by(catalog: &Catalog, tables: &[TableId], tied: Tied) -> Option<JoinTree> {
    tables.iter().filter_map(|root| grow(catalog, *root, tables, tied)).min_by_key(|tree| tree.cost)
}

/// The shortest way from one table to another.
pub fn path(catalog: &Catalog, from: TableId, to: TableId) -> Option<Vec<Step>> {
    let steps = Paths::from(catalog, &[from], Tied::First).steps_to(to);
    (!steps.is_empty()).then_some(steps)
}

/// What the shortest way to each table within reach of these costs.
pub fn distances(catalog: &Catalog, starts: &[TableId]) -> HashMap<TableId, Cost> {
    Paths::from(catalog, starts, Tied::First)
        .reached
        .into_iter()
        .map(|(table, reached)| (table, reached.cost))
        .collect()
}

impl JoinTree {
    pub fn tables(&self) -> impl Iterator<Item = TableId> + '_ {
        std::iter::once(self.root).chain(self.steps.iter().map(|step| step.table))
    }

    /// Whether joining repeats rows of `table`: some edge leads from its side to many.
    pub fn repeats(&self, catalog: &Catalog, table: TableId) -> bool {
        let mut reached = vec![table];
        let mut at = 0;
        while let Some(&from) = reached.get(at) {
            for edge in self.steps.iter().map(|step| catalog.edge(step.edge)) {
                let next = if edge.parent == from {
                    edge.child
                } else if edge.child == from {
                    edge.parent
                } else {
                    continue;
                };
                if reached.contains(&next) {
                    continue;
                }
                if next == edge.child && !is_one_to_one(catalog, edge) {
                    return true;
                }
                reached.push(next);
            }
            at += 1;
        }
        false
    }
}

fn is_one_to_one(catalog: &Catalog, edge: &Edge) -> bool {
    matches!(edge.pairs[..], [(child, _)] if catalog.column(child).is_unique)
}

fn grow(catalog: &Catalog, root: TableId, tables: &[TableId], tied: Tied) -> Option<JoinTree> {
    let mut tree = JoinTree { root, steps: Vec::new(), cost: 0, ambiguous: false };
    loop {
        let inside: Vec<TableId> = tree.tables().collect();
        let missing: Vec<TableId> = tables.iter().copied().filter(|table| !inside.contains(table)).collect();
        if missing.is_empty() {
            return Some(tree);
        }
        let paths = Paths::from(catalog, &inside, tied);
        let (cost, nearest) = missing.iter().filter_map(|table| Some((paths.cost(*table)?, *table))).min()?;
        tree.cost += cost;
        tree.ambiguous |= paths.is_ambiguous(nearest);
        tree.steps.extend(paths.steps_to(nearest));
    }
}

/// Shortest paths from a set of tables (Dijkstra).
struct Paths {
    reached: HashMap<TableId, Reached>,
}

struct Reached {
    cost: Cost,
    by: Option<(TableId, usize)>,
    ways: u32,
}

impl Paths {
    fn from(catalog: &Catalog, starts: &[TableId], tied: Tied) -> Self {
        let mut reached: HashMap<TableId, Reached> =
            starts.iter().map(|table| (*table, Reached { cost: 0, by: None, ways: 1 })).collect();
        let mut queue: BinaryHeap<Reverse<(Cost, TableId)>> = starts.iter().map(|table| Reverse((0, *table))).collect();
        while let Some(Reverse((cost, table))) = queue.pop() {
            if reached.get(&table).is_some_and(|known| known.cost < cost) {
                continue;
            }
            let ways = reached.get(&table).map_or(1, |known| known.ways);
            for &index in catalog.edges_of(table) {
                let edge = catalog.edge(index);
                let next = if edge.child == table { edge.parent } else { edge.child };
                let cost = cost + cost_of(edge);
                let known = reached.get_mut(&next);
                match known {
                    _ if cost > MAX_PATH => {}
                    Some(known) if known.cost < cost => {}
                    Some(known) if known.cost == cost => {
                        known.ways = known.ways.saturating_add(ways);
                        if tied == Tied::Last && known.by.is_some() {
                            known.by = Some((table, index));
                        }
                    }
                    _ => {
                        reached.insert(next, Reached { cost, by: Some((table, index)), ways });
                        queue.push(Reverse((cost, next)));
                    }
                }
            }
        }
        Self { reached }
    }

    fn cost(&self, table: TableId) -> Option<Cost> {
        self.reached.get(&table).map(|known| known.cost)
    }

    fn is_ambiguous(&self, table: TableId) -> bool {
        self.reached.get(&table).is_some_and(|known| known.ways > 1)
    }

    fn steps_to(&self, table: TableId) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut at = table;
        while let Some((before, edge)) = self.reached.get(&at).and_then(|known| known.by) {
            steps.push(Step { table: at, edge });
            at = before;
        }
        steps.reverse();
        steps
    }
}
