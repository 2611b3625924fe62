//! Words as the linker compares them: split identifiers, spelled-out abbreviations, stems and a few synonyms.
//!
//! Nothing here knows a schema. The lists are general English and common habits of naming; what is special to one
//! database belongs in that database's descriptions and synonyms.

use std::collections::HashMap;
use std::sync::LazyLock;

use rust_stemmers::{Algorithm, Stemmer};

/// Words that join others and never name a table, a column or a value.
const FUNCTION_WORDS: &[&str] = &[
    "a", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "being", "both", "but", "by", "can",
    "could", "did", "display", "do", "does", "each", "either", "ever", "every", "find", "for", "from", "get", "give",
    "had", "has", "have", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "list", "many", "me",
    "much", "my", "no", "not", "of", "on", "or", "our", "per", "please", "return", "should", "show", "some", "tell",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we",
    "were", "what", "when", "where", "which", "who", "whom", "whose", "will", "with", "would", "you", "s", "t", "d",
    "m", "re",
];

/// Plurals and spellings the stemmer does not bring together.
const IRREGULAR: &[(&str, &str)] = &[
    ("people", "person"),
    ("persons", "person"),
    ("children", "child"),
    ("men", "man"),
    ("women", "woman"),
    ("theses", "thesis"),
    ("mice", "mouse"),
    ("feet", "foot"),
    ("taught", "teach"),
    ("bought", "buy"),
    ("sold", "sell"),
    ("paid", "pay"),
    ("held", "hold"),
    ("won", "win"),
    ("made", "make"),
    ("took", "take"),
    ("statuses", "status"),
    ("addresses", "address"),
    ("matches", "match"),
    ("organisation", "organization"),
    ("organisations", "organization"),
    ("colour", "color"),
    ("colours", "color"),
];

/// How identifiers shorten words.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("acc", "account"),
    ("acct", "account"),
    ("addr", "address"),
    ("advis", "advisor"),
    ("amt", "amount"),
    ("apt", "apartment"),
    ("avg", "average"),
    ("bal", "balance"),
    ("bday", "birthday"),
    ("cat", "category"),
    ("cname", "name"),
    ("cnt", "count"),
    ("crs", "course"),
    ("cust", "customer"),
    ("dept", "department"),
    ("desc", "description"),
    ("dname", "name"),
    ("dob", "birth date"),
    ("doc", "document"),
    ("emp", "employee"),
    ("enr", "enrollment"),
    ("fac", "faculty"),
    ("fname", "first name"),
    ("grp", "group"),
    ("hrs", "hours"),
    ("hs", "hours"),
    ("img", "image"),
    ("inst", "institution"),
    ("inv", "invoice"),
    ("lat", "latitude"),
    ("lname", "last name"),
    ("lng", "longitude"),
    ("loc", "location"),
    ("lvl", "level"),
    ("maj", "major"),
    ("max", "maximum"),
    ("mgr", "manager"),
    ("min", "minimum"),
    ("mname", "middle name"),
    ("nbr", "number"),
    ("no", "number"),
    ("num", "number"),
    ("org", "organization"),
    ("pct", "percent"),
    ("pname", "name"),
    ("pos", "position"),
    ("prod", "product"),
    ("prof", "professor"),
    ("pwd", "password"),
    ("qty", "quantity"),
    ("sal", "salary"),
    ("sname", "name"),
    ("stu", "student"),
    ("tel", "telephone"),
    ("temp", "temperature"),
    ("trans", "transaction"),
    ("usr", "user"),
    ("yr", "year"),
];

/// Words people use for one another, as groups; kept short because long lists did harm on unseen databases.
const SYNONYMS: &[&[&str]] = &[
    &["sex", "gender"],
    &["salary", "wage", "pay", "earnings"],
    &["price", "cost"],
    &["nation", "country", "nationality"],
    &["identifier", "id"],
    &["title", "name"],
    &["teacher", "instructor", "professor", "faculty"],
    &["employee", "staff", "worker"],
    &["movie", "film"],
    &["company", "firm"],
    &["client", "customer"],
    &["type", "kind", "category"],
    &["phone", "telephone"],
    &["email", "mail"],
    &["team", "club"],
    &["college", "university", "school"],
    &["singer", "artist"],
    &["song", "track"],
    &["job", "occupation", "profession"],
    &["town", "city"],
    &["location", "place", "address"],
    &["capacity", "seats"],
    &["begin", "start"],
    &["born", "birth"],
];

/// Units and currencies that end the name of a measure and that nobody says: `price_eur`, `weight_kg`.
const UNITS: &[&str] = &[
    "eur",
    "euro",
    "euros",
    "usd",
    "dollar",
    "dollars",
    "gbp",
    "chf",
    "jpy",
    "cny",
    "inr",
    "cad",
    "aud",
    "nzd",
    "sek",
    "nok",
    "dkk",
    "pln",
    "czk",
    "huf",
    "brl",
    "zar",
    "cents",
    "percent",
    "kg",
    "kgs",
    "mg",
    "lb",
    "lbs",
    "oz",
    "tons",
    "tonnes",
    "km",
    "cm",
    "mm",
    "miles",
    "ft",
    "inches",
    "sqm",
    "sqft",
    "ms",
    "us",
    "ns",
    "sec",
    "secs",
    "kb",
    "mb",
    "gb",
    "tb",
    "bytes",
    "kwh",
    "mwh",
    "kw",
    "mw",
    "celsius",
    "fahrenheit",
    "ml",
    "mph",
    "kmh",
    "kph",
    "g",
    "m",
    "s",
];
/// Units that people also count in, so that they carry meaning after a single word: `credit_hours`.
const COUNTED_UNITS: &[&str] = &["seconds", "minutes", "hours", "days", "weeks", "months", "years"];
/// Words that need the unit after them: `total_kg` is no "total".
const QUANTITIES: &[&str] =
    &["number", "total", "count", "average", "maximum", "minimum", "sum", "mean", "median", "per", "in", "by"];

/// Verbs that say no more than that something is there or was entered, in the forms that questions use.
const GENERIC_VERBS: &[&str] = &[
    "placed",
    "made",
    "make",
    "makes",
    "done",
    "did",
    "created",
    "recorded",
    "registered",
    "received",
    "receive",
    "exist",
    "exists",
    "existing",
    "existed",
    "held",
    "hold",
    "holds",
    "issued",
    "issue",
    "happened",
    "happen",
    "occurred",
    "entered",
    "stored",
    "listed",
];

/// Whether a lower-case word is a verb without content of its own.
pub fn is_generic_verb(word: &str) -> bool {
    GENERIC_VERBS.contains(&word)
}

/// The stems of a measure's name without the unit that ends it.
pub fn stems_without_unit(name: &str) -> Option<Vec<String>> {
    let words = identifier_words(name);
    let (unit, rest) = words.split_last()?;
    let spare = UNITS.contains(&unit.as_str()) || (rest.len() > 1 && COUNTED_UNITS.contains(&unit.as_str()));
    let names = rest.iter().any(|word| !QUANTITIES.contains(&word.as_str()));
    (spare && names).then(|| identifier_stems(&rest.join(" "))).filter(|stems| !stems.is_empty())
}

/// Whether a lower-case word only joins others.
pub fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.contains(&word)
}

/// The stem that spellings of one word share: Snowball's English stemmer after the irregular forms.
pub fn stem(word: &str) -> String {
    let lower = word.to_lowercase();
    let regular = IRREGULAR.iter().find(|(from, _)| *from == lower).map_or(lower.as_str(), |(_, to)| to);
    Stemmer::create(Algorithm::English).stem(regular).into_owned()
}

/// The words of an identifier: `customerId`, `CUST_ID` and `cust-id` are all `customer id`.
pub fn identifier_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in without_prefix(split_identifier(name), name) {
        let spelled = ABBREVIATIONS.iter().find(|(short, _)| *short == part).map_or(part.as_str(), |(_, long)| long);
        words.extend(spelled.split(' ').map(str::to_owned));
    }
    words
}

/// `LName` is a last name and `FName` a first one; the letter in `cName` or `tDate` says only where the column is.
fn without_prefix(mut parts: Vec<String>, name: &str) -> Vec<String> {
    let letter =
        parts.first().filter(|first| parts.len() > 1 && first.chars().count() == 1 && !name.contains(['_', ' ']));
    let Some(letter) = letter.cloned() else { return parts };
    let hungarian = name.starts_with(|c: char| c.is_ascii_lowercase());
    match (letter.as_str(), parts[1].as_str()) {
        ("l", "name") => parts[0] = "last".to_owned(),
        ("f", "name") => parts[0] = "first".to_owned(),
        ("m", "name") => parts[0] = "middle".to_owned(),
        (_, "name") => drop(parts.remove(0)),
        _ if hungarian && letter.chars().all(char::is_alphabetic) => drop(parts.remove(0)),
        _ => {}
    }
    parts
}

/// The stems of an identifier without the little words in it.
pub fn identifier_stems(name: &str) -> Vec<String> {
    let words = identifier_words(name);
    let kept =
        words.iter().filter(|word| !matches!(word.as_str(), "of" | "the" | "a" | "an" | "in" | "for" | "and" | "is"));
    kept.map(|word| stem(word)).collect()
}

/// The stems of words that mean much the same as the word of this stem.
pub fn synonyms(stemmed: &str) -> &'static [String] {
    static BY_STEM: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
        let groups = SYNONYMS.iter().map(|group| group.iter().map(|word| stem(word)).collect::<Vec<_>>());
        let others = |group: &[String], own: &String| group.iter().filter(|other| *other != own).cloned().collect();
        groups
            .flat_map(|group| group.iter().map(|own| (own.clone(), others(&group, own))).collect::<Vec<_>>())
            .collect()
    });
    BY_STEM.get(stemmed).map_or(&[], Vec::as_slice)
}

/// A text as values are compared: lower-case words of letters and digits, one space between them.
pub fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_alphanumeric() {
            out.extend(character.to_lowercase());
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn split_identifier(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    for (at, &character) in chars.iter().enumerate() {
        if !character.is_alphanumeric() || starts_word(&chars, at) {
            parts.extend((!part.is_empty()).then(|| std::mem::take(&mut part)));
        }
        if character.is_alphanumeric() {
            part.extend(character.to_lowercase());
        }
    }
    parts.extend((!part.is_empty()).then_some(part));
    parts
}

/// `aB`, `ABc` (before the B) and the border between letters and digits start a new word.
fn starts_word(chars: &[char], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|before| chars.get(before)) else { return false };
    let here = chars[at];
    let after_is_lower = chars.get(at + 1).is_some_and(|after| after.is_lowercase());
    (before.is_lowercase() && here.is_uppercase())
        || (before.is_uppercase() && here.is_uppercase() && after_is_lower)
        || (before.is_alphabetic() && here.is_numeric())
        || (before.is_numeric() && here.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_every_habit_split_into_the_same_words() {
        for name in ["customerId", "CUST_ID", "cust-id", "CustomerID", "customer id"] {
            assert_eq!(identifier_words(name), ["customer", "id"], "{name}");
        }
    }

    #[test]
    fn plurals_and_irregular_forms_share_a_stem() {
        assert_eq!(stem("countries"), stem("country"));
        assert_eq!(stem("People"), stem("person"));
    }

    #[test]
    fn values_compare_by_their_words_alone() {
        assert_eq!(normal("  Saint-Étienne, (FR) "), "saint étienne fr");
    }
}
