//! One spelling of text, so that a byte offset means the same everywhere: `\n` line ends and no invisible control
//! characters. Letters are left as they are (no Unicode normalisation): a quote must be found in the original.

/// `text` with every line end as `\n`, and without control characters, byte order marks and soft hyphens.
pub fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push('\n');
            }
            // Vertical tab, form feed, next line, line separator, paragraph separator.
            '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\n' | '\t' => out.push(char),
            '\u{ad}' | '\u{feff}' => {}
            _ if char.is_control() => {}
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn every_line_end_becomes_a_newline() {
        assert_eq!(canonical("a\r\nb\rc\nd\u{2028}e\u{85}f\u{c}g"), "a\nb\nc\nd\ne\nf\ng");
        assert_eq!(canonical("a\r\r\nb"), "a\n\nb");
    }

    #[test]
    fn control_characters_vanish_and_letters_stay() {
        assert_eq!(canonical("\u{feff}na\u{0}i\u{7f}ve\u{9b} co\u{ad}operation\tﬁ é"), "naive cooperation\tﬁ é");
    }
}
