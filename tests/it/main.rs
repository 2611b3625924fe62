//! The integration tests: one binary, one module a subject.

mod embedding;
mod fixtures;
