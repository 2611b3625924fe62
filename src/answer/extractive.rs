//! Answers without a language model: the sentences that were found to be nearest to the question, whole and cited.

use super::{cite::Citation, support::Candidate, table::row_in_words};

/// Sentences in an answer.
const SENTENCES: usize = 3;
/// A further sentence must be nearly as good as the best one.
const NEARLY_AS_GOOD: f32 = 0.8;
/// Of sentences whose scores are this near, one of another document is preferred: it may confirm or correct.
const EQUALLY_GOOD: f32 = 0.05;
/// Sentences that share so many of their words say the same.
const SAME: f32 = 0.8;

/// An answer's text with what it cites.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub text: String,
    pub citations: Vec<Citation>,
}

/// The best sentences as an answer: the document of the best one first, and each document in its own order.
pub fn write(candidates: &[Candidate<'_>]) -> Written {
    let mut chosen = choose(candidates);
    let documents: Vec<_> = chosen.iter().map(|candidate| candidate.passage.chunk().document_id).collect();
    chosen.sort_by_key(|candidate| {
        let document = candidate.passage.chunk().document_id;
        let place = candidate.passage.quote(0, candidate.part.clone()).start;
        (documents.iter().position(|other| *other == document), place)
    });
    let numbered = chosen.iter().zip(1..);
    let citations: Vec<Citation> =
        numbered.map(|(candidate, number)| candidate.passage.quote(number, candidate.part.clone())).collect();
    let said = chosen.iter().zip(1..).map(|(candidate, number)| format!("{} [{number}]", shown(candidate)));
    Written { text: said.collect::<Vec<_>>().join(" "), citations }
}

/// The best one, then those that are nearly as good and say something else.
fn choose<'c, 'a>(candidates: &'c [Candidate<'a>]) -> Vec<&'c Candidate<'a>> {
    let score = |candidate: &Candidate<'_>| candidate.score.unwrap_or(0.0);
    let least = candidates.iter().map(score).fold(0.0, f32::max) * NEARLY_AS_GOOD;
    let mut chosen: Vec<&'c Candidate<'a>> = Vec::new();
    while chosen.len() < SENTENCES {
        let quoted = |candidate: &Candidate<'_>| {
            let document = candidate.passage.chunk().document_id;
            chosen.iter().any(|other| other.passage.chunk().document_id == document)
        };
        let worth = |candidate: &Candidate<'_>| score(candidate) - if quoted(candidate) { EQUALLY_GOOD } else { 0.0 };
        let new = |candidate: &&Candidate<'_>| {
            score(candidate) > 0.0
                && score(candidate) >= least
                && !chosen.iter().any(|other| candidate.words.likeness(&other.words) >= SAME)
        };
        // The first of equals: they come with those first that share most words with the question.
        match candidates.iter().rev().filter(new).max_by(|a, b| worth(a).total_cmp(&worth(b))) {
            Some(next) => chosen.push(next),
            None => break,
        }
    }
    chosen
}

/// What a sentence says, without the marks of layout.
fn shown(candidate: &Candidate<'_>) -> String {
    let text = &candidate.passage.text;
    if let Some(row) = row_in_words(text, &candidate.part) {
        return format!("{}.", plain(&row));
    }
    let sentence = plain(&text[candidate.part.clone()]);
    let sentence = sentence.trim_start_matches(['-', '*', '+', '>', '•', ' ']);
    without_number(sentence).to_owned()
}

fn plain(text: &str) -> String {
    text.replace("**", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A list item's number means nothing outside its list.
fn without_number(item: &str) -> &str {
    let rest = item.trim_start_matches(|c: char| c.is_ascii_digit());
    let after = rest.strip_prefix(['.', ')']).and_then(|after| after.strip_prefix(' '));
    after.filter(|_| rest.len() < item.len()).unwrap_or(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{
        passages::{Passage, merge, tests::chunk, whole},
        search::SearchResult,
        support::{self, Question},
    };

    fn scored<'a>(passages: &'a [Passage<'a>], scores: &[(&str, f32)]) -> Vec<Candidate<'a>> {
        let question = Question { workspace_id: uuid::Uuid::nil(), text: "?" };
        let mut candidates = support::candidates(question, passages);
        for candidate in &mut candidates {
            let sentence = &candidate.passage.text[candidate.part.clone()];
            candidate.score = scores.iter().find(|(words, _)| sentence.contains(words)).map(|(_, score)| *score);
        }
        candidates
    }

    fn written(results: &[SearchResult], scores: &[(&str, f32)]) -> Written {
        write(&scored(&merge(whole(results)), scores))
    }

    #[test]
    fn sentences_stand_in_the_order_of_their_documents_the_best_document_first() {
        let results = [
            chunk(1, 0, "Meals cost 40 euros a day. Taxis need a receipt from the driver. Hotels are booked early."),
            chunk(2, 0, "Breakfast is never paid by anybody here."),
        ];
        let answer = written(&results, &[("Taxis", 0.9), ("Meals", 0.88), ("Breakfast", 0.8), ("Hotels", 0.81)]);
        let expected = "Meals cost 40 euros a day. [1] Taxis need a receipt from the driver. [2] \
                        Breakfast is never paid by anybody here. [3]";
        assert_eq!(answer.text, expected, "the other document is as good as the third of the first one");
        assert_eq!(answer.citations.iter().map(|citation| citation.index).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_is_said_twice_is_quoted_once_and_what_is_much_worse_not_at_all() {
        let results = [
            chunk(1, 0, "The warranty lasts 24 months from delivery."),
            chunk(2, 0, "The warranty lasts 24 months from delivery! Boxes are kept dry and closed."),
        ];
        let answer = written(&results, &[("warranty", 0.9), ("Boxes", 0.6)]);
        assert_eq!(answer.text, "The warranty lasts 24 months from delivery. [1]");
    }

    #[test]
    fn quotes_of_several_lines_rows_and_items_are_verbatim_and_read_well() {
        let text = "Meals cost\n40 euros **a day**.\n\n| Code | Region |\n|---|---|\n| NEU | Nordics |\n\n2. Ask the desk for a number.";
        let results = [chunk(1, 7, text)];
        let answer = written(&results, &[("Meals", 0.9), ("NEU", 0.9), ("Ask", 0.9), ("Code", 2.0)]);
        let expected = "Meals cost 40 euros a day. [1] Code: NEU; Region: Nordics. [2] Ask the desk for a number. [3]";
        assert_eq!(answer.text, expected);
        for citation in answer.citations {
            let start = usize::try_from(citation.start).unwrap() - 7;
            assert_eq!(&text[start..start + citation.quote.len()], citation.quote);
        }
    }
}
