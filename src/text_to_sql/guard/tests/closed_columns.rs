//! Statements that were found to show hidden or masked columns where guard and engine looked in different places.

use super::*;

/// `users` has a masked and a hidden column whose names are open columns of `plain` and of the statement's own.
fn people(engine: Engine) -> Schema {
    let mut schema = shop(engine);
    let home = schema.search_path[0].clone();
    let mut users = table(&home, "users", "id name email ssn position");
    for column in &mut users.columns {
        column.hidden = matches!(column.name.as_str(), "ssn" | "position");
        column.masked = column.name == "email";
    }
    schema.tables.extend([users, table(&home, "plain", "id name ssn"), table(&home, "fr", "id prénom")]);
    if let Some(fr) = schema.tables.last_mut() {
        fr.columns[1].hidden = true;
    }
    schema
}

#[track_caller]
fn refused_on(engine: Engine, sql: &str) {
    if let Ok(passed) = check(sql, &people(engine), &Policy::default()) {
        panic!("passed on {engine:?}: {}", passed.text());
    }
}

#[test]
fn a_name_that_another_scope_closes_is_not_read() {
    for engine in Engine::ALL {
        let home = people(engine).search_path[0].clone();
        for sql in [
            format!("select (select max({home}.plain.ssn) from users plain) from plain"),
            "select (select max(t.ssn) from plain T) from users t".to_owned(),
            "select id from users t where exists (select 1 from plain T where t.ssn = 'x')".to_owned(),
            "select (select max(ssn) from plain) from users".to_owned(),
            "select id from users where exists (select 1 from (select name as email from plain) d where email = 'x')".to_owned(),
            "select id, name as email from plain where id in (select p.id from users u join plain p on p.id = u.id order by ssn)".to_owned(),
            "select d.id from (select id, name as ssn from plain) d where (d.id, d.ssn) in (select u.id, d.ssn from users u order by ssn)".to_owned(),
        ] {
            refused_on(engine, &sql);
        }
    }
}

#[test]
fn engines_that_name_outputs_differently_show_nothing() {
    refused_on(
        Engine::Mysql,
        "select (select email from (select x.email collate utf8mb4_bin from (select name as email from plain) x) d limit 1) from users",
    );
    refused_on(Engine::Mysql, "select (select email from (select n'x' 'email') d limit 1) from users");
    refused_on(Engine::Mysql, "select id, n'x' 'email' from users order by email");
    refused_on(
        Engine::Mysql,
        "select (select position from (select position('a' in name) from plain) d limit 1) from users",
    );
    refused_on(Engine::Mysql, "select id, (select 1 from plain having ssn > 'SSN-1' limit 1) from users");
    refused_on(Engine::Mysql, "select (select `PRÉNOM` from fr limit 1) from (select 1 as `PRÉNOM`) d");
    refused_on(Engine::Mssql, "select (select [ｅｍａｉｌ] from (select 1 as [ｅｍａｉｌ]) d) from users");
    refused_on(
        Engine::Postgres,
        "select (select email from unnest((select array_agg(p) from plain p)) as email limit 1) from users",
    );
    refused_on(Engine::Sqlite, "select name as rowid from users where rowid = 3");
    refused_on(Engine::Sqlite, "select 1 as rowid, count(*) from users group by rowid");
    refused_on(Engine::Sqlite, "select id from users where name match 'ssn:SECRET2'");
}

#[test]
fn a_list_of_names_after_a_table_is_no_order_to_lock() {
    for sql in ["select u.name from plain u (tablockx)", "select name from plain b (updlock, rowlock, readpast)"] {
        refused_on(Engine::Mssql, sql);
    }
}

#[test]
fn honest_statements_beside_closed_columns_still_pass() {
    for engine in Engine::ALL {
        for sql in [
            "select name, count(email) as emails from users group by name order by emails desc",
            "select p.ssn, u.name from plain p join users u on u.id = p.id order by p.ssn",
            "select name from plain p where exists (select * from users u where u.id = p.id)",
            "select ssn from plain where id in (select id from users)",
        ] {
            check(sql, &people(engine), &Policy::default()).unwrap_or_else(|why| panic!("{engine:?}: {sql}: {why:?}"));
        }
    }
    let nulls_last = "select customer_id, sum(total) as t from orders group by customer_id order by t is null, -t";
    accepted(Engine::Mysql, &[nulls_last]);
    accepted(Engine::Postgres, &["select name from\"products\""]);
}

#[test]
fn columns_do_not_multiply() {
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let mut nested = "plain".to_owned();
        for level in 0..12 {
            nested = format!("(select *,*,*,*,*,*,*,*,*,* from {nested}) a{level}");
        }
        refused_on(engine, &format!("select count(*) from {nested}"));
        let ctes: String = (1..40).map(|n| format!(", c{n} as (select *,* from c{})", n - 1)).collect();
        refused_on(engine, &format!("with c0 as (select * from plain){ctes} select count(*) from c39"));
    }
}

#[test]
fn values_do_not_multiply_and_words_do_not_hide_chains() {
    let grown = "select length(replace(replace(repeat('a',10000),'a',repeat('b',10000)),'b',repeat('c',10)))";
    refused_on(Engine::Postgres, grown);
    let chain = format!("select coalesce(e.end,1){} from (select 1 as end) e", "+1".repeat(2_000));
    refused_on(Engine::Sqlite, &chain);
    refused_on(Engine::Sqlite, &format!("select 1{}", " isnull".repeat(4_990)));
}

#[test]
fn what_is_only_asked_for_rows_lends_its_star_to_nobody() {
    for engine in Engine::ALL {
        for sql in [
            "select d.id from (select id, name as email from plain) d where exists (with c as (select * from users) select 1 from c where email like 'z%')",
            "select id from plain where exists (with c as (select * from users) select 1 from c natural join (select 'x' as ssn) q)",
            "select id from plain where exists (select * from users union select * from users)",
        ] {
            refused_on(engine, sql);
        }
    }
}

#[test]
fn a_star_never_means_a_namesake() {
    for sql in [
        "select id from orders where (1, 2) < (select app.orders.* from users orders limit 1)",
        "select d.* from plain, lateral (select app.plain.* from users plain) d",
    ] {
        refused_on(Engine::Mysql, sql);
    }
}

#[test]
fn names_that_an_engine_folds_further_are_not_read_in_their_own_scope_either() {
    for sql in [
        "select max(id) as `PRÉNOM`, count(*) from fr group by `PRÉNOM`",
        "select id, id as `PRÉNOM` from fr order by concat(`PRÉNOM`, '')",
        "select fr.id from fr natural join (select 'secret' as `PRÉNOM`) d",
        "select u.name from users u natural join (select 'zed' as `emaİl`) d",
        "select id from fr group by id having `PRÉNOM` > 'b'",
    ] {
        refused_on(Engine::Mysql, sql);
    }
    refused_on(Engine::Mssql, "select max(name) as [ｓｓｎ], count(*) from users group by [ｓｓｎ]");
    refused_on(Engine::Mssql, "select (select top 1 [s\u{ad}sn] from users) from (select 1 as [s\u{ad}sn]) d");
}
