//! What a person types: words, `"phrases in quotes"` that every result must hold, and `-words` or `-"phrases"` that none
//! may hold. A quote or a minus within a word (5", re-entry, -5) is nothing special.

/// Phrases and exclusions of one query together.
const MAX_CONDITIONS: usize = 10;
/// A text of more words is prose, whose quotes and dashes are nobody's conditions: requiring what long questions quote cost
/// CISI 0.03 of its nDCG@10.
const MAX_WORDS: usize = 32;
/// Characters of a phrase.
const MAX_PHRASE: usize = 500;

/// A query taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// What is searched for: without exclusions, phrases as plain words.
    pub text: String,
    pub phrases: Vec<String>,
    /// Words and phrases.
    pub excluded: Vec<String>,
}

impl Query {
    /// Says what is wrong with a query that cannot be searched for.
    pub fn parse(query: &str) -> Result<Query, String> {
        if query.split_whitespace().nth(MAX_WORDS).is_some() {
            return Ok(Query::literal(query));
        }
        let mut parsed = Query::default();
        let mut rest = query;
        while let Some((space, part, after)) = next_part(rest) {
            // Two phrases may stand side by side without a space.
            parsed.text.push_str(if space.is_empty() && !parsed.text.is_empty() { " " } else { space });
            parsed.take(part);
            rest = after;
        }
        parsed.check(query)?;
        Ok(parsed)
    }

    /// A text whose quotes and minus signs mean nothing.
    pub fn literal(text: &str) -> Query {
        Query { text: text.to_owned(), ..Query::default() }
    }

    fn take(&mut self, part: Part<'_>) {
        match part {
            Part::Words(words) => self.text.push_str(words),
            Part::Phrase(phrase) => {
                self.text.push_str(phrase);
                self.phrases.push(phrase.to_owned());
            }
            Part::Excluded(words) => self.excluded.push(words.to_owned()),
        }
    }

    fn check(&self, query: &str) -> Result<(), String> {
        let conditions = self.phrases.len() + self.excluded.len();
        if conditions > MAX_CONDITIONS {
            return Err(format!("has {conditions} phrases and exclusions; {MAX_CONDITIONS} are allowed"));
        }
        let mut phrases = self.phrases.iter().chain(&self.excluded);
        if phrases.any(|phrase| phrase.chars().count() > MAX_PHRASE) {
            return Err(format!("has a phrase or exclusion of more than {MAX_PHRASE} characters"));
        }
        if self.text.trim().is_empty() && !query.trim().is_empty() {
            return Err("names only what to leave out; say what to search for as well".to_owned());
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Words(&'a str),
    Phrase(&'a str),
    Excluded(&'a str),
}

/// White space, what follows it, and the rest.
fn next_part(text: &str) -> Option<(&str, Part<'_>, &str)> {
    let (space, text) = text.split_at(text.len() - text.trim_start().len());
    if text.is_empty() {
        return None;
    }
    if let Some((phrase, rest)) = phrase(text) {
        return Some((space, Part::Phrase(phrase), rest));
    }
    if let Some(excluded) = text.strip_prefix('-') {
        if let Some((phrase, rest)) = phrase(excluded) {
            return Some((space, Part::Excluded(phrase), rest));
        }
        if excluded.starts_with(char::is_alphabetic) {
            let (word, rest) = word(excluded);
            return Some((space, Part::Excluded(word), rest));
        }
    }
    let (words, rest) = word(text);
    Some((space, Part::Words(words), rest))
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// What stands between quotes that end with a word; there is a letter or a digit in it.
fn phrase(text: &str) -> Option<(&str, &str)> {
    let quoted = text.strip_prefix('"')?;
    let (phrase, rest) = quoted.split_once('"')?;
    let ends = rest.chars().next().is_none_or(|next| !next.is_alphanumeric());
    (ends && phrase.contains(char::is_alphanumeric)).then_some((phrase, rest))
}

/// A regular expression of PostgreSQL's that finds the words of a phrase in their order, whatever stands between them, and
/// no parts of words at its ends. Only letters and digits are taken over, so nothing in it is an operator.
pub fn pattern(phrase: &str) -> String {
    let words: Vec<&str> = phrase.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let edge = |char: Option<char>, mark: &str| match char {
        // Words of Chinese, Japanese and Thai have no edges to be seen.
        Some(char) if char.is_ascii_alphanumeric() || char.is_lowercase() || char.is_uppercase() => mark.to_owned(),
        _ => String::new(),
    };
    let first = edge(phrase.chars().find(|char| char.is_alphanumeric()), r"\m");
    let last = edge(phrase.chars().rfind(|char| char.is_alphanumeric()), r"\M");
    format!("{first}{}{last}", words.join("[^[:alnum:]]+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Query {
        Query::parse(query).unwrap()
    }

    #[test]
    fn phrases_and_exclusions_are_told_from_words() {
        let parsed = parse(r#"station "net revenue" -draft -"old price list" (2024)"#);
        assert_eq!(parsed.text.split_whitespace().collect::<Vec<_>>(), ["station", "net", "revenue", "(2024)"]);
        assert_eq!(parsed.phrases, ["net revenue"]);
        assert_eq!(parsed.excluded, ["draft", "old price list"]);
        assert_eq!(parse("\"a b\"\"c d\"").text, "a b c d");
    }

    #[test]
    fn quotes_and_minus_signs_within_text_are_text() {
        for query in
            [r#"a 5" pipe and a 6" one"#, "re-entry at -5 degrees", r#"an open " quote"#, "a - b", r#""" "!""#, "-"]
        {
            let parsed = parse(query);
            assert_eq!(parsed, Query::literal(query), "{query}");
        }
    }

    #[test]
    fn a_long_text_is_prose() {
        let query = format!("{} \"net revenue\" -draft", "word ".repeat(31));
        assert_eq!(parse(&query), Query::literal(&query));
    }

    #[test]
    fn what_cannot_be_searched_for_is_refused_in_words() {
        assert!(Query::parse("-draft").unwrap_err().contains("leave out"));
        assert!(Query::parse(&"-a ".repeat(11)).unwrap_err().contains("10 are allowed"));
        assert!(Query::parse(&format!("x \"{}\"", "a".repeat(501))).unwrap_err().contains("500"));
    }

    #[test]
    fn a_pattern_holds_words_alone() {
        assert_eq!(pattern("Net revenue"), r"\mNet[^[:alnum:]]+revenue\M");
        assert_eq!(pattern(".*|(a+)$ don't"), r"\ma[^[:alnum:]]+don[^[:alnum:]]+t\M");
        assert_eq!(pattern("北京 大学"), "北京[^[:alnum:]]+大学");
    }
}
