//! What a SQLite connection may do, set on the raw handle because the driver has no words for it.
//!
//! An authorizer allows reading the tables of the file, the JSON table functions, and a list of functions without side
//! effects; everything else (writing, attaching, pragmas, the schema table, extensions) is refused while a statement
//! is compiled. Limits bound what a statement may build. <https://www.sqlite.org/security.html>
#![expect(unsafe_code, reason = "sqlite3_set_authorizer, sqlite3_limit and sqlite3_prepare have no safe face in sqlx")]

use std::collections::HashSet;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Once;

use libsqlite3_sys as ffi;
use sqlx::sqlite::LockedSqliteHandle;

/// A statement as SQLite compiled it.
pub(super) struct Compiled {
    /// Names and declared types; an expression has no declared type.
    pub columns: Vec<(String, Option<String>)>,
}

/// Why a statement was not compiled: SQLite's result code and its words.
#[derive(Debug)]
pub(super) struct Refusal {
    pub code: c_int,
    pub message: String,
}

/// Lets the connection read `tables` and nothing else, for as long as it lives.
pub(super) fn confine(handle: &mut LockedSqliteHandle<'_>, tables: HashSet<String>) -> Result<(), Refusal> {
    bound_memory();
    limit(handle);
    configure(handle)?;
    authorize(handle, tables)
}

/// Compiles a text that must be exactly one statement that reads, and throws the program away.
pub(super) fn compile(handle: &mut LockedSqliteHandle<'_>, sql: &str) -> Result<Compiled, Refusal> {
    let db = handle.as_raw_handle().as_ptr();
    let length = c_int::try_from(sql.len()).map_err(|_| refusal(ffi::SQLITE_TOOBIG, "the statement is too long"))?;
    let (mut statement, mut tail) = (ptr::null_mut(), ptr::null());
    // SAFETY: `db` is open and ours while the handle is locked; `sql` is `length` readable bytes and outlives the call;
    // both out-pointers are valid.
    let code = unsafe { ffi::sqlite3_prepare_v2(db, sql.as_ptr().cast(), length, &mut statement, &mut tail) };
    if code != ffi::SQLITE_OK {
        return Err(last_error(handle, code));
    }
    let statement = Statement(statement);
    // SAFETY: on success SQLite leaves `tail` inside `sql` or at its end.
    let rest =
        usize::try_from(unsafe { tail.offset_from(sql.as_ptr().cast()) }).ok().and_then(|at| sql.as_bytes().get(at..));
    if statement.0.is_null() || rest.is_none_or(|rest| !rest.trim_ascii().is_empty()) || !statement.reads_only() {
        return Err(refusal(ffi::SQLITE_AUTH, "only one statement that reads is allowed"));
    }
    Ok(Compiled { columns: statement.columns() })
}

/// A compiled program, thrown away on drop.
struct Statement(*mut ffi::sqlite3_stmt);

impl Statement {
    fn reads_only(&self) -> bool {
        // SAFETY: the program is not null here, and lives until drop.
        unsafe { ffi::sqlite3_stmt_readonly(self.0) != 0 }
    }

    fn columns(&self) -> Vec<(String, Option<String>)> {
        // SAFETY: as above; the texts belong to the program, indexes stay below its column count, and `text` copies.
        unsafe {
            let column = |index| {
                let name = text(ffi::sqlite3_column_name(self.0, index)).unwrap_or_default();
                (name, text(ffi::sqlite3_column_decltype(self.0, index)))
            };
            (0..ffi::sqlite3_column_count(self.0)).map(column).collect()
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: made by `sqlite3_prepare_v2` and not finalised before; null is allowed.
        unsafe { ffi::sqlite3_finalize(self.0) };
    }
}

/// All of SQLite in this process, which serves nothing but users' files: enough for many large sorts, little enough
/// that no statement can starve the server.
const MEMORY: i64 = 1 << 30;

fn bound_memory() {
    static ONCE: Once = Once::new();
    // SAFETY: takes a number; documented as safe to call at any time.
    ONCE.call_once(|| unsafe {
        ffi::sqlite3_hard_heap_limit64(MEMORY);
    });
}

/// <https://www.sqlite.org/c3ref/c_limit_attached.html>, each below what honest statements need several times over.
const LIMITS: [(c_int, c_int); 11] = [
    (ffi::SQLITE_LIMIT_LENGTH, 32 << 20),
    (ffi::SQLITE_LIMIT_SQL_LENGTH, 128 << 10),
    (ffi::SQLITE_LIMIT_EXPR_DEPTH, 500),
    (ffi::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (ffi::SQLITE_LIMIT_VDBE_OP, 100_000),
    (ffi::SQLITE_LIMIT_FUNCTION_ARG, 100),
    (ffi::SQLITE_LIMIT_ATTACHED, 0),
    (ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
    (ffi::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
    (ffi::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (ffi::SQLITE_LIMIT_WORKER_THREADS, 0),
];

fn limit(handle: &mut LockedSqliteHandle<'_>) {
    let db = handle.as_raw_handle().as_ptr();
    for (what, most) in LIMITS {
        // SAFETY: `db` is open and ours while the handle is locked; the rest are numbers.
        unsafe { ffi::sqlite3_limit(db, what, most) };
    }
}

/// <https://www.sqlite.org/c3ref/c_dbconfig_defensive.html>
const SWITCHES: [(c_int, c_int); 6] = [
    (ffi::SQLITE_DBCONFIG_DEFENSIVE, 1),
    (ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
    (ffi::SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    (ffi::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0),
    (ffi::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, 0),
    (ffi::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, 0),
];

fn configure(handle: &mut LockedSqliteHandle<'_>) -> Result<(), Refusal> {
    let db = handle.as_raw_handle().as_ptr();
    for (switch, on) in SWITCHES {
        // SAFETY: `db` is open and ours; each of these switches takes an int and a pointer to int that may be null.
        let code = unsafe { ffi::sqlite3_db_config(db, switch, on, ptr::null_mut::<c_int>()) };
        if code != ffi::SQLITE_OK {
            return Err(refusal(code, "SQLite lacks a protection that this build relies on"));
        }
    }
    Ok(())
}

/// What the authorizer knows; owned by the connection.
struct Rules {
    /// In lower case, as SQLite compares names.
    tables: HashSet<String>,
}

fn authorize(handle: &mut LockedSqliteHandle<'_>, tables: HashSet<String>) -> Result<(), Refusal> {
    let db = handle.as_raw_handle().as_ptr();
    let rules: *mut c_void = Box::into_raw(Box::new(Rules { tables })).cast();
    // SAFETY: `db` is open and ours. SQLite takes over `rules`, whatever the result, and gives it to `free_rules` when
    // the connection is closed, after the last statement and with it the last call of the authorizer.
    let code = unsafe {
        match ffi::sqlite3_set_clientdata(db, c"almanac".as_ptr(), rules, Some(free_rules)) {
            ffi::SQLITE_OK => ffi::sqlite3_set_authorizer(db, Some(authorizer), rules),
            code => code,
        }
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(last_error(handle, code)),
    }
}

unsafe extern "C" fn free_rules(rules: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `authorize`; SQLite calls this once.
    drop(unsafe { Box::from_raw(rules.cast::<Rules>()) });
}

/// <https://www.sqlite.org/c3ref/c_alter_table.html> lists the actions and what the arguments mean for each.
unsafe extern "C" fn authorizer(
    rules: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _database: *const c_char,
    _inner: *const c_char,
) -> c_int {
    // SAFETY: `rules` lives as long as the connection; SQLite passes null or a C string.
    let (rules, first, second) = unsafe { (&*rules.cast::<Rules>(), text(first), text(second)) };
    let allowed = match action {
        ffi::SQLITE_SELECT | ffi::SQLITE_RECURSIVE => true,
        ffi::SQLITE_READ => first.zip(second).is_some_and(|(table, column)| rules.may_read(&table, &column)),
        ffi::SQLITE_FUNCTION => second.is_some_and(|name| is_harmless(&name)),
        // FTS5 asks whether somebody wrote to the file meanwhile.
        ffi::SQLITE_PRAGMA => first.as_deref() == Some("data_version") && second.is_none(),
        _ => false,
    };
    if allowed { ffi::SQLITE_OK } else { ffi::SQLITE_DENY }
}

impl Rules {
    fn may_read(&self, table: &str, column: &str) -> bool {
        let table = table.to_lowercase();
        // Without a column it may be the name of a common table expression whose rows are only counted.
        let counted = column.is_empty() && !["sqlite_", "pragma_"].iter().any(|prefix| table.starts_with(prefix));
        counted || table == "json_each" || table == "json_tree" || self.tables.contains(&table)
    }
}

/// Functions of this SQLite that have no side effect and reveal nothing of the process. A second net under the guard's
/// own list, so it is wide.
const FUNCTIONS: &str = "
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling char coalesce concat concat_ws cos cosh count
    cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format
    glob group_concat hex highlight if ifnull iif instr json json_array json_array_length json_extract json_group_array
    json_group_object json_object json_patch json_pretty json_quote json_type json_valid julianday lag last_value lead
    length like likelihood likely ln log log10 log2 lower ltrim max median min mod nth_value ntile nullif octet_length
    percent_rank percentile percentile_cont percentile_disc pi pow power printf quote radians random rank replace round
    row_number rtrim sign sin sinh snippet soundex sqrt strftime string_agg substr substring sum tan tanh time timediff
    total trim trunc typeof unhex unicode unixepoch unlikely upper match";

fn is_harmless(function: &str) -> bool {
    FUNCTIONS.split_ascii_whitespace().any(|name| name.eq_ignore_ascii_case(function))
}

fn last_error(handle: &mut LockedSqliteHandle<'_>, code: c_int) -> Refusal {
    let db = handle.as_raw_handle().as_ptr();
    // SAFETY: `db` is open and ours; the text is copied before anything else is done with the connection.
    refusal(code, &unsafe { text(ffi::sqlite3_errmsg(db)) }.unwrap_or_default())
}

fn refusal(code: c_int, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

/// # Safety
/// `text` is null or a C string that does not change during the call.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
