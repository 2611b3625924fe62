//! What a PostgreSQL login could do if nothing of ours stood in its way, read from the catalog in one statement.
//!
//! Counted is what the login has by itself, by any role it is a member of (it may take that role on), and by `public`.
//! Left out: temporary tables and large objects, which every login may make, what `security definer` functions do for
//! others, and rights that somebody gave on the system's own tables.
//! <https://www.postgresql.org/docs/current/ddl-priv.html>, <https://www.postgresql.org/docs/current/predefined-roles.html>

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::text_to_sql::engine::{Privileges, Warning, WarningCode};

/// Asks in the transaction that the session is in.
pub(super) async fn privileges(connection: &mut PgConnection) -> Result<Privileges, sqlx::Error> {
    let rows = sqlx::query(FINDINGS).persistent(false).fetch_all(connection).await?;
    let findings = rows.iter().map(Finding::read).collect::<Result<Vec<_>, _>>()?;
    let login = findings.first().map(|finding| finding.login.clone()).unwrap_or_default();
    let superuser = findings.iter().any(|finding| finding.what == "superuser");
    // Everything else follows from it, and would only hide it.
    let told = findings.iter().filter(|finding| !superuser || finding.what == "superuser");
    Ok(Privileges { login, warnings: told.filter_map(Finding::warning).collect() })
}

/// A line for each thing that is true of the login: what, of how many objects, and one of them. The first line only
/// names the login.
const FINDINGS: &str = "
    with
    -- 'member' and not 'usage': a role that is not inherited can still be taken on
    mine as (
        select r.*
        from pg_roles r
        where pg_has_role(session_user, r.oid, 'member')
    ),
    acl as (
        select case when c.relkind = 'S' then 'sequence' else 'table' end as kind,
               format('%I.%I', n.nspname, c.relname) as name,
               a.grantee, a.privilege_type as privilege
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        cross join aclexplode(coalesce(c.relacl,
                                       acldefault(case when c.relkind = 'S' then 's' else 'r' end::\"char\", c.relowner))) a
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
          and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        union all
        select 'table', format('%I.%I', n.nspname, c.relname), a.grantee, a.privilege_type
        from pg_attribute t
        join pg_class c on c.oid = t.attrelid
        join pg_namespace n on n.oid = c.relnamespace
        cross join aclexplode(t.attacl) a
        where t.attacl is not null
          and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        union all
        select 'schema', format('%I', n.nspname), a.grantee, a.privilege_type
        from pg_namespace n
        cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
        where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        union all
        select 'database', format('%I', d.datname), a.grantee, a.privilege_type
        from pg_database d
        cross join aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        where d.datname = current_database()
    ),
    granted as (
        select kind, name, privilege
        from acl
        -- grantee 0 is public
        where grantee = 0 or grantee in (select oid from mine)
    ),
    findings (what, name) as (
        select 'login'::text, null::text
        union all select 'superuser', rolname from mine where rolsuper
        union all select 'bypassrls', rolname from mine where rolbypassrls
        union all select 'createrole', rolname from mine where rolcreaterole
        union all select 'createdb', rolname from mine where rolcreatedb
        union all select 'replication', rolname from mine where rolreplication
        union all select rolname, rolname from mine where rolname ~ '^pg_'
        union all select 'write', name from granted
                  where kind = 'table' and privilege in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
        union all select 'sequence', name from granted where kind = 'sequence' and privilege in ('USAGE', 'UPDATE')
        union all select 'trigger', name from granted where kind = 'table' and privilege = 'TRIGGER'
        union all select 'create schema', name from granted where kind = 'database' and privilege = 'CREATE'
        union all select 'create table', name from granted where kind = 'schema' and privilege = 'CREATE'
        union all select 'own', format('%I.%I', n.nspname, c.relname)
                  from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where c.relowner in (select oid from mine)
                    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        union all select 'own database', format('%I', datname) from pg_database
                  where datname = current_database() and datdba in (select oid from mine)
        -- what reads and writes files, where somebody gave the right to call it
        union all select proname::text, proname from pg_proc
                  where pronamespace = 'pg_catalog'::regnamespace
                    and proname in ('pg_read_file', 'pg_read_binary_file', 'pg_ls_dir', 'lo_import', 'lo_export')
                    and has_function_privilege(session_user, oid, 'execute')
        union all select 'connect', format('%I', datname) from pg_database
                  where datallowconn and not datistemplate and datname <> current_database()
                    and has_database_privilege(session_user, oid, 'connect')
    )
    select session_user::text, format('%I', session_user), format('%I', current_database()),
           what::text, count(distinct name), min(name)::text
    from findings
    group by what
    order by what <> 'login', what";

struct Finding {
    login: String,
    /// The login and the database as identifiers.
    role: String,
    database: String,
    what: String,
    count: i64,
    example: String,
}

impl Finding {
    fn read(row: &PgRow) -> Result<Finding, sqlx::Error> {
        Ok(Finding {
            login: row.try_get(0)?,
            role: row.try_get(1)?,
            database: row.try_get(2)?,
            what: row.try_get(3)?,
            count: row.try_get(4)?,
            example: row.try_get::<Option<_>, _>(5)?.unwrap_or_default(),
        })
    }

    fn warning(&self) -> Option<Warning> {
        let (code, can) = self.can()?;
        let detail = format!("The login {} {can}. {}", self.role, self.remedy(code));
        Some(Warning { code, detail })
    }

    /// What the login can do, after "The login …".
    fn can(&self) -> Option<(WarningCode, String)> {
        use WarningCode::*;
        let by_role = |can: &str| format!("{can}, by the role {}", self.example);
        let on_tables = |can: &str, what: &str| format!("{can} {}", self.counted(what));
        Some(match self.what.as_str() {
            "superuser" => (Superuser, by_role("is a superuser: no permission is checked for it")),
            "bypassrls" => (SeesOthers, by_role("sees rows that row-level security hides from others")),
            "createrole" | "pg_create_subscription" => (ManagesLogins, by_role("can create and change other logins")),
            "createdb" => (Creates, by_role("can create databases")),
            "replication" => (ReadsFiles, by_role("can copy the whole server by replication")),
            "pg_signal_backend" => (ManagesLogins, by_role("can stop what other logins run")),
            "pg_read_server_files" => (ReadsFiles, by_role("can read files of the server's machine")),
            "pg_write_server_files" => (WritesFiles, by_role("can write files of the server's machine")),
            "pg_execute_server_program" => (WritesFiles, by_role("can run programs on the server's machine")),
            "pg_write_all_data" => (Writes, by_role("can change every table")),
            "pg_maintain" => (Writes, by_role("can lock, rebuild and refresh every table")),
            "pg_read_all_data" => (SeesOthers, by_role("can read every table, also those made later")),
            "pg_monitor" | "pg_read_all_stats" | "pg_read_all_settings" => {
                (SeesOthers, by_role("sees what other logins run"))
            }
            "write" => (Writes, on_tables("can change the rows of", "table")),
            "sequence" => (Writes, on_tables("can advance", "sequence")),
            "trigger" => (Creates, on_tables("can put triggers on", "table")),
            "own" => (Creates, format!("owns {}, and can change or drop what it owns", self.counted("table"))),
            "own database" => (Creates, format!("owns the database {}", self.example)),
            "create schema" => (Creates, format!("can create schemas in the database {}", self.example)),
            "create table" => (Creates, on_tables("can create tables and functions in", "schema")),
            "lo_import" => (ReadsFiles, "may call lo_import, which reads files of the server's machine".to_owned()),
            "lo_export" => (WritesFiles, "may call lo_export, which writes files on the server's machine".to_owned()),
            name @ ("pg_read_file" | "pg_read_binary_file" | "pg_ls_dir") => {
                (ReadsFiles, format!("may call {name}, which reads files of the server's machine"))
            }
            "connect" => (SeesOthers, on_tables("can also connect to", "database")),
            _ => return None,
        })
    }

    fn counted(&self, what: &str) -> String {
        match self.count {
            1 => format!("the {what} {}", self.example),
            count => format!("{count} {what}s, one of them {}", self.example),
        }
    }

    fn remedy(&self, code: WarningCode) -> String {
        let Finding { role, database, example, .. } = self;
        match (code, self.what.as_str()) {
            (_, "connect") => format!("To keep it here: revoke connect on database {example} from public, {role}."),
            (WarningCode::Creates, "create table") => format!(
                "If that is everybody's right: revoke create on schema {example} from public. Else use {}",
                reader(database)
            ),
            _ => format!("Better use {}", reader(database)),
        }
    }
}

/// How to make a login that can do nothing but read.
fn reader(database: &str) -> String {
    format!(
        "a login made for reading: create role almanac_reader login password '…'; grant connect on database {database} \
         to almanac_reader; grant usage on schema public to almanac_reader; grant select on all tables in schema public \
         to almanac_reader."
    )
}
