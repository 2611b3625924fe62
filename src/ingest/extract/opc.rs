//! The package that OOXML files are (ECMA-376 part 2): parts, and the relations between them.

use super::ExtractFailure;
use super::archive::Archive;
use super::xml::{self, Xml};

/// A Word, PowerPoint or Excel file.
pub struct Package<'a> {
    archive: Archive<'a>,
    /// As `The Word document`, for failures.
    pub what: &'a str,
}

/// What a part points to.
#[derive(Default)]
pub struct Relations(Vec<Relation>);

struct Relation {
    id: String,
    /// The end of the type's address, as `styles`: what stands before it differs in strict OOXML.
    kind: String,
    /// The name of a part of the package.
    target: String,
}

impl<'a> Package<'a> {
    pub fn open(bytes: &'a [u8], what: &'a str) -> Result<Package<'a>, ExtractFailure> {
        Ok(Package { archive: Archive::open(bytes, what)?, what })
    }

    /// The text of the XML part `name`.
    pub fn part(&mut self, name: &str) -> Result<Option<String>, ExtractFailure> {
        xml::part(&mut self.archive, name)
    }

    /// The name of the part that is the document: what the package says, or `usual`.
    pub fn main_part(&mut self, usual: &str) -> Result<String, ExtractFailure> {
        Ok(self.relations("")?.of_kind("officeDocument").unwrap_or(usual).to_owned())
    }

    /// What the document's properties call it.
    pub fn title(&mut self) -> Result<Option<String>, ExtractFailure> {
        let name = self.relations("")?.of_kind("core-properties").unwrap_or("docProps/core.xml").to_owned();
        let Some(text) = self.part(&name)? else { return Ok(None) };
        let mut title = None;
        Xml::new(&text, self.what).each(|xml, _| {
            xml.each(|xml, tag| {
                if tag.name() == "title" {
                    title = Some(xml.text()?.split_whitespace().collect::<Vec<_>>().join(" "));
                }
                Ok(())
            })
        })?;
        Ok(title.filter(|title| !title.is_empty()))
    }

    /// What the part `name` points to; of the package itself, when it is empty.
    pub fn relations(&mut self, name: &str) -> Result<Relations, ExtractFailure> {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let Some(text) = self.part(&format!("{folder}/_rels/{file}.rels"))? else { return Ok(Relations::default()) };
        let mut relations = Vec::new();
        Xml::new(&text, self.what).each(|xml, _| {
            xml.each(|_, tag| {
                let external = tag.get("TargetMode").is_some_and(|mode| mode == "External");
                if let (Some(id), Some(kind), Some(target), false) =
                    (tag.get("Id"), tag.get("Type"), tag.get("Target"), external)
                {
                    let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                    relations.push(Relation { id, kind, target: resolved(folder, &target) });
                }
                Ok(())
            })
        })?;
        Ok(Relations(relations))
    }
}

impl Relations {
    /// The part with this id.
    pub fn by_id(&self, id: &str) -> Option<&str> {
        self.0.iter().find(|relation| relation.id == id).map(|relation| relation.target.as_str())
    }

    /// The first part of this kind.
    pub fn of_kind(&self, kind: &str) -> Option<&str> {
        self.0.iter().find(|relation| relation.kind == kind).map(|relation| relation.target.as_str())
    }
}

/// `target` as seen from `folder`, without dots.
fn resolved(folder: &str, target: &str) -> String {
    let mut path: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => folder.split('/').filter(|step| !step.is_empty()).collect(),
    };
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn targets_are_relative_to_the_folder_of_their_part() {
        assert_eq!(resolved("word", "styles.xml"), "word/styles.xml");
        assert_eq!(resolved("ppt/slides", "../notesSlides/notesSlide1.xml"), "ppt/notesSlides/notesSlide1.xml");
        assert_eq!(resolved("word", "/docProps/core.xml"), "docProps/core.xml");
        assert_eq!(resolved("", "./word/document.xml"), "word/document.xml");
        assert_eq!(resolved("a", "../../../b"), "b");
    }
}
