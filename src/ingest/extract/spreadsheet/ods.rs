//! OpenDocument spreadsheets (OASIS OpenDocument 1.3, part 3, 9). `calamine` makes grids of them, with every repeated cell;
//! here a cell that repeats is as many cells as have text, up to the limits of a sheet.

use super::super::archive::Archive;
use super::super::xml::{self, Node, Tag, Xml};
use super::value::{boolean, iso, number};
use super::{ExtractFailure, Sheet, WHAT, Workbook};

pub fn read(bytes: &[u8], workbook: &mut Workbook) -> Result<(), ExtractFailure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    let manifest = xml::part(&mut archive, "META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains("encryption-data") {
        return Err(ExtractFailure::locked(WHAT));
    }
    let properties = xml::part(&mut archive, "meta.xml")?.unwrap_or_default();
    // Properties that cannot be read say nothing; the sheets are what counts.
    workbook.title = title(&properties).unwrap_or_default();
    let content = xml::part(&mut archive, "content.xml")?;
    let content = content.ok_or_else(|| ExtractFailure::broken(WHAT, "it has no content"))?;
    let mut xml = Xml::new(&content, WHAT);
    xml.each(|xml, _| {
        xml.each(|xml, tag| if tag.name() == "body" { xml.each(|xml, _| tables(xml, workbook)) } else { Ok(()) })
    })
}

fn title(properties: &str) -> Result<Option<String>, ExtractFailure> {
    let mut title = None;
    Xml::new(properties, WHAT).each(|xml, _| {
        xml.each(|xml, _| {
            xml.each(|xml, tag| {
                if tag.name() == "title" {
                    title = Some(xml.text()?.trim().to_owned()).filter(|title| !title.is_empty());
                }
                Ok(())
            })
        })
    })?;
    Ok(title)
}

fn tables(xml: &mut Xml, workbook: &mut Workbook) -> Result<(), ExtractFailure> {
    xml.each(|xml, tag| {
        if tag.name() != "table" {
            return Ok(());
        }
        let mut sheet = workbook.begin();
        rows(xml, &mut sheet, &mut 0)?;
        workbook.end(&tag.get("name").unwrap_or_default(), sheet)
    })
}

/// Rows may stand in groups, in groups.
fn rows(xml: &mut Xml, sheet: &mut Sheet, next: &mut u32) -> Result<(), ExtractFailure> {
    xml.each(|xml, tag| match tag.name() {
        "table-header-rows" | "table-row-group" | "table-rows" => rows(xml, sheet, next),
        "table-row" => {
            let values = row(xml)?;
            let repeated = tag.number("number-rows-repeated").unwrap_or(1);
            let end = next.saturating_add(repeated);
            if !values.is_empty() {
                // Beyond the last row the first cell is refused, so that this ends.
                put_row(sheet, *next, &values)?;
                (*next + 1..end).try_for_each(|row| put_row(sheet, row, &values))?;
            }
            *next = end;
            Ok(())
        }
        _ => Ok(()),
    })
}

/// A value, and the columns that have it.
struct Value {
    from: u32,
    to: u32,
    text: String,
}

fn put_row(sheet: &mut Sheet, row: u32, values: &[Value]) -> Result<(), ExtractFailure> {
    values
        .iter()
        .try_for_each(|value| (value.from..value.to).try_for_each(|column| sheet.put(row, column, &value.text)))
}

fn row(xml: &mut Xml) -> Result<Vec<Value>, ExtractFailure> {
    let (mut values, mut next) = (Vec::new(), 0u32);
    xml.each(|xml, tag| {
        if matches!(tag.name(), "table-cell" | "covered-table-cell") {
            let text = cell(xml, tag)?;
            let to = next.saturating_add(tag.number("number-columns-repeated").unwrap_or(1));
            if !text.trim().is_empty() {
                values.push(Value { from: next, to, text });
            }
            next = to;
        }
        Ok(())
    })?;
    Ok(values)
}

/// What is computed with, as elsewhere; percentages and amounts of money as they are shown, with their units.
fn cell(xml: &mut Xml, tag: &Tag) -> Result<String, ExtractFailure> {
    let shown = paragraphs(xml)?;
    let value = match tag.get("value-type").as_deref() {
        Some("float") => tag.number("value").map(number),
        Some("date") => tag.get("date-value").map(|date| iso(&date)),
        Some("boolean") => tag.get("boolean-value").map(|value| boolean(value == "true").to_owned()),
        Some("percentage" | "currency") if shown.trim().is_empty() => tag.number("value").map(number),
        Some("time") if shown.trim().is_empty() => tag.get("time-value"),
        _ => None,
    };
    Ok(value.unwrap_or(shown))
}

/// The text of a cell, without comments and drawings.
fn paragraphs(xml: &mut Xml) -> Result<String, ExtractFailure> {
    let mut out = String::new();
    xml.each(|xml, tag| {
        if matches!(tag.name(), "p" | "h") {
            inline(xml, &mut out)?;
            out.push('\n');
        }
        Ok(())
    })?;
    Ok(out)
}

fn inline(xml: &mut Xml, out: &mut String) -> Result<(), ExtractFailure> {
    while let Some(node) = xml.next()? {
        match node {
            Node::Text(text) => out.push_str(&text),
            Node::Open(tag) => {
                match tag.name() {
                    "s" | "tab" | "line-break" => out.push(' '),
                    _ => {}
                }
                inline(xml, out)?;
            }
        }
    }
    Ok(())
}
