//! One slide: its shapes, and its notes.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::ExtractFailure;
use super::super::blocks::{Block, Marker, Page, described, push_table};
use super::super::drawing;
use super::super::opc::{Package, Relations};
use super::super::xml::{Tag, Xml};
use super::WHAT;
use super::bullets::{self, Bullet, LEVELS, Levels};
use super::master::{Placeholder, Template};

/// Reads slides, and each layout and master once.
pub struct Reader<'p, 'a> {
    package: &'p mut Package<'a>,
    templates: HashMap<String, Rc<Template>>,
}

/// A slide that is read, and what it builds on.
struct Slide<'s, 'p, 'a> {
    package: &'s mut Package<'a>,
    relations: &'s Relations,
    layout: &'p Template,
    master: &'p Template,
    page: Page,
}

/// The numbers of a shape's numbered paragraphs, by level.
#[derive(Default)]
struct Numbers([Option<u32>; LEVELS]);

impl<'p, 'a> Reader<'p, 'a> {
    pub fn new(package: &'p mut Package<'a>) -> Reader<'p, 'a> {
        Reader { package, templates: HashMap::new() }
    }

    /// The slide in the part `name`.
    pub fn slide(&mut self, name: &str) -> Result<Option<Page>, ExtractFailure> {
        let Some(text) = self.package.part(name)? else { return Ok(None) };
        let relations = self.package.relations(name)?;
        let layout_name = relations.of_kind("slideLayout").unwrap_or_default().to_owned();
        let layout = self.template(&layout_name)?;
        let master_name = self.package.relations(&layout_name)?.of_kind("slideMaster").unwrap_or_default().to_owned();
        let master = self.template(&master_name)?;
        let notes = relations.of_kind("notesSlide").map_or(Ok(None), |name| self.package.part(name))?;
        let (layout, master) = (layout.as_ref(), master.as_ref());
        let package = &mut *self.package;
        let mut slide = Slide { package, relations: &relations, layout, master, page: Page::default() };
        slide.shapes(&mut Xml::new(&text, WHAT))?;
        if let Some(notes) = notes {
            slide.notes(&mut Xml::new(&notes, WHAT))?;
        }
        Ok(Some(slide.page))
    }

    fn template(&mut self, name: &str) -> Result<Rc<Template>, ExtractFailure> {
        if let Some(known) = self.templates.get(name) {
            return Ok(Rc::clone(known));
        }
        let template = Rc::new(Template::read(self.package, name)?);
        self.templates.insert(name.to_owned(), Rc::clone(&template));
        Ok(template)
    }
}

impl Slide<'_, '_, '_> {
    /// The shapes in the open element, which is closed.
    fn shapes(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "sp" => self.shape(xml),
            "pic" => self.picture(xml),
            "graphicFrame" => self.frame(xml),
            "AlternateContent" => {
                let before = (self.page.title.len(), self.page.body.len());
                xml.each(|xml, _| match (self.page.title.len(), self.page.body.len()) == before {
                    true => self.shapes(xml),
                    false => Ok(()),
                })
            }
            _ => self.shapes(xml),
        })
    }

    fn shape(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        let mut place = None;
        xml.each(|xml, tag| match (tag.name(), &place) {
            ("nvSpPr", _) => {
                place = placeholder(xml)?;
                Ok(())
            }
            ("txBody", Some(Placeholder { kind, .. })) if is_furniture(kind) => Ok(()),
            ("txBody", Some(Placeholder { kind, .. })) if kind == "title" || kind == "ctrTitle" => {
                let title = paragraphs(xml, &|_| Levels::default())?;
                self.page.title.extend(title);
                Ok(())
            }
            ("txBody", place) => {
                let body = paragraphs(xml, &|own| self.inherited(own, place.as_ref()))?;
                self.page.body.extend(body);
                Ok(())
            }
            _ => Ok(()),
        })
    }

    /// What a shape in this place says of bullets, filled up with what stands behind it.
    fn inherited(&self, own: Levels, place: Option<&Placeholder>) -> Levels {
        let mut levels = own;
        let Some(place) = place else { return levels };
        let body = if place.is_body() { self.master.body() } else { Levels::default() };
        for behind in [self.layout.levels(place), self.master.levels(place), body] {
            levels.iter_mut().zip(behind).for_each(|(level, behind)| *level = level.or(behind));
        }
        levels
    }

    fn picture(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        let description = description(xml)?.unwrap_or_default();
        self.page.body.push(Block::Paragraph(described(&description).to_owned()));
        Ok(())
    }

    /// A table or a diagram.
    fn frame(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "tbl" => self.table(xml),
            "relIds" => self.diagram(tag),
            _ => self.frame(xml),
        })
    }

    fn table(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        let mut rows = Vec::new();
        xml.each(|xml, tag| {
            let mut row = Vec::new();
            if tag.name() == "tr" {
                xml.each(|xml, tag| {
                    if tag.name() == "tc" {
                        row.push(cell(xml)?);
                    }
                    Ok(())
                })?;
                rows.push(row);
            }
            Ok(())
        })?;
        push_table(rows, &mut self.page.body);
        Ok(())
    }

    fn diagram(&mut self, tag: &Tag) -> Result<(), ExtractFailure> {
        let target = tag.get("dm").and_then(|id| self.relations.by_id(&id).map(str::to_owned));
        let text = target.map_or(Ok(None), |name| self.package.part(&name))?;
        let lines = text.map_or(Ok(Vec::new()), |text| drawing::diagram(&text, WHAT))?;
        self.page.body.extend(lines.into_iter().map(|text| Block::Item { depth: 0, marker: Marker::Bullet, text }));
        Ok(())
    }

    /// The notes page shows the slide, furniture, and in one shape the notes.
    fn notes(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "sp" => {
                let mut place = None;
                xml.each(|xml, tag| {
                    match (tag.name(), &place) {
                        ("nvSpPr", _) => place = placeholder(xml)?,
                        ("txBody", Some(Placeholder { kind, .. })) if kind == "body" => {
                            self.page.notes.extend(paragraphs(xml, &|_| Levels::default())?);
                        }
                        _ => {}
                    }
                    Ok(())
                })
            }
            _ => self.notes(xml),
        })
    }
}

fn is_furniture(kind: &str) -> bool {
    matches!(kind, "dt" | "ftr" | "sldNum" | "hdr" | "sldImg")
}

fn placeholder(xml: &mut Xml) -> Result<Option<Placeholder>, ExtractFailure> {
    let mut found = None;
    xml.each(|xml, tag| {
        let inside = if tag.name() == "ph" { Some(Placeholder::of(tag)) } else { placeholder(xml)? };
        found = inside.or(found.take());
        Ok(())
    })?;
    Ok(found)
}

/// The description that its author gave a picture.
fn description(xml: &mut Xml) -> Result<Option<String>, ExtractFailure> {
    let mut found = None;
    xml.each(|xml, tag| {
        let inside = if tag.name() == "cNvPr" { tag.get("descr") } else { description(xml)? };
        found = inside.or(found.take());
        Ok(())
    })?;
    Ok(found)
}

fn cell(xml: &mut Xml) -> Result<Vec<Block>, ExtractFailure> {
    let mut blocks = Vec::new();
    xml.each(|xml, tag| {
        if tag.name() == "txBody" {
            blocks = paragraphs(xml, &|own| own)?;
        }
        Ok(())
    })?;
    Ok(blocks)
}

/// The paragraphs of a text body; `inherited` makes its own levels whole.
fn paragraphs(xml: &mut Xml, inherited: &dyn Fn(Levels) -> Levels) -> Result<Vec<Block>, ExtractFailure> {
    let (mut levels, mut numbers, mut blocks) = (inherited(Levels::default()), Numbers::default(), Vec::new());
    xml.each(|xml, tag| {
        match tag.name() {
            "lstStyle" => levels = inherited(bullets::levels(xml)?),
            "p" => blocks.push(paragraph(xml, &levels, &mut numbers)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(blocks)
}

fn paragraph(xml: &mut Xml, levels: &Levels, numbers: &mut Numbers) -> Result<Block, ExtractFailure> {
    let (mut depth, mut own, mut text) = (0usize, None, String::new());
    xml.each(|xml, tag| match tag.name() {
        "pPr" => {
            depth = tag.number("lvl").unwrap_or(0).min(LEVELS - 1);
            own = bullets::of_properties(xml)?;
            Ok(())
        }
        _ => drawing::push_run(xml, tag, &mut text),
    })?;
    let bullet = own.or(levels.get(depth).copied().flatten()).unwrap_or(Bullet::Nothing);
    // An empty paragraph shows no bullet and does not count.
    let marker = if text.trim().is_empty() { None } else { numbers.marker(depth, bullet) };
    Ok(match marker {
        Some(marker) => Block::Item { depth, marker, text },
        None => Block::Paragraph(text),
    })
}

impl Numbers {
    fn marker(&mut self, depth: usize, bullet: Bullet) -> Option<Marker> {
        let last = self.0.get(depth).copied().flatten();
        let number = match bullet {
            Bullet::Number(start) => Some(last.map_or(start, |last| last.saturating_add(1))),
            _ => None,
        };
        // A paragraph ends the numbering of its own level, unless it is numbered, and of deeper ones.
        self.0.iter_mut().enumerate().skip(depth).for_each(|(level, count)| *count = number.filter(|_| level == depth));
        match bullet {
            Bullet::Nothing => None,
            Bullet::Sign => Some(Marker::Bullet),
            Bullet::Number(_) => number.map(Marker::Number),
        }
    }
}
