//! The integration tests: one binary, one module a subject.

mod embedding;
mod fake_openai;
mod fixtures;
mod models;
