//! Retrieval: what is searched, what the question means to each leg, and the candidates with both exact scores.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use pgvector::HalfVector;
use uuid::Uuid;

use super::{SearchError, SearchMode, SearchRequest, fuse::Weight};
use crate::{
    lexemes::{self, Language, sparse},
    models::{Embedder, Embedders, ModelError},
    store::{
        StoreError, Workspace,
        chunks::SearchIndex,
        knowledge_bases::KnowledgeBase,
        search::{RankedChunk, Ranking, TextRanking},
    },
};

/// Candidates from each leg. Fusion over 100 + 100 is what was measured.
const PER_LEG: i32 = 100;
/// Candidates are gathered from the rarest lexemes until they occur in about so many chunks; more costs time and gains
/// no quality (measured at 62,000 chunks).
const ENOUGH_POSTINGS: i64 = 1_000;
/// No workspace searches more knowledge bases in one request.
const MAX_SEARCHED: i64 = 1_000;

/// What a request searches.
pub struct Scope {
    knowledge_bases: Vec<KnowledgeBase>,
    /// `None`: no filter.
    documents: Option<Vec<Uuid>>,
    /// The model that all of them were embedded with; `None` when this server does not have it.
    embedder: Option<Arc<dyn Embedder>>,
}

/// A question as both legs understand it.
#[derive(Debug)]
pub struct Question {
    mode: SearchMode,
    language: Language,
    vector: Option<HalfVector>,
    /// Lexemes with their counts in the question.
    lexemes: BTreeMap<String, u32>,
    text: Option<TextRanking>,
}

/// The knowledge bases, and the documents that pass the filter. Those that were asked for by name must exist and share
/// an embedding model; of all there are, those of another model than the server's own are left out.
pub async fn scope(
    mut workspace: Workspace,
    embedders: &Embedders,
    request: &SearchRequest,
    degraded: &mut Vec<String>,
) -> Result<Scope, SearchError> {
    let mut knowledge_bases = knowledge_bases(&mut workspace, &request.knowledge_base_ids).await?;
    let model = model(&knowledge_bases, embedders);
    let other = |base: &KnowledgeBase| request.mode != SearchMode::Text && base.embedding_model != model;
    if let Some(base) = knowledge_bases.iter().find(|base| other(base)) {
        if !request.knowledge_base_ids.is_empty() {
            return Err(SearchError::OtherModel {
                name: base.name.clone(),
                made_with: base.embedding_model.clone(),
                searched_with: model,
            });
        }
        degraded.push(format!("knowledge bases of another embedding model were left out, such as {}", base.name));
        knowledge_bases.retain(|base| !other(base));
    }
    let documents = match &request.filter {
        None => None,
        Some(filter) => {
            filter.check().map_err(SearchError::Filter)?;
            let ids: Vec<Uuid> = knowledge_bases.iter().map(|base| base.id).collect();
            Some(workspace.filter_documents(&ids, filter).await?)
        }
    };
    workspace.commit().await?;
    Ok(Scope { knowledge_bases, documents, embedder: embedders.get(&model).map(Arc::clone) })
}

/// The server's own model where any of them has it, else that of the first one.
fn model(knowledge_bases: &[KnowledgeBase], embedders: &Embedders) -> String {
    let own = embedders.default().name();
    let first = knowledge_bases.first().map(|base| base.embedding_model.as_str());
    let has_own = knowledge_bases.iter().any(|base| base.embedding_model == own);
    first.filter(|_| !has_own).unwrap_or(own).to_owned()
}

/// The question's vector. A model that is down, or that this server does not have, costs hybrid search its vector leg,
/// and no more.
pub async fn embed(
    workspace_id: Uuid,
    embedders: &Embedders,
    scope: &Scope,
    request: &SearchRequest,
    degraded: &mut Vec<String>,
) -> Result<Option<HalfVector>, SearchError> {
    let asked = match (&scope.embedder, request.mode) {
        (_, SearchMode::Text) => return Ok(None),
        (Some(embedder), _) => embedders.ask(workspace_id, &**embedder, &request.query).await,
        (None, _) => Err(ModelError::GiveUp("this server does not run the model of the knowledge base".to_owned())),
    };
    match (asked, request.mode) {
        (Ok(vector), _) => Ok(Some(HalfVector::from_f32_slice(&vector))),
        (Err(error), SearchMode::Hybrid) => {
            degraded.push(format!("vector: {error}"));
            Ok(None)
        }
        (Err(error), _) => Err(error.into()),
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

impl Question {
    /// What the question means to each leg.
    pub async fn understand(
        workspace: &mut Workspace,
        vector: Option<HalfVector>,
        request: &SearchRequest,
        scope: &Scope,
    ) -> Result<Question, SearchError> {
        let language = scope.language();
        let lexemes = lexemes::lexemes(&request.query, language);
        let text = match request.mode {
            SearchMode::Vector => None,
            SearchMode::Hybrid | SearchMode::Text => text_ranking(workspace, scope, &lexemes).await?,
        };
        Ok(Question { mode: request.mode, language, vector, lexemes, text })
    }

    /// How the legs are weighed: as the knowledge bases say, on average when they differ.
    pub fn weight(&self, scope: &Scope) -> Weight {
        match self.mode {
            SearchMode::Vector => Weight::Vector,
            SearchMode::Text => Weight::Text,
            SearchMode::Hybrid => {
                let weights = scope.knowledge_bases.iter().map(|base| f64::from(base.fusion_weight));
                Weight::Both(weights.sum::<f64>() / scope.knowledge_bases.len().max(1) as f64)
            }
        }
    }

    /// The question's lexemes that occur in any of `texts`.
    pub fn matched_terms(&self, texts: &[&str]) -> Vec<String> {
        let held: Vec<_> = texts.iter().map(|text| lexemes::lexemes(text, self.language)).collect();
        self.lexemes.keys().filter(|lexeme| held.iter().any(|lexemes| lexemes.contains_key(*lexeme))).cloned().collect()
    }
}

impl Scope {
    /// Of the first knowledge base; mixed languages come when languages are found per document.
    fn language(&self) -> Language {
        self.knowledge_bases.first().and_then(|base| Language::from_name(&base.language)).unwrap_or_default()
    }

    fn indexes(&self) -> Vec<SearchIndex> {
        self.knowledge_bases.iter().map(|base| base.index).collect()
    }

    fn chunk_count(&self) -> i64 {
        self.knowledge_bases.iter().map(|base| base.chunk_count).sum()
    }
}

/// The union of both legs' candidates, each with both scores.
pub async fn rank(
    workspace: &mut Workspace,
    scope: &Scope,
    question: &Question,
) -> Result<Vec<RankedChunk>, StoreError> {
    let unasked = question.vector.is_none() && question.text.is_none() || scope.knowledge_bases.is_empty();
    if unasked || scope.documents.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let ranking = Ranking { question: question.vector.clone(), text: question.text.clone(), per_leg: PER_LEG };
    workspace.rank_chunks(&scope.indexes(), scope.documents.as_deref(), &ranking).await
}

/// `None` when no lexeme of the question occurs anywhere.
async fn text_ranking(
    workspace: &mut Workspace,
    scope: &Scope,
    lexemes: &BTreeMap<String, u32>,
) -> Result<Option<TextRanking>, StoreError> {
    let asked: Vec<String> = lexemes.keys().cloned().collect();
    let indexes: Vec<Uuid> = scope.indexes().iter().map(|index| index.id).collect();
    let counts = workspace.lexeme_counts(&indexes, &asked).await?;
    if counts.is_empty() {
        return Ok(None);
    }
    let weights = weights(lexemes, &counts, scope.chunk_count());
    // A filter may leave few of the rarest lexemes' chunks, so then every lexeme gathers.
    let enough = if scope.documents.is_some() { i64::MAX } else { ENOUGH_POSTINGS };
    Ok(Some(TextRanking { terms: rarest(counts, enough), weights: sparse(&weights) }))
}

/// Inverse document frequency × count in the question, by lexeme hash. The frequency is Robertson's with 1 added inside
/// the logarithm, as in Lucene, so that no lexeme counts against a chunk.
fn weights(lexemes: &BTreeMap<String, u32>, counts: &HashMap<String, i64>, chunks: i64) -> Vec<(u32, f32)> {
    let idf = |count: i64| (1.0 + ((chunks - count) as f64 + 0.5).max(0.5) / (count as f64 + 0.5)).ln();
    lexemes
        .iter()
        .filter_map(|(lexeme, asked)| {
            let weight = idf(*counts.get(lexeme)?) * f64::from(*asked);
            Some((lexemes::index_of(lexeme), weight as f32))
        })
        .collect()
}

/// The rarest lexemes, until they occur in `enough` chunks.
fn rarest(counts: HashMap<String, i64>, enough: i64) -> Vec<String> {
    let mut by_count: Vec<(i64, String)> = counts.into_iter().map(|(lexeme, count)| (count, lexeme)).collect();
    by_count.sort_unstable();
    let mut postings = 0i64;
    by_count
        .into_iter()
        .take_while(|(count, _)| {
            let wanted = postings < enough;
            postings = postings.saturating_add(*count);
            wanted
        })
        .map(|(_, lexeme)| lexeme)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_come_from_the_rarest_lexemes_until_there_are_enough() {
        let counts =
            HashMap::from([("common".to_owned(), 9_000), ("rare".to_owned(), 3), ("middling".to_owned(), 1_200)]);
        assert_eq!(rarest(counts.clone(), 1_000), ["rare", "middling"]);
        assert_eq!(rarest(counts, i64::MAX).len(), 3);
    }

    #[test]
    fn a_rarer_lexeme_weighs_more_and_none_weighs_less_than_nothing() {
        let asked = BTreeMap::from([("everywhere".to_owned(), 1), ("rare".to_owned(), 1)]);
        let counts = HashMap::from([("everywhere".to_owned(), 100), ("rare".to_owned(), 1)]);
        let weights: HashMap<u32, f32> = weights(&asked, &counts, 100).into_iter().collect();
        let (everywhere, rare) = (weights[&lexemes::index_of("everywhere")], weights[&lexemes::index_of("rare")]);
        assert!(everywhere > 0.0 && rare > 100.0 * everywhere, "{everywhere} {rare}");
    }
}
