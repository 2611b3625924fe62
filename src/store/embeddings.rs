//! Vectors that are there already, by the hash of what was embedded: equal passages are embedded once in an index.

use std::collections::HashMap;

use pgvector::HalfVector;
use uuid::Uuid;

use super::{StoreError, Workspace};

impl Workspace {
    /// The vectors that these indexes, of one model, have for these passages, and those that an earlier attempt at
    /// `document_id` has left.
    pub async fn known_embeddings(
        &mut self,
        indexes: &[Uuid],
        document_id: Uuid,
        hashes: &[Uuid],
    ) -> Result<HashMap<Uuid, HalfVector>, StoreError> {
        let rows: Vec<(Uuid, HalfVector)> = sqlx::query_as(
            "select distinct on (passage_hash) passage_hash, embedding
             from chunk_search
             where index_id = any ($1) and passage_hash = any ($3)
             union all
             select passage_hash, embedding
             from staged_embeddings
             where document_id = $2 and index_id = any ($1) and passage_hash = any ($3)",
        )
        .bind(indexes)
        .bind(document_id)
        .bind(hashes)
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Keeps vectors of a document that is still being worked on.
    pub async fn stage_embeddings(
        &mut self,
        index_id: Uuid,
        document_id: Uuid,
        embeddings: &[(Uuid, HalfVector)],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into staged_embeddings (document_id, workspace_id, index_id, passage_hash, embedding)
             select $1, $2, $3, e.hash, e.embedding
             from unnest($4::uuid[], $5::halfvec[]) as e (hash, embedding)
             -- A document that is purged meanwhile needs none.
             where exists (select from documents where id = $1 for key share)
             on conflict do nothing",
        )
        .bind(document_id)
        .bind(self.id())
        .bind(index_id)
        .bind(embeddings.iter().map(|(hash, _)| *hash).collect::<Vec<_>>())
        .bind(embeddings.iter().map(|(_, embedding)| embedding).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// The document's vectors are in its chunks now.
    pub(super) async fn unstage_embeddings(&mut self, document_id: Uuid) -> Result<(), StoreError> {
        sqlx::query!("delete from staged_embeddings where document_id = $1", document_id)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
