//! What is particular to MySQL, MariaDB and SQL Server.

use super::*;

const HONEST_MYSQL: &[&str] = &[
    "SELECT year(placed_on) AS y, month(placed_on) AS m, sum(total) FROM orders GROUP BY y, m HAVING m > 3 ORDER BY y",
    "SELECT * FROM orders WHERE placed_on >= date_sub(curdate(), INTERVAL 30 DAY) LIMIT 5, 10",
    "SELECT if(total > 100, 'big', \"small\") AS size, ifnull(status, 'n/a') FROM orders",
    "SELECT name # the best\nFROM products -- really\nWHERE name REGEXP '^a' AND name <=> 'b' AND NOT name RLIKE 'x$'",
    "SELECT 5--2 AS seven, id DIV 2, id MOD 2, id % 2, id XOR 1, !id FROM orders",
    "SELECT 'it\\'s', 'it''s', \"a\\\"b\", '50\\%', x'4D', 0x4D, b'101', _utf8mb4'é', N'x'",
    "SELECT cast(total AS SIGNED), cast(placed_on AS CHAR), convert(status USING utf8mb4), convert(total, DECIMAL(10,2)) FROM orders",
    "SELECT group_concat(DISTINCT status ORDER BY status DESC SEPARATOR ', ') FROM orders",
    "SELECT timestampdiff(MONTH, placed_on, now()), extract(YEAR_MONTH FROM placed_on) FROM orders",
    "SELECT placed_on + INTERVAL '1-2' YEAR_MONTH FROM orders",
    "SELECT name FROM products WHERE match(name) AGAINST('lamp' IN BOOLEAN MODE)",
    "SELECT t.sku FROM orders o, json_table(o.note, '$[*]' COLUMNS (n FOR ORDINALITY, sku varchar(20) PATH '$.sku')) AS t",
    "SELECT status, sum(total) FROM orders GROUP BY status WITH ROLLUP",
    "SELECT SQL_NO_CACHE id FROM orders USE INDEX (by_day) WHERE placed_on = '2024-01-01'",
    "SELECT o.note->>'$.a', o.note->'$.b' FROM orders o STRAIGHT_JOIN products p ON p.id = o.product_id",
    "SELECT 1 FROM dual WHERE count (1) = 1",
    "SELECT `name` FROM `products` AS `p` ORDER BY `p`.`price`",
];

const HONEST_MSSQL: &[&str] = &[
    "SELECT TOP (5) PERCENT WITH TIES * FROM orders ORDER BY total DESC",
    "SELECT TOP 3 name, [price] FROM dbo.products p WHERE p.name LIKE N'%[a-f]%' ORDER BY price OFFSET 0 ROWS FETCH NEXT 5 ROWS ONLY",
    "SELECT p.name, l.total FROM products p CROSS APPLY (SELECT TOP 1 o.total FROM orders o WHERE o.product_id = p.id ORDER BY o.total) l",
    "SELECT p.name, l.total FROM products p OUTER APPLY (SELECT TOP 1 o.total FROM orders o WHERE o.product_id = p.id) AS l",
    "SELECT dateadd(month, datediff(month, 0, getdate()) - 1, 0), datepart(yy, placed_on), datename(weekday, placed_on) FROM orders",
    "SELECT status, count_big(*), string_agg(CAST(id AS nvarchar(20)), ',') WITHIN GROUP (ORDER BY id) FROM orders GROUP BY status WITH ROLLUP",
    "SELECT status, year(placed_on), sum(total) FROM orders GROUP BY GROUPING SETS ((status), (year(placed_on)), ())",
    "SELECT convert(varchar(10), placed_on, 120), try_convert(int, status), try_cast(total AS int), iif(total > 1, 'a', 'b') FROM orders",
    "SELECT o.id, j.sku FROM orders o CROSS APPLY OPENJSON(o.note, '$.items') WITH (sku nvarchar(20) '$.sku', qty int '$.qty') AS j",
    "SELECT s.value FROM orders o CROSS APPLY STRING_SPLIT(o.note, ',') AS s",
    "SELECT p.[open], p.[paid] FROM (SELECT status, total FROM orders) src PIVOT (SUM(total) FOR status IN ([open], [paid])) AS p",
    "SELECT u.id, u.field, u.val FROM products UNPIVOT (val FOR field IN (name, price)) AS u",
    "SELECT revenue = sum(total), $12.50 AS fee, 0x4D AS bytes, N'é' AS letter FROM orders",
    "SELECT id, placed_on AT TIME ZONE 'UTC' AS day FROM orders FOR JSON PATH",
    "WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT max(i) FROM n",
    "SELECT count(*) AS [count(*); all], name AS [Drop Table] FROM products GROUP BY name",
];

#[test]
fn honest_statements_of_mysql_and_sql_server_pass() {
    accepted(Engine::Mysql, HONEST_MYSQL);
    accepted(Engine::Mssql, HONEST_MSSQL);
}

#[test]
fn mysql_text_means_the_same_in_every_mode() {
    assert_snapshot!(verdict(on(Engine::Mysql, "SELECT 'it\\'s' -- why\n, 5--2, count (1)")), @"SELECT 'it''s' , 5- -2, count(1)");
    let two_ways = [
        "SELECT '\\' , (SELECT 1) ; DROP TABLE orders ; -- '",
        "SELECT 'a\\', 'b'",
        "SELECT \"\\\" , 1, \"",
        "SELECT 'a' '\\'' ",
        "SELECT 1 /*!50000 , sleep(1) */",
        "SELECT 1 /*M! , sleep(1) */",
        "SELECT /*+ SET_VAR(sql_mode='ANSI_QUOTES') */ 1",
    ];
    refused(Engine::Mysql, ViolationCode::Lexical, &two_ways);
    refused(Engine::Mysql, ViolationCode::Parameter, &["SELECT @a", "SELECT @@version", "SELECT ?"]);
}

#[test]
fn a_word_after_a_table_never_begins_a_statement_of_its_own() {
    let statements = [
        "SELECT * FROM orders ROLLBACK",
        "SELECT * FROM orders REVERT",
        "SELECT 1 SHUTDOWN",
        "SELECT 1 UNION SELECT 2 CHECKPOINT",
        "SELECT * FROM orders THROW",
        "SELECT * FROM orders GO",
        "SELECT * FROM (SELECT 1 a) RETURN",
    ];
    for sql in statements {
        assert!(on(Engine::Mssql, sql).is_err(), "{sql}");
    }
    accepted(Engine::Mssql, &["SELECT * FROM orders AS [rollback]", "SELECT 1 AS [shutdown]"]);
}

#[test]
fn names_that_differ_in_case_alone_are_never_mixed_up() {
    for engine in [Engine::Mysql, Engine::Mssql] {
        let mut schema = shop(engine);
        let home = schema.search_path[0].clone();
        let text = check("SELECT ORDERS.id FROM ORDERS", &schema, &Policy::default()).unwrap().text().to_owned();
        assert!(text.contains("orders"), "the text spells the table as the catalog does: {text}");
        // STAFF is another table than the hidden staff on a server that tells them apart.
        schema.tables.push(table(&home, "STAFF", "id name"));
        assert!(check("SELECT id FROM STAFF", &schema, &Policy::default()).is_ok());
        for sql in
            ["SELECT id FROM staff", "SELECT id FROM Staff", "WITH Staff AS (SELECT 1 AS id) SELECT id FROM staff"]
        {
            assert!(check(sql, &schema, &Policy::default()).is_err(), "{engine:?}: {sql}");
        }
    }
}

#[test]
fn parts_of_dates_are_plain_words() {
    refused(
        Engine::Mssql,
        ViolationCode::NotAllowed,
        &["SELECT dateadd(phone, 1, placed_on) FROM orders", "SELECT datepart('month', placed_on) FROM orders"],
    );
    refused(
        Engine::Mysql,
        ViolationCode::NotAllowed,
        &["SELECT timestampdiff(phone, placed_on, placed_on) FROM orders"],
    );
}

#[test]
fn a_pivot_groups_by_what_it_does_not_name() {
    refused(
        Engine::Mssql,
        ViolationCode::NotAllowed,
        &["SELECT * FROM customers PIVOT (COUNT(id) FOR city IN ([Berlin])) AS p"],
    );
    refused(
        Engine::Mssql,
        ViolationCode::Masked,
        &["SELECT * FROM (SELECT id, city, email FROM customers) c PIVOT (COUNT(id) FOR city IN ([Berlin])) AS p"],
    );
}

#[test]
fn words_without_a_meaning_for_what_is_read_stay_in_the_text() {
    assert_snapshot!(
        verdict(postgres("SELECT id BETWEEN SYMMETRIC 3 AND 1, concat_ws(',', VARIADIC array[name]) FROM products")),
        @"SELECT id BETWEEN SYMMETRIC 3 AND 1, concat_ws(',', VARIADIC array[name]) FROM public.products"
    );
    let frame =
        "SELECT sum(total) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM orders";
    accepted(Engine::Postgres, &[frame]);
    accepted(Engine::Sqlite, &[frame, "WITH a AS MATERIALIZED (SELECT 1 AS x) SELECT x FROM a"]);
    for sql in ["SELECT exclude ties FROM orders", "SELECT symmetric 1", "SELECT id variadic FROM orders"] {
        assert!(postgres(sql).is_err(), "{sql}");
    }
}
