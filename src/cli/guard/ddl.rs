//! CREATE statements as the tables, views and columns of a [`Schema`].
//!
//! It takes what the guard asks about: names, types, primary keys, enumerations. Foreign keys, indexes and comments are
//! left out.

use std::collections::HashMap;

use anyhow::Context;
use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateView, DataType, Expr, Ident, IndexColumn, ObjectName, SelectItem,
    SetExpr, Statement, TableConstraint, UserDefinedTypeRepresentation,
};

use crate::text_to_sql::schema::{Column, ColumnKind, Engine, Schema, Table, TableKind};

/// What has been declared so far, in the order of the file.
pub struct Declared {
    schema: Schema,
    /// Enumerations by name, with their labels.
    enums: HashMap<String, Vec<String>>,
}

impl Declared {
    pub fn new(engine: Engine) -> Self {
        let home = match engine {
            Engine::Postgres => "public",
            Engine::Mssql => "dbo",
            Engine::Sqlite | Engine::Mysql => "main",
        };
        let search_path = vec![home.to_owned()];
        let schema = Schema { engine, search_path, server_version: String::new(), tables: Vec::new() };
        Self { schema, enums: HashMap::new() }
    }

    /// What follows, and what statements name without a schema, is in this one.
    pub fn used(&mut self, schema: String) {
        self.schema.search_path = vec![schema];
    }

    pub fn finish(self) -> Schema {
        self.schema
    }

    pub fn add(&mut self, statement: Statement) -> anyhow::Result<()> {
        match statement {
            Statement::CreateTable(create) => self.table(&create),
            Statement::CreateView(create) => self.view(&create)?,
            Statement::CreateVirtualTable { name, module_args, .. } => {
                let columns = module_args.iter().map(|column| untyped(self.fold(column))).collect();
                self.push(&name, TableKind::Table, columns, Vec::new());
            }
            Statement::CreateType { name, representation: Some(UserDefinedTypeRepresentation::Enum { labels }) } => {
                let labels = labels.into_iter().map(|label| label.value).collect();
                self.enums.insert(self.folded(&name).join("."), labels);
            }
            _ => {}
        }
        Ok(())
    }

    fn table(&mut self, create: &CreateTable) {
        let columns = create.columns.iter().map(|column| self.column(column)).collect();
        let own = create.columns.iter().filter(|column| is_key(column)).map(|column| self.fold(&column.name));
        let of_table = create.constraints.iter().flat_map(|constraint| self.key(constraint));
        let primary_key = own.chain(of_table).collect();
        self.push(&create.name, TableKind::Table, columns, primary_key);
    }

    fn column(&self, column: &ColumnDef) -> Column {
        let nullable = !column.options.iter().any(|option| matches!(option.option, ColumnOption::NotNull));
        let data_type = column.data_type.to_string();
        let kind = kind(&column.data_type);
        let mut found = Column::found(self.fold(&column.name), data_type, kind, nullable && !is_key(column));
        if let Some(labels) = self.enums.get(&found.data_type.to_lowercase()) {
            found.data_type = found.data_type.to_lowercase();
            found.enum_values.clone_from(labels);
            found.enumeration = true;
        }
        found
    }

    fn key(&self, constraint: &TableConstraint) -> Vec<String> {
        let column = |column: &IndexColumn| match &column.column.expr {
            Expr::Identifier(ident) => Some(self.fold(ident)),
            _ => None,
        };
        match constraint {
            TableConstraint::PrimaryKey(key) => key.columns.iter().filter_map(column).collect(),
            _ => Vec::new(),
        }
    }

    fn view(&mut self, create: &CreateView) -> anyhow::Result<()> {
        let named: Vec<String> = create.columns.iter().map(|column| self.fold(&column.name)).collect();
        let names = if named.is_empty() { self.output_names(&create.query.body) } else { Some(named) };
        let names = names.with_context(|| {
            format!("name the columns of the view {}: CREATE VIEW {} (…) AS", create.name, create.name)
        })?;
        let columns = names.into_iter().map(untyped).collect();
        self.push(&create.name, TableKind::View, columns, Vec::new());
        Ok(())
    }

    /// The names that a view's query gives its columns, if each says its own.
    fn output_names(&self, body: &SetExpr) -> Option<Vec<String>> {
        let name = |item: &SelectItem| match item {
            SelectItem::ExprWithAlias { alias, .. } | SelectItem::UnnamedExpr(Expr::Identifier(alias)) => {
                Some(self.fold(alias))
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(|last| self.fold(last)),
            _ => None,
        };
        match body {
            SetExpr::Select(select) => select.projection.iter().map(name).collect(),
            SetExpr::SetOperation { left, .. } => self.output_names(left),
            SetExpr::Query(query) => self.output_names(&query.body),
            _ => None,
        }
    }

    fn push(&mut self, name: &ObjectName, kind: TableKind, columns: Vec<Column>, primary_key: Vec<String>) {
        let mut parts = self.folded(name);
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop().unwrap_or_else(|| self.schema.search_path[0].clone());
        let table = Table { columns, primary_key, ..Table::found(schema, name, kind) };
        self.schema.tables.push(table);
    }

    fn folded(&self, name: &ObjectName) -> Vec<String> {
        name.0.iter().filter_map(|part| part.as_ident()).map(|ident| self.fold(ident)).collect()
    }

    /// The name as the engine's catalog keeps it.
    fn fold(&self, ident: &Ident) -> String {
        let folds = self.schema.engine == Engine::Postgres && ident.quote_style.is_none();
        if folds { ident.value.to_lowercase() } else { ident.value.clone() }
    }
}

fn is_key(column: &ColumnDef) -> bool {
    column.options.iter().any(|option| matches!(option.option, ColumnOption::PrimaryKey(_)))
}

/// A column of a view or a virtual table, whose type the file does not say.
fn untyped(name: String) -> Column {
    Column::found(name, String::new(), ColumnKind::Other, true)
}

fn kind(data_type: &DataType) -> ColumnKind {
    let name = data_type.to_string().to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match () {
        () if has(&["interval", "[]", "range"]) => ColumnKind::Other,
        () if has(&["bool"]) || name == "bit" => ColumnKind::Boolean,
        () if has(&["datetime", "timestamp"]) => ColumnKind::Timestamp,
        () if name == "date" => ColumnKind::Date,
        () if has(&["json"]) => ColumnKind::Json,
        () if has(&["int", "serial"]) => ColumnKind::Integer,
        () if has(&["numeric", "decimal", "real", "float", "double", "money"]) => ColumnKind::Decimal,
        () if has(&["char", "text", "clob"]) => ColumnKind::Text,
        () if has(&["blob", "binary", "bytea"]) => ColumnKind::Binary,
        () => ColumnKind::Other,
    }
}
