//! XML as the parts of office files have it, pulled element by element: nothing is kept that the caller does not keep.
//!
//! Promises: names are local names (strict and transitional OOXML differ in namespaces alone); nesting deeper than
//! [`MAX_DEPTH`] is a failure, so callers may recurse; entities that a DTD declares are not expanded but left out.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::ExtractFailure;
use super::archive::Archive;

/// Tables in tables in tables are some thirty elements deep.
const MAX_DEPTH: usize = 512;

/// A declaration is shorter.
const DECLARATION_BYTES: usize = 256;

/// The text of the XML part `name`, decoded.
pub fn part(archive: &mut Archive, name: &str) -> Result<Option<String>, ExtractFailure> {
    Ok(archive.part(name)?.map(|bytes| decode(&bytes)))
}

/// A position in an XML text: inside the element that was opened last.
pub struct Xml<'a> {
    reader: quick_xml::Reader<&'a [u8]>,
    depth: usize,
    what: &'a str,
}

/// What an element holds.
pub enum Node<'a> {
    /// An element, which is now open.
    Open(Tag<'a>),
    Text(Cow<'a, str>),
}

/// The start of an element.
pub struct Tag<'a>(BytesStart<'a>);

impl<'a> Xml<'a> {
    /// Reads `text`, a part of what a user knows as `what` (`The Word document`).
    pub fn new(text: &'a str, what: &'a str) -> Xml<'a> {
        let mut reader = quick_xml::Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Xml { reader, depth: 0, what }
    }

    /// What comes next inside the open element; `None` at its end, which closes it, and at the end of the text.
    pub fn next(&mut self) -> Result<Option<Node<'a>>, ExtractFailure> {
        loop {
            match self.reader.read_event().map_err(|error| ExtractFailure::broken(self.what, error))? {
                Event::Start(start) => return self.open(start).map(Some),
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(None);
                }
                Event::Text(text) => return Ok(Some(Node::Text(text.xml10_content()))),
                Event::CData(text) => return Ok(Some(Node::Text(text.into_inner()))),
                Event::GeneralRef(entity) => {
                    if let Some(text) = resolved(&entity) {
                        return Ok(Some(Node::Text(text)));
                    }
                }
                Event::Eof if self.depth > 0 => return Err(ExtractFailure::broken(self.what, "a part ends too early")),
                Event::Eof => return Ok(None),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// Calls `visit` for each element in the open one, up to its end. What `visit` leaves of an element is skipped.
    pub fn each<F>(&mut self, mut visit: F) -> Result<(), ExtractFailure>
    where
        F: FnMut(&mut Xml<'a>, &Tag<'a>) -> Result<(), ExtractFailure>,
    {
        let depth = self.depth;
        while let Some(node) = self.next()? {
            if let Node::Open(tag) = node {
                visit(self, &tag)?;
                self.close_to(depth)?;
            }
        }
        Ok(())
    }

    /// All text inside the open element, which is closed.
    pub fn text(&mut self) -> Result<String, ExtractFailure> {
        let (depth, mut all) = (self.depth.max(1), String::new());
        while self.depth >= depth {
            if let Some(Node::Text(text)) = self.next()? {
                all.push_str(&text);
            }
        }
        Ok(all)
    }

    fn close_to(&mut self, depth: usize) -> Result<(), ExtractFailure> {
        while self.depth > depth {
            self.next()?;
        }
        Ok(())
    }

    fn open(&mut self, start: BytesStart<'a>) -> Result<Node<'a>, ExtractFailure> {
        self.depth += 1;
        match self.depth <= MAX_DEPTH {
            true => Ok(Node::Open(Tag(start))),
            false => Err(ExtractFailure::broken(self.what, format!("a part is nested more than {MAX_DEPTH} deep"))),
        }
    }
}

impl Tag<'_> {
    /// The name without its namespace prefix.
    pub fn name(&self) -> &str {
        local(self.0.name().into_inner())
    }

    /// The attribute with this local name.
    pub fn get(&self, name: &str) -> Option<String> {
        self.find(|key| local(key) == name)
    }

    /// The attribute with this local name and some prefix: `r:id` beside `id`.
    pub fn get_prefixed(&self, name: &str) -> Option<String> {
        self.find(|key| local(key) == name && key.contains(':'))
    }

    /// The attribute as a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.trim().parse().ok()
    }

    fn find(&self, is_it: impl Fn(&str) -> bool) -> Option<String> {
        let mut attributes = self.0.attributes();
        let found = attributes.with_checks(false).flatten().find(|attribute| is_it(attribute.key.into_inner()))?;
        let value = found.normalized_value(XmlVersion::Implicit1_0);
        Some(value.map_or_else(|_| found.value.to_string(), Cow::into_owned))
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// A character by its number, or one of the five names that XML itself has.
fn resolved<'a>(entity: &BytesRef) -> Option<Cow<'a, str>> {
    match entity.resolve_char_ref() {
        Ok(Some(char)) => Some(char.to_string().into()),
        _ => resolve_xml_entity(entity).map(Cow::Borrowed),
    }
}

/// A byte order mark decides, then the bytes of `<?` (XML 1.0, appendix F), then what the declaration says.
fn decode(bytes: &[u8]) -> String {
    let encoding = match bytes {
        [b'<', 0, ..] => UTF_16LE,
        [0, b'<', ..] => UTF_16BE,
        _ => declared(bytes).unwrap_or(UTF_8),
    };
    // `decode` obeys a byte order mark before what it is called on.
    encoding.decode(bytes).0.into_owned()
}

/// The encoding in `<?xml version="1.0" encoding="…"?>`.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..bytes.len().min(DECLARATION_BYTES))?;
    let head = head.strip_prefix(b"<?xml")?;
    let declaration = String::from_utf8_lossy(head);
    let (_, value) = declaration.split_once("?>")?.0.split_once("encoding")?;
    let label = value.split(['"', '\'']).nth(1)?;
    // What can be read as bytes is not UTF-16, whatever it says.
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != UTF_16LE && *encoding != UTF_16BE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and texts in order, with `/` for ends.
    fn flat(text: &str) -> Result<String, ExtractFailure> {
        fn inside(xml: &mut Xml, out: &mut Vec<String>) -> Result<(), ExtractFailure> {
            while let Some(node) = xml.next()? {
                match node {
                    Node::Open(tag) => {
                        out.push(tag.name().to_owned());
                        inside(xml, out)?;
                        out.push("/".to_owned());
                    }
                    Node::Text(text) => out.push(format!("'{text}'")),
                }
            }
            Ok(())
        }
        let mut out = Vec::new();
        inside(&mut Xml::new(text, "The file"), &mut out)?;
        Ok(out.join(" "))
    }

    #[test]
    fn elements_and_text_come_in_order() {
        let text = "<?xml version='1.0'?><w:a><!-- no --><b x='1'/>one &amp; &#246; &lt;<![CDATA[<c>]]></w:a>";
        assert_eq!(flat(text).unwrap(), "a b / 'one ' '&' ' ' 'ö' ' ' '<' '<c>' /");
    }

    #[test]
    fn entities_of_a_dtd_are_not_expanded() {
        let text = "<!DOCTYPE a [<!ENTITY x 'lol'><!ENTITY y '&x;&x;&x;'>]><a>1&y;2</a>";
        assert_eq!(flat(text).unwrap(), "a '1' '2' /");
    }

    #[test]
    fn what_a_visitor_leaves_is_skipped() {
        let text = "<r><a>one<b>two</b></a><c k='v'/><a x:id='7' id='8'>three</a></r>";
        let (mut seen, mut xml) = (Vec::new(), Xml::new(text, "The file"));
        xml.each(|xml, _| {
            xml.each(|xml, tag| {
                match tag.name() {
                    "a" if tag.get("id").is_none() => seen.push(xml.text()?),
                    "c" => seen.push(tag.get("k").unwrap()),
                    _ => seen.push(tag.get_prefixed("id").unwrap()),
                }
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(seen, ["onetwo", "v", "7"]);
    }

    #[test]
    fn deep_and_damaged_xml_are_typed_failures() {
        let deep = "<a>".repeat(200_000);
        for text in [deep.as_str(), "<a><b></a>", "<a>text", "<a", "</a>", "<a x='1></a>"] {
            assert_eq!(flat(text).unwrap_err().code, crate::ingest::extract::ExtractCode::Broken, "{text:.20}");
        }
        assert!(flat(&format!("{}x{}", "<a>".repeat(512), "</a>".repeat(512))).is_ok());
    }

    #[test]
    fn every_encoding_is_decoded() {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a>ąé</a>";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&little), text);
        assert_eq!(decode(&big), text);
        assert_eq!(decode(&[b"\xff\xfe", little.as_slice()].concat()), text);
        assert_eq!(decode(&[b"\xef\xbb\xbf", text.as_bytes()].concat()), text);
        assert_eq!(
            decode(b"<?xml version='1.0' encoding='iso-8859-2'?><a>\xb1</a>").split_once("?>").unwrap().1,
            "<a>ą</a>"
        );
        assert_eq!(decode("<a>é</a>".as_bytes()), "<a>é</a>");
    }
}
