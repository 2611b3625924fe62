//! One test binary: whatever needs a server, a database or a process. Pure code is tested beside itself.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is the message")]

mod answers;
mod api;
mod architecture;
mod audit;
mod batches;
mod cli;
mod crashes;
mod database_rules;
mod databases;
mod documents;
mod embedded_postgres;
mod embedding;
mod engines;
mod eval;
mod extract_worker;
mod fake_mssql;
mod fake_openai;
mod fake_storage;
mod fixtures;
mod guard;
mod hnsw;
mod ingestion;
mod large_schema;
mod linking;
mod mariadb;
mod models;
mod mssql;
mod mutation;
mod mysql;
mod ocr;
mod originals;
mod questions;
mod questions_model;
mod rerank;
mod retrieval;
mod search;
mod statements;
mod support;
mod syncs;
mod tenancy;
mod uploads;
