use super::*;
use crate::text_to_sql::schema::{Column, ColumnKind, Table, TableKind};

fn schema() -> Schema {
    let table = |name: &str, columns: &[(&str, &[&str])]| {
        let columns = columns.iter().map(|(name, values)| {
            let mut column = Column::found((*name).to_owned(), "text".to_owned(), ColumnKind::Text, true);
            column.sample_values = values.iter().map(|value| (*value).to_owned()).collect();
            column
        });
        Table { columns: columns.collect(), ..Table::found("main".to_owned(), name.to_owned(), TableKind::Table) }
    };
    let cities: &[&str] = &["Paris", "Rome", "New York", "The Hague", "Saint-Malo", "Xi'an"];
    Schema {
        engine: Engine::Sqlite,
        search_path: vec!["main".to_owned()],
        server_version: String::new(),
        tables: vec![
            table(
                "customers",
                &[("city", cities), ("name", &[]), ("country", &["France", "US"]), ("grade", &["A", "B"])],
            ),
            table("orders", &[("status", &["paid", "open"]), ("note", &["paid", "Lyon", "Oslo"]), ("total", &[])]),
        ],
    }
}

fn reused(known: &str, sql: &str, asked: &str) -> Option<(String, f32)> {
    let example = Example { id: Uuid::nil(), question: known.to_owned(), sql: sql.to_owned(), likeness: 1.0 };
    reuse(asked, &example, &schema()).map(|draft| (draft.sql, draft.confidence))
}

const PARIS: (&str, &str) =
    ("How many customers live in Paris?", "select count(*) from customers where city = 'Paris'");

#[test]
fn the_same_question_is_answered_as_it_is() {
    for asked in [
        "how many customers live in paris",
        "Please tell me how many customers live in Paris.",
        "Can you tell me how many customers live in \"Paris\", please?",
        "How many   customer live in the Paris?",
    ] {
        assert_eq!(reused(PARIS.0, PARIS.1, asked), Some((PARIS.1.to_owned(), SAME)), "{asked}");
    }
}

#[test]
fn a_value_takes_the_place_of_another_as_the_database_spells_it() {
    let with = |city: &str| Some((format!("select count(*) from customers where city = '{city}'"), SWAPPED));
    for (asked, city) in [
        ("in rome?", "Rome"),
        ("in new york?", "New York"),
        ("in the hague", "The Hague"),
        ("in saint-malo", "Saint-Malo"),
        ("in Xi'an", "Xi''an"),
        ("in \"Xi'an\"?", "Xi''an"),
        ("in “Le Mans”?", "Le Mans"),
    ] {
        assert_eq!(reused(PARIS.0, PARIS.1, &format!("How many customers live {asked}")), with(city), "{asked}");
    }
}

/// Pairs of questions that no SQL answers both, in either direction; the SQL is one that says the values of the first.
#[test]
fn questions_that_differ_by_one_sign_or_word_do_not_answer_each_other() {
    for (one, other, sql, reversed) in [
        ("price > 500", "price < 500", "select * from o where p > 500", "select * from o where p < 500"),
        ("price >= 500", "price > 500", "select * where p >= 500", "select * where p > 500"),
        ("price = 5", "price ≠ 5", "select * where p = 5", "select * where p <> 5"),
        ("5% items", "5 items", "select five from o", "select * from items limit 5"),
        ("items at 5€", "items at 5$", "select 5", "select 6"),
        ("input/output of customers", "input output of customers", "select a from o", "select b from o"),
        ("change of -5", "change of 5", "select * from o where c = -5", "select * from o where c = 5"),
        ("profit + tax", "profit - tax", "select p + t", "select p - t"),
        ("R&D costs", "RD costs", "select a from o", "select b from o"),
        ("orders, customers", "orders customers", "select a from o", "select b from o"),
        ("customers in Paris", "customers in Paris, Rome", PARIS.1, "select * where city in ('Paris', 'Rome')"),
        ("US customers", "customers", "select * from customers where country = 'US'", "select * from customers"),
        ("show US customers", "show customers", "select * where country = 'US'", "select a from o"),
        ("list price by item", "price by item", "select a from o", "select b from o"),
        ("average list price", "average price", "select avg(list_price)", "select avg(price)"),
        ("return orders", "orders", "select a from o", "select b from o"),
        ("grade A customers", "grade customers", "select * where grade = 'A'", "select a from o"),
        ("S shirts", "shirts", "select a from o", "select b from o"),
        ("shirts of all", "shirts", "select a from o", "select b from o"),
        ("shipping costs", "shipped costs", "select a from o", "select b from o"),
        ("new customers", "news customers", "select a from o", "select b from o"),
        ("orders of Williams", "orders of William", "select a from o", "select b from o"),
        ("highest total", "lowest total", "select max(t)", "select min(t)"),
        ("customers with orders", "customers without orders", "select a from o", "select b from o"),
        ("the customer with most orders", "the customers with most orders", "select * limit 1", "select * limit 9"),
        ("orders in 2023", "orders in 2024", "select * where d >= '2023-01-01'", "select * where d >= '2024-01-01'"),
        ("all that we sold", "that we sold", "select a from o", "select b from o"),
        ("customers in \"Lyon\"", "customers in Lyon", "select a from o", "select b from o"),
        ("1.5 items", "1,5 items", "select 1.5", "select 15"),
        ("3rd order", "3 orders", "select 3", "select 4"),
        ("don't pay", "do pay", "select a from o", "select b from o"),
        ("orders (paid)", "orders paid", "select a from o", "select b from o"),
    ] {
        for (known, asked, sql) in [(one, other, sql), (other, one, reversed)] {
            assert_eq!(reused(known, sql, asked), None, "{known} {asked}");
            assert!(reused(known, sql, known).is_some(), "{known} answers itself");
        }
    }
}

#[test]
fn whatever_else_the_question_says_keeps_the_example_out() {
    for other in [
        "How many customers do not live in Paris?",
        "How many customers live in Paris or Rome?",
        "How many customers live in Paris without orders?",
        "How many suppliers live in Paris?",
        "How many customers live in the north of Paris?",
        "How many customers live in a big city?",
        "How many customers live in Lyon?",
        "How many customers live in Oslo, Lyon?",
        "How many customers live in Rome!?, Paris",
        "How many of the customers live in Paris?",
        "customers in Paris",
        "",
        "?",
    ] {
        assert_eq!(reused(PARIS.0, PARIS.1, other), None, "{other}");
    }
}

#[test]
fn a_value_must_be_one_of_the_column_that_it_is_compared_with() {
    let paid = ("How many paid orders?", "select count(*) from orders o where o.status = 'paid'");
    assert!(reused(paid.0, paid.1, "How many open orders?").unwrap().0.contains("'open'"));
    assert_eq!(reused(paid.0, paid.1, "How many Oslo orders?"), None, "a note holds it, and no status");
    for sql in [
        "select count(*) from orders where lower(status) = 'paid'",
        "select count(*) from orders where status = lower('paid')",
        "select count(*) as paid from orders where status = 'paid'",
        "select count(*) as n_paid from orders where status = 'paid'",
        "select count(*) from orders where status = 'paid' or note = 'paid'",
        "select count(*) from orders where status = 'paid' or note like '%paid%'",
        "select 'paid', count(*) from orders",
        "select count(*) from orders where status || note = 'paid'",
        "select count(*) from orders where status = 'paid' || ''",
        "select count(*) from orders where status > 'paid'",
        "select count(*) from orders where status = 'paid' and note = 'Oslo'",
        "select count(*) from nowhere where word = 'paid'",
    ] {
        assert_eq!(reused(paid.0, sql, "How many open orders?"), None, "{sql}");
        assert!(reused(paid.0, sql, paid.0).is_some(), "{sql}");
    }
}

#[test]
fn a_number_is_a_slot_where_nothing_else_depends_on_it() {
    let swapped = |known, sql, asked| reused(known, sql, asked).map(|(sql, _)| sql);
    let top = ("Show the top 5 customers", "select name from customers order by total desc limit 5");
    let ten = "select name from customers order by total desc limit 10";
    assert_eq!(swapped(top.0, top.1, "show the top 10 customers").as_deref(), Some(ten));
    for asked in ["show the top 0 customers", "show the top -5 customers", "show the top 2.5 customers", "top 5%"] {
        assert_eq!(swapped(top.0, top.1, asked), None, "{asked}");
    }
    let over = ("orders over 500", "select * from orders where total > 500");
    assert_eq!(swapped(over.0, over.1, "orders over 1,200").unwrap(), "select * from orders where total > 1200");
    assert_eq!(swapped(over.0, over.1, "orders over 2024"), None, "it may be a year");
    for (known, sql, asked) in [
        ("customers with 5 orders, top 5", "select * where n = 5 limit 5", "customers with 6 orders, top 5"),
        ("orders over 500", "select * where total > 500 and rate < 600", "orders over 700"),
        ("orders over 500", "select count(*) as over_500 where total > 500", "orders over 700"),
        ("orders of 2023", "select * where y = 2023 and d < '2024-01-01'", "orders of 2022"),
        ("orders of 2023", "select * where y >= 2023 and y < 2024", "orders of 2022"),
        ("the 30 orders", "select * where d > date(d, '-30 days') limit 30", "the 60 orders"),
    ] {
        assert_eq!(swapped(known, sql, asked), None, "{known} {sql}");
    }
    assert!(swapped("orders of 2023", "select * where y = 2023", "orders of 2022").is_some());
}

#[test]
fn a_relative_period_with_fixed_dates_is_never_reused() {
    for (question, sql) in [
        ("orders last month", "select * from orders where d >= '2025-10-01' and d < '2025-11-01'"),
        ("How many orders today?", "select * where d = '2025-11-21'"),
        ("revenue this year", "select sum(t) where strftime('%Y', d) = '2025'"),
        ("orders of the last 30 days", "select * where d >= 20251022"),
        ("orders 3 weeks ago", "select * where d = '2025-10-31'"),
        ("revenue year to date", "select * where y = 2025"),
        ("orders this month", "select * where m = 11"),
        ("last year's revenue", "select * where d < current_date and y = 2024"),
    ] {
        assert!(freezes(question, sql, Engine::Sqlite), "{question}");
        assert_eq!(reused(question, sql, question), None, "{question}");
    }
    for (question, sql) in [
        ("orders last month", "select * where d >= date('now', '-1 month')"),
        ("orders in 2023", "select * where d >= '2023-01-01'"),
        ("the last name of customers", "select name from customers where id = 2023"),
    ] {
        assert!(!freezes(question, sql, Engine::Sqlite), "{question}");
        assert!(reused(question, sql, question).is_some(), "{question}");
    }
}

#[test]
fn a_hostile_value_cannot_leave_its_literal() {
    let swapped = reused(PARIS.0, PARIS.1, r#"How many customers live in "Rome' or '1'='1"?"#).unwrap().0;
    assert_eq!(swapped, "select count(*) from customers where city = 'Rome'' or ''1''=''1'");
    assert_eq!(reused(PARIS.0, PARIS.1, r#"How many customers live in "Rome\"?"#), None);
}

#[test]
fn part_of_a_value_stays_part_of_one() {
    let like = ("customers named like Ann", "select * from customers where name like '%Ann%'");
    let swapped = |asked| reused(like.0, like.1, asked).map(|(sql, _)| sql);
    let bob = "select * from customers where name like '%Bob%'";
    assert_eq!(swapped("customers named like \"Bob\"").unwrap(), bob);
    assert_eq!(swapped("customers named like Bob"), None, "nobody knows that it is a name");
    assert_eq!(swapped("customers named like \"100%\""), None);
}

#[test]
fn long_questions_and_statements_take_no_time() {
    let list: Vec<String> = (0..5_000).map(|number| format!("'w{number}'")).collect();
    let sql = format!("select * from customers where city in ({})", list.join(", "));
    let words: Vec<String> = (0..115).map(|number| format!("w{number}")).collect();
    let known = words.join(" the ");
    assert!(reused(&words.join(" "), &sql, &words.join(" ")).is_some());
    assert_eq!(reused(&words.join(" "), &sql, &format!("{} Rome", words[..114].join(" "))), None);
    assert_eq!(reused(&known, &sql, &known), None, "longer than any question that is read");
    let slots = ("Paris Rome the the the the the the", "select * from customers where city in ('Paris', 'Rome')");
    assert_eq!(reused(slots.0, slots.1, &"the ".repeat(119)), None);
}
