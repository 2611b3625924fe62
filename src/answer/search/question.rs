//! What a question means to each leg: a vector for every model, lexemes with their weights, and what may be found at all.

use std::collections::{BTreeMap, HashMap};

use pgvector::HalfVector;
use uuid::Uuid;

use super::{
    SearchError, SearchMode,
    query::{Query, pattern},
    scope::{Group, Scope},
};
use crate::{
    lexemes::{self, sparse},
    models::{Embedders, ModelError},
    store::{
        StoreError, Workspace,
        search::{Documents, Filter, Narrowing, Phrase, TextRanking},
    },
};

/// A phrase may stand in more chunks than are worth ranking.
const MOST_WITH_PHRASE: i32 = 10_000;
/// Lexemes × indexes in one tsquery; PostgreSQL takes some 50,000 in a row.
const MOST_OPERANDS: usize = 20_000;
/// Lexemes that may gather candidates: the rarest ones. All of them score.
const MOST_GATHERING: usize = 200;

/// A question as the legs understand it.
#[derive(Debug)]
pub struct Question {
    /// One for each group of the scope.
    pub vectors: Vec<Option<HalfVector>>,
    /// Lexemes with their counts in the question, in every language of the scope.
    pub lexemes: BTreeMap<String, u32>,
    weights: Vec<(u32, f32)>,
    /// Chunks that have a lexeme, by index.
    counts: Vec<(Uuid, String, i64)>,
}

/// The question's vector for each group. A model that is down costs hybrid search its vector leg, and no more.
pub async fn embed(
    workspace_id: Uuid,
    embedders: &Embedders,
    scope: &Scope,
    text: &str,
    mode: SearchMode,
    degraded: &mut Vec<String>,
) -> Result<Vec<Option<HalfVector>>, ModelError> {
    let mut vectors = Vec::new();
    for group in &scope.groups {
        let Some(embedder) = &group.embedder else {
            vectors.push(None);
            continue;
        };
        match embedders.ask(workspace_id, &**embedder, text).await {
            Ok(vector) => vectors.push(Some(HalfVector::from_f32_slice(&vector))),
            Err(error) if mode == SearchMode::Hybrid => {
                degraded.push(format!("vector: {error}"));
                vectors.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(vectors)
}

impl Question {
    pub async fn understand(
        workspace: &mut Workspace,
        vectors: Vec<Option<HalfVector>>,
        text: &str,
        mode: SearchMode,
        scope: &Scope,
    ) -> Result<Question, StoreError> {
        let lexemes = lexemes::asked(text, &scope.languages);
        let asked: Vec<String> = lexemes.keys().cloned().collect();
        let counts = match mode {
            SearchMode::Vector => Vec::new(),
            SearchMode::Hybrid | SearchMode::Text => workspace.lexeme_counts(&scope.indexes(), &asked).await?,
        };
        let weights = weights(&lexemes, &sums(&counts, |_| true), scope.chunk_count());
        Ok(Question { vectors, lexemes, weights, counts })
    }

    /// `None` when no lexeme of the question occurs in these indexes.
    pub fn text_ranking(&self, group: &Group) -> Option<TextRanking> {
        let is_in = |id: &Uuid| group.indexes.iter().any(|index| index.id == *id);
        let mut terms: Vec<(String, i64)> = sums(&self.counts, is_in).into_iter().collect();
        terms.sort_unstable_by(|(a, in_a), (b, in_b)| in_a.cmp(in_b).then_with(|| a.cmp(b)));
        terms.truncate(MOST_GATHERING.min(MOST_OPERANDS / group.indexes.len().max(1)).max(1));
        (!terms.is_empty()).then(|| TextRanking { terms, weights: sparse(&self.weights) })
    }
}

/// What may be found: what passes the filter, holds every phrase, and holds nothing that is excluded.
pub async fn narrow<'a>(
    workspace: &mut Workspace,
    scope: &'a Scope,
    filter: Option<&'a Filter>,
    query: &Query,
    degraded: &mut Vec<String>,
) -> Result<Narrowing<'a>, SearchError> {
    let statements = query.phrases.len() + query.excluded.len() + scope.groups.len();
    let documents = match filter {
        None => Documents::All,
        Some(filter) if statements == 1 => Documents::Passing(filter, &scope.ids),
        Some(filter) => Documents::These(workspace.passing_documents(filter, &scope.ids).await?),
    };
    let mut narrowing = Narrowing { documents, ..Narrowing::default() };
    for excluded in &query.excluded {
        let by_language = lexemes_by_language(excluded, scope);
        // One word is told by its stem; what is several words, or a run of characters, only by how it stands there.
        if by_language.iter().all(|lexemes| lexemes.len() <= 1) && by_language.iter().any(|lexemes| lexemes.len() == 1)
        {
            narrowing.excluded_terms.extend(by_language.into_iter().flatten());
        } else if let Some(holding) = holding(workspace, scope, &narrowing, excluded, degraded).await? {
            narrowing.excluded_chunks.extend(holding);
        }
    }
    narrowing.excluded_terms.sort_unstable();
    narrowing.excluded_terms.dedup();
    check_operands(narrowing.excluded_terms.len(), scope)?;
    for phrase in &query.phrases {
        let holding = holding(workspace, scope, &narrowing, phrase, degraded).await?;
        // Each phrase is looked for in what holds those before it.
        narrowing.chunks = holding.or(narrowing.chunks.take());
    }
    Ok(narrowing)
}

/// The chunks that hold a phrase; `None` for one of common words alone, which no index knows.
async fn holding(
    workspace: &mut Workspace,
    scope: &Scope,
    narrowing: &Narrowing<'_>,
    phrase: &str,
    degraded: &mut Vec<String>,
) -> Result<Option<Vec<Uuid>>, SearchError> {
    let mut lexemes = lexemes_by_language(phrase, scope);
    lexemes.sort_unstable();
    lexemes.dedup();
    if lexemes.is_empty() || lexemes.iter().any(Vec::is_empty) {
        degraded.push(format!("phrase: \"{phrase}\" is made of words that are not indexed, and was not looked for"));
        return Ok(None);
    }
    check_operands(lexemes.iter().map(Vec::len).sum(), scope)?;
    let looked_for = Phrase { lexemes, pattern: pattern(phrase) };
    let found = workspace.phrase_chunks(&scope.indexes(), narrowing, &looked_for, MOST_WITH_PHRASE).await?;
    if found.len() >= usize::try_from(MOST_WITH_PHRASE).unwrap_or(usize::MAX) {
        degraded.push(format!("phrase: \"{phrase}\" is in more than {MOST_WITH_PHRASE} chunks; only these were seen"));
    }
    Ok(Some(found))
}

/// PostgreSQL nests the operands of a tsquery as it reads them, and its stack is bounded.
fn check_operands(lexemes: usize, scope: &Scope) -> Result<(), SearchError> {
    match lexemes.saturating_mul(scope.knowledge_bases.len()) > MOST_OPERANDS {
        true => Err(SearchError::Query(
            "has too many phrases and exclusions for so many knowledge bases; name fewer".into(),
        )),
        false => Ok(()),
    }
}

fn lexemes_by_language(text: &str, scope: &Scope) -> Vec<Vec<String>> {
    scope.languages.iter().map(|language| lexemes::lexemes(text, *language).into_keys().collect()).collect()
}

/// In how many chunks each lexeme is, in the indexes that count.
fn sums(counts: &[(Uuid, String, i64)], counted: impl Fn(&Uuid) -> bool) -> HashMap<String, i64> {
    let mut sums: HashMap<String, i64> = HashMap::new();
    for (_, lexeme, count) in counts.iter().filter(|(index, _, _)| counted(index)) {
        *sums.entry(lexeme.clone()).or_default() += count;
    }
    sums
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::chunks::SearchIndex;

    #[test]
    fn a_rarer_lexeme_weighs_more_and_none_weighs_less_than_nothing() {
        let asked = BTreeMap::from([("everywhere".to_owned(), 1), ("rare".to_owned(), 1)]);
        let counts = HashMap::from([("everywhere".to_owned(), 100), ("rare".to_owned(), 1)]);
        let weights: HashMap<u32, f32> = weights(&asked, &counts, 100).into_iter().collect();
        let (everywhere, rare) = (weights[&lexemes::index_of("everywhere")], weights[&lexemes::index_of("rare")]);
        assert!(everywhere > 0.0 && rare > 100.0 * everywhere, "{everywhere} {rare}");
    }

    #[test]
    fn terms_of_a_group_come_rarest_first_and_count_its_own_indexes() {
        let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let counts =
            vec![(here, "common".to_owned(), 90), (here, "rare".to_owned(), 3), (there, "other".to_owned(), 1)];
        let question = Question { vectors: Vec::new(), lexemes: BTreeMap::new(), weights: vec![(1, 1.0)], counts };
        let group = |id| Group { embedder: None, indexes: vec![SearchIndex { id, number: 1 }] };
        let terms = question.text_ranking(&group(here)).unwrap().terms;
        assert_eq!(terms, [("rare".to_owned(), 3), ("common".to_owned(), 90)]);
        assert!(question.text_ranking(&group(Uuid::from_u128(3))).is_none());
    }
}
