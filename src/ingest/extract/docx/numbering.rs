//! Lists: which paragraphs are items, how deep, with which number (ECMA-376 part 1, 17.9).

use std::collections::{HashMap, HashSet};

use super::super::ExtractFailure;
use super::super::blocks::Marker;
use super::super::xml::{Tag, Xml};

/// Levels 0 to 8.
const LEVELS: usize = 9;

/// Where a paragraph or a style says which list it is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReference {
    /// `0` takes a paragraph out of the list that its style puts it into.
    pub list: Option<String>,
    pub level: Option<usize>,
}

#[derive(Default)]
pub struct Numbering {
    lists: HashMap<String, List>,
    definitions: HashMap<String, Definition>,
    /// The definition that a numbering style is.
    by_style: HashMap<String, String>,
    /// The last number of each level, by definition: lists of one definition continue each other.
    counts: HashMap<String, [Option<u32>; LEVELS]>,
    /// Lists whose own start numbers have been used.
    started: HashSet<(String, usize)>,
}

/// `w:num`: a use of a definition, with changes.
#[derive(Default)]
struct List {
    definition: String,
    starts: HashMap<usize, u32>,
    levels: HashMap<usize, Level>,
}

/// `w:abstractNum`.
#[derive(Default)]
struct Definition {
    levels: HashMap<usize, Level>,
    /// The numbering style that this definition is …
    is_style: Option<String>,
    /// … or that it stands for, having no levels of its own.
    like_style: Option<String>,
}

#[derive(Default, Clone)]
struct Level {
    kind: Kind,
    start: Option<u32>,
    /// Paragraphs of this style are at this level.
    style: Option<String>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Kind {
    #[default]
    Number,
    Bullet,
    /// Neither number nor bullet is shown: a further paragraph of an item.
    Nothing,
}

/// What stands before a paragraph in a list.
pub enum Place {
    Item(usize, Marker),
    Continued(usize),
}

impl ListReference {
    /// Reads `w:numPr`.
    pub fn read(xml: &mut Xml) -> Result<ListReference, ExtractFailure> {
        let mut reference = ListReference::default();
        xml.each(|_, tag| {
            match tag.name() {
                "numId" => reference.list = tag.get("val"),
                "ilvl" => reference.level = tag.number("val"),
                _ => {}
            }
            Ok(())
        })?;
        Ok(reference)
    }
}

impl Numbering {
    /// Reads the part `numbering.xml`.
    pub fn read(text: &str, what: &str) -> Result<Numbering, ExtractFailure> {
        let mut numbering = Numbering::default();
        Xml::new(text, what).each(|xml, _| {
            xml.each(|xml, tag| {
                match (tag.name(), tag.get("abstractNumId"), tag.get("numId")) {
                    ("abstractNum", Some(id), _) => {
                        numbering.define(id, Definition::read(xml)?);
                    }
                    ("num", _, Some(id)) => {
                        numbering.lists.insert(id, List::read(xml)?);
                    }
                    _ => {}
                }
                Ok(())
            })
        })?;
        Ok(numbering)
    }

    /// Where a paragraph stands that refers to a list; counts it. `styles` are the ids of its style and of those that
    /// it is based on.
    pub fn place<'a>(&mut self, reference: &ListReference, styles: impl Iterator<Item = &'a str>) -> Option<Place> {
        let id = reference.list.as_ref()?;
        let list = self.lists.get(id)?;
        let (definition_id, definition) = self.definition(&list.definition)?;
        let depth = reference.level.or_else(|| definition.level_of(styles)).unwrap_or(0).min(LEVELS - 1);
        let level = list.levels.get(&depth).or_else(|| definition.levels.get(&depth))?;
        match level.kind {
            Kind::Bullet => Some(Place::Item(depth, Marker::Bullet)),
            Kind::Nothing => Some(Place::Continued(depth)),
            Kind::Number => {
                let own_start = list.starts.get(&depth).copied();
                let start = own_start.or(level.start).unwrap_or(1);
                let (id, definition_id) = (id.clone(), definition_id.to_owned());
                let restarts = own_start.is_some() && self.started.insert((id, depth));
                Some(Place::Item(depth, Marker::Number(self.count(definition_id, depth, start, restarts))))
            }
        }
    }

    fn define(&mut self, id: String, definition: Definition) {
        self.by_style.extend(definition.is_style.clone().map(|style| (style, id.clone())));
        self.definitions.insert(id, definition);
    }

    /// The definition, or the one that it stands for.
    fn definition(&self, id: &str) -> Option<(&str, &Definition)> {
        let stands_for = |definition: &Definition| self.by_style.get(definition.like_style.as_ref()?);
        let meant = stands_for(self.definitions.get(id)?).map_or(id, String::as_str);
        self.definitions.get_key_value(meant).map(|(id, definition)| (id.as_str(), definition))
    }

    fn count(&mut self, definition: String, depth: usize, start: u32, restarts: bool) -> u32 {
        let counts = self.counts.entry(definition).or_default();
        let number = match counts.get(depth).copied().flatten() {
            Some(last) if !restarts => last.saturating_add(1),
            _ => start,
        };
        for (level, count) in counts.iter_mut().enumerate().skip(depth) {
            *count = (level == depth).then_some(number);
        }
        number
    }
}

impl List {
    fn read(xml: &mut Xml) -> Result<List, ExtractFailure> {
        let mut list = List::default();
        xml.each(|xml, tag| {
            match tag.name() {
                "abstractNumId" => list.definition = tag.get("val").unwrap_or_default(),
                "lvlOverride" => list.change(tag.number("ilvl").unwrap_or(0), xml)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(list)
    }

    fn change(&mut self, depth: usize, xml: &mut Xml) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| {
            match tag.name() {
                "startOverride" => {
                    self.starts.extend(tag.number("val").map(|start| (depth, start)));
                }
                "lvl" => {
                    self.levels.insert(depth, Level::read(xml)?);
                }
                _ => {}
            }
            Ok(())
        })
    }
}

impl Definition {
    fn read(xml: &mut Xml) -> Result<Definition, ExtractFailure> {
        let mut definition = Definition::default();
        xml.each(|xml, tag| {
            match tag.name() {
                "lvl" => {
                    let depth: usize = tag.number("ilvl").unwrap_or(0);
                    definition.levels.insert(depth.min(LEVELS - 1), Level::read(xml)?);
                }
                "styleLink" => definition.is_style = tag.get("val"),
                "numStyleLink" => definition.like_style = tag.get("val"),
                _ => {}
            }
            Ok(())
        })?;
        Ok(definition)
    }

    fn level_of<'a>(&self, mut styles: impl Iterator<Item = &'a str>) -> Option<usize> {
        styles.find_map(|style| {
            let mut levels = self.levels.iter();
            levels.find(|(_, level)| level.style.as_deref() == Some(style)).map(|(depth, _)| *depth)
        })
    }
}

impl Level {
    fn read(xml: &mut Xml) -> Result<Level, ExtractFailure> {
        let (mut level, mut is_blank) = (Level::default(), false);
        xml.each(|_, tag| {
            match tag.name() {
                "numFmt" => level.kind = Kind::of(tag),
                "start" => level.start = tag.number("val"),
                "pStyle" => level.style = tag.get("val"),
                "lvlText" => is_blank = tag.get("val").is_none_or(|text| text.trim().is_empty()),
                _ => {}
            }
            Ok(())
        })?;
        if is_blank {
            level.kind = Kind::Nothing;
        }
        Ok(level)
    }
}

impl Kind {
    fn of(tag: &Tag) -> Kind {
        match tag.get("val").as_deref() {
            Some("bullet") => Kind::Bullet,
            Some("none") => Kind::Nothing,
            _ => Kind::Number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(numbering: &mut Numbering, list: &str, level: Option<usize>, styles: &[&str]) -> Option<(usize, Marker)> {
        let reference = ListReference { list: Some(list.to_owned()), level };
        match numbering.place(&reference, styles.iter().copied())? {
            Place::Item(depth, marker) => Some((depth, marker)),
            Place::Continued(_) => None,
        }
    }

    #[test]
    fn a_definition_may_stand_for_a_style_and_styles_for_levels() {
        let level = |depth, style: &str| {
            format!("<w:lvl w:ilvl='{depth}'><w:numFmt w:val='decimal'/>{style}<w:lvlText w:val='%1'/></w:lvl>")
        };
        let text = format!(
            "<w:numbering><w:abstractNum w:abstractNumId='4'><w:numStyleLink w:val='Steps'/></w:abstractNum>\
             <w:abstractNum w:abstractNumId='5'><w:styleLink w:val='Steps'/>{}{}</w:abstractNum>\
             <w:num w:numId='1'><w:abstractNumId w:val='4'/></w:num></w:numbering>",
            level(0, "<w:pStyle w:val='Step'/>"),
            level(1, "<w:pStyle w:val='Substep'/>")
        );
        let mut numbering = Numbering::read(&text, "The file").unwrap();
        assert_eq!(place(&mut numbering, "1", None, &["Mine", "Step"]), Some((0, Marker::Number(1))));
        assert_eq!(place(&mut numbering, "1", None, &["Substep"]), Some((1, Marker::Number(1))));
        assert_eq!(place(&mut numbering, "1", None, &["Substep"]), Some((1, Marker::Number(2))));
        assert_eq!(place(&mut numbering, "1", Some(0), &["Substep"]), Some((0, Marker::Number(2))));
        assert_eq!(place(&mut numbering, "1", Some(1), &[]), Some((1, Marker::Number(1))));
        assert_eq!(place(&mut numbering, "0", None, &[]), None);
    }
}
