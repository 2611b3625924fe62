//! Files that were cut, changed and patched together: readers answer with text or a typed failure, and do not panic. What
//! libraries do is not ours to promise: their panics are caught here, as the worker catches them, and counted.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Mutex;

use super::*;

/// The files that are damaged.
const FILES: [(ContentType, &[u8]); 11] = [
    (ContentType::Csv, include_bytes!("../../../fixtures/documents-office/contacts.csv")),
    (ContentType::Rtf, include_bytes!("../../../fixtures/documents-office/letter.rtf")),
    (ContentType::Xlsx, include_bytes!("../../../fixtures/documents-office/prices.xlsx")),
    (ContentType::Xlsb, include_bytes!("../../../fixtures/documents-office/parts.xlsb")),
    (ContentType::Xls, include_bytes!("../../../fixtures/documents-office/stock.xls")),
    (ContentType::Ods, include_bytes!("../../../fixtures/documents-office/inventory.ods")),
    (ContentType::Epub, include_bytes!("../../../fixtures/documents-office/manual.epub")),
    (ContentType::Email, include_bytes!("../../../fixtures/documents-office/order-mail.eml")),
    (ContentType::Email, include_bytes!("../../../fixtures/documents-office/frost-page.mht")),
    (ContentType::Doc, include_bytes!("../../../fixtures/documents-office/notice.doc")),
    (ContentType::Ppt, include_bytes!("../../../fixtures/documents-office/season.ppt")),
];

/// Of each file.
const CASES: u64 = 300;

/// A small generator with known numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap()
    }
}

fn mutated(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = file.to_vec();
    match random.below(4) {
        0 => bytes.truncate(random.below(file.len())),
        1 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        2 => {
            let (from, to) = (random.below(file.len()), random.below(file.len()));
            let piece = file[from..file.len().min(from + random.below(64))].to_vec();
            bytes.splice(to..to, piece);
        }
        _ => {
            let other = FILES[random.below(FILES.len())].1;
            bytes.truncate(random.below(file.len()));
            bytes.extend_from_slice(&other[random.below(other.len())..]);
        }
    }
    bytes
}

/// Where code of ours panicked in this thread; libraries lie elsewhere.
static OWN_PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn damaged_files_are_text_or_typed_failures() {
    let (here, before) = (std::thread::current().id(), take_hook());
    set_hook(Box::new(move |info| match info.location().map(|location| location.file()) {
        _ if std::thread::current().id() != here => before(info),
        Some(file) if file.contains("/registry/") => {}
        file => OWN_PANICS.lock().unwrap().push(file.unwrap_or_default().to_owned()),
    }));
    let (mut texts, mut failures, mut panics) = (0, 0, 0);
    for (content_type, file) in FILES {
        for seed in 0..CASES {
            let bytes = mutated(file, &mut Random(seed));
            let read = || extract_here(&bytes, content_type, &ExtractOptions::default());
            match catch_unwind(AssertUnwindSafe(read)) {
                Ok(Ok(extracted)) => {
                    let is_start = |page: &PageStart| extracted.text.is_char_boundary(page.start);
                    texts += usize::from(extracted.pages.iter().all(is_start));
                }
                Ok(Err(failure)) => failures += usize::from(failure.detail.len() > 10),
                Err(_) => panics += 1,
            }
        }
    }
    // One at present: calamine on an xls that was cut within a record.
    assert!(panics <= 5, "{panics} panics in libraries");
    assert!(texts > 500 && failures > 500, "{texts} texts, {failures} failures");
    assert_eq!(*OWN_PANICS.lock().unwrap(), Vec::<String>::new());
}
