//! What introspection finds, shows and leaves unread.

use super::*;
use crate::text_to_sql::schema::{Column, ColumnKind, ForeignKey, Table, TableKind};

const SHOP: &str = "
    create type state as enum ('open', 'paid');
    create domain price as numeric(10, 2) not null;
    create domain low_price as price;
    create schema crm;
    create table crm.customers (id bigint primary key, name text not null, country text, secret text);
    comment on table crm.customers is 'Who buys';
    comment on column crm.customers.country is 'ISO code';
    create unique index customers_name on crm.customers (name);
    create unique index customers_de on crm.customers (country) where country = 'none';
    create index customers_lower on crm.customers (lower(name));
    create table \"Odd \"\"Name\" (id int, \"from\" text, customer bigint references crm.customers, primary key (id, \"from\"));
    create table orders (at timestamptz, day date, state state, total low_price, body jsonb, raw bytea, ok boolean, tags text[])
        partition by range (day);
    create table orders_2024 partition of orders for values from ('2024-01-01') to ('2025-01-01');
    create view paid as select * from orders where state = 'paid';
    create view broken as select 1 / (random() * 0)::int as a, 'x'::text as b;
    create materialized view countries as select distinct country from crm.customers;
    insert into crm.customers select n, 'Customer ' || n, case when n % 3 = 0 then 'FR' else 'DE' end, 's' from generate_series(1, 30) n;
    insert into orders (day, state, total) values ('2024-05-05', 'paid', 1);
    refresh materialized view countries;
    analyze";

#[tokio::test]
async fn introspection_finds_tables_columns_keys_comments_and_values() {
    let database = Database::new(SHOP).await;
    let schema = database.engine.introspect(&Samples::all()).await.unwrap();
    assert_eq!(schema.search_path, ["public"]);
    let names: Vec<String> = schema.tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
    assert_eq!(
        names,
        ["crm.customers", "public.Odd \"Name", "public.broken", "public.countries", "public.orders", "public.paid"]
    );
    let table = |name: &str| schema.tables.iter().find(|table| table.name == name).unwrap();

    let customers = table("customers");
    assert_eq!(customers.description.as_deref(), Some("Who buys"));
    assert_eq!(customers.primary_key, ["id"]);
    assert_eq!(customers.row_count, Some(30));
    assert_eq!(column(customers, "country").description.as_deref(), Some("ISO code"));
    assert_eq!(column(customers, "country").sample_values, ["DE", "FR"]);
    assert!(!column(customers, "name").nullable && column(customers, "country").nullable);
    let indexes: Vec<_> = customers.indexes.iter().map(|index| (index.name.as_str(), index.unique)).collect();
    assert_eq!(indexes, [("customers_de", false), ("customers_name", true), ("customers_pkey", true)]);

    let odd = table("Odd \"Name");
    assert_eq!(odd.primary_key, ["id", "from"]);
    let key = ForeignKey {
        columns: vec!["customer".into()],
        referenced_schema: "crm".into(),
        referenced_table: "customers".into(),
        referenced_columns: vec!["id".into()],
    };
    assert_eq!(odd.foreign_keys, [key]);

    let orders = table("orders");
    let kinds: Vec<ColumnKind> = orders.columns.iter().map(|column| column.kind).collect();
    use ColumnKind::*;
    assert_eq!(kinds, [Timestamp, Date, Text, Decimal, Json, Binary, Boolean, Other]);
    assert_eq!(column(orders, "state").enum_values, ["open", "paid"]);
    assert_eq!(column(orders, "total").data_type, "low_price");
    assert_eq!(orders.row_count, Some(1));
    assert_eq!(table("paid").kind, TableKind::View);
    assert_eq!(column(table("countries"), "country").sample_values.len(), 2);
    assert!(column(table("broken"), "b").sample_values.is_empty(), "a view that fails has no values, and fails alone");
}

#[tokio::test]
async fn introspection_finds_lists_of_checks_foreign_tables_and_keys_to_partitioned_tables() {
    let database = Database::new(
        "create table p (id int primary key) partition by range (id);
         create table p1 partition of p for values from (0) to (10);
         create domain grade as text check (value in ('a', 'b'));
         create table t (
             id int unique, p int references p, status text check (status in ('open', 'it''s')), sex char(1) check (sex in ('m', 'f')),
             kind varchar(9) check (kind in ('x', 'y') and length(kind) < 5), size varchar(9) check (size = 'S' or size = 'L'),
             later text, level int check (level in (1, 2)), grade grade, other text, check (status <> other)
         );
         alter table t add constraint later check (later in ('z')) not valid;
         create index t_lower on t (lower(status)); create unique index t_some on t (p) where id > 0;
         create foreign data wrapper nowhere; create server elsewhere foreign data wrapper nowhere;
         create foreign table remote (a text) server elsewhere",
    )
    .await;
    let schema = database.engine.introspect(&Samples::all()).await.unwrap();
    assert!(schema.server_version.starts_with(|digit: char| digit.is_ascii_digit()), "{}", schema.server_version);
    assert!(!schema.server_version.contains(' '));
    let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["p", "remote", "t"]);
    let t = &schema.tables[2];
    let lists: Vec<_> = t.columns.iter().filter(|column| !column.enum_values.is_empty()).collect();
    let lists: Vec<_> = lists.iter().map(|column| (column.name.as_str(), column.enum_values.join("|"))).collect();
    assert_eq!(lists, [("status", "open|it's".into()), ("sex", "m|f".into()), ("size", "S|L".to_owned())]);
    assert_eq!(t.foreign_keys.len(), 1, "the keys to each partition are not the table's own");
    let indexes: Vec<_> = t.indexes.iter().map(|index| (index.name.as_str(), index.unique)).collect();
    assert_eq!(indexes, [("t_id_key", true), ("t_some", false)]);
}

fn closed(table: &str, column: &str) -> Samples {
    let closed_columns = [("public".to_owned(), table.to_owned(), column.to_owned())].into();
    Samples { closed_columns, ..Samples::all() }
}

#[tokio::test]
async fn closed_columns_are_never_read() {
    let database = Database::new(
        "create function boom() returns text language plpgsql stable as $$ begin raise 'it was read'; end $$;
         create view risky as select 'x' as open, boom() as closed;
         create table big as select n, (array['Berlin', 'Paris'])[1 + n % 2] as open, 's' || n % 2 as closed
             from generate_series(1, 300000) n;
         analyze big",
    )
    .await;
    let values = async |samples: &Samples, table: &str| {
        let schema = database.engine.introspect(samples).await.unwrap();
        let table = schema.tables.into_iter().find(|found| found.name == table).unwrap();
        let values = |name| column(&table, name).sample_values.clone();
        (values("open"), values("closed"))
    };
    assert_eq!(values(&closed("risky", "closed"), "risky").await, (vec!["x".to_owned()], Vec::new()));
    assert_eq!(values(&Samples::all(), "risky").await.0.len(), 0, "the view does fail when it is read as a whole");
    let (open, closed) = values(&closed("big", "closed"), "big").await;
    assert_eq!((open.len(), closed.len()), (2, 0), "what analyze noted is a value too");
    assert_eq!(values(&Samples::all(), "big").await.1.len(), 2);
    assert_eq!(values(&Samples::none(), "big").await, (Vec::new(), Vec::new()));
    let hidden_tables = [("public".to_owned(), "big".to_owned())].into();
    assert_eq!(values(&Samples { hidden_tables, ..Samples::all() }, "big").await.0.len(), 0);
}

#[tokio::test]
async fn introspection_shows_only_what_the_login_may_read() {
    let role = format!("reader_{}", Uuid::now_v7().simple());
    let grants = format!(
        "create role {role} login; grant usage on schema crm to {role};
         grant select (id, country) on crm.customers to {role}; grant select on \"Odd \"\"Name\" to {role}"
    );
    let database = Database::new(&format!("{SHOP}; {grants}")).await;
    let engine =
        Postgres::connect(&database.server.postgres().url(&role, &database.name), &Access::default()).await.unwrap();
    let schema = engine.introspect(&Samples::all()).await.unwrap();
    let seen: Vec<_> = schema.tables.iter().map(|table| (table.name.as_str(), table.columns.len())).collect();
    assert_eq!(seen, [("customers", 2), ("Odd \"Name", 3)]);
    assert_eq!(column(&schema.tables[0], "country").sample_values, ["DE", "FR"]);
    let refused = engine.run_text("select secret from crm.customers", &Caps::default()).await.unwrap_err();
    assert!(matches!(refused, EngineError::Rejected { .. }));
}

#[tokio::test]
async fn the_values_of_a_large_table_come_from_what_analyze_noted_or_from_a_sample() {
    let database = Database::new(
        "create table big (id int, city text, free text);
         insert into big select n, (array['Berlin', 'Paris', 'Paris'])[1 + n % 3], md5(n::text) from generate_series(1, 300000) n;
         create table unknown (city text) with (autovacuum_enabled = off);
         insert into unknown select 'Rome' || repeat(' ', n % 2) from generate_series(1, 2000000) n;
         analyze big",
    )
    .await;
    let began = Instant::now();
    let schema = database.engine.introspect(&Samples::all()).await.unwrap();
    eprintln!("introspected 2,300,000 rows in {:?}", began.elapsed());
    assert_eq!(column(&schema.tables[0], "city").sample_values, ["Paris", "Berlin"]);
    assert_eq!(column(&schema.tables[1], "city").sample_values.len(), 2);
}

#[tokio::test]
async fn a_thousand_tables_are_introspected_in_seconds() {
    let database = Database::new(
        "do $$ begin
             for n in 1..1000 loop
                 execute format('create table t%s (id int primary key, name text, city text, other int references t%s, at timestamptz)', n, greatest(n - 1, 1));
                 execute format('insert into t%s (id, name, city) select i, ''name '' || i, ''city '' || i %% 5 from generate_series(1, 20) i', n);
             end loop;
         end $$; analyze",
    )
    .await;
    let began = Instant::now();
    let schema = database.engine.introspect(&Samples::all()).await.unwrap();
    eprintln!("introspected {} tables in {:?}", schema.tables.len(), began.elapsed());
    assert_eq!(schema.tables.len(), 1000);
    assert!(schema.tables.iter().all(|table| table.columns[2].sample_values.len() == 5 && table.primary_key == ["id"]));
    assert!(began.elapsed() < Duration::from_secs(30));
}

fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    table.columns.iter().find(|column| column.name == name).unwrap()
}
