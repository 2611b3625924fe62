//! How many chunks a second the whole pipeline stores when embedding costs nothing, against plain COPY of the same rows.
//!
//!     cargo bench --bench pipeline -- MODEL_FOLDER [documents, 100 unless given]
//!
//! Generated documents are queued with their originals; then the workers of this process claim, extract (each in a child
//! process), chunk and store them, with an embedder that gives a vector at once. The rows that came of it are read out in
//! PostgreSQL's binary format and copied, in one transaction, into a second database with the same migrations. Both lie in
//! the PostgreSQL of ALMANAC_BENCH_DATABASE_URL (a superuser's), else in an embedded one in a folder of its own, durable as
//! in use.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod samples;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac::ingest::extract::{ExtractOptions, worker};
use almanac::ingest::originals::Originals;
use almanac::ingest::queue::{self, Pace};
use almanac::ingest::{Tools, chunk};
use almanac::models::{Embedder, Embedders, ModelError, Passage, Tokenizer};
use almanac::postgres::{EmbeddedPostgres, Install, SUPERUSER};
use almanac::store::documents::Upload;
use almanac::store::keys::generate_key;
use almanac::store::knowledge_bases::NewKnowledgeBase;
use almanac::store::reindexings::IndexPlan;
use almanac::store::{Sealer, Store};
use futures::TryStreamExt;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DOCUMENT_BYTES: usize = 100_000;
const DIMENSIONS: usize = 384;
const WORKERS: usize = 4;

/// What rows refer to, and the rows themselves, in the order in which they can be copied.
const PARENTS: [&str; 4] = ["workspaces", "knowledge_bases", "batches", "documents"];
const MEASURED: [&str; 3] = ["document_contents", "document_chunks", "chunk_search"];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let folder = arguments.next().map(PathBuf::from).expect("an argument names the model's folder");
    let documents: usize = arguments.next().map_or(100, |count| count.parse().expect("a number of documents"));
    let server = Server::start();
    let source = server.new_database().await;
    let piped = pipe(&source, &folder, documents).await;

    let mut from = connect(&source).await;
    let mut to = connect(&server.new_database().await).await;
    for table in PARENTS {
        let rows = rows_of(&mut from, table).await;
        copy(&mut to, table, rows).await;
    }
    let mut measured = Vec::new();
    for table in MEASURED {
        measured.push((table, rows_of(&mut from, table).await));
    }
    let megabytes = measured.iter().map(|(_, rows)| rows.len()).sum::<usize>() as f64 / 1e6;
    let start = Instant::now();
    to.execute("begin").await.expect("a transaction");
    let mut chunks = 0;
    for (table, rows) in measured {
        chunks = copy(&mut to, table, rows).await;
    }
    to.execute("commit").await.expect("rows are kept");
    let seconds = start.elapsed().as_secs_f64();
    println!("COPY: {chunks} chunks ({megabytes:.0} MB) in {seconds:.2} s, {:.0} chunks/s", chunks as f64 / seconds);
    println!(
        "pipeline: {chunks} chunks in {piped:.2} s, {:.0} chunks/s, {:.2} of COPY",
        chunks as f64 / piped,
        seconds / piped
    );
    drop((from, to));
    server.end();
}

/// A PostgreSQL with pgvector.
enum Server {
    Given(String),
    Embedded(EmbeddedPostgres, PathBuf),
}

impl Server {
    fn start() -> Server {
        if let Ok(url) = std::env::var("ALMANAC_BENCH_DATABASE_URL") {
            return Server::Given(url);
        }
        let install = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/almanac/postgresql");
        let install = Install::find(Some(&install)).expect("run `make setup` first");
        let folder = std::env::temp_dir().join(format!("almanac-bench-{}", std::process::id()));
        Server::Embedded(EmbeddedPostgres::start(&install, &folder).expect("a server"), folder)
    }

    /// Databases on a server that was given stay, for whoever wants to look.
    fn end(self) {
        if let Server::Embedded(server, folder) = self {
            server.stop().expect("an orderly end");
            std::fs::remove_dir_all(folder).expect("a folder of its own");
        }
    }

    /// An empty database with Almanac's tables: its URL.
    async fn new_database(&self) -> String {
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let (admin, url) = match self {
            Server::Given(admin) => {
                let mut url = url::Url::parse(admin).expect("a URL");
                url.set_path(&name);
                (admin.clone(), url.to_string())
            }
            Server::Embedded(server, _) => (server.url(SUPERUSER, "postgres"), server.url(SUPERUSER, &name)),
        };
        let create = AssertSqlSafe(format!("create database {name}"));
        connect(&admin).await.execute(create).await.expect("a database");
        Store::open(&SecretString::from(url.clone()), None).await.expect("migrations").close().await;
        url
    }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("a connection")
}

async fn rows_of(connection: &mut PgConnection, table: &str) -> Vec<u8> {
    let statement = format!("copy {table} to stdout (format binary)");
    let rows = connection.copy_out_raw(&statement).await.expect("rows");
    rows.try_fold(Vec::new(), async |mut all, part| {
        all.extend_from_slice(&part);
        Ok(all)
    })
    .await
    .expect("rows")
}

async fn copy(connection: &mut PgConnection, table: &str, rows: Vec<u8>) -> u64 {
    let statement = format!("copy {table} from stdin (format binary)");
    let mut sink = connection.copy_in_raw(&statement).await.expect("a table");
    for part in rows.chunks(1 << 20) {
        sink.send(part).await.expect("rows are taken");
    }
    sink.finish().await.expect("rows are taken")
}

/// Queues generated documents and has them ingested; returns the seconds from the start of the workers to the last end.
async fn pipe(url: &str, folder: &Path, documents: usize) -> f64 {
    let store = Store::open(&SecretString::from(url.to_owned()), None).await.expect("a store");
    let data_dir = std::env::temp_dir().join(format!("almanac-bench-files-{}", std::process::id()));
    std::fs::create_dir_all(&data_dir).expect("a folder");
    let tools = tools(store.clone(), folder, &data_dir);
    queue_documents(&tools, documents).await;
    let pace = Pace {
        workers: WORKERS,
        lease: Duration::from_secs(30),
        bell: Arc::default(),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let start = Instant::now();
    let working = tokio::spawn(queue::work(tools, pace.clone()));
    let mut watch = connect(url).await;
    let indexed = "select count(*) from documents where status = 'indexed'";
    let all = i64::try_from(documents).expect("a small number");
    while sqlx::query_scalar::<_, i64>(indexed).fetch_one(&mut watch).await.expect("a count") < all {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    pace.stop.cancel();
    working.await.expect("workers end");
    store.close().await;
    std::fs::remove_dir_all(data_dir).expect("a folder of its own");
    seconds
}

fn tools(store: Store, folder: &Path, data_dir: &Path) -> Tools {
    let tokenizer = Tokenizer::load(&folder.join("tokenizer.json")).expect("a tokenizer");
    Tools {
        store,
        embedders: Embedders::new(Arc::new(Free { tokenizer }), Vec::new()),
        originals: Originals::open(data_dir, None, &[]).expect("a folder"),
        extractor: worker::Worker::new(PathBuf::from(env!("CARGO_BIN_EXE_almanac")), worker::Limits::default()),
        ocr: None,
        options: ExtractOptions::default(),
        sealer: Sealer::new(&SecretString::from("07".repeat(32))).expect("a key"),
        large_text: Arc::new(Semaphore::new(1)),
    }
}

async fn queue_documents(tools: &Tools, documents: usize) {
    let key = generate_key().expect("randomness");
    let workspace_id = tools.store.create_workspace("bench", &key).await.expect("a workspace");
    let mut workspace = tools.store.workspace(workspace_id).await.expect("a workspace");
    let new = NewKnowledgeBase {
        name: "bench".to_owned(),
        description: None,
        collapse_duplicates: false,
        index: IndexPlan {
            language: "english".to_owned(),
            embedding_model: "free".to_owned(),
            dimensions: i32::try_from(DIMENSIONS).expect("a small number"),
            chunk_size: 256,
            chunk_overlap: 0,
        },
        metadata: serde_json::json!({}),
    };
    let base = workspace.create_knowledge_base(&new).await.expect("a knowledge base").id;
    let batch_id = Uuid::now_v7();
    workspace.enter_batch(batch_id, base).await.expect("a batch");
    let text = samples::text(true, documents * DOCUMENT_BYTES);
    for number in 0..documents {
        let [from, to] = [number, number + 1].map(|at| text.floor_char_boundary(at * DOCUMENT_BYTES));
        let mut draft = tools.originals.draft(workspace_id, base);
        draft.write(&text.as_bytes()[from..to]).await.expect("a file");
        let mut written = draft.finish().await.expect("a file");
        written.keep();
        let upload = Upload {
            knowledge_base_id: base,
            batch_id,
            external_id: Some(number.to_string()),
            title: format!("Document {number}"),
            title_given: true,
            file_name: None,
            content_type: "text/markdown".to_owned(),
            size: i64::try_from(written.size).expect("a small file"),
            sha256: written.sha256.clone(),
            original: written.id,
            metadata: serde_json::json!({}),
            password: None,
            request_id: String::new(),
        };
        workspace.register_uploads(&[upload]).await.expect("a document").expect("an open batch");
    }
    workspace.commit().await.expect("documents");
}

/// Costs nothing: a unit vector for each passage, another one for another passage.
struct Free {
    tokenizer: Tokenizer,
}

#[async_trait::async_trait]
impl Embedder for Free {
    fn name(&self) -> &str {
        "free"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn window(&self) -> usize {
        254
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    async fn embed_documents(&self, passages: Vec<Passage>) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(passages.iter().map(|passage| unit_vector(chunk::fingerprint(passage).as_u64_pair().0)).collect())
    }

    async fn embed_query(&self, _: &str) -> Result<Vec<f32>, ModelError> {
        Ok(unit_vector(1))
    }
}

/// As good as an embedding, as far as PostgreSQL can see.
fn unit_vector(mut random: u64) -> Vec<f32> {
    let numbers: Vec<f32> = (0..DIMENSIONS)
        .map(|_| {
            // Knuth's constants.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.iter().map(|number| number / length).collect()
}
