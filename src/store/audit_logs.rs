//! What was decided about every statement that was sent or made, and what came of it; kept in partitions by month.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Store, StoreError, Workspace};

/// A decision, as it is read.
#[derive(Debug, Clone, Serialize, FromRow, ToSchema)]
pub struct AuditLog {
    pub id: Uuid,
    pub key_id: Option<Uuid>,
    pub database_id: Uuid,
    pub query_id: Option<Uuid>,
    pub request_id: String,
    /// `validate`, `execute`, `ask`, or `candidate`: a draft that was run to tell choices apart.
    pub action: String,
    /// As it came, cut at 64 KiB.
    pub sql_sent: String,
    /// As it was allowed to run; null when it was refused.
    pub sql: Option<String>,
    /// SHA-256 of `sql`, in hex.
    pub sql_sha256: Option<String>,
    pub allowed: bool,
    /// Codes of the violations.
    pub violations: Vec<String>,
    /// Read by the statement, with their schemas.
    pub tables: Vec<String>,
    pub estimated_rows: Option<f64>,
    pub estimated_cost: Option<f64>,
    pub row_count: Option<i64>,
    pub truncated: Option<bool>,
    pub duration_ms: Option<f64>,
    /// Why the run failed; `cancelled` when its caller went away.
    pub error_code: Option<String>,
    pub created_at: DateTime<Utc>,
    /// Null: it runs, or the server ended while it ran.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A decision to be kept.
#[derive(Debug, Clone)]
pub struct NewAuditLog<'a> {
    pub id: Uuid,
    /// In whole microseconds: the end is written to the row of this time.
    pub at: DateTime<Utc>,
    pub key_id: Uuid,
    pub database_id: Uuid,
    pub query_id: Option<Uuid>,
    pub request_id: &'a str,
    pub action: &'a str,
    pub sql_sent: &'a str,
    pub sql: Option<&'a str>,
    pub sql_sha256: Option<&'a str>,
    pub violations: &'a [String],
    pub tables: &'a [String],
    /// Nothing more comes of it.
    pub complete: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct AuditEnd {
    /// Found after the guard had allowed it.
    pub violations: Vec<String>,
    pub estimated_rows: Option<f64>,
    pub estimated_cost: Option<f64>,
    pub row_count: Option<i64>,
    pub truncated: Option<bool>,
    pub duration_ms: f64,
    pub error_code: Option<String>,
}

/// Which decisions to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter {
    pub database_id: Option<Uuid>,
    pub key_id: Option<Uuid>,
    pub allowed: Option<bool>,
}

impl Store {
    /// Makes the partitions of the months to come, and drops those older than `keep_days`.
    pub async fn tend_audit_logs(&self, keep_days: i32) -> Result<(), StoreError> {
        sqlx::query("select tend_audit_logs($1)").bind(keep_days).execute(&self.pool).await?;
        Ok(())
    }

    pub async fn record_decision(&self, workspace_id: Uuid, log: &NewAuditLog<'_>) -> Result<(), StoreError> {
        let mut workspace = self.workspace(workspace_id).await?;
        sqlx::query(
            "insert into audit_logs
                 (id, created_at, workspace_id, key_id, database_id, query_id, request_id, action, sql_sent, sql, sql_sha256,
                  allowed, violations, tables, completed_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, cardinality($12::text[]) = 0, $12, $13,
                     case when $14 then now() end)",
        )
        .bind(log.id)
        .bind(log.at)
        .bind(workspace_id)
        .bind(log.key_id)
        .bind(log.database_id)
        .bind(log.query_id)
        .bind(log.request_id)
        .bind(log.action)
        .bind(log.sql_sent)
        .bind(log.sql)
        .bind(log.sql_sha256)
        .bind(log.violations)
        .bind(log.tables)
        .bind(log.complete)
        .execute(workspace.connection())
        .await?;
        workspace.commit().await
    }

    /// Writes how the run of decision `id`, of the time `at`, ended.
    pub async fn complete_decision(
        &self,
        workspace_id: Uuid,
        (id, at): (Uuid, DateTime<Utc>),
        end: &AuditEnd,
    ) -> Result<(), StoreError> {
        let mut workspace = self.workspace(workspace_id).await?;
        sqlx::query(
            "update audit_logs
             set allowed = allowed and cardinality($3::text[]) = 0, violations = violations || $3,
                 estimated_rows = $4, estimated_cost = $5, row_count = $6, truncated = $7, duration_ms = $8,
                 error_code = $9, completed_at = now()
             where id = $1 and created_at = $2",
        )
        .bind(id)
        .bind(at)
        .bind(&end.violations)
        .bind(end.estimated_rows)
        .bind(end.estimated_cost)
        .bind(end.row_count)
        .bind(end.truncated)
        .bind(end.duration_ms)
        .bind(&end.error_code)
        .execute(workspace.connection())
        .await?;
        workspace.commit().await
    }
}

impl Workspace {
    /// Newest first, from `after` on.
    pub async fn audit_logs(
        &mut self,
        filter: &AuditFilter,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<AuditLog>, StoreError> {
        let logs = sqlx::query_as(
            "select *
             from audit_logs
             where ($1::uuid is null or database_id = $1)
               and ($2::uuid is null or key_id = $2)
               and ($3::boolean is null or allowed = $3)
               and ($4::uuid is null or id < $4)
             order by id desc
             limit $5",
        )
        .bind(filter.database_id)
        .bind(filter.key_id)
        .bind(filter.allowed)
        .bind(after)
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        Ok(logs)
    }
}
