//! From ranked ids to what a client sees: the chunks' texts, highlights, neighbours, and one of several nearly equal ones.

use std::{collections::HashMap, ops::Range};

use uuid::Uuid;

use super::{
    Duplicate, NeighbourChunk, SearchRequest, SearchResult, Span, collapse::Runs, explain, fuse::Fused,
    question::Question, scope::Scope,
};
use crate::{
    lexemes::{self, Language},
    store::{
        StoreError, Workspace,
        search::{FoundChunk, Neighbour},
    },
};

/// The best `wanted` results, in order; nearly equal ones count once where they are collapsed.
pub async fn read(
    workspace: &mut Workspace,
    fused: Vec<Fused>,
    question: &Question,
    scope: &Scope,
    request: &SearchRequest,
    wanted: usize,
) -> Result<Vec<SearchResult>, StoreError> {
    let collapses = |id: Uuid| {
        let own = || scope.knowledge_bases.iter().any(|base| base.id == id && base.collapse_duplicates);
        request.collapse.unwrap_or_else(own)
    };
    let mut shown = Shown::default();
    let mut rest = fused.as_slice();
    while shown.results.len() < wanted && !rest.is_empty() {
        let (next, after) = rest.split_at(rest.len().min(wanted));
        let ids: Vec<Uuid> = next.iter().map(|fused| fused.chunk.chunk_id).collect();
        let mut found: HashMap<Uuid, FoundChunk> =
            workspace.found_chunks(&ids).await?.into_iter().map(|chunk| (chunk.chunk_id, chunk)).collect();
        for fused in next {
            // One that was deleted in between is left out.
            let Some(chunk) = found.remove(&fused.chunk.chunk_id) else { continue };
            let collapse = collapses(chunk.knowledge_base_id);
            shown.take(result(fused, chunk, question, request), collapse, wanted);
        }
        rest = after;
    }
    Ok(shown.results)
}

/// Results so far, with what tells that another one says the same.
#[derive(Default)]
struct Shown {
    results: Vec<SearchResult>,
    runs: Vec<(usize, Runs)>,
}

impl Shown {
    fn take(&mut self, mut result: SearchResult, collapse: bool, wanted: usize) {
        if collapse {
            let runs = Runs::of(&result.content);
            if let Some((first, _)) = self.runs.iter().find(|(_, other)| other.nearly_equal(&runs)) {
                let duplicate =
                    Duplicate { chunk_id: result.chunk_id, document_id: result.document_id, title: result.title };
                self.results[*first].duplicates.get_or_insert_default().push(duplicate);
                return;
            }
            result.duplicates = Some(Vec::new());
            self.runs.push((self.results.len(), runs));
        }
        if self.results.len() < wanted {
            self.results.push(result);
        }
    }
}

/// Adds the chunks within `distance` of each result.
pub async fn surround(
    workspace: &mut Workspace,
    results: &mut [SearchResult],
    distance: usize,
) -> Result<(), StoreError> {
    if distance == 0 {
        return Ok(());
    }
    let ids: Vec<Uuid> = results.iter().map(|result| result.chunk_id).collect();
    let mut of: HashMap<Uuid, Vec<Neighbour>> = HashMap::new();
    for neighbour in workspace.neighbours(&ids, i32::try_from(distance).unwrap_or(i32::MAX)).await? {
        of.entry(neighbour.of).or_default().push(neighbour);
    }
    for result in results {
        let neighbours = of.remove(&result.chunk_id).unwrap_or_default();
        let (before, after): (Vec<_>, Vec<_>) = neighbours.into_iter().partition(|neighbour| neighbour.distance < 0);
        result.before = Some(before.into_iter().map(NeighbourChunk::from).collect());
        result.after = Some(after.into_iter().map(NeighbourChunk::from).collect());
    }
    Ok(())
}

impl From<Neighbour> for NeighbourChunk {
    fn from(chunk: Neighbour) -> NeighbourChunk {
        let Neighbour { chunk_id, content, page, start, end, .. } = chunk;
        NeighbourChunk { chunk_id, content, page, start, end }
    }
}

fn result(fused: &Fused, chunk: FoundChunk, question: &Question, request: &SearchRequest) -> SearchResult {
    let language = Language::from_name(&chunk.language).unwrap_or(Language::Simple);
    let highlights = request.highlights.then(|| {
        let found = lexemes::matches(&chunk.content, language, &question.lexemes);
        spans(&chunk.content, chunk.start, &found)
    });
    let explain = request.explain.then(|| explain(fused, terms(question, &chunk, language)));
    SearchResult {
        chunk_id: chunk.chunk_id,
        document_id: chunk.document_id,
        knowledge_base_id: chunk.knowledge_base_id,
        title: chunk.title,
        content: chunk.content,
        score: fused.score,
        page: chunk.page,
        heading_path: chunk.heading_path,
        start: chunk.start,
        end: chunk.end,
        language,
        metadata: chunk.metadata,
        highlights,
        before: None,
        after: None,
        duplicates: None,
        explain,
    }
}

/// The question's lexemes that the chunk holds, in its title and headings too.
fn terms(question: &Question, chunk: &FoundChunk, language: Language) -> Vec<String> {
    let text = format!("{}\n{}\n{}", chunk.title, chunk.heading_path.join("\n"), chunk.content);
    let held = lexemes::lexemes(&text, language);
    question.lexemes.keys().filter(|lexeme| held.contains_key(*lexeme)).cloned().collect()
}

/// Byte ranges of a content that begins at character `start` of its document, in characters of the document.
fn spans(content: &str, start: i32, ranges: &[Range<usize>]) -> Vec<Span> {
    let (mut bytes, mut at) = (0, start);
    let mut forward = |to: usize| {
        at += i32::try_from(content[bytes..to].chars().count()).unwrap_or(i32::MAX);
        bytes = to;
        at
    };
    ranges.iter().map(|range| Span { start: forward(range.start), end: forward(range.end) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highlights_count_characters_of_the_document() {
        let content = "Über Wärme und Wind";
        let found = lexemes::matches(content, Language::German, &lexemes::lexemes("Wärme, Wind", Language::German));
        assert_eq!(spans(content, 100, &found), [Span { start: 105, end: 110 }, Span { start: 115, end: 119 }]);
    }
}
