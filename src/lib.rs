//! Almanac lets people and agents ask their documents and their databases.
//!
//! One process and one PostgreSQL. Three verbs are the product, and each is one file (the recipe: its steps in order)
//! with a folder of the same name that holds the steps:
//!
//! - [`ingest`]: a document goes in; it is extracted, chunked, embedded and stored.
//! - [`answer`]: a question finds chunks, and an answer cites them.
//! - [`text_to_sql`]: a question becomes SQL that is proven read-only, runs, and returns rows.
//!
//! Below the recipes lie [`store`] (our own PostgreSQL), [`models`] (embeddings and language models) and [`lexemes`]
//! (what full text is made of, the same for documents and questions); above them
//! lies [`http`], which only translates. [`app`] holds what is built once, [`config`] what was asked for, and
//! [`postgres`] runs the embedded server. Dependencies point one way: `cli`, `http` → `app` → recipes → `store`,
//! `models`; a test checks it.

pub mod answer;
pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod ingest;
pub mod lexemes;
pub mod models;
pub mod postgres;
pub mod store;
pub mod telemetry;
pub mod text_to_sql;
