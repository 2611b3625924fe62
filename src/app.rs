//! Everything that is built once and shared: the store, the models, users' databases, limits. Cheap to clone.

pub mod audit;
pub mod databases;
pub mod examples;
pub mod limits;
mod storage;
pub mod streams;
pub mod syncs;
pub mod turns;
pub mod uploads;
mod usage;

use std::{
    fs, io,
    num::NonZero,
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use databases::Databases;
use limits::Limits;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, Executor, postgres::PgConnectOptions};
use streams::Streams;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uploads::Uploads;

use crate::{
    answer::{self, search},
    config::{self, Config},
    ingest::{
        self,
        extract::{
            ExtractOptions, PdfEngine,
            ocr::{self, Ocr},
            worker::{self, Worker},
        },
        originals::Originals,
        queue::{self, Bell, Pace},
        reindex,
    },
    models::{Embedder, Embedders, LanguageModel, local::LocalEmbedder, openai, rerank::Reranker},
    postgres::{self, EmbeddedPostgres, Install, SUPERUSER},
    store::{Sealer, Store, hnsw::HnswRule, keys::generate_key},
    telemetry,
    text_to_sql::engine::{Access, HostRule, OwnPostgres},
};

/// Shared state; every handler holds one.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub config: Config,
    pub store: Store,
    pub embedders: Embedders,
    pub language_model: Option<Arc<dyn LanguageModel>>,
    pub reranker: Option<Arc<Reranker>>,
    pub originals: Originals,
    pub extractor: Worker,
    pub ocr: Option<Ocr>,
    pub sealer: Sealer,
    pub databases: Databases,
    pub limits: Limits,
    pub uploads: Uploads,
    pub streams: Streams,
    pub metrics: PrometheusHandle,
    /// Rings when an upload has put something into the queue.
    pub bell: Bell,
    /// Rings when a knowledge base is to be re-indexed.
    pub reindex_bell: Bell,
    /// Set when the process is asked to end.
    pub stop: CancellationToken,
    /// Set when what is in hand must be given back.
    pub cut: CancellationToken,
    postgres: tokio::sync::Mutex<Option<EmbeddedPostgres>>,
}

/// What a new installation tells its owner, once.
pub struct FirstKey(pub SecretString);

/// How long connections may take to close on shutdown.
const CLOSING: Duration = Duration::from_secs(5);
/// A key is asked for by itself; until this, old ones only take room.
const KEY_SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Partitions are made two months ahead.
const AUDIT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Until a graph is there, search is exact: slower, and never worse.
const TEND_INTERVAL: Duration = Duration::from_secs(15);
/// What failed will most likely fail again, and building one costs minutes.
const FAILED_TEND_INTERVAL: Duration = Duration::from_secs(600);
/// Name of the embedded server's one database.
const DATABASE: &str = "almanac";
const SERVER_ROLE: &str = "almanac_server";

impl App {
    /// Builds everything, in the order in which things need each other. `extractor` is the executable that extracts
    /// documents: this one, except in tests.
    pub async fn build(config: Config, extractor: PathBuf) -> anyhow::Result<(App, Option<FirstKey>)> {
        prepare_data_dir(&config.data_dir)?;
        let (store, postgres) = open_store(&config).await?;
        let first_key = bootstrap(&config, &store).await?;
        let app = App::assemble(config, extractor, store, postgres).await?;
        app.mark_storage().await?;
        // A statement whose decision has no partition to go to would not run.
        app.store.tend_audit_logs(app.config.audit_days).await?;
        Ok((app, first_key))
    }

    /// What a worker beside a server needs: the server's PostgreSQL, its secret key, and its storage for files.
    pub async fn build_worker(config: Config, extractor: PathBuf) -> anyhow::Result<App> {
        // A key of its own would open none of the server's secrets.
        let has_secret = config.secret_key.is_some() || config.data_dir.join(SECRET_KEY_FILE).exists();
        ensure!(
            has_secret,
            "a worker needs the server's ALMANAC_SECRET_KEY, or its data folder with {SECRET_KEY_FILE}"
        );
        let store = join_store(&config).await?;
        let app = App::assemble(config, extractor, store, None).await?;
        app.check_storage().await?;
        Ok(app)
    }

    async fn assemble(
        config: Config,
        extractor: PathBuf,
        store: Store,
        postgres: Option<EmbeddedPostgres>,
    ) -> anyhow::Result<App> {
        let parts = Parts {
            embedders: embedders(&config, &store).await?,
            store,
            language_model: language_model(&config)?,
            reranker: reranker(&config)?,
            originals: storage::open(&config)?,
            ocr: config.ocr_command.clone().map(|command| Ocr::new(extractor.clone(), command, ocr::Limits::default())),
            extractor: Worker::new(extractor, worker::Limits::default()),
            sealer: Sealer::new(&secret_key(&config)?)?,
            databases: Databases::new(access(&config, postgres.as_ref())?),
            limits: Limits::new(config.requests_per_minute),
            uploads: Uploads::default(),
            streams: Streams::default(),
            metrics: telemetry::metrics(),
            bell: Bell::default(),
            reindex_bell: Bell::default(),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            postgres: tokio::sync::Mutex::new(postgres),
            config,
        };
        Ok(App(Arc::new(parts)))
    }

    /// What answers are written with.
    pub fn answering(&self) -> answer::Tools {
        answer::Tools {
            search: self.searching(),
            language_model: self.language_model.clone(),
            llm_context_tokens: self.config.llm_context_tokens,
        }
    }

    /// What searches are made with.
    pub fn searching(&self) -> search::Tools {
        search::Tools { store: self.store.clone(), embedders: self.embedders.clone(), reranker: self.reranker.clone() }
    }

    /// Works off the queue, and re-indexes knowledge bases, until [`Parts::stop`].
    pub async fn ingest(&self) {
        let tools = ingest::Tools {
            store: self.store.clone(),
            embedders: self.embedders.clone(),
            originals: self.originals.clone(),
            extractor: self.extractor.clone(),
            ocr: self.ocr.clone(),
            options: ExtractOptions { pdf_engine: pdf_engine(self.config.pdf_engine), password: None },
            sealer: self.sealer.clone(),
            large_text: Arc::new(Semaphore::new(1)),
        };
        let pace = Pace {
            workers: self.config.ingest_workers,
            lease: self.config.lease,
            bell: Arc::clone(&self.bell),
            stop: self.stop.clone(),
            cut: self.cut.clone(),
        };
        if pace.workers == 0 {
            return;
        }
        let reindexing = reindex::work(tools.clone(), pace.clone(), Arc::clone(&self.reindex_bell));
        tokio::join!(queue::work(tools, pace), reindexing);
    }

    /// Once an hour until [`Parts::stop`], removes idempotency keys that have run out.
    pub async fn sweep_idempotency_keys(&self) {
        while self.stop.run_until_cancelled(tokio::time::sleep(KEY_SWEEP_INTERVAL)).await.is_some() {
            if let Err(error) = self.store.sweep_idempotency_keys().await {
                tracing::warn!(%error, "idempotency keys could not be swept");
            }
        }
    }

    /// Once a day until [`Parts::stop`], makes room for the decisions of months to come, and drops old ones.
    pub async fn tend_audit_logs(&self) {
        while self.stop.run_until_cancelled(tokio::time::sleep(AUDIT_INTERVAL)).await.is_some() {
            if let Err(error) = self.store.tend_audit_logs(self.config.audit_days).await {
                tracing::warn!(%error, "the audit log could not be tended");
            }
        }
    }

    /// Builds HNSW graphs for knowledge bases that have outgrown exact search, until [`Parts::stop`].
    pub async fn tend_hnsw(&self) {
        let mut wait = TEND_INTERVAL;
        while self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            // Stopping does not wait for a graph: one that is cut short is built again.
            let tended = self.stop.run_until_cancelled(self.store.tend_hnsw(self.hnsw_rule())).await;
            wait = match tended {
                Some(Err(error)) => {
                    tracing::warn!(%error, "the HNSW graphs could not be tended");
                    FAILED_TEND_INTERVAL
                }
                _ => TEND_INTERVAL,
            };
        }
    }

    fn hnsw_rule(&self) -> HnswRule {
        HnswRule { threshold: NonZero::new(self.config.hnsw_threshold), memory_megabytes: self.config.hnsw_memory_mb }
    }

    /// Closes connections, then stops the embedded PostgreSQL.
    pub async fn shut_down(&self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.databases.close().await;
        // A connection that something still holds is cut by the end of the process.
        if tokio::time::timeout(CLOSING, self.store.close()).await.is_err() {
            tracing::warn!("connections to the store were still in use");
        }
        if let Some(postgres) = self.postgres.lock().await.take() {
            tokio::task::spawn_blocking(|| postgres.stop()).await??;
        }
        Ok(())
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// In a folder that we make, others may pass through to the embedded PostgreSQL, which runs as a user of its own, and see
/// nothing else. A folder that was there keeps the rights somebody gave it.
fn prepare_data_dir(dir: &Path) -> anyhow::Result<()> {
    let prepare = || {
        if !dir.exists() {
            fs::create_dir_all(dir)?;
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711))?;
        }
        let databases = dir.join("databases");
        if !databases.exists() {
            fs::create_dir(&databases)?;
            fs::set_permissions(databases, fs::Permissions::from_mode(0o700))?;
        }
        Ok::<(), io::Error>(())
    };
    prepare().with_context(|| format!("the data folder {} cannot be used", dir.display()))
}

async fn open_store(config: &Config) -> anyhow::Result<(Store, Option<EmbeddedPostgres>)> {
    if let Some(url) = &config.database_url {
        let store = Store::open(url, None).await.context("the PostgreSQL in ALMANAC_DATABASE_URL")?;
        return Ok((store, None));
    }
    let install = Install::find(config.postgres_dir.as_deref())?;
    let root = config.data_dir.join("postgres");
    let postgres = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&install, &root)).await??;
    create_database(&postgres).await.context("the embedded PostgreSQL")?;
    let (owner, server) = (postgres.url(SUPERUSER, DATABASE).into(), postgres.url(SERVER_ROLE, DATABASE).into());
    let store = Store::open(&owner, Some(&server)).await.context("the embedded PostgreSQL")?;
    Ok((store, Some(postgres)))
}

/// The configured PostgreSQL, else the embedded one of a server that runs on the same data folder.
async fn join_store(config: &Config) -> anyhow::Result<Store> {
    if let Some(url) = &config.database_url {
        return Store::join(url, None).await.context("the PostgreSQL in ALMANAC_DATABASE_URL");
    }
    let root = config.data_dir.join("postgres");
    let url = |user| postgres::url_of_running(&root, user, DATABASE).map(SecretString::from);
    let (Some(owner), Some(server)) = (url(SUPERUSER), url(SERVER_ROLE)) else {
        bail!("no server runs on {}: start it first, or set ALMANAC_DATABASE_URL", config.data_dir.display());
    };
    Store::join(&owner, Some(&server)).await.context("the embedded PostgreSQL of the running server")
}

async fn create_database(postgres: &EmbeddedPostgres) -> sqlx::Result<()> {
    let mut connection = sqlx::PgConnection::connect(&postgres.url(SUPERUSER, "postgres")).await?;
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        connection.execute("create database almanac").await?;
    }
    connection.close().await
}

/// The first key of a new installation: the configured one, else one that is made and left beside the data, so that
/// clients on this machine find it.
async fn bootstrap(config: &Config, store: &Store) -> anyhow::Result<Option<FirstKey>> {
    if let Some(key) = &config.admin_key {
        if !store.bootstrap(key).await? && store.authenticate(key).await?.is_none() {
            tracing::warn!("ALMANAC_ADMIN_KEY is not a key of this installation, which has keys already");
        }
        return Ok(None);
    }
    let key = generate_key().map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    // The file comes first: a key that is in the store and nowhere else would lock everybody out.
    let (file, fresh) = (config.data_dir.join(ADMIN_KEY_FILE), config.data_dir.join("admin.key.fresh"));
    write_private(&fresh, key.expose_secret())?;
    if !store.bootstrap(&key).await? {
        fs::remove_file(&fresh)?;
        return Ok(None);
    }
    fs::rename(&fresh, &file)?;
    Ok(Some(FirstKey(key)))
}

/// Where the first key lies when it was made here.
pub const ADMIN_KEY_FILE: &str = "admin.key";
/// Where the URL of a running server lies.
pub const ADDRESS_FILE: &str = "server.url";
const SECRET_KEY_FILE: &str = "secret.key";

/// The configured key, else the one in the data folder, made when it is missing.
fn secret_key(config: &Config) -> anyhow::Result<SecretString> {
    if let Some(key) = &config.secret_key {
        return Ok(key.clone());
    }
    let path = config.data_dir.join(SECRET_KEY_FILE);
    match fs::read_to_string(&path) {
        Ok(key) => Ok(SecretString::from(key.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
            let key = hex::encode(bytes);
            write_private(&path, &key)?;
            Ok(SecretString::from(key))
        }
        Err(error) => bail!("{} cannot be read: {error}", path.display()),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let aside = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// The configured model, and those that knowledge bases were made with before it was configured, where they are found.
async fn embedders(config: &Config, store: &Store) -> anyhow::Result<Embedders> {
    let default: Arc<dyn Embedder> = match &config.embedding {
        Some(remote) => {
            let server = model_server(&remote.endpoint);
            Arc::new(openai::OpenAiEmbedder::new(&server, remote.dimensions)?)
        }
        None => Arc::new(local_embedder(&embedding_dir(config)?, config.embedding_threads)?),
    };
    let mut others: Vec<Arc<dyn Embedder>> = Vec::new();
    for dir in &config.embedding_dirs {
        others.push(Arc::new(local_embedder(dir, config.embedding_threads)?));
    }
    let embedders = Embedders::new(default, others);
    let in_use = store.embedding_models_in_use().await?;
    let missing: Vec<&String> = in_use.iter().filter(|name| embedders.get(name).is_none()).collect();
    match (missing.first(), &config.embedding) {
        (Some(name), Some(_)) => Ok(with_local(embedders, config, name)),
        (Some(name), None) => {
            tracing::warn!(model = name, "a knowledge base was made with an embedding model that is not configured");
            Ok(embedders)
        }
        (None, _) => Ok(embedders),
    }
}

/// Knowledge bases from before a remote model was configured are searched with the local one.
fn with_local(embedders: Embedders, config: &Config, missing: &str) -> Embedders {
    match embedding_dir(config).and_then(|dir| local_embedder(&dir, config.embedding_threads)) {
        Ok(local) => embedders.with(Arc::new(local)),
        Err(error) => {
            tracing::warn!(model = missing, %error, "a knowledge base's embedding model cannot be loaded");
            embedders
        }
    }
}

fn local_embedder(dir: &Path, threads: usize) -> anyhow::Result<LocalEmbedder> {
    LocalEmbedder::load(dir, threads).with_context(|| format!("the embedding model in {}", dir.display()))
}

/// The local model's folder: the configured one, else beside the executable, else in the cache of a checkout.
pub fn embedding_dir(config: &Config) -> anyhow::Result<PathBuf> {
    if let Some(dir) = &config.embedding_dir {
        return Ok(dir.clone());
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let places = beside.iter().flat_map(|dir| [dir.join("embedding"), dir.join("../lib/almanac/embedding")]);
    places
        .chain([PathBuf::from(".cache/almanac/embedding")])
        .find(|dir| dir.join("model.safetensors").exists())
        .context("there is no embedding model: run `make setup`, or set ALMANAC_EMBEDDING_DIR or ALMANAC_EMBEDDING_URL")
}

fn language_model(config: &Config) -> anyhow::Result<Option<Arc<dyn LanguageModel>>> {
    let Some(remote) = &config.llm else { return Ok(None) };
    Ok(Some(Arc::new(openai::OpenAiLanguageModel::new(&model_server(remote))?)))
}

fn reranker(config: &Config) -> anyhow::Result<Option<Arc<Reranker>>> {
    let Some(rerank) = &config.rerank else { return Ok(None) };
    let reranker = Reranker::new(model_server(&rerank.endpoint), rerank.deadline).context("the reranker")?;
    Ok(Some(Arc::new(reranker)))
}

fn model_server(remote: &config::RemoteModel) -> openai::Server {
    openai::Server { url: remote.url.clone(), key: remote.key.clone(), model: remote.model.clone() }
}

fn access(config: &Config, postgres: Option<&EmbeddedPostgres>) -> anyhow::Result<Access> {
    let database_hosts = config.database_hosts.iter().map(|rule| rule.parse::<HostRule>()).collect::<Result<_, _>>()?;
    let own_postgres = match (&config.database_url, postgres) {
        (Some(url), _) => own_postgres(url)?,
        (None, Some(postgres)) => vec![OwnPostgres::Socket(postgres.socket_dir().join(socket_name(postgres.port())))],
        (None, None) => Vec::new(),
    };
    Ok(Access { sqlite_dirs: config.sqlite_dirs.clone(), database_hosts, own_postgres })
}

/// Our own server, by host and by socket: users' databases never live there.
fn own_postgres(url: &SecretString) -> anyhow::Result<Vec<OwnPostgres>> {
    let options: PgConnectOptions = url.expose_secret().parse().context("ALMANAC_DATABASE_URL")?;
    let host = OwnPostgres::Host { host: options.get_host().to_owned(), port: options.get_port() };
    let socket = options.get_socket().map(|dir| OwnPostgres::Socket(dir.join(socket_name(options.get_port()))));
    Ok([host].into_iter().chain(socket).collect())
}

fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

fn pdf_engine(engine: config::PdfEngine) -> PdfEngine {
    match engine {
        config::PdfEngine::Pdfboss => PdfEngine::Pdfboss,
        config::PdfEngine::PdfExtract => PdfEngine::PdfExtract,
    }
}
