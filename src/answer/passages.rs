//! What the documents say, put together: the best chunks that fit into a budget, and chunks of one document that overlap
//! or touch as one passage, so that nothing is told twice. Whatever is quoted of a passage is verbatim in its document.

use std::ops::Range;

use super::{cite::Citation, search::SearchResult, sentences::sentences};

/// A text of the documents, from one chunk or from several.
#[derive(Debug, Clone)]
pub struct Passage<'a> {
    pub text: String,
    /// Where its pieces begin, ascending. A gap between two pieces is a blank line in `text`.
    runs: Vec<Run>,
    /// What it is made of, in the order of the document.
    pieces: Vec<Piece<'a>>,
    /// The place of its best chunk among the results.
    rank: usize,
}

/// A chunk, or its beginning.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    pub chunk: &'a SearchResult,
    content: &'a str,
    rank: usize,
}

/// From byte `at` of a passage on, it is the document's text from character `start` on.
#[derive(Debug, Clone, Copy)]
struct Run {
    at: usize,
    start: i32,
}

/// Chunks with fewer characters between them touch: white space was trimmed from their ends.
const TOUCHING: i32 = 4;

/// The results as they are.
pub fn whole(results: &[SearchResult]) -> Vec<Piece<'_>> {
    results.iter().enumerate().map(|(rank, chunk)| Piece { chunk, content: &chunk.content, rank }).collect()
}

/// The best results for which there is room, in tokens by `cost`: whole as long as they fit, and of the first one that
/// does not, its first sentences. `overhead` is what a result costs beside its content.
pub fn fit<'a>(
    results: &'a [SearchResult],
    mut room: usize,
    overhead: impl Fn(&SearchResult) -> usize,
    cost: impl Fn(&str) -> usize,
) -> Vec<Piece<'a>> {
    let mut fitting = Vec::new();
    for piece in whole(results) {
        let Some(left) = room.checked_sub(overhead(piece.chunk)) else { break };
        match left.checked_sub(cost(piece.content)) {
            Some(left) => {
                room = left;
                fitting.push(piece);
            }
            None => {
                fitting.extend(beginning(piece, left, cost));
                break;
            }
        }
    }
    fitting
}

/// As many first sentences as there is room for; `None` when not even one fits.
fn beginning<'a>(piece: Piece<'a>, room: usize, cost: impl Fn(&str) -> usize) -> Option<Piece<'a>> {
    let ends: Vec<usize> = sentences(piece.content).into_iter().map(|range| range.end).collect();
    let fitting = ends.partition_point(|end| cost(&piece.content[..*end]) <= room);
    let end = *ends.get(fitting.checked_sub(1)?)?;
    Some(Piece { content: &piece.content[..end], ..piece })
}

/// Passages in the order of their best chunks.
pub fn merge(pieces: Vec<Piece<'_>>) -> Vec<Passage<'_>> {
    let mut in_order = pieces;
    in_order.sort_by_key(|piece| (piece.chunk.document_id, piece.chunk.start, piece.rank));
    let mut passages: Vec<Passage<'_>> = Vec::new();
    for piece in in_order {
        let one = |passage: &&mut Passage<'_>| passage.is_followed_by(&piece);
        match passages.last_mut().filter(one) {
            Some(passage) => passage.append(piece),
            None => passages.push(Passage::of(piece)),
        }
    }
    passages.sort_by_key(|passage| passage.rank);
    passages
}

impl<'a> Passage<'a> {
    fn of(piece: Piece<'a>) -> Passage<'a> {
        let runs = vec![Run { at: 0, start: piece.chunk.start }];
        Passage { text: piece.content.to_owned(), runs, rank: piece.rank, pieces: vec![piece] }
    }

    fn is_followed_by(&self, next: &Piece<'_>) -> bool {
        self.chunk().document_id == next.chunk.document_id && next.chunk.start <= self.end().saturating_add(TOUCHING)
    }

    fn append(&mut self, piece: Piece<'a>) {
        let told = usize::try_from(self.end() - piece.chunk.start).ok();
        match told.map(|characters| split_at_character(piece.content, characters)) {
            // The rest of it is new.
            Some((before, rest)) if self.text.ends_with(before) => self.text.push_str(rest),
            // All of it is told already.
            Some((all, "")) if self.text.contains(all) => {}
            // A gap, or another text at the same place, which no version of a document has.
            _ => {
                self.text.push_str("\n\n");
                self.runs.push(Run { at: self.text.len(), start: piece.chunk.start });
                self.text.push_str(piece.content);
            }
        }
        self.rank = self.rank.min(piece.rank);
        self.pieces.push(piece);
    }

    /// The character of the document after the last one.
    fn end(&self) -> i32 {
        let run = self.runs[self.runs.len() - 1];
        run.start.saturating_add(characters(&self.text[run.at..]))
    }

    /// Its first chunk.
    pub fn chunk(&self) -> &'a SearchResult {
        self.pieces[0].chunk
    }

    /// Titles and headings of its chunks, each once.
    pub fn labels(&self) -> Vec<&'a str> {
        let mut labels = vec![self.chunk().title.as_str()];
        for heading in self.pieces.iter().flat_map(|piece| &piece.chunk.heading_path) {
            if !labels.contains(&heading.as_str()) {
                labels.push(heading);
            }
        }
        labels
    }

    /// The chunk that holds the bytes `part`: the best of those that hold them whole, else the one where they begin.
    pub fn chunk_at(&self, part: &Range<usize>) -> &'a SearchResult {
        let (start, end) = (self.place(part.start), self.place(part.end));
        let holds = |piece: &&Piece<'_>| piece.chunk.start <= start && end <= piece.chunk.end;
        let begins = |piece: &&Piece<'_>| piece.chunk.start <= start;
        let whole = self.pieces.iter().filter(holds).min_by_key(|piece| piece.rank);
        whole.or_else(|| self.pieces.iter().rfind(begins)).map_or(self.chunk(), |piece| piece.chunk)
    }

    /// Quotes the bytes `part`, which lie within a sentence.
    pub fn quote(&self, index: usize, part: Range<usize>) -> Citation {
        let chunk = self.chunk_at(&part);
        let (start, quote) = (self.place(part.start), self.text[part].to_owned());
        Citation {
            index,
            document_id: chunk.document_id,
            chunk_id: chunk.chunk_id,
            title: chunk.title.clone(),
            page: chunk.page,
            start,
            end: start + characters(&quote),
            quote,
        }
    }

    /// The character of the document at a byte of the text.
    fn place(&self, at: usize) -> i32 {
        let index = self.runs.partition_point(|run| run.at <= at).saturating_sub(1);
        let run = self.runs[index];
        run.start.saturating_add(characters(&self.text[run.at..at]))
    }
}

fn split_at_character(text: &str, characters: usize) -> (&str, &str) {
    let at = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

fn characters(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}

#[cfg(test)]
pub mod tests {
    use uuid::Uuid;

    use super::*;

    /// A chunk of document `document` from character `start` on.
    pub fn chunk(document: u128, start: i32, content: &str) -> SearchResult {
        SearchResult {
            chunk_id: Uuid::from_u128(document * 1_000_000 + u128::from(start.unsigned_abs())),
            document_id: Uuid::from_u128(document),
            title: format!("Document {document}"),
            ..SearchResult::of_text(start, content)
        }
    }

    #[test]
    fn chunks_that_overlap_or_touch_are_one_passage_in_the_order_of_the_document() {
        let text = "Ärger one. Two is here. Three ends it.";
        let slice = |range: Range<usize>| text.chars().skip(range.start).take(range.len()).collect::<String>();
        let results = [
            chunk(1, 24, &slice(24..38)),
            chunk(2, 0, "Another document."),
            chunk(1, 0, &slice(0..23)),
            chunk(1, 11, &slice(11..23)),
        ];
        let passages = merge(whole(&results));
        assert_eq!(passages.len(), 2);
        assert_eq!(passages[0].text, "Ärger one. Two is here.\n\nThree ends it.");
        for range in sentences(&passages[0].text) {
            let quote = passages[0].quote(1, range);
            let place = usize::try_from(quote.start).unwrap()..usize::try_from(quote.end).unwrap();
            assert_eq!(slice(place), quote.quote);
        }
        let overlapping = [chunk(1, 11, &slice(11..38)), chunk(1, 0, &slice(0..23))];
        let passages = merge(whole(&overlapping));
        assert_eq!((passages.len(), passages[0].text.as_str()), (1, text));
        let quote = passages[0].quote(1, text.find("Three").unwrap()..text.len());
        assert_eq!((quote.chunk_id, quote.start, quote.end), (overlapping[0].chunk_id, 24, 38));
    }

    #[test]
    fn chunks_apart_are_passages_of_their_own() {
        let results = [chunk(1, 0, "One."), chunk(1, 100, "Two."), chunk(1, 100, "Other.")];
        assert_eq!(merge(whole(&results)).len(), 2, "the third one contradicts the second at the same place");
    }

    #[test]
    fn the_best_fit_whole_and_the_last_is_cut_at_a_sentence_end() {
        let results =
            [chunk(1, 0, "One two three four. Five."), chunk(2, 0, "Six seven eight nine. Ten more words it has.")];
        let words = |text: &str| text.split_whitespace().count();
        let shown = |room| {
            let pieces = fit(&results, room, |_| 1, words);
            pieces.iter().map(|piece| piece.content.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown(100).len(), 2);
        assert_eq!(shown(12), ["One two three four. Five.", "Six seven eight nine."]);
        assert_eq!(shown(7), ["One two three four. Five."]);
        assert_eq!(shown(5), ["One two three four."]);
        assert!(shown(4).is_empty());
    }
}
