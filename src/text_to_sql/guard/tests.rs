//! Verdicts on honest, hostile and enormous statements, and the laws of canonical text.

use super::*;
use crate::text_to_sql::schema::{Column, ColumnKind, Table, TableKind};
use insta::assert_snapshot;
use proptest::prelude::*;
use sqlparser::ast::Statement;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

mod closed_columns;
mod dialects;
mod row_filters;

/// A shop: `staff` is hidden, so is `customers.phone`; `customers.email` is masked.
fn shop(engine: Engine) -> Schema {
    let home = match engine {
        Engine::Postgres => "public",
        Engine::Mysql => "app",
        Engine::Sqlite => "main",
        Engine::Mssql => "dbo",
    };
    let mut tables = vec![
        table(home, "products", "id name price sold_on"),
        table(home, "orders", "id customer_id product_id total status placed_on Note"),
        table(home, "customers", "id name city phone email"),
        table(home, "staff", "id name salary"),
        table(home, "documents", "title body"),
    ];
    for table in &mut tables {
        table.hidden = table.name == "staff";
        for column in &mut table.columns {
            column.hidden = column.name == "phone";
            column.masked = column.name == "email";
            if column.name == "status" {
                column.data_type = "order_status".into();
                column.enumeration = true;
                column.enum_values = vec!["open".into(), "paid".into()];
            }
        }
    }
    Schema { engine, search_path: vec![home.into()], server_version: String::new(), tables }
}

fn table(schema: &str, name: &str, columns: &str) -> Table {
    let mut table = Table::found(schema.into(), name.into(), TableKind::Table);
    table.columns = columns.split(' ').map(column).collect();
    table.primary_key = vec!["id".into()];
    table
}

fn column(name: &str) -> Column {
    Column::found(name.into(), "text".into(), ColumnKind::Text, true)
}

fn postgres(sql: &str) -> Result<ReadOnlySql, Vec<Violation>> {
    check(sql, &shop(Engine::Postgres), &Policy::default())
}

fn sqlite(sql: &str) -> Result<ReadOnlySql, Vec<Violation>> {
    check(sql, &shop(Engine::Sqlite), &Policy::default())
}

fn on(engine: Engine, sql: &str) -> Result<ReadOnlySql, Vec<Violation>> {
    check(sql, &shop(engine), &Policy::default())
}

/// The canonical text, or the first violation.
fn verdict(result: Result<ReadOnlySql, Vec<Violation>>) -> String {
    match result {
        Ok(sql) => sql.text().to_owned(),
        Err(violations) => format!("{:?}: {}", violations[0].code, violations[0].detail),
    }
}

#[track_caller]
fn refused(engine: Engine, code: ViolationCode, statements: &[&str]) {
    for sql in statements {
        match on(engine, sql) {
            Ok(passed) => panic!("passed: {}", passed.text()),
            Err(violations) => assert!(violations.iter().any(|it| it.code == code), "{sql}: {violations:?}"),
        }
    }
}

#[track_caller]
fn accepted(engine: Engine, statements: &[&str]) {
    for sql in statements {
        if let Err(violations) = on(engine, sql) {
            panic!("refused: {sql}: {violations:?}");
        }
    }
}

const HONEST: &[&str] = &[
    "SELECT count(*) FROM orders",
    "select Name from PRODUCTS where price >= 10 order by name desc limit 5;",
    "SELECT p.name, sum(o.total) AS revenue FROM products p JOIN orders o ON o.product_id = p.id GROUP BY p.id, p.name \
     HAVING sum(o.total) > 100 ORDER BY revenue DESC NULLS LAST LIMIT 10 OFFSET 5",
    "SELECT name FROM products WHERE id NOT IN (SELECT product_id FROM orders WHERE product_id IS NOT NULL)",
    "SELECT name FROM products p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.product_id = p.id AND o.total > p.price)",
    "WITH big AS (SELECT customer_id, sum(total) AS s FROM orders GROUP BY customer_id) SELECT avg(s) FROM big WHERE s > 1",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT sum(i) FROM n",
    "SELECT status, count(*) FILTER (WHERE total > 5) AS big FROM orders GROUP BY status",
    "SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY total DESC) AS place FROM orders",
    "SELECT sum(total) OVER w FROM orders WINDOW w AS (ORDER BY placed_on ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    "SELECT * FROM (SELECT o.*, rank() OVER (ORDER BY total) AS r FROM orders o) t WHERE r = 1",
    "SELECT CASE WHEN total > 100 THEN 'big' ELSE 'small' END AS size, count(*) FROM orders GROUP BY size",
    "SELECT id, total FROM orders UNION ALL SELECT id, price FROM products ORDER BY total",
    "SELECT o.id, p.name FROM orders o LEFT JOIN products p USING (id)",
    "SELECT name, (SELECT max(total) FROM orders o WHERE o.product_id = p.id) AS top FROM products p",
    "SELECT 'it''s; -- /* not sql */ DROP TABLE orders' AS note",
    "SELECT name /* the best */ FROM products -- really",
    "SELECT total>-1, total*-1, - -1, -(-total) FROM orders",
    "SELECT cast(total AS integer), round(total, 2), coalesce(status, 'none'), upper(substr(status, 1, 1)) FROM orders",
    "SELECT DISTINCT city FROM customers WHERE city LIKE 'B%' OR city BETWEEN 'a' AND 'b'",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT count(email), count(DISTINCT c.email) FROM customers c",
];

const HONEST_POSTGRES: &[&str] = &[
    "SELECT date_trunc('month', placed_on)::date AS month, sum(total) FROM orders GROUP BY month",
    "SELECT extract(year FROM placed_on) AS year, extract(month FROM placed_on) m FROM orders",
    "SELECT DISTINCT ON (customer_id) customer_id, total FROM orders ORDER BY customer_id, placed_on DESC",
    "SELECT p.name, o.total FROM products p LEFT JOIN LATERAL (SELECT total FROM orders o WHERE o.product_id = p.id) o ON true",
    "SELECT d::date, count(o.id) FROM generate_series('2024-01-01', '2024-12-31', interval '1 day') d \
     LEFT JOIN orders o ON o.placed_on = d GROUP BY 1",
    "SELECT k, v FROM orders, jsonb_each_text(to_jsonb(orders)) AS e(k, v)",
    "SELECT name FROM products WHERE name ~* '^a' AND name NOT ILIKE '%x\\_%' AND id = ANY(ARRAY['1', '2'])",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total), string_agg(status, E'\\n' ORDER BY status) FROM orders",
    "SELECT json_agg(t) FROM (SELECT id, total FROM orders) t",
    "SELECT status FROM orders WHERE status = 'paid'::order_status",
    "SELECT \"Note\" FROM orders ORDER BY \"Note\" COLLATE \"C\"",
    "SELECT $$it's$$, $tag$ $$ $tag$, X'1F', B'01'",
    "SELECT make_interval(days => 10), trim(both 'x' FROM name), substring(name FROM 1 FOR 2) FROM products",
    "SELECT item->>'sku', i FROM orders o CROSS JOIN LATERAL jsonb_array_elements(to_jsonb(o)->'x') AS item, unnest('{1}'::int[]) i",
];

const HONEST_SQLITE: &[&str] = &[
    "SELECT name FROM products WHERE name = \"Desk lamp\"",
    "SELECT strftime('%Y-%m', placed_on) AS month, sum(total) FROM orders GROUP BY month HAVING month > '2024'",
    "SELECT [name], `price` FROM products AS \"p\" WHERE p.price == 5",
    "SELECT j.value FROM products p, json_each(p.name) j",
    "SELECT title FROM documents WHERE documents MATCH 'lamp AND desk'",
    "SELECT name AS 'Product' FROM products LIMIT 5, 10",
    "SELECT rowid, name FROM products",
    "SELECT 1 FROM orders WHERE total IS 5 AND status IS NOT 'x' AND Note ISNULL AND id NOTNULL AND total << 1 > 2",
    "SELECT price IS \"dear\", price IS NOT NULL, price IS NOT DISTINCT FROM 1 FROM products",
    "SELECT o.Note, NOTE FROM orders o ORDER BY note COLLATE NOCASE",
];

#[test]
fn honest_statements_pass_on_both_engines() {
    accepted(Engine::Postgres, HONEST);
    accepted(Engine::Sqlite, HONEST);
    accepted(Engine::Postgres, HONEST_POSTGRES);
    accepted(Engine::Sqlite, HONEST_SQLITE);
}

#[test]
fn canonical_text_keeps_the_words_and_loses_comments_and_white_space() {
    assert_snapshot!(
        verdict(postgres("select  name -- why\n\tfrom /* a /* b */ c */ products\nwhere price>-1 and name<>'a  b' ;")),
        @"select name from public.products where price> -1 and name<>'a  b'"
    );
    assert_snapshot!(verdict(sqlite("SELECT count(*)FROM orders")), @"SELECT count(*)FROM orders");
    assert_snapshot!(verdict(sqlite("SELECT 1--\n-1")), @"SELECT 1 -1");
    assert_snapshot!(verdict(postgres(r"SELECT E'a\'; DROP TABLE x; --'")), @r"SELECT E'a\'; DROP TABLE x; --'");
}

#[test]
fn what_is_read_is_reported_with_its_table() {
    let sql = postgres(
        "WITH c AS (SELECT id, total FROM orders) SELECT p.name FROM c JOIN products p USING (id) WHERE c.total > 1",
    );
    let sql = sql.unwrap();
    let tables: Vec<&str> = sql.tables().iter().map(|it| it.table.as_str()).collect();
    let columns: Vec<String> = sql.columns().iter().map(|it| format!("{}.{}", it.table, it.column)).collect();
    assert_eq!(tables, ["orders", "products"]);
    assert_eq!(columns, ["orders.id", "orders.total", "products.id", "products.name"]);
    assert_eq!(sql.engine(), Engine::Postgres);
}

#[test]
fn details_name_the_nearest_thing_that_exists() {
    assert_snapshot!(verdict(postgres("SELECT nmae FROM products")), @"UnknownColumn: There is no column `nmae` here. Did you mean `name`?");
    assert_snapshot!(verdict(postgres("SELECT p.prize FROM products p")), @"UnknownColumn: `p` has no column `prize`. Did you mean `price`?");
    assert_snapshot!(verdict(postgres("SELECT 1 FROM product")), @"UnknownTable: There is no table `product`. Did you mean `products`?");
    assert_snapshot!(verdict(postgres("SELECT datetrunc('day', now())")), @"FunctionNotAllowed: The function `datetrunc` is not allowed. Did you mean `date_trunc`?");
    assert_snapshot!(verdict(postgres("SELECT id FROM orders, products")), @"AmbiguousColumn: The column `id` is ambiguous. Write `orders.id` or another table's.");
    assert_snapshot!(verdict(sqlite("SELECT \"blue\" FROM products")), @"UnknownColumn: There is no column `blue` here. If a text is meant, write 'blue'.");
    assert_snapshot!(verdict(postgres("SELECT note FROM orders")), @"UnknownColumn: There is no column `note` here. Did you mean `Note`?");
}

#[test]
fn anything_but_one_query_is_refused() {
    let not_queries =
        ["", ";", "SELECT 1; SELECT 2", "SELECT 1;;", "EXPLAIN SELECT 1", "SHOW ALL", "TABLE orders", "BEGIN"];
    refused(Engine::Postgres, ViolationCode::NotAQuery, &not_queries);
    refused(Engine::Sqlite, ViolationCode::NotAQuery, &["PRAGMA x", "SELECT 1; --\n SELECT 2", ".shell id"]);
    let writes = [
        "INSERT INTO orders VALUES (1)",
        "(DELETE FROM orders)",
        "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x",
        "SELECT * FROM (WITH x AS (UPDATE orders SET total = 1 RETURNING 1) SELECT 1) t",
        "WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM x",
        "SELECT * INTO copy FROM orders",
        "COPY orders TO STDOUT",
        "DROP TABLE orders",
    ];
    refused(Engine::Postgres, ViolationCode::Writes, &writes);
    let locks = ["SELECT 1 FROM orders FOR UPDATE", "SELECT * FROM (SELECT 1 FROM orders FOR SHARE) t"];
    refused(Engine::Postgres, ViolationCode::Locks, &locks);
}

#[test]
fn functions_are_looked_for_in_every_place_that_takes_an_expression() {
    let places = [
        "SELECT {f}",
        "VALUES (1, {f})",
        "SELECT 1 FROM orders WHERE {f} IS NULL",
        "SELECT 1 FROM orders GROUP BY {f}",
        "SELECT 1 FROM orders HAVING {f} = 1",
        "SELECT 1 FROM orders ORDER BY {f}",
        "SELECT 1 FROM orders LIMIT {f}",
        "SELECT 1 FROM orders LIMIT 1 OFFSET {f}",
        "SELECT 1 FROM orders JOIN products ON {f}",
        "SELECT sum(total) FILTER (WHERE {f}) FROM orders",
        "SELECT sum({f}) OVER (PARTITION BY 1) FROM orders",
        "SELECT sum(1) OVER (PARTITION BY {f}) FROM orders",
        "SELECT sum(1) OVER (ORDER BY {f}) FROM orders",
        "SELECT sum(1) OVER (ROWS {f} PRECEDING) FROM orders",
        "SELECT sum(1) OVER w FROM orders WINDOW w AS (PARTITION BY {f})",
        "SELECT CASE {f} WHEN 1 THEN 2 END, CASE WHEN 1 THEN {f} END, CASE WHEN 1 THEN 1 ELSE {f} END",
        "SELECT cast({f} AS text)",
        "SELECT name LIKE 'x' ESCAPE {f} FROM products",
        "SELECT 1 IN (1, {f}), 1 BETWEEN {f} AND 2, (1, {f}) = (1, 2)",
        "SELECT EXISTS (SELECT {f}), (SELECT {f}), 1 IN (SELECT {f})",
        "SELECT x FROM (SELECT {f} AS x) t",
        "WITH x AS (SELECT {f}) SELECT * FROM x",
        "SELECT 1 UNION SELECT {f}",
        "SELECT trim({f}), ceil({f})",
        "SELECT coalesce(1, nullif({f}, 2))",
        "SELECT '{}' -> {f}",
    ];
    for place in places {
        refused(Engine::Postgres, ViolationCode::FunctionNotAllowed, &[&place.replace("{f}", "PG_Sleep(1)")]);
    }
}

#[test]
fn functions_hide_behind_quotes_schemas_comments_and_from() {
    let calls = [
        "SELECT \"pg_read_file\"('/etc/passwd')",
        "SELECT pg_catalog.pg_read_file('/etc/passwd')",
        "SELECT \"pg_catalog\" . \"lower\"('x')",
        "SELECT public.lower('x')",
        "SELECT/**/pg_sleep/**/(10)",
        "SELECT * FROM pg_read_file('/etc/passwd')",
        "SELECT * FROM orders, LATERAL pg_ls_dir('.') AS x",
        "SELECT query_to_xml('select 1', true, true, '')",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT nextval('orders_id_seq'), lastval()",
        "SELECT current_user",
        "SELECT user",
        "SELECT current_setting('x'), version(), pg_backend_pid()",
    ];
    refused(Engine::Postgres, ViolationCode::FunctionNotAllowed, &calls);
    let calls = [
        "SELECT load_extension('x')",
        "SELECT [load_extension]('x')",
        "SELECT sqlite_version()",
        "SELECT * FROM fsdir('/')",
    ];
    refused(Engine::Sqlite, ViolationCode::FunctionNotAllowed, &calls);
}

#[test]
fn an_approved_function_may_be_called() {
    let policy = Policy { approved_functions: vec!["similarity".into(), "shop.margin".into()], ..Policy::default() };
    let schema = shop(Engine::Postgres);
    assert!(check("SELECT Similarity(name, 'x'), shop.margin(id) FROM products", &schema, &policy).is_ok());
    assert!(check("SELECT shop.similarity(name, 'x'), margin(id) FROM products", &schema, &policy).is_err());
}

#[test]
fn words_that_the_engine_reads_as_functions_are_not_names() {
    let statements = [
        "SELECT current_role FROM (SELECT 1 AS current_role) t",
        "SELECT current_schema",
        "SELECT system_user FROM (SELECT 1 AS \"system_user\") t ORDER BY system_user",
        "WITH \"current_user\" AS (SELECT 1 AS a) SELECT * FROM current_user",
        "SELECT ('/etc/passwd').pg_read_file",
        "SELECT (SELECT '/etc/passwd').pg_read_file",
        "SELECT (p).name FROM products p",
    ];
    refused(Engine::Postgres, ViolationCode::NotAllowed, &statements);
    let statements =
        ["SELECT p.lower FROM products p", "SELECT products.row_to_json FROM products", "SELECT p FROM products p"];
    refused(Engine::Postgres, ViolationCode::UnknownColumn, &statements);
}

#[test]
fn the_catalog_is_out_of_reach() {
    let statements = [
        "SELECT * FROM pg_authid",
        "SELECT * FROM PG_Catalog.PG_Class",
        "SELECT * FROM \"information_schema\".tables",
        "SELECT * FROM pg_temp_3.x",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM pg_stats)",
        "WITH x AS (SELECT * FROM pg_authid), pg_authid AS (SELECT 1 AS a) SELECT * FROM x",
    ];
    refused(Engine::Postgres, ViolationCode::SystemCatalog, &statements);
    let casts = [
        "SELECT 'orders'::regclass",
        "SELECT CAST(1 AS pg_catalog.regproc)",
        "SELECT NULL::orders",
        "SELECT NULL::pg_authid",
        "SELECT '1'::oid",
    ];
    refused(Engine::Postgres, ViolationCode::TypeNotAllowed, &casts);
    refused(
        Engine::Postgres,
        ViolationCode::UnknownColumn,
        &["SELECT ctid FROM orders", "SELECT o.xmin FROM orders o"],
    );
    let statements =
        ["SELECT * FROM sqlite_master", "SELECT * FROM main.[sqlite_schema]", "SELECT * FROM pragma_table_list"];
    refused(Engine::Sqlite, ViolationCode::SystemCatalog, &statements);
}

#[test]
fn hidden_tables_and_columns_do_not_exist() {
    for engine in [Engine::Postgres, Engine::Sqlite] {
        refused(
            engine,
            ViolationCode::UnknownTable,
            &["SELECT 1 FROM staff", "SELECT 1 FROM orders WHERE id IN (SELECT id FROM staff)"],
        );
        let columns = [
            "SELECT phone FROM customers",
            "SELECT c.phone FROM customers c",
            "SELECT id FROM customers ORDER BY phone",
            "SELECT 1 FROM customers WHERE \"phone\" = 'x'",
            "SELECT 1 FROM customers JOIN (SELECT '1' AS phone) t USING (phone)",
            // The engine would bind the inner name to the hidden column, not to the outer one.
            "SELECT (SELECT phone FROM customers LIMIT 1) FROM (SELECT '1' AS phone) t",
        ];
        refused(engine, ViolationCode::UnknownColumn, &columns);
        refused(engine, ViolationCode::AmbiguousColumn, &["SELECT phone FROM customers c, (SELECT '1' AS phone) t"]);
        refused(
            engine,
            ViolationCode::NotAllowed,
            &[
                "SELECT 1 FROM customers NATURAL JOIN (SELECT '1' AS phone) t",
                "SELECT a FROM customers AS c(a, b, d, e, f)",
            ],
        );
    }
    refused(
        Engine::Postgres,
        ViolationCode::NotAllowed,
        &["SELECT row_to_json(c) FROM customers c", "SELECT count(c.*) FROM customers c"],
    );
    refused(Engine::Sqlite, ViolationCode::UnknownColumn, &["SELECT rowid FROM customers"]);
}

#[test]
fn a_star_over_hidden_columns_is_written_out() {
    let mut schema = shop(Engine::Postgres);
    schema.tables[2].columns.retain(|column| !column.masked);
    let text = |sql| verdict(check(sql, &schema, &Policy::default()));
    assert_snapshot!(text("SELECT * FROM customers"), @r#"SELECT "customers"."id", "customers"."name", "customers"."city" FROM public.customers"#);
    assert_snapshot!(text("SELECT o.id, c.* FROM orders o, customers c"), @r#"SELECT o.id, "c"."id", "c"."name", "c"."city" FROM public.orders o, public.customers c"#);
    assert_snapshot!(text("SELECT city FROM (SELECT * FROM customers) t"), @r#"SELECT city FROM (SELECT "customers"."id", "customers"."name", "customers"."city" FROM public.customers) t"#);
}

#[test]
fn masked_columns_can_be_counted_and_nothing_else() {
    let statements = [
        "SELECT email FROM customers",
        "SELECT * FROM customers",
        "SELECT min(email) FROM customers",
        "SELECT id FROM customers ORDER BY email",
        "SELECT city FROM customers GROUP BY city, email",
        "SELECT 1 FROM customers WHERE email LIKE 'a%'",
        "SELECT count(email) FILTER (WHERE email < 'b') FROM customers",
        "SELECT x FROM (SELECT email AS x FROM customers) t",
        "SELECT 1 FROM orders o JOIN customers c ON c.email = o.status",
    ];
    for engine in [Engine::Postgres, Engine::Sqlite] {
        refused(engine, ViolationCode::Masked, &statements);
    }
}

#[test]
fn names_mean_what_the_engine_takes_them_for() {
    let good = [
        "WITH orders AS (SELECT id AS x FROM orders) SELECT x FROM orders",
        "SELECT a.x FROM (SELECT id AS x FROM orders) a JOIN (SELECT id AS x FROM products) b ON a.x = b.x",
        "SELECT count FROM (SELECT count(*) FROM orders) t",
        "SELECT t.a, t.b FROM (VALUES (1, 2)) AS t(a, b)",
        "SELECT total AS t FROM orders ORDER BY t",
        "SELECT public.orders.id FROM public.orders",
        "SELECT time, value FROM (SELECT placed_on AS time, total AS value FROM orders) s",
    ];
    accepted(Engine::Postgres, &good);
    let bad = [
        "SELECT total AS t FROM orders WHERE t > 1",
        "SELECT total AS t FROM orders ORDER BY t + 1",
        "SELECT x FROM (SELECT id FROM orders) t",
        "SELECT 1 FROM orders o, (SELECT o.id) t",
        "SELECT customers.id FROM orders",
        "SELECT t.c FROM (VALUES (1, 2)) AS t(a, b)",
    ];
    for sql in bad {
        assert!(postgres(sql).is_err(), "{sql}");
    }
    refused(
        Engine::Postgres,
        ViolationCode::UnknownTable,
        &["SELECT orders.id FROM orders o", "SELECT 1 FROM other.public.orders"],
    );
    refused(Engine::Sqlite, ViolationCode::UnknownTable, &["SELECT 1 FROM other.orders", "SELECT x.id FROM orders"]);
}

#[test]
fn text_that_can_be_read_in_two_ways_is_refused() {
    let statements = [
        "SELECT U&\"\\0070g_sleep\"(10)",
        "SELECT U&'\\0027'",
        "SELECT 1_000",
        "SELECT 0x1F",
        "SELECT 12abc",
        "SELECT größe FROM products",
        "SELECT 1 AS \"a\"\"b\"",
        "SELECT 'a\0b'",
        "SELECT 1\u{a0}FROM orders",
        "SELECT abs(-9223372036854775808)",
        "SELECT 'open",
        "SELECT 1 /* /* */",
    ];
    refused(Engine::Postgres, ViolationCode::Lexical, &statements);
    refused(
        Engine::Sqlite,
        ViolationCode::Lexical,
        &["SELECT 1 AS [a]]; DROP TABLE orders; --]", "SELECT 1 /* open", "SELECT 0x1F"],
    );
    refused(Engine::Postgres, ViolationCode::Parameter, &["SELECT $1", "SELECT :x", "SELECT $1$a$1$"]);
    refused(
        Engine::Sqlite,
        ViolationCode::Parameter,
        &["SELECT ?", "SELECT ?1", "SELECT :x", "SELECT @x", "SELECT $x"],
    );
    refused(
        Engine::Postgres,
        ViolationCode::OperatorNotAllowed,
        &["SELECT 1 OPERATOR(pg_catalog.+) 1", "SELECT 1 @#@ 2"],
    );
}

#[test]
fn sqlite_double_quotes_become_single_quotes_where_a_value_is_compared() {
    assert_snapshot!(verdict(sqlite("SELECT id FROM products WHERE name = \"it's\"")), @"SELECT id FROM products WHERE name = 'it''s'");
    assert_snapshot!(verdict(sqlite("SELECT id FROM products WHERE name IN (\"a\", \"price\")")), @r#"SELECT id FROM products WHERE name IN ('a', "price")"#);
    let names = [
        "SELECT \"colour\" FROM products",
        "SELECT 1 FROM products WHERE \"a\" = \"b\"",
        "SELECT 1 FROM products WHERE \"a\" = 'b'",
        "SELECT id FROM products ORDER BY \"x\"",
    ];
    refused(Engine::Sqlite, ViolationCode::UnknownColumn, &names);
    refused(Engine::Postgres, ViolationCode::UnknownColumn, &["SELECT id FROM products WHERE name = \"x\""]);
}

#[test]
fn little_text_cannot_ask_for_much_memory() {
    let statements = [
        "SELECT repeat('x', 1000000000)",
        "SELECT repeat('x', id::int) FROM orders",
        "SELECT repeat(repeat('x', 10000), 10000)",
        "SELECT lpad('', 1000000000, 'x')",
        "SELECT format('%1000000000s', 'x')",
        "SELECT 'x'::char(10000000)",
        "SELECT 10 ^ 100000, power(10, 100000)",
        "SELECT generate_series(1, 10000000000)",
        "SELECT * FROM generate_series(1, 10000000000) g",
    ];
    refused(Engine::Postgres, ViolationCode::TooComplex, &statements);
    refused(
        Engine::Sqlite,
        ViolationCode::TooComplex,
        &["SELECT printf('%1000000000d', 1)", "SELECT printf('%*d', 1000000000, 1)"],
    );
    refused(
        Engine::Sqlite,
        ViolationCode::FunctionNotAllowed,
        &["SELECT zeroblob(1000000000)", "SELECT randomblob(9)"],
    );
}

#[test]
fn statements_within_the_bounds_pass_and_enormous_ones_are_refused() {
    let arms = |n: usize| vec!["SELECT 1"; n].join(" UNION ALL ");
    let terms = |n: usize| format!("SELECT {}", vec!["1"; n].join(" + "));
    let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    let joined =
        |n: usize| (0..n).fold("SELECT 1 FROM orders o".to_owned(), |sql, i| format!("{sql} CROSS JOIN orders o{i}"));
    for engine in [Engine::Postgres, Engine::Sqlite] {
        accepted(engine, &[&arms(50), &terms(400), &nested(38), &joined(100)]);
        let many = format!("SELECT 1 IN ({})", vec!["1"; 2_000].join(", "));
        accepted(engine, &[&many]);
        let enormous = [arms(51), arms(600), terms(402), terms(2_000), nested(41), nested(5_000), joined(101)];
        for sql in enormous {
            refused(engine, ViolationCode::TooComplex, &[&sql]);
        }
        let long = format!("SELECT '{}'", "x".repeat(100_000));
        refused(engine, ViolationCode::TooComplex, &[&long]);
    }
}

#[test]
fn no_chain_or_nesting_exhausts_the_stack() {
    let pieces = [
        "NOT ",
        "- ",
        "INTERVAL ",
        "CASE WHEN ",
        "CASE 1 WHEN 1 THEN ",
        "(SELECT ",
        "a.",
        "x IS NULL AND ",
        "ARRAY[",
        "1::int::",
        "EXISTS (",
        "abs(",
        "LATERAL ",
        "x NOTNULL ",
        "WITH a AS (SELECT ",
        "JOIN b ",
        "UNION SELECT 1 ",
        "[1]",
        "OVER ",
        "~ ",
    ];
    for engine in [Engine::Postgres, Engine::Sqlite] {
        for piece in pieces {
            for (before, after) in
                [("SELECT ", "1"), ("SELECT 1 ", ""), ("SELECT * FROM orders ", ""), ("", "SELECT 1")]
            {
                // The point is to come back at all; nothing this long may pass.
                assert!(on(engine, &format!("{before}{}{after}", piece.repeat(2_400))).is_err());
            }
        }
    }
}

/// The tree of a text, read by the parser alone; none if its tokenizer splits the text in other places than the engine.
fn tree(sql: &str, engine: Engine) -> Option<Vec<Statement>> {
    let dialect = Dialect::of(engine);
    let tokens = Tokenizer::new(dialect.parser, sql).with_unescape(false).tokenize().unwrap();
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_) | Token::SemiColon)).count();
    let agreed = words == lexical::read(sql, dialect).unwrap().lexemes.len();
    agreed.then(|| Parser::new(dialect.parser).with_tokens(tokens).parse_statements().unwrap())
}

#[test]
fn canonical_text_has_the_tree_of_the_original() {
    for (engine, own) in [(Engine::Postgres, HONEST_POSTGRES), (Engine::Sqlite, HONEST_SQLITE)] {
        let trees = HONEST.iter().chain(own).filter_map(|sql| Some((sql, tree(sql, engine)?)));
        let mut compared = 0;
        for (sql, original) in trees {
            let canonical = lexical::read(sql, Dialect::of(engine)).unwrap().text;
            assert_eq!(Some(original), tree(&canonical, engine), "{sql}");
            compared += 1;
        }
        assert!(compared > HONEST.len(), "{compared}");
    }
}

/// Words of honest and hostile statements, to be put together in any order.
fn soup() -> impl Strategy<Value = String> {
    let words = HONEST.iter().chain(HONEST_POSTGRES).chain(HONEST_SQLITE).flat_map(|sql| sql.split_inclusive(' '));
    let hostile = "pg_sleep(1) ,pg_authid FOR UPDATE ; DROP INSERT INTO /* */ -- ' \" $$ E'\\' U& [ ] ( ) \\ :: . , * $1 ? @ # staff phone";
    let words: Vec<String> = words.map(str::to_owned).chain(hostile.split_inclusive(' ').map(str::to_owned)).collect();
    prop::collection::vec(prop::sample::select(words), 1..24).prop_map(|words| words.concat())
}

/// An honest statement with a piece of it replaced by a piece of another, or by soup.
fn spliced() -> impl Strategy<Value = String> {
    let all: Vec<&str> = HONEST.iter().chain(HONEST_POSTGRES).chain(HONEST_SQLITE).copied().collect();
    let pick = prop::sample::select(all);
    (pick, soup(), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(sql, piece, from, to)| {
        let words: Vec<&str> = sql.split_inclusive(' ').collect();
        let (from, to) = (from.index(words.len()), to.index(words.len()));
        let (from, to) = (from.min(to), from.max(to));
        format!("{} {piece} {}", words[..from].concat(), words[to..].concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_passes_is_a_fixed_point_and_names_nothing_forbidden(
        sql in prop_oneof![soup(), spliced(), any::<String>()],
        engine in prop::sample::select(vec![Engine::Postgres, Engine::Sqlite]),
    ) {
        if let Ok(passed) = on(engine, &sql) {
            let again = on(engine, passed.text()).unwrap();
            prop_assert_eq!(again.text(), passed.text());
            prop_assert_eq!(again.columns(), passed.columns());
            let canonical = lexical::read(passed.text(), Dialect::of(engine)).unwrap();
            for lexeme in canonical.lexemes.iter().filter(|it| matches!(it.kind, lexical::Kind::Word | lexical::Kind::Quoted)) {
                let word = canonical.slice(lexeme).to_lowercase();
                prop_assert!(!["pg_sleep", "pg_authid", "update", "drop", "insert", "into", "staff"].contains(&word.as_str()), "{}", word);
            }
        }
    }

    #[test]
    fn reading_canonical_text_gives_itself(
        sql in prop_oneof![soup(), spliced(), any::<String>()],
        engine in prop::sample::select(vec![Engine::Postgres, Engine::Sqlite]),
    ) {
        if let Ok(canonical) = lexical::read(&sql, Dialect::of(engine)) {
            let again = lexical::read(&canonical.text, Dialect::of(engine)).unwrap();
            prop_assert_eq!(&again.text, &canonical.text);
            prop_assert_eq!(again.lexemes, canonical.lexemes);
        }
    }
}
