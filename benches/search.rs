//! How fast search is over HTTP: against the bare statements and the question's embedding, under filters, with many
//! clients, beside a bulk ingestion, and as the number of chunks grows; and how much of exact search HNSW finds.
//!
//!     cargo bench --bench search -- MODEL_FOLDER COLLECTION [chunks, 10000,100000 unless given]
//!
//! COLLECTION is a folder in BEIR form (corpus.jsonl, queries.jsonl). Chunks are made by perturbing its documents: four
//! fifths of the words of one with twenty of another, and the vector of the first with noise of half its length. They are
//! copied into the tables as ingestion would have left them, a document each, with one of a hundred values as metadata.
//! Server, PostgreSQL (embedded, durable, in a folder of its own) and clients share this machine.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use almanac::app::App;
use almanac::config::{Config, Given};
use almanac::http;
use almanac::lexemes::{self, Language};
use almanac::models::{Embedder, Passage};
use almanac::postgres::{SUPERUSER, url_of_running};
use almanac::store::chunks::SearchIndex;
use almanac::store::hnsw::HnswRule;
use almanac::store::search::{Narrowing, Ranking, TextRanking};
use pgvector::HalfVector;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};
use uuid::Uuid;

const KEY: &str = "benchmark-administration-key";
const ROWS_AT_ONCE: usize = 2_000;
const WORDS: usize = 130;
const FOREIGN_WORDS: usize = 20;
const NOISE: f32 = 0.5;
const BUCKETS: usize = 100;
const CLIENTS: usize = 16;
const UNDER_LOAD: Duration = Duration::from_secs(10);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let model = PathBuf::from(arguments.next().expect("an argument names the model's folder"));
    let folder = PathBuf::from(arguments.next().expect("an argument names a collection"));
    let sizes = arguments.next().unwrap_or_else(|| "10000,100000".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|size| size.parse().expect("a number of chunks")).collect();
    // The same provider as everywhere in this process; it does not matter who installs it first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let bench = Bench::start(&model, &folder).await;
        for size in &sizes {
            bench.measure(*size, Some(size) == sizes.last()).await;
        }
        bench.end().await;
    });
}

/// A server with what its chunks are made of.
struct Bench {
    app: App,
    url: String,
    client: reqwest::Client,
    data_dir: PathBuf,
    documents: Vec<Document>,
    questions: Vec<String>,
}

struct Document {
    words: Vec<String>,
    vector: Vec<f32>,
}

/// A knowledge base that was filled.
struct Filled {
    id: Uuid,
    index: SearchIndex,
    chunks: usize,
}

impl Bench {
    async fn start(model: &Path, folder: &Path) -> Bench {
        let data_dir = std::env::temp_dir().join(format!("almanac-bench-{}", std::process::id()));
        let postgres = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/almanac/postgresql");
        let given: Given = [
            ("bind", "127.0.0.1:0"),
            ("data_dir", data_dir.to_str().expect("a readable path")),
            ("admin_key", KEY),
            ("postgres_dir", postgres.to_str().expect("a readable path")),
            ("embedding_dir", model.to_str().expect("a readable path")),
            ("hnsw_memory_mb", "2048"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let config = Config::check(&given).expect("settings");
        let (app, _) = App::build(config, PathBuf::from(env!("CARGO_BIN_EXE_almanac"))).await.expect("a server");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = http::router(&app);
        tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        tokio::spawn({
            let app = app.clone();
            async move { app.ingest().await }
        });
        let documents = embedded(&**app.embedders.default(), &lines(&folder.join("corpus.jsonl"))).await;
        let questions = lines(&folder.join("queries.jsonl")).iter().map(|line| text(line, "text")).collect();
        Bench { app, url, client: reqwest::Client::new(), data_dir, documents, questions }
    }

    async fn end(self) {
        self.app.shut_down().await.expect("an orderly end");
        std::fs::remove_dir_all(self.data_dir).expect("a folder of its own");
    }

    async fn owner(&self) -> PgConnection {
        let url = url_of_running(&self.data_dir.join("postgres"), SUPERUSER, "almanac").expect("a running PostgreSQL");
        PgConnection::connect(&url).await.expect("a connection")
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(KEY).json(body);
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success(), "{}", response.text().await.unwrap_or_default());
        response.json().await.expect("JSON")
    }

    /// Milliseconds of a search for ten results, as the client sees it.
    async fn search(&self, base: &Filled, question: &str, mode: &str, filter: Option<Value>) -> (f64, Value) {
        let mut body = json!({"query": question, "knowledge_base_ids": [base.id], "mode": mode});
        if let Some(filter) = filter {
            body["filter"] = filter;
        }
        let began = Instant::now();
        let found = self.post("/v1/search", &body).await;
        (milliseconds(began), found)
    }

    async fn measure(&self, chunks: usize, in_full: bool) {
        let began = Instant::now();
        let base = self.fill(chunks).await;
        println!("\n{chunks} chunks, made and copied in {:.0} s", began.elapsed().as_secs_f64());
        self.compare(&base, "exact").await;
        let exact = self.nearest(&base).await;
        let began = Instant::now();
        let threshold = std::num::NonZero::new(u32::try_from(chunks).expect("few enough"));
        self.app.store.tend_hnsw(HnswRule { threshold, memory_megabytes: 2_048 }).await.expect("a graph");
        println!("  HNSW graph built in {:.0} s", began.elapsed().as_secs_f64());
        let near = self.nearest(&base).await;
        println!(
            "  recall@10 of HNSW: {:.4} without filter, {:.4} with one of 25 %, {:.4} of 1 %",
            recall(&exact[0], &near[0]),
            recall(&exact[1], &near[1]),
            recall(&exact[2], &near[2])
        );
        self.compare(&base, "hnsw").await;
        if in_full {
            self.clients(&base).await;
            self.beside_ingestion(&base).await;
        }
    }

    /// HTTP against its parts, question by question in turn.
    async fn compare(&self, base: &Filled, index: &str) {
        // Of another size they would be other questions: vectors of those that were asked are kept.
        let index_and_size = format!("{index} {}", base.chunks);
        let (mut bare, mut over_http, mut filtered, mut embedding) = (vec![], vec![], vec![], vec![]);
        for (number, question) in self.questions.iter().enumerate() {
            // Nobody has asked any of these, so no vector is kept.
            let (embed_ms, sql_ms) = self.bare(base, &format!("{question} {index_and_size} a{number}")).await;
            let (http_ms, _) =
                self.search(base, &format!("{question} {index_and_size} b{number}"), "hybrid", None).await;
            let filter = json!({"type": "eq", "key": "bucket", "value": number % BUCKETS});
            let (filter_ms, found) =
                self.search(base, &format!("{question} {index_and_size} c{number}"), "hybrid", Some(filter)).await;
            assert_eq!(found["results"].as_array().map_or(0, Vec::len), 10, "the full number of results");
            embedding.push(embed_ms);
            bare.push(embed_ms + sql_ms);
            over_http.push(http_ms);
            filtered.push(filter_ms);
        }
        let [bare, over_http, filtered, embedding] = [bare, over_http, filtered, embedding].map(Times::of);
        println!(
            "  {index}: embedding {embedding}; with the bare statements {bare}; over HTTP {over_http}, {:.2} of that; \
                  filter of 1 % {filtered}, {:.2} of no filter",
            over_http.p50 / bare.p50,
            filtered.p50 / over_http.p50
        );
    }

    /// Milliseconds of embedding a question, and of the statements of a search.
    async fn bare(&self, base: &Filled, question: &str) -> (f64, f64) {
        let began = Instant::now();
        let vector = self.app.embedders.default().embed_query(question).await.expect("a vector");
        let (embed_ms, began) = (milliseconds(began), Instant::now());
        let vector = HalfVector::from_f32_slice(&vector);
        let asked = lexemes::asked(question, &[Language::English]);
        let workspace_id = self.workspace_id().await;
        let mut workspace = self.app.store.snapshot(workspace_id).await.expect("a snapshot");
        let words: Vec<String> = asked.keys().cloned().collect();
        let counts = workspace.lexeme_counts(&[base.index], &words).await.expect("counts");
        let mut terms: Vec<(String, i64)> = counts.into_iter().map(|(_, lexeme, count)| (lexeme, count)).collect();
        terms.sort_by_key(|(_, count)| *count);
        let idf = |count: i64| ((base.chunks as f64 - count as f64 + 0.5) / (count as f64 + 0.5) + 1.0).ln() as f32;
        let weights: Vec<(u32, f32)> = terms
            .iter()
            .map(|(lexeme, count)| (lexemes::index_of(lexeme), idf(*count) * asked[lexeme] as f32))
            .collect();
        let text = TextRanking { terms, weights: lexemes::sparse(&weights) };
        let ranking = Ranking {
            indexes: &[base.index],
            narrowing: &Narrowing::default(),
            question: Some(&vector),
            text: Some(&text),
            per_leg: 100,
        };
        let ranked = workspace.rank_chunks(&ranking).await.expect("candidates");
        let ids: Vec<Uuid> = ranked.iter().take(10).map(|chunk| chunk.chunk_id).collect();
        workspace.found_chunks(&ids).await.expect("chunks");
        workspace.commit().await.expect("an end");
        (embed_ms, milliseconds(began))
    }

    async fn workspace_id(&self) -> Uuid {
        let key = secrecy::SecretString::from(KEY);
        self.app.store.authenticate(&key).await.expect("a store").expect("a key").workspace_id
    }

    /// The ten nearest chunks of each question: without a filter, and with two of different selectivity.
    async fn nearest(&self, base: &Filled) -> [Vec<HashSet<String>>; 3] {
        let mut found = [const { Vec::new() }; 3];
        for (number, question) in self.questions.iter().enumerate().step_by(2) {
            let filters = [
                None,
                Some(json!({"type": "lt", "key": "bucket", "value": BUCKETS / 4})),
                Some(json!({"type": "eq", "key": "bucket", "value": number % BUCKETS})),
            ];
            for (filter, found) in filters.into_iter().zip(&mut found) {
                let (_, answer) = self.search(base, question, "vector", filter).await;
                let ids = answer["results"].as_array().expect("results").iter();
                found.push(ids.map(|result| result["chunk_id"].to_string()).collect());
            }
        }
        found
    }

    /// The rate of many clients against that of one.
    async fn clients(&self, base: &Filled) {
        let one = self.rate(base, 1).await;
        let many = self.rate(base, CLIENTS).await;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        println!(
            "  one client {one:.0} searches/s, {CLIENTS} clients {many:.0}: {:.2} of {cores} cores times one",
            many / one / cores as f64
        );
    }

    async fn rate(&self, base: &Filled, clients: usize) -> f64 {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let began = Instant::now();
        let ask = async || {
            let mut asked = 0;
            while began.elapsed() < UNDER_LOAD {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let question = format!("{} r{number}", self.questions[number % self.questions.len()]);
                self.search(base, &question, "hybrid", None).await;
                asked += 1;
            }
            asked
        };
        let asked: usize = futures::future::join_all((0..clients).map(|_| ask())).await.into_iter().sum();
        asked as f64 / began.elapsed().as_secs_f64()
    }

    /// What a bulk ingestion into another knowledge base costs those who search.
    async fn beside_ingestion(&self, base: &Filled) {
        let idle = self.times(base, "idle").await;
        let other = self.post("/v1/knowledge-bases", &json!({"name": "bulk"})).await;
        let path = format!("/v1/knowledge-bases/{}/documents", other["id"].as_str().expect("an id"));
        for (number, documents) in self.documents.chunks(5).enumerate().take(400) {
            let words: Vec<&str> =
                documents.iter().flat_map(|document| document.words.iter().map(String::as_str)).collect();
            self.post(&path, &json!({"content": format!("{number} {}", words.join(" "))})).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let busy = self.times(base, "busy").await;
        let kept = self.client.get(format!("{}/v1/knowledge-bases/{}", self.url, other["id"].as_str().expect("an id")));
        let counts: Value = kept.bearer_auth(KEY).send().await.expect("an answer").json().await.expect("JSON");
        assert!(
            counts["document_counts"]["uploaded"].as_i64() > Some(0),
            "the ingestion ended before the searches: {counts}"
        );
        println!("  idle {idle}; beside a bulk ingestion {busy}: p95 {:.2} times", busy.p95 / idle.p95);
    }

    async fn times(&self, base: &Filled, name: &str) -> Times {
        let mut times = Vec::new();
        for (number, question) in self.questions.iter().enumerate() {
            times.push(self.search(base, &format!("{question} {name} {number}"), "hybrid", None).await.0);
        }
        Times::of(times)
    }

    async fn fill(&self, chunks: usize) -> Filled {
        let made =
            self.post("/v1/knowledge-bases", &json!({"name": format!("{chunks} chunks"), "language": "english"})).await;
        let id: Uuid = made["id"].as_str().expect("an id").parse().expect("a UUID");
        let mut owner = self.owner().await;
        let row = sqlx::query("select index_id, number, workspace_id from knowledge_bases where id = $1")
            .bind(id)
            .fetch_one(&mut owner)
            .await
            .expect("a row");
        let index = SearchIndex { id: row.get(0), number: row.get(1) };
        let mut rows = Rows { workspace: row.get(2), base: id, index, random: Random(7), counts: BTreeMap::new() };
        // Uploads are not what is measured: no document rows, and nothing that checks for them.
        owner.execute("set session_replication_role = replica").await.expect("a superuser");
        for first in (0..chunks).step_by(ROWS_AT_ONCE) {
            let made = rows.make(&self.documents, first..chunks.min(first + ROWS_AT_ONCE));
            for (table, rows) in made {
                copy(&mut owner, table, &rows).await;
            }
        }
        copy(&mut owner, "lexeme_stats (workspace_id, index_id, lexeme, chunk_count)", &rows.lexeme_stats()).await;
        let count = i64::try_from(chunks).expect("few enough");
        let counted = "update knowledge_bases set chunk_count = $2, languages = '{english}' where id = $1";
        sqlx::query(counted).bind(id).bind(count).execute(&mut owner).await.expect("a row");
        owner.execute("vacuum analyze").await.expect("statistics");
        Filled { id, index, chunks }
    }
}

/// Makes rows in the text format of COPY.
struct Rows {
    workspace: Uuid,
    base: Uuid,
    index: SearchIndex,
    random: Random,
    counts: BTreeMap<String, usize>,
}

impl Rows {
    fn make(&mut self, documents: &[Document], numbers: std::ops::Range<usize>) -> [(&'static str, String); 4] {
        let (workspace, base, index) = (self.workspace, self.base, self.index.id);
        let [mut contents, mut chunks, mut search, mut metadata] = [const { String::new() }; 4];
        for number in numbers {
            let id = Uuid::now_v7();
            let (text, vector) = self.perturb(documents);
            let lexemes = lexemes::lexemes(&text, Language::English);
            let weights = lexemes::bm25_weights(&lexemes, lexemes::length(&lexemes));
            let weights: Vec<String> = weights.iter().map(|(place, weight)| format!("{place}:{weight}")).collect();
            let prefixed: Vec<String> = lexemes
                .keys()
                .map(|lexeme| format!("'{}:{}'", self.index.number, lexeme.replace('\'', "''")))
                .collect();
            for lexeme in lexemes.into_keys() {
                *self.counts.entry(lexeme).or_default() += 1;
            }
            let vector: Vec<String> = vector.iter().map(|x| format!("{x:.5}")).collect();
            let (bucket, length) = (number % BUCKETS, text.chars().count());
            let written = [
                writeln!(
                    contents,
                    "{id}\t{workspace}\t{base}\t1\t{number}\ttext/plain\t{{\"bucket\": {bucket}}}\t2026-01-01\t{text}\tenglish"
                ),
                writeln!(chunks, "{id}\t{workspace}\t{base}\t{id}\t{index}\t0\t{text}\t{{}}\t0\t{length}\t200"),
                writeln!(
                    search,
                    "{id}\t{workspace}\t{index}\t{id}\t{}\t{{{}}}/1000000000\t[{}]",
                    prefixed.join(" "),
                    weights.join(","),
                    vector.join(",")
                ),
                writeln!(metadata, "{id}\t1\t{workspace}\t{base}\tbucket\tnumber\t{bucket}"),
            ];
            assert!(written.iter().all(Result::is_ok), "a string takes everything");
        }
        [
            (
                "document_contents (document_id, workspace_id, knowledge_base_id, version, title, content_type, metadata, document_created_at, text, language)",
                contents,
            ),
            (
                "document_chunks (id, workspace_id, knowledge_base_id, document_id, index_id, index, content, heading_path, start_offset, end_offset, token_count)",
                chunks,
            ),
            ("chunk_search (chunk_id, workspace_id, index_id, document_id, lexemes, bm25, embedding)", search),
            ("document_metadata (document_id, position, workspace_id, knowledge_base_id, key, kind, number)", metadata),
        ]
    }

    fn perturb(&mut self, documents: &[Document]) -> (String, Vec<f32>) {
        let [one, other] = [(); 2].map(|()| &documents[self.random.below(documents.len())]);
        let kept = one.words.iter().filter(|_| self.random.below(5) > 0).take(WORDS);
        let mut words: Vec<&str> = kept.map(String::as_str).collect();
        words.extend((0..FOREIGN_WORDS).map(|_| other.words[self.random.below(other.words.len())].as_str()));
        let scale = NOISE / (one.vector.len() as f32).sqrt();
        let mut vector: Vec<f32> = one.vector.iter().map(|x| x + scale * self.random.normal()).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        (words.join(" "), vector)
    }

    fn lexeme_stats(&self) -> String {
        let row =
            |(lexeme, count): (&String, &usize)| format!("{}\t{}\t{lexeme}\t{count}\n", self.workspace, self.index.id);
        self.counts.iter().map(row).collect()
    }
}

async fn copy(owner: &mut PgConnection, table: &str, rows: &str) {
    let mut copy = owner.copy_in_raw(&format!("copy {table} from stdin")).await.expect("a table");
    copy.send(rows.as_bytes()).await.expect("rows");
    copy.finish().await.expect("rows that fit");
}

async fn embedded(embedder: &dyn Embedder, lines: &[Value]) -> Vec<Document> {
    let texts: Vec<String> =
        lines.iter().map(|line| format!("{} {}", text(line, "title"), text(line, "text"))).collect();
    let passages = texts.iter().map(|text| {
        let mut token_ids = embedder.tokenizer().encode(text).ids;
        token_ids.truncate(embedder.window());
        Passage { text: text.clone(), token_ids }
    });
    let vectors = embedder.embed_documents(passages.collect()).await.expect("vectors");
    let words = |text: &String| {
        let plain = |char: char| if char.is_alphanumeric() { char } else { ' ' };
        text.chars().map(plain).collect::<String>().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let documents = texts.iter().zip(vectors).map(|(text, vector)| Document { words: words(text), vector });
    documents.filter(|document| document.words.len() > FOREIGN_WORDS).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text(line: &Value, field: &str) -> String {
    line[field].as_str().unwrap_or_default().to_owned()
}

fn recall(exact: &[HashSet<String>], near: &[HashSet<String>]) -> f64 {
    let found: usize = exact.iter().zip(near).map(|(exact, near)| exact.intersection(near).count()).sum();
    found as f64 / exact.iter().map(HashSet::len).sum::<usize>() as f64
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// Of many searches, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    p50: f64,
    p95: f64,
}

impl Times {
    fn of(mut times: Vec<f64>) -> Times {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        Times { p50: at(50), p95: at(95) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.2} ms p95 {:.2} ms", self.p50, self.p95)
    }
}

/// xorshift64* (Vigna, 2016): the same chunks in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 32).expect("32 bits fit") % bound
    }

    /// Nearly normal: the sum of twelve uniform numbers less six.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0
    }
}
