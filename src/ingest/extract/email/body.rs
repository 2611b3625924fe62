//! The body of a mail: what its writer wrote.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessagePart, MimeHeaders, PartType};

use super::super::{html, text};

/// Begins a message that PGP encrypted in place (RFC 9580, 6.2).
const PGP_MESSAGE: &str = "-----BEGIN PGP MESSAGE-----";

/// The body as Markdown: the plain one, else the one in HTML; none when neither says anything.
pub fn markdown(message: &Message) -> Option<String> {
    let of = |ids: &[u32]| {
        let parts = ids.iter().filter_map(|id| message.part(*id)).filter_map(|part| readable(message, part));
        let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    };
    of(&message.text_body).or_else(|| of(&message.html_body))
}

/// Whether only its receiver can read a part: S/MIME, PGP as a part of its own or in place (RFC 8551, RFC 3156).
pub fn is_encrypted(part: &MessagePart) -> bool {
    let smime =
        part.is_content_type("application", "pkcs7-mime") || part.is_content_type("application", "x-pkcs7-mime");
    let signed = part.content_type().and_then(|kind| kind.attribute("smime-type")) == Some("signed-data");
    part.is_content_type("multipart", "encrypted")
        || (smime && !signed)
        || part.contents().trim_ascii_start().starts_with(PGP_MESSAGE.as_bytes())
}

fn readable(message: &Message, part: &MessagePart) -> Option<String> {
    match &part.body {
        _ if is_encrypted(part) => None,
        PartType::Text(text) => Some(unlike_headings(&letters(message, part, text))),
        PartType::Html(text) => Some(html::whole(letters(message, part, text).as_bytes())),
        _ => None,
    }
}

/// A text, with its encoding guessed where the mail does not tell it and it is not UTF-8.
pub fn letters<'a>(message: &Message, part: &MessagePart, text: &'a str) -> Cow<'a, str> {
    let told = part.content_type().is_some_and(|kind| kind.attribute("charset").is_some());
    if told || !text.contains('\u{fffd}') {
        return Cow::Borrowed(text);
    }
    let range = part.offset_body as usize..part.offset_end as usize;
    let raw = message.raw_message.get(range);
    let bytes = raw.and_then(|raw| match part.encoding {
        Encoding::None => Some(raw.to_vec()),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
        Encoding::Base64 => base64_decode(raw),
    });
    bytes.map_or(Cow::Borrowed(text), |bytes| Cow::Owned(text::decode(&bytes)))
}

/// A line of dashes below text, as `-- ` above a signature, would make a heading of it.
fn unlike_headings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_text = false;
    for line in text.lines() {
        let trimmed = line.trim();
        let ruled =
            !trimmed.is_empty() && (trimmed.trim_matches('-').is_empty() || trimmed.trim_matches('=').is_empty());
        if ruled && after_text {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
        after_text = !trimmed.is_empty();
    }
    out
}
