//! DrawingML (ECMA-376 part 1, 21): what Word and PowerPoint files share.

use super::ExtractFailure;
use super::xml::{Tag, Xml};

/// The text of a diagram's nodes, in the order of its data part.
pub fn diagram(text: &str, what: &str) -> Result<Vec<String>, ExtractFailure> {
    let mut lines = Vec::new();
    paragraphs(&mut Xml::new(text, what), &mut lines)?;
    Ok(lines)
}

fn paragraphs(xml: &mut Xml, lines: &mut Vec<String>) -> Result<(), ExtractFailure> {
    xml.each(|xml, tag| match tag.name() {
        "p" => {
            let mut line = String::new();
            run_text(xml, &mut line)?;
            lines.extend(Some(line).filter(|line| !line.trim().is_empty()));
            Ok(())
        }
        _ => paragraphs(xml, lines),
    })
}

/// The text of a paragraph's runs, fields and breaks, from inside it.
fn run_text(xml: &mut Xml, out: &mut String) -> Result<(), ExtractFailure> {
    xml.each(|xml, tag| push_run(xml, tag, out))
}

/// The text of one element of a paragraph.
pub fn push_run(xml: &mut Xml, tag: &Tag, out: &mut String) -> Result<(), ExtractFailure> {
    match tag.name() {
        "t" => out.push_str(&xml.text()?),
        "br" => out.push('\n'),
        "tab" => out.push('\t'),
        // `Fallback` says again what stands before it.
        "rPr" | "pPr" | "endParaRPr" | "Fallback" => {}
        _ => run_text(xml, out)?,
    }
    Ok(())
}
