//! Conditions that every read of a table carries.

use serde_json::json;

use super::*;

fn tenants(engine: Engine) -> Schema {
    let mut schema = shop(engine);
    for table in &mut schema.tables {
        if table.name == "customers" {
            table.row_filter = Some("phone = :tenant".into());
        }
    }
    schema
}

fn caller(tenant: serde_json::Value) -> Policy {
    Policy { attributes: [("tenant".to_owned(), tenant)].into(), ..Policy::default() }
}

#[track_caller]
fn text(engine: Engine, sql: &str) -> String {
    verdict(check(sql, &tenants(engine), &caller(json!("o'7"))))
}

#[test]
fn a_filtered_table_is_read_through_its_condition_alone() {
    assert_snapshot!(
        text(Engine::Postgres, "SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.total > 1 OR 1=1"),
        @r#"SELECT c.name, o.total FROM (select * from "public"."customers" where (phone = 'o''7') offset 0) c JOIN public.orders o ON o.customer_id = c.id WHERE o.total > 1 OR 1=1"#
    );
    assert_snapshot!(
        text(Engine::Mssql, "SELECT name FROM Customers"),
        @"SELECT name FROM (select top (9223372036854775807) * from [dbo].[customers] where (phone = N'o''7')) as [customers]"
    );
    assert_snapshot!(
        text(Engine::Mysql, "SELECT app.customers.name FROM app.customers"),
        @"SELECT customers.name FROM (select * from `app`.`customers` where (phone = 'o''7') limit 18446744073709551615) as `customers`"
    );
    assert_snapshot!(
        text(Engine::Sqlite, "SELECT count(*) FROM customers"),
        @r#"SELECT count(*) FROM (select * from "main"."customers" where (phone = 'o''7') limit -1) as "customers""#
    );
}

#[test]
fn what_the_filter_reads_stays_hidden_and_masked() {
    for engine in Engine::ALL {
        let passes = |sql: &str| check(sql, &tenants(engine), &caller(json!(7)));
        for sql in [
            "SELECT phone FROM customers",
            "SELECT email FROM customers",
            "SELECT x.phone FROM (select * from customers where (phone = 7)) x",
            "SELECT id FROM customers ORDER BY phone",
        ] {
            assert!(passes(sql).is_err(), "{engine:?}: {sql}");
        }
        let star = passes("SELECT * FROM (SELECT c.id, c.name FROM customers c) x").unwrap();
        assert_eq!(star.text().matches("phone = 7").count(), 1, "{}", star.text());
    }
}

#[test]
fn every_place_that_reads_the_table_is_filtered() {
    let places = [
        "SELECT (SELECT count(*) FROM customers)",
        "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers)",
        "SELECT a.id FROM customers a LEFT JOIN customers b ON b.id <> a.id",
        "WITH customers AS (SELECT id FROM customers) SELECT id FROM customers",
        "SELECT id FROM orders UNION SELECT id FROM customers",
        "SELECT orders.id FROM customers AS orders",
        "SELECT x.id FROM (SELECT id FROM customers) AS x",
        "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM customers WHERE customers.id = o.customer_id)",
    ];
    for engine in Engine::ALL {
        for sql in places {
            let passed = check(sql, &tenants(engine), &caller(json!(7))).unwrap_or_else(|it| panic!("{sql}: {it:?}"));
            let (reads, filters) = (sql.matches("FROM customers").count(), passed.text().matches("phone = 7").count());
            let joined = sql.matches("JOIN customers").count();
            assert_eq!(reads + joined - usize::from(sql.starts_with("WITH")), filters, "{engine:?}: {}", passed.text());
            let again = check(passed.text(), &tenants(engine), &caller(json!(7))).unwrap();
            assert_eq!(again.text(), passed.text(), "the text is stable");
        }
    }
}

#[test]
fn a_key_without_the_attribute_reads_nothing_and_a_hostile_one_no_more() {
    let schema = tenants(Engine::Postgres);
    let refusal = check("SELECT id FROM customers", &schema, &Policy::default()).unwrap_err();
    assert_snapshot!(refusal[0].detail, @"`customers` can only be read with a key that has the attribute `tenant`.");
    for value in [json!("a\\"), json!("a\nb"), json!(null), json!([1]), json!(1.5)] {
        assert!(check("SELECT id FROM customers", &schema, &caller(value)).is_err());
    }
    let quoted = check("SELECT id FROM customers", &schema, &caller(json!("x') OR (1=1"))).unwrap();
    assert!(quoted.text().contains("(phone = 'x'') OR (1=1')"), "{}", quoted.text());
    assert!(check("SELECT id FROM orders", &schema, &Policy::default()).is_ok(), "other tables are not concerned");
}

#[test]
fn a_row_filter_is_one_condition_on_its_table() {
    let schema = shop(Engine::Postgres);
    let customers = schema.tables.iter().find(|table| table.name == "customers").unwrap();
    let checked = |filter: &str| check_row_filter(&schema, customers, filter);
    for filter in ["phone = :tenant", "city in ('a', 'b') and phone is not null", "email::text = :mail", "name = ':x'"]
    {
        checked(filter).unwrap_or_else(|it| panic!("{filter}: {it:?}"));
    }
    for filter in [
        "",
        "1=1) or (1=1",
        "1=1) union (values (1,2,3,4,5)",
        "id in (select id from orders)",
        "no_such_column = 1",
        "pg_sleep(1) is null",
        "phone = :tenant -- )",
        "phone = :tenant; drop table orders",
        "true) where (true",
    ] {
        assert!(checked(filter).is_err(), "{filter}");
    }
}

#[test]
fn a_filter_is_not_fooled_by_a_column_that_is_gone() {
    let mut schema = tenants(Engine::Postgres);
    for table in &mut schema.tables {
        table.columns.retain(|column| column.name != "phone");
    }
    let sql = "SELECT (SELECT count(*) FROM customers) FROM (SELECT '7' AS phone) t";
    assert!(check(sql, &schema, &caller(json!("7"))).is_err(), "the filter would read the outer column");
}
