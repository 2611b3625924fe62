//! The package of a book: its title, and its chapters in reading order (EPUB 3.3, 5; OPF 2.0.1).

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::super::ExtractFailure;
use super::super::xml::{Tag, Xml};
use super::WHAT;

/// What a package says of its book.
#[derive(Debug, Default)]
pub struct Package {
    pub title: Option<String>,
    /// The names of parts.
    pub chapters: Vec<String>,
}

/// A part that the package lists.
struct Item {
    name: String,
    is_chapter: bool,
}

/// Reads the package `text`, which is the part `name`.
pub fn read(text: &str, name: &str) -> Result<Package, ExtractFailure> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (mut package, mut items, mut spine) = (Package::default(), HashMap::new(), Vec::new());
    let mut contents = None;
    Xml::new(text, WHAT).each(|xml, _| {
        xml.each(|xml, tag| match tag.name() {
            "metadata" => metadata(xml, &mut package),
            "manifest" => xml.each(|_, tag| {
                items.extend(tag.get("id").zip(item(tag, folder)));
                Ok(())
            }),
            "spine" => xml.each(|_, tag| {
                spine.extend(tag.get("idref"));
                Ok(())
            }),
            "guide" => xml.each(|_, tag| {
                if tag.get("type").as_deref() == Some("toc") {
                    contents = tag.get("href").map(|href| resolved(folder, &href));
                }
                Ok(())
            }),
            _ => Ok(()),
        })
    })?;
    let chapters = spine.iter().filter_map(|id| items.get(id)).filter(|item| item.is_chapter).map(|item| &item.name);
    package.chapters = chapters.filter(|name| Some(*name) != contents.as_ref()).cloned().collect();
    Ok(package)
}

fn metadata(xml: &mut Xml, package: &mut Package) -> Result<(), ExtractFailure> {
    xml.each(|xml, tag| match tag.name() {
        "title" if package.title.is_none() => {
            let title = xml.text()?.split_whitespace().collect::<Vec<_>>().join(" ");
            package.title = (!title.is_empty()).then_some(title);
            Ok(())
        }
        // OPF 1.0 had one more level.
        "dc-metadata" => metadata(xml, package),
        _ => Ok(()),
    })
}

fn item(tag: &Tag, folder: &str) -> Option<Item> {
    let kind = tag.get("media-type").unwrap_or_default().to_ascii_lowercase();
    let is_page = ["application/xhtml+xml", "text/html", "text/x-oeb1-document"].contains(&kind.as_str());
    let is_contents = tag.get("properties").is_some_and(|all| all.split_whitespace().any(|one| one == "nav"));
    Some(Item { name: resolved(folder, &tag.get("href")?), is_chapter: is_page && !is_contents })
}

/// The part that an address means, as seen from `folder`.
pub fn resolved(folder: &str, address: &str) -> String {
    let address = address.split(['#', '?']).next().unwrap_or_default();
    let address = percent_decode_str(address).decode_utf8_lossy();
    let mut path: Vec<&str> = if address.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for step in address.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.retain(|step| !step.is_empty());
    path.join("/")
}
