//! What was judged, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::statements::Statement;
use crate::cli::table::{self, line};
use crate::text_to_sql::guard::{ReadOnlySql, Violation};

pub struct Report {
    pub judged: Vec<Judged>,
}

pub struct Judged {
    pub file: String,
    pub statement: Statement,
    pub verdict: Result<ReadOnlySql, Vec<Violation>>,
}

/// How many of some statements were refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Count {
    refused: usize,
    total: usize,
}

/// More of a statement than fits beside its verdict is shown with --verbose.
const SHOWN: usize = 80;

impl Judged {
    pub fn is_refused(&self) -> bool {
        self.verdict.is_err()
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.statement.line)
    }

    fn verdict_line(&self) -> String {
        let sql = self.statement.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        match &self.verdict {
            Ok(_) => format!("{}: accepted: {}", self.place(), shortened(&sql)),
            Err(violations) => format!("{}: refused ({}): {}", self.place(), codes(violations), shortened(&sql)),
        }
    }

    fn details(&self) -> Vec<String> {
        match &self.verdict {
            Ok(passed) => vec![passed.text().to_owned()],
            Err(violations) => violations.iter().map(|it| format!("{}: {}", code(it), it.detail)).collect(),
        }
    }

    fn json(&self) -> Value {
        let mut judged = json!({
            "file": self.file,
            "line": self.statement.line,
            "category": self.statement.category,
            "sql": self.statement.sql,
            "accepted": !self.is_refused(),
        });
        match &self.verdict {
            Ok(passed) => {
                judged["text"] = passed.text().into();
                judged["tables"] = json!(passed.tables());
                judged["columns"] = json!(passed.columns());
            }
            Err(violations) => judged["violations"] = json!(violations),
        }
        judged
    }
}

impl Report {
    /// A line a statement, with its reasons if asked for, and what it comes to.
    pub fn print(&self, verbose: bool, expected_refused: Option<bool>) {
        for judged in &self.judged {
            line(&judged.verdict_line());
            if verbose {
                judged.details().iter().for_each(|detail| line(&format!("    {detail}")));
            }
        }
        line("");
        self.print_categories();
        let Count { refused, total } = self.count();
        line(&format!("{refused} of {} refused", statements(total)));
        let otherwise: Vec<String> =
            self.judged.iter().filter(|it| expected_refused == Some(!it.is_refused())).map(Judged::place).collect();
        if !otherwise.is_empty() {
            line(&format!("otherwise than expected: {}", otherwise.join(", ")));
        }
    }

    pub fn print_json(&self) {
        let statements: Vec<Value> = self.judged.iter().map(Judged::json).collect();
        let Count { refused, total } = self.count();
        let report =
            json!({ "statements": statements, "categories": self.categories(), "refused": refused, "total": total });
        line(&format!("{report:#}"));
    }

    fn print_categories(&self) {
        let rows: Vec<Vec<String>> = self
            .categories()
            .iter()
            .map(|(name, count)| vec![(*name).to_owned(), count.refused.to_string(), count.total.to_string()])
            .collect();
        if !rows.is_empty() {
            table::print(&["category", "refused", "total"], &rows);
            line("");
        }
    }

    fn categories(&self) -> BTreeMap<&str, Count> {
        let mut categories = BTreeMap::<&str, Count>::new();
        for judged in &self.judged {
            if let Some(category) = &judged.statement.category {
                categories.entry(category).or_default().add(judged);
            }
        }
        categories
    }

    fn count(&self) -> Count {
        let mut count = Count::default();
        self.judged.iter().for_each(|judged| count.add(judged));
        count
    }
}

impl Count {
    fn add(&mut self, judged: &Judged) {
        self.total += 1;
        self.refused += usize::from(judged.is_refused());
    }
}

fn statements(count: usize) -> String {
    if count == 1 { "1 statement".to_owned() } else { format!("{count} statements") }
}

fn shortened(sql: &str) -> String {
    match sql.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &sql[..end]),
        None => sql.to_owned(),
    }
}

/// Each code once, in the order of the violations.
fn codes(violations: &[Violation]) -> String {
    let mut codes: Vec<String> = Vec::new();
    for violation in violations {
        let code = code(violation);
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes.join(", ")
}

/// As the API spells it.
fn code(violation: &Violation) -> String {
    json!(violation.code).as_str().unwrap_or_default().to_owned()
}
