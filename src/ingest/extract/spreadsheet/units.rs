//! What the number formats of Excel add to numbers that changes what they say: `0.125` is shown as `12.5%`, `25` as `$25`
//! (ECMA-376 part 1, 18.8.30 and 18.8.31). Digits and separators are not: numbers stay as they are computed with.

use std::collections::HashMap;

use super::super::opc::Package;
use super::super::xml::Xml;
use super::value::number;
use super::{ExtractFailure, WHAT};

/// Signs of money that are written without more; others stand in brackets, as `[$CHF-807]`.
const MONEY: [char; 5] = ['$', '€', '£', '¥', '₹'];

/// The formats for percentages that every workbook has without defining them.
const PERCENT: [u32; 2] = [9, 10];

/// What is shown beside a number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Unit {
    #[default]
    Nothing,
    Percent,
    Before(String),
    After(String),
}

/// The units of a workbook's cells, by the number of their style.
#[derive(Default)]
pub struct Units(Vec<Unit>);

impl Units {
    pub fn read(bytes: &[u8]) -> Result<Units, ExtractFailure> {
        let mut package = Package::open(bytes, WHAT)?;
        let main = package.main_part("xl/workbook.xml")?;
        let name = package.relations(&main)?.of_kind("styles").unwrap_or("xl/styles.xml").to_owned();
        package.part(&name)?.map_or(Ok(Units::default()), |text| Units::of_styles(&text))
    }

    fn of_styles(text: &str) -> Result<Units, ExtractFailure> {
        let (mut formats, mut styles) = (HashMap::new(), Vec::new());
        Xml::new(text, WHAT).each(|xml, _| {
            xml.each(|xml, tag| match tag.name() {
                "numFmts" => xml.each(|_, tag| {
                    formats.extend(tag.number::<u32>("numFmtId").zip(tag.get("formatCode")));
                    Ok(())
                }),
                "cellXfs" => xml.each(|_, tag| {
                    styles.push(tag.number::<u32>("numFmtId").unwrap_or(0));
                    Ok(())
                }),
                _ => Ok(()),
            })
        })?;
        let unit = |id: &u32| match formats.get(id) {
            Some(code) => unit(code),
            None if PERCENT.contains(id) => Unit::Percent,
            None => Unit::Nothing,
        };
        Ok(Units(styles.iter().map(unit).collect()))
    }

    /// A number of a cell in this style as text.
    pub fn text(&self, value: f64, style: usize) -> String {
        match self.0.get(style).unwrap_or(&Unit::Nothing) {
            Unit::Nothing => number(value),
            Unit::Percent => format!("{}%", number(value * 100.0)),
            Unit::Before(sign) => format!("{sign}{}", number(value)),
            Unit::After(sign) => format!("{} {sign}", number(value)),
        }
    }
}

/// What a format shows beside numbers that are not negative, which its first part is for.
fn unit(code: &str) -> Unit {
    let (mut sign, mut before, mut seen_digit) = (String::new(), true, false);
    let mut chars = code.chars();
    while let Some(char) = chars.next() {
        let found = match char {
            ';' => break,
            '%' => return Unit::Percent,
            '"' => money(&chars.by_ref().take_while(|char| *char != '"').collect::<String>()),
            '[' => {
                let inside: String = chars.by_ref().take_while(|char| *char != ']').collect();
                inside.strip_prefix('$').map(|rest| rest.split('-').next().unwrap_or_default().trim().to_owned())
            }
            '\\' => chars.next().and_then(|char| money(&char.to_string())),
            // The width of a character, or as many as fit.
            '_' | '*' => chars.next().and(None),
            '0' | '#' | '?' => {
                seen_digit = true;
                None
            }
            char => money(&char.to_string()),
        };
        if let Some(found) = found.filter(|found| !found.is_empty() && sign.is_empty()) {
            (sign, before) = (found, !seen_digit);
        }
    }
    match (sign.is_empty(), before) {
        (true, _) => Unit::Nothing,
        (false, true) => Unit::Before(sign),
        (false, false) => Unit::After(sign),
    }
}

fn money(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars().any(|char| MONEY.contains(&char)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_say_what_numbers_are() {
        let after = |sign: &str| Unit::After(sign.to_owned());
        let before = |sign: &str| Unit::Before(sign.to_owned());
        for (code, expected) in [
            ("0.0%", Unit::Percent),
            ("#,##0.00 [$€-407]", after("€")),
            ("#,##0.00\\ \"€\"", after("€")),
            ("\"$\"#,##0.00_);[Red]\\(\"$\"#,##0.00\\)", before("$")),
            ("[$CHF-807]\\ #,##0", before("CHF")),
            ("_-* #,##0.00\\ [$zł-415]_-;0%", after("zł")),
            ("0.00E+00", Unit::Nothing),
            ("[Red]0.00;\"100%\"", Unit::Nothing),
            ("0 \"pieces\"", Unit::Nothing),
        ] {
            assert_eq!(unit(code), expected, "{code}");
        }
    }

    #[test]
    fn a_style_says_which_format() {
        let styles = "<styleSheet><numFmts><numFmt numFmtId='164' formatCode='0 \"€\"'/></numFmts>\
                      <cellXfs><xf numFmtId='0'/><xf numFmtId='10'/><xf numFmtId='164'/></cellXfs></styleSheet>";
        let units = Units::of_styles(styles).unwrap();
        let texts = [0, 1, 2, 3].map(|style| units.text(0.125, style));
        assert_eq!(texts, ["0.125", "12.5%", "0.125 €", "0.125"]);
    }
}
