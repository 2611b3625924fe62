//! What the login could do, by the server's own account of its rights and roles.
//!
//! Three questions: roles, which even a server that hides the rest answers; rights on the server and its programs, which
//! Azure SQL does not have; rights on the database, and whether any table can be written or procedure run.

use std::collections::BTreeSet;

use tiberius::error::Error;
use tiberius::{ColumnData, Row};

use super::failure::FATAL;
use super::sessions::Session;
use crate::text_to_sql::engine::{Privileges, Warning, WarningCode};

pub(super) async fn privileges(session: &mut Session) -> Result<Privileges, Error> {
    let roles = ask(session, ROLES).await?;
    let login = match roles.first().and_then(|row| row.get_column_data(0).ok()) {
        Some(ColumnData::String(Some(login))) => login.to_string(),
        _ => String::new(),
    };
    let mut rights = Rights { roles: names(&roles, 1), ..Rights::default() };
    rights.server = match ask(session, SERVER).await {
        Ok(rows) => names(&rows, 0),
        Err(Error::Server(said)) if said.class() < FATAL => BTreeSet::new(),
        Err(error) => return Err(error),
    };
    rights.database = names(&ask(session, DATABASE).await?, 0);
    Ok(Privileges { login, warnings: rights.warnings() })
}

const ROLES: &str = "
    select suser_sname(), role
    from (values ('sysadmin', is_srvrolemember('sysadmin')),
                 ('securityadmin', is_srvrolemember('securityadmin')),
                 ('db_owner', is_member('db_owner')),
                 ('db_datawriter', is_member('db_datawriter')),
                 ('db_ddladmin', is_member('db_ddladmin')),
                 ('db_securityadmin', is_member('db_securityadmin')),
                 ('db_accessadmin', is_member('db_accessadmin')),
                 ('', 1)) r (role, is_member)
    where is_member = 1";

const SERVER: &str = "
    select permission_name
    from sys.fn_my_permissions(null, 'SERVER')
    union all
    select 'xp_cmdshell'
    where has_perms_by_name('master.sys.xp_cmdshell', 'OBJECT', 'EXECUTE') = 1";

/// A right on one table, procedure or schema is not among those on the database. A procedure does what its owner may.
const DATABASE: &str = "
    select permission_name
    from sys.fn_my_permissions(null, 'DATABASE')
    union all
    select 'writes a table'
    where exists (select 1
                  from sys.objects o
                  join sys.schemas s on s.schema_id = o.schema_id
                  cross apply (select quotename(s.name) + '.' + quotename(o.name)) n (name)
                  where o.type in ('U', 'V')
                    and o.is_ms_shipped = 0
                    and 1 in (has_perms_by_name(n.name, 'OBJECT', 'INSERT'),
                              has_perms_by_name(n.name, 'OBJECT', 'UPDATE'),
                              has_perms_by_name(n.name, 'OBJECT', 'DELETE')))
    union all
    select 'runs a procedure'
    where exists (select 1
                  from sys.procedures p
                  join sys.schemas s on s.schema_id = p.schema_id
                  where p.is_ms_shipped = 0
                    and has_perms_by_name(quotename(s.name) + '.' + quotename(p.name), 'OBJECT', 'EXECUTE') = 1)
       or exists (select 1
                  from sys.schemas s
                  where s.name not in ('sys', 'INFORMATION_SCHEMA')
                    and has_perms_by_name(quotename(s.name), 'SCHEMA', 'EXECUTE') = 1)";

async fn ask(session: &mut Session, question: &str) -> Result<Vec<Row>, Error> {
    session.wire.meter.refill();
    session.connection.simple_query(question).await?.into_first_result().await
}

fn names(rows: &[Row], column: usize) -> BTreeSet<String> {
    let name = |row: &Row| match row.get_column_data(column) {
        Ok(ColumnData::String(Some(name))) => Some(name.to_string()),
        _ => None,
    };
    rows.iter().filter_map(name).collect()
}

/// By name, as the server calls them.
#[derive(Default)]
struct Rights {
    roles: BTreeSet<String>,
    server: BTreeSet<String>,
    database: BTreeSet<String>,
}

impl Rights {
    fn warnings(&self) -> Vec<Warning> {
        let warning =
            |(code, has, detail): (WarningCode, bool, &str)| has.then(|| Warning { code, detail: detail.into() });
        self.findings().into_iter().filter_map(warning).collect()
    }

    fn findings(&self) -> [(WarningCode, bool, &'static str); 7] {
        let superuser = self.roles.contains("sysadmin") || self.server.contains("CONTROL SERVER");
        let owner = superuser || self.roles.contains("db_owner") || self.database.contains("CONTROL");
        [
            (
                WarningCode::Superuser,
                superuser,
                "The login is a sysadmin: no permission holds for it. Make a login for reading, with \
                 alter role db_datareader add member.",
            ),
            (
                WarningCode::Writes,
                owner || self.writes(),
                "The login can change rows, itself or through procedures. Take it out of db_owner and db_datawriter, and \
                 revoke INSERT, UPDATE, DELETE and EXECUTE.",
            ),
            (
                WarningCode::Creates,
                owner || self.creates(),
                "The login can create or change objects. Take it out of db_ddladmin, and revoke its CREATE and ALTER \
                 permissions.",
            ),
            (
                WarningCode::ManagesLogins,
                owner || self.manages_logins(),
                "The login can change or impersonate users. Take it out of securityadmin, db_securityadmin and \
                 db_accessadmin, and revoke ALTER ANY LOGIN, USER and ROLE, and IMPERSONATE ANY LOGIN.",
            ),
            (
                WarningCode::ReadsFiles,
                superuser || self.has(&["ADMINISTER BULK OPERATIONS", "ADMINISTER DATABASE BULK OPERATIONS"]),
                "The login can read files of the server with OPENROWSET(BULK …). Revoke ADMINISTER BULK OPERATIONS, or \
                 take it out of bulkadmin.",
            ),
            (
                WarningCode::WritesFiles,
                owner || self.has(&["xp_cmdshell", "BACKUP DATABASE", "UNSAFE ASSEMBLY", "EXTERNAL ACCESS ASSEMBLY"]),
                "The login can write files of the server or run programs on it. Revoke EXECUTE on xp_cmdshell, BACKUP \
                 DATABASE, and the ASSEMBLY permissions.",
            ),
            (WarningCode::SeesOthers, superuser || self.sees_others(), SEES_OTHERS),
        ]
    }

    fn has(&self, rights: &[&str]) -> bool {
        rights.iter().any(|right| self.server.contains(*right) || self.database.contains(*right))
    }

    fn writes(&self) -> bool {
        self.roles.contains("db_datawriter")
            || self.has(&["INSERT", "UPDATE", "DELETE", "EXECUTE", "writes a table", "runs a procedure"])
    }

    fn creates(&self) -> bool {
        let makes = |right: &String| right.starts_with("CREATE ") || right.starts_with("ALTER");
        self.roles.contains("db_ddladmin") || self.database.iter().any(makes) || self.server.iter().any(makes)
    }

    fn manages_logins(&self) -> bool {
        let roles = ["securityadmin", "db_securityadmin", "db_accessadmin"];
        roles.iter().any(|role| self.roles.contains(*role))
            || self.has(&[
                "ALTER ANY LOGIN",
                "ALTER ANY SERVER ROLE",
                "ALTER ANY USER",
                "ALTER ANY ROLE",
                "ALTER ANY APPLICATION ROLE",
                "CREATE LOGIN",
                "CREATE USER",
                "IMPERSONATE ANY LOGIN",
            ])
    }

    fn sees_others(&self) -> bool {
        self.has(&[
            "VIEW SERVER STATE",
            "VIEW SERVER PERFORMANCE STATE",
            "VIEW SERVER SECURITY STATE",
            "CONNECT ANY DATABASE",
            "SELECT ALL USER SECURABLES",
        ])
    }
}

const SEES_OTHERS: &str = "The login sees what others run, or reads databases beside this one. Revoke VIEW SERVER STATE, \
                           CONNECT ANY DATABASE and SELECT ALL USER SECURABLES.";

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(roles: &[&str], server: &[&str], database: &[&str]) -> Vec<WarningCode> {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let rights = Rights { roles: set(roles), server: set(server), database: set(database) };
        rights.warnings().into_iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn what_everybody_may_is_no_reason_to_warn() {
        let database = ["CONNECT", "SELECT", "SHOWPLAN", "VIEW ANY COLUMN MASTER KEY DEFINITION"];
        assert_eq!(codes(&[""], &["CONNECT SQL", "VIEW ANY DATABASE"], &database), []);
    }

    #[test]
    fn each_right_beyond_reading_has_its_warning() {
        use WarningCode::*;
        assert_eq!(codes(&["sysadmin"], &[], &[]).len(), 7);
        assert_eq!(codes(&["db_owner"], &[], &[]), [Writes, Creates, ManagesLogins, WritesFiles]);
        assert_eq!(codes(&["db_datawriter"], &[], &[]), [Writes]);
        assert_eq!(codes(&["db_ddladmin"], &[], &[]), [Creates]);
        assert_eq!(codes(&["securityadmin"], &[], &[]), [ManagesLogins]);
        assert_eq!(codes(&[], &["ADMINISTER BULK OPERATIONS"], &[]), [ReadsFiles]);
        assert_eq!(codes(&[], &["xp_cmdshell"], &[]), [WritesFiles]);
        assert_eq!(codes(&[], &["VIEW SERVER STATE"], &[]), [SeesOthers]);
        assert_eq!(codes(&[], &[], &["EXECUTE"]), [Writes]);
        assert_eq!(codes(&[], &[], &["writes a table"]), [Writes]);
        assert_eq!(codes(&[], &[], &["runs a procedure"]), [Writes]);
        assert_eq!(codes(&[], &[], &["CREATE TABLE"]), [Creates]);
    }
}
