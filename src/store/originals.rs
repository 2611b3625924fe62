//! Whose stored files are, and which no document names: asked over all workspaces.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Store, StoreError};

/// What a key in the storage says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub workspace: Uuid,
    pub knowledge_base: Uuid,
    pub id: Uuid,
}

impl Store {
    /// Names this installation for as long as it lives.
    pub async fn installation_id(&self) -> Result<Uuid, StoreError> {
        Ok(sqlx::query_scalar("select installation_id()").fetch_one(&self.pool).await?)
    }

    /// Those in a workspace of this installation that no document names.
    pub async fn orphaned_originals(&self, stored: &[Stored]) -> Result<Vec<Stored>, StoreError> {
        let workspaces: Vec<Uuid> = stored.iter().map(|stored| stored.workspace).collect();
        let ids: Vec<Uuid> = stored.iter().map(|stored| stored.id).collect();
        let orphans: Vec<Uuid> = sqlx::query_scalar("select * from orphaned_originals($1, $2)")
            .bind(workspaces)
            .bind(ids)
            .fetch_all(&self.pool)
            .await?;
        let orphans: HashSet<Uuid> = orphans.into_iter().collect();
        Ok(stored.iter().filter(|stored| orphans.contains(&stored.id)).copied().collect())
    }
}
