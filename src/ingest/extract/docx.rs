//! Word documents (ECMA-376 part 1, WordprocessingML; strict and transitional).
//!
//! Kept: headings by their outline level or style, lists with their numbers, tables, quotations and code by style,
//! text boxes, formulas, diagrams, descriptions of pictures, hyperlink text, inserted text. Footnotes and endnotes follow
//! the paragraph that refers to them, as `[^1]`. Left out: headers and footers, comments, deleted and hidden text, field
//! codes, the numbers of headings, charts, embedded documents.

mod body;
mod inline;
mod math;
mod numbering;
mod styles;
mod table;

use super::blocks::{self, Block};
use super::canonical::canonical;
use super::opc::Package;
use super::{ExtractFailure, Extracted};

/// The document as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let mut package = Package::open(bytes, "The Word document")?;
    let main = package.main_part("word/document.xml")?;
    let Some(document) = package.part(&main)? else {
        return Err(ExtractFailure::broken("The Word document", "it has no main part"));
    };
    let title = package.title()?;
    let contents = body::Reader::new(&mut package, &main)?.document(&document)?;
    let title = title.or(contents.title).map(|title| canonical(&title));
    Ok(Extracted {
        title,
        text: canonical(&blocks::markdown(&contents.blocks)),
        markdown: true,
        ..Extracted::default()
    })
}

/// What a document holds.
struct Contents {
    /// The first paragraph that is styled as a title.
    title: Option<String>,
    blocks: Vec<Block>,
}

#[cfg(test)]
mod tests {
    use super::super::archive::zipped;
    use super::*;

    const LISTS: &str = "<w:numbering><w:abstractNum w:abstractNumId='0'>\
        <w:lvl w:ilvl='0'><w:start w:val='1'/><w:numFmt w:val='decimal'/><w:lvlText w:val='%1.'/></w:lvl>\
        <w:lvl w:ilvl='1'><w:numFmt w:val='bullet'/><w:lvlText w:val='o'/></w:lvl>\
        <w:lvl w:ilvl='2'><w:numFmt w:val='lowerRoman'/><w:lvlText w:val='%3)'/></w:lvl></w:abstractNum>\
        <w:abstractNum w:abstractNumId='1'><w:lvl w:ilvl='0'><w:numFmt w:val='none'/><w:lvlText w:val=''/></w:lvl></w:abstractNum>\
        <w:num w:numId='1'><w:abstractNumId w:val='0'/></w:num>\
        <w:num w:numId='2'><w:abstractNumId w:val='0'/>\
            <w:lvlOverride w:ilvl='0'><w:startOverride w:val='7'/></w:lvlOverride></w:num>\
        <w:num w:numId='3'><w:abstractNumId w:val='1'/></w:num></w:numbering>";

    const STYLES: &str = "<w:styles>\
        <w:style w:type='paragraph' w:styleId='Numbered'><w:name w:val='Numbered'/>\
            <w:pPr><w:numPr><w:numId w:val='1'/></w:numPr></w:pPr></w:style>\
        <w:style w:type='paragraph' w:styleId='LP'><w:name w:val='List Paragraph'/></w:style>\
        <w:style w:type='character' w:styleId='Secret'><w:name w:val='Secret'/><w:rPr><w:vanish/></w:rPr></w:style>\
        </w:styles>";

    fn docx(body: &str, notes: &str) -> Vec<u8> {
        let relation = |kind: &str| {
            format!("<Relationship Id='{kind}' Type='http://purl.oclc.org/ooxml/x/{kind}' Target='{kind}.xml'/>")
        };
        let relations = ["styles", "numbering", "footnotes"].map(relation).concat();
        let document = format!("<w:document><w:body>{body}</w:body></w:document>");
        zipped(&[
            ("word/document.xml", document.as_bytes()),
            ("word/_rels/document.xml.rels", format!("<Relationships>{relations}</Relationships>").as_bytes()),
            ("word/styles.xml", STYLES.as_bytes()),
            ("word/numbering.xml", LISTS.as_bytes()),
            ("word/footnotes.xml", format!("<w:footnotes>{notes}</w:footnotes>").as_bytes()),
        ])
    }

    fn text(body: &str) -> String {
        extract(&docx(body, "")).unwrap().text
    }

    fn paragraph(properties: &str, text: &str) -> String {
        format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
    }

    fn item(list: u32, level: u32, text: &str) -> String {
        let properties = format!("<w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='{list}'/></w:numPr>");
        paragraph(&properties, text)
    }

    #[test]
    fn the_fixture_is_read_with_its_structure() {
        let bytes = include_bytes!("../../../fixtures/documents-office/calibration-procedure.docx");
        let extracted = extract(bytes).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("Calibration procedure CP-7"));
        insta::assert_snapshot!(extracted.text, @r"
        # Calibration procedure CP-7

        For cup anemometers of the WS series, edition 4

        # Purpose

        Every anemometer that leaves the workshop has been compared with a reference[^1] in the wind tunnel at seven speeds and once in the cold. Set max_deviation_ms before you begin.

        [^1] Class K of the workshop’s own list; readings in µm.

        > Do not calibrate an instrument that is wet.

        # Steps

        ## Wind tunnel

        1. Mount the instrument on the sting.
        2. Check that
           - the cups turn freely,
           - the cable carries its serial number.
        3. Run the seven speeds:

        ```
        calibrate --from 0.5 --to 40
            --steps 7
        save run.csv
        ```

        ## Cold chamber

        Three units of a bearing lot rest at −15 °C for two hours[^2]. They must start at 0.5 m/s.

        [^2] The cold chamber at Höhenweg 3.

        Gloves are compulsory below −10 °C.

        # Limits

        | Instrument | Speed (m/s) | Deviation (m/s) |
        | --- | --- | --- |
        | WS-10 | 0.5–10 | ±0.2 |
        |  | 10–40 | ±0.5 |
        | No WS-10 is sold above 40 m/s. |  |  |

        \# of units per lot: 3

        The deviation is d=(v−v_0)/n
        ");
    }

    #[test]
    fn lists_continue_restart_nest_and_take_in_unnumbered_paragraphs() {
        let body = [
            item(1, 0, "one"),
            item(1, 1, "bullet"),
            item(1, 2, "first"),
            item(1, 2, "second"),
            item(3, 0, "more of one"),
            paragraph("<w:pStyle w:val='LP'/>", "still more"),
            paragraph("<w:pStyle w:val='Numbered'/>", "two"),
            item(1, 2, "first again"),
            paragraph("<w:pStyle w:val='Numbered'/><w:numPr><w:numId w:val='0'/></w:numPr>", "no item"),
            item(2, 0, "seven"),
            item(1, 0, "eight"),
            item(9, 0, "unknown list"),
        ];
        insta::assert_snapshot!(text(&body.concat()), @"
        1. one
           - bullet
             1. first
             2. second

           more of one

           still more
        2. two
           1. first again

        no item

        7. seven
        8. eight

        unknown list
        ");
    }

    #[test]
    fn deleted_and_hidden_text_and_field_codes_are_left_out_and_inserted_text_is_kept() {
        let run = |inside: &str| format!("<w:r>{inside}</w:r>");
        let body = [
            "<w:p>",
            "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del><w:ins><w:r><w:t>kept</w:t></w:r></w:ins>",
            "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>",
            &run("<w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t>"),
            &run("<w:rPr><w:rStyle w:val='Secret'/></w:rPr><w:t>secret</w:t>"),
            &run("<w:rPr><w:rStyle w:val='Secret'/><w:vanish w:val='0'/></w:rPr><w:t> shown</w:t>"),
            &run("<w:fldChar w:fldCharType='begin'/><w:instrText>PAGE</w:instrText>"),
            &run("<w:t>code</w:t><w:fldChar w:fldCharType='separate'/><w:t> 12</w:t><w:fldChar w:fldCharType='end'/>"),
            &run(
                "<w:tab/><w:t>a</w:t><w:noBreakHyphen/><w:t>b</w:t><w:sym w:font='Symbol' w:char='F06D'/><w:br/><w:t>c</w:t>",
            ),
            "<w:hyperlink><w:r><w:t> link</w:t></w:r></w:hyperlink></w:p>",
        ];
        assert_eq!(text(&body.concat()), "kept shown 12\ta-bμ\nc link\n");
    }

    #[test]
    fn a_field_that_never_ends_swallows_nothing() {
        let body = "<w:p><w:r><w:fldChar w:fldCharType='begin'/><w:t>code</w:t></w:r></w:p>".to_owned();
        assert_eq!(text(&(body + &paragraph("", "text"))), "text\n");
    }

    #[test]
    fn text_boxes_are_read_once_and_a_fallback_only_where_nothing_else_says_anything() {
        let content = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>";
        let both = format!(
            "<w:p><w:r><w:t>before</w:t><mc:AlternateContent><mc:Choice><w:drawing>{content}</w:drawing></mc:Choice>\
             <mc:Fallback><w:pict>{content}</w:pict></mc:Fallback></mc:AlternateContent><w:t> after</w:t></w:r></w:p>"
        );
        assert_eq!(text(&both), "before after\n\nboxed\n");
        let empty = both.replace(&format!("<w:drawing>{content}</w:drawing>"), "<w:drawing/>");
        assert_eq!(text(&empty), "before after\n\nboxed\n");
    }

    #[test]
    fn tables_keep_their_grid_and_inner_tables_follow() {
        let cell =
            |properties: &str, text: &str| format!("<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>", paragraph("", text));
        let row = |cells: &[String]| format!("<w:tr>{}</w:tr>", cells.concat());
        let inner = format!("<w:tbl>{0}{0}</w:tbl>", row(&[cell("", "in"), cell("", "ner")]));
        let body = format!(
            "<w:tbl>{}{}{}<w:tr><w:trPr><w:del/></w:trPr>{}</w:tr></w:tbl>",
            row(&[cell("<w:gridSpan w:val='2'/>", "wide"), cell("", "c")]),
            row(&[cell("<w:vMerge w:val='restart'/>", "tall"), cell("", "b"), cell("", "line | bar")]),
            row(&[cell("<w:vMerge/>", "covered"), format!("<w:tc>{inner}</w:tc>"), cell("", "c")]),
            cell("", "deleted"),
        );
        insta::assert_snapshot!(text(&body), @r"
        | wide |  | c |
        | --- | --- | --- |
        | tall | b | line \| bar |
        |  |  | c |

        | in | ner |
        | --- | --- |
        | in | ner |
        ");
        let frame = format!("<w:tbl><w:tr><w:tc>{}{}</w:tc></w:tr></w:tbl>", item(1, 0, "a"), item(1, 0, "b"));
        assert_eq!(text(&frame), "1. a\n2. b\n");
    }

    #[test]
    fn notes_follow_what_refers_to_them() {
        let reference = "<w:r><w:footnoteReference w:id='5'/></w:r>";
        let body = [
            item(1, 0, "one").replace("</w:p>", &format!("{reference}</w:p>")),
            item(1, 0, "two"),
            paragraph("", "again").replace("</w:p>", &format!("{reference}</w:p>")),
        ];
        let notes = "<w:footnote w:id='0' w:type='separator'><w:p><w:r><w:t>line</w:t></w:r></w:p></w:footnote>\
                     <w:footnote w:id='5'><w:p><w:r><w:t>note</w:t></w:r></w:p><w:p><w:r><w:t>more</w:t></w:r></w:p></w:footnote>";
        let extracted = extract(&docx(&body.concat(), notes)).unwrap();
        assert_eq!(extracted.text, "1. one[^1]\n\n   [^1] note\n   more\n2. two\n\nagain\n");
    }

    #[test]
    fn a_large_first_letter_belongs_to_its_word() {
        let body = paragraph("<w:framePr w:dropCap='drop'/>", "O") + &paragraph("", "nce upon a time");
        assert_eq!(text(&body), "Once upon a time\n");
    }

    #[test]
    fn a_document_without_a_main_part_is_broken() {
        assert_eq!(extract(&zipped(&[("a.xml", b"<a/>")])).unwrap_err().code, super::super::ExtractCode::Broken);
    }
}
