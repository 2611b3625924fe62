use super::super::ExtractCode;
use super::*;

fn markdown(body: &str) -> String {
    extract(format!("{{\\rtf1\\ansi {body}}}").as_bytes()).unwrap().text.trim_end().to_owned()
}

#[test]
fn a_letter_keeps_its_headings_lists_tables_and_notes() {
    let rtf = r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}{\f1\fnil\fcharset2 Symbol;}}
{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}{\s2 Heading 2;}{\*\cs3 Footnote;}}
{\info{\title Frost warning}{\author Nobody}}{\header Page \chpgn\par}
\pard\s1 Frost\par\pard\plain The \b warning\b0  is sent{\footnote \chftn  By mail.} at {\v not }two degrees.\par
\pard\s2\outlinelevel1 What to do\par
\pard{\listtext\pard\plain\f1 \'b7\tab}\ls1\ilvl0 Close the valve\par
{\listtext 1.\tab}\ls2\ilvl1 First\par{\listtext 2.\tab}\ls2\ilvl1 Second\line line\par
{\listtext\pard\plain\f1 \'b7\tab}\ls1\ilvl0 Wait\par
\pard # not a heading\par
\trowd\cellx1\cellx2\pard\intbl Item\cell Price\cell\row
\trowd\cellx1\cellx2\pard\intbl Vane {\field{\*\fldinst HYPERLINK x}{\fldrslt shop}}\cell 12\par|13\cell\row
\pard\par After.\par{\object{\*\objdata 00ff}{\result Shown.}}{\pict\pngblip 89504e47}}";
    let extracted = extract(rtf.as_bytes()).unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Frost warning"));
    assert!(extracted.markdown);
    insta::assert_snapshot!(extracted.text, @r"
    # Frost

    The warning is sent[^1] at two degrees.

    [^1] By mail.

    ## What to do

    - Close the valve
      1. First
      2. Second
         line
    - Wait

    \# not a heading

    | Item | Price |
    | --- | --- |
    | Vane shop | 12 \|13 |

    After.

    Shown.
    ");
}

#[test]
fn letters_come_in_many_code_pages() {
    assert_eq!(markdown(r"\ansicpg1251 \'cc\'ee\'f0\'ee\'e7"), "Мороз");
    assert_eq!(
        markdown(r"{\fonttbl{\f0\fcharset0 A;}{\f7\fcharset128 B;}}caf\'e9 \f7\'93\'fa\'96\{{\f0  \'fc}"),
        "café 日本 ü"
    );
    assert_eq!(markdown(r"\pc Gr\'81\'e1e"), "Grüße");
    assert_eq!(markdown("caf\\'e9 na\u{ef}ve".replace('\u{ef}', "\\'ef").as_str()), "café naïve");
}

#[test]
fn unicode_replaces_what_stands_for_it() {
    assert_eq!(
        markdown(r"\uc1 Here\u8217's \u-3913 ?x \u55357?\u56832? {\uc2 \u8364 EUR} \uc0\u8364 5"),
        "Here’s ·x 😀 €R €5"
    );
    assert_eq!(markdown(r"\u8220\'93quoted\u8221\'94 \ldblquote and\rdblquote"), "“quoted” “and”");
}

#[test]
fn numbers_letters_and_levels_of_lists_survive() {
    let list = r"{\pntext a.\tab}One\par{\pntext b.\tab}Two\par{\listtext i)\tab}\ls3\ilvl5 Deep\par\pard Out\par";
    assert_eq!(markdown(list), "1. One\n2. Two\n   1. Deep\n\nOut");
    assert_eq!(markdown(r"\ls1 No marker\par{\listtext o\tab}\ls1 Letter\par"), "- No marker\n- Letter");
}

#[test]
fn tables_without_ends_and_within_tables_lose_no_words() {
    assert_eq!(markdown(r"\trowd\intbl a\cell b"), "| a | b |\n| --- | --- |");
    let nested =
        r"\intbl\itap2 in\nestcell out\nestcell{\*\nesttableprops\nestrow}{\nonesttables\par}\itap1 x\cell y\cell\row";
    assert_eq!(markdown(nested), "| in out x | y |\n| --- | --- |");
}

#[test]
fn wide_cells_keep_the_others_in_their_columns() {
    let body = r"\trowd\cellx100\cellx200\cellx300\intbl a\cell b\cell c\cell\row
        \trowd\cellx210\cellx300\intbl wide\cell d\cell\row\trowd\cellx100\cellx300\intbl e{\listtext\u8226 ?\tab}\cell f\cell\row";
    assert_eq!(markdown(body), "| a | b | c |\n| --- | --- | --- |\n| wide |  | d |\n| - e | f |  |");
    let flood = format!(r"{}\intbl a\cell\row", r"\cellx9".repeat(100_000));
    assert_eq!(markdown(&flood), "| a |\n| --- |");
}

#[test]
fn lists_that_are_typed_as_text_are_lists() {
    let body = r"\pard\li360\fi-360\bullet\tab one\par\pard\li720\fi-360 1.\tab two\par 2.\tab three\par
        \pard\li360\fi-360\bullet\tab four\par\pard 5.\tab no item\par";
    assert_eq!(markdown(body), "- one\n  1. two\n  2. three\n- four\n\n5\\.\tno item");
}

#[test]
fn words_styles_for_lists_say_how_deep_they_are() {
    let body = r"{\stylesheet{\s7 List Bullet;}{\s8 List Bullet 2;}}\pard\s7{\listtext\'b7\tab}\ls1 one\par
        \pard\s8{\listtext\'b7\tab}\ls2 two\par\pard\s7{\listtext\'b7\tab}\ls1 three\par";
    assert_eq!(markdown(body), "- one\n  - two\n- three");
}

#[test]
fn a_text_box_stands_on_lines_of_its_own() {
    let body = r"before{\shp{\*\shpinst{\sp{\sn x}}{\shptxt boxed}}} after\par";
    assert_eq!(markdown(body), "before\nboxed\nafter");
}

#[test]
fn what_is_not_rich_text_is_broken_and_what_is_cut_short_is_read() {
    assert_eq!(extract(b"plain").unwrap_err().code, ExtractCode::Broken);
    assert_eq!(extract(b"\xef\xbb\xbf {\\rtf1 still}").unwrap().text.trim(), "still");
    assert_eq!(extract(b"\n{\\pard a\\par}\n{\\pard b\\par}").unwrap().text.trim(), "a\n\nb");
    assert_eq!(extract(b"{\\rtf1 cut {\\b off").unwrap().text.trim(), "cut off");
    assert_eq!(extract(b"{\\rtf1 done} }} trailing").unwrap().text.trim(), "done");
}

#[test]
fn groups_a_hundred_thousand_deep_are_read() {
    let deep = format!("{{\\rtf1 in {}deep{} out}}", "{\\b ".repeat(100_000), "}".repeat(100_000));
    assert_eq!(extract(deep.as_bytes()).unwrap().text.trim(), "in deep out");
    let never_closed = format!("{{\\rtf1 {}", "{\\footnote ".repeat(100_000));
    assert_eq!(extract(never_closed.as_bytes()).unwrap().text.trim(), "");
}

#[test]
fn a_flood_of_cells_is_too_large() {
    let flood = format!("{{\\rtf1{}}}", "\\cell".repeat(2_000_001));
    assert_eq!(extract(flood.as_bytes()).unwrap_err().code, ExtractCode::TooLarge);
}
