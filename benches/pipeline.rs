//! How many chunks a second PostgreSQL takes by plain COPY, into the tables and indexes that documents are stored in: what
//! the pipeline is measured against.
//!
//!     cargo bench --bench pipeline -- MODEL_FOLDER [documents, 100 unless given]
//!
//! One database is filled with chunks of generated documents; their rows are read out in PostgreSQL's binary format and
//! copied, in one transaction, into a second database with the same migrations. Both lie in the PostgreSQL of
//! ALMANAC_BENCH_DATABASE_URL (a superuser's), else in an embedded one in a folder of its own, durable as in use.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod samples;

use std::path::{Path, PathBuf};
use std::time::Instant;

use almanac::ingest::chunk::{self, ChunkSizes, Chunked};
use almanac::ingest::extract::Extracted;
use almanac::lexemes::{self, Language};
use almanac::models::Tokenizer;
use almanac::postgres::{EmbeddedPostgres, Install, SUPERUSER};
use almanac::store::Store;
use futures::TryStreamExt;
use pgvector::HalfVector;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

const SIZES: ChunkSizes = ChunkSizes { max_tokens: 256, overlap: 0 };
const DOCUMENT_BYTES: usize = 100_000;
const DIMENSIONS: usize = 384;

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
    fill(&source, &folder, documents).await;

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

/// Puts chunks of generated documents into a database, by the statements that suffice for it.
async fn fill(url: &str, folder: &Path, documents: usize) {
    let tokenizer = Tokenizer::load(&folder.join("tokenizer.json")).expect("a tokenizer");
    let mut connection = connect(url).await;
    let [workspace, knowledge_base, batch] = [(); 3].map(|()| Uuid::now_v7());
    let parents = format!(
        "insert into workspaces (id, name) values ('{workspace}', 'bench');
         insert into knowledge_bases (id, workspace_id, name, chunk_size, chunk_overlap, embedding_model, dimensions, language)
         values ('{knowledge_base}', '{workspace}', 'bench', 256, 0, 'bench', {DIMENSIONS}, 'english');
         insert into batches (id, workspace_id, knowledge_base_id) values ('{batch}', '{workspace}', '{knowledge_base}')"
    );
    connection.execute(AssertSqlSafe(parents)).await.expect("a knowledge base");
    let text = samples::text(true, documents * DOCUMENT_BYTES);
    let mut random = 1;
    for number in 0..documents {
        let [from, to] = [number, number + 1].map(|at| text.floor_char_boundary(at * DOCUMENT_BYTES));
        let extracted = Extracted { title: None, text: text[from..to].to_owned(), markdown: true, pages: Vec::new() };
        let chunked = chunk::chunk(extracted, "The title", &tokenizer, SIZES);
        let document = Document { id: Uuid::now_v7(), workspace, knowledge_base, batch };
        document.insert(&mut connection, &chunked).await;
        document.insert_chunks(&mut connection, &chunked, &mut random).await;
    }
}

struct Document {
    id: Uuid,
    workspace: Uuid,
    knowledge_base: Uuid,
    batch: Uuid,
}

impl Document {
    async fn insert(&self, connection: &mut PgConnection, chunked: &Chunked) {
        let statement = "
            with document as (
                insert into documents
                    (id, workspace_id, knowledge_base_id, batch_id, title, title_given, content_type, size, sha256, original)
                values ($1, $2, $3, $4, 'The title', true, 'text/markdown', $5, sha256($1::text::bytea), $1)
            )
            insert into document_contents
                (document_id, workspace_id, knowledge_base_id, version, title, content_type, metadata, document_created_at, text)
            values ($1, $2, $3, 1, 'The title', 'text/markdown', '{}', now(), $6)";
        let query =
            sqlx::query(statement).bind(self.id).bind(self.workspace).bind(self.knowledge_base).bind(self.batch);
        let query = query.bind(i64::from(to_i32(chunked.text().len()))).bind(chunked.text());
        query.execute(connection).await.expect("a document is taken");
    }

    async fn insert_chunks(&self, connection: &mut PgConnection, chunked: &Chunked, random: &mut u64) {
        let all = 0..chunked.len();
        for (index, (chunk, passage)) in chunked.chunks(all.clone()).zip(chunked.passages(all)).enumerate() {
            let lexemes = lexemes::lexemes(&passage.text, Language::English);
            let weights = lexemes::bm25_weights(&lexemes, lexemes::length(&lexemes));
            let terms: Vec<String> = lexemes.into_keys().map(|lexeme| format!("1:{lexeme}")).collect();
            let statement = "
                with chunk as (
                    insert into document_chunks
                        (id, workspace_id, knowledge_base_id, document_id, index, content, heading_path, start_offset, end_offset, token_count)
                    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                )
                insert into chunk_search (chunk_id, workspace_id, knowledge_base_id, document_id, lexemes, bm25, embedding)
                values ($1, $2, $3, $4, array_to_tsvector($11), $12, $13)";
            let query = sqlx::query(statement).bind(Uuid::now_v7()).bind(self.workspace).bind(self.knowledge_base);
            let query =
                query.bind(self.id).bind(to_i32(index)).bind(&chunked.text()[chunk.bytes]).bind(chunk.heading_path);
            let query =
                query.bind(to_i32(chunk.chars.start)).bind(to_i32(chunk.chars.end)).bind(to_i32(chunk.token_count));
            let query = query.bind(terms).bind(lexemes::sparse(&weights)).bind(unit_vector(random));
            query.execute(&mut *connection).await.expect("a chunk is taken");
        }
    }
}

fn to_i32(number: usize) -> i32 {
    i32::try_from(number).expect("documents are small")
}

/// As good as an embedding, as far as PostgreSQL can see.
fn unit_vector(random: &mut u64) -> HalfVector {
    let numbers: Vec<f32> = (0..DIMENSIONS)
        .map(|_| {
            // Knuth's constants.
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*random >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    HalfVector::from_f32_slice(&numbers.iter().map(|number| number / length).collect::<Vec<f32>>())
}
