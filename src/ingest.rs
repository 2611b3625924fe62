//! A document goes in: extracted, chunked, embedded, stored.

pub mod chunk;
pub mod extract;
pub mod lexemes;
