//! A schema with what questions need of it, made once for a version of it and at the first question that needs it.

use std::sync::{Arc, OnceLock};

use super::link::{catalog::Catalog, relevant::Relevance};
use super::schema::Schema;

pub struct KnownSchema {
    pub schema: Arc<Schema>,
    catalog: OnceLock<Catalog>,
    relevance: OnceLock<Relevance>,
}

impl KnownSchema {
    pub fn new(schema: Schema) -> KnownSchema {
        KnownSchema { schema: Arc::new(schema), catalog: OnceLock::new(), relevance: OnceLock::new() }
    }

    /// What the words of a question are linked to.
    pub fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| Catalog::new(Arc::clone(&self.schema)))
    }

    /// What of it a language model is shown.
    pub fn relevance(&self) -> &Relevance {
        self.relevance.get_or_init(|| Relevance::new(&self.schema))
    }
}
