//! What was asked for: `almanac.toml` under environment variables under flags, read once and checked as a whole.
//!
//! Every problem is listed, not the first one only. Secrets are wrapped, so that neither a log line nor
//! `almanac config` can print one.

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use object_store::ObjectStoreScheme;
use secrecy::{ExposeSecret, SecretString};

/// Settings by name, as the file, the environment (`ALMANAC_` and the name in capitals) and flags give them.
pub type Given = BTreeMap<String, String>;

/// A setting's name, its default in words, and what it is for: the one list that reading, `config` and the docs share.
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    pub purpose: &'static str,
    pub secret: bool,
}

const fn setting(name: &'static str, default: &'static str, purpose: &'static str) -> Setting {
    Setting { name, default, purpose, secret: false }
}

const fn secret(name: &'static str, default: &'static str, purpose: &'static str) -> Setting {
    Setting { name, default, purpose, secret: true }
}

pub const SETTINGS: &[Setting] = &[
    setting("bind", "127.0.0.1:8080", "address and port to listen on"),
    setting("data_dir", "almanac-data", "folder for everything Almanac keeps"),
    setting(
        "storage_url",
        "originals/ in data_dir",
        "where uploaded files are kept: file:///folder, s3://bucket/prefix, az://container/prefix",
    ),
    secret("database_url", "", "PostgreSQL 15 to 18 with pgvector 0.8 or later; unset: the embedded one in data_dir"),
    setting(
        "postgres_dir",
        "",
        "the embedded PostgreSQL's programs; unset: looked for beside the executable and in .cache",
    ),
    setting("embedding_dir", "", "folder of the local embedding model; unset: looked for like postgres_dir"),
    setting(
        "embedding_dirs",
        "",
        "folders of further local embedding models that knowledge bases may name, separated by ':'",
    ),
    secret("admin_key", "", "first key of a new installation, 24 characters or more; unset: made and shown once"),
    secret("secret_key", "", "64 hex digits that encrypt stored credentials; unset: made in data_dir"),
    setting("sqlite_dirs", "databases/ in data_dir", "folders that SQLite files may be opened from, separated by ':'"),
    setting(
        "database_hosts",
        "",
        "hosts and networks users' databases may live on, separated by ','; unset: all but link-local",
    ),
    setting(
        "database_sync_hours",
        "24",
        "hours between two readings of a user's database's schema, 0 to 8760; 0: only when somebody asks",
    ),
    setting("sample_values", "true", "true or false: whether frequent values of text columns are read with a schema"),
    setting(
        "sql_max_rows",
        "1000000000",
        "rows that a user's database may expect to handle for one statement; 0: no limit",
    ),
    setting("sql_max_cost", "0", "cost that it may expect, in its own units; 0: no limit"),
    setting("audit_days", "400", "days that decisions about statements are kept, in whole months, 1 to 36500"),
    setting(
        "llm_url",
        "",
        "OpenAI-compatible base URL of the language model, ending in /v1; unset: extractive answers",
    ),
    secret("llm_key", "", "key of the language model"),
    setting("llm_model", "", "name of the language model"),
    setting("llm_context_tokens", "8192", "the language model's window, prompt and answer together, 1024 to 2000000"),
    setting("llm_candidates", "1", "drafts of SQL that it is asked for at once, to believe those that agree, 1 to 8"),
    setting("llm_deadline_seconds", "60", "for all drafts of one question, repairs included, 1 to 600"),
    setting("embedding_url", "", "OpenAI-compatible base URL for embeddings; unset: the local model"),
    secret("embedding_key", "", "key for embeddings"),
    setting("embedding_model", "", "name of the embedding model"),
    setting("embedding_dimensions", "", "length of its vectors"),
    setting(
        "rerank_url",
        "",
        "address of a reranker's /rerank (TEI, Jina, Cohere, vLLM); unset: results are not reranked",
    ),
    secret("rerank_key", "", "key of the reranker"),
    setting("rerank_model", "", "name of the reranking model, where the server wants one"),
    setting("rerank_timeout_ms", "2000", "how long a search waits for the reranker, 50 to 60000"),
    setting("hnsw_threshold", "10000", "chunks from which on a knowledge base gets an HNSW index; 0: never"),
    setting("hnsw_memory_mb", "512", "memory that PostgreSQL may use to build one, 16 to 65536"),
    setting("pdf_engine", "pdfboss", "pdfboss or pdf-extract"),
    setting(
        "ocr_command",
        "",
        "program and arguments that read a PDF on standard input and write its pages' text; unset: pictures are not read",
    ),
    setting("ingest_workers", "4", "documents ingested at the same time, 0 to 64; 0: only `almanac worker` ingests"),
    setting("lease_seconds", "30", "silence after which a worker's document is given to another, 1 to 3600"),
    setting("max_queued", "50000", "documents of one workspace that may wait; ten times as many of all"),
    setting("embedding_threads", "cores", "threads of the local embedding model, 1 to 256"),
    setting("min_free_mb", "512", "MiB that uploads leave free on the disk of the data folder, 0 to 1000000; 0: none"),
    setting("max_upload_mb", "50", "largest upload in MiB, 1 to 2048"),
    setting(
        "upload_silence_seconds",
        "60",
        "how long an upload may bring nothing, or less than 1 KiB a second, before it is given up, 1 to 3600",
    ),
    setting("min_support", "0.35", "below it, a question is not answered from documents, 0 to 1"),
    setting("min_confidence", "0.76", "below it, a question is not run but answered with choices, 0 to 1"),
    setting("requests_per_minute", "0", "calls one key may make a minute; 0: no limit"),
    setting("shutdown_seconds", "20", "how long running requests may take to finish on shutdown"),
    setting("log", "info,sqlx=warn,sqlx::postgres::notice=error", "what is logged, as tracing filters"),
    setting("log_format", "text", "text or json"),
];

/// Everything that was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub bind: SocketAddr,
    pub data_dir: PathBuf,
    pub storage_url: Option<url::Url>,
    /// `AWS_…` and `AZURE_…`, from the environment: addresses and credentials of the storage.
    pub storage_options: Vec<(String, SecretString)>,
    pub database_url: Option<SecretString>,
    pub postgres_dir: Option<PathBuf>,
    pub embedding_dir: Option<PathBuf>,
    pub embedding_dirs: Vec<PathBuf>,
    pub admin_key: Option<SecretString>,
    pub secret_key: Option<SecretString>,
    pub sqlite_dirs: Vec<PathBuf>,
    /// As written; whoever connects to databases owns the rules.
    pub database_hosts: Vec<String>,
    /// 0: only when somebody asks.
    pub database_sync_hours: i32,
    pub sample_values: bool,
    /// 0: no limit.
    pub sql_max_rows: f64,
    /// 0: no limit.
    pub sql_max_cost: f64,
    pub audit_days: i32,
    pub llm: Option<RemoteModel>,
    pub llm_context_tokens: usize,
    pub llm_candidates: usize,
    pub llm_deadline: Duration,
    pub embedding: Option<RemoteEmbedding>,
    pub rerank: Option<RemoteReranker>,
    pub hnsw_threshold: u32,
    pub hnsw_memory_mb: u32,
    pub pdf_engine: PdfEngine,
    /// A program and its arguments.
    pub ocr_command: Option<Vec<String>>,
    pub ingest_workers: usize,
    pub lease: Duration,
    pub max_queued: i64,
    pub embedding_threads: usize,
    pub min_free_bytes: u64,
    pub max_upload_bytes: usize,
    pub upload_silence: Duration,
    pub min_support: f32,
    pub min_confidence: f32,
    pub requests_per_minute: u32,
    pub shutdown_seconds: u64,
    pub log: String,
    pub log_format: LogFormat,
    /// What was given, secrets already hidden.
    shown: Given,
}

/// A model behind an OpenAI-compatible or Azure OpenAI endpoint.
#[derive(Debug, Clone)]
pub struct RemoteModel {
    pub url: url::Url,
    pub key: Option<SecretString>,
    pub model: String,
}

#[derive(Debug, Clone)]
pub struct RemoteEmbedding {
    pub endpoint: RemoteModel,
    pub dimensions: usize,
}

#[derive(Debug, Clone)]
pub struct RemoteReranker {
    pub endpoint: RemoteModel,
    pub deadline: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PdfEngine {
    Pdfboss,
    PdfExtract,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Everything that is wrong with the settings, a line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Vectors longer than this would not fit in an index page next to a chunk's BM25 weights (8 KiB, 2 bytes a number).
pub const MAX_DIMENSIONS: usize = 2_000;
const MIN_ADMIN_KEY: usize = 24;
const SECRET_KEY_HEX_DIGITS: usize = 64;

impl Config {
    /// Reads `almanac.toml` (or `ALMANAC_CONFIG`), the environment and `flags`, later ones over earlier ones.
    pub fn load(flags: Given) -> Result<Config, ConfigError> {
        let named = std::env::var("ALMANAC_CONFIG").ok().map(PathBuf::from);
        let mut given = match &named {
            Some(path) => read_file(path)?,
            None if Path::new("almanac.toml").exists() => read_file(Path::new("almanac.toml"))?,
            None => Given::new(),
        };
        given.extend(from_environment(std::env::vars()));
        given.extend(flags);
        let config = Config::check(&given)?;
        Ok(Config { storage_options: storage_options(std::env::vars()), ..config })
    }

    /// Checks the settings as a whole.
    pub fn check(given: &Given) -> Result<Config, ConfigError> {
        let mut reader = Reader { given, problems: Vec::new() };
        let config = reader.read();
        match reader.problems {
            problems if problems.is_empty() => Ok(config),
            problems => Err(ConfigError(problems)),
        }
    }

    /// Every setting with the value in force, secrets hidden: what `almanac config` prints.
    pub fn describe(&self) -> Vec<(&'static Setting, String)> {
        let shown =
            |setting: &Setting| self.shown.get(setting.name).cloned().unwrap_or_else(|| setting.default.to_owned());
        SETTINGS.iter().map(|setting| (setting, shown(setting))).collect()
    }
}

/// The settings in `ALMANAC_…` variables; other names of that form belong to scripts and clients.
fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Given {
    variables
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("ALMANAC_")?.to_lowercase();
            (SETTINGS.iter().any(|setting| setting.name == name) && !value.is_empty()).then_some((name, value))
        })
        .collect()
}

/// What the clouds' own tools read as well: their settings are passed on, and never shown.
fn storage_options(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, SecretString)> {
    let passed_on = |name: &str| name.starts_with("AWS_") || name.starts_with("AZURE_") || name == "IDENTITY_ENDPOINT";
    variables.filter(|(name, _)| passed_on(name)).map(|(name, value)| (name, SecretString::from(value))).collect()
}

fn read_file(path: &Path) -> Result<Given, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError(vec![format!("{} cannot be read: {error}", path.display())]))?;
    let table: toml::Table =
        text.parse().map_err(|error| ConfigError(vec![format!("{} is not valid TOML: {error}", path.display())]))?;
    let plain = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        toml::Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    };
    Ok(table.into_iter().map(|(name, value)| (name, plain(value))).collect())
}

/// Takes settings one by one and remembers what is wrong with them.
struct Reader<'a> {
    given: &'a Given,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self) -> Config {
        self.refuse_unknown();
        let data_dir = PathBuf::from(self.text("data_dir").unwrap_or_else(|| "almanac-data".to_owned()));
        Config {
            bind: self.bind(),
            storage_url: self.storage_url(),
            storage_options: Vec::new(),
            database_url: self.secret("database_url"),
            postgres_dir: self.text("postgres_dir").map(PathBuf::from),
            embedding_dir: self.text("embedding_dir").map(PathBuf::from),
            embedding_dirs: self.list("embedding_dirs", ':').into_iter().map(PathBuf::from).collect(),
            admin_key: self.admin_key(),
            secret_key: self.secret_key(),
            sqlite_dirs: self.sqlite_dirs(&data_dir),
            database_hosts: self.list("database_hosts", ','),
            database_sync_hours: self.number("database_sync_hours", 24, 0, 8_760),
            sample_values: self.choice("sample_values", &[("true", true), ("false", false)]),
            sql_max_rows: self.number("sql_max_rows", 1e9, 0.0, 1e300),
            sql_max_cost: self.number("sql_max_cost", 0.0, 0.0, 1e300),
            audit_days: self.number("audit_days", 400, 1, 36_500),
            llm: self.remote_model("llm"),
            llm_context_tokens: self.number("llm_context_tokens", 8_192, 1_024, 2_000_000),
            llm_candidates: self.number("llm_candidates", 1, 1, 8),
            llm_deadline: Duration::from_secs(self.number("llm_deadline_seconds", 60, 1, 600)),
            embedding: self.remote_embedding(),
            rerank: self.remote_reranker(),
            hnsw_threshold: self.number("hnsw_threshold", 10_000, 0, 1_000_000_000),
            hnsw_memory_mb: self.number("hnsw_memory_mb", 512, 16, 65_536),
            pdf_engine: self
                .choice("pdf_engine", &[("pdfboss", PdfEngine::Pdfboss), ("pdf-extract", PdfEngine::PdfExtract)]),
            ocr_command: self.command("ocr_command"),
            ingest_workers: self.number("ingest_workers", 4, 0, 64),
            lease: Duration::from_secs(self.number("lease_seconds", 30, 1, 3600)),
            max_queued: self.number("max_queued", 50_000, 1, 100_000_000),
            embedding_threads: self.number("embedding_threads", cores(), 1, 256),
            min_free_bytes: self.number::<u64>("min_free_mb", 512, 0, 1_000_000) << 20,
            max_upload_bytes: self.number("max_upload_mb", 50, 1, 2048) << 20,
            upload_silence: Duration::from_secs(self.number("upload_silence_seconds", 60, 1, 3600)),
            min_support: self.number("min_support", 0.35, 0.0, 1.0),
            min_confidence: self.number("min_confidence", 0.76, 0.0, 1.0),
            requests_per_minute: self.number("requests_per_minute", 0, 0, 1_000_000),
            shutdown_seconds: self.number("shutdown_seconds", 20, 0, 3600),
            log: self.text("log").unwrap_or_else(|| "info,sqlx=warn,sqlx::postgres::notice=error".to_owned()),
            log_format: self.choice("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            data_dir,
            shown: self.shown(),
        }
    }

    fn shown(&self) -> Given {
        let is_secret = |name: &str| SETTINGS.iter().any(|setting| setting.secret && setting.name == name);
        let show = |(name, value): (&String, &String)| {
            (name.clone(), if is_secret(name) { "[redacted]".to_owned() } else { value.clone() })
        };
        self.given.iter().map(show).collect()
    }

    fn refuse_unknown(&mut self) {
        let unknown = self.given.keys().filter(|name| !SETTINGS.iter().any(|setting| setting.name == name.as_str()));
        self.problems.extend(unknown.map(|name| format!("{name}: there is no such setting")));
    }

    fn problem(&mut self, name: &str, what: impl Display) {
        self.problems.push(format!("{name}: {what}"));
    }

    fn text(&self, name: &str) -> Option<String> {
        self.given.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    fn list(&self, name: &str, separator: char) -> Vec<String> {
        let parts = |value: String| value.split(separator).map(|part| part.trim().to_owned()).collect::<Vec<_>>();
        self.text(name).map(parts).unwrap_or_default().into_iter().filter(|part| !part.is_empty()).collect()
    }

    /// Words as a shell reads them; none runs.
    fn command(&mut self, name: &str) -> Option<Vec<String>> {
        let words = shlex::split(&self.text(name)?).filter(|words| !words.is_empty());
        if words.is_none() {
            self.problem(name, "is not a program with its arguments: a quote is open, or nothing is in it");
        }
        words
    }

    fn number<T: FromStr + PartialOrd + Display + Copy>(&mut self, name: &str, default: T, least: T, most: T) -> T {
        let Some(value) = self.text(name) else { return default };
        match value.parse::<T>() {
            Ok(number) if number >= least && number <= most => number,
            _ => {
                self.problem(name, format_args!("\"{value}\" is not a number from {least} to {most}"));
                default
            }
        }
    }

    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        let value = self.text(name).unwrap_or_else(|| choices[0].0.to_owned());
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == value) {
            return *choice;
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.problem(name, format_args!("\"{value}\" is none of {}", words.join(", ")));
        choices[0].1
    }

    fn bind(&mut self) -> SocketAddr {
        let value = self.text("bind").unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        match value.to_socket_addrs().map(|mut addresses| addresses.next()) {
            Ok(Some(address)) => address,
            _ => {
                self.problem("bind", format_args!("\"{value}\" is not an address and a port, like 127.0.0.1:8080"));
                SocketAddr::from(([127, 0, 0, 1], 8080))
            }
        }
    }

    fn storage_url(&mut self) -> Option<url::Url> {
        let text = self.text("storage_url")?;
        let Ok(url) = text.parse::<url::Url>() else {
            self.problem("storage_url", "is not a URL, like s3://bucket/prefix");
            return None;
        };
        match ObjectStoreScheme::parse(&url) {
            Ok((ObjectStoreScheme::Local | ObjectStoreScheme::AmazonS3 | ObjectStoreScheme::MicrosoftAzure, _)) => {}
            _ => self.problem("storage_url", "names no folder (file), S3 bucket (s3) or Azure container (az)"),
        }
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            self.problem("storage_url", "credentials go into AWS_… or AZURE_… variables, not into the URL");
        }
        Some(url)
    }

    fn admin_key(&mut self) -> Option<SecretString> {
        let key = self.secret("admin_key")?;
        if key.expose_secret().chars().count() < MIN_ADMIN_KEY {
            self.problem("admin_key", format_args!("needs {MIN_ADMIN_KEY} characters or more"));
        }
        Some(key)
    }

    fn secret_key(&mut self) -> Option<SecretString> {
        let key = self.secret("secret_key")?;
        let text = key.expose_secret();
        if text.len() != SECRET_KEY_HEX_DIGITS || hex::decode(text).is_err() {
            self.problem("secret_key", format_args!("needs {SECRET_KEY_HEX_DIGITS} hex digits (openssl rand -hex 32)"));
        }
        Some(key)
    }

    fn sqlite_dirs(&self, data_dir: &Path) -> Vec<PathBuf> {
        let dirs = self.list("sqlite_dirs", ':');
        if dirs.is_empty() { vec![data_dir.join("databases")] } else { dirs.into_iter().map(PathBuf::from).collect() }
    }

    fn http_url(&mut self, name: &str) -> Option<url::Url> {
        match self.text(name)?.parse::<url::Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => {
                self.problem(name, "is not an http or https URL");
                None
            }
        }
    }

    fn remote_model(&mut self, prefix: &str) -> Option<RemoteModel> {
        let url_name = format!("{prefix}_url");
        let url = self.http_url(&url_name)?;
        let Some(model) = self.text(&format!("{prefix}_model")) else {
            self.problem(&format!("{prefix}_model"), format_args!("is needed with {url_name}"));
            return None;
        };
        Some(RemoteModel { url, key: self.secret(&format!("{prefix}_key")), model })
    }

    fn remote_reranker(&mut self) -> Option<RemoteReranker> {
        let deadline = Duration::from_millis(self.number("rerank_timeout_ms", 2_000, 50, 60_000));
        let url = self.http_url("rerank_url")?;
        let model = self.text("rerank_model").unwrap_or_default();
        Some(RemoteReranker { endpoint: RemoteModel { url, key: self.secret("rerank_key"), model }, deadline })
    }

    fn remote_embedding(&mut self) -> Option<RemoteEmbedding> {
        let endpoint = self.remote_model("embedding")?;
        if self.text("embedding_dimensions").is_none() {
            self.problem("embedding_dimensions", "is needed with embedding_url");
        }
        Some(RemoteEmbedding { endpoint, dimensions: self.number("embedding_dimensions", 1, 1, MAX_DIMENSIONS) })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn nothing_given_is_a_working_configuration() {
        let config = Config::check(&Given::new()).unwrap();
        assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(config.sqlite_dirs, [PathBuf::from("almanac-data/databases")]);
    }

    #[test]
    fn every_problem_is_listed() {
        let problems = Config::check(&given(&[
            ("bind", "nowhere"),
            ("admin_key", "short"),
            ("secret_key", "xyz"),
            ("ingest_workers", "65"),
            ("pdf_engine", "other"),
            ("ocr_command", "ocr --language 'eng"),
            ("llm_url", "ftp://host/v1"),
            ("colour", "red"),
        ]))
        .unwrap_err();
        assert_eq!(problems.0.len(), 8, "{problems}");
    }

    #[test]
    fn commands_are_split_as_a_shell_does() {
        let config =
            Config::check(&given(&[("ocr_command", r#"/opt/my\ ocr --as "two words" -l 'eng+deu'"#)])).unwrap();
        assert_eq!(config.ocr_command.unwrap(), ["/opt/my ocr", "--as", "two words", "-l", "eng+deu"]);
    }

    #[test]
    fn a_storage_is_a_folder_a_bucket_or_a_container_and_its_url_holds_no_secret() {
        let check = |url: &str| Config::check(&given(&[("storage_url", url)]));
        for url in [
            "file:///srv/originals",
            "s3://bucket/prefix",
            "az://container/prefix",
            "https://account.blob.core.windows.net/container/prefix",
            "https://s3.eu-central-1.amazonaws.com/bucket",
        ] {
            assert_eq!(check(url).unwrap().storage_url.unwrap().as_str(), url);
        }
        for url in ["bucket", "gs://bucket", "https://example.com/x", "memory:///", "file://host/x"] {
            assert!(check(url).unwrap_err().to_string().starts_with("storage_url: "), "{url}");
        }
        for url in ["s3://key:hush-hush@bucket", "az://container?sig=hush-hush", "s3://bucket#hush-hush"] {
            let refused = check(url).unwrap_err().to_string();
            assert!(refused.contains("AZURE_") && !refused.contains("hush"), "{refused}");
        }
    }

    #[test]
    fn what_the_storage_needs_is_passed_on_and_not_shown() {
        let variables = [("AWS_SECRET_ACCESS_KEY", "hush"), ("AZURE_STORAGE_ACCOUNT_KEY", "hush"), ("HOME", "/")];
        let options = storage_options(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(options.len(), 2);
        assert!(!format!("{options:?}").contains("hush"));
    }

    #[test]
    fn secrets_are_never_described() {
        let config = Config::check(&given(&[("admin_key", "a-very-secret-administration-key")])).unwrap();
        let printed = format!("{config:?}{:?}", config.describe().iter().map(|(_, value)| value).collect::<Vec<_>>());
        assert!(printed.contains("[redacted]"));
        assert!(!printed.contains("a-very-secret"), "{printed}");
    }
}
