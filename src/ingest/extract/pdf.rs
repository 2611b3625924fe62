//! PDF files: the text of each page, its number, and the title the file gives itself.
//!
//! Which library reads the file is a setting ([`PdfEngine`]); each stands behind one function here, so that another can
//! take its place. Pages are joined by a blank line. Pictures of text are not read here: a file of nothing else is
//! `needs_ocr`, and among other pages they are a [`Warning`]; [`super::ocr`] may read them.

mod annotations;
mod appearance;
mod fonts;
mod layout;
mod pages;

use std::collections::HashSet;

use pdfboss_core::{Dict, Document, Error, ObjRef, Object, Page};

use super::canonical::canonical;
use super::{ExtractCode, ExtractFailure, ExtractOptions, Extracted, PageStart, Password, PdfEngine, Warning};

/// What an empty page's content takes when it is compressed.
const EMPTY_STREAM_BYTES: usize = 16;

/// How deep drawings inside of drawings are searched for pictures.
const MAX_FORM_DEPTH: usize = 4;

/// The pages of the file as text.
pub fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ExtractFailure> {
    let document = open(bytes, options.password.as_ref())?;
    let engine = if document.is_encrypted() { PdfEngine::Pdfboss } else { options.pdf_engine };
    let (mut pages, shown) = match engine {
        PdfEngine::Pdfboss => with_pdfboss(&document),
        PdfEngine::PdfExtract => (with_pdf_extract(bytes)?, HashSet::new()),
    };
    let damaged = damaged(&document, &pages);
    let unread = take_unread(&document, &mut pages);
    for (page, lines) in pages.iter_mut().zip(annotations::lines(&document, &shown)) {
        for line in lines {
            page.push_str("\n\n");
            page.push_str(&line);
        }
    }
    if pages.iter().all(|page| page.trim().is_empty()) {
        return Err(without_text(&document, &unread, &damaged));
    }
    let (text, pages) = join(&pages);
    let mut warnings = vec![Warning::UnreadPages { pages: unread }, Warning::DamagedPages { pages: damaged }];
    warnings.retain(|warning| !warning.is_about_nothing());
    Ok(Extracted { title: title(&document), text, markdown: engine == PdfEngine::Pdfboss, pages, warnings })
}

/// The pages without text whose content cannot be had: damaged, too large, or of an unknown filter.
fn damaged(document: &Document, pages: &[String]) -> Vec<u32> {
    let blank = (1..).zip(0..).zip(pages).filter(|(_, text)| text.trim().is_empty()).map(|(place, _)| place);
    let is_damaged = |index| document.page(index).map_or(true, |page| has_lost_content(document, &page));
    blank.filter(|(_, index)| is_damaged(*index)).map(|(number, _)| number).collect()
}

fn has_lost_content(document: &Document, page: &Page) -> bool {
    let Some(named) = page.dict().get("Contents") else { return false };
    let stored = match document.resolve(named) {
        Ok(Object::Null) | Err(_) => return true,
        Ok(object) => object.as_stream().map_or(0, |stream| stream.data.len()),
    };
    let is_blank = |content: Vec<u8>| content.trim_ascii().is_empty();
    stored > EMPTY_STREAM_BYTES && page.content(document).map_or(true, is_blank)
}

/// Empties the pages whose letters are unknown, and names them with those that show pictures and no text. Of the others,
/// takes out what is unknown.
fn take_unread(document: &Document, pages: &mut [String]) -> Vec<u32> {
    let mut unread = Vec::new();
    for ((number, index), page) in (1..).zip(0..).zip(pages) {
        let shows_picture = || document.page(index).is_ok_and(|page| has_picture(document, &page));
        if is_unreadable(page) {
            page.clear();
            unread.push(number);
        } else if page.trim().is_empty() && shows_picture() {
            unread.push(number);
        }
        page.retain(|char| char != '\u{fffd}');
    }
    unread
}

/// Opens also what is encrypted under the empty password, which every viewer opens without asking. Else the password may
/// be the user's or the owner's.
fn open(bytes: &[u8], password: Option<&Password>) -> Result<Document, ExtractFailure> {
    let document = match (Document::load(bytes.to_vec()), password) {
        (Err(Error::Encrypted), Some(password)) => Document::load_with_password(bytes.to_vec(), password.expose()),
        (opened, _) => opened,
    };
    match document {
        Ok(document) if !document.is_locked() => Ok(document),
        Ok(_) | Err(Error::Encrypted) => Err(ExtractFailure::encrypted("The PDF", password)),
        Err(error) => Err(broken(&error.to_string())),
    }
}

/// The pages, and the annotations whose text is in them.
fn with_pdfboss(document: &Document) -> (Vec<String>, HashSet<ObjRef>) {
    let read = pages::read(document);
    (read.layouts.iter().map(layout::markdown).collect(), read.shown)
}

fn with_pdf_extract(bytes: &[u8]) -> Result<Vec<String>, ExtractFailure> {
    pdf_extract::extract_text_from_mem_by_pages(bytes).map_err(|error| broken(&error.to_string()))
}

fn broken(reason: &str) -> ExtractFailure {
    ExtractFailure::broken("The PDF", reason)
}

fn without_text(document: &Document, unread: &[u32], damaged: &[u32]) -> ExtractFailure {
    match unread {
        [] if !damaged.is_empty() => broken("the content of its pages is damaged or too large"),
        [] if document.flattened_page_count() == 0 => broken("it has no pages"),
        [] => ExtractFailure::of_file(ExtractCode::Empty, "There is no text in the PDF."),
        _ => ExtractFailure::of_file(
            ExtractCode::NeedsOcr,
            "The pages hold no readable text, only pictures or letters that are not named. Run text recognition (OCR) on \
             the PDF and upload the result.",
        ),
    }
}

/// Whether most characters are unknown: a font may name its shapes by numbers of its own.
fn is_unreadable(page: &str) -> bool {
    let characters = || page.chars().filter(|char| char.is_alphanumeric() || *char == '\u{fffd}');
    characters().filter(|char| *char == '\u{fffd}').count() * 2 > characters().count()
}

fn has_picture(document: &Document, page: &Page) -> bool {
    // Inline images: `BI … ID … EI` (ISO 32000-1, 8.9.7).
    let begins_data = |window: &[u8]| matches!(window, [b' ' | b'\r' | b'\n', b'I', b'D', b' ' | b'\r' | b'\n']);
    let inline = page.content(document).is_ok_and(|content| content.windows(4).any(begins_data));
    inline || draws_picture(document, &page.resources, MAX_FORM_DEPTH)
}

fn draws_picture(document: &Document, resources: &Dict, depth: usize) -> bool {
    let Some(objects) = resources.get("XObject").and_then(|objects| document.resolve(objects).ok()) else {
        return false;
    };
    let Some(objects) = objects.as_dict() else { return false };
    let mut drawn = objects.iter().filter_map(|(_, object)| document.resolve(object).ok());
    drawn.any(|object| is_picture(document, &object, depth))
}

fn is_picture(document: &Document, object: &Object, depth: usize) -> bool {
    let Some(stream) = object.as_stream() else { return false };
    match stream.dict.get_name("Subtype").map(|name| name.0.as_str()) {
        Some("Image") => true,
        Some("Form") if depth > 0 => {
            let resources = stream.dict.get("Resources").and_then(|resources| document.resolve(resources).ok());
            resources.as_ref().and_then(Object::as_dict).is_some_and(|inner| draws_picture(document, inner, depth - 1))
        }
        _ => false,
    }
}

/// The canonical pages as one text, and where each starts. An empty page starts where the next one does.
pub fn join(pages: &[String]) -> (String, Vec<PageStart>) {
    let mut text = String::new();
    let mut starts = Vec::with_capacity(pages.len());
    for (number, page) in (1..).zip(pages) {
        let page = canonical(page);
        let page = page.trim_end().trim_start_matches('\n');
        if !text.is_empty() && !page.is_empty() {
            text.push_str("\n\n");
        }
        starts.push(PageStart { number, start: text.len() });
        text.push_str(page);
    }
    (text, starts)
}

/// The title of the file, unless it is one that a program left there.
fn title(document: &Document) -> Option<String> {
    let title = canonical(&document.metadata().title?).split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = title.to_lowercase();
    let left_by_program = lower.starts_with("microsoft ") || lower.starts_with("untitled") || is_file_name(&lower);
    (!title.is_empty() && !left_by_program).then_some(title)
}

fn is_file_name(title: &str) -> bool {
    let endings = [".doc", ".docx", ".pdf", ".dvi", ".tex", ".ps", ".indd", ".qxd", ".ppt", ".pptx", ".xls", ".odt"];
    endings.iter().any(|ending| title.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_pages_start_where_the_next_one_does() {
        let pages = ["first\r\npage \n", "", "\n  third", ""].map(str::to_owned);
        let (text, starts) = join(&pages);
        assert_eq!(text, "first\npage\n\n  third");
        let starts: Vec<(u32, usize)> = starts.iter().map(|page| (page.number, page.start)).collect();
        assert_eq!(starts, [(1, 0), (2, 10), (3, 12), (4, 19)]);
    }

    /// A file of these objects, numbered from 1; the first is the catalog. Its page draws `content` with the fonts `F` (6).
    fn file(content: &str, further: &[&str]) -> Vec<u8> {
        let stream = format!("<</Length {}>>stream\n{content}\nendstream", content.len());
        let page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 400]/Contents 4 0 R/Annots 5 0 R/Resources<</Font<</F 6 0 R>>>>>>";
        let first =
            ["<</Type/Catalog/Pages 2 0 R/AcroForm 5 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", page, &stream];
        let objects = first.into_iter().chain(further.iter().copied());
        let objects = (1..).zip(objects).map(|(number, object)| format!("{number} 0 obj\n{object}\nendobj\n"));
        format!("%PDF-1.7\n{}trailer<</Root 1 0 R>>", objects.collect::<String>()).into_bytes()
    }

    fn text_of(file: &[u8]) -> String {
        extract(file, &ExtractOptions::default()).unwrap().text
    }

    #[test]
    fn what_annotations_show_stands_where_they_lie() {
        let content = "BT /F 12 Tf 20 300 Td (Order:) Tj ET BT /F 12 Tf 20 200 Td (Last line) Tj ET";
        let shown =
            "<</Type/XObject/Subtype/Form/BBox[0 0 200 20]/Length 29>>stream\nBT /F 12 Tf (No. 4471) Tj ET \nendstream";
        let stamp = "<</Type/Annot/Subtype/Stamp/Rect[70 300 270 320]/AP<</N 7 0 R>>>>";
        let hidden = "<</Type/Annot/Subtype/Stamp/F 2/Rect[70 200 270 220]/AP<</N 7 0 R>>>>";
        let font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>";
        let file = file(content, &[&format!("[{stamp}{hidden}]"), font, shown]);
        assert_eq!(text_of(&file), "Order: No. 4471\nLast line");
    }

    #[test]
    fn letters_are_known_without_a_map_where_the_font_tells_them() {
        let composite = |encoding: &str, ordering: &str, more: &str| {
            let info = format!("/CIDSystemInfo<</Registry(Adobe)/Ordering({ordering})/Supplement 0>>");
            let inner = format!("<</Type/Font/Subtype/CIDFontType2/BaseFont/Arial{info}{more}>>");
            format!("<</Type/Font/Subtype/Type0/BaseFont/Arial/Encoding/{encoding}/DescendantFonts[{inner}]")
        };
        let table = "<</Length 2>>stream\n\0\0\nendstream";
        let japanese = composite("90ms-RKSJ-H", "Japan1", "") + ">>";
        let identity = composite("Identity-H", "Identity", "/CIDToGIDMap 7 0 R") + "/ToUnicode/Identity-H>>";
        let unembedded = composite("Identity-H", "Identity", "") + ">>";
        let numbered = "<</Type/Font/Subtype/Type1/BaseFont/Own/Encoding<</Differences[72/a72 105/a105]>>>>".to_owned();
        for (font, codes, text) in [
            (japanese, "93fa967b", "日本"),
            (identity, "00480069", "Hi"),
            (unembedded, "002b004c", "Hi"),
            (numbered, "4869", "Hi"),
        ] {
            let file = file(&format!("BT /F 12 Tf 20 300 Td <{codes}> Tj ET"), &["[]", &font, table]);
            assert_eq!(text_of(&file), text, "{font}");
        }
    }

    #[test]
    fn text_of_unknown_letters_is_no_text() {
        assert!(is_unreadable("\u{fffd}\u{fffd} \u{fffd}a"));
        assert!(!is_unreadable("x \u{fffd} y, for all of them") && !is_unreadable(""));
    }

    #[test]
    fn titles_that_programs_leave_are_no_titles() {
        assert!(is_file_name("report final.docx") && !is_file_name("annual report 2025"));
    }
}
