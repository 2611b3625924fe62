//! Questions in German and Chinese, as far as declared synonyms and known values carry: the words of the grammar are put
//! into English, and runs of Han characters, which have no blanks, are cut where names and values that the catalog knows
//! begin and end. What nobody knows stays as it is, and counts as unused.

use super::catalog::Catalog;

/// German question words of which one tells the language; "die" and "war" are English too.
const GERMAN_MARKS: &[&str] = &[
    "wie", "wieviel", "wieviele", "welche", "welcher", "welches", "welchen", "zeige", "zeig", "liste", "nenne",
    "anzahl", "gib", "gibt",
];

const GERMAN: &[(&str, &str)] = &[
    ("wie viele", "how many"),
    ("wieviele", "how many"),
    ("wie viel", "how much"),
    ("wieviel", "how much"),
    ("wie hoch ist", "what is"),
    ("wie", "how"),
    ("welche", "which"),
    ("welcher", "which"),
    ("welches", "which"),
    ("welchen", "which"),
    ("was", "what"),
    ("wer", "who"),
    ("wann", "when"),
    ("wo", "where"),
    ("zeige", "show"),
    ("zeig", "show"),
    ("liste", "list"),
    ("nenne", "list"),
    ("gibt es", "are there"),
    ("gib", "give"),
    ("mir", "me"),
    ("anzahl der", "number of"),
    ("anzahl", "number of"),
    ("durchschnittliche", "average"),
    ("durchschnittlicher", "average"),
    ("durchschnitt", "average"),
    ("höchste", "highest"),
    ("höchsten", "highest"),
    ("größte", "largest"),
    ("größten", "largest"),
    ("niedrigste", "lowest"),
    ("niedrigsten", "lowest"),
    ("kleinste", "smallest"),
    ("kleinsten", "smallest"),
    ("meisten", "most"),
    ("wenigsten", "fewest"),
    ("summe", "sum"),
    ("gesamte", "total"),
    ("je", "per"),
    ("pro", "per"),
    ("jede", "each"),
    ("jeden", "each"),
    ("jedes", "each"),
    ("alle", "all"),
    ("mehr als", "more than"),
    ("weniger als", "less than"),
    ("mindestens", "at least"),
    ("höchstens", "at most"),
    ("zwischen", "between"),
    ("vor", "before"),
    ("nach", "by"),
    ("seit", "since"),
    ("und", "and"),
    ("oder", "or"),
    ("nicht", "not"),
    ("kein", "no"),
    ("keine", "no"),
    ("keinen", "no"),
    ("ohne", "without"),
    ("mit", "with"),
    ("aus", "from"),
    ("von", "of"),
    ("im", "in"),
    ("in", "in"),
    ("für", "for"),
    ("der", "the"),
    ("die", "the"),
    ("das", "the"),
    ("den", "the"),
    ("dem", "the"),
    ("des", "the"),
    ("ein", "a"),
    ("eine", "a"),
    ("einen", "a"),
    ("ist", "is"),
    ("sind", "are"),
    ("hat", "has"),
    ("haben", "have"),
    ("wurden", "were"),
    ("wurde", "was"),
];

const CHINESE: &[(&str, &str)] = &[
    ("是多少", " "),
    ("多少个", "how many"),
    ("有多少", "how many"),
    ("多少", "how many"),
    ("几个", "how many"),
    ("数量", "number of"),
    ("平均", "average"),
    ("最高", "highest"),
    ("最大", "largest"),
    ("最低", "lowest"),
    ("最小", "smallest"),
    ("最多", "most"),
    ("最少", "fewest"),
    ("总和", "sum"),
    ("总", "total"),
    ("每个", "each"),
    ("每", "each"),
    ("所有", "all"),
    ("列出", "list"),
    ("显示", "show"),
    ("哪些", "which"),
    ("哪个", "which"),
    ("什么", "what"),
    ("没有", "without"),
    ("不是", "not"),
    ("大于", "more than"),
    ("超过", "more than"),
    ("小于", "less than"),
    ("少于", "less than"),
    ("或者", "or"),
    ("或", "or"),
    ("和", "and"),
    ("在", "in"),
    ("来自", "from"),
    ("是", "is"),
    ("有", "have"),
    ("的", " "),
    ("了", " "),
    ("吗", " "),
    ("请", " "),
];

/// The question with the words of the grammar in English.
pub fn in_english(question: &str, catalog: &Catalog) -> String {
    let cut = cut_han(question, catalog);
    let lower = cut.to_lowercase();
    let german = lower.split(|c: char| !c.is_alphanumeric()).any(|word| GERMAN_MARKS.contains(&word));
    if german { from_german(&cut) } else { cut }
}

/// Words outside of quotes, the longest phrase first.
fn from_german(question: &str) -> String {
    let words: Vec<&str> = question.split_whitespace().collect();
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '"' && c != '\'').to_lowercase();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let phrase = |length: usize| words[at..(at + length).min(words.len())].iter().map(|word| bare(word));
        let known = (1..=3).rev().find_map(|length| {
            let said = phrase(length).collect::<Vec<_>>().join(" ");
            GERMAN.iter().find(|(german, _)| *german == said).map(|(_, english)| (length, *english))
        });
        let (length, text) = known.map_or((1, words[at].to_owned()), |(length, english)| (length, english.to_owned()));
        out.push(text);
        at += length;
    }
    out.join(" ")
}

/// Blanks around every name and value that the catalog knows inside a run of Han characters, longest first.
fn cut_han(question: &str, catalog: &Catalog) -> String {
    if !question.chars().any(is_han) {
        return question.to_owned();
    }
    let chars: Vec<char> = question.chars().collect();
    let mut out = String::with_capacity(question.len() * 2);
    let mut at = 0;
    while at < chars.len() {
        let run = chars[at..].iter().take_while(|c| is_han(**c)).count();
        match known_at(&chars[at..at + run], catalog) {
            Some((length, text)) => {
                out.push_str(&format!(" {text} "));
                at += length;
            }
            None => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

fn known_at(run: &[char], catalog: &Catalog) -> Option<(usize, String)> {
    (1..=run.len().min(catalog.longest_han())).rev().find_map(|length| {
        let text: String = run[..length].iter().collect();
        let grammar = CHINESE.iter().find(|(chinese, _)| *chinese == text).map(|(_, english)| (*english).to_owned());
        let known = catalog.knows_han(&text).then_some(text);
        known.or(grammar).map(|text| (length, text))
    })
}

/// The characters that Chinese is written with.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{F900}'..='\u{FAFF}')
}
