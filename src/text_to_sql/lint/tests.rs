use super::*;
use crate::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Index, Table, TableKind};

/// Customers with orders, orders with lines, customers with visits; moments as the engine calls them.
fn shop(engine: Engine) -> Schema {
    let space = match engine {
        Engine::Postgres => "public",
        Engine::Mysql | Engine::Sqlite => "main",
        Engine::Mssql => "dbo",
    };
    let (plain, zoned) = match engine {
        Engine::Postgres => ("timestamp without time zone", "timestamp with time zone"),
        Engine::Mysql => ("datetime", "timestamp"),
        Engine::Sqlite => ("DATETIME", "DATETIME"),
        Engine::Mssql => ("datetime2(7)", "datetimeoffset(7)"),
    };
    let table = |name: &str, columns: &[(&str, &str, ColumnKind, bool)], key: &[&str]| {
        let mut table = Table::found(space.to_owned(), name.to_owned(), TableKind::Table);
        let column = |(name, kind_name, kind, nullable): &(&str, &str, ColumnKind, bool)| {
            Column::found((*name).to_owned(), (*kind_name).to_owned(), *kind, *nullable)
        };
        table.columns = columns.iter().map(column).collect();
        table.primary_key = key.iter().map(|name| (*name).to_owned()).collect();
        table
    };
    use ColumnKind::{Date, Decimal, Integer, Text, Timestamp};
    let id = ("id", "integer", Integer, false);
    let customers = table(
        "customers",
        &[id, ("name", "text", Text, false), ("city", "text", Text, true), ("credit", "numeric", Decimal, false)],
        &["id"],
    );
    let mut orders = table(
        "orders",
        &[
            id,
            ("customer_id", "integer", Integer, true),
            ("total", "numeric", Decimal, false),
            ("points", "integer", Integer, false),
            ("placed_at", plain, Timestamp, false),
            ("paid_at", zoned, Timestamp, true),
            ("due", "date", Date, false),
        ],
        &["id"],
    );
    let mut items = table(
        "items",
        &[
            ("order_id", "integer", Integer, false),
            ("line", "integer", Integer, false),
            ("sku", "text", Text, false),
            ("amount", "numeric", Decimal, false),
        ],
        &["order_id", "line"],
    );
    let mut visits = table("visits", &[id, ("customer_id", "integer", Integer, false)], &["id"]);
    let mut cards = table("cards", &[("customer_id", "integer", Integer, false), ("number", "text", Text, false)], &[]);
    let key = |column: &str, to: &str| ForeignKey {
        columns: vec![column.to_owned()],
        referenced_schema: space.to_owned(),
        referenced_table: to.to_owned(),
        referenced_columns: vec!["id".to_owned()],
    };
    orders.foreign_keys = vec![key("customer_id", "customers")];
    items.foreign_keys = vec![key("order_id", "orders")];
    visits.joins = vec![key("customer_id", "customers")];
    cards.foreign_keys = vec![key("customer_id", "customers")];
    cards.indexes = vec![Index { name: "one".to_owned(), columns: vec!["customer_id".to_owned()], unique: true }];
    Schema {
        engine,
        search_path: vec![space.to_owned()],
        server_version: String::new(),
        tables: vec![customers, orders, items, visits, cards],
    }
}

fn codes(engine: Engine, sql: &str) -> Vec<LintCode> {
    lints(sql, &shop(engine)).into_iter().map(|lint| lint.code).collect()
}

#[track_caller]
fn fires(code: LintCode, sql: &str) {
    assert_eq!(codes(Engine::Postgres, sql), [code], "{sql}");
}

#[track_caller]
fn silent(sql: &str) {
    assert_eq!(lints(sql, &shop(Engine::Postgres)), [], "{sql}");
}

#[track_caller]
fn said(sql: &str) -> String {
    let lints = lints(sql, &shop(Engine::Postgres));
    assert_eq!(lints.len(), 1, "{sql}: {lints:?}");
    lints[0].detail.clone()
}

#[test]
fn sums_averages_and_counts_over_repeated_rows_fan_out() {
    for sql in [
        "select sum(o.total) from orders o join items i on i.order_id = o.id",
        "select sum(total) from orders join items on order_id = id",
        "select customer_id, avg(o.total) from orders o join items i on i.order_id = o.id group by customer_id",
        "select count(c.id) from customers c left join orders o on c.id = o.customer_id",
        "select sum(c.credit) from customers c, visits v where v.customer_id = c.id",
        "select c.name, sum(o.total) from customers c join orders o on o.customer_id = c.id join visits v on v.customer_id = c.id group by c.id, c.name",
        "select c.name, count(*) from customers c join orders o on o.customer_id = c.id join visits v on v.customer_id = c.id group by c.id, c.name",
        "select * from (select sum(o.total) as total from orders o join items i on i.order_id = o.id) x",
        "with big as (select * from orders where total > 5) select sum(b.total) from big b join items i on i.order_id = b.id",
        "select c.name, sum(c.credit) from customers c join orders o on o.customer_id = c.id group by c.id, c.name",
        "select sum(o.total) from orders o join public.items on items.order_id = o.id where items.line > 2",
    ] {
        fires(LintCode::FanOut, sql);
    }
}

#[test]
fn rows_that_no_join_repeats_do_not_fan_out() {
    for sql in [
        "select sum(i.amount) from orders o join items i on i.order_id = o.id",
        "select sum(i.amount), count(*) from customers c join orders o on o.customer_id = c.id join items i on i.order_id = o.id",
        "select c.name, count(o.id) from customers c left join orders o on o.customer_id = c.id group by c.id, c.name",
        "select c.city, count(c.city) from customers c join orders o on o.customer_id = c.id group by c.city",
        // Each order may be meant to count.
        "select c.city, avg(c.credit) from customers c join orders o on o.customer_id = c.id group by c.city",
        "select c.name, count(c.id), avg(c.credit), max(c.credit) from customers c join orders o on o.customer_id = c.id group by c.id, c.name",
        "select count(distinct c.id), max(c.credit) from customers c join orders o on o.customer_id = c.id",
        "select sum(c.credit) from customers c join cards k on k.customer_id = c.id",
        "select sum(o.total) from orders o join items i on i.order_id = o.id and i.line = 1",
        "select sum(o.total) from orders o join items i on i.order_id = o.id where i.line = 1",
        "select sum(c.credit) from customers c left join orders o on o.customer_id = c.id where o.id is null",
        "select sum(o.total) from orders o join (select order_id, sum(amount) as amount from items group by order_id) i on i.order_id = o.id",
        "select sum(c.credit) from customers c join (select distinct customer_id from orders) o on o.customer_id = c.id",
        "select sum(o.total) over () from orders o join items i on i.order_id = o.id",
        "select sum(o.total) from orders o where exists (select 1 from items i where i.order_id = o.id)",
        "select c.name, (select sum(o.total) from orders o where o.customer_id = c.id) from customers c",
        // Nothing says that sku and city are not unique.
        "select sum(c.credit) from customers c join items i on i.sku = c.city",
        "select i.order_id, sum(o.total * i.amount) from orders o join items i on i.order_id = o.id group by i.order_id",
        "select i.order_id, i.line, sum(o.total) from orders o join items i on i.order_id = o.id group by i.order_id, i.line",
    ] {
        silent(sql);
    }
}

#[test]
fn a_fan_out_is_told_with_its_tables_and_a_way_out() {
    assert_eq!(
        said("select sum(o.total) from orders o join items i on i.order_id = o.id"),
        "Several rows of items go with one row of orders, and the join repeats it for each, so sum(o.total) takes it several times; aggregate before the join, or leave items out of the join."
    );
    let product = said(
        "select count(*) from customers c join orders o on o.customer_id = c.id join visits v on v.customer_id = c.id",
    );
    assert!(product.contains("every row of orders with every row of visits"), "{product}");
}

#[test]
fn without_keys_more_rows_than_are_referred_to_prove_a_fan_out() {
    let mut schema = shop(Engine::Postgres);
    let sql = "select sum(o.total) from orders o join items i on i.order_id = o.id";
    schema.tables[2].primary_key.clear();
    assert_eq!(lints(sql, &schema), []);
    (schema.tables[1].row_count, schema.tables[2].row_count) = (Some(10), Some(10));
    assert_eq!(lints(sql, &schema), []);
    schema.tables[2].row_count = Some(11);
    assert_eq!(lints(sql, &schema)[0].code, LintCode::FanOut);
}

#[test]
fn not_in_with_a_query_that_may_give_a_null_is_told() {
    for sql in [
        "select name from customers where id not in (select customer_id from orders)",
        "select name from customers where not (id in (select o.customer_id from orders o))",
        "select name from customers where id not in (select id from visits union select customer_id from orders)",
        "select name from customers where id not in (select o.id from customers c left join orders o on o.customer_id = c.id)",
    ] {
        fires(LintCode::NotInNull, sql);
    }
    for sql in [
        "select name from customers where id not in (select customer_id from visits)",
        "select name from customers where id in (select customer_id from orders)",
        "select name from customers where id not in (select customer_id from orders where customer_id is not null)",
        "select name from customers where id not in (select customer_id from orders where customer_id > 7 and total > 1)",
        "select name from customers where id not in (select o.customer_id from orders o join customers c on o.customer_id = c.id)",
        "select name from customers c where not exists (select 1 from orders o where o.customer_id = c.id)",
        "select name from customers where id not in (select max(customer_id) from orders)",
    ] {
        silent(sql);
    }
    let detail = said("select name from customers where id not in (select customer_id from orders)");
    assert!(detail.starts_with("orders.customer_id may be missing") && detail.contains("NOT EXISTS"), "{detail}");
}

#[test]
fn division_of_whole_numbers_is_told_where_it_drops_the_fraction() {
    let division = [LintCode::IntegerDivision];
    let sql = "select points / 7 from orders";
    for engine in [Engine::Postgres, Engine::Sqlite, Engine::Mssql] {
        assert_eq!(codes(engine, sql), division, "{engine:?}");
    }
    assert_eq!(codes(Engine::Mysql, sql), []);
    assert_eq!(codes(Engine::Mssql, "select avg(points) from orders"), division);
    assert_eq!(codes(Engine::Postgres, "select avg(points) from orders"), []);
    assert_eq!(codes(Engine::Mssql, "select avg(total), avg(1.0 * points) from orders"), []);
    let comparison = "select sum(total > 5) / count(*) from orders";
    assert_eq!(codes(Engine::Sqlite, comparison), division);
    for sql in [
        "select count(*) / 7 from orders",
        "select 100 * count(*) / (select count(*) from customers) from orders",
        "select sum(points) / count(*) from orders",
        "select sum(case when total > 5 then 1 else 0 end) / count(*) from orders",
        "select n / 2 from (select count(*) as n from orders) x",
        "select 1 / 2",
    ] {
        fires(LintCode::IntegerDivision, sql);
    }
    for sql in [
        "select total / 7, points / 7.0, 1.0 * points / 7, points * 1.0 / 7, points::numeric / 7 from orders",
        "select (points / 10) * 10, floor(points / 7), cast(points / 7 as int), trunc(points / 7) from orders",
        "select 100 / 10, points / 1 from orders",
        "select avg(points) / 2 from orders",
        "select sum(id::bigint) / 2 from orders",
    ] {
        silent(sql);
    }
}

#[test]
fn a_date_taken_for_a_whole_day_of_moments_is_told() {
    let edge = |sql: &str| {
        let detail = said(sql);
        assert_eq!(codes(Engine::Postgres, sql), [LintCode::TimeZoneEdge]);
        detail
    };
    let between = "select id from orders where placed_at between '2024-01-01' and '2024-01-31'";
    assert_eq!(
        edge(between),
        "2024-01-31 is taken for its first instant, so the rest of that day is left out; write orders.placed_at < '2024-02-01'."
    );
    assert!(edge("select id from orders where placed_at <= date '2024-12-31'").contains("< '2025-01-01'"));
    assert!(edge("select id from orders where '2024-12-31' < placed_at").contains(">= '2025-01-01'"));
    assert!(edge("select id from orders where placed_at = '2024-12-31'").contains("is not found"));
    for engine in Engine::ALL {
        assert_eq!(codes(engine, between), [LintCode::TimeZoneEdge], "{engine:?}");
    }
    for sql in [
        "select id from orders where placed_at >= '2024-01-01' and placed_at < '2024-02-01'",
        "select id from orders where due between '2024-01-01' and '2024-01-31'",
        "select id from orders where placed_at <= '2024-01-31 23:59:59'",
        "select id from orders where placed_at::date <= '2024-01-31'",
        "select date_trunc('month', placed_at), extract(year from placed_at) from orders",
    ] {
        silent(sql);
    }
    let mut midnights = shop(Engine::Sqlite);
    midnights.tables[1].columns[4].sample_values = vec!["2024-01-01 00:00:00".to_owned()];
    assert_eq!(lints(between, &midnights), []);
}

#[test]
fn days_of_moments_with_a_zone_are_told_of_by_engine() {
    let edge = [LintCode::TimeZoneEdge];
    let day = "select cast(paid_at as date), count(*) from orders group by 1";
    for engine in [Engine::Postgres, Engine::Mysql, Engine::Mssql] {
        assert_eq!(codes(engine, day), edge, "{engine:?}");
    }
    assert_eq!(codes(Engine::Sqlite, day), []);
    assert_eq!(codes(Engine::Postgres, "select date_trunc('day', paid_at) from orders"), edge);
    assert_eq!(codes(Engine::Postgres, "select id from orders where paid_at >= '2024-01-01'"), edge);
    silent("select date_trunc('day', paid_at at time zone 'Europe/Berlin') from orders");
    silent("select id from orders where paid_at >= '2024-01-01 00:00:00+01'");
    assert_eq!(codes(Engine::Mysql, "select date(placed_at), date_format(placed_at, '%Y') from orders"), []);
}

#[test]
fn today_is_told_to_be_the_servers() {
    let edge = [LintCode::TimeZoneEdge];
    assert_eq!(codes(Engine::Postgres, "select id from orders where due = current_date"), edge);
    assert_eq!(codes(Engine::Mysql, "select id from orders where due = curdate()"), edge);
    assert_eq!(codes(Engine::Sqlite, "select id from orders where due = date('now')"), edge);
    assert_eq!(codes(Engine::Sqlite, "select id from orders where due = date('now', 'localtime')"), []);
    assert_eq!(codes(Engine::Sqlite, "select date(due) from orders"), []);
}

#[test]
fn rows_cut_without_an_order_are_told() {
    fires(LintCode::LimitWithoutOrder, "select name from customers limit 5");
    fires(LintCode::LimitWithoutOrder, "select name from customers fetch first 5 rows only");
    fires(LintCode::LimitWithoutOrder, "select * from (select name from customers limit 5) x");
    assert_eq!(codes(Engine::Mssql, "select top 5 name from customers"), [LintCode::LimitWithoutOrder]);
    assert_eq!(codes(Engine::Mssql, "select top 5 name from customers order by name"), []);
    assert_eq!(codes(Engine::Mysql, "select name from customers limit 2, 3"), [LintCode::LimitWithoutOrder]);
    silent("select name from customers order by name limit 5");
    silent("select count(*) from customers limit 5");
    silent("select name from customers where exists (select 1 from visits limit 1)");
    silent("select name from customers offset 3");
}

#[test]
fn comparisons_with_null_are_told() {
    fires(LintCode::NullComparison, "select name from customers where city = null");
    fires(LintCode::NullComparison, "select name from customers where not (city <> null)");
    fires(LintCode::NullComparison, "select name from customers where id not in (1, null)");
    silent("select name from customers where city is null or city is not distinct from null");
    silent("select coalesce(city, null) from customers where id in (1, null)");
}

#[test]
fn tables_that_nothing_joins_are_told() {
    for sql in [
        "select c.name from customers c, orders o",
        "select c.name from customers c, orders o where c.city = 'Bonn' and o.total > 5",
        "select c.name from customers c join orders o on o.customer_id = c.id, visits v",
        "select c.name from customers c join orders o on true",
    ] {
        fires(LintCode::CrossJoin, sql);
    }
    assert_eq!(codes(Engine::Sqlite, "select count(*) from customers join orders"), [LintCode::CrossJoin]);
    for sql in [
        "select c.name from customers c, orders o where o.customer_id = c.id",
        "select c.name from customers c cross join orders o",
        "select o.total / t.total from orders o, (select sum(total) as total from orders) t",
        "select c.name from customers c join orders o on o.total > c.credit",
        "select c.name from customers c, orders o where o.customer_id = c.id or o.total > 5",
        "select c.name from customers c, orders o where exists (select 1 from visits v where v.customer_id = c.id and v.id = o.id)",
        "select n from customers c, generate_series(1, 3) as n",
        "select c.name from customers c, lateral (select * from orders o where o.customer_id = c.id) x",
        "select name from customers natural join orders",
        "select name from customers join orders using (id)",
    ] {
        silent(sql);
    }
}

#[test]
fn unequal_on_a_column_that_may_be_null_is_told() {
    for sql in [
        "select name from customers where city <> 'Bonn'",
        "select name from customers where not city = 'Bonn'",
        "select name from customers where city not in ('Bonn', 'Kiel') and name = 'x'",
        "select name from customers where city not like 'B%'",
        "select c.name from customers c left join orders o on o.customer_id = c.id where o.points <> 3",
    ] {
        fires(LintCode::NotEqualNull, sql);
    }
    for sql in [
        "select name from customers where name <> 'x'",
        "select name from customers where id <> 3",
        "select name from customers where city <> 'Bonn' or city is null",
        "select name from customers where city <> 'Bonn' and city is not null",
        "select name from customers where coalesce(city, '') <> 'Bonn'",
        "select name from customers where city is distinct from 'Bonn'",
        "select name from customers where city <> 'Bonn' and city like 'B%'",
    ] {
        silent(sql);
    }
}

#[test]
fn tables_in_which_nothing_is_declared_to_be_known_say_nothing_about_nulls() {
    let mut schema = shop(Engine::Sqlite);
    schema.tables.iter_mut().flat_map(|table| &mut table.columns).for_each(|column| column.nullable = true);
    for sql in [
        "select name from customers where city <> 'Bonn'",
        "select name from customers where id not in (select customer_id from orders)",
    ] {
        assert_eq!(lints(sql, &schema), [], "{sql}");
    }
    let joined = "select c.name from customers c left join orders o on o.customer_id = c.id where o.points <> 3";
    assert_eq!(lints(joined, &schema)[0].code, LintCode::NotEqualNull, "a join may leave it out");
}

#[test]
fn a_row_filter_is_not_commented_on() {
    let mut schema = shop(Engine::Postgres);
    schema.tables[0].row_filter = Some("city <> 'Bonn'".to_owned());
    let sql =
        "select name from (select * from \"public\".\"customers\" where (city <> 'Bonn') offset 0) as \"customers\"";
    assert_eq!(lints(sql, &schema), []);
    schema.tables[0].row_filter = None;
    assert_eq!(lints(sql, &schema)[0].code, LintCode::NotEqualNull);
}

#[test]
fn whatever_is_sent_gets_no_more_than_lints() {
    let nested = format!("select * from {}customers{}", "(select * from ".repeat(40), ") x".repeat(40));
    let chained = format!("select 1{} from customers where city <> 'x'", "+1".repeat(1_900));
    let long = format!("select name from customers where city <> '{}'", "x".repeat(5_000));
    let many = format!("select 1 from {}", vec!["customers"; 300].join(", "));
    for sql in ["", "🦀", "drop table customers", "select", &nested, &chained, &long, &many] {
        for engine in Engine::ALL {
            assert!(lints(sql, &shop(engine)).len() <= MAX_LINTS);
        }
    }
    assert_eq!(codes(Engine::Postgres, &chained), [LintCode::NotEqualNull]);
    assert_eq!(codes(Engine::Postgres, &long), []);
}

#[test]
fn codes_are_written_in_snake_case() {
    let lint = Lint { code: LintCode::LimitWithoutOrder, detail: "x".to_owned() };
    assert_eq!(serde_json::to_string(&lint).unwrap(), r#"{"code":"limit_without_order","detail":"x"}"#);
}
