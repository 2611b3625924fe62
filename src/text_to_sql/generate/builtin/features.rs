//! What the ranker knows of a draft before anything runs: how it was read, what it is made of, and how far that agrees
//! with the words of the question.
//!
//! The same numbers train the ranker and serve it; their order is part of the weights' format, so a change here means
//! training again.

use super::joins::JoinTree;
use super::plan::{Comparison, Condition, Expression, Function, Literal, Place, Plan, Query, SetOperation};
use super::reader::{Choice, Kind, Reader, Settled, kind_of};
use crate::text_to_sql::link::Meaning;
use crate::text_to_sql::link::catalog::{ColumnId, TableId};

/// Of one draft, without what the other drafts say.
pub fn of_draft(reader: &Reader, query: &Query, confidence: f32, unused: &[String]) -> Vec<f32> {
    let said = Said::of(reader);
    let made = Made::of(reader, query);
    let mut features = vec![-confidence.max(1e-6).ln(), reader.choices.len() as f32];
    features.extend(choices(reader.choices));
    features.extend(made.structure());
    features.extend(said.cues());
    features.extend(agreement(&said, &made));
    features.extend(coverage(reader, &made, unused));
    features.extend(fit(reader, query, &said, &made));
    features
}

/// Which kinds of decision were taken otherwise.
fn choices(taken: &[Choice]) -> Vec<f32> {
    let mut kinds = vec![0.0; 26];
    for choice in taken {
        let at = match choice {
            Choice::Rank { rank, .. } => {
                kinds[25] += *rank as f32;
                0
            }
            Choice::Kind { kind: Kind::Table, .. } => 1,
            Choice::Kind { kind: Kind::Column, .. } => 2,
            Choice::Kind { kind: Kind::Value | Kind::Term, .. } => 3,
            Choice::Drop { .. } => 4,
            Choice::FlipDistinct => 5,
            Choice::FlipSuperlative => 6,
            Choice::Combine(_) => 7,
            Choice::OnlyNeededTables => 8,
            Choice::GroupByShown => 9,
            Choice::FlipCountShown => 10,
            Choice::AllExtremes => 11,
            Choice::NoHaving => 12,
            Choice::NoGroups => 13,
            Choice::FlipCountDistinct => 14,
            Choice::CountOnly => 15,
            Choice::NoOrder => 16,
            Choice::ShowAll => 17,
            Choice::NoAbsence => 18,
            Choice::ShowKeys => 19,
            Choice::OtherPath | Choice::OtherDate => 20,
            Choice::FlipExtreme => 21,
            Choice::NoCount => 22,
            Choice::SumShown => 23,
            Choice::ShowGroups => 24,
        };
        kinds[at] += 1.0;
    }
    kinds
}

/// What the words of the question ask for, whatever they are about.
struct Said {
    cues: Vec<bool>,
}

/// Each cue: words of which one occurs, or phrases of several.
const CUES: &[&[&str]] = &[
    &["how many", "number of", "count", "total number"],
    &["each", "per", "every", "for different", "grouped", "by"],
    &["most", "least", "fewest", "largest number", "smallest number"],
    &[
        "highest",
        "lowest",
        "largest",
        "smallest",
        "maximum",
        "minimum",
        "oldest",
        "youngest",
        "longest",
        "shortest",
        "top",
        "greatest",
        "best",
        "earliest",
        "latest",
        "cheapest",
        "expensive",
        "recent",
    ],
    &["common", "popular", "frequent", "often", "frequently", "commonly"],
    &["average", "mean"],
    &["total", "sum"],
    &["maximum", "max", "highest", "largest"],
    &["minimum", "min", "lowest", "smallest"],
    &["not", "no", "without", "never", "except", "cannot", "neither", "excluding", "other than"],
    &["or", "either"],
    &["both", "and also", "as well as"],
    &["distinct", "different", "unique"],
    &[
        "order",
        "sort",
        "sorted",
        "ordered",
        "alphabetical",
        "alphabetically",
        "ascending",
        "descending",
        "ranked",
        "arranged",
    ],
    &[
        "more than",
        "less than",
        "at least",
        "at most",
        "over",
        "above",
        "below",
        "under",
        "fewer",
        "greater",
        "older",
        "younger",
        "or more",
        "exactly",
        "between",
        "after",
        "before",
    ],
    &["all"],
    &["name", "names"],
    &["id", "ids", "code", "codes"],
    &["which", "what"],
    &["who"],
    &["have", "has", "had", "with"],
    &["whose", "that", "who"],
    &["full name", "full names"],
    &["information", "details", "everything"],
    &["ascending", "alphabetical", "increasing", "lowest", "least", "smallest", "fewest", "youngest", "earliest"],
    &["descending", "decreasing", "reverse", "highest", "most", "largest", "oldest", "greatest", "latest"],
    &["and"],
    &["their", "its", "corresponding"],
    &["kind", "kinds", "type", "types", "list"],
];

impl Said {
    fn of(reader: &Reader) -> Self {
        let says = |phrase: &&str| {
            let words: Vec<&str> = phrase.split(' ').collect();
            reader.says(&words)
        };
        Self { cues: CUES.iter().map(|cue| cue.iter().any(says)).collect() }
    }

    fn cues(&self) -> impl Iterator<Item = f32> + '_ {
        self.cues.iter().map(|cue| flag(*cue))
    }
}

/// What the query is made of.
struct Made<'q> {
    plan: &'q Plan,
    joins: &'q JoinTree,
    /// Columns anywhere, in inner queries too.
    columns: Vec<ColumnId>,
    tables: Vec<TableId>,
    literals: Vec<String>,
    negated: usize,
    absent: bool,
    against: bool,
    likes: usize,
    ranges: usize,
    lists: usize,
}

impl<'q> Made<'q> {
    fn of(reader: &Reader, query: &'q Query) -> Self {
        let mut made = Self {
            plan: &query.plan,
            joins: &query.joins,
            columns: Vec::new(),
            tables: Vec::new(),
            literals: Vec::new(),
            negated: 0,
            absent: false,
            against: false,
            likes: 0,
            ranges: 0,
            lists: 0,
        };
        made.add(reader, query);
        made.columns.sort();
        made.columns.dedup();
        made.tables.sort();
        made.tables.dedup();
        made
    }

    fn add(&mut self, reader: &Reader, query: &Query) {
        self.columns.extend(query.plan.columns());
        self.tables.extend(query.joins.tables());
        query.plan.filters().for_each(|condition| self.add_condition(reader, condition));
        self.literals.extend(query.plan.having.iter().map(|having| having.value.clone()));
        self.literals.extend(query.plan.limit.map(|limit| limit.to_string()));
        if let Some((_, other)) = &query.plan.combined {
            self.add(reader, other);
        }
    }

    fn add_condition(&mut self, reader: &Reader, condition: &Condition) {
        let text = |literal: &Literal| match literal {
            Literal::Number(text) | Literal::Text(text) => text.to_lowercase(),
        };
        match condition {
            Condition::Compare { comparison, value, .. } => {
                self.literals.push(text(value));
                self.ranges += usize::from(*comparison != Comparison::Equal);
            }
            Condition::OneOf { values, .. } => {
                self.lists += 1;
                self.literals.extend(values.iter().map(text));
            }
            Condition::Between { low, high, .. } => {
                self.ranges += 1;
                self.literals.extend([text(low), text(high)]);
            }
            Condition::Within { .. } => self.ranges += 1,
            Condition::Matches { text, place, .. } => {
                self.likes += 1 + usize::from(*place != Place::Anywhere);
                self.literals.push(text.to_lowercase());
            }
            Condition::SameText { text, .. } => self.literals.push(text.to_lowercase()),
            Condition::Not(inner) => {
                self.negated += 1;
                self.add_condition(reader, inner);
            }
            Condition::Absent { .. } => self.absent = true,
            Condition::Against { .. } => self.against = true,
            Condition::IsTrue { .. }
            | Condition::IsKnown { .. }
            | Condition::Named { .. }
            | Condition::Among { .. } => {}
        }
        condition.query().into_iter().for_each(|query| self.add(reader, query));
    }

    fn has(&self, fits: impl Fn(Expression) -> bool) -> bool {
        self.plan.outputs.iter().any(|output| fits(*output))
    }

    fn calls(&self, function: Function) -> bool {
        self.has(|output| matches!(output, Expression::Aggregate(own, _) if own == function))
    }

    fn counts(&self) -> bool {
        self.has(|output| matches!(output, Expression::CountRows | Expression::CountDistinct(_)))
    }

    fn orders_by_count(&self) -> bool {
        let counts = |expression| matches!(expression, Expression::CountRows | Expression::CountDistinct(_));
        self.plan.order.first().is_some_and(|order| counts(order.expression))
    }

    fn combines(&self, operation: SetOperation) -> bool {
        self.plan.combined.as_ref().is_some_and(|(own, _)| *own == operation)
    }

    fn structure(&self) -> Vec<f32> {
        let plan = self.plan;
        let plain = plan.outputs.iter().filter(|output| !output.is_aggregate()).count();
        vec![
            flag(!plan.groups.is_empty()),
            plan.groups.len() as f32,
            flag(plan.having.is_some()),
            flag(!plan.order.is_empty()),
            flag(plan.limit.is_some()),
            flag(plan.distinct),
            flag(self.has(|output| output == Expression::CountRows)),
            flag(self.has(|output| matches!(output, Expression::CountDistinct(_)))),
            flag(self.calls(Function::Average)),
            flag(self.calls(Function::Sum)),
            flag(self.calls(Function::Maximum)),
            flag(self.calls(Function::Minimum)),
            plan.outputs.len() as f32,
            plain as f32,
            plan.conditions.len() as f32,
            flag(plan.any_condition),
            self.lists as f32,
            self.negated as f32,
            flag(self.absent),
            flag(self.against),
            self.likes as f32,
            self.ranges as f32,
            flag(self.combines(SetOperation::Intersect)),
            flag(self.combines(SetOperation::Union)),
            flag(self.combines(SetOperation::Except)),
            self.joins.steps.len() as f32,
            self.joins.cost as f32 / 10.0,
            flag(self.joins.ambiguous),
            flag(self.orders_by_count()),
            flag(plan.order.first().is_some_and(|order| order.descending)),
            plan.order.len() as f32,
            self.tables.len() as f32,
        ]
    }
}

/// 1 where a cue and the structure that it asks for are both there, -1 where one is without the other.
fn agreement(said: &Said, made: &Made) -> Vec<f32> {
    let plan = made.plan;
    let both = |cue: bool, part: bool| match (cue, part) {
        (true, true) => 1.0,
        (false, false) => 0.0,
        _ => -1.0,
    };
    let cue = |at: usize| said.cues.get(at).copied().unwrap_or(false);
    let extreme =
        plan.limit.is_some() || made.calls(Function::Maximum) || made.calls(Function::Minimum) || made.against;
    let having_average = plan.having.as_ref().is_some_and(|having| having.expression.column().is_some());
    vec![
        both(cue(0), made.counts() || made.orders_by_count()),
        both(cue(1), !plan.groups.is_empty()),
        both(cue(9), made.absent || made.negated > 0 || made.combines(SetOperation::Except)),
        both(cue(10), plan.any_condition || made.lists > 0 || made.combines(SetOperation::Union)),
        both(cue(11), plan.combined.is_some()),
        both(cue(12), plan.distinct || made.has(|output| matches!(output, Expression::CountDistinct(_)))),
        both(cue(13), !plan.order.is_empty() && plan.limit.is_none()),
        both(cue(5), made.calls(Function::Average) || made.against || having_average),
        both(cue(2) || cue(3) || cue(4), extreme),
        both(cue(6), made.calls(Function::Sum)),
        both(cue(14), made.ranges > 0 || plan.having.is_some()),
        both(cue(23), plan.outputs.len() > 4),
    ]
}

/// What of the question the query does not reflect.
fn coverage(reader: &Reader, made: &Made, unused: &[String]) -> Vec<f32> {
    let mut of_kind = [[0.0_f32; 3]; 4];
    for mention in reader.mentions.iter().filter(|mention| !mention.dropped || !mention.candidates.is_empty()) {
        let top = mention.candidates.first().map_or(0.0, |candidate| candidate.score);
        let hit = hit(mention, made);
        let kind = &mut of_kind[mention.kind as usize];
        kind[0] += 1.0;
        kind[1] += flag(hit <= 0.0);
        kind[2] += (top - hit).max(0.0);
    }
    let dropped = reader.mentions.iter().filter(|mention| mention.dropped).count();
    let numbers = reader.tokens.iter().filter_map(|token| token.number());
    let unused_numbers = numbers.filter(|number| number.value != 1.0 && !made.literals.contains(&number.text)).count();
    let content = reader.tokens.iter().filter(|token| !token.function && !token.is_mark()).count();
    let idle = reader.mentions.iter().filter(|mention| !mention.used && mention.kind != Kind::Value).count();
    let mut features: Vec<f32> = of_kind.into_iter().flatten().collect();
    features.extend([
        dropped as f32,
        unused_numbers as f32,
        unused.len() as f32,
        unused.len() as f32 / content.max(1) as f32,
        content as f32,
        idle as f32,
        reader.doubts.len() as f32,
        reader.doubts.iter().map(|doubt| doubt.factor).fold(1.0, f32::min),
    ]);
    features
}

/// The best score among the meanings of a mention that the query reflects.
fn hit(mention: &Settled, made: &Made) -> f32 {
    let reflected = |meaning: &Meaning| match meaning {
        Meaning::Table(table) => made.tables.contains(table),
        Meaning::Column(column) => made.columns.contains(column),
        Meaning::Value(column, value) | Meaning::PartOf(column, value) => {
            made.columns.contains(column) && made.literals.contains(&value.to_lowercase())
        }
        Meaning::Literal(text) => made.literals.contains(&text.to_lowercase()),
        Meaning::Metric(table, _) | Meaning::Filter(table, _) => made.tables.contains(table),
    };
    let reflected = mention.candidates.iter().filter(|candidate| reflected(&candidate.meaning));
    reflected.map(|candidate| candidate.score).fold(0.0, f32::max)
}

/// How well the columns and tables of the query are what the question names.
fn fit(reader: &Reader, query: &Query, said: &Said, made: &Made) -> Vec<f32> {
    let plan = &query.plan;
    let catalog = reader.catalog;
    let column_score = |column: ColumnId| {
        score(reader, |meaning| match meaning {
            Meaning::Column(own) => *own == column,
            Meaning::Value(own, value) => *own == column && made.literals.contains(&value.to_lowercase()),
            _ => false,
        })
    };
    let table_score = |table: TableId| score(reader, |meaning| *meaning == Meaning::Table(table));
    let shown: Vec<ColumnId> = plan.outputs.iter().filter_map(|output| output.column()).collect();
    let plain: Vec<ColumnId> =
        plan.outputs.iter().filter(|output| !output.is_aggregate()).filter_map(|output| output.column()).collect();
    let filtered: Vec<ColumnId> = plan.conditions.iter().filter_map(Condition::column).collect();
    let grouped: Vec<ColumnId> = plan.groups.iter().filter_map(|group| group.column()).collect();
    let ordered: Vec<ColumnId> = plan.order.iter().filter_map(|order| order.expression.column()).collect();
    let least = |columns: &[ColumnId]| columns.iter().map(|column| column_score(*column)).fold(1.0, f32::min);
    let group_least =
        grouped.iter().map(|c| column_score(*c).max(table_score(catalog.table_of(*c)))).fold(1.0, f32::min);
    let mean = shown.iter().map(|column| column_score(*column)).sum::<f32>() / shown.len().max(1) as f32;
    let ids = plain.iter().filter(|column| catalog.column(**column).is_id).count();
    let names = plain.iter().filter(|column| catalog.is_name(**column)).count();
    let votes: f32 = made.tables.iter().map(|table| reader.votes_of(*table)).sum();
    let cue = |at: usize| said.cues.get(at).copied().unwrap_or(false);
    let one_table =
        shown.iter().map(|column| catalog.table_of(*column)).collect::<std::collections::BTreeSet<_>>().len();
    let sums = made.calls(Function::Sum) || made.calls(Function::Average);
    let optional = shown.iter().filter(|c| catalog.column(**c).column.nullable).count();
    let unique = plain.iter().any(|column| catalog.column(*column).is_unique);
    vec![
        least(&shown),
        if shown.is_empty() { 1.0 } else { mean },
        least(&filtered),
        group_least,
        least(&ordered),
        made.columns.iter().filter(|column| column_score(**column) == 0.0).count() as f32,
        made.tables.iter().filter(|table| table_score(**table) == 0.0).count() as f32,
        made.tables.iter().map(|table| table_score(*table)).sum::<f32>() / made.tables.len().max(1) as f32,
        votes / reader.all_votes().max(1e-6),
        ids as f32,
        names as f32,
        shown.iter().filter(|column| filtered.contains(column)).count() as f32,
        shown.iter().filter(|column| ordered.contains(column)).count() as f32,
        shown.iter().filter(|column| grouped.contains(column)).count() as f32,
        flag(!grouped.is_empty() && plain.is_empty()),
        flag(cue(16) && names == 0),
        flag(cue(17) && ids == 0),
        one_table as f32,
        flag(sums && !query.joins.steps.is_empty()),
        optional as f32,
        flag(unique),
        catalog.columns().count() as f32,
        catalog.tables().count() as f32,
        reader.mentions.iter().filter(|mention| mention.candidates.iter().any(|c| kind_of(c) == Kind::Value)).count()
            as f32
            - plan.conditions.len() as f32,
    ]
}

fn score(reader: &Reader, fits: impl Fn(&Meaning) -> bool) -> f32 {
    let candidates = reader.mentions.iter().flat_map(|mention| &mention.candidates);
    candidates.filter(|candidate| fits(&candidate.meaning)).map(|candidate| candidate.score).fold(0.0, f32::max)
}

fn flag(fact: bool) -> f32 {
    if fact { 1.0 } else { 0.0 }
}
