//! From ranked ids to what a client sees: the chunks' texts, highlights, neighbours, and one of several nearly equal ones.

use std::{collections::HashMap, ops::Range};

use uuid::Uuid;

use super::{
    Duplicate, NeighbourChunk, PER_LEG, SearchRequest, SearchResult, Span, collapse::Runs, explain, fuse::Fused,
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
    degraded: &mut Vec<String>,
) -> Result<Vec<SearchResult>, StoreError> {
    let candidates = fused.len();
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
    let all_were_seen = candidates < usize::try_from(PER_LEG).unwrap_or(usize::MAX);
    if shown.results.len() < request.limit && !shown.runs.is_empty() && !all_were_seen {
        degraded.push("collapse: nearly equal results took the places of others; ask with a filter".to_owned());
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
    /// Once there are `wanted`, only duplicates of these are taken.
    fn take(&mut self, mut result: SearchResult, collapse: bool, wanted: usize) {
        let runs = collapse.then(|| Runs::of(&result.content));
        if let Some(first) = runs.as_ref().and_then(|runs| self.like(runs)) {
            let duplicate =
                Duplicate { chunk_id: result.chunk_id, document_id: result.document_id, title: result.title };
            first.duplicates.get_or_insert_default().push(duplicate);
        } else if self.results.len() < wanted {
            result.duplicates = collapse.then(Vec::new);
            self.runs.extend(runs.map(|runs| (self.results.len(), runs)));
            self.results.push(result);
        }
    }

    /// The result that says nearly the same.
    fn like(&mut self, runs: &Runs) -> Option<&mut SearchResult> {
        let (first, _) = self.runs.iter().find(|(_, other)| other.nearly_equal(runs))?;
        self.results.get_mut(*first)
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

    fn found(id: u128, content: &str) -> SearchResult {
        SearchResult { chunk_id: Uuid::from_u128(id), ..SearchResult::of_text(0, content) }
    }

    #[test]
    fn duplicates_of_what_is_not_shown_any_more_are_left_out() {
        let [a, b, c] = ["one two three four", "five six seven eight", "nine ten eleven twelve"];
        let mut shown = Shown::default();
        for (id, content) in [(1, a), (2, a), (3, b), (4, c), (5, c), (6, a), (7, b)] {
            shown.take(found(id, content), true, 2);
        }
        let ids = |duplicates: &Option<Vec<Duplicate>>| -> Vec<u128> {
            duplicates.iter().flatten().map(|duplicate| duplicate.chunk_id.as_u128()).collect()
        };
        let found: Vec<_> = shown.results.iter().map(|r| (r.chunk_id.as_u128(), ids(&r.duplicates))).collect();
        assert_eq!(found, [(1, vec![2, 6]), (3, vec![7])]);
    }

    #[test]
    fn highlights_count_characters_of_the_document() {
        let content = "Über Wärme und Wind";
        let found = lexemes::matches(content, Language::German, &lexemes::lexemes("Wärme, Wind", Language::German));
        assert_eq!(spans(content, 100, &found), [Span { start: 105, end: 110 }, Span { start: 115, end: 119 }]);
    }
}
