//! What stands before a paragraph: the paragraph says it, or its shape, or the layout's shape in the same place, or the
//! master's, or the master's style for text of that kind (ECMA-376 part 1, 21.1.2.4).

use super::super::ExtractFailure;
use super::super::xml::{Tag, Xml};

/// `lvl1pPr` to `lvl9pPr`.
pub const LEVELS: usize = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bullet {
    Nothing,
    Sign,
    /// Counts from here.
    Number(u32),
}

/// What a shape or a style says for each level.
pub type Levels = [Option<Bullet>; LEVELS];

/// Reads the children of a `lstStyle` or of a text style of the master.
pub fn levels(xml: &mut Xml) -> Result<Levels, ExtractFailure> {
    let mut levels = Levels::default();
    xml.each(|xml, tag| {
        let number = tag.name().strip_prefix("lvl").and_then(|rest| rest.strip_suffix("pPr"));
        let index = number.and_then(|number| number.parse::<usize>().ok()).and_then(|number| number.checked_sub(1));
        if let Some(level) = index.and_then(|index| levels.get_mut(index)) {
            *level = of_properties(xml)?;
        }
        Ok(())
    })?;
    Ok(levels)
}

/// Reads the properties of a paragraph, or of a level of them.
pub fn of_properties(xml: &mut Xml) -> Result<Option<Bullet>, ExtractFailure> {
    let mut bullet = None;
    xml.each(|_, tag| {
        bullet = of_tag(tag).or(bullet);
        Ok(())
    })?;
    Ok(bullet)
}

fn of_tag(tag: &Tag) -> Option<Bullet> {
    match tag.name() {
        "buNone" => Some(Bullet::Nothing),
        "buChar" | "buBlip" => Some(Bullet::Sign),
        "buAutoNum" => Some(Bullet::Number(tag.number("startAt").unwrap_or(1))),
        _ => None,
    }
}
