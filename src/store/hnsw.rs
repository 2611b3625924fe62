//! HNSW graphs of large search indexes (Malkov and Yashunin, 2016, as pgvector builds them). Searches find a graph by its
//! name and use it once it is valid; this builds those that are missing and drops those that nobody needs, as the owner
//! of the table, beside the traffic (`concurrently`), one at a time over all processes.

use std::num::NonZero;

use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, raw_sql};
use uuid::Uuid;

use super::{Store, StoreError};

/// When an index gets a graph, and what building one may take.
#[derive(Debug, Clone, Copy)]
pub struct HnswRule {
    /// Chunks from which on a graph is quicker than looking at every chunk; `None`: no graphs.
    pub threshold: Option<NonZero<u32>>,
    /// A graph that outgrows this while it is built is built many times slower.
    pub memory_megabytes: u32,
}

/// A search index and its graph; one of both may be missing.
#[derive(Debug, Clone, FromRow)]
struct Tended {
    index_id: Option<Uuid>,
    number: Option<i32>,
    dimensions: Option<i32>,
    chunk_count: i64,
    graph: Option<String>,
    valid: bool,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Build { index_id: Uuid, number: i32, dimensions: i32 },
    Drop(String),
}

/// Edges of a node and candidates while building: with these, `hnsw.ef_search` of 200 finds 0.99 of the ten nearest of
/// 100,000 (0.975 with pgvector's own 64).
const M: u32 = 16;
const EF_CONSTRUCTION: u32 = 128;
/// Of the advisory lock that keeps others from tending meanwhile.
const LOCK: i64 = 0x616c_6d5f_686e_7377;
/// An index that shrinks keeps its graph down to this part of the threshold, so that one near it does not come and go.
const KEPT_DOWN_TO: i64 = 2;

impl Store {
    /// Builds and drops what `rule` asks for; returns how many graphs changed. One that fails does not keep others waiting,
    /// and is reported in the end. Another process that is at it already is left to it.
    pub async fn tend_hnsw(&self, rule: HnswRule) -> Result<usize, StoreError> {
        let mut owner = PgConnection::connect(self.owner.expose_secret()).await?;
        let alone: bool =
            sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut owner).await?;
        if !alone {
            return Ok(0);
        }
        let tended: Vec<Tended> = sqlx::query_as("select * from search_indexes()").fetch_all(&mut owner).await?;
        let tasks = tasks(&tended, rule.threshold);
        let mut failed = None;
        for task in &tasks {
            if let Err(error) = perform(&mut owner, task, rule.memory_megabytes).await {
                tracing::warn!(%error, ?task, "an HNSW graph could not be built or dropped");
                failed = Some(error);
            }
        }
        owner.close().await?;
        failed.map_or(Ok(tasks.len()), Err)
    }
}

/// Drops first: they make room. A graph whose building was cut short is dropped and built again.
fn tasks(tended: &[Tended], threshold: Option<NonZero<u32>>) -> Vec<Task> {
    let threshold = threshold.map_or(i64::MAX, |threshold| i64::from(threshold.get()));
    let unneeded =
        |index: &&Tended| !index.valid || index.index_id.is_none() || index.chunk_count < threshold / KEPT_DOWN_TO;
    let dropped = tended.iter().filter(unneeded).filter_map(|index| index.graph.clone()).map(Task::Drop);
    let built = tended.iter().filter(|index| index.chunk_count >= threshold && !index.valid).filter_map(|index| {
        let (index_id, number, dimensions) = (index.index_id?, index.number?, index.dimensions?);
        Some(Task::Build { index_id, number, dimensions })
    });
    dropped.chain(built).collect()
}

/// Every part of these statements is a number or a name of ours.
async fn perform(owner: &mut PgConnection, task: &Task, memory_megabytes: u32) -> Result<(), StoreError> {
    match task {
        Task::Drop(graph) => {
            tracing::info!(graph, "dropping an HNSW graph");
            run(owner, format!("drop index concurrently if exists public.{graph}")).await
        }
        Task::Build { index_id, number, dimensions } => {
            tracing::info!(%index_id, "building an HNSW graph");
            // Searches need the processors, too.
            let helpers = std::thread::available_parallelism().map_or(0, |cores| cores.get() / 8);
            let graph: String = sqlx::query_scalar("select hnsw_name($1)").bind(number).fetch_one(&mut *owner).await?;
            run(owner, format!("set maintenance_work_mem = '{memory_megabytes}MB'")).await?;
            run(owner, format!("set max_parallel_maintenance_workers = {helpers}")).await?;
            run(
                owner,
                format!(
                    "create index concurrently {graph} on public.chunk_search
                     using hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)
                     with (m = {M}, ef_construction = {EF_CONSTRUCTION})
                     where index_id = '{index_id}'"
                ),
            )
            .await
        }
    }
}

async fn run(owner: &mut PgConnection, statement: String) -> Result<(), StoreError> {
    raw_sql(AssertSqlSafe(statement)).execute(owner).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(number: i32, chunk_count: i64, graph: bool, valid: bool) -> Tended {
        Tended {
            index_id: Some(Uuid::from_u128(number.unsigned_abs().into())),
            number: Some(number),
            dimensions: Some(384),
            chunk_count,
            graph: graph.then(|| format!("idx_chunk_search_embedding_{number}")),
            valid,
        }
    }

    fn planned(tended: &[Tended]) -> Vec<String> {
        let say = |task| match task {
            Task::Build { number, .. } => format!("build {number}"),
            Task::Drop(graph) => graph.replace("idx_chunk_search_embedding_", "drop "),
        };
        tasks(tended, NonZero::new(1_000)).into_iter().map(say).collect()
    }

    #[test]
    fn an_index_gets_a_graph_when_it_is_large_and_loses_it_when_it_is_half_as_small() {
        assert_eq!(planned(&[index(1, 999, false, false), index(2, 1_000, false, false)]), ["build 2"]);
        assert!(planned(&[index(1, 500, true, true), index(2, 5_000, true, true)]).is_empty());
        assert_eq!(planned(&[index(1, 499, true, true)]), ["drop 1"]);
    }

    #[test]
    fn a_graph_that_was_cut_short_is_built_again_and_one_of_no_index_is_dropped() {
        assert_eq!(planned(&[index(1, 2_000, true, false)]), ["drop 1", "build 1"]);
        let gone = Tended { index_id: None, number: None, dimensions: None, ..index(7, 0, true, true) };
        assert_eq!(planned(&[gone]), ["drop 7"]);
    }

    #[test]
    fn without_a_threshold_there_are_no_graphs() {
        assert_eq!(tasks(&[index(1, i64::MAX - 1, false, false)], None), []);
    }
}
