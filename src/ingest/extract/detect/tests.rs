use super::*;

/// Local headers as an archive begins with, with contents; `streamed` as writers that do not know sizes do.
fn zip(parts: &[(&str, &[u8])], streamed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in parts {
        let size = if streamed { 0 } else { u32::try_from(content.len()).unwrap() };
        bytes.extend_from_slice(b"PK\x03\x04\x14\0");
        bytes.extend_from_slice(&[if streamed { 8 } else { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

/// A compound file with a directory of these names in its second sector.
fn ole(names: &[&str]) -> Vec<u8> {
    let mut bytes = containers::OLE.to_vec();
    bytes.resize(1024, 0);
    for name in names {
        let start = bytes.len();
        bytes.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        bytes.resize(start + 64, 0);
        bytes.push(u8::try_from(2 * name.len() + 2).unwrap());
        bytes.resize(start + 128, 0);
    }
    bytes
}

fn of(head: &[u8], name: &str) -> ContentType {
    detect(head, Some(name), None).unwrap()
}

fn refused(head: &[u8], name: &str) -> &'static str {
    detect(head, Some(name), None).unwrap_err().what
}

#[test]
fn bytes_win_over_the_name_and_the_name_over_the_client() {
    assert_eq!(detect(b"%PDF-1.7\n", Some("notes.txt"), Some("text/plain")), Ok(ContentType::Pdf));
    assert_eq!(detect(b"junk first\n%PDF-1.4\n", None, None), Ok(ContentType::Pdf));
    assert_eq!(detect(b"# Notes", Some("Notes.MD"), Some("text/html")), Ok(ContentType::Markdown));
    assert_eq!(detect(b"a;b\n1;2", None, Some("text/csv; charset=utf-8")), Ok(ContentType::Csv));
    assert_eq!(detect(b"<p align=center>", Some("readme.md"), None), Ok(ContentType::Markdown));
    assert_eq!(detect(b"{\\rtf1 hello}", Some("notes.txt"), None), Ok(ContentType::Rtf));
}

#[test]
fn text_without_a_name_is_html_when_it_begins_like_it_and_else_plain() {
    assert_eq!(detect(b"\n <!DOCTYPE HTML><p>hello", None, Some("application/octet-stream")), Ok(ContentType::Html));
    assert_eq!(detect(b"<?xml version='1.0'?>\n<!-- x -->\n<html>", None, None), Ok(ContentType::Html));
    assert_eq!(detect("Grüße".as_bytes(), None, None), Ok(ContentType::Text));
    assert_eq!(detect(b"caf\xe9 in latin-1", None, None), Ok(ContentType::Text));
    assert_eq!(detect(b"\xff\xfeh\0i\0", None, None), Ok(ContentType::Text));
    assert_eq!(detect(b"The NEW WAVE of the eighties", None, None), Ok(ContentType::Text));
    assert_eq!(detect(b"", None, None), Ok(ContentType::Text));
    assert_eq!(of(b"fn main() {}", "main.rs"), ContentType::Text);
    assert_eq!(of(b"[core]\n", ".gitconfig"), ContentType::Text);
}

#[test]
fn what_comes_without_a_name_is_known_by_its_content() {
    let sent = Some("application/octet-stream");
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    assert_eq!(detect(b"<!-- x --><html><p>Hi", None, sent), Ok(ContentType::Html));
    assert_eq!(detect(&utf_16("<!DOCTYPE html><p>\u{4e00}\n"), None, sent), Ok(ContentType::Html));
    assert_eq!(detect(b"Item;Left\nVane;3\nMast;4\nCup;1\n", Some("export"), sent), Ok(ContentType::Csv));
    assert_eq!(detect(b"Item;Left\nVane;3\nMast;4\nCup;1\n", Some("export.txt"), sent), Ok(ContentType::Text));
    let mail = b"From a@b.example Mon Mar  2 09:15:00 2026\nX-Status: 1\nSubject: Frost\nFrom: a@b.example\n\nCold.";
    assert_eq!(detect(mail, None, sent), Ok(ContentType::Email));
    assert_eq!(detect(b"{\"a\": 1}\n{\"a\": 2}\n", Some("lines.jsonl"), sent), Ok(ContentType::Json));
    assert_eq!(of(&zip(&[("word/document.xml", b"")], false), "letter.txt"), ContentType::Docx);
}

#[test]
fn pictures_archives_and_programs_are_refused_by_name() {
    assert_eq!(refused(b"\x89PNG\r\n\x1a\n....", "report.pdf"), "a picture (PNG)");
    assert_eq!(refused(&zip(&[("frost.txt", b"x")], false), "frost.zip"), "a ZIP archive");
    assert_eq!(refused(b"MZ\x90\0\x03", "setup.txt"), "a Windows program");
    assert_eq!(refused(&[1, 0, 7, 0, 0, 0, 2, 200], "data.txt"), "a binary file of unknown kind");
    assert_eq!(refused(&ole(&["Root Entry", "__properties_version1.0"]), "mail.msg"), "an Outlook message (msg)");
    insta::assert_snapshot!(detect(b"GIF89a\0", None, None).unwrap_err(), @"a picture (GIF) cannot be read; send PDF, Word, PowerPoint, Excel, OpenDocument, RTF, EPUB, mail (eml, mht), HTML, Markdown, CSV, JSON or plain text");
}

#[test]
fn a_damaged_file_is_still_what_its_name_says() {
    assert_eq!(of(b"\0\0\0\0", "scan.pdf"), ContentType::Pdf);
    assert_eq!(of(b"\0\x01\0\0", "letter.docx"), ContentType::Docx);
}

#[test]
fn an_archive_is_what_its_parts_are() {
    let parts = |names: &[&str]| zip(&names.iter().map(|name| (*name, b"<x/>".as_slice())).collect::<Vec<_>>(), true);
    for streamed in [false, true] {
        let word = zip(&[("[Content_Types].xml", &[7; 3000]), ("word/document.xml", b"<w/>"), ("end", b"")], streamed);
        assert_eq!(of(&word, "prices.xlsx"), ContentType::Docx);
    }
    assert_eq!(of(&parts(&["docProps/app.xml", "ppt/presentation.xml", "x"]), "a"), ContentType::Pptx);
    assert_eq!(of(&parts(&["xl/sharedStrings.xml", "xl/workbook.xml", "x"]), "a"), ContentType::Xlsx);
    assert_eq!(of(&parts(&["xl/styles.bin", "xl/workbook.bin", "x"]), "a.xlsx"), ContentType::Xlsb);
    for (mime, content_type) in [
        ("application/vnd.oasis.opendocument.text", ContentType::Odt),
        ("application/vnd.oasis.opendocument.spreadsheet-template", ContentType::Ods),
        ("application/vnd.oasis.opendocument.presentation", ContentType::Odp),
        ("application/epub+zip", ContentType::Epub),
    ] {
        assert_eq!(of(&zip(&[("mimetype", mime.as_bytes())], false), "a.zip"), content_type);
    }
}

#[test]
fn an_archive_whose_start_tells_nothing_is_what_it_is_called() {
    let picture = zip(&[("docProps/thumbnail.jpeg", &[9; 2 * HEAD_BYTES]), ("word/document.xml", b"")], false);
    assert_eq!(of(&picture, "letter.docx"), ContentType::Docx);
    assert_eq!(of(&picture, "letter.doc"), ContentType::Docx);
    let mime = "application/vnd.openxmlformats-officedocument.presentationml.slideshow";
    assert_eq!(detect(&picture, Some("letter"), Some(mime)), Ok(ContentType::Pptx));
    assert_eq!(refused(&picture, "letter"), "a ZIP archive");
}

#[test]
fn a_compound_file_is_what_its_streams_are() {
    assert_eq!(of(&ole(&["Root Entry", "1Table", "WordDocument"]), "a.xls"), ContentType::Doc);
    assert_eq!(of(&ole(&["Root Entry", "Workbook"]), "a"), ContentType::Xls);
    assert_eq!(of(&ole(&["Root Entry", "Book"]), "a.doc"), ContentType::Xls);
    assert_eq!(of(&ole(&["Root Entry", "PowerPoint Document"]), "a"), ContentType::Ppt);
    assert_eq!(of(&ole(&["Root Entry", "Workbook", "WordDocument"]), "a.xls"), ContentType::Xls);
    assert_eq!(of(&ole(&["Root Entry", "EncryptedPackage"]), "a.xlsx"), ContentType::Xlsx);
    assert_eq!(of(&ole(&["Root Entry"]), "a.ppt"), ContentType::Ppt);
    assert_eq!(refused(&ole(&["Root Entry"]), "a"), "an Office file of the old kind that is not doc, xls or ppt");
}

#[test]
fn mail_is_known_by_its_header_unless_the_name_says_text() {
    let mail = b"Received: by mx\r\n\tfrom home\r\nFrom: a@b.example\r\nSubject: Frost\r\n\r\nIt is cold.";
    assert_eq!(detect(mail, None, None), Ok(ContentType::Email));
    assert_eq!(of(mail, "frost.txt"), ContentType::Text);
    assert_eq!(of(b"It is cold.", "frost.eml"), ContentType::Email);
    assert_eq!(detect(b"Dear all,\nFrom: here\nTo: there\n\n", None, None), Ok(ContentType::Text));
    assert_eq!(detect(b"Title: Frost\nAuthor: the desk\n\n", None, None), Ok(ContentType::Text));
}

#[test]
fn the_whole_file_mends_what_its_start_or_its_name_got_wrong() {
    let late = zip(&[("docProps/thumbnail.jpeg", &[9; 2 * HEAD_BYTES]), ("xl/workbook.xml", b"")], false);
    assert_eq!(refine(&late, ContentType::Docx), ContentType::Xlsx);
    assert_eq!(refine(b"{\\rtf1 x}", ContentType::Doc), ContentType::Rtf);
    assert_eq!(refine(b"<html><body>x", ContentType::Doc), ContentType::Html);
    assert_eq!(refine(b"<?xml version='1.0'?><Workbook>", ContentType::Xls), ContentType::Html);
    assert_eq!(refine(b"Item\tPrice\nVane\t12\n", ContentType::Xls), ContentType::Csv);
    assert_eq!(refine(b"<html><body>x", ContentType::Markdown), ContentType::Markdown);
    assert_eq!(refine(b"\x89PNG\r\n\x1a\n", ContentType::Docx), ContentType::Docx);
}

#[test]
fn the_mime_type_is_the_same_in_rust_and_json_whatever_its_case() {
    for content_type in ContentType::ALL {
        assert_eq!(serde_json::to_value(content_type).unwrap(), content_type.as_str());
        assert_eq!(by_mime(&content_type.as_str().to_uppercase()), Some(content_type));
    }
    assert_eq!(by_mime("application/vnd.ms-excel.sheet.macroEnabled.12"), Some(ContentType::Xlsx));
    assert_eq!(by_mime("application/vnd.ms-excel.sheet.binary.macroEnabled.12"), Some(ContentType::Xlsb));
    assert_eq!(by_mime("text/rtf"), Some(ContentType::Rtf));
}
