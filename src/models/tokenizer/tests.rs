//! The `tokenizers` crate is the reference: the same ids and the same offsets, whatever the text and the settings.

use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Ours and the crate's from the same file, with every setting of the normaliser.
static PAIRS: LazyLock<Vec<(Tokenizer, tokenizers::Tokenizer)>> = LazyLock::new(|| {
    let mut settings = Vec::new();
    for (clean, chinese, lowercase) in (0..8).map(|bits| (bits & 1 == 0, bits & 2 == 0, bits & 4 == 0)) {
        for accents in [Value::Null, json!(true), json!(false)] {
            settings.push(json!({
                "type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese,
                "strip_accents": accents, "lowercase": lowercase,
            }));
        }
    }
    settings.iter().map(pair).collect()
});

fn pair(normalizer: &Value) -> (Tokenizer, tokenizers::Tokenizer) {
    let bytes = serde_json::to_vec(&file(normalizer)).unwrap();
    let reference = tokenizers::Tokenizer::from_bytes(&bytes).unwrap();
    (Tokenizer::from_bytes(&bytes, Path::new("tokenizer.json")).unwrap(), reference)
}

/// Nearly every character up to the Chinese ones can begin a word and follow in one, so that few words are unknown.
fn file(normalizer: &Value) -> Value {
    let special = ["[UNK]", "[CLS]", "[SEP]", "[[CLS]]"];
    let words = ["the", "##ing", "un", "##able", "漢", "\u{20000}"];
    let chars = ('\u{1}'..'\u{3100}').filter(|c| !u32::from(*c).is_multiple_of(61));
    let pieces = chars.flat_map(|c| [c.to_string(), format!("##{c}")]);
    let names = special.iter().chain(&words).map(|name| (*name).to_owned()).chain(pieces);
    let vocabulary: serde_json::Map<String, Value> = names.zip(0..).map(|(name, id)| (name, json!(id))).collect();
    let added = |(id, content): (usize, &&str)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "added_tokens": special.iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 20, "vocab": vocabulary},
    })
}

fn same(text: &str, (ours, reference): &(Tokenizer, tokenizers::Tokenizer)) -> Result<(), TestCaseError> {
    let expected = reference.encode(text, false).unwrap();
    let offset = |(start, end): &(usize, usize)| (u32::try_from(*start).unwrap(), u32::try_from(*end).unwrap());
    let tokens = ours.encode(text);
    prop_assert_eq!(&tokens.ids[..], expected.get_ids());
    prop_assert_eq!(tokens.offsets, expected.get_offsets().iter().map(offset).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn every_character_is_read_as_the_crate_reads_it() {
    let assigned = ('\0'..'\u{32400}').chain('\u{e0000}'..'\u{e0200}').chain('\u{10fff0}'..=char::MAX);
    let words: Vec<String> = assigned.map(|c| format!("{c} a{c}B é{c}\u{1d16d}\u{302e}\u{301}{c}.{c}{c}")).collect();
    for words in words.chunks(256) {
        same(&words.join(" "), &PAIRS[0]).unwrap();
    }
    for words in words[..0x3100].chunks(256) {
        PAIRS.iter().step_by(5).for_each(|pair| same(&words.join(" "), pair).unwrap());
    }
}

/// Characters that tokenizers trip over.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\PC{0,6}",
        "(?s).{0,5}",
        "[a-zA-Z]{1,12}",
        "[ \t\n\r\u{b}\u{85}\u{a0}\u{2028}\u{3000}]{1,2}",
        "\\[?\\[?(CLS|SEP|UNK)\\]{0,2}",
        "[\u{300}-\u{36f}\u{591}-\u{5c7}\u{302a}-\u{302f}]{1,3}",
        "[à-ÿĀ-ſǍ-ɏΐ-ώἀ-ῼА-я]{1,6}",
        "[\u{1d157}-\u{1d1ad}\u{1b44}\u{94d}]{1,4}",
        "[가-힣ㄱ-ㅣぁ-ヿ]{1,4}",
        "[一-三漢㐀-㐂\u{f900}-\u{fad9}\u{20000}\u{2f800}-\u{2fa1d}]{1,3}",
        "[\u{200b}-\u{200f}\u{ad}\u{feff}\u{e000}\u{fffd}\u{0}]",
        "[!-/:-@\u{2010}-\u{2027}。、\u{37e}\u{1fef}]{1,3}",
        "(the|un)?(a{15,21}|é{15,21}|able|ing)",
        "[İẞßǅﬁ]",
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_has_the_tokens_of_the_crate(text in text(), pair in 0..24_usize) {
        same(&text, &PAIRS[pair])?;
    }
}

#[test]
fn a_long_text_has_the_tokens_of_the_crate() {
    let line = "The un\u{b}readable [CLS] Größe,\u{85} 漢字—naïve\u{301}able İ...\n";
    same(&line.repeat(1_000), &PAIRS[0]).unwrap();
}

#[test]
fn what_would_be_read_otherwise_is_refused() {
    let refused = |change: fn(&mut Value)| {
        let mut file = file(&json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                                   "strip_accents": null, "lowercase": true}));
        change(&mut file);
        Tokenizer::from_bytes(&serde_json::to_vec(&file).unwrap(), Path::new("tokenizer.json")).unwrap_err()
    };
    let unsupported: [fn(&mut Value); 5] = [
        |file| file["normalizer"] = json!({"type": "NFC"}),
        |file| file["pre_tokenizer"] = Value::Null,
        |file| file["model"] = json!({"type": "Unigram", "vocab": []}),
        |file| file["added_tokens"][1]["lstrip"] = json!(true),
        |file| file["added_tokens"][1]["content"] = json!("plain"),
    ];
    for change in unsupported {
        assert!(matches!(refused(change), LoadError::Unsupported { .. }));
    }
    let damaged: [fn(&mut Value); 2] = [|file| file["model"]["unk_token"] = json!("?!"), |file| *file = json!([])];
    for change in damaged {
        assert!(matches!(refused(change), LoadError::Malformed { .. }));
    }
    let nowhere = Tokenizer::load(&PathBuf::from("/nowhere")).unwrap_err();
    assert!(matches!(nowhere, LoadError::Unreadable { .. }));
}

fn approximate(text: &str) -> Vec<&str> {
    let tokens = Tokenizer::approximate().encode(text);
    tokens.offsets.iter().map(|(start, end)| &text[*start as usize..*end as usize]).collect()
}

#[test]
fn approximate_pieces_are_short_and_lose_nothing_but_white_space() {
    assert_eq!(
        approximate("Internationale 12345, 日本 naïve\n"),
        ["Inte", "rnat", "iona", "le", "123", "45", ",", "日", "本", "na", "ï", "ve"]
    );
    assert!(approximate(" \n\t").is_empty());
}

#[test]
fn blocks_cover_the_text_and_end_at_white_space() {
    let words = "día de lluvia en Ōsaka ".repeat(5_000);
    let unbroken = "漢".repeat(20_000);
    for text in [words.as_str(), &unbroken, "", "a"] {
        assert_eq!(blocks(text).map(|(_, block)| block).collect::<String>(), text);
        assert!(blocks(text).all(|(at, block)| text[at..].starts_with(block) && block.len() <= BLOCK_BYTES));
    }
    assert!(blocks(&words).all(|(_, block)| block.ends_with(' ')));
}

#[test]
fn the_first_tokens_are_those_of_the_beginning() {
    let text = "some words ".repeat(10_000);
    for tokenizer in [&PAIRS[0].0, &Tokenizer::approximate()] {
        let (first, all) = (tokenizer.encode_start(&text, 5_000), tokenizer.encode(&text));
        assert_eq!((&first.ids[..], &first.offsets[..]), (&all.ids[..5_000], &all.offsets[..5_000]));
        assert_eq!(tokenizer.encode_start("a b", 7), tokenizer.encode("a b"));
    }
}
