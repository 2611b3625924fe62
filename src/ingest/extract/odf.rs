//! OpenDocument texts and presentations (OASIS OpenDocument 1.3).
//!
//! Kept: headings by their outline level, lists with their numbers, tables, quotations and code by style, text boxes,
//! formulas, descriptions of pictures; of presentations each page with its notes. Footnotes and endnotes follow the
//! paragraph that refers to them, as `[^1]`. Left out: headers and footers, comments, deleted and hidden text, charts.

mod body;
mod inline;
mod page;
mod styles;

use super::archive::Archive;
use super::blocks;
use super::canonical::canonical;
use super::xml::{self, Xml};
use super::{ExtractFailure, Extracted};

/// As failures name it.
const WHAT: &str = "The OpenDocument file";

/// The document as Markdown.
pub fn extract(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    refuse_encrypted(&mut archive)?;
    let Some(content) = xml::part(&mut archive, "content.xml")? else {
        return Err(ExtractFailure::broken(WHAT, "it has no content"));
    };
    let mut styles = styles::Styles::default();
    if let Some(common) = xml::part(&mut archive, "styles.xml")? {
        styles.read(&common)?;
    }
    styles.read(&content)?;
    let stated = title(&mut archive)?;
    let contents = body::Reader::new(&mut archive, &styles).document(&content)?;
    let title = match &contents.pages {
        Some(pages) => blocks::presentation_title(stated, pages),
        None => stated.or(contents.title),
    };
    let title = title.map(|title| canonical(&title));
    let (text, pages) = match contents.pages {
        Some(pages) => blocks::paged(pages),
        None => (canonical(&blocks::markdown(&contents.blocks)), Vec::new()),
    };
    Ok(Extracted { title, text, markdown: true, pages, ..Extracted::default() })
}

/// Encrypted parts have a say in the manifest (OpenDocument 1.3 part 2, 3.4).
fn refuse_encrypted(archive: &mut Archive) -> Result<(), ExtractFailure> {
    let Some(manifest) = xml::part(archive, "META-INF/manifest.xml")? else { return Ok(()) };
    match named(&mut Xml::new(&manifest, WHAT), "encryption-data")? {
        Some(_) => Err(ExtractFailure::locked(WHAT)),
        None => Ok(()),
    }
}

fn title(archive: &mut Archive) -> Result<Option<String>, ExtractFailure> {
    let Some(meta) = xml::part(archive, "meta.xml")? else { return Ok(None) };
    let title = named(&mut Xml::new(&meta, WHAT), "title")?.unwrap_or_default();
    Ok(Some(title.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|title| !title.is_empty()))
}

/// The text of the last element that is called `name`.
fn named(xml: &mut Xml, name: &str) -> Result<Option<String>, ExtractFailure> {
    let mut found = None;
    xml.each(|xml, tag| {
        let inside = if tag.name() == name { Some(xml.text()?) } else { named(xml, name)? };
        found = inside.or(found.take());
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::ExtractCode;
    use super::super::archive::zipped;
    use super::*;

    fn odt(styles: &str, body: &str) -> Vec<u8> {
        let content = format!(
            "<office:document-content><office:automatic-styles>{styles}</office:automatic-styles>\
             <office:body><office:text>{body}</office:text></office:body></office:document-content>"
        );
        zipped(&[("content.xml", content.as_bytes())])
    }

    fn text(styles: &str, body: &str) -> String {
        extract(&odt(styles, body)).unwrap().text
    }

    #[test]
    fn the_text_fixture_is_read_with_its_structure() {
        let extracted = extract(include_bytes!("../../../fixtures/documents-office/depot-checklist.odt")).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("Depot opening checklist"));
        insta::assert_snapshot!(extracted.text, @r"
        # Depot opening checklist

        # Before the season

        Every depot is opened by two people[^1].
        Bring   the keys	and the logbook.

        [^1] One of them knows the alarm; see the runbook of the Fjällnäs depot.

        1. Air the rooms for an hour.

           Not in the rain.
           - windows
           - hatches
        2. Read the meters.

        ## Meters

        3. Write the readings down.

        | Meter | Unit | Autumn |
        | --- | --- | --- |
        | Water | m³ | 412 |
        | Heating oil | l | 1,930 |

        > A wet meter lies.

        ```
        depot open
          --name Fjällnäs
        ```

        1\. is no list here.

        Emergency number: on the door.
        ");
    }

    #[test]
    fn the_presentation_fixture_is_read_page_by_page() {
        let extracted = extract(include_bytes!("../../../fixtures/documents-office/training-course.odp")).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("Installing a mast"));
        let starts: Vec<_> =
            extracted.pages.iter().map(|page| (page.number, &extracted.text[page.start..][..7])).collect();
        assert_eq!(starts, [(1, "# Insta"), (2, "# Tools")]);
        insta::assert_snapshot!(extracted.text, @"
        # Installing a mast

        Course for technicians, Sørvik depot

        Notes: Show the film first.
        Then the harness.

        # Tools

        1. Harness
           - checked this year
        2. Spirit level

        | Bolt | Torque |
        | --- | --- |
        | M8 | 24 Nm |
        | M10 | 48 Nm |

        Two people above 2 m
        ");
    }

    #[test]
    fn white_space_collapses_and_elements_stand_for_what_shall_not() {
        let body = "<text:p>\n  one\n  <text:span> two</text:span><text:s text:c='3'/>x<text:tab/>y<text:line-break/>z\
                    <text:s text:c='1000000000'/>&amp;</text:p>";
        let text = text("", body);
        assert!(text.starts_with("one two   x\ty\nz  "), "{text}");
        assert!(text.len() < 300);
    }

    #[test]
    fn lists_go_on_with_other_lists() {
        let styles = "<text:list-style style:name='L'>\
            <text:list-level-style-number text:level='1' style:num-format='1' text:start-value='4'/>\
            <text:list-level-style-bullet text:level='2'/></text:list-style>";
        let item = |inside: &str| format!("<text:list-item>{inside}</text:list-item>");
        let p = |text: &str| format!("<text:p>{text}</text:p>");
        let inner = format!("<text:list>{}</text:list>", item(&p("inside")));
        let body = [
            format!(
                "<text:list text:style-name='L' xml:id='a'>{}</text:list>",
                item(&(p("four") + &inner + &p("more")))
            ),
            p("between"),
            format!("<text:list text:style-name='L' text:continue-numbering='true'>{}</text:list>", item(&p("five"))),
            p("between"),
            format!("<text:list text:style-name='L' text:continue-list='a'>{}</text:list>", item(&p("five, too"))),
            p("between"),
            format!("<text:list text:style-name='L'>{}</text:list>", item(&p("four again"))),
        ];
        insta::assert_snapshot!(text(styles, &body.concat()), @"
        4. four
           - inside

           more

        between

        5. five

        between

        5. five, too

        between

        4. four again
        ");
    }

    #[test]
    fn code_keeps_its_indents() {
        let styles = "<style:style style:name='Preformatted_20_Text' style:family='paragraph'/>";
        let body =
            "<text:p text:style-name='Preformatted_20_Text'>if x:<text:line-break/> <text:s text:c='3'/>y</text:p>";
        assert_eq!(text(styles, body), "```\nif x:\n    y\n```\n");
    }

    #[test]
    fn words_styles_for_lists_say_how_deep_they_are() {
        let styles = "<style:style style:name='P1' style:family='paragraph' style:parent-style-name='List_20_Bullet_20_2'/>\
            <style:style style:name='List_20_Bullet_20_2' style:family='paragraph'/>";
        let list = |style: &str, text: &str| {
            format!(
                "<text:list><text:list-item><text:p text:style-name='{style}'>{text}</text:p></text:list-item></text:list>"
            )
        };
        assert_eq!(
            text(styles, &(list("", "one") + &list("P1", "two") + &list("", "three"))),
            "- one\n  - two\n- three\n"
        );
    }

    #[test]
    fn hidden_text_is_left_out() {
        let styles = "<style:style style:name='T1' style:family='text'><style:text-properties text:display='none'/></style:style>\
            <style:style style:name='P1' style:family='paragraph'><style:text-properties text:display='none'/></style:style>\
            <style:style style:name='P2' style:family='paragraph' style:parent-style-name='P1'/>";
        let body = "<text:p>seen<text:span text:style-name='T1'> not</text:span><text:hidden-text>nor</text:hidden-text></text:p>\
            <text:p text:style-name='P2'>nor this</text:p><text:section text:display='none'><text:p>nor</text:p></text:section>";
        assert_eq!(text(styles, body), "seen\n");
    }

    #[test]
    fn repeated_cells_cost_nothing() {
        let row = "<table:table-row table:number-rows-repeated='1048576'>\
            <table:table-cell table:number-columns-repeated='1000000000'><text:p>x</text:p></table:table-cell>\
            <table:covered-table-cell/><table:table-cell><text:p>y</text:p></table:table-cell></table:table-row>";
        let body = format!("<table:table>{row}{row}</table:table>");
        assert_eq!(text("", &body).split_whitespace().filter(|word| *word == "x").count(), 2);
    }

    #[test]
    fn an_encrypted_document_is_encrypted() {
        let manifest = "<manifest:manifest><manifest:file-entry manifest:full-path='content.xml'>\
            <manifest:encryption-data/></manifest:file-entry></manifest:manifest>";
        let bytes = zipped(&[("content.xml", b"\x01\x02".as_slice()), ("META-INF/manifest.xml", manifest.as_bytes())]);
        assert_eq!(extract(&bytes).unwrap_err().code, ExtractCode::Encrypted);
        assert_eq!(extract(&zipped(&[("a", b"")])).unwrap_err().code, ExtractCode::Broken);
    }
}
