//! From a reading to a plan: what each part of the question means for the query as a whole.

use super::joins::{self, JoinTree};
use super::plan::{Comparison, Condition, Expression, Function, Order, Plan, Query, SetOperation};
use super::reader::{Absence, Choice, Group, Kind, Placed, Reader, Superlative};
use crate::text_to_sql::link::catalog::{Catalog, ColumnId, Holds, TableId};

/// The plan, or `None` where the question names nothing to show.
pub fn assemble(reader: &mut Reader) -> Option<Plan> {
    let mut plan = Plan::of(None);
    let left_out = add_conditions(reader, &mut plan);
    plan.sides = reader.sides.clone();
    plan.any_condition = reader.any_condition;
    plan.outputs = reader.outputs.iter().map(|(output, _)| *output).collect();
    add_counted_and_grouped(reader, &mut plan);
    if plan.outputs.is_empty() {
        add_default_outputs(reader, &mut plan);
    }
    add_superlative(reader, &mut plan);
    add_having(reader, &mut plan);
    add_order(reader, &mut plan);
    add_named_tables(reader, &mut plan);
    group_plain_outputs(reader, &mut plan);
    show_groups(reader, &mut plan);
    set_distinct(reader, &mut plan);
    leave_out(&mut plan, left_out);
    plan.complete_tables(reader.catalog);
    (!plan.outputs.is_empty()).then_some(plan)
}

/// The conditions, with those on rows that must not exist inside one on the rows that are shown; answers which table
/// then takes no part itself.
fn add_conditions(reader: &mut Reader, plan: &mut Plan) -> Option<TableId> {
    let mut placed = std::mem::take(&mut reader.conditions);
    let compared = compare_with_rows(reader, &mut placed);
    let absence = reader.absence.filter(|_| !reader.chose(Choice::NoAbsence));
    reader.absence = absence.or_else(|| absence_of_value(reader, &placed));
    let Some(absence) = reader.absence else {
        plan.conditions = compared.into_iter().chain(placed.into_iter().map(|placed| placed.condition)).collect();
        return None;
    };
    let (inner, outer): (Vec<_>, Vec<_>) = placed.into_iter().partition(|placed| placed.at > absence.at);
    plan.conditions = compared.into_iter().chain(outer.into_iter().map(|placed| placed.condition)).collect();
    plan.add_table(absence.head);
    match reader.absent(absence, inner) {
        Some((condition, _)) => plan.conditions.insert(0, condition),
        None => reader.missing = Some("It is not known how what is left out belongs to the rest.".to_owned()),
    }
    absence.values.is_none().then_some(absence.child)
}

/// The comparison with other rows, with the conditions that follow it inside.
fn compare_with_rows(reader: &mut Reader, placed: &mut Vec<Placed>) -> Option<Condition> {
    let (compared, _) = reader.against?;
    let average = compared.function == Function::Average;
    let (inner, outer): (Vec<Placed>, Vec<Placed>) =
        std::mem::take(placed).into_iter().partition(|placed| placed.at > compared.start && !average);
    *placed = outer;
    reader.comparison_with_rows(inner.into_iter().map(|placed| placed.condition).collect())
}

/// "companies that do not make radios": no row with the value, where a company makes many things, not some row without.
fn absence_of_value(reader: &Reader, placed: &[Placed]) -> Option<Absence> {
    let [.., last] = placed else { return None };
    let Condition::Not(condition) = &last.condition else { return None };
    let child = condition.table(reader.catalog)?;
    let shown = reader.outputs.iter().find_map(|(output, _)| output.table(reader.catalog));
    let head = reader.named.first().copied().or(shown).filter(|head| *head != child)?;
    let joins = joins::connect(reader.catalog, &[head, child])?;
    let many = joins.repeats(reader.catalog, head) && reader.split.is_none() && !reader.chose(Choice::NoAbsence);
    many.then(|| Absence { head, child, at: last.at - 1, values: None })
}

/// Rows of the table that is left out are not joined.
fn leave_out(plan: &mut Plan, left_out: Option<TableId>) {
    let inside = plan.conditions.iter().find_map(|condition| match condition {
        Condition::Absent { query, .. } => Some(query.plan.tables.clone()),
        _ => None,
    });
    if left_out.is_some() {
        plan.tables.retain(|table| inside.as_ref().is_none_or(|inside| !inside.contains(table)));
    }
}

/// The query of the second set, where the question means two.
pub fn split(reader: &Reader, query: &mut Query) {
    let Some(operation) = reader.split else { return };
    let whole = &mut query.plan;
    let simple = whole.groups.is_empty() && whole.limit.is_none() && whole.having.is_none();
    let Some(last) = whole.conditions.len().checked_sub(2).filter(|_| simple) else { return };
    let mut other = query.clone();
    let whole = &mut query.plan;
    let second = whole.conditions.pop();
    other.plan.conditions.remove(last);
    if operation == SetOperation::Except {
        let negated = matches!(second, Some(Condition::Not(_)));
        let (kept, taken) =
            if negated { (&mut query.plan, &mut other.plan) } else { (&mut other.plan, &mut query.plan) };
        if let Some(condition) = taken.conditions.pop() {
            taken.conditions.push(condition.negated());
        }
        kept.order.clear();
        taken.order.clear();
        if !negated {
            std::mem::swap(query, &mut other);
        }
    }
    query.plan.order.clear();
    other.plan.order.clear();
    query.plan.combined = Some((operation, Box::new(other)));
}

/// Where joins repeat the rows that are counted or listed, each is counted or listed once.
pub fn count_each_once(reader: &mut Reader, plan: &mut Plan, joins: &JoinTree) {
    let catalog = reader.catalog;
    let counted = reader.count.as_ref().and_then(|count| count.of).and_then(|index| reader.mentions[index].table);
    let counted = counted.filter(|_| !reader.chose(Choice::FlipCountDistinct));
    if let Some(table) = counted.filter(|table| joins.repeats(catalog, *table) && reader.superlative.is_none()) {
        let once = catalog.single_key(table).map(Expression::CountDistinct);
        match once {
            Some(once) => plan
                .outputs
                .iter_mut()
                .filter(|output| **output == Expression::CountRows)
                .for_each(|output| *output = once),
            None => reader.assume(
                0.4,
                format!("rows of {} are counted once for every row joined to them", catalog.table(table).table.name),
            ),
        }
    }
    let asked = reader.count.as_ref().is_some_and(|count| count.distinct);
    for output in plan.outputs.iter_mut().filter(|_| !asked) {
        if let Expression::CountDistinct(column) = *output
            && catalog.single_key(catalog.table_of(column)) == Some(column)
            && !joins.repeats(catalog, catalog.table_of(column))
        {
            *output = Expression::CountRows;
        }
    }
    let repeated =
        |output: &Expression| output.column().is_some_and(|column| joins.repeats(catalog, catalog.table_of(column)));
    let listed = plan.groups.is_empty() && plan.outputs.iter().all(|output| !output.is_aggregate() && repeated(output));
    let ordered = plan.order.iter().all(|order| plan.outputs.contains(&order.expression));
    if listed && ordered {
        plan.distinct = !reader.chose(Choice::FlipDistinct);
        reader.assume(0.97, "what is shown is listed once, however many rows are joined to it".to_owned());
    }
}

/// A figure over rows that the joins repeat is taken over the rows that the joined query finds, each once.
pub fn add_up_once(catalog: &Catalog, query: Query) -> Query {
    let Some(table) = repeated_figure(catalog, &query) else { return query };
    let (Some(key), true) = (catalog.single_key(table), is_one_figure(catalog, &query.plan, table)) else {
        return query;
    };
    let mut outer = Plan::of(Some(table));
    let mut inner = query;
    outer.outputs = std::mem::replace(&mut inner.plan.outputs, vec![Expression::Column(key)]);
    outer.groups = std::mem::take(&mut inner.plan.groups);
    let Some(joins) = joins::connect(catalog, &outer.tables) else { return inner };
    outer.conditions.push(Condition::Among { column: key, query: Box::new(inner) });
    Query { plan: outer, joins }
}

/// The table of a sum, an average or a metric whose rows the joins repeat.
pub fn repeated_figure(catalog: &Catalog, Query { plan, joins }: &Query) -> Option<TableId> {
    let figures = plan.outputs.iter().copied().chain(plan.order.iter().map(|order| order.expression));
    let added = figures.filter(|output| {
        matches!(output, Expression::Aggregate(Function::Sum | Function::Average, _) | Expression::Metric(..))
    });
    added.filter_map(|figure| figure.table(catalog)).find(|table| joins.repeats(catalog, *table))
}

/// Everything but the conditions is of one table, and nothing is ordered or limited.
fn is_one_figure(catalog: &Catalog, plan: &Plan, table: TableId) -> bool {
    let own = |expression: &Expression| expression.table(catalog) == Some(table);
    let plain = plan.order.is_empty() && plan.limit.is_none() && plan.having.is_none() && plan.combined.is_none();
    plain && plan.sides.is_empty() && plan.outputs.iter().chain(&plan.groups).all(own)
}

fn add_counted_and_grouped(reader: &mut Reader, plan: &mut Plan) {
    let count = count_expression(reader, plan);
    let ordered_by = reader.count.as_ref().is_some_and(|count| count.at >= order_start(reader));
    let aggregated = plan.outputs.iter().any(|output| output.is_aggregate());
    if !reader.groups.is_empty() {
        let shown = add_groups(reader, plan);
        let plain = std::mem::take(&mut plan.outputs);
        plan.outputs = shown.into_iter().filter(|output| !plain.contains(output)).collect();
        plan.outputs.extend(plain);
        plan.outputs.extend(count.filter(|_| !ordered_by));
        if count.is_none() && !aggregated && reader.superlative.is_none() && reader.having.is_none() {
            plan.groups.clear();
            reader.doubt(0.8);
        }
        return;
    }
    let Some(count) = count.filter(|_| !ordered_by && reader.superlative.is_none() && reader.having.is_none()) else {
        return;
    };
    let plain = plan.outputs.iter().any(|output| !output.is_aggregate());
    let leading = reader.count.as_ref().is_some_and(|count| count.at <= 1) || reader.chose(Choice::CountOnly);
    if plain && !aggregated && !leading {
        plan.outputs.push(count);
        return;
    }
    let head = leading_table(reader).filter(|_| !plain && !aggregated && !leading);
    doubt_dropped_outputs(reader, plan);
    plan.outputs.retain(|output| output.is_aggregate());
    if let Some(head) = head {
        show_table(reader, plan, head);
        plan.outputs.push(count);
        return;
    }
    plan.outputs.insert(0, count);
}

/// A column that the question names and a count leaves no place for is a part of the question that went unread.
const DROPPED_OUTPUT: f32 = 0.6;

fn doubt_dropped_outputs(reader: &mut Reader, plan: &Plan) {
    for output in plan.outputs.iter().filter(|output| !output.is_aggregate()) {
        let read =
            output.column().is_some_and(|column| plan.conditions.iter().any(|known| known.column() == Some(column)));
        if let Some(column) = output.column().filter(|_| !read) {
            reader.assume(DROPPED_OUTPUT, format!("{} plays no part in the count", reader.name(column)));
        }
    }
}

/// "Show the regions and the number of …": the table named before the count, to be shown beside it.
fn leading_table(reader: &Reader) -> Option<TableId> {
    let count = reader.count.as_ref()?;
    let before = reader
        .mentions
        .iter()
        .enumerate()
        .filter(|(index, mention)| mention.end <= count.at && Some(*index) != count.of);
    let mut tables = before.filter(|(_, mention)| mention.kind == Kind::Table && !mention.used);
    tables.find_map(|(_, mention)| mention.table).filter(|_| count.at > 2)
}

fn show_table(reader: &Reader, plan: &mut Plan, table: TableId) {
    plan.add_table(table);
    plan.groups = reader.catalog.row_columns(table).into_iter().map(Expression::Column).collect();
    plan.outputs.splice(0..0, reader.catalog.display(table).into_iter().take(1).map(Expression::Column));
}

fn order_start(reader: &Reader) -> usize {
    reader.order.as_ref().map_or(reader.tokens.len(), |order| order.at)
}

/// What is counted: rows of a table, or different values of a column.
fn count_expression(reader: &mut Reader, plan: &mut Plan) -> Option<Expression> {
    let count = reader.count.as_ref()?;
    let (at, distinct, of) = (count.at, count.distinct, count.of);
    reader.explained[at] = true;
    let Some(index) = of else {
        plan.tables.extend(reader.named.first().copied().filter(|_| plan.tables.is_empty()));
        return Some(Expression::CountRows);
    };
    reader.mentions[index].used = true;
    let mention = &reader.mentions[index];
    if let Some(table) = mention.table.filter(|_| mention.kind == Kind::Table) {
        plan.add_table(table);
        let key = reader.catalog.single_key(table).filter(|_| distinct != reader.chose(Choice::FlipCountDistinct));
        return Some(key.map_or(Expression::CountRows, Expression::CountDistinct));
    }
    let column = mention.column?;
    let entry = reader.catalog.column(column);
    plan.add_table(entry.table);
    let different = (distinct || (entry.holds == Holds::Text && !entry.is_unique && reader.groups.is_empty()))
        != reader.chose(Choice::FlipCountDistinct);
    if different && !distinct {
        reader.assume(0.8, format!("every value of {} counts once", reader.name(column)));
    }
    Some(if different { Expression::CountDistinct(column) } else { Expression::CountRows })
}

/// The group columns, and what shows them.
fn add_groups(reader: &mut Reader, plan: &mut Plan) -> Vec<Expression> {
    let mut shown = Vec::new();
    for (group, _) in reader.groups.clone() {
        match group {
            Group::Column(column) => {
                plan.groups.push(Expression::Column(column));
                shown.push(Expression::Column(column));
            }
            Group::Table(table) => {
                plan.add_table(table);
                plan.groups.extend(reader.catalog.row_columns(table).into_iter().map(Expression::Column));
                let own = plan.outputs.iter().any(|output| {
                    !output.is_aggregate()
                        && output.column().is_some_and(|column| reader.catalog.table_of(column) == table)
                });
                let display = reader.catalog.display(table).into_iter().take(1).map(Expression::Column);
                shown.extend(display.filter(|_| !own));
            }
            Group::Period(column, unit) => {
                plan.groups.push(Expression::Period(column, unit));
                plan.order = vec![Order { expression: Expression::Period(column, unit), descending: false }];
                shown.push(Expression::Period(column, unit));
            }
        }
    }
    shown
}

/// Nothing is named to show: the time or place that "when" and "where" ask for, else what rows are known by.
fn add_default_outputs(reader: &mut Reader, plan: &mut Plan) {
    let Some(table) = reader.named.first().copied().or_else(|| reader.likely_tables().first().copied()) else { return };
    if reader.everything {
        plan.add_table(table);
        plan.outputs = reader.catalog.columns_of(table).map(Expression::Column).collect();
        return;
    }
    if let Some(Superlative::Frequency { at, .. }) = reader.superlative
        && let Some(column) = reader.frequency_of(at).and_then(|mention| mention.column)
    {
        plan.outputs = vec![Expression::Column(column)];
        return;
    }
    let tables: Vec<TableId> = std::iter::once(table).chain(reader.named.clone()).collect();
    let asked = match reader.word(0) {
        "when" => tables
            .iter()
            .flat_map(|table| reader.catalog.columns_of(*table))
            .find(|column| reader.holds(*column) == Holds::Date)
            .or_else(|| reader.column_for(&tables, &["date", "year", "time"])),
        "where" => reader.column_for(&tables, &["location", "address", "city", "place", "country"]),
        _ => None,
    };
    let asked_time_or_place = asked.is_some();
    let shown = || match reader.chose(Choice::ShowKeys) {
        true => reader.catalog.row_columns(table),
        false => reader.catalog.display(table),
    };
    let mut columns = asked.map_or_else(shown, |column| vec![column]);
    let filtered = |column: &ColumnId| plan.conditions.iter().any(|condition| condition.column() == Some(*column));
    if columns.iter().any(|column| filtered(column) && !reader.catalog.is_name(*column)) {
        columns = reader.catalog.columns_of(table).collect();
    }
    let names: Vec<String> = columns.iter().map(|column| reader.name(*column)).collect();
    let named = columns.iter().all(|column| reader.catalog.is_name(*column)) || asked_time_or_place;
    reader.assume(if named { 0.88 } else { 0.6 }, format!("shown is {}", names.join(", ")));
    plan.add_table(table);
    plan.outputs = columns.into_iter().map(Expression::Column).collect();
}

fn add_superlative(reader: &mut Reader, plan: &mut Plan) {
    let Some(superlative) = reader.superlative else { return };
    plan.limit = Some(reader.limit.unwrap_or(1));
    if plan.limit == Some(1) {
        reader.assume(0.98, "of several equal ones only one is shown".to_owned());
    }
    match superlative {
        Superlative::Column { column, descending, mention } => {
            order_by_column(reader, plan, column, descending, mention)
        }
        Superlative::Metric { table, metric, descending } => {
            plan.order = vec![Order { expression: Expression::Metric(table, metric), descending }];
            if plan.groups.is_empty() && !group_by_head(reader, plan, Some(table)) {
                plan.groups = reader.catalog.row_columns(table).into_iter().map(Expression::Column).collect();
            }
            plan.add_table(table);
        }
        Superlative::Rows { table, descending } => {
            plan.add_table(table);
            order_by_rows(reader, plan, Some(table), descending);
        }
        Superlative::Frequency { descending, at } => {
            let mention = reader.frequency_of(at);
            let (column, table) = mention.map_or((None, None), |mention| (mention.column, mention.table));
            if let Some(index) = reader
                .mentions
                .iter()
                .position(|mention| column.is_some() && mention.column == column && mention.start > at)
            {
                reader.mentions[index].used = true;
            }
            match (column, table) {
                (Some(column), _) => order_by_frequency(reader, plan, column, descending),
                (None, None) if shown_alone(reader, plan).is_some() => {
                    let column = shown_alone(reader, plan);
                    column.into_iter().for_each(|column| order_by_frequency(reader, plan, column, descending));
                }
                _ => order_by_rows(reader, plan, None, descending),
            }
        }
    }
}

/// The one plain column that is shown of the one table that takes part.
fn shown_alone(reader: &Reader, plan: &Plan) -> Option<ColumnId> {
    let column = plan.outputs.iter().find_map(|output| if output.is_aggregate() { None } else { output.column() })?;
    let table = reader.catalog.table_of(column);
    let others = plan.columns().iter().any(|other| reader.catalog.table_of(*other) != table)
        || reader.named.iter().any(|other| *other != table);
    (!others).then_some(column)
}

fn order_by_column(reader: &Reader, plan: &mut Plan, column: ColumnId, descending: bool, mention: Option<usize>) {
    let of_mention = |(index, function): &(usize, Function)| (Some(*index) == mention).then_some(*function);
    let function = reader.aggregates.iter().find_map(of_mention);
    let extreme = if descending { Function::Maximum } else { Function::Minimum };
    let expression = match function {
        Some(function) => Expression::Aggregate(function, column),
        None if !plan.groups.is_empty() => Expression::Aggregate(extreme, column),
        None => Expression::Column(column),
    };
    plan.outputs.retain(|output| *output != expression || plan.groups.is_empty());
    if reader.chose(Choice::AllExtremes) && plan.groups.is_empty() && plan.limit == Some(1) {
        plan.limit = None;
        return all_extremes(reader, plan, column, extreme);
    }
    plan.order = vec![Order { expression, descending }];
    if function.is_some() && plan.groups.is_empty() {
        group_by_head(reader, plan, None);
    }
}

/// All rows with the highest or lowest value, however many there are.
fn all_extremes(reader: &Reader, plan: &mut Plan, column: ColumnId, extreme: Function) {
    let mut inner = Plan::of(Some(reader.catalog.table_of(column)));
    inner.outputs.push(Expression::Aggregate(extreme, column));
    if let Some(joins) = joins::connect(reader.catalog, &inner.tables) {
        let query = Box::new(Query { plan: inner, joins });
        plan.conditions.insert(0, Condition::Against { column, comparison: Comparison::Equal, query });
    }
}

fn order_by_frequency(reader: &mut Reader, plan: &mut Plan, column: ColumnId, descending: bool) {
    if plan.groups.is_empty() {
        plan.groups = vec![Expression::Column(column)];
    }
    plan.outputs.retain(|output| output.is_aggregate() || plan.groups.contains(output));
    if !plan.outputs.contains(&Expression::Column(column)) {
        plan.outputs.insert(0, Expression::Column(column));
    }
    plan.order = vec![Order { expression: Expression::CountRows, descending }];
    if reader.chose(Choice::FlipCountShown) {
        plan.outputs.push(Expression::CountRows);
    }
    reader.doubt(0.95);
}

/// "the customer with the most orders": grouped by the rows of the head, counted over the other table.
fn order_by_rows(reader: &mut Reader, plan: &mut Plan, counted: Option<TableId>, descending: bool) {
    plan.order = vec![Order { expression: Expression::CountRows, descending }];
    let shown_count = reader.count.is_some() && plan.outputs.iter().any(|output| !output.is_aggregate());
    if plan.groups.is_empty() && !group_by_head(reader, plan, counted) {
        reader.missing = Some("The question asks for the most of something, but not of what.".to_owned());
    }
    plan.outputs.retain(|output| !matches!(output, Expression::CountRows));
    if shown_count != reader.chose(Choice::FlipCountShown) {
        plan.outputs.push(Expression::CountRows);
    }
}

/// Groups by each row of the table that the question is about, which is not the one that is counted.
fn group_by_head(reader: &Reader, plan: &mut Plan, counted: Option<TableId>) -> bool {
    let plain: Vec<ColumnId> =
        plan.outputs.iter().filter(|output| !output.is_aggregate()).filter_map(|output| output.column()).collect();
    let table_of = |column: &ColumnId| reader.catalog.table_of(*column);
    let shown = plain.iter().map(table_of).find(|table| Some(*table) != counted);
    let head = shown.or_else(|| reader.named.iter().copied().find(|table| Some(*table) != counted));
    match (head, plain.first()) {
        (Some(head), first) => {
            plan.groups = head_groups(reader, head, first.copied());
            plan.add_table(head);
            true
        }
        (None, Some(first)) => {
            plan.groups = vec![Expression::Column(*first)];
            true
        }
        (None, None) => false,
    }
}

/// Rows of a table are told apart by its key; a category column that is shown ("which city has …") groups by itself.
fn head_groups(reader: &Reader, head: TableId, shown: Option<ColumnId>) -> Vec<Expression> {
    let category = shown.filter(|column| {
        let entry = reader.catalog.column(*column);
        let key = reader.catalog.table(head).key.contains(column);
        let display = reader.catalog.display(head).contains(column);
        entry.table == head && !key && !display && !entry.is_unique && (entry.holds == Holds::Text || entry.is_foreign)
    });
    let by_shown = shown.filter(|_| reader.chose(Choice::GroupByShown));
    match by_shown.or(category) {
        Some(column) => vec![Expression::Column(column)],
        None => reader.catalog.row_columns(head).into_iter().map(Expression::Column).collect(),
    }
}

fn add_having(reader: &mut Reader, plan: &mut Plan) {
    let Some((having, table)) = reader.having.clone() else { return };
    table.into_iter().for_each(|table| plan.add_table(table));
    if plan.groups.is_empty() && !group_by_head(reader, plan, table) {
        reader.missing = Some("The question limits a count, but not of what.".to_owned());
    }
    if table.is_none() && plan.tables.len() < 2 {
        reader.doubt(0.8);
    }
    let counts = reader.count.as_ref().is_some_and(|count| count.at <= 1);
    if counts {
        reader.missing = Some(
            "The question counts what a limit on another count leaves, and the builtin generator cannot do that yet."
                .to_owned(),
        );
    }
    plan.having = Some(having);
}

fn add_order(reader: &mut Reader, plan: &mut Plan) {
    let Some(order) = reader.order.as_ref().filter(|_| plan.limit.is_none() || reader.superlative.is_none()) else {
        return;
    };
    let (at, descending) = (order.at, order.descending);
    let named: Vec<usize> = reader
        .mentions
        .iter()
        .enumerate()
        .filter(|(_, mention)| mention.kind == Kind::Column && mention.start >= at && !mention.used)
        .map(|(index, _)| index)
        .collect();
    let counted = reader.count.as_ref().is_some_and(|count| count.at >= at);
    plan.order.clear();
    if counted {
        plan.order.push(Order { expression: Expression::CountRows, descending });
        if plan.groups.is_empty() {
            group_by_head(reader, plan, None);
        }
    }
    for index in named.into_iter().take(2).filter(|_| !counted) {
        reader.mentions[index].used = true;
        let function = reader.aggregates.iter().find(|(mention, _)| *mention == index).map(|(_, function)| *function);
        let Some(column) = reader.mentions[index].column else { continue };
        let expression = function
            .filter(|_| !plan.groups.is_empty())
            .map_or(Expression::Column(column), |function| Expression::Aggregate(function, column));
        plan.order.push(Order { expression, descending: descending_after(reader, index).unwrap_or(descending) });
    }
    let count = plan
        .outputs
        .iter()
        .copied()
        .find(|output| matches!(output, Expression::CountRows | Expression::CountDistinct(_)));
    if plan.order.is_empty() {
        let by_count = count.filter(|_| !reader.says(&["alphabetical", "order"]) && !reader.says(&["alphabetically"]));
        let expression = by_count.or_else(|| plan.outputs.first().copied());
        plan.order.extend(expression.map(|expression| Order { expression, descending }));
        if !reader.says(&["alphabetical", "order"]) && !reader.says(&["alphabetically"]) {
            reader.doubt(0.85);
        }
    }
    plan.limit = plan.limit.or(reader.limit);
}

/// "by price descending and name": a direction right after a column is its own.
fn descending_after(reader: &Reader, index: usize) -> Option<bool> {
    let end = reader.mentions[index].end;
    (end..end + 3).take_while(|at| !matches!(reader.word(*at), "and" | "," | "then")).find_map(|at| {
        match reader.word(at) {
            "descending" | "decreasing" | "desc" => Some(true),
            "ascending" | "increasing" | "asc" => Some(false),
            _ => None,
        }
    })
}

/// Tables that the question names take part even when no column of theirs does.
fn add_named_tables(reader: &mut Reader, plan: &mut Plan) {
    plan.complete_tables(reader.catalog);
    for index in 0..reader.mentions.len() {
        let mention = &reader.mentions[index];
        let Some(table) = mention.table.filter(|_| mention.kind == Kind::Table) else { continue };
        if reader.absence.is_some_and(|absence| mention.start > absence.at || absence.child == table) {
            reader.mentions[index].used = true;
            continue;
        }
        if reader.chose(Choice::OnlyNeededTables) && !plan.tables.contains(&table) {
            continue;
        }
        if plan.tables.contains(&table) || mention.score >= 0.7 {
            plan.add_table(table);
            reader.mentions[index].used = true;
        }
    }
}

/// Beside an aggregate every plain output must be grouped; a plain output alone names the groups.
fn group_plain_outputs(reader: &mut Reader, plan: &mut Plan) {
    let aggregated = plan.outputs.iter().any(|output| output.is_aggregate())
        || plan.having.is_some()
        || plan.order.iter().any(|order| order.expression.is_aggregate());
    if !aggregated {
        return;
    }
    let plain: Vec<Expression> = plan.outputs.iter().copied().filter(|output| !output.is_aggregate()).collect();
    if plan.groups.is_empty() && !plain.is_empty() {
        let first = plain.iter().find_map(|output| output.column());
        let unique =
            first.is_some_and(|column| reader.catalog.display(reader.catalog.table_of(column)).contains(&column));
        let several = plan.tables.len() > 1;
        plan.groups = match first {
            Some(column) if unique && several => reader
                .catalog
                .row_columns(reader.catalog.table_of(column))
                .into_iter()
                .map(Expression::Column)
                .collect(),
            _ => Vec::new(),
        };
        reader.doubt(0.9);
    }
    let ordered = plan.order.iter().map(|order| order.expression).filter(|order| !order.is_aggregate());
    let ungrouped: Vec<Expression> = plain.into_iter().chain(ordered).collect();
    let table_of = |output: &Expression| output.column().map(|column| reader.catalog.table_of(column));
    let grouped_tables: Vec<_> = plan.groups.iter().map(table_of).collect();
    if !plan.groups.is_empty() && ungrouped.iter().any(|output| !grouped_tables.contains(&table_of(output))) {
        reader.doubt(0.5);
    }
    for output in ungrouped {
        if !plan.groups.contains(&output) && !plan.groups.is_empty() || plan.groups.is_empty() {
            plan.groups.push(output);
        }
    }
}

fn show_groups(reader: &Reader, plan: &mut Plan) {
    if !reader.chose(Choice::ShowGroups) {
        return;
    }
    let hidden = plan.groups.iter().copied().filter(|group| !plan.outputs.contains(group));
    let hidden: Vec<Expression> = hidden.take(1).collect();
    plan.outputs.splice(0..0, hidden);
}

fn set_distinct(reader: &mut Reader, plan: &mut Plan) {
    let asked = reader.tokens.iter().any(|token| matches!(token.lower.as_str(), "different" | "distinct" | "unique"));
    let plain = plan.groups.is_empty() && plan.outputs.iter().all(|output| !output.is_aggregate());
    let shown = plan.order.iter().all(|order| plan.outputs.contains(&order.expression));
    plan.distinct = plain && shown && (asked != reader.chose(Choice::FlipDistinct));
    if reader.chose(Choice::FlipDistinct) {
        reader.doubt(0.7);
    }
}
