//! What is attached to a mail.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::{Encoding, Message, MessagePart, MimeHeaders, PartType};

use super::super::{ContentType, ExtractOptions, Extracted, MAX_TEXT_BYTES, Warning, detect, extract_here};
use super::{body, one_line, read};

/// Of one mail; more are counted.
const MAX_ATTACHMENTS: usize = 100;

/// How deep mails within mails are read: a forwarded mail, and what was forwarded with it.
const MAX_DEPTH: usize = 2;

/// How much of a name is kept.
const MAX_NAME_CHARS: usize = 200;

/// The attachments of a mail.
#[derive(Default)]
pub struct Attached {
    /// As Markdown.
    pub text: String,
    /// Whether one of them could be read.
    pub any_read: bool,
    /// What could not.
    pub warnings: Vec<Warning>,
}

/// What one of them holds.
struct Contents {
    markdown: String,
    warnings: Vec<Warning>,
}

/// The text of what is attached to a mail that lies in `depth` others.
pub fn markdown(message: &Message, options: &ExtractOptions, depth: usize) -> Attached {
    let mut attached = Attached::default();
    let parts = message.attachments.iter().filter_map(|id| message.part(*id)).filter(|part| !is_shown_elsewhere(part));
    for (number, part) in parts.clone().take(MAX_ATTACHMENTS).enumerate() {
        let room = MAX_TEXT_BYTES.saturating_sub(attached.text.len());
        let name = name(part, number + 1);
        attached.text.push_str(&format!("## Attachment: {name}\n\n"));
        match text_of(message, part, options, depth) {
            Ok(contents) if contents.markdown.len() <= room => {
                attached.any_read = true;
                attached.text.push_str(contents.markdown.trim_end());
                attached.text.push_str("\n\n");
                let whys = contents.warnings.iter().map(ToString::to_string);
                attached.warnings.extend(whys.map(|why| Warning::Attachment { name: name.clone(), why }));
            }
            Ok(_) => attached.leave_out(name, "the mail would have more text than a document may have"),
            Err(reason) => attached.leave_out(name, reason.trim_end_matches('.')),
        }
    }
    let left = parts.count().saturating_sub(MAX_ATTACHMENTS);
    if left > 0 {
        attached.text.push_str(&format!("({left} more attachments were not read)\n"));
        let name = format!("number {} and all after it", MAX_ATTACHMENTS + 1);
        attached.warnings.push(Warning::Attachment { name, why: "not read".to_owned() });
    }
    attached
}

impl Attached {
    fn leave_out(&mut self, name: String, why: &str) {
        self.text.push_str(&format!("(not read: {why})\n\n"));
        self.warnings.push(Warning::Attachment { name, why: format!("not read: {why}") });
    }
}

/// Pictures, styles and frames that the body shows, and signatures.
fn is_shown_elsewhere(part: &MessagePart) -> bool {
    let attached = part.content_disposition().is_some_and(|disposition| disposition.is_attachment());
    let kind = |main: &str| part.content_type().is_some_and(|kind| kind.ctype().eq_ignore_ascii_case(main));
    let signature = ["pgp-signature", "pkcs7-signature", "x-pkcs7-signature", "pgp-encrypted"]
        .iter()
        .any(|signature| part.is_content_type("application", signature));
    let shown = part.content_location().is_some() || (part.content_id().is_some() && (kind("image") || kind("font")));
    signature || (shown && !attached)
}

fn name(part: &MessagePart, number: usize) -> String {
    let subject = match &part.body {
        PartType::Message(message) => message.subject(),
        _ => None,
    };
    let name = part.attachment_name().or(subject).map(one_line).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("number {number}"));
    name.chars().filter(|char| !char.is_control()).take(MAX_NAME_CHARS).collect()
}

/// The text, or why there is none.
fn text_of(message: &Message, part: &MessagePart, options: &ExtractOptions, depth: usize) -> Result<Contents, String> {
    if body::is_encrypted(part) {
        return Err("it is encrypted".to_owned());
    }
    let bytes = contents(message, part);
    let content_type = match &part.body {
        PartType::Message(_) => ContentType::Email,
        _ => detected(part, &bytes)?,
    };
    if content_type == ContentType::Email && depth >= MAX_DEPTH {
        return Err("it lies in too many mails".to_owned());
    }
    // A reader that panics would end the worker, and with it the mail.
    let read = catch_unwind(AssertUnwindSafe(|| match content_type {
        ContentType::Email => read(&bytes, options, depth + 1).map(|letter| (letter.text, true, letter.warnings)),
        _ => extract_here(&bytes, content_type, options)
            .map(|Extracted { text, markdown, warnings, .. }| (text, markdown, warnings)),
    }));
    match read {
        Ok(Ok((text, true, warnings))) => Ok(Contents { markdown: below(&text), warnings }),
        Ok(Ok((markdown, false, warnings))) => Ok(Contents { markdown, warnings }),
        Ok(Err(failure)) => Err(failure.detail),
        Err(_) => Err("its reader failed".to_owned()),
    }
}

fn detected(part: &MessagePart, bytes: &[u8]) -> Result<ContentType, String> {
    let declared = part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()));
    detect(bytes, part.attachment_name(), declared.as_deref()).map_err(|unsupported| unsupported.what.to_owned())
}

/// The bytes of a part; of a mail that is not encoded they stand in the mail around it.
fn contents<'a>(message: &'a Message, part: &'a MessagePart) -> Cow<'a, [u8]> {
    match &part.body {
        PartType::Message(inner) if part.encoding == Encoding::None => {
            let range = part.offset_body as usize..part.offset_end as usize;
            Cow::Borrowed(inner.raw_message.get(range).unwrap_or_default())
        }
        PartType::Text(text) | PartType::Html(text) => match body::letters(message, part, text) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        _ => Cow::Borrowed(part.contents()),
    }
}

/// Headings two levels lower, so that they stay under the attachment's.
fn below(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut fenced = false;
    for line in markdown.split_inclusive('\n') {
        fenced ^= line.trim_start().starts_with("```");
        let hashes = line.len() - line.trim_start_matches('#').len();
        if !fenced && (1..=6).contains(&hashes) && line[hashes..].starts_with(' ') {
            out.push_str(&"##"[..2.min(6 - hashes)]);
        }
        out.push_str(line);
    }
    out
}
