//! What a request searches: knowledge bases, by the embedding model that they were made with, and their languages.

use std::{collections::BTreeSet, sync::Arc};

use uuid::Uuid;

use super::{SearchError, SearchMode, SearchRequest};
use crate::{
    lexemes::Language,
    models::{Embedder, Embedders},
    store::{Workspace, chunks::SearchIndex, knowledge_bases::KnowledgeBase},
};

/// No workspace searches more knowledge bases in one request.
const MAX_SEARCHED: i64 = 1_000;

pub struct Scope {
    pub knowledge_bases: Vec<KnowledgeBase>,
    pub groups: Vec<Group>,
    /// In which the question is read.
    pub languages: Vec<Language>,
    /// Of the knowledge bases.
    pub ids: Vec<Uuid>,
}

/// Indexes whose vectors can be compared.
pub struct Group {
    /// `None` when their model is not asked, or this server does not have it.
    pub embedder: Option<Arc<dyn Embedder>>,
    pub indexes: Vec<SearchIndex>,
}

/// The knowledge bases that were asked for, which must exist, or all there are. One whose model this server does not run
/// is searched by its words; where the mode is `vector`, it is left out.
pub async fn scope(
    mut workspace: Workspace,
    embedders: &Embedders,
    request: &SearchRequest,
    degraded: &mut Vec<String>,
) -> Result<Scope, SearchError> {
    let mut knowledge_bases = knowledge_bases(&mut workspace, &request.knowledge_base_ids).await?;
    workspace.commit().await?;
    if request.mode == SearchMode::Vector {
        leave_out_unknown_models(&mut knowledge_bases, embedders, degraded)?;
    }
    let groups = match request.mode {
        SearchMode::Text => {
            vec![Group { embedder: None, indexes: knowledge_bases.iter().map(|base| base.index).collect() }]
        }
        SearchMode::Vector | SearchMode::Hybrid => groups(&knowledge_bases, embedders, degraded),
    };
    let languages = knowledge_bases.iter().flat_map(languages).collect::<BTreeSet<_>>().into_iter().collect();
    let ids = knowledge_bases.iter().map(|base| base.id).collect();
    Ok(Scope { knowledge_bases, groups, languages, ids })
}

impl Scope {
    pub fn indexes(&self) -> Vec<SearchIndex> {
        self.knowledge_bases.iter().map(|base| base.index).collect()
    }

    pub fn chunk_count(&self) -> i64 {
        self.knowledge_bases.iter().map(|base| base.chunk_count).sum()
    }
}

async fn knowledge_bases(workspace: &mut Workspace, ids: &[Uuid]) -> Result<Vec<KnowledgeBase>, SearchError> {
    let asked = (!ids.is_empty()).then_some(ids);
    let found = workspace.searched_knowledge_bases(asked, MAX_SEARCHED).await?;
    match ids.iter().find(|id| !found.iter().any(|base| base.id == **id)) {
        Some(unknown) => Err(SearchError::UnknownKnowledgeBase(*unknown)),
        None => Ok(found),
    }
}

fn leave_out_unknown_models(
    knowledge_bases: &mut Vec<KnowledgeBase>,
    embedders: &Embedders,
    degraded: &mut Vec<String>,
) -> Result<(), SearchError> {
    let known = |base: &KnowledgeBase| embedders.get(&base.embedding_model).is_some();
    let Some(unknown) = knowledge_bases.iter().find(|base| !known(base)) else { return Ok(()) };
    if !knowledge_bases.iter().any(known) {
        let (name, model) = (unknown.name.clone(), unknown.embedding_model.clone());
        return Err(SearchError::UnknownModel { name, model });
    }
    degraded.push(format!(
        "knowledge bases whose embedding model this server does not run were left out, such as {}",
        unknown.name
    ));
    knowledge_bases.retain(known);
    Ok(())
}

fn groups(knowledge_bases: &[KnowledgeBase], embedders: &Embedders, degraded: &mut Vec<String>) -> Vec<Group> {
    let models: BTreeSet<&str> = knowledge_bases.iter().map(|base| base.embedding_model.as_str()).collect();
    let group = |model: &str| {
        let indexes =
            knowledge_bases.iter().filter(|base| base.embedding_model == model).map(|base| base.index).collect();
        let embedder = embedders.get(model).map(Arc::clone);
        if embedder.is_none() {
            degraded.push(format!("vector: this server does not run the embedding model {model}"));
        }
        Group { embedder, indexes }
    };
    models.into_iter().map(group).collect()
}

/// The language of a knowledge base, or those that its documents have.
fn languages(base: &KnowledgeBase) -> Vec<Language> {
    match Language::from_name(&base.language) {
        Some(language) => vec![language],
        None => base.languages.iter().filter_map(|name| Language::from_name(name)).collect(),
    }
}
