//! The generator on a small made-up shop, as SQL for both engines, and on input that nobody should send.

mod intents;

use std::sync::Arc;

use chrono::NaiveDate;

use crate::text_to_sql::generate::{Draft, Generated};
use crate::text_to_sql::link::catalog::Catalog;
use crate::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Schema, Table, TableKind};
use proptest::prelude::*;

fn column(name: &str, kind: ColumnKind, values: &[&str]) -> Column {
    let data_type = format!("{kind:?}").to_lowercase();
    let sample_values = values.iter().map(|value| (*value).to_owned()).collect();
    Column { sample_values, ..Column::found(name.to_owned(), data_type, kind, false) }
}

fn table(name: &str, columns: Vec<Column>, keys: &[(&str, &str)]) -> Table {
    let key = |&(column, table): &(&str, &str)| ForeignKey {
        columns: vec![column.to_owned()],
        referenced_schema: "public".to_owned(),
        referenced_table: table.to_owned(),
        referenced_columns: vec!["id".to_owned()],
    };
    Table {
        columns,
        primary_key: vec!["id".to_owned()],
        foreign_keys: keys.iter().map(key).collect(),
        ..Table::found("public".to_owned(), name.to_owned(), TableKind::Table)
    }
}

/// Regions have customers, customers place orders, orders have items, items are of products.
fn shop(engine: Engine) -> Schema {
    use ColumnKind::{Boolean, Date, Decimal, Integer, Text};
    let id = || column("id", Integer, &[]);
    let tables = vec![
        table("regions", vec![id(), column("name", Text, &["North", "South", "Île-de-France"])], &[]),
        table(
            "customers",
            vec![
                id(),
                column("name", Text, &[]),
                column("country", Text, &["France", "Germany", "Spain"]),
                column("signup_date", Date, &[]),
                column("is_active", Boolean, &[]),
                column("region_id", Integer, &[]),
            ],
            &[("region_id", "regions")],
        ),
        table(
            "orders",
            vec![
                id(),
                column("customer_id", Integer, &[]),
                column("ordered_on", Date, &[]),
                column("status", Text, &["shipped", "pending", "cancelled"]),
                column("total", Decimal, &[]),
            ],
            &[("customer_id", "customers")],
        ),
        table(
            "order_items",
            vec![
                id(),
                column("order_id", Integer, &[]),
                column("product_id", Integer, &[]),
                column("quantity", Integer, &[]),
            ],
            &[("order_id", "orders"), ("product_id", "products")],
        ),
        table(
            "products",
            vec![
                id(),
                column("name", Text, &[]),
                column("category", Text, &["Laptops", "Phones", "Office Chairs"]),
                column("unitPrice", Decimal, &[]),
            ],
            &[],
        ),
    ];
    Schema { engine, search_path: vec!["public".to_owned()], server_version: String::new(), tables }
}

/// What the rules alone call sure.
const SURE: f32 = 0.7;

/// A Thursday.
fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 7, 16).unwrap()
}

/// As the rules have it, so that no test of the grammar depends on the ranker's weights.
fn generate(question: &str, schema: &Schema) -> Generated {
    let catalog = Catalog::new(Arc::new(schema.clone()));
    match super::read_all(question, &catalog, today()) {
        Ok(drafts) => Generated::Drafts(drafts),
        Err(reason) => Generated::Declined(reason),
    }
}

fn drafts(question: &str, schema: &Schema) -> Vec<Draft> {
    match generate(question, schema) {
        Generated::Drafts(drafts) => drafts,
        Generated::Declined(reason) => panic!("{question}: {reason}"),
    }
}

fn declined(question: &str) -> String {
    match generate(question, &shop(Engine::Sqlite)) {
        Generated::Drafts(drafts) => panic!("{question}: {}", drafts[0].sql),
        Generated::Declined(reason) => reason,
    }
}

fn best(question: &str, engine: Engine) -> Draft {
    drafts(question, &shop(engine)).swap_remove(0)
}

/// The SQL of the best draft: once where the engines agree, else SQLite's and PostgreSQL's.
fn sql(question: &str) -> String {
    let (sqlite, postgres) = (best(question, Engine::Sqlite).sql, best(question, Engine::Postgres).sql);
    if sqlite == postgres { sqlite } else { format!("{sqlite}\n--\n{postgres}") }
}

#[test]
fn a_table_is_counted() {
    insta::assert_snapshot!(sql("How many customers are there?"), @r"
    select count(*)
    from customers
    ");
}

#[test]
fn a_value_alone_names_its_column() {
    insta::assert_snapshot!(sql("How many customers are in Germany?"), @r"
    select count(*)
    from customers
    where country = 'Germany'
    ");
}

#[test]
fn a_value_is_found_in_the_plural_and_in_lower_case() {
    insta::assert_snapshot!(sql("List the names of products that are laptops"), @r"
    select name
    from products
    where category = 'Laptops'
    ");
}

#[test]
fn two_values_of_one_column_are_alternatives() {
    insta::assert_snapshot!(sql("Show orders that are pending or cancelled"), @r"
    select id, customer_id, ordered_on, status, total
    from orders
    where status in ('pending', 'cancelled')
    ");
}

#[test]
fn numbers_take_the_comparison_around_them() {
    insta::assert_snapshot!(sql("Which products have a unit price of at least 20?"), @r#"
    select name
    from products
    where unitPrice >= 20
    --
    select name
    from products
    where "unitPrice" >= 20
    "#);
}

#[test]
fn a_range_of_numbers_has_two_ends() {
    insta::assert_snapshot!(sql("products with unit price between 10 and 50"), @r#"
    select name
    from products
    where unitPrice between 10 and 50
    --
    select name
    from products
    where "unitPrice" between 10 and 50
    "#);
}

#[test]
fn a_year_is_a_half_open_range() {
    insta::assert_snapshot!(sql("How many orders were placed in 2024?"), @r"
    select count(*)
    from orders
    where ordered_on >= '2024-01-01' and ordered_on < '2025-01-01'
    --
    select count(*)
    from orders
    where ordered_on >= date '2024-01-01' and ordered_on < date '2025-01-01'
    ");
}

#[test]
fn a_month_and_a_day_are_ranges_too() {
    insta::assert_snapshot!(sql("List the total of orders ordered on May 3, 2024"), @r"
    select total
    from orders
    where ordered_on >= '2024-05-03' and ordered_on < '2024-05-04'
    --
    select total
    from orders
    where ordered_on >= date '2024-05-03' and ordered_on < date '2024-05-04'
    ");
}

#[test]
fn after_a_year_begins_with_the_next() {
    insta::assert_snapshot!(sql("customers with a signup date after 2022"), @r"
    select name
    from customers
    where signup_date >= '2023-01-01'
    --
    select name
    from customers
    where signup_date >= date '2023-01-01'
    ");
}

#[test]
fn between_two_years_holds_both() {
    insta::assert_snapshot!(sql("number of orders between 2022 and 2023"), @r"
    select count(*)
    from orders
    where ordered_on >= '2022-01-01' and ordered_on < '2024-01-01'
    --
    select count(*)
    from orders
    where ordered_on >= date '2022-01-01' and ordered_on < date '2024-01-01'
    ");
}

#[test]
fn a_quoted_part_is_matched() {
    insta::assert_snapshot!(sql("products whose name contains \"50%_off\""), @r"
    select name
    from products
    where name like '%50!%!_off%' escape '!'
    --
    select name
    from products
    where name ilike '%50!%!_off%' escape '!'
    ");
}

#[test]
fn a_quoted_name_matches_in_any_case() {
    insta::assert_snapshot!(sql("Show the country of the customer named \"O'Hara\""), @r"
    select country
    from customers
    where lower(name) = lower('O''Hara')
    ");
}

#[test]
fn a_truth_value_before_its_table_filters() {
    insta::assert_snapshot!(sql("How many active customers do we have?"), @r"
    select count(*)
    from customers
    where is_active = 1
    --
    select count(*)
    from customers
    where is_active
    ");
}

#[test]
fn aggregates_take_the_column_that_follows() {
    insta::assert_snapshot!(sql("What is the average and maximum unit price of products?"), @r#"
    select avg(unitPrice), max(unitPrice)
    from products
    --
    select avg("unitPrice"), max("unitPrice")
    from products
    "#);
}

#[test]
fn each_groups_by_a_column() {
    insta::assert_snapshot!(sql("How many orders are there for each status?"), @r"
    select status, count(*)
    from orders
    group by status
    ");
}

#[test]
fn each_groups_by_the_rows_of_a_table() {
    insta::assert_snapshot!(sql("total of orders for each customer"), @r"
    select customers.name, sum(orders.total)
    from customers
    join orders on orders.customer_id = customers.id
    group by customers.id, customers.name
    ");
}

#[test]
fn a_period_groups_a_date() {
    insta::assert_snapshot!(sql("How many orders per month?"), @r"
    select strftime('%Y-%m', ordered_on), count(*)
    from orders
    group by strftime('%Y-%m', ordered_on)
    order by strftime('%Y-%m', ordered_on)
    --
    select to_char(ordered_on, 'YYYY-MM'), count(*)
    from orders
    group by to_char(ordered_on, 'YYYY-MM')
    order by to_char(ordered_on, 'YYYY-MM')
    ");
}

#[test]
fn a_superlative_takes_the_row() {
    insta::assert_snapshot!(sql("Which product has the highest unit price?"), @r#"
    select name
    from products
    order by unitPrice desc
    limit 1
    --
    select name
    from products
    order by "unitPrice" desc
    limit 1
    "#);
}

#[test]
fn most_of_another_table_counts_its_rows() {
    insta::assert_snapshot!(sql("Show the names of the 5 customers with the most orders"), @r"
    select customers.name
    from orders
    join customers on customers.id = orders.customer_id
    group by customers.id, customers.name
    order by count(*) desc
    limit 5
    ");
}

#[test]
fn a_limit_on_a_count_is_a_condition_on_groups() {
    insta::assert_snapshot!(sql("names of customers with more than 3 orders"), @r"
    select customers.name
    from orders
    join customers on customers.id = orders.customer_id
    group by customers.id, customers.name
    having count(*) > 3
    ");
}

#[test]
fn top_by_takes_the_column_after_by() {
    insta::assert_snapshot!(sql("top 3 products by unit price"), @r#"
    select name
    from products
    order by unitPrice desc
    limit 3
    --
    select name
    from products
    order by "unitPrice" desc
    limit 3
    "#);
}

#[test]
fn an_order_is_printed_with_its_direction() {
    insta::assert_snapshot!(sql("List the names of products sorted by unit price in descending order"), @r#"
    select name
    from products
    order by unitPrice desc
    --
    select name
    from products
    order by "unitPrice" desc
    "#);
}

#[test]
fn a_parent_filters_its_children() {
    insta::assert_snapshot!(sql("How many orders were placed by customers in France?"), @r"
    select count(*)
    from orders
    join customers on customers.id = orders.customer_id
    where customers.country = 'France'
    ");
}

#[test]
fn what_joins_repeat_is_counted_once() {
    insta::assert_snapshot!(sql("How many customers have pending orders?"), @r"
    select count(distinct customers.id)
    from customers
    join orders on orders.customer_id = customers.id
    where orders.status = 'pending'
    ");
}

#[test]
fn what_joins_repeat_is_listed_once() {
    insta::assert_snapshot!(sql("Names of the customers with cancelled orders"), @r"
    select distinct customers.name
    from customers
    join orders on orders.customer_id = customers.id
    where orders.status = 'cancelled'
    ");
}

#[test]
fn a_bridge_joins_what_it_connects() {
    insta::assert_snapshot!(sql("Names of the products in shipped orders"), @r"
    select distinct products.name
    from products
    join order_items on order_items.product_id = products.id
    join orders on orders.id = order_items.order_id
    where orders.status = 'shipped'
    ");
}

#[test]
fn above_average_compares_with_the_whole_table() {
    insta::assert_snapshot!(sql("names of products with a unit price above average"), @r#"
    select name
    from products
    where unitPrice > (select avg(unitPrice) from products)
    --
    select name
    from products
    where "unitPrice" > (select avg("unitPrice") from products)
    "#);
}

#[test]
fn different_values_are_shown_once() {
    insta::assert_snapshot!(sql("What are the different countries of customers?"), @r"
    select distinct country
    from customers
    ");
}

#[test]
fn every_draft_says_what_it_shows_and_what_it_assumed() {
    let draft = best("Which product has the highest unit price?", Engine::Sqlite);
    assert_eq!(
        draft.explanation,
        "Shows name from products, ordered by unit price from high to low, the first row only."
    );
    assert_eq!(draft.assumptions, ["shown is products.name", "of several equal ones only one is shown"]);
    assert!(draft.confidence >= SURE, "{}", draft.confidence);
}

#[test]
fn words_that_the_sql_does_not_reflect_are_listed_and_lower_the_confidence() {
    let plain = best("How many customers are in Germany?", Engine::Sqlite);
    let more = best("How many wealthy left-handed customers are in Germany?", Engine::Sqlite);
    assert_eq!(more.unused_words, ["wealthy", "left", "handed"]);
    assert!(more.confidence < SURE && plain.confidence > SURE);
}

#[test]
fn a_number_that_means_nothing_is_not_dropped_in_silence() {
    let draft = best("names of products that are laptops 77.5", Engine::Sqlite);
    assert_eq!(draft.unused_words, ["77.5"], "{draft:?}");
    assert!(draft.confidence < 0.4, "{}", draft.confidence);
}

#[test]
fn two_equally_short_ways_to_join_are_a_guess() {
    let mut schema = shop(Engine::Sqlite);
    schema.tables[2].columns.push(column("referred_by", ColumnKind::Integer, &[]));
    let mut second = schema.tables[2].foreign_keys[0].clone();
    second.columns = vec!["referred_by".to_owned()];
    schema.tables[2].foreign_keys.push(second);
    let draft = drafts("number of orders of customers in Germany", &schema).swap_remove(0);
    assert!(draft.assumptions.iter().any(|text| text.starts_with("there are several ways to join")), "{draft:?}");
    assert_eq!(
        draft.clarification.as_deref(),
        Some("How do they belong together: by orders.customer_id, or by orders.referred_by?")
    );
    assert!(draft.confidence < SURE);
    let others = drafts("number of orders of customers in Germany", &schema);
    let named = |text: &String| text == "they are joined by orders.referred_by";
    assert!(others.iter().any(|draft| draft.assumptions.iter().any(named)), "{others:?}");
}

#[test]
fn a_figure_over_repeated_rows_takes_each_row_once() {
    let draft = best("What is the average total of orders of products in the category Phones?", Engine::Sqlite);
    let sql = draft.sql.replace('\n', " ");
    assert!(sql.starts_with("select avg(total) from orders where id in (select orders.id from "), "{sql}");
    assert!(sql.ends_with("where products.category = 'Phones')"), "{sql}");
}

#[test]
fn a_sum_over_repeated_rows_is_never_run_unasked() {
    let drafts = drafts("total of orders for each product category", &shop(Engine::Sqlite));
    let repeated = drafts.iter().find(|draft| draft.sql.contains("sum(orders.total)")).unwrap();
    assert!(repeated.features.doubtful, "{repeated:?}");
}

#[test]
fn what_the_grammar_does_not_cover_is_declined_by_name() {
    insta::assert_snapshot!(declined("What is the median total of orders?"), @r#"The question says "median", and the builtin generator cannot compute statistics beyond sums and averages yet."#);
    insta::assert_snapshot!(declined("Please delete all orders"), @"The request is to delete something, and questions only read: nothing was changed.");
    insta::assert_snapshot!(declined("What is the meaning of life?"), @"No word of the question names a table, a column or a known value of this database.");
    insta::assert_snapshot!(declined(""), @"The question has no words.");
    insta::assert_snapshot!(declined(&"customers ".repeat(200)), @"The question has more than 120 words; ask a shorter one.");
}

#[test]
fn hidden_and_masked_columns_and_hidden_tables_do_not_exist() {
    let mut schema = shop(Engine::Postgres);
    schema.tables[1].columns[2].masked = true;
    schema.tables[4].columns[3].hidden = true;
    schema.tables[0].hidden = true;
    for question in [
        "customers in Germany",
        "country of customers",
        "unit price of products",
        "How many customers for each region?",
    ] {
        if let Generated::Drafts(drafts) = generate(question, &schema) {
            let sql: String = drafts.iter().map(|draft| draft.sql.as_str()).collect();
            assert!(!sql.contains("country") && !sql.contains("unitPrice") && !sql.contains("regions"), "{sql}");
        }
    }
}

#[test]
fn names_outside_the_search_path_are_qualified() {
    let mut schema = shop(Engine::Postgres);
    schema.tables[4].schema = "Sales".to_owned();
    let draft = drafts("How many products are there?", &schema).swap_remove(0);
    assert_eq!(draft.sql, "select count(*)\nfrom \"Sales\".products");
}

#[test]
fn a_database_without_tables_is_declined() {
    let schema = Schema { tables: Vec::new(), ..shop(Engine::Sqlite) };
    assert_eq!(
        generate("How many customers?", &schema),
        Generated::Declined("The database has no tables that questions may use.".to_owned())
    );
}

#[test]
fn drafts_are_distinct_and_best_first() {
    let drafts = drafts("Show the names of customers with pending orders over 100 in 2024", &shop(Engine::Sqlite));
    assert!(drafts.windows(2).all(|pair| pair[0].confidence >= pair[1].confidence));
    assert!(drafts.iter().enumerate().all(|(at, draft)| drafts[at + 1..].iter().all(|other| other.sql != draft.sql)));
}

/// A workshop with the habits of real schemas: units in names, states with underscores, several dates, a reference of
/// staff to staff.
fn workshop() -> Schema {
    use ColumnKind::{Boolean, Date, Decimal, Integer, Text};
    let id = || column("id", Integer, &[]);
    let maybe = |name: &str| Column { nullable: true, ..column(name, Date, &[]) };
    let tables = vec![
        table("families", vec![id(), column("name", Text, &["Engines", "Brakes"])], &[]),
        table(
            "parts",
            vec![
                id(),
                column("name", Text, &["Ratchet Wheel", "Brake Pad"]),
                column("family_id", Integer, &[]),
                column("list_price_eur", Decimal, &[]),
                column("weight_kg", Decimal, &[]),
                maybe("withdrawn_on"),
                maybe("retired_on"),
            ],
            &[("family_id", "families")],
        ),
        table(
            "workers",
            vec![
                id(),
                column("name", Text, &[]),
                column("title", Text, &["Fitter", "Foreman"]),
                column("supervisor_id", Integer, &[]),
                column("wants_bulletin", Boolean, &[]),
            ],
            &[("supervisor_id", "workers")],
        ),
        table(
            "repairs",
            vec![
                id(),
                column("worker_id", Integer, &[]),
                column("state", Text, &["in_progress", "finished", "abandoned"]),
                column("repaired_on", Date, &[]),
                maybe("finished_on"),
                maybe("abandoned_on"),
                column("total_amount_eur", Decimal, &[]),
                column("place_code", Text, &["north_hall", "yard"]),
            ],
            &[("worker_id", "workers")],
        ),
    ];
    Schema { engine: Engine::Sqlite, search_path: vec!["public".to_owned()], server_version: String::new(), tables }
}

fn at_work(question: &str) -> Draft {
    drafts(question, &workshop()).swap_remove(0)
}

fn sure_sql(question: &str) -> String {
    let draft = at_work(question);
    assert!(draft.confidence >= SURE, "{draft:?}");
    draft.sql.replace('\n', " ")
}

fn assert_unsure(question: &str) {
    let draft = at_work(question);
    assert!(draft.confidence < SURE, "{draft:?}");
}

#[test]
fn a_unit_at_the_end_of_a_name_need_not_be_said() {
    let priced = "select list_price_eur from parts where name = 'Ratchet Wheel'";
    assert_eq!(sure_sql("What is the list price of the Ratchet Wheel?"), priced);
    assert_eq!(sure_sql("What is the average list price of parts?"), "select avg(list_price_eur) from parts");
    assert_eq!(
        sure_sql("Which parts cost more than the average list price?"),
        "select name from parts where list_price_eur > (select avg(list_price_eur) from parts)"
    );
    assert_eq!(sure_sql("What is the average weight of parts?"), "select avg(weight_kg) from parts");
}

#[test]
fn of_whom_a_column_is_shown_is_shown_too() {
    assert_eq!(
        sure_sql("Show the two most expensive parts with their list price."),
        "select name, list_price_eur from parts order by list_price_eur desc limit 2"
    );
}

#[test]
fn an_aggregate_in_a_name_is_taken_over_many_rows_and_never_listed_with_confidence() {
    assert_eq!(
        sure_sql("What is the total amount of all finished repairs?"),
        "select sum(total_amount_eur) from repairs where state = 'finished'"
    );
    assert_unsure("Show the total amount of repairs");
}

#[test]
fn a_table_described_by_another_is_the_one_named_last() {
    assert_eq!(sure_sql("List the names of all part families."), "select name from families");
}

#[test]
fn a_value_with_underscores_is_said_with_spaces_and_may_begin_with_a_little_word() {
    assert_eq!(
        sure_sql("How many repairs are in progress?"),
        "select count(*) from repairs where state = 'in_progress'"
    );
    assert_eq!(
        sure_sql("How many repairs are in the north hall?"),
        "select count(*) from repairs where place_code = 'north_hall'"
    );
}

#[test]
fn verbs_that_only_say_that_something_is_there_are_no_unused_words() {
    for verb in ["made", "done", "recorded", "registered", "received", "issued"] {
        let draft = at_work(&format!("How many of our repairs were {verb} by each worker?"));
        assert_eq!(draft.unused_words, Vec::<String>::new(), "{verb}");
    }
}

#[test]
fn a_truth_value_after_its_verb_filters() {
    let wanted = "select count(*) from workers where wants_bulletin = 1";
    assert_eq!(sure_sql("How many workers want the bulletin?"), wanted);
    assert_eq!(sure_sql("How many workers receive the bulletin?"), wanted);
}

#[test]
fn a_date_that_may_be_missing_tells_whether_something_happened() {
    assert_eq!(sure_sql("Which parts have been retired?"), "select name from parts where retired_on is not null");
}

#[test]
fn a_reference_to_the_same_table_is_not_what_was_asked_for() {
    assert_unsure("List the fitters and the names of their supervisors.");
    assert_eq!(sure_sql("List the supervisor ids of workers"), "select supervisor_id from workers");
}

#[test]
fn the_verb_says_which_date_is_meant() {
    let within = |column: &str| {
        format!("select count(*) from repairs where {column} >= '2026-03-01' and {column} < '2026-04-01'")
    };
    assert_eq!(sure_sql("How many repairs were finished in March 2026?"), within("finished_on"));
    assert_eq!(sure_sql("How many repairs were abandoned in March 2026?"), within("abandoned_on"));
    assert_eq!(sure_sql("How many repairs were made in March 2026?"), within("repaired_on"));
    let unsaid = at_work("How many repairs in March 2026?");
    assert_eq!(unsaid.assumptions, ["the date meant is repairs.repaired_on"]);
    assert!(unsaid.confidence < SURE, "{unsaid:?}");
}

#[test]
fn a_word_of_the_grammar_without_its_part_of_the_plan_is_a_doubt() {
    assert_unsure("Which repairs were finished earlier than any other?");
    assert_unsure("List the different names of parts ordered by weight");
    assert_unsure("What is the average weight of parts for each thing?");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(question in "\\PC{0,200}") {
        generate(&question, &shop(Engine::Sqlite));
    }

    #[test]
    fn no_mixture_of_its_own_words_makes_it_panic(
        words in proptest::collection::vec(
            prop::sample::select(vec![
                "how many", "customers", "orders", "name", "of", "the", "each", "per", "month", "top", "5", "2024", "most",
                "highest", "average", "total", "and", "or", "between", "more than", "Germany", "'x y'", "\"", "sorted by",
                "in order", "with", "their", ",", "?", "unit price", "pending", "times", "first", "by", "number of", "older",
                "March 2024", "full name", "all information", "common", "recent", "🦀", "9999999999999999999999", "-1", "1.5e9",
            ]),
            0..25,
        )
    ) {
        for engine in Engine::ALL {
            generate(&words.join(" "), &shop(engine));
        }
    }
}
