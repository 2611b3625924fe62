//! What a question asks for where documents are in several languages.

use std::collections::BTreeMap;

use super::tokens::{Token, normal, tokens};
use super::{Language, counts::counted};

/// The lexemes of a question against documents in `languages`, each with its count: those of every language, and a
/// lexeme of two languages with the larger of its counts. For one language they are those of `lexemes`.
///
/// Only the stop words of the question's own language are dropped, but for all: the German "die" must not be searched in
/// English documents, and the English "die" must be. The language with the most stop words in it is taken for the
/// question's; the first of several.
pub fn asked(question: &str, languages: &[Language]) -> BTreeMap<String, u32> {
    let question = normal(question);
    let mut words: Vec<Token> = tokens(&question).map(|(_, token)| token).collect();
    let Some(own) = own(&words, languages) else { return BTreeMap::new() };
    words.retain(|word| !word.is_stop_word(own));
    let mut asked = counted(words.iter().copied(), own);
    for language in languages.iter().filter(|language| **language != own) {
        for (lexeme, found) in counted(words.iter().copied(), *language) {
            let count = asked.entry(lexeme).or_insert(0);
            *count = found.max(*count);
        }
    }
    asked
}

fn own(words: &[Token], languages: &[Language]) -> Option<Language> {
    let stop_words = |language: Language| words.iter().filter(|word| word.is_stop_word(language)).count();
    match languages {
        [only] => Some(*only),
        // The last of equal ones is taken.
        _ => languages.iter().rev().copied().max_by_key(|language| stop_words(*language)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexemes;
    use super::*;

    fn of(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
        pairs.iter().map(|(lexeme, count)| ((*lexeme).to_owned(), *count)).collect()
    }

    #[test]
    fn against_one_language_a_question_has_the_lexemes_of_that_language() {
        for question in ["Die wings of the connected Häuser", "", "北京 die Rust入門", "The The"] {
            for language in [Language::English, Language::German, Language::Chinese, Language::Simple] {
                assert_eq!(asked(question, &[language]), lexemes(question, language), "{question} {language:?}");
                assert_eq!(asked(question, &[language, language]), lexemes(question, language));
            }
        }
    }

    #[test]
    fn lexemes_of_all_languages_are_asked_for_and_the_same_one_counts_once() {
        let both = [Language::English, Language::Simple];
        assert_eq!(asked("wings wing wind", &both), of(&[("wind", 1), ("wing", 2), ("wings", 1)]));
        assert_eq!(asked("北京", &[Language::Chinese, Language::German]), of(&[("京", 1), ("北", 1), ("北京", 1)]));
    }

    #[test]
    fn stop_words_are_those_of_the_language_of_the_question() {
        for languages in [[Language::English, Language::German], [Language::German, Language::English]] {
            assert_eq!(asked("wie die Gans in der Stadt", &languages), of(&[("gan", 1), ("stadt", 1)]));
            assert_eq!(asked("how did the geese die", &languages), of(&[("die", 1), ("gees", 1)]));
        }
    }

    #[test]
    fn no_languages_ask_for_nothing() {
        assert_eq!(asked("wings", &[]), BTreeMap::new());
    }
}
