//! PowerPoint presentations (ECMA-376 part 1, PresentationML; strict and transitional).
//!
//! Slides in the order of the presentation, hidden ones too, each a page: its title as a heading, then its shapes in
//! their order (lists as the layout and the master have them, tables, grouped shapes, diagrams, descriptions of
//! pictures), then the speaker's notes. Left out: footers, dates and slide numbers, comments, charts.

mod bullets;
mod master;
mod slide;

use super::blocks;
use super::canonical::canonical;
use super::opc::Package;
use super::xml::Xml;
use super::{ExtractFailure, Extracted};

/// As failures name it.
const WHAT: &str = "The presentation";

/// The presentation as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let mut package = Package::open(bytes, WHAT)?;
    let main = package.main_part("ppt/presentation.xml")?;
    let Some(presentation) = package.part(&main)? else {
        return Err(ExtractFailure::broken(WHAT, "it has no main part"));
    };
    let stated = package.title()?;
    let relations = package.relations(&main)?;
    let mut reader = slide::Reader::new(&mut package);
    let mut pages = Vec::new();
    for id in slide_ids(&presentation)? {
        let Some(name) = relations.by_id(&id) else { continue };
        pages.extend(reader.slide(name)?);
    }
    let title = blocks::presentation_title(stated, &pages).map(|title| canonical(&title));
    let (text, pages) = blocks::paged(pages);
    Ok(Extracted { title, text, markdown: true, pages, ..Extracted::default() })
}

/// The relations of the slides, in their order.
fn slide_ids(text: &str) -> Result<Vec<String>, ExtractFailure> {
    let mut ids = Vec::new();
    Xml::new(text, WHAT).each(|xml, _| {
        xml.each(|xml, tag| match tag.name() {
            "sldIdLst" => xml.each(|_, tag| {
                ids.extend(tag.get_prefixed("id"));
                Ok(())
            }),
            _ => Ok(()),
        })
    })?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::super::archive::zipped;
    use super::*;

    /// A presentation whose slides, in the order of the presentation, hold these shapes; stored the other way round.
    fn pptx(slides: &[&str]) -> Vec<u8> {
        let number = |index: usize| slides.len() - index;
        let ids = (0..slides.len()).map(|index| format!("<p:sldId id='{index}' r:id='r{index}'/>"));
        let presentation =
            format!("<p:presentation><p:sldIdLst>{}</p:sldIdLst></p:presentation>", ids.collect::<String>());
        let relation = |(index, _)| {
            let target = format!("slides/slide{}.xml", number(index));
            format!("<Relationship Id='r{index}' Type='http://x/slide' Target='{target}'/>")
        };
        let relations = slides.iter().enumerate().map(relation).collect::<String>();
        let relations = format!("<Relationships>{relations}</Relationships>");
        let part = |(index, shapes): (usize, &&str)| {
            let text = format!("<p:sld><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>");
            (format!("ppt/slides/slide{}.xml", number(index)), text)
        };
        let parts: Vec<(String, String)> = slides.iter().enumerate().map(part).collect();
        let mut all: Vec<(&str, &[u8])> = parts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
        all.extend([
            ("ppt/presentation.xml", presentation.as_bytes()),
            ("ppt/_rels/presentation.xml.rels", relations.as_bytes()),
        ]);
        zipped(&all)
    }

    fn shape(place: &str, paragraphs: &str) -> String {
        format!("<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>")
    }

    fn paragraph(properties: &str, text: &str) -> String {
        format!("<a:p>{properties}<a:r><a:t>{text}</a:t></a:r></a:p>")
    }

    #[test]
    fn the_fixture_is_read_slide_by_slide() {
        let extracted = extract(include_bytes!("../../../fixtures/documents-office/sensor-roadmap.pptx")).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("Sensor roadmap 2026"));
        let starts: Vec<_> =
            extracted.pages.iter().map(|page| (page.number, &extracted.text[page.start..][..9])).collect();
        assert_eq!(starts, [(1, "# Sensor "), (2, "# What ch"), (3, "# Costs\n\n")]);
        insta::assert_snapshot!(extracted.text, @r"
        # Sensor roadmap 2026

        Workshop and quality desk

        Port Hallow, March 2026

        Notes: Welcome the colleagues of the Älvdal depot.

        # What changes

        - Cold tests
          - every bearing lot
          - three units, −15 °C
        - Certificates read in full

        Decided on 5 December 2025.

        Order of work

        1. Goods-in
        2. Wind tunnel
        3. Cold chamber

        Notes: Say why: the recall of 2025.
        The supplier had changed its grease.

        # Costs

        | Item | EUR |
        | --- | --- |
        | Cold chamber | 18,400 |
        | Grease tester \| second hand | 2,150 |

        Paid from the 2026 budget
        ");
    }

    #[test]
    fn slides_come_in_the_order_of_the_presentation_with_the_title_first() {
        let title = shape("<p:ph type='title'/>", &paragraph("", "Title"));
        let footer = shape("<p:ph type='ftr'/>", &paragraph("", "footer"));
        let first = shape("", &paragraph("", "text")) + &title + &footer;
        let second = shape("", &paragraph("", "last"));
        let extracted = extract(&pptx(&[&first, "", &second])).unwrap();
        assert_eq!(extracted.text, "# Title\n\ntext\n\nlast\n");
        assert_eq!(extracted.pages.iter().map(|page| (page.number, page.start)).collect::<Vec<_>>(), [(1, 0), (3, 15)]);
    }

    #[test]
    fn numbers_count_by_level_and_restart_after_other_paragraphs() {
        let number = |level| format!("<a:pPr lvl='{level}'><a:buAutoNum type='arabicPeriod' startAt='3'/></a:pPr>");
        let body = [
            paragraph(&number(0), "three"),
            paragraph(&number(1), "three inside"),
            paragraph(&number(0), "four"),
            paragraph("<a:pPr><a:buChar char='-'/></a:pPr>", "bullet"),
            paragraph(&number(0), "three again"),
        ];
        let extracted = extract(&pptx(&[&shape("", &body.concat())])).unwrap();
        insta::assert_snapshot!(extracted.text, @"
        3. three

           3. three inside
        4. four
        - bullet
        3. three again
        ");
    }

    #[test]
    fn groups_pictures_and_one_branch_of_alternatives_are_read() {
        let inside = shape("", &paragraph("", "in a group"));
        let slide = format!(
            "<p:grpSp><p:grpSp>{inside}</p:grpSp></p:grpSp>\
             <p:pic><p:nvPicPr><p:cNvPr id='1' descr='A mast in snow'/></p:nvPicPr></p:pic>\
             <mc:AlternateContent><mc:Choice>{0}</mc:Choice><mc:Fallback>{0}</mc:Fallback></mc:AlternateContent>",
            shape("", &paragraph("", "once"))
        );
        assert_eq!(extract(&pptx(&[&slide])).unwrap().text, "in a group\n\nA mast in snow\n\nonce\n");
    }
}
