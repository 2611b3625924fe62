//! Runs of Chinese, Japanese and Korean characters, and what is indexed of them: pairs and single characters. Pairs need
//! no dictionary, and find every word of two characters and more (as Lucene's CJK analyser does); single characters find
//! the words of one. Both together rank better than either (Nie, Gao, Zhang and Zhou, "On the Use of Words and N-grams
//! for Chinese Information Retrieval", 2000).

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Run<'a> {
    Cjk(&'a str),
    Other(&'a str),
}

/// The text in runs, in order, each with its place in bytes.
pub fn runs(text: &str) -> impl Iterator<Item = (usize, Run<'_>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = text.len() - rest.len();
        let cjk = is_cjk(rest.chars().next()?);
        let end = if cjk { rest.find(|char| !is_cjk(char)) } else { rest.find(is_cjk) };
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some((start, if cjk { Run::Cjk(run) } else { Run::Other(run) }))
    })
}

/// Every two neighbours of a run and every character that can be a word, with their places, ascending; a character that
/// stands alone is one whatever it is.
pub fn parts(run: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut previous = None;
    run.char_indices().flat_map(move |(at, char)| {
        let end = at + char.len_utf8();
        let pair = previous.replace(at).map(|start| (start, &run[start..end]));
        let single = (is_word(char) || end == run.len() && at == 0).then_some((at, &run[at..end]));
        pair.into_iter().chain(single)
    })
}

/// How many half words a lexeme counts for in the length of a text, or `None` for a word between spaces: two characters
/// are about a word, and each stands in two pairs.
pub fn half_words(lexeme: &str) -> Option<u32> {
    let mut chars = lexeme.chars();
    let cjk = chars.next().is_some_and(is_cjk);
    cjk.then(|| u32::from(chars.next().is_some()))
}

/// Ideographs and Korean syllables are words; one kana or letter is none.
fn is_word(char: char) -> bool {
    matches!(char, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Blocks of the Unicode standard, narrowed to letters.
fn is_cjk(char: char) -> bool {
    char >= '\u{1100}'
        && matches!(char,
        // Han: radicals, iteration mark and numerals, ideographs with their extensions and compatibility forms.
        '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3038}'..='\u{303b}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}'
        // Hiragana and Katakana, with the sound marks between and after them.
        | '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}'
        | '\u{ff66}'..='\u{ff9f}'
        // Hangul: letters and syllables.
        | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_falls_into_runs_and_runs_into_pairs_and_words_of_one_character() {
        let found: Vec<(usize, Run)> = runs("go 北京大 ok").collect();
        assert_eq!(found, [(0, Run::Other("go ")), (3, Run::Cjk("北京大")), (12, Run::Other(" ok"))]);
        let of = |run: &'static str| parts(run).map(|(_, part)| part).collect::<Vec<_>>();
        assert_eq!(of("北京大"), ["北", "北京", "京", "京大", "大"]);
        assert_eq!(of("茶を飲む"), ["茶", "茶を", "を飲", "飲", "飲む"]);
        assert_eq!(of("水"), ["水"]);
        assert_eq!(of("を"), ["を"]);
        assert!(parts("北京大").map(|(at, _)| at).is_sorted());
    }
}
