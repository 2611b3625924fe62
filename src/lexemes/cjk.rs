//! Runs of Chinese, Japanese and Korean characters, and their pairs. Pairs need no dictionary, and find every word of two
//! characters and more (as Lucene's CJK analyser does).

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

/// Every two neighbours of a run, with their place in it; a character that stands alone is its own.
pub fn pairs(run: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut chars = run.chars();
    let first = chars.next().map_or(0, char::len_utf8);
    let alone = (first == run.len()).then_some((0, run));
    let (mut start, mut middle) = (0, first);
    let pairs = chars.map(move |char| {
        let (at, end) = (start, middle + char.len_utf8());
        (start, middle) = (middle, end);
        (at, &run[at..end])
    });
    pairs.chain(alone)
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
    fn a_text_falls_into_runs_and_runs_into_pairs() {
        let found: Vec<(usize, Run)> = runs("go 北京大 ok").collect();
        assert_eq!(found, [(0, Run::Other("go ")), (3, Run::Cjk("北京大")), (12, Run::Other(" ok"))]);
        assert_eq!(pairs("北京大").collect::<Vec<_>>(), [(0, "北京"), (3, "京大")]);
        assert_eq!(pairs("水").collect::<Vec<_>>(), [(0, "水")]);
    }
}
