//! The letters of fonts that do not name them (ISO 32000-1, 9.10.2): without a map to Unicode, a code means a shape of the
//! embedded font, and that font may know which letter the shape is. [`named`] looks it up, and [`Source`] hands the fonts
//! out with the map that they lack. Where nothing tells, the letters stay unknown: a guess would put noise into searches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::ready;

use pdfboss_core::{
    AsyncObjectSource, BoxFuture, Dict, Document, Name, ObjRef, Object, Result, Stream, type0_encoding,
};
use pdfboss_core::{Immediate, block_on, decoded_stream_data_with};
use pdfboss_encoding::{glyph_to_text, mac_roman, win_ansi};
use ttf_parser::{RawFace, Tag, cff, cmap, post};

/// Fonts with a map to Unicode that their file lacks.
pub type NamedFonts = HashMap<ObjRef, Object>;

/// The text of each code.
type Texts = BTreeMap<u32, String>;

/// How deep drawings inside of drawings are searched for fonts.
const MAX_DEPTH: usize = 8;

/// Fonts beyond this stay as they are: a map may take a megabyte.
const MAX_FONTS: usize = 256;

/// The orderings of Adobe's character collections (ISO 32000-1, 9.7.5.2).
const COLLECTIONS: [&[u8]; 5] = [b"Japan1", b"GB1", b"CNS1", b"Korea1", b"KR"];

/// The map that makes every code its own letter.
const IDENTITY: &[u8] = b"1 beginbfrange\n<0000> <ffff> <0000>\nendbfrange\n";

/// Ranges are searched one by one for every letter: more would make pages slow.
const MAX_RANGES: usize = 4096;

/// Fonts of Microsoft that files use without embedding them. Their first shapes come in the order of the Macintosh's
/// letters (OpenType 1.9, `post`, format 1): a space is the fourth.
const MAC_ORDER: [&str; 9] =
    ["arial", "timesnewroman", "couriernew", "verdana", "georgia", "trebuchetms", "comicsansms", "tahoma", "impact"];

/// The document, but with named fonts.
pub struct Source<'a> {
    pub document: &'a Document,
    pub named: &'a NamedFonts,
}

impl AsyncObjectSource for Source<'_> {
    fn get(&self, object: ObjRef) -> BoxFuture<'_, Result<Object>> {
        let named = self.named.get(&object).cloned();
        Box::pin(ready(named.map_or_else(|| self.document.get(object), Ok)))
    }

    fn stream_data<'a>(&'a self, stream: &'a Stream) -> BoxFuture<'a, Result<Vec<u8>>> {
        Box::pin(ready(self.document.stream_data(stream)))
    }

    fn resolve<'a>(&'a self, object: &'a Object) -> BoxFuture<'a, Result<Object>> {
        let named = object.as_ref().and_then(|object| self.named.get(&object)).cloned();
        Box::pin(ready(named.map_or_else(|| self.document.resolve(object), Ok)))
    }
}

/// Where fonts are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the pages that have no map at all: quick, and enough for most files.
    Pages,
    /// Also those of drawings, and those with a map that leaves letters out.
    Everything,
}

/// The document's fonts whose map to Unicode is missing or lacks letters, where these could be found.
pub fn named(document: &Document, reach: Reach) -> NamedFonts {
    let mut search = Search { document, reach, seen: HashSet::new(), named: NamedFonts::new() };
    for page in (0..document.flattened_page_count()).filter_map(|index| document.page(index).ok()) {
        search.resources(&page.resources, 0);
    }
    search.named
}

struct Search<'a> {
    document: &'a Document,
    reach: Reach,
    seen: HashSet<ObjRef>,
    named: NamedFonts,
}

impl Search<'_> {
    fn resources(&mut self, resources: &Dict, depth: usize) {
        for font in self.new_objects(resources, "Font") {
            if self.named.len() < MAX_FONTS
                && let Ok(Object::Dict(mut dict)) = self.document.get(font)
                && let Some(map) = map(self.document, &dict, self.reach)
            {
                let map = Object::Stream(Stream { dict: Dict::new(), data: map });
                dict.insert(Name("ToUnicode".to_owned()), map);
                self.named.insert(font, Object::Dict(dict));
            }
        }
        if self.reach == Reach::Everything && depth < MAX_DEPTH {
            for drawing in self.new_objects(resources, "XObject") {
                self.drawing(drawing, depth);
            }
        }
    }

    fn drawing(&mut self, drawing: ObjRef, depth: usize) {
        let Ok(Object::Stream(stream)) = self.document.get(drawing) else { return };
        if let Some(inner) = child(self.document, &stream.dict, "Resources") {
            self.resources(&inner, depth + 1);
        }
    }

    /// The objects of a kind that were not met before.
    fn new_objects(&mut self, resources: &Dict, kind: &str) -> Vec<ObjRef> {
        let Some(objects) = child(self.document, resources, kind) else { return Vec::new() };
        objects.iter().filter_map(|(_, object)| object.as_ref()).filter(|object| self.seen.insert(*object)).collect()
    }
}

/// A map to Unicode for the font, if it needs one and its letters are known.
fn map(document: &Document, font: &Dict, reach: Reach) -> Option<Vec<u8>> {
    let stated = Stated::of(document, font, reach)?;
    let is_composite = font.get_name("Subtype").is_some_and(|name| name.0 == "Type0");
    if !is_composite {
        let texts = simple(document, font);
        return (!texts.is_empty() && !matches!(stated, Stated::Map(_))).then(|| to_unicode(1, &texts));
    }
    let descendants = document.resolve(font.get("DescendantFonts")?).ok()?;
    let descendant = document.resolve(descendants.as_array()?.first()?).ok()?;
    let descendant = descendant.as_dict()?;
    if is_of_collection(document, descendant) {
        return None;
    }
    if matches!(stated, Stated::Identity) && shapes(document, descendant).is_some() {
        // The shapes are chosen by a table of their own, so that the codes can be letters.
        return Some(IDENTITY.to_vec());
    }
    let texts = composite(document, font, descendant).filter(|texts| !texts.is_empty())?;
    match stated {
        Stated::Map(map) => completed(map, &texts),
        Stated::Nothing | Stated::Identity => Some(to_unicode(2, &texts)),
    }
}

/// Whether its characters are numbered as in one of Adobe's collections, whose letters pdfboss knows.
fn is_of_collection(document: &Document, descendant: &Dict) -> bool {
    let ordering = child(document, descendant, "CIDSystemInfo")
        .and_then(|info| document.resolve(info.get("Ordering")?).ok()?.as_str_bytes().map(<[u8]>::to_vec));
    ordering.is_some_and(|ordering| COLLECTIONS.contains(&ordering.as_slice()))
}

/// What the file says about the letters of a font.
enum Stated {
    Nothing,
    /// That a code is its letter.
    Identity,
    /// A map, which may leave letters out.
    Map(Vec<u8>),
}

impl Stated {
    /// `None` for what is out of reach.
    fn of(document: &Document, font: &Dict, reach: Reach) -> Option<Stated> {
        match font.get("ToUnicode").and_then(|map| document.resolve(map).ok()) {
            Some(Object::Name(name)) if name.0.starts_with("Identity") => Some(Stated::Identity),
            Some(Object::Stream(stream)) if reach == Reach::Everything => {
                let map = decoded(document, &stream).unwrap_or_default();
                let has = |word: &[u8]| map.windows(word.len()).any(|window| window == word);
                Some(match (has(b"beginbf"), has(b"begincidrange")) {
                    (true, _) => Stated::Map(map),
                    (false, true) => Stated::Identity,
                    (false, false) => Stated::Nothing,
                })
            }
            Some(Object::Stream(_)) => None,
            _ => Some(Stated::Nothing),
        }
    }
}

/// Codes of two bytes, by the shape that each stands for.
fn composite(document: &Document, font: &Dict, descendant: &Dict) -> Option<Texts> {
    let shapes = shapes(document, descendant);
    let texts = shape_texts(document, font, descendant)?;
    let encoding = block_on(type0_encoding(&Immediate(document), font));
    let shape = |code: u32| {
        let id = encoding.cmap.as_ref().map_or(Some(code), |cmap| cmap.cid(code, 2))?;
        shapes.as_ref().map_or(u16::try_from(id).ok(), |shapes| shapes.get(usize::try_from(id).ok()?).copied())
    };
    Some((1..=0xffff).filter_map(|code| Some((code, texts.get(&shape(code)?)?.clone()))).collect())
}

/// Which shape each character of the font has, where a table says it (ISO 32000-1, table 117).
fn shapes(document: &Document, descendant: &Dict) -> Option<Vec<u16>> {
    let Object::Stream(table) = document.resolve(descendant.get("CIDToGIDMap")?).ok()? else { return None };
    let table = decoded(document, &table)?;
    Some(table.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
}

/// The text of each shape, as the embedded font tells it.
fn shape_texts(document: &Document, font: &Dict, descendant: &Dict) -> Option<HashMap<u16, String>> {
    let descriptor = child(document, descendant, "FontDescriptor");
    let program = descriptor.as_ref().and_then(|descriptor| {
        let file = descriptor.get("FontFile2").or_else(|| descriptor.get("FontFile3"))?;
        let Object::Stream(file) = document.resolve(file).ok()? else { return None };
        decoded(document, &file)
    });
    match program {
        Some(program) => program_texts(&program),
        None => is_mac_ordered(font).then(mac_order),
    }
}

fn program_texts(program: &[u8]) -> Option<HashMap<u16, String>> {
    let Ok(face) = RawFace::parse(program, 0) else { return cff_texts(program) };
    let table = |name| face.table(Tag::from_bytes(name));
    let mut texts = table(b"CFF ").and_then(cff_texts).unwrap_or_default();
    texts.extend(table(b"post").and_then(post::Table::parse).into_iter().flat_map(|names| post_texts(&names)));
    texts.extend(table(b"cmap").and_then(cmap::Table::parse).into_iter().flat_map(|codes| cmap_texts(&codes)));
    Some(texts)
}

fn cff_texts(program: &[u8]) -> Option<HashMap<u16, String>> {
    let font = cff::Table::parse(program)?;
    let shapes = (1..font.number_of_glyphs()).map(ttf_parser::GlyphId);
    Some(shapes.filter_map(|shape| Some((shape.0, glyph_to_text(font.glyph_name(shape)?)?))).collect())
}

fn post_texts(names: &post::Table) -> Vec<(u16, String)> {
    (1..).zip(names.names().skip(1)).filter_map(|(shape, name)| Some((shape, glyph_to_text(name)?))).collect()
}

/// Of several letters with one shape, the first is the usual one.
fn cmap_texts(codes: &cmap::Table) -> HashMap<u16, String> {
    let mut texts = HashMap::new();
    for subtable in codes.subtables.into_iter().filter(|subtable| subtable.is_unicode()) {
        subtable.codepoints(|code| {
            let shape = subtable.glyph_index(code).filter(|shape| shape.0 != 0);
            if let (Some(shape), Some(letter)) = (shape, char::from_u32(code)) {
                texts.entry(shape.0).or_insert_with(|| letter.to_string());
            }
        });
    }
    texts
}

fn is_mac_ordered(font: &Dict) -> bool {
    let Some(name) = font.get_name("BaseFont") else { return false };
    let name = name.0.split(['-', ',']).next().unwrap_or_default().to_lowercase().replace(' ', "");
    let name = name.trim_end_matches("mt").trim_end_matches("ps");
    MAC_ORDER.iter().any(|family| name == *family || name == family.trim_end_matches("ms"))
}

fn mac_order() -> HashMap<u16, String> {
    let letter = |shape: u16| mac_roman(u8::try_from(shape + 29).ok()?);
    let beyond = |shape: u16| mac_roman(u8::try_from(shape + 30).ok()?);
    let texts = (3..=97).filter_map(|shape| Some((shape, letter(shape)?.to_string())));
    texts.chain((98..=171).filter_map(|shape| Some((shape, beyond(shape)?.to_string())))).collect()
}

/// Codes of one byte: what the file itself names is left out.
fn simple(document: &Document, font: &Dict) -> Texts {
    let encoding = child(document, font, "Encoding");
    let differences = encoding.as_ref().map(|encoding| differences(document, encoding)).unwrap_or_default();
    let has_base = match encoding {
        Some(encoding) => encoding.get("BaseEncoding").is_some(),
        None => font.get("Encoding").is_some(),
    };
    let mut texts = if has_base { Texts::new() } else { built_in(document, font).unwrap_or_default() };
    for (code, name) in differences {
        texts.remove(&code);
        if is_number(&name, code) && glyph_to_text(&name).is_none() {
            let letter = u8::try_from(code).ok().and_then(win_ansi);
            texts.extend(letter.map(|letter| (code, letter.to_string())));
        }
    }
    texts
}

/// The encoding that a font of the Compact Font Format has of its own; pdfboss knows that of Type 1 fonts.
fn built_in(document: &Document, font: &Dict) -> Option<Texts> {
    let descriptor = child(document, font, "FontDescriptor")?;
    let Object::Stream(file) = document.resolve(descriptor.get("FontFile3")?).ok()? else { return None };
    let program = decoded(document, &file)?;
    let face = RawFace::parse(&program, 0).ok();
    let program = face.as_ref().and_then(|face| face.table(Tag::from_bytes(b"CFF "))).unwrap_or(&program);
    let font = cff::Table::parse(program)?;
    let text = |code| glyph_to_text(font.glyph_name(font.glyph_index(code)?)?);
    Some((0..=u8::MAX).filter_map(|code| Some((u32::from(code), text(code)?))).collect())
}

/// The codes that the file names, with their names (ISO 32000-1, 9.6.6.1).
fn differences(document: &Document, encoding: &Dict) -> Vec<(u32, String)> {
    let differences = encoding.get("Differences").and_then(|differences| document.resolve(differences).ok());
    let (mut code, mut names) = (0_u32, Vec::new());
    for item in differences.as_ref().and_then(Object::as_array).unwrap_or_default() {
        match document.resolve(item) {
            Ok(Object::Name(name)) => {
                names.push((code, name.0));
                code = code.saturating_add(1);
            }
            Ok(number) => code = number.as_int().and_then(|number| u32::try_from(number).ok()).unwrap_or(code),
            Err(_) => {}
        }
    }
    names
}

/// Whether a name is the number of its code: `a65` for 65, which is `A`.
fn is_number(name: &str, code: u32) -> bool {
    name.trim_start_matches(|char: char| char.is_ascii_alphabetic()).parse() == Ok(code)
}

/// The CMap of the letters (ISO 32000-1, 9.10.3).
fn to_unicode(bytes: usize, texts: &Texts) -> Vec<u8> {
    let digits = 2 * bytes;
    let mut map = String::from("1 beginbfchar\n");
    for (code, text) in texts {
        map.push_str(&format!("<{code:0digits$x}> <{}>\n", utf16(text)));
    }
    map.push_str("endbfchar\n");
    map.into_bytes()
}

/// The file's own map, and behind it the letters as ranges: those that come first are preferred.
fn completed(mut map: Vec<u8>, texts: &Texts) -> Option<Vec<u8>> {
    let texts: Vec<(u32, &str)> = texts.iter().map(|(code, text)| (*code, text.as_str())).collect();
    let follows = |before: &(u32, &str), after: &(u32, &str)| {
        let next = before.1.chars().next().and_then(|letter| char::from_u32(u32::from(letter).checked_add(1)?));
        after.0 == before.0 + 1 && after.1.chars().next() == next && before.1.len() <= 3 && after.0 & 0xff != 0
    };
    let runs: Vec<_> = texts.chunk_by(follows).filter_map(|run| Some((run.first()?, run.last()?.0))).collect();
    if runs.len() > MAX_RANGES {
        return None;
    }
    map.extend_from_slice(b"\n1 beginbfrange\n");
    for ((first, text), last) in runs {
        map.extend_from_slice(format!("<{first:04x}> <{last:04x}> <{}>\n", utf16(text)).as_bytes());
    }
    map.extend_from_slice(b"endbfrange\n");
    Some(map)
}

fn utf16(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("{unit:04x}")).collect()
}

fn child(document: &Document, dict: &Dict, key: &str) -> Option<Dict> {
    document.resolve(dict.get(key)?).ok()?.as_dict().cloned()
}

fn decoded(document: &Document, stream: &Stream) -> Option<Vec<u8>> {
    block_on(decoded_stream_data_with(Immediate(document), stream)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_completed_behind_what_it_says() {
        let texts = Texts::from([(1, "a".to_owned()), (2, "b".to_owned()), (4, "ffi".to_owned()), (5, "d".to_owned())]);
        let map = completed(b"1 beginbfchar <0001> <0058> endbfchar".to_vec(), &texts).unwrap();
        let added =
            "1 beginbfrange\n<0001> <0002> <0061>\n<0004> <0004> <006600660069>\n<0005> <0005> <0064>\nendbfrange\n";
        assert_eq!(String::from_utf8(map).unwrap(), format!("1 beginbfchar <0001> <0058> endbfchar\n{added}"));
    }

    #[test]
    fn only_known_families_have_the_order_of_the_macintosh() {
        let font = |name: &str| {
            let mut font = Dict::new();
            font.insert(Name("BaseFont".to_owned()), Object::Name(Name(name.to_owned())));
            font
        };
        for known in ["ArialMT", "Arial,Bold", "Times New Roman", "TimesNewRomanPS-BoldMT", "CourierNewPSMT", "Verdana"]
        {
            assert!(is_mac_ordered(&font(known)), "{known}");
        }
        assert!(!is_mac_ordered(&font("Calibri")) && !is_mac_ordered(&font("ArialNarrow")));
        let order = mac_order();
        assert_eq!([3, 36, 68, 98].map(|shape| order[&shape].as_str()), [" ", "A", "a", "Ä"]);
    }

    #[test]
    fn broken_fonts_tell_nothing() {
        assert!(program_texts(b"\0\x01\0\0\0\xffcmap").is_none_or(|texts| texts.is_empty()));
        assert!(program_texts(b"").is_none_or(|texts| texts.is_empty()));
    }
}
