//! Numbers and dates become conditions, limits on counts, or nothing, in which case the draft says so.

use super::{Choice, Kind, Reader, is_range};
use crate::text_to_sql::generate::builtin::joins;
use crate::text_to_sql::generate::builtin::phrases::{
    Compared, comparative, compared_with_average, compared_with_others, comparison_after, comparison_before,
};
use crate::text_to_sql::generate::builtin::plan::{
    Comparison, Condition, Expression, Function, Having, Literal, Plan, Query,
};
use crate::text_to_sql::generate::builtin::reader::conditions::is_stop;
use crate::text_to_sql::link::catalog::{ColumnId, Holds, TableId};
use crate::text_to_sql::link::tokens::{Dates, Number};

/// How far before a number its column may stand.
const COLUMN_REACH: usize = 5;
/// No column is named, but only one holds numbers.
const ONLY_MEASURE: f32 = 0.8;
/// A number of rows above this is no number of rows.
const MAX_COUNT: f64 = 1000.0;

/// A number with what is said around it.
struct Stated<'a> {
    at: usize,
    /// The first token after it and after "or more".
    end: usize,
    number: &'a Number,
    comparison: Option<Comparison>,
    /// The other end of "between A and B".
    upper: Option<&'a Number>,
}

/// How far before an amount its measure may stand.
const AMOUNT_REACH: usize = 6;
/// Words before a number that make it a year however it is compared.
const TIMES: &[&str] =
    &["later", "earlier", "older", "newer", "younger", "born", "founded", "year", "since", "before", "after"];

impl<'a> Reader<'a> {
    /// "above the average price", "more than any product of that kind"
    pub(super) fn read_comparison_with_rows(&mut self) {
        let average = compared_with_average(self.tokens).map(|(comparison, start, end)| Compared {
            comparison,
            function: Function::Average,
            start,
            end,
        });
        let Some(compared) = average.or_else(|| compared_with_others(self.tokens)) else { return };
        let Some(column) = self.compared_column(&compared) else { return };
        self.explained[compared.start..compared.end].fill(true);
        self.against = Some((compared, column));
    }

    /// The column that a comparison is about: beside it, else what its comparative measures.
    fn compared_column(&mut self, compared: &Compared) -> Option<ColumnId> {
        let (start, end) = (compared.start, compared.end);
        let ordered = |column: ColumnId| {
            self.is_number(column) || (self.holds(column) == Holds::Date && compared.function != Function::Average)
        };
        let near = |mention: &super::Settled| {
            let after = mention.start >= end && mention.start <= end + 2;
            after
                || (mention.end <= start && start - mention.end <= COLUMN_REACH)
                || (mention.start >= start && mention.end <= end)
        };
        let measures = self.free_columns().filter(|(_, mention, column)| ordered(*column) && near(mention));
        let mentions: Vec<(usize, ColumnId)> = measures.map(|(index, _, column)| (index, column)).collect();
        let spoken = comparative(self.word(start)).and_then(|words| self.column_near(&self.likely_tables(), words));
        let column = mentions.last().map(|(_, column)| *column).or(spoken)?;
        for (index, _) in mentions.iter().filter(|(_, other)| *other == column) {
            let own = self.mentions[*index].start;
            let again = mentions.iter().any(|(later, other)| {
                *other == column && self.mentions[*later].start > own && self.mentions[*later].end <= start
            });
            self.mentions[*index].used |= !(self.region[own] && again);
        }
        let verb =
            |mention: &super::Settled| mention.kind == Kind::Column && mention.end == start && mention.score < 0.8;
        if let Some(verb) = self.mentions.iter().position(verb) {
            self.mentions[verb].used = true;
            let said = self.phrase(verb);
            self.doubts.retain(|doubt| {
                doubt.assumption.as_ref().is_none_or(|text| !text.starts_with(&format!("\"{said}\" ")))
            });
        }
        Some(column)
    }

    /// The condition that the comparison means. Other rows than all are meant where conditions follow.
    pub(in crate::text_to_sql::generate::builtin) fn comparison_with_rows(
        &self,
        inner: Vec<Condition>,
    ) -> Option<Condition> {
        let (compared, column) = self.against?;
        let mut plan = Plan::of(Some(self.catalog.table_of(column)));
        let flipped = self.chose(Choice::FlipExtreme);
        let function = match compared.function {
            Function::Minimum if flipped => Function::Maximum,
            Function::Maximum if flipped => Function::Minimum,
            function => function,
        };
        plan.outputs.push(Expression::Aggregate(function, column));
        plan.conditions = inner;
        plan.complete_tables(self.catalog);
        let joins = joins::connect(self.catalog, &plan.tables)?;
        let query = Box::new(Query { plan, joins });
        Some(Condition::Against { column, comparison: compared.comparison, query })
    }

    pub(super) fn read_numbers(&mut self) {
        for at in 0..self.tokens.len() {
            let covered = self
                .mentions
                .iter()
                .any(|mention| mention.kind != Kind::Table && mention.start <= at && at < mention.end);
            if self.explained[at] || covered {
                continue;
            }
            if let Some(dates) = self.tokens[at].dates() {
                self.read_dates(at, dates);
            } else if let Some(number) = self.tokens[at].number() {
                let idle = matches!(self.word(at), "one" | "once") && comparison_before(self.tokens, at).is_none();
                if !idle {
                    self.read_number(at, number);
                }
            }
        }
    }

    fn read_dates(&mut self, at: usize, dates: Dates) {
        let upper = self.range_end(at).and_then(|end| Some((end, self.tokens[end].dates()?)));
        let Some(column) = self.date_column(at) else { return };
        self.explained[at] = true;
        let condition = match upper {
            Some((end, upper)) => {
                self.explained[end] = true;
                Condition::Within { column, from: Some(dates.from), until: Some(upper.until) }
            }
            None => Condition::days(column, self.comparison(at).0.unwrap_or(Comparison::Equal), dates),
        };
        self.add_condition(condition, at);
    }

    fn read_number(&mut self, at: usize, number: &'a Number) {
        let (comparison, end) = self.comparison(at);
        let upper = self.range_end(at).and_then(|end| Some((end, self.tokens[end].number()?)));
        if let Some((end, _)) = upper {
            self.explained[end] = true;
        }
        let end = upper.map_or(end, |(at, _)| at + 1);
        let stated = Stated { at, end, number, comparison, upper: upper.map(|(_, number)| number) };
        if self.read_having(&stated) {
            self.explained[at] = true;
            return;
        }
        if let Some(condition) = self.condition_on(&stated) {
            self.explained[at] = true;
            match self.negation_before(at).filter(|_| stated.comparison.is_none()) {
                Some(_) => self.place(condition, at),
                None => self.add_condition(condition, at),
            }
        } else if let Some((end, _)) = upper {
            self.explained[end] = false;
        }
    }

    fn comparison(&self, at: usize) -> (Option<Comparison>, usize) {
        match comparison_after(self.tokens, at) {
            Some((comparison, length)) => (Some(comparison), at + 1 + length),
            None => (comparison_before(self.tokens, at), at + 1),
        }
    }

    /// Where the second end of "between A and B" or "from A to B" stands.
    fn range_end(&self, at: usize) -> Option<usize> {
        let opens = (1..=4).any(|back| matches!(self.word_before(at, back), "between" | "from" | "range"));
        (opens && matches!(self.word(at + 1), "and" | "to") && at + 2 < self.tokens.len()).then_some(at + 2)
    }

    /// "more than 3 orders": a condition on how many rows of another table belong to each.
    fn read_having(&mut self, stated: &Stated) -> bool {
        if self.chose(Choice::NoHaving) {
            return false;
        }
        let next =
            self.mentions.iter().position(|mention| mention.start >= stated.end && mention.start <= stated.end + 1);
        let apart = |next: &usize| {
            let between = self.words(stated.end, self.mentions[*next].start);
            between.into_iter().any(|word| matches!(word, "and" | "or" | ","))
        };
        let Some(next) = next.filter(|next| !apart(next)) else { return self.read_times(stated) };
        let mention = &self.mentions[next];
        let whole = stated.number.value.fract() == 0.0 && (0.0..=MAX_COUNT).contains(&stated.number.value);
        let possessed = matches!(self.word_before(stated.at, 1), "have" | "has" | "had" | "with" | "exactly");
        let table = mention.table.filter(|_| mention.kind == Kind::Table && mention.score >= 0.6);
        let counts =
            table.is_some() && whole && stated.number.year.is_none() && (stated.comparison.is_some() || possessed);
        if !counts || stated.upper.is_some() {
            return self.read_times(stated);
        }
        self.mentions[next].used = true;
        self.set_having(stated, table);
        true
    }

    /// "more than twice", "at least 3 times"
    fn read_times(&mut self, stated: &Stated) -> bool {
        let times =
            matches!(self.word(stated.end), "times" | "time") || matches!(self.word(stated.at), "once" | "twice");
        if !times || stated.comparison.is_none() || stated.upper.is_some() {
            return false;
        }
        if stated.end < self.tokens.len() {
            self.explained[stated.end] |= matches!(self.word(stated.end), "times" | "time");
        }
        self.set_having(stated, None);
        true
    }

    fn set_having(&mut self, stated: &Stated, table: Option<TableId>) {
        if self.having.is_some() {
            self.missing = Some("The question limits two counts at once.".to_owned());
        }
        let comparison = stated.comparison.unwrap_or(Comparison::Equal);
        let having = Having { expression: Expression::CountRows, comparison, value: stated.number.text.clone() };
        self.having = Some((having, table));
    }

    /// "with an average price above 10": a condition on groups, when the aggregate is not what is asked for.
    fn read_aggregate_having(&mut self, stated: &Stated, column: ColumnId) -> bool {
        let mention = self
            .mentions
            .iter()
            .position(|mention| mention.used && mention.column == Some(column) && mention.end <= stated.at);
        let function = self.aggregates.iter().find(|(index, _)| Some(*index) == mention).map(|(_, function)| *function);
        let shown = mention.is_some_and(|index| self.region[self.mentions[index].start]);
        let Some(function) = function.filter(|_| is_range(stated.comparison) && !shown && stated.upper.is_none())
        else {
            return false;
        };
        let expression = Expression::Aggregate(function, column);
        let comparison = stated.comparison.unwrap_or(Comparison::Equal);
        self.having = Some((Having { expression, comparison, value: stated.number.text.clone() }, None));
        self.explained[stated.at] = true;
        true
    }

    fn condition_on(&mut self, stated: &Stated) -> Option<Condition> {
        let column = self.column_of_number(stated)?;
        if self.read_aggregate_having(stated, column) {
            return None;
        }
        let comparison = stated.comparison.unwrap_or(Comparison::Equal);
        let literal = |number: &Number| Literal::Number(number.text.clone());
        let year = |number: &Number| number.year.and_then(Dates::year);
        match (self.holds(column), stated.upper) {
            (Holds::Date, Some(upper)) => Some(Condition::Within {
                column,
                from: Some(year(stated.number)?.from),
                until: Some(year(upper)?.until),
            }),
            (Holds::Date, None) => Some(Condition::days(column, comparison, year(stated.number)?)),
            (Holds::Number | Holds::NumericText, Some(upper)) => {
                Some(Condition::Between { column, low: literal(stated.number), high: literal(upper) })
            }
            (Holds::Number, None) => Some(Condition::Compare { column, comparison, value: literal(stated.number) }),
            (Holds::Text | Holds::NumericText, None) if !is_range(stated.comparison) => {
                let value = Literal::Text(stated.number.text.clone());
                Some(Condition::Compare { column, comparison, value })
            }
            _ => None,
        }
    }

    /// The column that a number is about.
    fn column_of_number(&mut self, stated: &Stated) -> Option<ColumnId> {
        let year = stated.number.year.is_some_and(|year| (1900..=2100).contains(&year)) && !self.is_amount(stated);
        let dated = |reader: &Self, column: ColumnId| {
            reader.holds(column) == Holds::Date
                || reader.catalog.has_stem(column, "year")
                || reader.catalog.has_stem(column, "date")
        };
        let stated_there = matches!(self.word_before(stated.at, 1), "is" | "was" | "are" | "than" | "of" | "equals");
        let fits = |reader: &Self, column: ColumnId| match reader.holds(column) {
            Holds::Number | Holds::NumericText if year && !dated(reader, column) && !stated_there => {
                !reader.catalog.columns_of(reader.catalog.table_of(column)).any(|other| dated(reader, other))
            }
            Holds::Number | Holds::NumericText if reader.catalog.column(column).is_id => {
                !is_range(stated.comparison) || reader.adjective_before(stated.at).is_none()
            }
            Holds::Number | Holds::NumericText => true,
            Holds::Date => year,
            _ => false,
        };
        let after = self.free_columns().find(|(_, mention, column)| {
            let here = mention.start >= stated.end && mention.start <= stated.end + 1;
            let apart = self.words(stated.end, mention.start).any(|word| matches!(word, "and" | "or" | ","));
            here && !apart && self.is_measure(*column) && !year && (stated.comparison.is_some() || mention.weight > 0.9)
        });
        let after = after.map(|(index, _, column)| (index, column));
        let before = || {
            let mut columns = self.free_columns().rev().filter(|(_, mention, column)| {
                let near = mention.end <= stated.at && stated.at - mention.end <= COLUMN_REACH;
                let between = self.mentions.iter().any(|other| other.start >= mention.end && other.end <= stated.at);
                let stray = between && self.catalog.column(*column).is_id;
                near && !stray && fits(self, *column) && !self.words(mention.end, stated.at).any(is_stop)
            });
            columns.next().map(|(index, _, column)| (index, column))
        };
        if let Some((index, column)) = after.or_else(before) {
            self.mentions[index].used = true;
            return Some(column);
        }
        self.column_of_last_number(stated).or_else(|| self.unnamed_column_of_number(stated, year))
    }

    /// "invoices with a total over 2000": what could be a year is compared with the measure before it.
    fn is_amount(&self, stated: &Stated) -> bool {
        let compared = matches!(
            self.word_before(stated.at, 1),
            "over" | "above" | "below" | "under" | "exceeding" | "than" | "least" | "most"
        );
        let reach = stated.at.saturating_sub(AMOUNT_REACH);
        let timed = self.words(reach, stated.at).any(|word| TIMES.contains(&word));
        let measured = self.mentions.iter().any(|mention| {
            let near = mention.start >= reach && mention.end <= stated.at;
            near && mention.column.is_some_and(|column| self.holds(column) == Holds::Number && self.is_measure(column))
        });
        compared && measured && !timed
    }

    /// "over 1500 or less than 500": the second number is about what the first is about.
    fn column_of_last_number(&self, stated: &Stated) -> Option<ColumnId> {
        let last = self.conditions.last().filter(|last| last.at < stated.at)?;
        let joins = |word: &str| {
            matches!(
                word,
                "or" | "and" | "," | "than" | "more" | "less" | "the" | "also" | "but" | "with" | "are" | "is"
            ) || comparative(word).is_some()
                || matches!(
                    word,
                    "higher" | "lower" | "greater" | "fewer" | "above" | "below" | "over" | "under" | "older"
                )
        };
        let together = self.words(last.at + 1, stated.at).all(joins) && self.word(stated.end) != "years";
        match &last.condition {
            Condition::Compare { column, value: Literal::Number(_), .. } => Some(*column).filter(|_| together),
            _ => None,
        }
    }

    /// "invoices over 20": the one column of the table that can be meant.
    fn only_measure(&self) -> Option<ColumnId> {
        let [table] = self.named[..] else { return None };
        let mut measures = self.catalog.columns_of(table).filter(|column| self.is_number(*column));
        measures.next().filter(|_| measures.next().is_none())
    }

    fn adjective_before(&self, at: usize) -> Option<&'static [&'static str]> {
        (1..=3).find_map(|back| comparative(self.word_before(at, back)))
    }

    fn unnamed_column_of_number(&mut self, stated: &Stated, year: bool) -> Option<ColumnId> {
        let adjective = self.adjective_before(stated.at);
        if let Some(words) = adjective {
            return self.column_near(&self.likely_tables(), words);
        }
        let aged = matches!(self.word_before(stated.at, 1), "age" | "aged") || self.word(stated.at + 2) == "old";
        if aged {
            return self.column_near(&self.likely_tables(), &["age"]);
        }
        if year {
            let tables = self.likely_tables();
            return self.column_for(&tables, &["year"]).or_else(|| self.date_column(stated.at));
        }
        if is_range(stated.comparison)
            && let Some(only) = self.only_measure()
        {
            self.assume(ONLY_MEASURE, format!("{} is compared with {}", self.name(only), stated.number.text));
            return Some(only);
        }
        let named = self.mentions.iter().find(|mention| mention.kind == Kind::Table && mention.end == stated.at);
        let table = named.and_then(|mention| mention.table)?;
        self.catalog.single_key(table).filter(|key| self.holds(*key) == Holds::Number)
    }
}
