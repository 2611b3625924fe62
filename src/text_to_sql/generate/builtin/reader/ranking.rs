//! Limits, orders and superlatives: "top 5", "sorted by", "the most", "oldest".

use super::{Choice, Kind, OrderCue, Reader, Settled, Superlative};
use crate::text_to_sql::generate::builtin::phrases::{self, FREQUENT, comparison_before, superlative};
use crate::text_to_sql::generate::builtin::plan::Function;
use crate::text_to_sql::link::catalog::{ColumnId, Holds, TableId};

/// A superlative that was not understood: the answer would be a list where one row was asked for.
const UNREAD_SUPERLATIVE: f32 = 0.3;
/// A list longer than this is not asked for with a superlative.
const MAX_LIMIT: f64 = 1000.0;

impl Reader<'_> {
    /// "top 5", "the 3 most", "the 5 customers with the highest".
    pub(super) fn read_limit(&mut self) {
        for at in 0..self.tokens.len() {
            let Some(number) = self.tokens[at].number() else { continue };
            if number.value.fract() != 0.0 || !(1.0..=MAX_LIMIT).contains(&number.value) {
                continue;
            }
            let extreme = superlative(self.word(at + 1)).is_some()
                || matches!(self.word_before(at, 1), "top" | "first" | "bottom" | "last");
            let later = self.words(at + 1, self.tokens.len()).any(|word| superlative(word).is_some());
            let named = self
                .mentions
                .iter()
                .any(|mention| mention.kind != Kind::Value && (mention.start == at + 1 || mention.start == at + 2));
            let some = matches!(self.word_before(at, 1), "the" | "of") || at <= 2;
            let plural = some && later && named && comparison_before(self.tokens, at).is_none() && number.value > 1.0;
            if (extreme && self.word_before(at, 1) != "last") || plural {
                self.limit = Some(number.value as u64);
                self.explained[at] = true;
                return;
            }
        }
    }

    /// "sorted by", "in descending order", "alphabetically": what follows says by what.
    pub(super) fn read_order(&mut self) {
        if self.chose(Choice::NoOrder) {
            return;
        }
        let Some(at) = (0..self.tokens.len()).find(|at| self.starts_order(*at)) else { return };
        let downwards = |word: &str| matches!(word, "descending" | "decreasing" | "reverse" | "desc");
        let from = self.tokens.windows(3).any(|window| {
            window[0].lower == "from"
                && window[1..].iter().any(|word| {
                    superlative(&word.lower).is_some_and(|s| s.descending) || word.lower == "high" || word.lower == "z"
                })
        });
        let descending = from || self.words(0, self.tokens.len()).any(downwards);
        let leading = at == 0;
        let by = (0..self.tokens.len()).find(|at| self.word(*at) == "by");
        let order_of = || (1..self.tokens.len()).find(|at| self.word(*at) == "of" && self.word(at - 1) == "order");
        let by = by.or_else(order_of).unwrap_or(self.tokens.len());
        self.explained[at] = true;
        self.order = Some(OrderCue { at: if leading { by } else { at }, descending });
    }

    fn starts_order(&self, at: usize) -> bool {
        let next = self.word(at + 1);
        let verb = matches!(
            self.word(at),
            "sorted" | "ordered" | "sort" | "ranked" | "rank" | "arranged" | "order" | "ordering" | "listed"
        );
        let by =
            matches!(next, "by" | "in" | "them" | "it" | "the" | "according" | "alphabetically" | "from" | "results");
        let named =
            self.mentions.iter().any(|mention| mention.kind != Kind::Value && mention.start <= at && at < mention.end);
        let in_order = self.word(at) == "in" && self.is_order_of(at + 1);
        let direction = matches!(self.word(at), "ascending" | "descending" | "alphabetically")
            || (matches!(self.word(at), "alphabetic" | "alphabetical" | "lexicographical") && next == "order");
        (verb && by && !named && !(self.word(at) == "order" && next == "in")) || in_order || direction
    }

    /// "the alphabetical order", "order of", "descending order by"
    fn is_order_of(&self, start: usize) -> bool {
        let describes = |at: usize| {
            let word = self.word(at);
            matches!(word, "the" | "a" | "an" | "reverse" | "reversed")
                || ["ing", "cal", "cally", "ical"].iter().any(|ending| word.ends_with(ending))
        };
        let described = (start..start + 4).take_while(|at| describes(*at)).count();
        let end = start + described;
        self.word(end) == "order" && (described > 0 || self.word(end + 1) == "of")
    }

    /// The token from which the question only speaks of order.
    pub(super) fn order_start(&self) -> usize {
        self.order.as_ref().map_or(self.tokens.len(), |order| order.at)
    }

    pub(super) fn read_superlative(&mut self) {
        for at in 0..self.order_start() {
            let compared = self.against.is_some_and(|(compared, _)| (compared.start..compared.end).contains(&at));
            let extreme = matches!(self.word(at), "maximum" | "minimum" | "max" | "min");
            let free = !self.explained[at] || (extreme && !compared);
            let spoken = superlative(self.word(at)).filter(|_| self.word_before(at, 1) != "at" && free);
            let inside = self
                .mentions
                .iter()
                .any(|mention| mention.kind != Kind::Value && mention.start < at && at < mention.end);
            let Some(spoken) = spoken.filter(|_| !inside && self.word(at) != "top") else { continue };
            if let Some(found) = self.superlative_at(at, spoken) {
                self.superlative = Some(found);
                self.superlative_at = Some(at);
                self.explained[at] = true;
                return;
            }
            self.doubt(UNREAD_SUPERLATIVE);
        }
        self.read_top_by();
    }

    /// "top 5 products by price"
    fn read_top_by(&mut self) {
        let Some(top) = (0..self.tokens.len()).find(|at| matches!(self.word(*at), "top" | "bottom")) else { return };
        let by = (top..self.tokens.len()).find(|at| self.word(*at) == "by");
        if let Some(table) = by.and_then(|by| self.counted_after(by)) {
            self.explained[top] = true;
            self.superlative_at = by;
            self.superlative = Some(Superlative::Rows { table, descending: self.word(top) == "top" });
            return;
        }
        let column_after = |at: usize| {
            self.mentions
                .iter()
                .position(|mention| mention.kind == Kind::Column && mention.start > at && mention.start <= at + 3)
        };
        let found = by.and_then(column_after).or_else(|| column_after(top));
        let column = found.and_then(|index| self.mentions[index].column).filter(|column| self.is_measure(*column));
        match (found, column) {
            (Some(index), Some(column)) => {
                self.mentions[index].used = true;
                self.explained[top] = true;
                self.superlative_at = Some(top);
                self.superlative =
                    Some(Superlative::Column { column, descending: self.word(top) == "top", mention: Some(index) });
            }
            _ => self.doubt(UNREAD_SUPERLATIVE),
        }
    }

    /// "by number of orders"
    fn counted_after(&mut self, by: usize) -> Option<TableId> {
        let of = (by + 1..by + 4).find(|at| self.word(*at) == "of")?;
        let counts = self.words(by + 1, of).any(|word| matches!(word, "number" | "count"));
        let named = |mention: &Settled| mention.kind == Kind::Table && mention.start > of && mention.start <= of + 2;
        let index = self.mentions.iter().position(named).filter(|_| counts)?;
        self.mentions[index].used = true;
        self.mentions[index].table
    }

    fn superlative_at(&mut self, at: usize, spoken: phrases::Superlative) -> Option<Superlative> {
        let descending = spoken.descending;
        let tables = self.tables_from(at);
        if spoken.specific
            && let Some(column) = self.column_near(&tables, spoken.columns)
        {
            let flips = self.holds(column) == Holds::Date && matches!(self.word(at), "oldest" | "youngest");
            return Some(Superlative::Column { column, descending: descending != flips, mention: None });
        }
        if [at + 1, at + 2].iter().any(|next| FREQUENT.contains(&self.word(*next))) {
            let next = if FREQUENT.contains(&self.word(at + 1)) { at + 1 } else { at + 2 };
            self.explained[next] = true;
            return Some(Superlative::Frequency { descending, at });
        }
        let implied: &[&str] = match self.word(at + 1) {
            "recent" | "recently" => &["date", "year", "time"],
            "expensive" => &["price", "cost", "rate", "charge", "amount"],
            _ => &[],
        };
        if !implied.is_empty() {
            let column = self.column_near(&tables, implied)?;
            self.explained[at + 1] = true;
            return Some(Superlative::Column { column, descending, mention: None });
        }
        if let Some(measured) = self.measure_of_next_table(at, &tables, spoken) {
            return Some(measured);
        }
        if let Some(found) = self.superlative_of_mention(at, descending) {
            return Some(found);
        }
        if let Some(column) = self.column_near(&tables, spoken.columns) {
            self.doubt(0.8);
            return Some(Superlative::Column { column, descending, mention: None });
        }
        let counts = matches!(self.word(at), "most" | "least" | "fewest");
        counts.then(|| {
            self.doubt(UNREAD_SUPERLATIVE * 2.0);
            Superlative::Frequency { descending, at }
        })
    }

    /// "the highest mountain" has a height; "the most mountains" does not.
    fn measure_of_next_table(
        &mut self,
        at: usize,
        tables: &[TableId],
        spoken: phrases::Superlative,
    ) -> Option<Superlative> {
        let next = self.mentions.iter().find(|mention| mention.kind == Kind::Table && mention.start == at + 1);
        let next = next.filter(|_| !spoken.columns.is_empty())?.table?;
        let own: Vec<TableId> = tables.iter().copied().filter(|table| *table == next).take(1).collect();
        let column = self
            .column_for(&own, spoken.columns)
            .filter(|column| self.is_measure(*column) || self.holds(*column) == Holds::Date)?;
        self.doubt(0.9);
        Some(Superlative::Column { column, descending: spoken.descending, mention: None })
    }

    /// "the most orders", "highest price", "largest number of students"
    fn superlative_of_mention(&mut self, at: usize, descending: bool) -> Option<Superlative> {
        let counted = ["number", "numbers", "count", "amount"].contains(&self.word(at + 1))
            && self.word(at + 2) == "of"
            || self.word(at + 1) == "total" && self.word(at + 2) == "number";
        let reach = if counted { 5 } else { 3 };
        let found = self
            .mentions
            .iter()
            .position(|mention| mention.kind != Kind::Value && mention.start > at && mention.start <= at + reach)?;
        let between = |at: usize| {
            let skipped = matches!(
                self.word(at),
                "number" | "of" | "the" | "total" | "count" | "amount" | "average" | "combined" | "different"
            );
            skipped || self.tokens[at].number().is_some()
        };
        if !(at + 1..self.mentions[found].start).all(between) {
            return None;
        }
        let mention = &self.mentions[found];
        if let Some(table) = mention.table.filter(|_| mention.kind == Kind::Table) {
            return Some(self.most_rows(found, table, descending));
        }
        let column = mention.column?;
        let comparable = self.is_measure(column) || self.holds(column) == Holds::Date;
        if comparable && mention.score >= 0.6 {
            self.mentions[found].used = true;
            return Some(Superlative::Column { column, descending, mention: Some(found) });
        }
        self.mentions[found].used = true;
        Some(Superlative::Rows { table: self.catalog.table_of(column), descending })
    }

    /// Something of the question's own table may hold the number already: `number_of_students`.
    fn most_rows(&mut self, found: usize, table: TableId, descending: bool) -> Superlative {
        self.mentions[found].used = true;
        let counted = &self.catalog.table(table).names[0];
        let heads: Vec<TableId> = self.named.iter().copied().filter(|other| *other != table).collect();
        let is_count = |column: &ColumnId| {
            let stems = &self.catalog.column(*column).names[0];
            let counts = stems.iter().any(|stem| matches!(stem.as_str(), "number" | "count" | "total"));
            counts && counted.iter().all(|stem| stems.contains(stem)) && self.is_number(*column)
        };
        match heads.iter().flat_map(|head| self.catalog.columns_of(*head)).find(is_count) {
            Some(column) => Superlative::Column { column, descending, mention: None },
            None => Superlative::Rows { table, descending },
        }
    }

    /// The table named next, then the others.
    fn tables_from(&self, at: usize) -> Vec<TableId> {
        let next =
            self.mentions.iter().filter(|mention| mention.start >= at).filter_map(|mention| mention.table).take(1);
        next.chain(self.likely_tables()).collect()
    }

    /// "What is the highest price?" asks for the value; "which product has the highest price?" for the row.
    pub(super) fn settle_superlative(&mut self) {
        let Some(Superlative::Column { column, descending, mention: Some(index) }) = self.superlative else { return };
        if self.limit.is_some() {
            return;
        }
        let mention = &self.mentions[index];
        let grouped = |start: usize| self.groups.iter().any(|(_, at)| *at == start);
        let other = |other: &Settled, at: usize| {
            at != index
                && self.region[other.start]
                && other.start < self.order_start()
                && !grouped(other.start)
                && !self.aggregates.iter().any(|(m, _)| *m == at)
        };
        let shows_more = self.free_columns().any(|(at, mention, _)| other(mention, at));
        let asks_row = matches!(self.word(0), "which" | "who");
        let value = self.region[mention.start] && (!self.groups.is_empty() || !shows_more) && !asks_row;
        if value != self.chose(Choice::FlipSuperlative) {
            self.mentions[index].used = false;
            self.superlative = None;
            let already = self.aggregates.iter().any(|(other, _)| *other == index);
            if !already && self.is_number(column) {
                self.aggregates.push((index, if descending { Function::Maximum } else { Function::Minimum }));
            }
        } else {
            self.aggregates
                .retain(|(other, function)| *other != index || matches!(function, Function::Sum | Function::Average));
        }
    }
}
