//! Items of FROM that make columns out of data: PIVOT and UNPIVOT, and the columns that JSON is laid out in.

use sqlparser::ast::*;

use super::scope::{Name, Output, Relation, Scope};
use super::walk::Walker;

impl<'a> Walker<'a> {
    /// `PIVOT (sum(total) FOR month IN ([1], [2]))`: the columns that are neither summed up nor spread, which it groups
    /// by, and one for each value.
    pub(super) fn pivot(
        &mut self,
        input: Relation<'a>,
        aggregates: &'a [ExprWithAlias],
        value_column: &'a [Expr],
        values: &'a PivotValueSource,
    ) -> Vec<Output<'a>> {
        self.read_all(&input.columns);
        let columns = input.columns.clone();
        let mut used = Vec::new();
        self.seeing(input, |walker| {
            for ExprWithAlias { expr, alias } in aggregates {
                walker.absent(alias.is_none(), "An alias in PIVOT");
                used.extend(walker.summed_up(expr));
            }
            walker.expressions(value_column);
            used.extend(value_column.iter().filter_map(|column| walker.plain_name(column)));
        });
        let mut outputs: Vec<Output<'a>> = columns
            .into_iter()
            .filter(|column| !used.iter().any(|used| column.is(used)))
            .map(|column| Output { source: None, ..column })
            .collect();
        outputs.extend(self.pivot_values(values));
        outputs
    }

    /// The values are spelled as the columns that they become.
    fn pivot_values(&mut self, values: &'a PivotValueSource) -> Vec<Output<'a>> {
        let PivotValueSource::List(values) = values else {
            self.not_allowed("PIVOT over values that are not listed");
            return Vec::new();
        };
        let mut outputs = Vec::with_capacity(values.len());
        for ExprWithAlias { expr, alias } in values {
            match expr {
                Expr::Identifier(ident) if alias.is_none() => {
                    self.name(ident);
                    outputs.push(Output::named(self.dialect.fold(ident)));
                }
                _ => self.not_allowed("A value of this form in PIVOT"),
            }
        }
        outputs
    }

    /// `UNPIVOT (value FOR name IN (a, b))`: the columns that are not listed, the value, and the name it had.
    pub(super) fn unpivot(
        &mut self,
        input: Relation<'a>,
        value: &'a Expr,
        name: &'a Ident,
        listed: &'a [ExprWithAlias],
    ) -> Vec<Output<'a>> {
        let columns = input.columns.clone();
        let mut used = Vec::new();
        self.seeing(input, |walker| {
            for ExprWithAlias { expr, alias } in listed {
                walker.absent(alias.is_none(), "An alias in UNPIVOT");
                walker.expressions([expr]);
                used.extend(walker.plain_name(expr));
            }
        });
        let mut outputs: Vec<Output<'a>> =
            columns.into_iter().filter(|column| !used.iter().any(|used| column.is(used))).collect();
        match value {
            Expr::Identifier(value) => outputs.push(Output::named(self.declared(value))),
            _ => self.not_allowed("A value of this form in UNPIVOT"),
        }
        outputs.push(Output::named(self.declared(name)));
        outputs
    }

    fn seeing(&mut self, input: Relation<'a>, walk: impl FnOnce(&mut Self)) {
        self.scopes.push(Scope { relations: vec![input], ..Scope::default() });
        walk(self);
        self.scopes.pop();
    }

    fn plain_name(&self, expr: &'a Expr) -> Option<Name<'a>> {
        match expr {
            Expr::Identifier(ident) => Some(self.dialect.fold(ident)),
            Expr::CompoundIdentifier(parts) => parts.last().map(|ident| self.dialect.fold(ident)),
            _ => None,
        }
    }

    /// The column in `sum(column)`. The parser forgets where the function's name stands here, so it must be one of a few.
    fn summed_up(&mut self, expr: &'a Expr) -> Option<Name<'a>> {
        const AGGREGATES: [&str; 8] = ["sum", "avg", "min", "max", "count", "count_big", "stdev", "var"];
        let aggregate = match expr {
            Expr::Function(Function { name: ObjectName(parts), args: FunctionArguments::List(list), .. }) => {
                match (parts.as_slice(), list.args.as_slice()) {
                    (
                        [ObjectNamePart::Identifier(function)],
                        [FunctionArg::Unnamed(FunctionArgExpr::Expr(column @ Expr::Identifier(_)))],
                    ) => AGGREGATES.iter().any(|it| function.value.eq_ignore_ascii_case(it)).then_some(column),
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(column) = aggregate else {
            self.not_allowed("A function of this form in PIVOT");
            return None;
        };
        self.expressions([column]);
        self.plain_name(column)
    }

    /// The columns of MySQL's JSON_TABLE.
    pub(super) fn json_columns(&mut self, columns: &'a [JsonTableColumn]) -> Vec<Output<'a>> {
        let mut outputs = Vec::with_capacity(columns.len());
        for column in columns {
            match column {
                JsonTableColumn::Named(JsonTableNamedColumn { name, r#type, path, exists: _, on_empty, on_error }) => {
                    self.data_type(r#type);
                    self.value(path);
                    self.json_default(on_empty.as_ref());
                    self.json_default(on_error.as_ref());
                    outputs.push(Output::named(self.declared(name)));
                }
                JsonTableColumn::ForOrdinality(name) => outputs.push(Output::named(self.declared(name))),
                JsonTableColumn::Nested(JsonTableNestedColumn { path, columns }) => {
                    self.value(path);
                    outputs.extend(self.json_columns(columns));
                }
            }
        }
        outputs
    }

    fn json_default(&mut self, handling: Option<&'a JsonTableColumnErrorHandling>) {
        if let Some(JsonTableColumnErrorHandling::Default(value)) = handling {
            self.value(value);
        }
    }

    /// The columns of SQL Server's OPENJSON: those it is told, or its own three.
    pub(super) fn open_json_columns(&mut self, columns: &'a [OpenJsonTableColumn]) -> Vec<Output<'a>> {
        if columns.is_empty() {
            return ["key", "value", "type"].into_iter().map(Output::named).collect();
        }
        let mut outputs = Vec::with_capacity(columns.len());
        for OpenJsonTableColumn { name, r#type, path: _, as_json: _ } in columns {
            self.data_type(r#type);
            outputs.push(Output::named(self.declared(name)));
        }
        outputs
    }
}
