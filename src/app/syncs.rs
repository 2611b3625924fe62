//! Reading the schemas of users' databases, in the background: when somebody asks, and on a schedule.
//!
//! The store hands out claims ([`crate::store::databases::syncs`]), so that one database is read by one task at a time,
//! on however many servers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{App, examples};
use crate::{
    store::{
        StoreError,
        databases::{
            DatabaseError,
            syncs::{SyncClaim, SyncPlan},
        },
    },
    text_to_sql::{
        engine::{EngineError, Privileges},
        introspect::Samples,
        schema::Schema,
    },
};

/// Scheduled syncs at a time, so that they are not what a server is busy with.
const SCHEDULED: usize = 2;
/// How often we look what is due: a sync that a crash cut off begins anew after its lease and at most this.
const LOOK: Duration = Duration::from_secs(15);
/// Silence after which a sync is taken for dead.
const LEASE: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The engines bound each of their steps; this bounds them all.
const SYNC: Duration = Duration::from_secs(10 * 60);
/// Of a database whose login can do more than read, and must not.
pub const LOGIN_NOT_READ_ONLY: &str = "login_not_read_only";

impl App {
    /// Makes the sync that somebody has just asked for, and those that are asked for meanwhile.
    pub fn sync_later(&self, workspace_id: Uuid, id: Uuid) {
        let app = self.clone();
        tokio::spawn(async move {
            if let Err(error) = sync_requested(&app, workspace_id, id).await {
                tracing::error!(database = %id, %error, "a sync could not be begun or its outcome not stored");
            }
        });
    }

    /// Until [`super::Parts::stop`], makes the syncs that are due.
    pub async fn sync_databases(&self) {
        let places = Arc::new(Semaphore::new(SCHEDULED));
        loop {
            if let Err(error) = self.begin_due_syncs(&places).await {
                tracing::warn!(%error, "the store does not say which databases are to be synced");
            }
            if self.stop.run_until_cancelled(sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }

    async fn begin_due_syncs(&self, places: &Arc<Semaphore>) -> Result<(), StoreError> {
        let free = places.available_permits();
        if free == 0 {
            return Ok(());
        }
        for claim in self.store.claim_due_syncs(self.config.database_sync_hours, LEASE, free).await? {
            // There are places for all: nobody else takes one.
            let place = Arc::clone(places).try_acquire_owned().ok();
            let app = self.clone();
            tokio::spawn(async move {
                if let Err(error) = sync(&app, &claim).await {
                    tracing::error!(database = %claim.database_id, %error, "the outcome of a sync could not be stored");
                }
                drop(place);
            });
        }
        Ok(())
    }
}

async fn sync_requested(app: &App, workspace_id: Uuid, id: Uuid) -> Result<(), StoreError> {
    loop {
        let mut workspace = app.store.workspace(workspace_id).await?;
        let claim = workspace.claim_sync(id, LEASE).await?;
        workspace.commit().await?;
        match claim {
            Some(claim) => sync(app, &claim).await?,
            None => return Ok(()),
        }
    }
}

/// Reads a schema while the claim holds, and stores what became of it.
async fn sync(app: &App, claim: &SyncClaim) -> Result<(), StoreError> {
    let mut workspace = app.store.workspace(claim.workspace_id).await?;
    let plan = workspace.sync_plan(claim).await?;
    workspace.commit().await?;
    let Some(plan) = plan else { return Ok(()) };
    let mut login = None;
    let read = tokio::select! {
        read = timeout(SYNC, read(app, claim, plan, &mut login)) => read.unwrap_or(Err(too_long())),
        () = hold(app, claim) => return Ok(()),
    };
    match read {
        Ok((privileges, schema)) => match finish(app, claim, &privileges, schema.without_nul()).await {
            Err(error @ (StoreError::Refused(_) | StoreError::Internal(_))) => {
                tracing::error!(database = %claim.database_id, %error, "a schema cannot be stored");
                let detail = "its schema holds something that cannot be stored; the log says what".to_owned();
                fail(app, claim, None, DatabaseError { code: "schema_not_stored".to_owned(), detail }).await
            }
            stored => stored,
        },
        Err(error) => {
            tracing::warn!(database = %claim.database_id, code = error.code, "a schema could not be read");
            fail(app, claim, login.as_ref(), error).await
        }
    }
}

/// What the login may do, left in `login` as soon as it is known, and then the schema.
async fn read(
    app: &App,
    claim: &SyncClaim,
    plan: SyncPlan,
    login: &mut Option<Privileges>,
) -> Result<(Privileges, Schema), DatabaseError> {
    let failed = |error: EngineError| DatabaseError { code: error.code().to_owned(), detail: error.to_string() };
    let engine = app.databases.engine(app, claim.database_id, &plan.url).await.map_err(failed)?;
    let privileges = engine.privileges().await.map_err(failed)?;
    *login = Some(privileges.clone());
    if plan.require_read_only && !privileges.read_only() {
        let detail = login_can_do_more(&privileges);
        return Err(DatabaseError { code: LOGIN_NOT_READ_ONLY.to_owned(), detail });
    }
    let schema = engine.introspect(&samples(app, plan)).await.map_err(failed)?;
    Ok((privileges, schema))
}

/// Why a login is refused where it must only read.
pub fn login_can_do_more(privileges: &Privileges) -> String {
    let warnings: Vec<&str> = privileges.warnings.iter().map(|warning| warning.detail.as_str()).collect();
    format!("The login can do more than read, and this database must have one that cannot. {}", warnings.join(" "))
}

/// Values of what people have hidden or masked, or show to some only, are not even read.
fn samples(app: &App, plan: SyncPlan) -> Samples {
    let (mut hidden_tables, mut closed_columns) = (BTreeSet::new(), BTreeSet::new());
    for (schema, table, told) in plan.told {
        for (column, _) in told.columns.iter().filter(|(_, notes)| notes.is_closed()) {
            closed_columns.insert((schema.clone(), table.clone(), column.clone()));
        }
        if told.is_closed() {
            hidden_tables.insert((schema, table));
        }
    }
    Samples { enabled: app.config.sample_values && plan.samples, hidden_tables, closed_columns }
}

/// Renews the claim until it is lost.
async fn hold(app: &App, claim: &SyncClaim) {
    loop {
        sleep(HEARTBEAT).await;
        let renewed = async {
            let mut workspace = app.store.workspace(claim.workspace_id).await?;
            let held = workspace.renew_sync(claim, LEASE).await?;
            workspace.commit().await?;
            Ok::<bool, StoreError>(held)
        };
        match renewed.await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(database = %claim.database_id, %error, "a sync could not renew its claim"),
        }
    }
}

fn too_long() -> DatabaseError {
    let detail = format!("reading its schema took longer than {} minutes", SYNC.as_secs() / 60);
    DatabaseError { code: "timeout".to_owned(), detail }
}

async fn finish(app: &App, claim: &SyncClaim, privileges: &Privileges, schema: Schema) -> Result<(), StoreError> {
    let mut workspace = app.store.workspace(claim.workspace_id).await?;
    workspace.finish_sync(claim, privileges, schema).await?;
    let database = workspace.database(claim.database_id).await?;
    examples::recheck_stored(&mut workspace, &database).await?;
    workspace.commit().await
}

async fn fail(
    app: &App,
    claim: &SyncClaim,
    privileges: Option<&Privileges>,
    error: DatabaseError,
) -> Result<(), StoreError> {
    app.databases.forget(claim.database_id).await;
    let mut workspace = app.store.workspace(claim.workspace_id).await?;
    workspace.fail_sync(claim, privileges, &error).await?;
    workspace.commit().await
}
