//! Formulas (Office Math, ECMA-376 part 1, 22.1) on one line, as one would type them: `x^2`, `(a+b)/c`.

use super::super::ExtractFailure;
use super::super::formula::grouped;
use super::super::xml::Xml;

/// The text of the open element, which is closed.
pub fn read(xml: &mut Xml) -> Result<String, ExtractFailure> {
    let mut out = String::new();
    xml.each(|xml, tag| {
        match tag.name() {
            "t" => out.push_str(&xml.text()?),
            "sup" => push_after('^', &read(xml)?, &mut out),
            "sub" => push_after('_', &read(xml)?, &mut out),
            "f" => out.push_str(&fraction(xml)?),
            "rad" => out.push_str(&format!("√{}", grouped(&read(xml)?))),
            name if name.ends_with("Pr") => {}
            _ => out.push_str(&read(xml)?),
        }
        Ok(())
    })?;
    Ok(out)
}

fn fraction(xml: &mut Xml) -> Result<String, ExtractFailure> {
    let mut parts = Vec::new();
    xml.each(|xml, tag| {
        if matches!(tag.name(), "num" | "den") {
            parts.push(grouped(&read(xml)?));
        }
        Ok(())
    })?;
    Ok(parts.join("/"))
}

fn push_after(sign: char, text: &str, out: &mut String) {
    if !text.is_empty() {
        out.push(sign);
        out.push_str(&grouped(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_written_as_one_types_them() {
        let run = |text: &str| format!("<m:r><m:rPr><m:t>no</m:t></m:rPr><m:t>{text}</m:t></m:r>");
        let text = format!(
            "<m:oMath>{}<m:f><m:fPr/><m:num>{}</m:num><m:den><m:sSup><m:e>{}</m:e><m:sup>{}</m:sup></m:sSup></m:den></m:f>\
             <m:rad><m:e>{}</m:e></m:rad></m:oMath>",
            run("v="),
            run("a+1"),
            run("t"),
            run("2"),
            run("x")
        );
        assert_eq!(read(&mut Xml::new(&text, "The file")).unwrap(), "v=(a+1)/(t^2)√x");
    }
}
