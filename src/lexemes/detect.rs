//! The language of a document, from samples of its text: by script where the script tells, else by the share of stop
//! words, else by three-letter sequences (the `whatlang` crate), where those are sure.
//!
//! The same text always gives the same language. Code, markup, numbers and addresses do not count. What is surely a
//! language without a stemmer is [`Language::Simple`]; what is not sure of anything is English.

use whatlang::{Detector, Lang};

use super::tokens::Token;
use super::{Language, stop_words};

/// Where samples are taken, in thirds of the text: a cover page, a licence or a list of sources in another language
/// stands at the beginning or at the end, and must not outvote the body.
const SAMPLES: usize = 3;

/// The length of a sample in bytes. Three give some 1,000 words, of which 400 are stop words; whole documents were
/// labelled no better, and a long one must not take longer than a short one.
const SAMPLE_BYTES: usize = 2048;

/// A Chinese or Korean character says about as much as so many letters.
const LETTERS_PER_IDEOGRAPH: usize = 4;

/// Half of a Japanese text is kana; Chinese has them in names and titles that it quotes.
const KANA_PER_CENT: usize = 20;

/// Of a running text more than every fifth word is a stop word: in the languages with a list, 25 to 55 of 100.
const RUNNING_TEXT: usize = 5;

/// More than every third word is one only in the language itself, not in a sister language that shares some: Catalan has
/// stop words of Spanish.
const FULL_TEXT: usize = 3;

/// Words in a row without so much as every tenth a stop word are names, or another language.
const HARDLY_TEXT: usize = 10;

/// With fewer letters, sequences of three are not sure of anything, whatever `whatlang` says: it takes "I am begging
/// pardon" for Tagalog.
const MIN_LETTERS: usize = 60;

/// The language of `text`.
pub fn detect(text: &str) -> Language {
    let words = Words::of(text);
    match words.script() {
        Some(Script::Han) => words.han(),
        Some(Script::Hangul) => Language::Korean,
        Some(Script::Greek) => Language::Greek,
        Some(Script::Tamil) => Language::Tamil,
        Some(Script::Cyrillic) => words.sure().unwrap_or(Language::Russian),
        Some(Script::Arabic) => words.sure().unwrap_or(Language::Arabic),
        Some(Script::Other) => Language::Simple,
        Some(Script::Latin) => words.latin(),
        Some(Script::Kana) => Language::Japanese,
        None => Language::default(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    Cyrillic,
    Greek,
    Arabic,
    Tamil,
    Han,
    Kana,
    Hangul,
    Other,
}

const SCRIPTS: usize = Script::Other as usize + 1;

/// The words of a text that are prose, as far as one can see, and the letters of each script.
#[derive(Default)]
struct Words {
    letters: [usize; SCRIPTS],
    /// Words of scripts with several languages, in lower case, with a space after each; but not the capitalised words
    /// within sentences: names such as "Los Angeles" are of no language (and German shows itself without its nouns).
    prose: String,
    /// How many words there are, with the capitalised ones.
    count: usize,
}

impl Words {
    fn of(text: &str) -> Words {
        let mut words = Words::default();
        for sample in samples(text) {
            let mut starts = true;
            for piece in sample.split_whitespace() {
                words.add(piece, starts);
                starts = piece.ends_with(['.', '?', '!', ':']);
            }
        }
        words
    }

    /// `piece` stands between spaces, and `starts` a sentence.
    fn add(&mut self, piece: &str, mut starts: bool) {
        let code = is_code(piece);
        for run in piece.split(|char: char| !char.is_alphabetic() && !matches!(char, '\'' | '\u{2019}')) {
            let Some(script) = run.chars().find_map(script) else { continue };
            let spaced = matches!(script, Script::Latin | Script::Cyrillic | Script::Arabic);
            if spaced && code {
                continue;
            }
            run.chars().filter_map(self::script).for_each(|script| self.letters[script as usize] += 1);
            if spaced {
                self.count += 1;
                if starts || !is_capitalised(run) {
                    self.prose.extend(run.chars().flat_map(char::to_lowercase).map(straight));
                    self.prose.push(' ');
                }
                starts = false;
            }
        }
    }

    /// What most of the text is written in.
    fn script(&self) -> Option<Script> {
        use Script::{Arabic, Cyrillic, Greek, Han, Hangul, Kana, Latin, Other, Tamil};
        let of = |script: Script| self.letters[script as usize];
        let ideographs = of(Han) * LETTERS_PER_IDEOGRAPH;
        let scripts = [
            (ideographs + of(Kana), Han),
            (of(Hangul) * LETTERS_PER_IDEOGRAPH, Hangul),
            (of(Greek), Greek),
            (of(Tamil), Tamil),
            (of(Cyrillic), Cyrillic),
            (of(Arabic), Arabic),
            (of(Other), Other),
            (of(Latin), Latin),
        ];
        scripts.into_iter().max_by_key(|(letters, _)| *letters).filter(|(letters, _)| *letters > 0).map(|found| found.1)
    }

    fn han(&self) -> Language {
        let (han, kana) = (self.letters[Script::Han as usize], self.letters[Script::Kana as usize]);
        match kana * 100 >= (han + kana) * KANA_PER_CENT {
            true => Language::Japanese,
            false => Language::Chinese,
        }
    }

    /// Stop words decide where the text is full of those of one language; else three-letter sequences where they are
    /// sure, and stop words do not speak against them; else what both lean to.
    fn latin(&self) -> Language {
        let [(most, best), (second, _)] = self.by_stop_words();
        let english = self.stop_words(Language::English);
        let clear = most >= 2 && most > second;
        if clear && most * FULL_TEXT >= self.count {
            return best;
        }
        let found = self.by_trigrams();
        if clear && most * RUNNING_TEXT >= self.count && found != Some((Language::Simple, true)) {
            return best;
        }
        match found {
            Some((Language::Simple, true)) => Language::Simple,
            Some((language, true)) if self.stop_words(language) > 0 => language,
            Some((language, _)) if most > english && self.stop_words(language) == most => language,
            _ if clear && most * HARDLY_TEXT >= self.count => best,
            _ => Language::default(),
        }
    }

    /// The two languages with the most stop words, and how many.
    fn by_stop_words(&self) -> [(usize, Language); 2] {
        let mut found: Vec<(usize, Language)> =
            stop_words::LATIN.into_iter().map(|language| (self.stop_words(language), language)).collect();
        found.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        [found[0], found[1]]
    }

    fn stop_words(&self, language: Language) -> usize {
        self.prose.split(' ').filter(|word| Token::Word(word).is_stop_word(language)).count()
    }

    fn sure(&self) -> Option<Language> {
        self.by_trigrams().filter(|(_, sure)| *sure).map(|(language, _)| language)
    }

    /// The language by sequences of three letters, and whether they are sure of it.
    fn by_trigrams(&self) -> Option<(Language, bool)> {
        let found = Detector::new().detect(&self.prose)?;
        let language = language(found.lang());
        // A hundred languages have no stemmer, so that one of them is the easier error.
        let least = if language == Language::Simple { 2 * MIN_LETTERS } else { MIN_LETTERS };
        Some((language, found.is_reliable() && self.prose.len() >= least))
    }
}

/// Up to [`SAMPLES`] parts of the text, evenly spread; all of it, if it is short.
fn samples(text: &str) -> impl Iterator<Item = &str> {
    let (count, length) = match text.len() <= SAMPLES * SAMPLE_BYTES {
        true => (1, text.len()),
        false => (SAMPLES, SAMPLE_BYTES),
    };
    (0..count).map(move |sample| {
        let start = text.floor_char_boundary(text.len() / count * sample);
        &text[start..text.floor_char_boundary(start + length)]
    })
}

/// Whether a piece between spaces is code, markup, a number, an address or a path rather than words.
fn is_code(piece: &str) -> bool {
    let sign = |char: char| char.is_ascii_digit() || "_=<>{}[]/\\@#$^~|&;".contains(char);
    let mut before = ' ';
    piece.trim_end_matches(';').contains(sign)
        || piece.chars().zip(piece.chars().skip(1)).any(|(char, after)| {
            let inside =
                ".:(".contains(char) && before.is_alphabetic() && (after.is_alphabetic() || ":()".contains(after));
            let hump = char.is_lowercase() && after.is_uppercase();
            before = char;
            inside || hump
        })
}

/// "Angeles", but not "NFL" or "iPhone".
fn is_capitalised(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(char::is_uppercase) && chars.next().is_some_and(char::is_lowercase)
}

fn straight(char: char) -> char {
    if char == '\u{2019}' { '\'' } else { char }
}

/// The script of a letter, by the blocks of the Unicode standard.
fn script(char: char) -> Option<Script> {
    Some(match char {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Script::Latin,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Script::Greek,
        '\u{400}'..='\u{52f}' => Script::Cyrillic,
        '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' => {
            Script::Arabic
        }
        '\u{b80}'..='\u{bff}' => Script::Tamil,
        '\u{3041}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' => Script::Kana,
        '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7ff}' => Script::Hangul,
        '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' => {
            Script::Han
        }
        _ if char.is_alphabetic() => Script::Other,
        _ => return None,
    })
}

/// Languages without a stemmer are one.
fn language(lang: Lang) -> Language {
    match lang {
        Lang::Ara => Language::Arabic,
        Lang::Dan => Language::Danish,
        Lang::Nld => Language::Dutch,
        Lang::Eng => Language::English,
        Lang::Fin => Language::Finnish,
        Lang::Fra => Language::French,
        Lang::Deu => Language::German,
        Lang::Hun => Language::Hungarian,
        Lang::Ita => Language::Italian,
        Lang::Nob => Language::Norwegian,
        Lang::Por => Language::Portuguese,
        Lang::Ron => Language::Romanian,
        Lang::Rus => Language::Russian,
        Lang::Spa => Language::Spanish,
        Lang::Swe => Language::Swedish,
        Lang::Tur => Language::Turkish,
        _ => Language::Simple,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_that_shows_nothing_is_english() {
        for text in ["", "42", "Anemometers measure wind.", "Die Hard", "🙂🙂", "ISO 9001:2015", "I am begging pardon"]
        {
            assert_eq!(detect(text), Language::English, "{text}");
        }
    }

    #[test]
    fn the_script_tells_languages_that_have_one() {
        for (text, language) in [
            ("黑豹队的防守只丢了 308分，在联赛中排名第六，领先国家橄榄球联盟 (NFL)。", Language::Chinese),
            ("東京タワーは東京都港区にある電波塔である。", Language::Japanese),
            ("서울은 대한민국의 수도이다.", Language::Korean),
            ("Η Αθήνα είναι η πρωτεύουσα της Ελλάδας.", Language::Greek),
            ("سأل الطالب المعلم عن معنى الكلمة في الكتاب.", Language::Arabic),
            ("சென்னை தமிழ்நாட்டின் தலைநகரம்.", Language::Tamil),
            ("Москва является столицей Российской Федерации.", Language::Russian),
            ("กรุงเทพมหานครเป็นเมืองหลวง", Language::Simple),
        ] {
            assert_eq!(detect(text), language, "{text}");
        }
    }

    #[test]
    fn a_sentence_shows_its_language() {
        for (text, language) in [
            ("The wind tunnel was built in the desert and is still in use.", Language::English),
            ("Der Windkanal wurde in der Wüste gebaut und ist noch in Betrieb.", Language::German),
            ("La soufflerie a été construite dans le désert et elle est encore en service.", Language::French),
            ("El túnel de viento fue construido en el desierto y todavía se usa.", Language::Spanish),
            ("La galleria del vento è stata costruita nel deserto ed è ancora in uso.", Language::Italian),
            ("O túnel de vento foi construído no deserto e ainda está em uso.", Language::Portuguese),
            ("De windtunnel werd in de woestijn gebouwd en is nog steeds in gebruik.", Language::Dutch),
            ("Vindtunneln byggdes i öknen och den används fortfarande av många.", Language::Swedish),
            ("Vindtunnelen blev bygget i ørkenen, og den bliver stadig brugt af mange.", Language::Danish),
            ("Tuulitunneli rakennettiin autiomaahan, ja se on edelleen käytössä, mutta ei usein.", Language::Finnish),
            ("A szélcsatornát a sivatagban építették, és még mindig használják, de nem gyakran.", Language::Hungarian),
            ("Tunelul de vânt a fost construit în deșert și este încă folosit de mulți.", Language::Romanian),
            ("Rüzgar tüneli çölde inşa edildi ve hâlâ çok kullanılıyor, ama bu yıl için değil.", Language::Turkish),
        ] {
            assert_eq!(detect(text), language, "{text}");
        }
    }

    #[test]
    fn a_language_without_stems_is_simple() {
        let polish = "Tunel aerodynamiczny został zbudowany na pustyni i jest nadal używany przez wielu badaczy. \
                      Wyniki pomiarów opublikowano w zeszłym roku, a następne badania odbędą się wkrótce.";
        assert_eq!(detect(polish), Language::Simple);
        let ukrainian =
            "Київ є столицею України, і в місті живе понад два мільйони людей, які розмовляють українською.";
        assert_eq!(detect(ukrainian), Language::Simple);
    }

    #[test]
    fn code_markup_and_numbers_do_not_count() {
        let table = "| 12,5 | 17,25 | 0x1f |\n".repeat(200);
        let code = "let mut found = self.by_trigrams(); <div class=\"x\"> foo_bar::baz(qux) \n".repeat(50);
        for noise in [&table, &code] {
            assert_eq!(detect(noise), Language::English);
            let german = format!("{noise}\nDas Ergebnis der Messung ist in der Tabelle und wird nicht erklärt.");
            assert_eq!(detect(&german[german.len() - 600..]), Language::German);
        }
    }

    #[test]
    fn a_cover_page_does_not_outvote_the_body() {
        let cover = "This document is licensed under the terms of the licence that is printed at the end. ".repeat(30);
        let body = "Der Verein hat seinen Sitz in der Stadt und ist in das Register eingetragen. ".repeat(200);
        assert_eq!(detect(&(cover + &body)), Language::German);
    }
}
