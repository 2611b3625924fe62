//! The numbers and identifiers that a sentence states, and whether a text states them too.
//!
//! Numbers are compared by value: `1,200` and `1.200` are one number, `4,5` and `4.5` are another, and from two to twelve a
//! word is a number. The month of a date is not compared, because texts write it as a word.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::lexemes::Language;

/// What a sentence states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Figure {
    /// By its canonical decimal text.
    Number(String),
    /// Letters and digits that begin with a letter, in lower case: `ov3100`.
    Identifier(String),
}

/// What a text states, to look figures up in.
#[derive(Debug, Default)]
pub struct Stated {
    numbers: HashSet<String>,
    /// The text's letters and digits, in lower case, with a blank between numbers and nowhere else.
    squeezed: String,
}

/// From 0 on, in the languages whose texts write them out most.
const SMALL: [(Language, [&str; 13]); 5] = [
    (
        Language::English,
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    ),
    (
        Language::German,
        ["null", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf"],
    ),
    (
        Language::French,
        ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze"],
    ),
    (
        Language::Spanish,
        ["cero", "un", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce"],
    ),
    (
        Language::Italian,
        ["zero", "un", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "dieci", "undici", "dodici"],
    ),
];

/// Two of two, in the same languages.
const BOTH: [&str; 5] = ["both", "beide", "deux", "ambos", "entrambi"];

/// The figures of a sentence; the number of a list item is none.
pub fn figures(sentence: &str, language: Language) -> Vec<Figure> {
    let text: String = sentence.nfkc().collect();
    let mut figures: Vec<Figure> = tokens(without_item_number(&text)).flat_map(figures_of).collect();
    let of_language = SMALL.iter().filter(|(of, _)| *of == language).collect::<Vec<_>>();
    for word in text.to_lowercase().unicode_words() {
        let numbers = of_language.iter().filter_map(|(_, words)| words.iter().position(|small| *small == word));
        // "One" is an article, too, in some languages, and "zero" a noun.
        figures.extend(numbers.filter(|number| *number > 1).map(|number| Figure::Number(number.to_string())));
    }
    figures
}

fn without_item_number(text: &str) -> &str {
    let text = text.trim_start();
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let marked = rest.strip_prefix(['.', ')']).filter(|after| after.starts_with(' '));
    marked.filter(|_| rest.len() < text.len()).unwrap_or(text)
}

impl Stated {
    pub fn add(&mut self, text: &str) {
        let text: String = text.nfkc().collect();
        let all = tokens(&text).flat_map(|token| runs(token).flat_map(values));
        self.numbers.extend(all);
        for word in text.to_lowercase().unicode_words() {
            let small = SMALL.iter().filter_map(|(_, words)| words.iter().position(|small| *small == word));
            self.numbers.extend(small.map(|number| number.to_string()));
            if BOTH.contains(&word) {
                self.numbers.insert("2".to_owned());
            }
        }
        self.squeezed.push_str(&squeeze(&text));
        self.squeezed.push(' ');
    }

    pub fn has(&self, figure: &Figure) -> bool {
        match figure {
            Figure::Number(number) => self.numbers.contains(number),
            Figure::Identifier(identifier) => self.squeezed.match_indices(identifier.as_str()).any(|(at, found)| {
                // OV-310 is not stated by OV-3100.
                !self.squeezed[at + found.len()..].starts_with(|c: char| c.is_ascii_digit())
            }),
        }
    }
}

/// Stretches of ASCII letters, digits and what stands within numbers, if there is a digit in them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let within = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | ':' | '/' | '-' | '_' | '\'' | '’');
    text.split(move |c: char| !within(c))
        .map(|token| token.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|token| token.bytes().any(|byte| byte.is_ascii_digit()))
}

fn figures_of(token: &str) -> Vec<Figure> {
    if token.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return vec![Figure::Identifier(squeeze(token))];
    }
    let parts: Vec<&str> = token.split(['-', '/', '.']).collect();
    let is_date = parts.len() == 3
        && parts.iter().all(|part| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
        && [parts[0], parts[2]].iter().any(|part| part.len() == 4);
    let all = runs(token).flat_map(values);
    all.filter(|number| !is_date || !is_month(number)).map(Figure::Number).collect()
}

fn is_month(number: &str) -> bool {
    number.parse::<u32>().is_ok_and(|number| number <= 12)
}

fn squeeze(text: &str) -> String {
    let mut squeezed = String::new();
    let mut after_gap = false;
    for c in text.chars() {
        if c.is_ascii_digit() && after_gap && squeezed.ends_with(|last: char| last.is_ascii_digit()) {
            squeezed.push(' ');
        }
        after_gap = !c.is_alphanumeric();
        squeezed.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
    }
    squeezed
}

/// Digits with the points, commas and apostrophes between them.
fn runs(token: &str) -> impl Iterator<Item = &str> {
    token
        .split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '\'' | '’')))
        .map(|run| run.trim_matches(|c: char| !c.is_ascii_digit()))
        .filter(|run| !run.is_empty())
}

/// The values of a run: one, unless its points separate the parts of a date or of a version.
fn values(run: &str) -> Vec<String> {
    let groups: Vec<&str> = run.split(|c: char| !c.is_ascii_digit()).collect();
    let separators: Vec<char> = run.chars().filter(|c| !c.is_ascii_digit()).collect();
    let Some(last) = separators.last().copied() else { return vec![canonical(run, "")] };
    let by_thousands = |groups: &[&str]| {
        matches!(groups[0].len(), 1..=3) && groups[0] != "0" && groups[1..].iter().all(|g| g.len() == 3)
    };
    let alike = |separators: &[char]| separators.windows(2).all(|pair| pair[0] == pair[1]);
    let (whole, fraction) = groups.split_at(groups.len() - 1);
    match separators.len() {
        _ if alike(&separators) && by_thousands(&groups) => vec![canonical(&groups.concat(), "")],
        1 => vec![canonical(groups[0], groups[1])],
        n if alike(&separators[..n - 1]) && last != separators[0] && by_thousands(whole) => {
            vec![canonical(&whole.concat(), fraction[0])]
        }
        _ => groups.iter().map(|group| canonical(group, "")).collect(),
    }
}

/// Without zeros that change nothing.
fn canonical(whole: &str, fraction: &str) -> String {
    let whole = Some(whole.trim_start_matches('0')).filter(|digits| !digits.is_empty()).unwrap_or("0");
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_stated(sentence: &str, text: &str) -> bool {
        let mut stated = Stated::default();
        stated.add(text);
        figures(sentence, Language::English).iter().all(|figure| stated.has(figure))
    }

    #[test]
    fn numbers_are_compared_by_value() {
        for (sentence, text) in [
            ("It costs 1200 euros.", "EUR 1,200 a year"),
            ("Es kostet 1.200,50 Euro.", "1,200.5 euros"),
            ("It is 4,5 percent.", "4.50%"),
            ("A 36-month warranty.", "adds 36 months"),
            ("It takes 2 people.", "Two people for any work"),
            ("Until 09:30.", "before 9:30 on the first day"),
            ("On 2026-01-31.", "31 January 2026"),
            ("Am 31.01.2026.", "31 January 2026"),
            ("1. Ask the desk.", "Ask the desk"),
            ("The Gannet (OV 3100) holds.", "the OV-3100 holds"),
            ("It is in Q1.", "the report 2026-Q1"),
            ("Version v1.2.3 runs.", "v1.2.3"),
            ("売上は120億円です。", "売上 120億円"),
            ("Für EUR40.", "EUR 40"),
            ("The OV-4000 comes with 60.", "Alpine Station (OV-4000): 60 months"),
            ("It lasts five days.", "5 days"),
            ("It is due once.", "Nothing."),
        ] {
            assert!(is_stated(sentence, text), "{sentence:?} in {text:?}: {:?}", figures(sentence, Language::English));
        }
    }

    #[test]
    fn numbers_that_are_not_there_are_missed() {
        for (sentence, text) in [
            ("It costs 1300 euros.", "EUR 1,200 a year"),
            ("It lasts four days.", "three days"),
            ("It is 45 percent.", "4.5%"),
            ("It takes 3 people.", "Two people for any work"),
            ("On 2025-01-31.", "31 January 2026"),
            ("The OV-310 holds.", "the OV-3100 holds"),
            ("The OX-3100 holds.", "the OV-3100 holds"),
        ] {
            assert!(!is_stated(sentence, text), "{sentence:?} in {text:?}: {:?}", figures(sentence, Language::English));
        }
    }
}
