//! From a question to SQL that is proven read-only, its rows, and what it means in plain words.

pub mod engine;
pub mod explain;
pub mod generate;
pub mod guard;
pub mod introspect;
pub mod link;
pub mod run;
pub mod schema;
