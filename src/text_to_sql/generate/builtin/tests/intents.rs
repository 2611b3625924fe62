//! What is asked beyond lists and counts: leaving out, sets, shares, differences, periods of today, and the terms that
//! people declared.

use std::sync::Arc;

use super::{best, shop, sql};
use crate::text_to_sql::generate::builtin::{ResultFacts, generate, rerank};
use crate::text_to_sql::generate::{DEFAULT_MIN_CONFIDENCE, Draft, Generated};
use crate::text_to_sql::guard::{Policy, check};
use crate::text_to_sql::link::catalog::Catalog;
use crate::text_to_sql::schema::{Engine, Metric, NamedFilter, Schema};

/// As it is served, ranked.
fn served(question: &str) -> Vec<Draft> {
    let catalog = Catalog::new(Arc::new(shop(Engine::Sqlite)));
    match generate(question, &catalog, super::today()) {
        Generated::Drafts(drafts) => drafts,
        Generated::Declined(reason) => panic!("{question}: {reason}"),
    }
}

#[test]
fn a_plain_question_is_answered_unasked_and_an_odd_one_is_not() {
    assert!(served("How many customers are in Germany?")[0].confidence >= DEFAULT_MIN_CONFIDENCE);
    for odd in
        ["names of products that are laptops 77.5", "orders nobody purple never", "customers orders products regions"]
    {
        assert!(served(odd)[0].confidence < DEFAULT_MIN_CONFIDENCE, "{odd}");
    }
}

#[test]
fn drafts_that_ran_are_ranked_again_and_never_lost() {
    let mut drafts = served("Which customers have orders that are shipped?");
    let facts: Vec<Option<ResultFacts>> =
        (0..drafts.len()).map(|at| (at % 2 == 0).then(|| ResultFacts::of(&[vec![serde_json::json!("Ada")]]))).collect();
    let mut before: Vec<String> = drafts.iter().map(|draft| draft.sql.clone()).collect();
    rerank(&mut drafts, &facts);
    assert!(drafts.windows(2).all(|pair| pair[0].confidence >= pair[1].confidence));
    let mut after: Vec<String> = drafts.into_iter().map(|draft| draft.sql).collect();
    before.sort();
    after.sort();
    assert_eq!(before, after);
}

#[test]
fn a_column_that_is_all_there_is_to_show_is_shown_and_filtered() {
    assert_eq!(
        line("Show the categories that contain \"Office\"", Engine::Sqlite),
        "select category from products where category like '%Office%'"
    );
}

#[test]
fn values_left_out_are_left_out_with_all_their_rows() {
    assert_eq!(
        line("Which categories have no products with a unit price above 100?", Engine::Sqlite),
        "select category from products where category not in (select category from products where unitPrice > 100)"
    );
}

#[test]
fn more_than_any_is_more_than_the_least_of_the_rows_that_are_meant() {
    assert_eq!(
        line("names of products whose unit price is higher than any phones", Engine::Sqlite),
        "select name from products where unitPrice > (select min(unitPrice) from products where category = 'Phones')"
    );
}

#[test]
fn top_by_a_number_of_rows_counts_them() {
    insta::assert_snapshot!(line("top 3 customers by number of orders", Engine::Sqlite), @"select customers.name from customers join orders on orders.customer_id = customers.id group by customers.id, customers.name order by count(*) desc limit 3");
}

#[test]
fn a_number_without_a_column_is_about_the_only_one_that_holds_numbers() {
    let draft = best("Show orders over 20", Engine::Sqlite);
    assert!(draft.sql.ends_with("where total > 20"), "{}", draft.sql);
    assert!(draft.assumptions.contains(&"orders.total is compared with 20".to_owned()), "{:?}", draft.assumptions);
}

#[test]
fn a_second_number_is_about_the_column_of_the_first() {
    assert_eq!(
        line("names of products with a unit price below 3 or above 5", Engine::Sqlite),
        "select name from products where unitPrice < 3 or unitPrice > 5"
    );
}

#[test]
fn the_guard_lets_every_draft_through_on_every_engine() {
    for engine in Engine::ALL {
        let schema = declared(engine);
        for question in [
            "Which customers have no orders?",
            "Which customers have orders that are both shipped and cancelled?",
            "What percentage of orders is shipped?",
            "What is the difference between the number of orders in 2023 and 2024?",
            "How many orders were placed in the last 7 days?",
            "names of products whose unit price is higher than any phones",
            "What is the average total of orders of products in the category Phones?",
            "net revenue for each country of all customers",
            "How many open orders are there?",
            "Which product has the highest unit price?",
        ] {
            for draft in super::drafts(question, &schema) {
                let checked = check(&draft.sql, &schema, &Policy::default());
                assert!(checked.is_ok(), "{engine:?} {question}: {} {:?}", draft.sql, checked.err());
            }
        }
    }
}

/// The SQL of the best draft on one line.
fn line(question: &str, engine: Engine) -> String {
    best(question, engine).sql.replace('\n', " ")
}

fn flat(draft: &Draft) -> String {
    draft.sql.replace('\n', " ")
}

#[test]
fn rows_without_rows_of_another_table_are_those_not_referred_to() {
    insta::assert_snapshot!(sql("Which customers have no orders?"), @"
    select name
    from customers
    where id not in (select customer_id from orders)
    ");
}

#[test]
fn a_key_that_may_be_null_hides_nothing() {
    let mut schema = shop(Engine::Postgres);
    schema.tables[2].columns[1].nullable = true;
    let draft = super::drafts("Which customers have no orders?", &schema).swap_remove(0);
    assert!(draft.sql.ends_with("(select customer_id from orders where customer_id is not null)"), "{}", draft.sql);
}

#[test]
fn what_is_left_out_carries_its_own_conditions() {
    assert_eq!(
        line("Which customers have no orders that are cancelled?", Engine::Sqlite),
        "select name from customers where id not in (select customer_id from orders where status = 'cancelled')"
    );
}

#[test]
fn a_negated_value_is_a_condition_turned_round() {
    for (question, condition) in [
        ("names of customers not in France", "country <> 'France'"),
        ("names of customers from countries other than Spain", "country <> 'Spain'"),
        ("names of products whose name does not contain \"pro\"", "name not like '%pro%'"),
    ] {
        let sql = line(question, Engine::Sqlite);
        assert!(sql.ends_with(condition), "{question}: {sql}");
    }
    let sql = line("names of products whose name does not contain \"pro\"", Engine::Postgres);
    assert!(sql.ends_with("name not ilike '%pro%'"), "{sql}");
}

#[test]
fn both_values_of_one_column_are_two_sets() {
    let draft = best("Which customers have orders that are both shipped and cancelled?", Engine::Sqlite);
    let sql = flat(&draft);
    assert!(sql.contains("status = 'shipped' intersect select"), "{sql}");
    assert!(sql.ends_with("status = 'cancelled'"), "{sql}");
    assert!(draft.explanation.contains("of these, those that are also"), "{}", draft.explanation);
}

#[test]
fn a_share_is_a_percentage_of_rows() {
    for engine in Engine::ALL {
        let sql = line("What percentage of orders is shipped?", engine).replace(['`', '[', ']'], "");
        assert_eq!(sql, "select 100.0 * sum(case when status = 'shipped' then 1 else 0 end) / count(*) from orders");
    }
}

#[test]
fn the_difference_of_two_periods_is_one_figure() {
    let draft = best("What is the difference between the number of orders in 2023 and 2024?", Engine::Sqlite);
    assert_eq!(
        flat(&draft),
        "select sum(case when ordered_on >= '2024-01-01' and ordered_on < '2025-01-01' then 1 else 0 end) - \
         sum(case when ordered_on >= '2023-01-01' and ordered_on < '2024-01-01' then 1 else 0 end) from orders"
    );
}

#[test]
fn periods_count_from_the_day_of_the_question() {
    for (question, condition) in [
        ("How many orders were placed last month?", "ordered_on >= '2026-06-01' and ordered_on < '2026-07-01'"),
        ("How many orders were placed today?", "ordered_on >= '2026-07-16' and ordered_on < '2026-07-17'"),
        ("How many orders were placed this year?", "ordered_on >= '2026-01-01' and ordered_on < '2027-01-01'"),
        ("How many orders were placed in the last 7 days?", "ordered_on >= '2026-07-10' and ordered_on < '2026-07-17'"),
    ] {
        let sql = line(question, Engine::Mysql).replace('`', "");
        assert_eq!(sql, format!("select count(*) from orders where {condition}"), "{question}");
    }
}

#[test]
fn all_rows_with_the_highest_value_are_a_reading_too() {
    let drafts = super::drafts("Which product has the highest unit price?", &shop(Engine::Sqlite));
    let all = "unitPrice = (select max(unitPrice) from products)";
    assert!(drafts.iter().any(|draft| draft.sql.contains(all)), "{drafts:?}");
}

/// The shop with a metric on orders and filters on orders and customers.
fn declared(engine: Engine) -> Schema {
    let mut schema = shop(engine);
    let text = str::to_owned;
    schema.tables[2].metrics.push(Metric {
        name: text("net revenue"),
        synonyms: vec![text("Umsatz"), text("净收入")],
        description: None,
        expression: text("sum(total)"),
        unit: Some(text("EUR")),
    });
    let filter = |name: &str, condition: &str, default: bool| NamedFilter {
        name: text(name),
        synonyms: Vec::new(),
        description: None,
        condition: text(condition),
        default,
    };
    schema.tables[2].filters.push(filter("open", "status <> 'shipped'", false));
    schema.tables[1].filters.push(filter("active", "is_active = 1", true));
    schema.tables[1].synonyms.extend([text("Kunden"), text("客户")]);
    schema.tables[1].columns[2].synonyms.push(text("Land"));
    schema.tables[1].columns[2].sample_values.push(text("中国"));
    schema
}

fn asked(question: &str) -> Draft {
    super::drafts(question, &declared(Engine::Sqlite)).swap_remove(0)
}

#[test]
fn a_metric_is_an_aggregate() {
    assert_eq!(flat(&asked("What is the net revenue?")), "select sum(total) from orders");
    let grouped = flat(&asked("net revenue for each status"));
    assert_eq!(grouped, "select status, sum(total) from orders group by status");
    let top = flat(&asked("Which status has the highest net revenue?"));
    assert_eq!(top, "select status from orders group by status order by sum(total) desc limit 1");
}

#[test]
fn a_metric_beside_other_tables_names_its_own() {
    let sql = flat(&asked("net revenue for each country of all customers"));
    assert!(sql.contains("sum(orders.total)") && sql.contains("group by customers.country"), "{sql}");
}

#[test]
fn a_named_filter_is_a_condition() {
    assert_eq!(
        flat(&asked("How many open orders are there?")),
        "select count(*) from orders where (status <> 'shipped')"
    );
}

#[test]
fn a_default_filter_holds_unless_the_question_speaks_against_it() {
    let draft = asked("How many customers are in France?");
    assert_eq!(flat(&draft), "select count(*) from customers where country = 'France' and (is_active = 1)");
    assert!(draft.assumptions.contains(&"only active, by default".to_owned()), "{:?}", draft.assumptions);
    for question in
        ["How many of all customers are in France?", "How many customers are in France, including inactive?"]
    {
        assert!(!asked(question).sql.contains("is_active"), "{question}");
    }
}

#[test]
fn other_languages_link_through_synonyms_and_values() {
    assert_eq!(
        flat(&asked("Wie viele Kunden sind aus dem Land Spain?")),
        "select count(*) from customers where country = 'Spain' and (is_active = 1)"
    );
    assert_eq!(
        flat(&asked("中国有多少客户")),
        "select count(*) from customers where country = '中国' and (is_active = 1)"
    );
    assert_eq!(flat(&asked("净收入是多少？")), "select sum(total) from orders");
}

#[test]
fn a_name_with_a_letter_wrong_is_read_and_said() {
    let draft = best("How many customers are in Germny?", Engine::Sqlite);
    assert!(draft.sql.ends_with("country = 'Germany'"), "{}", draft.sql);
    assert!(draft.assumptions.contains(&"\"Germny\" is read as \"Germany\"".to_owned()), "{:?}", draft.assumptions);
}
