//! Uploads become documents: all files of a request in a handful of statements, however many they are.
//!
//! An upload is the document with its `external_id`, or, without one, any with its bytes. Two uploads of the same thing at
//! once must see each other: they meet in one of [`BUCKETS`] locks of their knowledge base, and others pass by.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};
use sqlx::{Postgres, postgres::PgArguments, query::QueryAs};
use uuid::Uuid;

use super::{
    StoreError, Workspace,
    batches::InBatch,
    documents::{DocumentChange, DocumentRow, DocumentStatus, Registered, Upload},
};

/// Locks of a knowledge base. More would let few more uploads pass by, and one with many files takes them all.
const BUCKETS: u8 = 64;

/// What makes two uploads the same document.
type Name<'u> = (Option<&'u str>, &'u [u8]);

impl Workspace {
    /// Puts the uploads of one request into the queue and into their batch, in order: each as a new document, as a new
    /// version of one with the same `external_id`, or not at all when the bytes are here already. `None`: the batch is
    /// closed.
    pub async fn register_uploads(
        &mut self,
        uploads: &[Upload],
    ) -> Result<Option<Vec<(DocumentRow, Registered)>>, StoreError> {
        let Some(Upload { knowledge_base_id, batch_id, .. }) = uploads.first() else { return Ok(Some(Vec::new())) };
        self.find_knowledge_base(*knowledge_base_id).await?;
        if !self.enter_batch(*batch_id, *knowledge_base_id).await? {
            return Ok(None);
        }
        self.lock_buckets(*knowledge_base_id, uploads.iter().map(bucket).collect()).await?;
        let mut known = self.find_known(*knowledge_base_id, uploads).await?;
        let new = self.insert_documents(*knowledge_base_id, &unknown(uploads, &known)).await?;
        let mut registered = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let entered = match known.get(&name(upload)) {
                None => (new.get(&upload.original).cloned().ok_or(StoreError::NotFound)?, Registered::New),
                Some(same) => self.register_again(same, upload).await?,
            };
            known.insert(name(upload), entered.0.clone());
            registered.push(entered);
        }
        let files: Vec<InBatch> = registered.iter().map(in_batch).collect();
        self.add_to_batch(*batch_id, &files).await?;
        Ok(Some(registered))
    }

    /// Keeps all uploads into a knowledge base waiting until this transaction ends.
    pub(super) async fn lock_all_uploads(&mut self, knowledge_base_id: Uuid) -> Result<(), StoreError> {
        self.lock_buckets(knowledge_base_id, (0..BUCKETS).collect()).await
    }

    /// In ascending order, so that two requests with many files cannot wait for each other.
    async fn lock_buckets(&mut self, knowledge_base_id: Uuid, buckets: BTreeSet<u8>) -> Result<(), StoreError> {
        // 0 and 1 are seeds of other locks.
        let seeds: Vec<i64> = buckets.into_iter().map(|bucket| 2 + i64::from(bucket)).collect();
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, seed)) from unnest($2::bigint[]) as seed")
            .bind(knowledge_base_id.to_string())
            .bind(seeds)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The documents that uploads are already. None of them is purged before this transaction ends.
    async fn find_known<'u>(
        &mut self,
        knowledge_base_id: Uuid,
        uploads: &'u [Upload],
    ) -> Result<HashMap<Name<'u>, DocumentRow>, StoreError> {
        let (named, unnamed): (Vec<&Upload>, Vec<&Upload>) =
            uploads.iter().partition(|upload| upload.external_id.is_some());
        let (mut by_name, mut by_bytes): (HashMap<String, DocumentRow>, HashMap<Vec<u8>, DocumentRow>) =
            Default::default();
        if !named.is_empty() {
            let names = Column(&named).of(|upload| upload.external_id.as_deref());
            let query = sqlx::query_as::<_, DocumentRow>(
                "select *
                 from documents
                 where knowledge_base_id = $1 and deleted_at is null and external_id = any ($2)
                 order by id
                 for key share",
            );
            let rows = query.bind(knowledge_base_id).bind(names).fetch_all(self.connection()).await?;
            by_name = rows.into_iter().filter_map(|row| Some((row.external_id.clone()?, row))).collect();
        }
        if !unnamed.is_empty() {
            let hashes = Column(&unnamed).of(|upload| upload.sha256.as_slice());
            let query = sqlx::query_as::<_, DocumentRow>(
                "select *
                 from documents
                 where knowledge_base_id = $1 and deleted_at is null and sha256 = any ($2)
                 -- One without a name is nearest, the oldest else: the last of the same bytes counts.
                 order by external_id nulls last, id desc
                 for key share",
            );
            let rows = query.bind(knowledge_base_id).bind(hashes).fetch_all(self.connection()).await?;
            by_bytes = rows.into_iter().map(|row| (row.sha256.clone(), row)).collect();
        }
        let same = |upload: &'u Upload| {
            let row = match &upload.external_id {
                Some(external_id) => by_name.get(external_id),
                None => by_bytes.get(&upload.sha256),
            };
            Some((name(upload), row?.clone()))
        };
        Ok(uploads.iter().filter_map(same).collect())
    }

    /// By their originals.
    async fn insert_documents(
        &mut self,
        knowledge_base_id: Uuid,
        uploads: &[&Upload],
    ) -> Result<HashMap<Uuid, DocumentRow>, StoreError> {
        if uploads.is_empty() {
            return Ok(HashMap::new());
        }
        let (ids, column) = (uploads.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(), Column(uploads));
        let rows: Vec<DocumentRow> = sqlx::query_as(
            "insert into documents
                 (workspace_id, knowledge_base_id, id, batch_id, external_id, title, title_given, file_name, content_type,
                  size, sha256, original, metadata, password, password_key_id, request_id)
             select $1, $2, u.*
             from unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::text[],
                         $10::bigint[], $11::bytea[], $12::uuid[], $13::jsonb[], $14::bytea[], $15::text[], $16::text[]) u
             returning *",
        )
        .bind(self.id())
        .bind(knowledge_base_id)
        .bind(ids)
        .bind(column.of(|upload| upload.batch_id))
        .bind(column.of(|upload| upload.external_id.as_deref()))
        .bind(column.of(|upload| upload.title.as_str()))
        .bind(column.of(|upload| upload.title_given))
        .bind(column.of(|upload| upload.file_name.as_deref()))
        .bind(column.of(|upload| upload.content_type.as_str()))
        .bind(column.of(|upload| upload.size))
        .bind(column.of(|upload| upload.sha256.as_slice()))
        .bind(column.of(|upload| upload.original))
        .bind(column.of(|upload| &upload.metadata))
        .bind(column.of(|upload| upload.password.as_ref().map(|sealed| sealed.bytes.as_slice())))
        .bind(column.of(|upload| upload.password.as_ref().map(|sealed| sealed.key_id.as_str())))
        .bind(column.of(|upload| upload.request_id.as_str()))
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().map(|row| (row.original, row)).collect())
    }

    /// An upload of a document that is here.
    async fn register_again(
        &mut self,
        same: &DocumentRow,
        upload: &Upload,
    ) -> Result<(DocumentRow, Registered), StoreError> {
        if same.sha256 != upload.sha256 {
            return Ok((self.replace_document(same.id, upload).await?, Registered::NewVersion(same.original)));
        }
        if same.status != DocumentStatus::Failed {
            return Ok((self.describe_anew(same, upload).await?, Registered::Unchanged));
        }
        // Sent again after a failure: whoever does so wants another try, perhaps with the right password.
        self.change_password(same.id, upload).await?;
        self.renew_document(same.id, upload).await?;
        Ok((self.retry_in_batch(same.id, upload.batch_id).await?, Registered::Renewed(same.original)))
    }

    /// The same bytes may come with another title or other metadata; what is not said stays.
    async fn describe_anew(&mut self, same: &DocumentRow, upload: &Upload) -> Result<DocumentRow, StoreError> {
        let title = Some(&upload.title).filter(|title| upload.title_given && **title != same.title);
        let is_said = upload.metadata.as_object().is_some_and(|metadata| !metadata.is_empty());
        let metadata = Some(&upload.metadata).filter(|metadata| is_said && **metadata != same.metadata);
        if title.is_none() && metadata.is_none() {
            return Ok(same.clone());
        }
        let change = DocumentChange { title: title.cloned(), metadata: metadata.cloned() };
        self.change_document(same.id, &change).await
    }

    async fn change_password(&mut self, id: Uuid, upload: &Upload) -> Result<(), StoreError> {
        let Some(sealed) = &upload.password else { return Ok(()) };
        sqlx::query!(
            "update documents set password = $2, password_key_id = $3 where id = $1",
            id,
            sealed.bytes,
            sealed.key_id
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// The same bytes again, under what they are called this time.
    async fn renew_document(&mut self, id: Uuid, upload: &Upload) -> Result<(), StoreError> {
        sqlx::query!(
            "update documents
             set original = $2, content_type = $3, file_name = $4, request_id = $5, metadata = $6,
                 title = case when title_given and not $7 then title else $8 end,
                 title_given = title_given or $7
             where id = $1",
            id,
            upload.original,
            upload.content_type,
            upload.file_name,
            upload.request_id,
            upload.metadata,
            upload.title_given,
            upload.title
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// The old version stays searchable until the new one is indexed.
    async fn replace_document(&mut self, id: Uuid, upload: &Upload) -> Result<DocumentRow, StoreError> {
        let replace = sqlx::query_as(
            "update documents
             set batch_id = $1, title = $2, title_given = $3, file_name = $4, content_type = $5, size = $6, sha256 = $7,
                 original = $8, metadata = $9, password = $10, password_key_id = $11, request_id = $12,
                 version = version + 1,
                 status = 'uploaded', stage = null, attempts = 0, waits = 0, lease_owner = null, leased_until = null,
                 not_before = now(), queued_at = now(), error_code = null, error_detail = null, error_retryable = null
             where id = $13
             returning *",
        );
        Ok(bind_version(replace, upload).bind(id).fetch_one(self.connection()).await?)
    }
}

struct Column<'a>(&'a [&'a Upload]);

impl<'a> Column<'a> {
    fn of<T>(&self, value: impl Fn(&'a Upload) -> T) -> Vec<T> {
        self.0.iter().map(|upload| value(upload)).collect()
    }
}

/// What is not here yet, the first of each.
fn unknown<'u>(uploads: &'u [Upload], known: &HashMap<Name<'u>, DocumentRow>) -> Vec<&'u Upload> {
    let mut seen: BTreeSet<Name<'u>> = BTreeSet::new();
    uploads.iter().filter(|upload| !known.contains_key(&name(upload)) && seen.insert(name(upload))).collect()
}

fn name(upload: &Upload) -> Name<'_> {
    match &upload.external_id {
        Some(external_id) => (Some(external_id), &[]),
        None => (None, &upload.sha256),
    }
}

fn bucket(upload: &Upload) -> u8 {
    let first = match &upload.external_id {
        Some(external_id) => Sha256::digest(external_id).first().copied(),
        None => upload.sha256.first().copied(),
    };
    first.unwrap_or(0) % BUCKETS
}

fn in_batch((document, registered): &(DocumentRow, Registered)) -> InBatch {
    let unchanged = matches!(registered, Registered::Unchanged | Registered::Renewed(_));
    InBatch { document: document.id, version: document.version, unchanged }
}

type ReturningDocument<'q> = QueryAs<'q, Postgres, DocumentRow, PgArguments>;

/// What every version brings: $1 to $12.
fn bind_version<'q>(query: ReturningDocument<'q>, upload: &'q Upload) -> ReturningDocument<'q> {
    query
        .bind(upload.batch_id)
        .bind(&upload.title)
        .bind(upload.title_given)
        .bind(&upload.file_name)
        .bind(&upload.content_type)
        .bind(upload.size)
        .bind(&upload.sha256)
        .bind(upload.original)
        .bind(&upload.metadata)
        .bind(upload.password.as_ref().map(|sealed| &sealed.bytes))
        .bind(upload.password.as_ref().map(|sealed| &sealed.key_id))
        .bind(&upload.request_id)
}
