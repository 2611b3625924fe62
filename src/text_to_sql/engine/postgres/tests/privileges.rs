//! What a login could do, told of logins that can do just one thing too much.

use super::*;
use crate::text_to_sql::engine::{Warning, WarningCode};

async fn login(database: &Database, grants: &str) -> Postgres {
    let role = format!("reader_{}", Uuid::now_v7().simple());
    let grants = grants.replace("ROLE", &role).replace("DATABASE", &database.name);
    database.execute(&format!("create role {role} login; {grants}")).await;
    Postgres::connect(&database.server.postgres().url(&role, &database.name), &Access::default()).await.unwrap()
}

fn codes(privileges: &Privileges) -> Vec<WarningCode> {
    let mut codes: Vec<_> = privileges.warnings.iter().map(|warning| warning.code).collect();
    codes.sort_unstable();
    codes
}

#[tokio::test]
async fn a_login_that_only_reads_has_nothing_to_answer_for_but_what_it_sees() {
    let database = Database::new("create table t (a int)").await;
    let reader = login(&database, "grant select on t to ROLE").await;
    let privileges = reader.privileges().await.unwrap();
    assert!(privileges.login.starts_with("reader_") && privileges.read_only(), "{privileges:?}");
    // Every login may connect to every database unless somebody says otherwise.
    assert_eq!(codes(&privileges), [WarningCode::SeesOthers]);
    assert!(privileges.warnings[0].detail.contains("revoke connect on database"), "{privileges:?}");
}

#[tokio::test]
async fn every_right_beyond_reading_is_told_with_what_to_do_about_it() {
    use WarningCode::*;
    let setup = "create table t (a int, b int); create view v as select a from t; create sequence s; create schema crm";
    for (grants, code, says) in [
        ("alter role ROLE superuser", Superuser, "no permission is checked"),
        ("alter role ROLE createrole", ManagesLogins, "other logins"),
        ("alter role ROLE createdb", Creates, "create databases"),
        ("alter role ROLE replication", ReadsFiles, "by replication"),
        ("grant pg_read_server_files to ROLE", ReadsFiles, "pg_read_server_files"),
        ("grant pg_write_server_files to ROLE", WritesFiles, "write files"),
        ("grant pg_execute_server_program to ROLE", WritesFiles, "run programs"),
        ("grant pg_write_all_data to ROLE", Writes, "every table"),
        ("grant pg_signal_backend to ROLE", ManagesLogins, "stop what"),
        ("grant execute on function lo_import(text) to ROLE", ReadsFiles, "lo_import"),
        ("grant execute on function pg_read_file(text) to ROLE", ReadsFiles, "pg_read_file"),
        ("grant insert on t to ROLE", Writes, "the table public.t"),
        ("grant insert on t to public", Writes, "the table public.t"),
        ("grant update (b) on t to ROLE", Writes, "the table public.t"),
        ("grant delete on v to ROLE", Writes, "the table public.v"),
        ("grant truncate on t, v to ROLE", Writes, "2 tables, one of them public.t"),
        ("grant usage on sequence s to ROLE", Writes, "the sequence public.s"),
        ("grant trigger on t to ROLE", Creates, "triggers"),
        ("grant create on schema crm to ROLE", Creates, "in the schema crm"),
        ("grant create on schema public to public", Creates, "revoke create on schema public from public"),
        ("grant create on database DATABASE to ROLE", Creates, "create schemas"),
        ("alter table t owner to ROLE", Creates, "owns the table public.t"),
        ("alter database DATABASE owner to ROLE", Creates, "owns the database"),
        (
            "create role ROLE_writer; grant insert on t to ROLE_writer; grant ROLE_writer to ROLE with inherit false",
            Writes,
            "the table public.t",
        ),
    ] {
        let database = Database::new(setup).await;
        let privileges = login(&database, grants).await.privileges().await.unwrap();
        assert!(!privileges.read_only(), "{grants}: {privileges:?}");
        let warned = |warning: &Warning| warning.code == code && warning.detail.contains(says);
        assert!(privileges.warnings.iter().any(warned), "{grants}: {privileges:?}");
    }
    for (grants, says) in [
        ("alter role ROLE bypassrls", "row-level security"),
        ("grant pg_read_all_data to ROLE", "every table"),
        ("grant pg_monitor to ROLE", "what other logins run"),
    ] {
        let database = Database::new(setup).await;
        let privileges = login(&database, grants).await.privileges().await.unwrap();
        assert!(privileges.read_only(), "{grants}: {privileges:?}");
        assert!(privileges.warnings.iter().any(|warning| warning.detail.contains(says)), "{grants}: {privileges:?}");
    }
}

#[tokio::test]
async fn a_superuser_is_told_so_and_nothing_else() {
    let privileges = Database::new("create table t (a int)").await.engine.privileges().await.unwrap();
    assert_eq!((privileges.login.as_str(), codes(&privileges)), (SUPERUSER, vec![WarningCode::Superuser]));
    let detail = &privileges.warnings[0].detail;
    assert!(detail.contains("create role") && detail.contains("grant select on all tables"), "{detail}");
}
