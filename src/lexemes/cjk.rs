//! Runs of Chinese, Japanese and Korean characters, and their pairs. Pairs need no dictionary, and find every word of two
//! characters and more (as Lucene's CJK analyser does).

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Run<'a> {
    Cjk(&'a str),
    Other(&'a str),
}

/// The text in runs, in order.
pub fn runs(text: &str) -> impl Iterator<Item = Run<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let cjk = is_cjk(rest.chars().next()?);
        let end = rest.find(|char| is_cjk(char) != cjk).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(if cjk { Run::Cjk(run) } else { Run::Other(run) })
    })
}

/// Every two neighbours of a run; a character that stands alone is its own.
pub fn pairs(run: &str) -> impl Iterator<Item = &str> {
    let ends = run.char_indices().skip(1).map(|(at, char)| at + char.len_utf8());
    let alone = run.chars().nth(1).is_none().then_some(run);
    run.char_indices().zip(ends).map(move |((start, _), end)| &run[start..end]).chain(alone)
}

/// Blocks of the Unicode standard, narrowed to letters.
fn is_cjk(char: char) -> bool {
    matches!(char,
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
    fn a_text_falls_into_runs_and_runs_into_pairs() {
        let found: Vec<Run> = runs("go 北京大 ok").collect();
        assert_eq!(found, [Run::Other("go "), Run::Cjk("北京大"), Run::Other(" ok")]);
        assert_eq!(pairs("北京大").collect::<Vec<_>>(), ["北京", "京大"]);
        assert_eq!(pairs("水").collect::<Vec<_>>(), ["水"]);
    }
}
