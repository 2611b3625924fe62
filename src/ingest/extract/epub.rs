//! Electronic books (EPUB 3.3 and 2.0.1): the chapters in reading order, each a page.
//!
//! Container, package and chapters are read here and not by a library: every part is inflated within the limits of
//! `archive`, which no EPUB library offers. Tables of contents are left out; a book whose chapters are encrypted is a typed
//! failure, one with obfuscated fonts is read.

mod package;
mod xhtml;

use super::archive::Archive;
use super::xml::{self, Xml};
use super::{ExtractFailure, Extracted, MAX_TEXT_BYTES, PageStart, html};

/// As failures call a file.
const WHAT: &str = "The book";

/// Ways to make a font useless outside of its book, which say nothing of its text.
const FONT_ALGORITHMS: [&str; 2] = ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"];

/// The book as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    let name = package_name(&mut archive)?;
    let text = xml::part(&mut archive, &name)?;
    let text = text.ok_or_else(|| ExtractFailure::broken(WHAT, "it has no list of chapters"))?;
    let package = package::read(&text, &name)?;
    let encrypted = encrypted_parts(&mut archive)?;
    if package.chapters.iter().any(|chapter| encrypted.contains(chapter)) {
        return Err(ExtractFailure::locked(WHAT));
    }
    let (mut text, mut pages) = (String::new(), Vec::new());
    for (number, name) in (1..).zip(&package.chapters) {
        let Some(chapter) = archive.part(name)? else { continue };
        let chapter = html::whole(&xhtml::with_end_tags(&chapter));
        if !chapter.trim().is_empty() && text.len() <= MAX_TEXT_BYTES {
            pages.push(PageStart { number, start: text.len() });
            text.push_str(chapter.trim());
            text.push_str("\n\n");
        }
    }
    text.truncate(text.trim_end().len());
    Ok(Extracted { title: package.title, text, markdown: true, pages, ..Extracted::default() })
}

/// What the container says is the book (OCF 3.3, 4.2.6.3.1).
fn package_name(archive: &mut Archive) -> Result<String, ExtractFailure> {
    let container = xml::part(archive, "META-INF/container.xml")?.unwrap_or_default();
    let mut name = None;
    Xml::new(&container, WHAT).each(|xml, _| {
        xml.each(|xml, _| {
            xml.each(|_, tag| {
                if tag.name() == "rootfile" && name.is_none() {
                    name = tag.get("full-path");
                }
                Ok(())
            })
        })
    })?;
    // Some writers forget the container; the package has its ending.
    let name = name.or_else(|| archive.names().find(|name| name.ends_with(".opf")).map(str::to_owned));
    name.ok_or_else(|| ExtractFailure::broken(WHAT, "it has no package"))
}

/// The parts that cannot be read without a key (OCF 3.3, 4.2.6.3.2).
fn encrypted_parts(archive: &mut Archive) -> Result<Vec<String>, ExtractFailure> {
    let encryption = xml::part(archive, "META-INF/encryption.xml")?.unwrap_or_default();
    let mut parts = Vec::new();
    Xml::new(&encryption, WHAT).each(|xml, _| {
        xml.each(|xml, _| {
            let (mut algorithm, mut part) = (None, None);
            xml.each(|xml, tag| match tag.name() {
                "EncryptionMethod" => {
                    algorithm = tag.get("Algorithm");
                    Ok(())
                }
                "CipherData" => xml.each(|_, tag| {
                    part = tag.get("URI").map(|uri| package::resolved("", &uri)).or(part.take());
                    Ok(())
                }),
                _ => Ok(()),
            })?;
            if !algorithm.is_some_and(|algorithm| FONT_ALGORITHMS.contains(&algorithm.as_str())) {
                parts.extend(part);
            }
            Ok(())
        })
    })?;
    Ok(parts)
}

#[cfg(test)]
mod tests;
