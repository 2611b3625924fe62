//! Layouts and masters, as far as bullets go.

use super::super::ExtractFailure;
use super::super::opc::Package;
use super::super::xml::{Tag, Xml};
use super::WHAT;
use super::bullets::{self, Levels};

/// A shape's place in the layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placeholder {
    /// As `title`, `body`; `obj` when it is not said.
    pub kind: String,
    index: Option<String>,
}

/// A layout or a master.
#[derive(Default)]
pub struct Template {
    shapes: Vec<(Placeholder, Levels)>,
    /// Of a master, for body text.
    body: Levels,
}

impl Placeholder {
    pub fn of(tag: &Tag) -> Placeholder {
        Placeholder { kind: tag.get("type").unwrap_or_else(|| "obj".to_owned()), index: tag.get("idx") }
    }

    /// Titles, and what is no text, have no bullets from the master.
    pub fn is_body(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "body" | "obj" | "subTitle" | "tbl" | "chart" | "dgm" | "media" | "clipArt" | "pic"
        )
    }
}

impl Template {
    pub fn read(package: &mut Package, name: &str) -> Result<Template, ExtractFailure> {
        let mut template = Template::default();
        if let Some(text) = package.part(name)? {
            template.read_inside(&mut Xml::new(&text, WHAT))?;
        }
        Ok(template)
    }

    /// What the shape in this place says: the one with the same index, or of the same kind.
    pub fn levels(&self, place: &Placeholder) -> Levels {
        let same_index = |(other, _): &&(Placeholder, Levels)| other.index.is_some() && other.index == place.index;
        let kind = if place.is_body() { "body" } else { &place.kind };
        let same_kind = |(other, _): &&(Placeholder, Levels)| other.kind == place.kind || other.kind == kind;
        let shape = self.shapes.iter().find(same_index).or_else(|| self.shapes.iter().find(same_kind));
        shape.map(|(_, levels)| *levels).unwrap_or_default()
    }

    /// What the master says for body text.
    pub fn body(&self) -> Levels {
        self.body
    }

    fn read_inside(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "sp" => {
                let (mut place, mut levels) = (None, Levels::default());
                read_shape(xml, &mut place, &mut levels)?;
                self.shapes.extend(place.map(|place| (place, levels)));
                Ok(())
            }
            "bodyStyle" => {
                self.body = bullets::levels(xml)?;
                Ok(())
            }
            _ => self.read_inside(xml),
        })
    }
}

fn read_shape(xml: &mut Xml, place: &mut Option<Placeholder>, levels: &mut Levels) -> Result<(), ExtractFailure> {
    xml.each(|xml, tag| match tag.name() {
        "ph" => {
            *place = Some(Placeholder::of(tag));
            Ok(())
        }
        "lstStyle" => {
            *levels = bullets::levels(xml)?;
            Ok(())
        }
        _ => read_shape(xml, place, levels),
    })
}
