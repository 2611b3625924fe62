//! Mail (RFC 5322, MIME), single web pages saved as mail (MHTML), and what is attached to them.
//!
//! The text begins with the header lines that people read; the plain body is taken before the one in HTML, quotations and
//! all. Attachments go through the same readers, each under a heading with its name; one that cannot be read says why and
//! spoils nothing. Mails within mails are read two levels deep. Signatures, and pictures and styles that the body shows, are
//! left out.

mod attachments;
mod body;

use mail_parser::{Address, HeaderName, Message, MessageParser};

use super::canonical::canonical;
use super::{ExtractCode, ExtractFailure, ExtractOptions, Extracted, Warning, text};

/// As failures call a file.
const WHAT: &str = "The mail";

/// Multipart bodies and attached mails, of one file: the parser goes through the rest of the mail for each of the first,
/// and nests the second.
const MAX_CONTAINERS: usize = 1000;

/// How many addresses of a line are kept.
const MAX_ADDRESSES: usize = 100;

/// The mail as Markdown.
pub fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ExtractFailure> {
    let letter = read(bytes, options, 0)?;
    let (title, text, warnings) = (letter.subject, canonical(&letter.text), letter.warnings);
    Ok(Extracted { title, text, markdown: true, warnings, ..Extracted::default() })
}

struct Letter {
    subject: Option<String>,
    text: String,
    warnings: Vec<Warning>,
}

/// Reads a mail that lies in `depth` others.
fn read(bytes: &[u8], options: &ExtractOptions, depth: usize) -> Result<Letter, ExtractFailure> {
    if containers(bytes) > MAX_CONTAINERS {
        let detail = format!("{WHAT} has more than {MAX_CONTAINERS} parts within parts.");
        return Err(ExtractFailure::of_file(ExtractCode::TooLarge, detail));
    }
    let message = MessageParser::default().parse(bytes).filter(has_known_header);
    let Some(message) = message else { return of_no_mail(bytes) };
    let subject = message.subject().map(one_line).filter(|subject| !subject.is_empty());
    let body = body::markdown(&message);
    let attached = attachments::markdown(&message, options, depth);
    if body.is_none() && !attached.any_read && message.parts.iter().any(body::is_encrypted) {
        let detail = format!(
            "{WHAT} is encrypted (S/MIME or PGP). Decrypt it in your mail program, save it and upload the new file."
        );
        return Err(ExtractFailure::of_file(ExtractCode::Encrypted, detail));
    }
    let mut text = header(&message);
    for part in [body.unwrap_or_default(), attached.text] {
        if !part.trim().is_empty() {
            text.push('\n');
            text.push_str(part.trim_end());
            text.push('\n');
        }
    }
    Ok(Letter { subject, text, warnings: attached.warnings })
}

/// Text that is called mail is text still.
fn of_no_mail(bytes: &[u8]) -> Result<Letter, ExtractFailure> {
    match text::is_text(bytes) {
        true => Ok(Letter { subject: None, text: text::decode(bytes), warnings: Vec::new() }),
        false => Err(ExtractFailure::broken(WHAT, "it has no header")),
    }
}

fn has_known_header(message: &Message) -> bool {
    let known = [HeaderName::From, HeaderName::To, HeaderName::Subject, HeaderName::Date, HeaderName::ContentType];
    known.into_iter().any(|name| message.header(name).is_some())
}

fn header(message: &Message) -> String {
    let date = message.date().filter(|date| date.is_valid()).map(|date| date.to_rfc3339().replace('T', " "));
    let lines = [
        ("Subject", message.subject().map(one_line)),
        ("From", message.from().map(addresses)),
        ("To", message.to().map(addresses)),
        ("Cc", message.cc().map(addresses)),
        ("Date", date),
    ];
    let filled = lines.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    filled.map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn addresses(addresses: &Address) -> String {
    let each = addresses.iter().take(MAX_ADDRESSES).filter_map(|address| {
        match (address.name().map(one_line), address.address().map(one_line)) {
            (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
            (name, address) => name.or(address),
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How often a multipart body or a mail is named, as a type with a slash.
fn containers(bytes: &[u8]) -> usize {
    let ends_with = |before: &[u8], name: &[u8]| {
        before.len() >= name.len() && before[before.len() - name.len()..].eq_ignore_ascii_case(name)
    };
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.filter(|(at, _)| ends_with(&bytes[..*at], b"multipart") || ends_with(&bytes[..*at], b"message")).count()
}

#[cfg(test)]
mod tests;
