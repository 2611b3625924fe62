//! Keeps in the store what a request's [`Journal`] is told, also after the request's client has left.

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::App;
use crate::{
    store::{
        StoreError,
        audit_logs::{AuditEnd, NewAuditLog},
    },
    text_to_sql::{
        guard::ViolationCode,
        journal::{Action, Decision, Ending, Entry, Journal},
    },
};

/// Who asks what.
#[derive(Debug, Clone)]
pub struct Asked {
    pub workspace_id: Uuid,
    pub key_id: Uuid,
    pub database_id: Uuid,
    pub request_id: String,
}

/// The guard takes no longer text, so nothing longer ever runs.
const SQL_SENT: usize = 64 << 10;

/// A journal for one request. It is kept until the last copy of it is gone and all is written.
pub fn journal(app: &App, asked: Asked) -> Journal {
    let (journal, entries) = Journal::new();
    tokio::spawn(keep(app.clone(), asked, entries));
    journal
}

async fn keep(app: App, asked: Asked, mut entries: mpsc::UnboundedReceiver<Entry>) {
    while let Some(entry) = entries.recv().await {
        let kept = match entry {
            Entry::Decided(decision, answer) => record(&app, &asked, &decision).await.map(|()| {
                // Who asked may have left.
                let _ = answer.send(());
            }),
            Entry::Ended(id, ending) => {
                app.store.complete_decision(asked.workspace_id, (id.id, id.at), &end(&ending)).await
            }
        };
        if let Err(error) = kept {
            tracing::error!(database = %asked.database_id, request_id = asked.request_id, %error, "a decision could not be written to the audit log");
        }
    }
}

async fn record(app: &App, asked: &Asked, decision: &Decision) -> Result<(), StoreError> {
    let sql = decision.sql.as_deref();
    let sha256 = sql.map(|sql| hex::encode(Sha256::digest(sql)));
    // PostgreSQL keeps no NUL.
    let sent = decision.sql_sent[..decision.sql_sent.floor_char_boundary(SQL_SENT)].replace('\0', "\u{fffd}");
    let violations: Vec<String> = decision.violations.iter().map(|code| code.name()).collect();
    let log = NewAuditLog {
        id: decision.id.id,
        at: decision.id.at,
        key_id: asked.key_id,
        database_id: asked.database_id,
        query_id: decision.query_id,
        request_id: &asked.request_id,
        action: name(decision.action),
        sql_sent: &sent,
        sql,
        sql_sha256: sha256.as_deref(),
        violations: &violations,
        tables: &decision.tables,
        complete: !decision.runs,
    };
    app.store.record_decision(asked.workspace_id, &log).await
}

fn end(ending: &Ending) -> AuditEnd {
    AuditEnd {
        violations: ending.violation.map(ViolationCode::name).into_iter().collect(),
        estimated_rows: ending.estimate.map(|estimate| estimate.rows),
        estimated_cost: ending.estimate.and_then(|estimate| estimate.cost),
        row_count: ending.rows.and_then(|(rows, _)| i64::try_from(rows).ok()),
        truncated: ending.rows.map(|(_, truncated)| truncated),
        duration_ms: ending.took.as_secs_f64() * 1e3,
        error_code: ending.error_code.map(str::to_owned),
    }
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Validate => "validate",
        Action::Execute => "execute",
        Action::Ask => "ask",
        Action::Candidate => "candidate",
    }
}
