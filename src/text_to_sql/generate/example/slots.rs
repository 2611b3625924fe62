//! Which literals of an example's SQL are slots of its question, and what may stand in them.

use std::collections::{HashMap, HashSet};

use super::frozen::YEARS;
use super::literals::{Compared, Literals, held};
use super::pieces::{Kind, Piece, Said};
use crate::text_to_sql::schema::Schema;

/// What must stand in a question, one after the other.
pub enum Part<'s> {
    Same(Piece),
    Slot(Slot<'s>),
}

/// A place in the SQL that takes another value.
pub struct Slot<'s> {
    place: usize,
    from: String,
    takes: Takes<'s>,
}

enum Takes<'s> {
    Number { limit: bool },
    Text { like: bool, before: bool, after: bool, known: HashMap<String, Vec<&'s str>> },
}

/// Another value in the place of a literal.
#[derive(Debug, Clone, PartialEq)]
pub struct Swap {
    pub place: usize,
    pub from: String,
    pub to: String,
    /// `to` as a literal.
    pub sql: String,
}

/// A value of more pieces than this is no plain slot.
pub const MAX_VALUE: usize = 6;
/// A question that says more values is taken as it stands.
const MAX_SLOTS: usize = 6;
/// SQL with more literals than this answers its own question alone: finding slots costs a pass over all pairs of them.
const MAX_LITERALS: usize = 200;

/// A literal and the pieces that say it.
struct Found {
    place: usize,
    at: usize,
    length: usize,
}

/// The example's question with its slots. One that is doubtful is none, and its words must be said again.
pub fn pattern<'s>(known: &Said, literals: &Literals, schema: &'s Schema) -> Vec<Part<'s>> {
    let slotted = literals.places.len() <= MAX_LITERALS && !literals.other_texts;
    let found = if slotted { said_once(known, literals) } else { Vec::new() };
    let mut slots: HashMap<usize, (Slot, usize)> = HashMap::new();
    for one in &found {
        if let Some(slot) = slot(one, &found, literals, schema) {
            slots.insert(one.at, (slot, one.length));
        }
    }
    if slots.len() > MAX_SLOTS {
        slots.clear();
    }
    let mut parts = Vec::new();
    let mut at = 0;
    while at < known.pieces.len() {
        match slots.remove(&at) {
            Some((slot, length)) => {
                parts.push(Part::Slot(slot));
                at += length;
            }
            None => {
                let piece = (!known.is_article(at)).then(|| Part::Same(known.pieces[at].clone()));
                parts.extend(piece);
                at += 1;
            }
        }
    }
    parts
}

/// The literals that SQL and question both say once, none inside another.
fn said_once(known: &Said, literals: &Literals) -> Vec<Found> {
    let mut spans: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for at in 0..known.pieces.len() {
        for length in 1..=MAX_VALUE.min(known.pieces.len() - at) {
            spans.entry(known.text(at, length).to_lowercase()).or_default().push((at, length));
        }
    }
    let found = literals.places.iter().filter(|place| literals.is_alone(**place)).filter_map(|place| {
        let [(at, length)] = spans.get(&literals.plain(*place))?[..] else { return None };
        let fits = !literals.is_number(*place) || known.pieces[at].kind == Kind::Number;
        fits.then_some(Found { place: *place, at, length })
    });
    let found: Vec<Found> = found.collect();
    let apart = |one: &Found, other: &Found| one.at + one.length <= other.at || other.at + other.length <= one.at;
    let crowded = found.iter().any(|one| found.iter().any(|other| one.place != other.place && !apart(one, other)));
    if crowded { Vec::new() } else { found }
}

fn slot<'s>(one: &Found, found: &[Found], literals: &Literals, schema: &'s Schema) -> Option<Slot<'s>> {
    let from = literals.text(one.place).to_owned();
    let takes = if literals.is_echoed(one.place, schema) {
        None
    } else if literals.is_number(one.place) {
        number(one.place, found, literals)
    } else {
        text(one.place, found, literals, schema)
    };
    Some(Slot { place: one.place, from, takes: takes? })
}

/// A number of rows, or any number if the question says all that the SQL has: one that it does not say may depend on it.
fn number<'s>(place: usize, found: &[Found], literals: &Literals) -> Option<Takes<'s>> {
    let limit = literals.is_limit(place);
    let is_said = |place: usize| found.iter().any(|one| one.place == place);
    let all_said = literals.places.iter().all(|place| !literals.is_number(*place) || is_said(*place));
    let dated = |other: &usize| *other != place && literals.is_dated(*other);
    let dependent = literals.is_dated(place) && literals.places.iter().any(dated);
    ((limit || all_said) && !dependent).then_some(Takes::Number { limit })
}

/// A text that a column is compared with, if the question says every other text of that kind: who asks about another city
/// must not get the old one's country.
fn text<'s>(place: usize, found: &[Found], literals: &Literals, schema: &'s Schema) -> Option<Takes<'s>> {
    let text = literals.text(place);
    let compared = literals.compared(place)?;
    let inner = text.trim_matches('%');
    let plain = !literals.is_dated(place)
        && inner.contains(char::is_alphabetic)
        && (compared.like || inner.len() == text.len())
        && !(compared.like && inner.contains(['%', '_', '\\']));
    if !plain || literals.places.iter().any(|other| is_silent(*other, found, literals)) {
        return None;
    }
    let known = known(place, &compared, literals, schema)?;
    Some(Takes::Text { like: compared.like, before: text.starts_with('%'), after: text.ends_with('%'), known })
}

/// A text that rows must have and that the question does not say.
fn is_silent(place: usize, found: &[Found], literals: &Literals) -> bool {
    let said = literals.is_number(place) || literals.is_dated(place) || found.iter().any(|one| one.place == place);
    !said && literals.compared(place).is_some_and(|compared| !compared.negated)
}

/// The values of the literal's own column by their lower case. Nothing where no column is found, or where the statement
/// and the column spell the old value in two ways, so that a spelling means nothing.
fn known<'s>(
    place: usize,
    compared: &Compared,
    literals: &Literals,
    schema: &'s Schema,
) -> Option<HashMap<String, Vec<&'s str>>> {
    let columns = literals.columns(place, compared, schema);
    let (first, others) = columns.split_first()?;
    let others: Vec<HashSet<&String>> = others.iter().map(|column| held(column).collect()).collect();
    let mut known: HashMap<String, Vec<&str>> = HashMap::new();
    for value in held(first).filter(|value| others.iter().all(|other| other.contains(value))) {
        let spellings = known.entry(value.to_lowercase()).or_default();
        if !spellings.contains(&value.as_str()) {
            spellings.push(value);
        }
    }
    let old = literals.text(place).replace("''", "'");
    let spellings = known.get(&old.to_lowercase());
    match spellings {
        Some(spellings) if spellings.contains(&old.as_str()) => Some(known),
        Some(_) => None,
        None => Some(HashMap::new()),
    }
}

impl Slot<'_> {
    /// What the next `length` pieces put here, if they may: an outer `Some` where they do, an inner one where that is
    /// another value.
    pub fn take(&self, asked: &Said, at: usize, length: usize) -> Option<Option<Swap>> {
        let pieces = &asked.pieces[at..at + length];
        match (&self.takes, pieces) {
            (Takes::Number { limit }, [piece]) if piece.kind == Kind::Number => self.number(&piece.text, *limit),
            (Takes::Number { .. }, _) => None,
            (Takes::Text { .. }, _) => {
                let quoted = matches!(pieces, [piece] if piece.kind == Kind::Quoted);
                self.text(&asked.text(at, length), quoted)
            }
        }
    }

    fn number(&self, to: &str, limit: bool) -> Option<Option<Swap>> {
        let is_year = |text: &str| text.parse().is_ok_and(|year| YEARS.contains(&year));
        let padded = to.len() > 1 && to.starts_with('0') && !to.starts_with("0.");
        let counts = to.bytes().all(|byte| byte.is_ascii_digit()) && to != "0";
        let fits = if limit { counts } else { is_year(&self.from) == is_year(to) };
        (fits && !padded).then(|| self.swap(to, to.to_owned()))
    }

    fn text(&self, said: &str, quoted: bool) -> Option<Option<Swap>> {
        let Takes::Text { like, before, after, known } = &self.takes else { return None };
        let old = self.from.trim_matches('%').replace("''", "'");
        let to = match known.get(&said.to_lowercase()).map(Vec::as_slice) {
            Some([value]) => value,
            Some(values) => values.iter().find(|value| **value == said)?,
            None if said.to_lowercase() == old.to_lowercase() && (!quoted || said == old) => return Some(None),
            None if quoted => said,
            None => return None,
        };
        let hostile: &[char] = if *like { &['\\', '\0', '%', '_'] } else { &['\\', '\0'] };
        let (before, after) = (if *before { "%" } else { "" }, if *after { "%" } else { "" });
        let sql = format!("'{before}{}{after}'", to.replace('\'', "''"));
        (!to.contains(hostile)).then(|| self.swap(to, sql))
    }

    fn swap(&self, to: &str, sql: String) -> Option<Swap> {
        let from = self.from.trim_matches('%').replace("''", "'");
        (from != to).then(|| Swap { place: self.place, from, to: to.to_owned(), sql })
    }
}
