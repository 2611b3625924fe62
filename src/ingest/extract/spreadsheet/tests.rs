use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

const SHEETS: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";

fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A workbook of one sheet.
fn xlsx(sheet: &str, shared_strings: &str) -> Vec<u8> {
    let relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    archive(&[
        (
            "_rels/.rels",
            &format!(
                "<Relationships xmlns='{package}'><Relationship Id='a' Type='{relations}/officeDocument' Target='xl/workbook.xml'/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            &format!(
                "<workbook xmlns='{SHEETS}' xmlns:r='{relations}'><sheets><sheet name='S' sheetId='1' r:id='b'/></sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            &format!(
                "<Relationships xmlns='{package}'><Relationship Id='b' Type='{relations}/worksheet' Target='worksheets/sheet1.xml'/></Relationships>"
            ),
        ),
        ("xl/sharedStrings.xml", shared_strings),
        (
            "xl/worksheets/sheet1.xml",
            &format!("<worksheet xmlns='{SHEETS}'><sheetData>{sheet}</sheetData></worksheet>"),
        ),
    ])
}

fn ods(rows: &str, manifest: &str) -> Vec<u8> {
    let content = format!(
        "<o:document-content xmlns:o='o' xmlns:table='t' xmlns:text='x'><o:body><o:spreadsheet><table:table table:name='S'>\
         {rows}</table:table></o:spreadsheet></o:body></o:document-content>"
    );
    archive(&[("content.xml", &content), ("META-INF/manifest.xml", manifest)])
}

fn code(bytes: &[u8], content_type: ContentType) -> ExtractCode {
    extract(bytes, content_type).unwrap_err().code
}

#[test]
fn an_excel_workbook_keeps_captions_values_dates_and_hidden_sheets() {
    let workbook = include_bytes!("../../../../fixtures/documents-office/prices.xlsx");
    let extracted = extract(workbook, ContentType::Xlsx).unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Price list of the web shop"));
    let starts: Vec<&str> = extracted.pages.iter().map(|page| &extracted.text[page.start..page.start + 8]).collect();
    assert_eq!((starts, extracted.pages[1].number), (vec!["## Price", "## Withd"], 3));
    insta::assert_snapshot!(extracted.text, @r"
    ## Prices 2026

    Price list 2026

    All prices in euros without VAT

    | Number | Name | Price | With VAT | Since | In stock |
    | --- | --- | --- | --- | --- | --- |
    | OV-1000 | Skylark Home Station | 249 | 296.31 | 2019-03-01 | TRUE |
    | OV-1100 | Skylark School Station | 389 | 462.91 | 2020-08-15 | FALSE |
    | OV-2000 | Petrel Farm Station | 890 | 1059.1 | 2018-02-01 | TRUE |
    | OV-2100 | Petrel Orchard Station | 1140 | 1356.6 | 2021-04-12 | FALSE |
    | OV-3000 | Gannet Marine Station | 2450 | 2915.5 | 2017-05-20 | TRUE |
    | OV-3100 | Gannet Offshore Station | 4980 | 5926.2 | 2022-09-01 | FALSE |
    | OV-4000 | Ptarmigan Alpine Station | 3650 | 4343.5 | 2020-10-05 | TRUE |
    | WS-10 | Cup Anemometer | 129 | 153.51 | 2015-01-15 | FALSE |
    | SUM\|ALL |  | 13877 | #DIV/0! | 2026-01-31 14:30:00 | ab |

    ## Withdrawn

    | Number | Old price |
    | --- | --- |
    | WS-15 | 0.3 |
    ");
}

#[test]
fn a_binary_workbook_is_read_cell_by_cell() {
    let workbook = include_bytes!("../../../../fixtures/documents-office/parts.xlsb");
    insta::assert_snapshot!(extract(workbook, ContentType::Xlsb).unwrap().text, @"
    ## Spare parts

    | Part | Left | Fits |
    | --- | --- | --- |
    | Bearing set | 41 | TRUE |
    | Bird spikes | 7.5 | FALSE |
    ");
}

#[test]
fn an_old_workbook_has_its_sheets() {
    let workbook = include_bytes!("../../../../fixtures/documents-office/stock.xls");
    insta::assert_snapshot!(extract(workbook, ContentType::Xls).unwrap().text, @"
    ## Höhenweg

    | Number | Left | Price | Checked | Sealed |
    | --- | --- | --- | --- | --- |
    | WS-10 | 12 | 129.5 | 2026-06-30 | TRUE |
    | RG-10 | 0 | 165 | 2026-07-01 | FALSE |

    ## Far apart

    | first |  |
    | --- | --- |
    |  | last: größer als null |
    ");
}

#[test]
fn an_opendocument_spreadsheet_repeats_what_has_text_and_shows_shares_and_amounts() {
    let workbook = include_bytes!("../../../../fixtures/documents-office/inventory.ods");
    let extracted = extract(workbook, ContentType::Ods).unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Inventory of June 2026"));
    insta::assert_snapshot!(extracted.text, @"
    ## Shelves

    | Shelf | Item | Count | Counted | Damaged | Worth |
    | --- | --- | --- | --- | --- | --- |
    | A1 | Wind Vane | 42 | 2026-06-30 | 5% | 4.830,00 € |
    | A1 | Cup Anemometer | 17 | 2026-06-30 | 0% | 2.193,00 € |
    | B2 | Pole clamp | 3 |  |  |  |
    | B2 | Pole clamp | 3 |  |  |  |

    ## Depots

    | Depot | Open | Open |
    | --- | --- | --- |
    | Bergen | TRUE | 08:30 |
    ");
}

#[test]
fn cells_in_the_corners_of_a_sheet_are_two_cells() {
    let sheet = "<row r='1'><c r='A1'><v>1</v></c></row><row r='1048576'><c r='XFD1048576'><v>2</v></c></row>";
    let started = Instant::now();
    let extracted = extract(&xlsx(sheet, "<sst/>"), ContentType::Xlsx).unwrap();
    assert_eq!(extracted.text, "## S\n\n| 1 |  |\n| --- | --- |\n|  | 2 |\n");
    assert!(started.elapsed() < Duration::from_secs(1));
    let outside = "<row r='1'><c r='XFE1'><v>1</v></c></row>";
    assert!(matches!(code(&xlsx(outside, "<sst/>"), ContentType::Xlsx), ExtractCode::TooLarge | ExtractCode::Broken));
}

#[test]
fn a_diagonal_of_cells_does_not_become_its_square() {
    let sheet: String = (1..=6000)
        .map(|number| {
            let (a, b, c) = (number / 676 % 26, number / 26 % 26, number % 26);
            let column: String =
                [a, b, c].map(|letter| char::from(b'A' + u8::try_from(letter).unwrap())).iter().collect();
            format!("<row r='{number}'><c r='{column}{number}'><v>1</v></c></row>")
        })
        .collect();
    assert_eq!(code(&xlsx(&sheet, "<sst/>"), ContentType::Xlsx), ExtractCode::TooLarge);
}

#[test]
fn one_long_text_in_many_cells_is_too_large() {
    let strings = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(32_000));
    let sheet = format!("<row>{}</row>", "<c t='s'><v>0</v></c>".repeat(1100));
    assert_eq!(code(&xlsx(&sheet, &strings), ContentType::Xlsx), ExtractCode::TooLarge);
}

#[test]
fn claims_of_a_workbook_cost_nothing() {
    let claim = "<sst count='9999999999' uniqueCount='9999999999'><si><t>a</t></si></sst>";
    assert_eq!(code(&xlsx("<row><c t='s'><v>0</v></c></row>", claim), ContentType::Xlsx), ExtractCode::Broken);
    let dimension = "<row><c r='A1'><v>1</v></c></row></sheetData><dimension ref='A1:XFD1048576'/><sheetData>";
    assert!(extract(&xlsx(dimension, "<sst/>"), ContentType::Xlsx).is_ok());
}

#[test]
fn a_sheet_that_inflates_without_end_is_too_large() {
    let mut writer = ZipWriter::new_append(Cursor::new(xlsx("", "<sst/>"))).unwrap();
    writer.start_file("xl/worksheets/sheet2.xml", SimpleFileOptions::default().compression_level(Some(1))).unwrap();
    let blanks = vec![b' '; 1 << 20];
    (0..256).for_each(|_| writer.write_all(&blanks).unwrap());
    assert_eq!(code(&writer.finish().unwrap().into_inner(), ContentType::Xlsx), ExtractCode::TooLarge);
}

#[test]
fn repeated_cells_are_counted_before_they_are_kept() {
    let cell = "<table:table-cell table:number-columns-repeated='16384'><text:p>x</text:p></table:table-cell>";
    let rows = format!("<table:table-row table:number-rows-repeated='1048576'>{cell}</table:table-row>");
    let started = Instant::now();
    assert_eq!(code(&ods(&rows, ""), ContentType::Ods), ExtractCode::TooLarge);
    assert!(started.elapsed() < Duration::from_secs(5));
    let far = "<table:table-row table:number-rows-repeated='4294967295'/><table:table-row><table:table-cell><text:p>x</text:p>\
               </table:table-cell></table:table-row>";
    assert_eq!(code(&ods(far, ""), ContentType::Ods), ExtractCode::TooLarge);
}

#[test]
fn encrypted_and_damaged_workbooks_are_typed_failures() {
    let manifest = "<m:manifest xmlns:m='m'><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>";
    assert_eq!(code(&ods("", manifest), ContentType::Ods), ExtractCode::Encrypted);
    let whole = xlsx("<row><c r='A1'><v>1</v></c></row>", "<sst/>");
    assert_eq!(code(&whole[..whole.len() / 2], ContentType::Xlsx), ExtractCode::Broken);
    for content_type in [ContentType::Xlsx, ContentType::Xlsb, ContentType::Xls, ContentType::Ods] {
        assert_eq!(code(b"no workbook at all", content_type), ExtractCode::Broken);
    }
    assert_eq!(code(&xlsx("<row><c r='A1'><v>1</v>", "<sst/>"), ContentType::Xlsx), ExtractCode::Broken);
}
