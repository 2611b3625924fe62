//! A knowledge base changes its embedding model or its chunk size: every document is cut and embedded again, from its
//! stored text, into a second index; one update switches searches over; then the old index is discarded. Whatever
//! happens on the way, searches read one whole index.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    IngestError, Target, Tools, chunk, embed, embedder,
    extract::Extracted,
    failed,
    queue::{MAX_ATTEMPTS, Pace, delay, unpanicked},
    room, sizes,
};
use crate::{
    lexemes::Language,
    store::{
        StoreError,
        queue::Failure,
        reindexings::{DocumentToReindex, ReindexingRow, Switch},
    },
};

/// How long one knowledge base is worked on before another one's turn.
const TURN: Duration = Duration::from_secs(60);
/// Rounds over the documents that came in meanwhile, before the last ones are indexed with the knowledge base to ourselves.
const PATIENT_ROUNDS: u32 = 3;
/// How long a change in another process may lie unnoticed.
const POLL: Duration = Duration::from_secs(5);
/// Searches that began on the old index have ended by then: requests but uploads last 150 s at most.
const GRACE: Duration = Duration::from_secs(180);
/// Between two helpings of an index that is discarded, so that nobody else waits long for the disk.
const DISCARD_PAUSE: Duration = Duration::from_millis(50);

/// Works on one knowledge base after the other until it is stopped; `bell` rings when this process has a new one.
pub async fn work(tools: Tools, pace: Pace, bell: Arc<Notify>) {
    let worker = Uuid::now_v7();
    while !pace.stop.is_cancelled() {
        match tools.store.claim_reindexing(worker, pace.lease).await {
            Ok(Some(reindexing)) => {
                let span = tracing::info_span!("reindex", knowledge_base = %reindexing.knowledge_base_id);
                take(&tools, &pace, worker, &reindexing).instrument(span).await;
            }
            Ok(None) => pace.wait(&bell, POLL).await,
            Err(error) => {
                tracing::warn!(%error, "the re-indexings cannot be read");
                pace.wait(&bell, POLL).await;
            }
        }
    }
}

/// One claimed re-indexing, to whatever end. One that is stopped is taken up again where it was.
async fn take(tools: &Tools, pace: &Pace, worker: Uuid, reindexing: &ReindexingRow) {
    let work = async {
        match reindexing.discarded_index_id {
            Some(index) => discard(tools, reindexing, index).await,
            None if reindexing.attempts > MAX_ATTEMPTS => Err(gave_up()),
            None => reindex(tools, pace, worker, reindexing).await,
        }
    };
    let ended = tokio::select! {
        biased;
        ended = unpanicked(work) => ended,
        lost = keep_alive(tools, pace, worker, reindexing) => Err(lost),
        () = pace.stop.cancelled() => Err(IngestError::Again),
    };
    let recorded = match ended {
        Ok(()) => Ok(()),
        Err(IngestError::Lost) => {
            tracing::info!("re-indexing taken away");
            Ok(())
        }
        Err(IngestError::Again) => release(tools, worker, reindexing).await,
        Err(IngestError::Failed(failure)) => {
            tracing::warn!(code = failure.code, detail = failure.detail, "re-indexing failed");
            fail(tools, worker, reindexing, &failure).await
        }
    };
    if let Err(error) = recorded {
        tracing::error!(%error, "what became of a re-indexing could not be recorded");
    }
}

fn gave_up() -> IngestError {
    failed("gave_up", &format!("given up after {MAX_ATTEMPTS} attempts without progress"), false)
}

/// A discarded index is tried again and again; a re-indexing only when that may help.
async fn fail(tools: &Tools, worker: Uuid, reindexing: &ReindexingRow, failure: &Failure) -> Result<(), StoreError> {
    let again = reindexing.discarded_index_id.is_some() || failure.retryable;
    let attempts = if again { MAX_ATTEMPTS } else { 0 };
    let mut workspace = tools.store.workspace(reindexing.workspace_id).await?;
    workspace.fail_reindexing(reindexing.id, worker, &failure.detail, delay(reindexing.attempts), attempts).await?;
    workspace.commit().await
}

async fn release(tools: &Tools, worker: Uuid, reindexing: &ReindexingRow) -> Result<(), StoreError> {
    let mut workspace = tools.store.workspace(reindexing.workspace_id).await?;
    workspace.release_reindexing(reindexing.id, worker).await?;
    workspace.commit().await
}

/// Renews the lease until it is lost; only then it returns.
async fn keep_alive(tools: &Tools, pace: &Pace, worker: Uuid, reindexing: &ReindexingRow) -> IngestError {
    loop {
        sleep(pace.heartbeat()).await;
        match keep(tools, pace, worker, reindexing).await {
            Ok(true) => {}
            Ok(false) => return IngestError::Lost,
            Err(error) => tracing::warn!(%error, "a heartbeat was lost"),
        }
    }
}

async fn keep(tools: &Tools, pace: &Pace, worker: Uuid, reindexing: &ReindexingRow) -> Result<bool, StoreError> {
    let mut workspace = tools.store.workspace(reindexing.workspace_id).await?;
    let kept = workspace.keep_reindexing(reindexing.id, worker, pace.lease, false).await?;
    workspace.commit().await?;
    Ok(kept)
}

/// Fills the new index, and switches to it once it lacks nothing. Where documents keep coming in, the last of them are
/// indexed while others wait.
async fn reindex(tools: &Tools, pace: &Pace, worker: Uuid, reindexing: &ReindexingRow) -> Result<(), IngestError> {
    let target = target(tools, reindexing).await?;
    let began = Instant::now();
    let mut alone = None;
    for round in 1.. {
        let mut after = None;
        while let Some(document) = next(tools, reindexing, after).await? {
            after = Some(document.document_id);
            reindex_document(tools, pace, worker, reindexing, &target, document).await?;
            if began.elapsed() > TURN {
                return Err(IngestError::Again);
            }
        }
        let mut workspace = match alone.take() {
            Some(workspace) => workspace,
            None => tools.store.workspace(reindexing.workspace_id).await?,
        };
        match workspace.switch_index(reindexing, worker, GRACE).await? {
            Switch::Done => {
                workspace.commit().await?;
                tracing::info!(model = reindexing.embedding_model, "the new index is searched");
                break;
            }
            Switch::NotYet => alone = (round >= PATIENT_ROUNDS).then_some(workspace),
            Switch::Lost => return Err(IngestError::Lost),
        }
    }
    Ok(())
}

async fn target(tools: &Tools, reindexing: &ReindexingRow) -> Result<Target, IngestError> {
    let mut workspace = tools.store.workspace(reindexing.workspace_id).await?;
    let base = workspace.searched_knowledge_bases(Some(&[reindexing.knowledge_base_id]), 1).await?.pop();
    let base = base.ok_or(IngestError::Lost)?;
    let embedder = embedder(tools, &reindexing.embedding_model)?;
    Ok(Target {
        workspace_id: reindexing.workspace_id,
        index: reindexing.index(),
        sizes: sizes(reindexing.chunk_size, reindexing.chunk_overlap, &*embedder),
        language: Language::from_name(&reindexing.language),
        alike: (base.embedding_model == reindexing.embedding_model).then_some(base.index),
        embedder,
    })
}

async fn next(
    tools: &Tools,
    reindexing: &ReindexingRow,
    after: Option<Uuid>,
) -> Result<Option<DocumentToReindex>, StoreError> {
    let mut workspace = tools.store.workspace(reindexing.workspace_id).await?;
    let document = workspace.next_to_reindex(reindexing, after).await?;
    workspace.commit().await?;
    Ok(document)
}

async fn reindex_document(
    tools: &Tools,
    pace: &Pace,
    worker: Uuid,
    reindexing: &ReindexingRow,
    target: &Target,
    mut document: DocumentToReindex,
) -> Result<(), IngestError> {
    let extracted = extracted(&mut document)?;
    let _room = room(tools, &extracted.text).await;
    let embedded = if document.titled { document.title.as_str() } else { "" };
    let chunked = chunk(target, extracted, embedded).await?;
    let vectors = embed::embed(&tools.store, target, document.document_id, &chunked, |_| {}).await?;
    let language = target.language_of(chunked.text());
    let rows = embed::rows(&chunked, vectors, &document.title, language);
    let mut workspace = tools.store.workspace(target.workspace_id).await?;
    if !workspace.add_to_index(&document, target.index, &language.name(), rows).await? {
        // It was deleted, or has a new version, which the next round finds.
        return Ok(());
    }
    match workspace.keep_reindexing(reindexing.id, worker, pace.lease, true).await? {
        true => Ok(workspace.commit().await?),
        false => Err(IngestError::Lost),
    }
}

/// The stored text, as extraction once gave it.
fn extracted(document: &mut DocumentToReindex) -> Result<Extracted, IngestError> {
    let pages = serde_json::from_value(document.pages.take())
        .map_err(|error| failed("internal", &format!("the stored pages cannot be read: {error}"), false))?;
    Ok(Extracted {
        text: std::mem::take(&mut document.text),
        markdown: document.markdown,
        pages,
        ..Extracted::default()
    })
}

/// Removes an index that nobody reads any more, a helping at a time.
async fn discard(tools: &Tools, reindexing: &ReindexingRow, index: Uuid) -> Result<(), IngestError> {
    loop {
        let mut workspace = tools.store.workspace(reindexing.workspace_id).await?;
        let done = workspace.discard_some(reindexing.id, index).await?;
        workspace.commit().await?;
        if done {
            return Ok(());
        }
        sleep(DISCARD_PAUSE).await;
    }
}
