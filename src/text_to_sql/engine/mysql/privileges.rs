//! What a login could do beyond reading, from its own grants and those of its roles, active or not: `set role` takes any
//! of them on.
//!
//! The server's own words are read (`show grants`), which every login may ask for, and only privileges and objects are
//! taken from them: MariaDB's also hold the hash of the password.

use std::collections::BTreeMap;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::Privileges;
use super::sessions::is_mariadb;
use crate::text_to_sql::engine::{Warning, WarningCode};
use crate::text_to_sql::run::mysql::text;

pub(super) async fn privileges(connection: &mut MySqlConnection, database: &str) -> Result<Privileges, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(LOGIN)).await?;
    let mariadb = is_mariadb(&text(&row, 1).unwrap_or_default());
    let mut found = Found::default();
    let mut lines = grants(connection, "show grants".into()).await?;
    let roles: Vec<String> = lines.iter().flat_map(|line| roles(line)).map(str::to_owned).collect();
    if mariadb {
        // One at a time; the session ends with this use.
        for role in roles {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("set role {role}")))).await?;
            lines.extend(grants(connection, "show grants".into()).await?);
        }
    } else if !roles.is_empty() {
        lines.extend(grants(connection, format!("show grants for current_user() using {}", roles.join(", "))).await?);
    }
    for grant in lines.iter().filter_map(|line| Grant::parse(line)) {
        found.take(&grant, Files::of(mariadb, text(&row, 2).as_deref()));
    }
    for row in connection.fetch_all(sqlx::raw_sql(OTHERS)).await? {
        found.note(WarningCode::SeesOthers, format!("the database {}", text(&row, 0).unwrap_or_default()));
    }
    Ok(Privileges { login: text(&row, 0).unwrap_or_default(), warnings: found.warnings(database) })
}

const LOGIN: &str = "select current_user(), version(), @@secure_file_priv";

const OTHERS: &str = "
    select schema_name
    from information_schema.schemata
    -- these two show everybody what they may know anyway
    where schema_name not in ('information_schema', 'performance_schema')
      and schema_name <> database()
    order by schema_name";

async fn grants(connection: &mut MySqlConnection, show: String) -> Result<Vec<String>, sqlx::Error> {
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(show))).await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// The roles of a line that grants some, ``GRANT `a`@`%`,`b`@`%` TO …``, as the server itself quotes them.
fn roles(line: &str) -> Vec<&str> {
    let granted = line.strip_prefix("GRANT ").filter(|rest| split_plain(rest, " ON ").is_none());
    granted.and_then(|rest| split_plain(rest, " TO ")).map_or(Vec::new(), |(roles, _)| listed_names(roles))
}

fn listed_names(mut list: &str) -> Vec<&str> {
    let mut names = Vec::new();
    while let Some((first, rest)) = split_plain(list, ",") {
        names.push(first.trim());
        list = rest;
    }
    names.push(list.trim());
    names
}

/// One line of `show grants`: `GRANT SELECT, UPDATE (a) ON db.t TO … WITH GRANT OPTION`.
#[derive(Debug, PartialEq)]
struct Grant {
    privileges: Vec<String>,
    /// As the server writes it: `*.*`, `` `shop`.* ``.
    object: String,
    passes_on: bool,
}

impl Grant {
    /// A role that is granted has no object, and is no privilege by itself.
    fn parse(line: &str) -> Option<Self> {
        let (list, rest) = split_plain(line.strip_prefix("GRANT ")?, " ON ")?;
        let (object, to) = split_plain(rest, " TO ")?;
        // The columns that a privilege is limited to stand behind it.
        let privilege = |text: &str| text.split('(').next().unwrap_or_default().trim().to_uppercase();
        let privileges = listed_names(list).into_iter().map(privilege).collect();
        Some(Self { privileges, object: object.to_owned(), passes_on: to.ends_with("WITH GRANT OPTION") })
    }

    fn is_global(&self) -> bool {
        self.object == "*.*"
    }
}

/// Splits at the first `at` that stands outside of quotes and parentheses.
fn split_plain<'a>(text: &'a str, at: &str) -> Option<(&'a str, &'a str)> {
    let (mut quote, mut depth) = (None, 0_usize);
    for (place, char) in text.char_indices() {
        match (quote, char) {
            (None, _) if depth == 0 && text[place..].starts_with(at) => {
                return Some((&text[..place], &text[place + at.len()..]));
            }
            (None, '`' | '\'' | '"') => quote = Some(char),
            (Some(open), char) if open == char => quote = None,
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            _ => (),
        }
    }
    None
}

/// Where the privilege FILE reaches.
#[derive(Clone, Copy, PartialEq)]
enum Files {
    Anywhere,
    OneFolder,
    Nowhere,
}

impl Files {
    /// Without the setting MariaDB forbids no folder; MySQL then forbids them all.
    /// <https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_secure_file_priv>
    fn of(mariadb: bool, secure_file_priv: Option<&str>) -> Self {
        match secure_file_priv {
            None if !mariadb => Self::Nowhere,
            None | Some("") => Self::Anywhere,
            Some(_) => Self::OneFolder,
        }
    }
}

/// By what it allows, the privileges that allow it.
#[derive(Default)]
struct Found(BTreeMap<WarningCode, Vec<String>>);

impl Found {
    fn note(&mut self, code: WarningCode, what: String) {
        let list = self.0.entry(code).or_default();
        if !list.contains(&what) {
            list.push(what);
        }
    }

    fn take(&mut self, grant: &Grant, files: Files) {
        for privilege in &grant.privileges {
            for code in codes(privilege, grant, files) {
                self.note(code, format!("{privilege} on {}", grant.object));
            }
        }
        if grant.passes_on {
            self.note(WarningCode::ManagesLogins, format!("GRANT OPTION on {}", grant.object));
        }
    }

    fn warnings(self, database: &str) -> Vec<Warning> {
        let remedy = remedy(database);
        let warning = |(code, found): (WarningCode, Vec<String>)| {
            let what = listed(&found);
            let sentence = match code {
                WarningCode::Superuser => format!("The login administers the server ({what})"),
                WarningCode::Writes => format!("The login can change rows ({what})"),
                WarningCode::Creates => format!("The login can create, change or drop what holds the data ({what})"),
                WarningCode::ManagesLogins => {
                    format!("The login can make other logins or give rights to them ({what})")
                }
                WarningCode::ReadsFiles => format!("The login can read files of the server's machine ({what})"),
                WarningCode::WritesFiles => format!("The login can write files on the server's machine ({what})"),
                WarningCode::SeesOthers => format!("The login sees more than this database ({what})"),
            };
            Warning { code, detail: format!("{sentence}; use one that may only read: {remedy}") }
        };
        self.0.into_iter().map(warning).collect()
    }
}

/// What a privilege allows beyond reading this database.
/// <https://dev.mysql.com/doc/refman/8.4/en/privileges-provided.html>, <https://mariadb.com/kb/en/grant/>
fn codes(privilege: &str, grant: &Grant, files: Files) -> Vec<WarningCode> {
    use WarningCode::{Creates, ManagesLogins, ReadsFiles, SeesOthers, Superuser, Writes, WritesFiles};
    match privilege {
        "ALL PRIVILEGES" | "ALL" if grant.is_global() => {
            let mut all = vec![Superuser, Writes, Creates, ManagesLogins, SeesOthers];
            all.extend(codes("FILE", grant, files));
            all
        }
        "ALL PRIVILEGES" | "ALL" => vec![Writes, Creates],
        "SUPER" | "SYSTEM_USER" | "SHUTDOWN" => vec![Superuser],
        "INSERT" | "UPDATE" | "DELETE" | "DELETE HISTORY" | "BINLOG REPLAY" | "REPLICATION_APPLIER" => vec![Writes],
        "ALTER"
        | "ALTER ROUTINE"
        | "CREATE"
        | "CREATE ROUTINE"
        | "CREATE TABLESPACE"
        | "CREATE TEMPORARY TABLES"
        | "CREATE VIEW"
        | "DROP"
        | "EVENT"
        | "INDEX"
        | "TRIGGER" => vec![Creates],
        "CREATE ROLE" | "CREATE USER" | "DROP ROLE" | "PROXY" | "ROLE_ADMIN" | "SET USER" | "SET_ANY_DEFINER"
        | "SET_USER_ID" => vec![ManagesLogins],
        "GRANT OPTION" => vec![ManagesLogins],
        "FILE" if files != Files::Nowhere => vec![ReadsFiles, WritesFiles],
        // Who follows the log of changes reads every database.
        "PROCESS" | "REPLICATION SLAVE" => vec![SeesOthers],
        "SELECT" if grant.is_global() => vec![SeesOthers],
        // `CONNECTION_ADMIN` of MySQL, `CONNECTION ADMIN` of MariaDB, and two dozen more.
        admin if admin.ends_with("ADMIN") => vec![Superuser],
        _ => Vec::new(),
    }
}

/// Some of a long list tell enough.
const LISTED: usize = 5;

fn listed(found: &[String]) -> String {
    let mut text = found.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if found.len() > LISTED {
        text.push_str(", …");
    }
    text
}

/// With the right to see what is in a view, without which the server does not say what a statement over it will take.
/// `_` and `%` stand for other characters in the name of a database that is granted.
fn remedy(database: &str) -> String {
    let name = database.replace('`', "``").replace('_', "\\_").replace('%', "\\%");
    format!("create user 'almanac'@'%' identified by '…'; grant select, show view on `{name}`.* to 'almanac'@'%'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(grants: &[&str], files: Files) -> Vec<WarningCode> {
        let mut found = Found::default();
        for grant in grants.iter().filter_map(|line| Grant::parse(line)) {
            found.take(&grant, files);
        }
        found.warnings("shop").into_iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn a_line_is_read_around_its_quotes_and_columns() {
        let grant =
            Grant::parse("GRANT SELECT (`a ON b`, `c)`), UPDATE (`d`) ON `my TO db`.`t` TO `u`@`%` WITH GRANT OPTION");
        let expected = Grant {
            privileges: vec!["SELECT".into(), "UPDATE".into()],
            object: "`my TO db`.`t`".into(),
            passes_on: true,
        };
        assert_eq!(grant, Some(expected));
        assert_eq!(Grant::parse("GRANT `r`@`%` TO `u`@`%`"), None);
        assert_eq!(Grant::parse("SET DEFAULT ROLE `r` FOR `u`"), None);
    }

    #[test]
    fn the_roles_of_a_login_are_found_as_the_server_quotes_them() {
        assert_eq!(roles("GRANT `a ON b`@`%`,`c,d`@`%` TO `u`@`%` WITH ADMIN OPTION"), ["`a ON b`@`%`", "`c,d`@`%`"]);
        assert_eq!(roles("GRANT `writer` TO `u`@`%`"), ["`writer`"]);
        for line in ["GRANT SELECT ON *.* TO `u`@`%`", "SET DEFAULT ROLE `r` FOR `u`", ""] {
            assert_eq!(roles(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn who_may_only_select_is_read_only() {
        let grants = ["GRANT USAGE ON *.* TO `u`@`%`", "GRANT SELECT, SHOW VIEW, EXECUTE ON `shop`.* TO `u`@`%`"];
        assert_eq!(warnings(&grants, Files::Anywhere), []);
    }

    #[test]
    fn each_right_beyond_reading_is_named() {
        use WarningCode::{Creates, ManagesLogins, ReadsFiles, SeesOthers, Superuser, Writes, WritesFiles};
        let of = |grant: &str| warnings(&[&format!("GRANT {grant} TO `u`@`%`")], Files::Anywhere);
        assert_eq!(of("SELECT, INSERT ON `shop`.*"), [Writes]);
        assert_eq!(of("CREATE TEMPORARY TABLES ON `shop`.*"), [Creates]);
        assert_eq!(of("ALL PRIVILEGES ON `shop`.*"), [Writes, Creates]);
        assert_eq!(of("FILE, PROCESS ON *.*"), [ReadsFiles, WritesFiles, SeesOthers]);
        assert_eq!(of("REPLICATION SLAVE, REPLICATION CLIENT ON *.*"), [SeesOthers]);
        assert_eq!(of("BACKUP_ADMIN,REPLICATION_APPLIER ON *.*"), [Superuser, Writes]);
        assert_eq!(of("READ_ONLY ADMIN, BINLOG MONITOR ON *.*"), [Superuser]);
        assert_eq!(of("ROLE_ADMIN,SYSTEM_VARIABLES_ADMIN ON *.*"), [Superuser, ManagesLogins]);
        let all = [Superuser, Writes, Creates, ManagesLogins, ReadsFiles, WritesFiles, SeesOthers];
        assert_eq!(of("ALL PRIVILEGES ON *.*"), all);
    }

    #[test]
    fn files_are_out_of_reach_where_the_server_says_so() {
        assert_eq!(warnings(&["GRANT FILE ON *.* TO `u`@`%`"], Files::of(false, None)), []);
        assert!(Files::of(true, None) == Files::Anywhere && Files::of(false, Some("")) == Files::Anywhere);
        assert!(Files::of(false, Some("/var/lib/mysql-files/")) == Files::OneFolder);
    }

    #[test]
    fn the_remedy_grants_this_database_and_no_other() {
        assert!(remedy("my_shop").contains(r"`my\_shop`.*"));
    }
}
