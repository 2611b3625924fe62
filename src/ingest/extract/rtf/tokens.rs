//! RTF as tokens (RTF 1.9.1, "RTF Syntax"). Nothing is an error: what is no token is text.

/// One of the things that RTF is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    Open,
    /// `}`
    Close,
    /// `\name` or `\name123`, without the space that ends it.
    Word(&'a str, Option<i32>),
    /// `\` and a character that is no letter.
    Symbol(u8),
    /// `\'xx`
    Hex(u8),
    /// Bytes in the code page of the place; line ends are none of them.
    Text(&'a [u8]),
}

/// A number has at most ten digits and a sign.
const MAX_DIGITS: usize = 11;

/// The tokens of a document.
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub fn new(bytes: &'a [u8]) -> Tokens<'a> {
        Tokens { rest: bytes }
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().position(|byte| !belongs(*byte)).unwrap_or(self.rest.len());
        self.take(count)
    }

    /// What follows a backslash.
    fn control(&mut self) -> Option<Token<'a>> {
        match self.rest.first()? {
            b'\'' => Some(self.hex()),
            byte if byte.is_ascii_alphabetic() => self.word(),
            byte => {
                let symbol = *byte;
                self.take(1);
                Some(Token::Symbol(symbol))
            }
        }
    }

    fn hex(&mut self) -> Token<'a> {
        let digits = self.rest.get(1..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                self.take(3);
                Token::Hex(byte)
            }
            None => Token::Text(self.take(1)),
        }
    }

    fn word(&mut self) -> Option<Token<'a>> {
        let name = std::str::from_utf8(self.take_while(|byte| byte.is_ascii_alphabetic())).unwrap_or_default();
        let number = self.number();
        if self.rest.first() == Some(&b' ') {
            self.take(1);
        }
        if name == "bin" {
            // Bytes of a picture, in which no token is.
            self.take(usize::try_from(number.unwrap_or(0)).unwrap_or(0));
            return Some(Token::Text(&[]));
        }
        Some(Token::Word(name, number))
    }

    fn number(&mut self) -> Option<i32> {
        let (sign, digits) = match self.rest.split_first() {
            Some((b'-', digits)) => (1, digits),
            _ => (0, self.rest),
        };
        let count = digits.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let number: i64 = std::str::from_utf8(self.take(sign + count)).ok()?.parse().ok()?;
        Some(i32::try_from(number).unwrap_or(0))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.take_while(|byte| matches!(byte, b'\r' | b'\n' | 0));
        match self.rest.first()? {
            b'{' => {
                self.take(1);
                Some(Token::Open)
            }
            b'}' => {
                self.take(1);
                Some(Token::Close)
            }
            b'\\' => {
                self.take(1);
                self.control()
            }
            _ => Some(Token::Text(self.take_while(|byte| !matches!(byte, b'{' | b'}' | b'\\' | b'\r' | b'\n' | 0)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Token::{Close, Hex, Open, Symbol, Text, Word};
    use super::*;

    #[test]
    fn words_numbers_bytes_and_text_are_told_apart() {
        let tokens: Vec<Token> = Tokens::new(b"{\\rtf1\\b0 caf\\'e9\r\n x\\~\\u-4064?\\bin3 {}{y\\zz}").collect();
        let expected = [
            Open,
            Word("rtf", Some(1)),
            Word("b", Some(0)),
            Text(b"caf"),
            Hex(0xe9),
            Text(b" x"),
            Symbol(b'~'),
            Word("u", Some(-4064)),
            Text(b"?"),
            Text(b""),
            Text(b"y"),
            Word("zz", None),
            Close,
        ];
        assert_eq!(tokens, expected);
    }

    #[test]
    fn what_is_cut_short_is_no_token_or_text() {
        for (bytes, count) in [(b"\\".as_slice(), 0), (b"\\'", 1), (b"\\'e", 2), (b"\\bin99999999999", 1), (b"\\u-", 2)]
        {
            assert_eq!(Tokens::new(bytes).count(), count, "{bytes:?}");
        }
    }
}
