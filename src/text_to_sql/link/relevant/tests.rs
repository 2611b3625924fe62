use super::*;
use crate::text_to_sql::schema::{Column, ColumnKind, ForeignKey, Metric, Table, TableKind};

fn column(name: &str, values: &[&str]) -> Column {
    let sample_values = values.iter().map(|value| (*value).to_owned()).collect();
    Column { sample_values, ..Column::found(name.to_owned(), "text".to_owned(), ColumnKind::Text, false) }
}

/// `name: column column>table …`
fn table(text: &str) -> Table {
    let (name, columns) = text.split_once(": ").unwrap();
    let mut table = Table::found("public".to_owned(), name.to_owned(), TableKind::Table);
    table.primary_key = vec!["id".to_owned()];
    table.columns.push(column("id", &[]));
    for part in columns.split(' ') {
        let (own, other) = part.split_once('>').unwrap_or((part, ""));
        table.columns.push(column(own, &[]));
        if !other.is_empty() {
            table.foreign_keys.push(ForeignKey {
                columns: vec![own.to_owned()],
                referenced_schema: "public".to_owned(),
                referenced_table: other.to_owned(),
                referenced_columns: vec!["id".to_owned()],
            });
        }
    }
    table
}

fn schema(tables: Vec<Table>) -> Schema {
    Schema { engine: Engine::Postgres, search_path: vec!["public".to_owned()], server_version: String::new(), tables }
}

fn ranked(schema: &Schema, question: &str) -> Vec<String> {
    let ranking = Relevance::new(schema).rank(schema, question);
    ranking.tables.iter().map(|place| schema.tables[*place].name.clone()).collect()
}

/// What surrounds the tables of a test.
fn others() -> Vec<Table> {
    (0..50).map(|at| table(&format!("unrelated_{at}: code_{at} text_{at}"))).collect()
}

fn shop() -> Schema {
    let mut tables = others();
    tables.extend(
        [
            "customers: full_name city",
            "orders: ordered_on customer_id>customers",
            "order_lines: quantity order_id>orders product_id>products",
            "products: title price",
            "orders_history: ordered_on customer_id>customers changed_at",
        ]
        .map(table),
    );
    schema(tables)
}

#[test]
fn tables_between_those_that_are_named_come_with_them() {
    let found = ranked(&shop(), "Which products did customers from Rome buy?");
    let mut first = found[..4].to_vec();
    first.sort();
    assert_eq!(first, ["customers", "order_lines", "orders", "products"]);
}

#[test]
fn a_copy_is_meant_when_the_question_says_so() {
    let schema = shop();
    let place = |found: &[String], name: &str| found.iter().position(|found| found == name).unwrap();
    let plain = ranked(&schema, "How many orders are there?");
    assert!(place(&plain, "orders") < place(&plain, "orders_history"), "{plain:?}");
    let said = ranked(&schema, "What does the history of orders say?");
    assert_eq!(said[0], "orders_history");
}

#[test]
fn names_are_found_however_they_are_written() {
    let mut named = table("PRODUKTE: bezeichnung");
    named.synonyms = vec!["商品".to_owned()];
    let mut tables = others();
    tables.extend([named, table("WorkOrder: PlannedStart"), table("cust_addr: street")]);
    let schema = schema(tables);
    for (question, expected) in [
        ("Zeige alle Produkte", "PRODUKTE"),
        ("有多少商品?", "PRODUKTE"),
        ("How many workorders are open?", "WorkOrder"),
        ("open work orders", "WorkOrder"),
        ("address of each customer", "cust_addr"),
    ] {
        assert_eq!(ranked(&schema, question).first().map(String::as_str), Some(expected), "{question}");
    }
}

#[test]
fn values_and_metrics_lead_to_their_tables() {
    let mut tables = others();
    let mut pumps = table("t17: a");
    pumps.columns.push(column("kind", &["Centrifugal Pump", "Gear Pump"]));
    let mut money = table("t18: amt");
    money.metrics.push(Metric {
        name: "net revenue".to_owned(),
        synonyms: vec!["Umsatz".to_owned()],
        description: None,
        expression: "sum(amt)".to_owned(),
        unit: None,
    });
    tables.extend([pumps, money]);
    let schema = schema(tables);
    assert_eq!(ranked(&schema, "How many gear pumps?")[0], "t17");
    assert_eq!(ranked(&schema, "Wie hoch war der Umsatz?")[0], "t18");
    let relevance = Relevance::new(&schema);
    let values = relevance.rank(&schema, "Are there centrifugal pumps?").values;
    let [hit] = &values[..] else { panic!("{values:?}") };
    assert_eq!((hit.said.as_str(), hit.value.as_str()), ("centrifugal pumps", "Centrifugal Pump"));
}

#[test]
fn what_is_hidden_or_masked_is_not_found() {
    let mut schema = shop();
    let products = schema.tables.iter_mut().find(|table| table.name == "products").unwrap();
    products.columns[1] = Column { masked: true, ..column("title", &["Hammer"]) };
    products.columns[2].hidden = true;
    let relevance = Relevance::new(&schema);
    let ranking = relevance.rank(&schema, "What is the price of a hammer?");
    assert!(ranking.tables.is_empty() && ranking.values.is_empty(), "{ranking:?}");
    schema.tables.iter_mut().for_each(|table| table.hidden = true);
    let ranking = Relevance::new(&schema).rank(&schema, "How many customers?");
    assert_eq!(ranking, Ranking::default());
}

#[test]
fn a_question_about_nothing_leaves_the_best_joined_tables_first() {
    let schema = shop();
    let ranking = Relevance::new(&schema).rank(&schema, "qwertz 123 ?!");
    assert!(ranking.tables.is_empty());
    let first = &schema.tables[ranking.others[0]].name;
    assert!(["orders", "customers", "order_lines"].contains(&first.as_str()), "{first}");
    assert_eq!(ranking.others.len(), schema.tables.len());
}

#[test]
fn tables_of_a_statement_are_found_by_name_and_schema() {
    let mut schema = shop();
    schema.tables.push(Table { schema: "archive".to_owned(), ..table("orders: note") });
    let relevance = Relevance::new(&schema);
    let named = |sql: &str| -> Vec<String> {
        let places = relevance.named_in(&schema, sql, Engine::Postgres);
        places.iter().map(|place| format!("{}.{}", schema.tables[*place].schema, schema.tables[*place].name)).collect()
    };
    assert_eq!(
        named("select * from archive.orders o join public.\"customers\" c on true where 'products' = o.note"),
        ["archive.orders", "public.customers"]
    );
    assert_eq!(named("select 'open").len(), 0);
}
