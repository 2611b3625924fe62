//! Formulas (MathML 3, presentation elements) of OpenDocument files and web pages on one line, as one would type them:
//! `x^2`, `(a+b)/c`.

use super::ExtractFailure;
use super::formula::grouped;
use super::xml::{Node, Xml};

/// As failures name it.
const WHAT: &str = "The formula";

/// The formula that the part `text` is; nothing if it is something else.
pub fn read(text: &str) -> Result<String, ExtractFailure> {
    let mut out = String::new();
    Xml::new(text, WHAT).each(|xml, tag| {
        if tag.name() == "math" {
            out = inside(xml)?.concat();
        }
        Ok(())
    })?;
    Ok(out)
}

/// The children of the open element, each written.
fn inside(xml: &mut Xml) -> Result<Vec<String>, ExtractFailure> {
    let mut parts = Vec::new();
    while let Some(node) = xml.next()? {
        match node {
            Node::Text(text) if text.trim().is_empty() => {}
            Node::Text(text) => parts.push(text.trim().to_owned()),
            Node::Open(tag) => {
                let inner = inside(xml)?;
                parts.extend(written(tag.name(), &inner));
            }
        }
    }
    Ok(parts)
}

fn written(name: &str, parts: &[String]) -> Option<String> {
    let joined = |signs: &[&str]| {
        let signs = signs.iter().copied().chain(std::iter::repeat(""));
        let rest = parts.iter().skip(1).zip(signs).map(|(part, sign)| format!("{sign}{}", grouped(part)));
        let first = parts.first().cloned().unwrap_or_default();
        std::iter::once(if name == "mfrac" { grouped(&first) } else { first }).chain(rest).collect::<String>()
    };
    match name {
        "annotation" | "annotation-xml" => None,
        "mfrac" => Some(joined(&["/"])),
        "msup" | "mover" => Some(joined(&["^"])),
        "msub" | "munder" => Some(joined(&["_"])),
        "msubsup" | "munderover" => Some(joined(&["_", "^"])),
        "msqrt" => Some(format!("√{}", grouped(&parts.concat()))),
        _ => Some(parts.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn formulas_are_written_as_one_types_them() {
        let text = "<math><semantics><mrow><mi>v</mi><mo>=</mo><mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow>\
                    <msup><mi>t</mi><mn>2</mn></msup></mfrac></mrow><annotation>v = x</annotation></semantics></math>";
        assert_eq!(read(text).unwrap(), "v=(a+1)/(t^2)");
        assert_eq!(read("<office:document-content><p>chart</p></office:document-content>").unwrap(), "");
    }
}
