//! What to show: the part of the question that says it, aggregates, counts, groups and the plain columns.

use super::{Choice, Count, Group, Kind, Reader, Superlative};
use crate::text_to_sql::generate::builtin::phrases::aggregate;
use crate::text_to_sql::generate::builtin::plan::{Expression, Function, Unit};
use crate::text_to_sql::link::catalog::{ColumnId, TableId};

/// These end the part of the question that says what to show.
const CLAUSE_WORDS: &[&str] = &[
    "that",
    "who",
    "whom",
    "whose",
    "where",
    "with",
    "having",
    "has",
    "have",
    "had",
    "when",
    "if",
    "in",
    "from",
    "for",
    "under",
    "by",
    "located",
    "belonging",
    "among",
    "which",
    "at",
    "on",
    "as",
    "were",
    "using",
    "during",
    "did",
    "does",
    "do",
];
/// These begin it.
const ASKING_WORDS: &[&str] = &[
    "show", "list", "give", "find", "return", "what", "which", "who", "display", "tell", "please", "compute", "select",
    "where", "when", "how",
];
/// These may stand between its beginning and its first name.
const LEADING_WORDS: &[&str] =
    &["me", "us", "the", "all", "is", "are", "was", "were", "do", "does", "did", "have", "has"];

/// "products with their price" may mean the prices alone.
const OWNER_SHOWN: f32 = 0.88;

impl Reader<'_> {
    pub(super) fn find_region(&mut self) {
        for start in self.clause_starts() {
            let mut at = start;
            while matches!(self.word(at), "in" | "for" | "of" | "from" | "at" | "on") {
                at += 1;
            }
            while ASKING_WORDS.contains(&self.word(at)) || LEADING_WORDS.contains(&self.word(at)) {
                self.region[at] = true;
                at += 1;
            }
            while at < self.tokens.len() && !self.ends_region(at) {
                self.region[at] = true;
                at += 1;
            }
        }
    }

    fn clause_starts(&self) -> Vec<usize> {
        let comma = (0..self.tokens.len()).find(|at| self.word(*at) == ",");
        let leads = matches!(self.word(0), "for" | "of" | "in" | "among" | "from" | "with");
        let first = comma.filter(|_| leads).map_or(0, |comma| comma + 1);
        let later = (1..self.tokens.len()).filter(|&at| {
            let before = self.word(at - 1);
            let asks = ASKING_WORDS.contains(&self.word(at))
                && (self.tokens[at - 1].is_mark()
                    || (matches!(before, "and" | "then" | "also")
                        && !matches!(self.word(at), "which" | "who" | "where" | "when")));
            let owns = matches!(self.word(at), "their" | "its" | "his")
                && matches!(before, "and" | "," | "with" | "including");
            asks || owns
        });
        std::iter::once(first).chain(later).collect()
    }

    fn ends_region(&self, at: usize) -> bool {
        let (word, next, before) = (self.word(at), self.word(at + 1), self.word_before(at, 1));
        if matches!(word, "." | "?" | ";" | ":") {
            return true;
        }
        let continues = match word {
            "with" => {
                matches!(next, "their" | "its" | "corresponding" | "respective")
                    || matches!(before, "along" | "together")
            }
            "as" => (next == "well" && self.word(at + 2) == "as") || before == "well",
            "on" => next == "average",
            _ => false,
        };
        let inside = self.mentions.iter().any(|mention| mention.start < at && at < mention.end);
        CLAUSE_WORDS.contains(&word) && !continues && !inside
    }

    /// "average price", "maximum and minimum age"; carried over "and" to the next column.
    pub(super) fn read_aggregates(&mut self) {
        let mut previous: Option<usize> = None;
        for index in 0..self.mentions.len() {
            if self.mentions[index].kind != Kind::Column || self.mentions[index].used {
                continue;
            }
            let mut functions = self.functions_before(index);
            if functions.is_empty() {
                functions = previous.map(|previous| self.carried(previous, index)).unwrap_or_default();
            }
            if functions.is_empty() {
                functions.extend(self.read_called_aggregate(index));
            }
            for (function, at) in functions {
                self.explained[at] = true;
                if !self.aggregates.contains(&(index, function)) {
                    self.aggregates.push((index, function));
                }
            }
            previous = Some(index);
        }
    }

    fn functions_before(&self, index: usize) -> Vec<(Function, usize)> {
        let Some(column) = self.mentions[index].column else { return Vec::new() };
        let mut found: Vec<(Function, usize)> = Vec::new();
        let mut at = self.mentions[index].start;
        let mut skipped = 0;
        let taken = |at: usize| self.mentions.iter().any(|m| m.kind == Kind::Column && m.start <= at && at < m.end);
        while at > 0 && !self.explained[at - 1] && !taken(at - 1) {
            at -= 1;
            let word = self.word(at);
            let extreme = match word {
                "lowest" | "smallest" => Some(Function::Minimum),
                "highest" | "largest" => Some(Function::Maximum),
                _ => aggregate(word),
            };
            let bridge =
                matches!(word, "and" | "," | "the" | "of" | "for" | "value" | "values" | "number" | "overall" | "all");
            match extreme {
                Some(function) => found.push((function, at)),
                None if bridge => {}
                None if skipped < 1 && found.is_empty() && !self.tokens[at].function && !self.tokens[at].is_mark() => {
                    skipped += 1
                }
                None => break,
            }
        }
        let inside = (self.mentions[index].start..self.mentions[index].end).filter_map(|at| {
            let function = aggregate(self.word(at))?;
            (!self.catalog.has_stem(column, &self.tokens[at].stem)).then_some((function, at))
        });
        found.extend(inside);
        let plain = |function: Function| matches!(function, Function::Sum | Function::Average);
        let extremes_only =
            found.len() == 1 && matches!(self.word(found[0].1), "lowest" | "smallest" | "highest" | "largest");
        if extremes_only {
            return Vec::new();
        }
        let fits = |(function, _): &(Function, usize)| !plain(*function) || self.is_number(column);
        found.reverse();
        found.into_iter().filter(fits).collect()
    }

    /// "average price and weight": the second column takes the functions of the first.
    fn carried(&self, previous: usize, index: usize) -> Vec<(Function, usize)> {
        let (from, to) = (self.mentions[previous].end, self.mentions[index].start);
        let joined =
            matches!(self.words(from, to).collect::<Vec<_>>()[..], ["and"] | [","] | [",", "and"] | ["and", "the"]);
        let measure = self.mentions[index].column.is_some_and(|column| self.is_number(column));
        let functions = self.aggregates.iter().filter(|(mention, _)| *mention == previous && joined && measure);
        functions.map(|(_, function)| (*function, from)).collect()
    }

    /// "for each region", "per month", "by category"
    pub(super) fn read_groups(&mut self) {
        if self.chose(Choice::NoGroups) {
            return;
        }
        for index in 0..self.mentions.len() {
            let mention = &self.mentions[index];
            if mention.used
                || mention.kind == Kind::Value
                || mention.start >= self.order_start()
                || !self.is_grouped(mention.start)
            {
                continue;
            }
            let group = match mention.kind {
                Kind::Table => mention.table.map(Group::Table),
                _ => mention.column.map(Group::Column),
            };
            let start = mention.start;
            let new = |group: &Group| !self.groups.iter().any(|(other, _)| other == group);
            if let Some(group) = group.filter(new) {
                self.groups.push((group, start));
            }
        }
        self.read_period_group();
    }

    fn is_grouped(&self, start: usize) -> bool {
        let mut at = start;
        while matches!(self.word_before(at, 1), "the" | "different" | "distinct") && at > 0 {
            at -= 1;
        }
        match self.word_before(at, 1) {
            "each" | "every" | "per" | "across" => true,
            "of" if matches!(self.word_before(at, 2), "each" | "every") => true,
            "by" => self.is_group_by(at),
            "all" => self.word_before(at, 2) == "for" && at < start,
            "for" => at < start && self.word(start - 1) != "the",
            _ => false,
        }
    }

    /// "by region" groups when something is counted or added up, and when it is not "made by" or "sorted by".
    fn is_group_by(&self, at: usize) -> bool {
        let before = self.word_before(at, 2);
        let participle = before.len() > 3
            && (before.ends_with("ed")
                || matches!(before, "made" | "won" | "held" | "taken" | "given" | "written" | "taught" | "led"));
        let explicit = matches!(before, "grouped" | "group" | "down");
        let counting =
            self.words(0, at).any(|word| matches!(word, "count" | "number" | "many") || aggregate(word).is_some())
                || !self.aggregates.is_empty()
                || self.outputs.iter().any(|(output, _)| matches!(output, Expression::Metric(..)));
        explicit || (counting && !participle)
    }

    /// "per month", "by year" where no column is called so: the period of the date.
    fn read_period_group(&mut self) {
        for at in 1..self.tokens.len() {
            let unit = match self.word(at) {
                "year" | "yearly" => Unit::Year,
                "month" | "monthly" => Unit::Month,
                _ => continue,
            };
            let covered = self.mentions.iter().any(|mention| mention.start <= at && at < mention.end);
            if !covered && matches!(self.word(at - 1), "per" | "each" | "by" | "every") && !self.explained[at] {
                self.explained[at] = true;
                match self.date_in_use().or_else(|| self.date_column(at)) {
                    Some(column) => self.groups.push((Group::Period(column, unit), at)),
                    None => self.missing = Some("No date column is known by which to group.".to_owned()),
                }
            }
        }
    }

    /// "how many", "number of": what is counted, and whether a column makes it a sum instead.
    pub(super) fn read_count(&mut self) {
        if self.chose(Choice::NoCount) {
            return;
        }
        for at in 0..self.tokens.len() {
            if self.is_count_cue(at) && self.take_count(at) {
                return;
            }
        }
    }

    fn is_count_cue(&self, at: usize) -> bool {
        let next = self.word(at + 1);
        let table_next = self.mentions.iter().any(|mention| mention.kind == Kind::Table && mention.start == at + 1);
        let cue = match self.word(at) {
            "many" => self.word_before(at, 1) == "how",
            "number" | "numbers" | "total" => {
                (next == "of" || (matches!(next, "number" | "the") && self.word(at + 2) == "of"))
                    || (self.word(at) == "total" && table_next)
            }
            "count" => next == "of" || at == 0 || (next == "the"),
            _ => false,
        };
        let named =
            self.mentions.iter().any(|mention| mention.kind == Kind::Column && mention.start <= at && at < mention.end);
        let part_of_superlative =
            self.superlative_at.is_some_and(|superlative| at > superlative && at - superlative <= 2);
        let after_column = matches!(self.word(at), "number" | "count")
            && self.mentions.iter().any(|mention| mention.kind == Kind::Column && mention.end == at);
        cue && !named && !part_of_superlative && !after_column
    }

    fn take_count(&mut self, at: usize) -> bool {
        let found = self.mentions.iter().position(|mention| {
            mention.start > at && mention.start - at <= 6 && !mention.used && mention.kind != Kind::Value
        });
        let distinct = |to: usize| self.words(at, to).any(|word| matches!(word, "different" | "distinct" | "unique"));
        let Some(index) = found else {
            self.count = Some(Count { at, of: None, distinct: distinct((at + 3).min(self.tokens.len())) });
            return true;
        };
        let (start, column) = (self.mentions[index].start, self.mentions[index].column);
        let distinct = distinct(start);
        let grouped = self.groups.iter().any(|(_, group)| *group == start);
        if let Some(column) = column.filter(|column| {
            self.mentions[index].kind == Kind::Column && !grouped && !distinct && self.is_measure(*column)
        }) {
            let total = self.word(at) == "total" || self.word_before(at, 1) == "total";
            let close = at + 3 >= start && self.mentions[index].score > 0.9;
            let summed = total && self.is_number(column) && self.mentions[index].score > 0.8;
            if summed {
                self.aggregates.push((index, Function::Sum));
                self.explained[at] = true;
            }
            if summed || close || self.aggregates.iter().any(|(mention, _)| *mention == index) {
                return false;
            }
        }
        self.count = Some(Count { at, of: Some(index), distinct });
        true
    }

    pub(super) fn read_outputs(&mut self) {
        let counted = self.count.as_ref().and_then(|count| count.of);
        for index in 0..self.mentions.len() {
            let mention = &self.mentions[index];
            if mention.used
                || mention.kind != Kind::Column
                || Some(index) == counted
                || mention.start >= self.order_start()
            {
                continue;
            }
            let start = mention.start;
            if self.groups.iter().any(|(_, at)| *at == start) {
                self.mentions[index].used = true;
                continue;
            }
            self.read_output(index);
        }
        self.read_measured();
        self.read_table_outputs(counted);
        self.add_owner(counted);
        self.add_full_name();
        self.read_everything();
        self.drop_repeats();
    }

    /// "how old is", "how long are": the column that the adjective measures.
    fn read_measured(&mut self) {
        let Some(how) = (0..self.tokens.len()).find(|at| self.word(*at) == "how" && self.region[*at]) else { return };
        let words: &[&str] = match self.word(how + 1) {
            "old" => &["age"],
            "tall" | "high" => &["height", "elevation"],
            "long" => &["length", "duration"],
            "heavy" => &["weight"],
            "big" | "large" => &["size", "area", "capacity"],
            "expensive" => &["price", "cost"],
            _ => return,
        };
        if let Some(column) = self.column_near(&self.likely_tables(), words) {
            self.explained[how + 1] = true;
            self.outputs.insert(0, (Expression::Column(column), how));
        }
    }

    fn read_output(&mut self, index: usize) {
        let (start, column) = (self.mentions[index].start, self.mentions[index].column);
        let Some(column) = column else { return };
        if !self.region[start] && !self.chose(Choice::ShowAll) {
            return;
        }
        let mut functions: Vec<Function> =
            self.aggregates.iter().filter(|(mention, _)| *mention == index).map(|(_, function)| *function).collect();
        let summed = self.chose(Choice::SumShown) && self.is_number(column);
        if functions.is_empty() && (self.is_total_of_groups(index, column) || summed) {
            functions.push(Function::Sum);
        }
        if functions.is_empty() && self.is_number(column) && self.says(&["on", "average"]) {
            functions.push(Function::Average);
        }
        self.mentions[index].used = true;
        if functions.is_empty() {
            self.outputs.push((Expression::Column(column), start));
        }
        self.outputs.extend(functions.into_iter().map(|function| (Expression::Aggregate(function, column), start)));
    }

    /// "total of the orders for each customer", where the orders have a column called just that.
    fn is_total_of_groups(&self, index: usize, column: ColumnId) -> bool {
        let mention = &self.mentions[index];
        let called_total = mention.end == mention.start + 1 && self.word(mention.start) == "total";
        called_total && !self.groups.is_empty() && self.is_number(column)
    }

    /// "orders and their customers": the second table shows by its display column.
    fn read_table_outputs(&mut self, counted: Option<usize>) {
        for index in 0..self.mentions.len() {
            let mention = &self.mentions[index];
            let Some(table) =
                mention.table.filter(|_| !mention.used && mention.kind == Kind::Table && mention.start > 0)
            else {
                continue;
            };
            let free = self.region[mention.start] && Some(index) != counted && mention.start < self.order_start();
            let grouped = self.groups.iter().any(|(_, at)| *at == mention.start);
            let before = self.word_before(mention.start, 1);
            let joined = matches!(before, "and" | "their" | "corresponding" | "its" | "respective" | ",")
                || (before == "the" && self.word_before(mention.start, 2) == "and");
            let named = self.mentions.iter().any(|other| other.start == mention.end);
            let shown = self
                .outputs
                .iter()
                .any(|(output, _)| output.column().is_some_and(|column| self.catalog.table_of(column) == table));
            let after = self.outputs.iter().any(|(_, at)| *at < mention.start);
            let leads = matches!(self.word(mention.end), "and" | ",")
                && self.outputs.iter().any(|(_, at)| *at > mention.end && *at - mention.end <= 3);
            let start = mention.start;
            if free && !grouped && !named && !shown && ((joined && after) || leads) {
                let at = start;
                let column = self.catalog.display(table).first().copied();
                self.outputs.extend(column.map(|column| (Expression::Column(column), at)));
                self.mentions[index].used = true;
            }
        }
        self.outputs.sort_by_key(|(_, at)| *at);
    }

    /// "products with their price": of whom the price is, is shown too.
    fn add_owner(&mut self, counted: Option<usize>) {
        let plain = !self.outputs.is_empty()
            && self.groups.is_empty()
            && self.outputs.iter().all(|(output, _)| !output.is_aggregate());
        let Some(first) = self.outputs.iter().map(|(_, at)| *at).min().filter(|_| plain && counted.is_none()) else {
            return;
        };
        let Some(their) = (0..first).rev().take(4).find(|at| matches!(self.word(*at), "their" | "its")) else { return };
        let joined = matches!(self.word_before(their, 1), "with" | "and" | "including" | "as");
        let owner = self.mentions.iter().rfind(|mention| mention.kind == Kind::Table && mention.end <= their);
        let Some(owner) = owner.filter(|owner| joined && self.region[owner.start]) else { return };
        let (Some(table), at) = (owner.table, owner.start) else { return };
        let shown = self.catalog.display(table);
        if self.outputs.iter().any(|(output, _)| output.column().is_some_and(|column| shown.contains(&column))) {
            return;
        }
        self.assume(OWNER_SHOWN, "the rows are shown by name too".to_owned());
        self.outputs.splice(0..0, shown.into_iter().map(|column| (Expression::Column(column), at)));
    }

    /// "full names", "first and last names"
    fn add_full_name(&mut self) {
        let asked = self.says(&["full", "name"])
            || self.says(&["full", "names"])
            || self.says(&["first", "and", "last"])
            || self.says(&["last", "and", "first"]);
        if !asked {
            return;
        }
        let shown =
            self.outputs.iter().filter_map(|(output, _)| output.column()).map(|column| self.catalog.table_of(column));
        let tables: Vec<TableId> = shown.chain(self.likely_tables()).collect();
        let Some((table, names)) =
            tables.iter().map(|table| (*table, self.catalog.display(*table))).find(|(_, names)| names.len() == 2)
        else {
            return;
        };
        let is_name = |expression: &Expression| matches!(expression, Expression::Column(column) if self.catalog.table_of(*column) == table && self.catalog.has_stem(*column, "name"));
        let at = self.outputs.iter().find(|(output, _)| is_name(output)).map_or(0, |(_, at)| *at);
        let kept: Vec<(Expression, usize)> =
            self.outputs.iter().copied().filter(|(output, _)| !is_name(output)).collect();
        self.outputs = names.into_iter().map(|name| (Expression::Column(name), at)).chain(kept).collect();
        self.outputs.sort_by_key(|(_, at)| *at);
        for (at, token) in self.tokens.iter().enumerate() {
            self.explained[at] |= matches!(token.lower.as_str(), "full" | "first" | "last");
        }
    }

    /// "all information about …"
    fn read_everything(&mut self) {
        let asks = |at: usize| {
            matches!(
                self.word(at),
                "information" | "details" | "info" | "records" | "record" | "everything" | "contents" | "rows"
            )
        };
        let Some(at) = (0..self.tokens.len()).find(|at| asks(*at) && self.region[*at]) else { return };
        let named = self.mentions.iter().any(|mention| mention.start <= at && at < mention.end);
        if !named && self.outputs.is_empty() {
            self.everything = true;
            self.explained[at] = true;
        }
    }

    fn drop_repeats(&mut self) {
        let aggregated: Vec<ColumnId> = self
            .outputs
            .iter()
            .filter(|(output, _)| output.is_aggregate())
            .filter_map(|(output, _)| output.column())
            .collect();
        let grouped = |column: ColumnId| self.groups.iter().any(|(group, _)| *group == Group::Column(column));
        let mut kept: Vec<(Expression, usize)> = Vec::new();
        for (output, at) in std::mem::take(&mut self.outputs) {
            let repeated = kept.iter().any(|(other, _)| *other == output);
            let plain = matches!(output, Expression::Column(column) if aggregated.contains(&column) || grouped(column));
            if !repeated && !plain {
                kept.push((output, at));
            }
        }
        self.outputs = kept;
    }

    /// Whether a superlative over how often something occurs was found at this token.
    pub fn frequency_of(&self, at: usize) -> Option<&super::Settled> {
        let near =
            |mention: &&super::Settled| mention.kind != Kind::Value && mention.start > at && mention.start - at <= 4;
        self.mentions.iter().find(near).filter(|_| matches!(self.superlative, Some(Superlative::Frequency { .. })))
    }
}
