//! What styles say about structure: common ones (`styles.xml`) and those that the program made up for single paragraphs
//! (in `content.xml`), which have the common ones as parents.

use std::collections::HashMap;

use super::super::ExtractFailure;
use super::super::xml::{Tag, Xml};
use super::WHAT;

/// Styles have two or three ancestors; a ring would have no end.
const MAX_CHAIN: usize = 32;

const CODE: [&str; 4] = ["preformatted text", "source code", "source text", "code"];
const QUOTE: [&str; 5] = ["quotations", "quote", "intense quote", "block text", "block quotation"];

/// What stands under a title, whose style has the title's ancestors.
const UNDER_TITLE: [&str; 3] = ["subtitle", "author", "date"];

#[derive(Default)]
pub struct Styles {
    /// By family and name.
    styles: HashMap<(String, String), Style>,
    lists: HashMap<String, HashMap<usize, Level>>,
}

#[derive(Default)]
struct Style {
    /// As users see it, in lower case.
    shown_name: String,
    parent: Option<String>,
    hidden: Option<bool>,
}

/// A level of a list style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Bullet,
    /// Counts from here.
    Number(u32),
    /// Shows neither.
    Nothing,
}

/// What a style makes of a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Title,
    Code,
    Quote,
    Body,
}

impl Styles {
    /// Adds the styles of a part.
    pub fn read(&mut self, text: &str) -> Result<(), ExtractFailure> {
        self.read_inside(&mut Xml::new(text, WHAT))
    }

    pub fn role(&self, paragraph: &str) -> Role {
        self.chain("paragraph", paragraph).find_map(Style::role).unwrap_or(Role::Body)
    }

    /// How deep a list is by the name of its paragraphs' style, in what was a Word document: `List Bullet 2` is a list of
    /// its own with one level.
    pub fn list_depth(&self, paragraph: &str) -> usize {
        let level = self.chain("paragraph", paragraph).find_map(|style| list_level(&style.shown_name));
        level.unwrap_or(1).saturating_sub(1)
    }

    /// Whether text of this style is hidden; `family` is `paragraph` or `text`.
    pub fn hides(&self, family: &str, name: &str) -> bool {
        self.chain(family, name).find_map(|style| style.hidden).unwrap_or(false)
    }

    /// What items have at `depth` (from 0) of a list of this style; a list without one has bullets.
    pub fn level(&self, list: Option<&str>, depth: usize) -> Level {
        let levels = list.and_then(|name| self.lists.get(name));
        levels.and_then(|levels| levels.get(&(depth + 1))).copied().unwrap_or(Level::Bullet)
    }

    fn chain<'a>(&'a self, family: &str, name: &str) -> impl Iterator<Item = &'a Style> {
        let find = |name: &str| self.styles.get(&(family.to_owned(), name.to_owned()));
        std::iter::successors(find(name), move |style| find(style.parent.as_deref()?)).take(MAX_CHAIN)
    }

    fn read_inside(&mut self, xml: &mut Xml) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match (tag.name(), tag.get("name")) {
            ("style", Some(name)) => {
                let family = tag.get("family").unwrap_or_default();
                let style = Style::read(xml, tag, &name)?;
                self.styles.insert((family, name), style);
                Ok(())
            }
            ("list-style", Some(name)) => {
                let levels = levels(xml)?;
                self.lists.insert(name, levels);
                Ok(())
            }
            // Text has no styles inside, and it is the largest part of the file.
            ("body", _) => Ok(()),
            _ => self.read_inside(xml),
        })
    }
}

impl Style {
    fn read(xml: &mut Xml, tag: &Tag, name: &str) -> Result<Style, ExtractFailure> {
        // In names, other characters than letters and digits are written as `_20_`; this one is all that matters here.
        let shown_name = tag.get("display-name").unwrap_or_else(|| name.replace("_20_", " ")).to_lowercase();
        let mut style = Style { shown_name, parent: tag.get("parent-style-name"), hidden: None };
        xml.each(|_, tag| {
            if let ("text-properties", Some(display)) = (tag.name(), tag.get("display")) {
                style.hidden = Some(display == "none");
            }
            Ok(())
        })?;
        Ok(style)
    }

    fn role(&self) -> Option<Role> {
        match self.shown_name.as_str() {
            "title" => Some(Role::Title),
            name if CODE.contains(&name) => Some(Role::Code),
            name if QUOTE.contains(&name) => Some(Role::Quote),
            name if UNDER_TITLE.contains(&name) => Some(Role::Body),
            _ => None,
        }
    }
}

fn list_level(style: &str) -> Option<usize> {
    ["list bullet ", "list number "].into_iter().find_map(|kind| style.strip_prefix(kind)?.parse().ok())
}

fn levels(xml: &mut Xml) -> Result<HashMap<usize, Level>, ExtractFailure> {
    let mut levels = HashMap::new();
    xml.each(|_, tag| {
        let level = match tag.name() {
            "list-level-style-number" if tag.get("num-format").is_none_or(|format| format.is_empty()) => Level::Nothing,
            "list-level-style-number" => Level::Number(tag.number("start-value").unwrap_or(1)),
            _ => Level::Bullet,
        };
        levels.extend(tag.number("level").map(|number: usize| (number, level)));
        Ok(())
    })?;
    Ok(levels)
}
