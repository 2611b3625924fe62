//! The code pages of RTF: by number (`\ansicpg`, `\cpg`), by a font's character set (`\fcharset`), and three of DOS that
//! browsers do not know, and so `encoding_rs` neither.

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, IBM866, KOI8_R, MACINTOSH, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1250, WINDOWS_1251,
    WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258, X_MAC_CYRILLIC,
};

/// How bytes are letters.
#[derive(Debug, Clone, Copy)]
pub enum CodePage {
    Known(&'static Encoding),
    /// The characters of the bytes from 128 up.
    Upper(&'static str),
}

impl Default for CodePage {
    fn default() -> CodePage {
        CodePage::Known(WINDOWS_1252)
    }
}

impl CodePage {
    /// The code page of a number of Microsoft's.
    pub fn numbered(number: i32) -> CodePage {
        CodePage::Known(match number {
            437 => return CodePage::Upper(CP437),
            850 | 858 => return CodePage::Upper(CP850),
            852 => return CodePage::Upper(CP852),
            866 => IBM866,
            874 => WINDOWS_874,
            932 => SHIFT_JIS,
            936 => GBK,
            949 | 1361 => EUC_KR,
            950 => BIG5,
            1250 => WINDOWS_1250,
            1251 => WINDOWS_1251,
            1253 => WINDOWS_1253,
            1254 => WINDOWS_1254,
            1255 => WINDOWS_1255,
            1256 => WINDOWS_1256,
            1257 => WINDOWS_1257,
            1258 => WINDOWS_1258,
            10000 => MACINTOSH,
            10007 => X_MAC_CYRILLIC,
            20866 => KOI8_R,
            65001 => UTF_8,
            _ => WINDOWS_1252,
        })
    }

    /// The code page of a font's character set; none where the document's own holds.
    pub fn of_charset(charset: i32) -> Option<CodePage> {
        let number = match charset {
            2 => 1252,
            77 => 10000,
            128 => 932,
            129 => 949,
            130 => 1361,
            134 => 936,
            136 => 950,
            161 => 1253,
            162 => 1254,
            163 => 1258,
            177 => 1255,
            178..=180 => 1256,
            186 => 1257,
            204 => 1251,
            222 => 874,
            238 => 1250,
            254 => 437,
            255 => 850,
            _ => return None,
        };
        Some(CodePage::numbered(number))
    }

    /// Appends `bytes` as text.
    pub fn decode(self, bytes: &[u8], out: &mut String) {
        match self {
            CodePage::Known(encoding) => out.push_str(&encoding.decode_without_bom_handling(bytes).0),
            CodePage::Upper(upper) => out.extend(bytes.iter().map(|byte| match byte.checked_sub(128) {
                None => char::from(*byte),
                Some(place) => upper.chars().nth(usize::from(place)).unwrap_or('\u{fffd}'),
            })),
        }
    }
}

const CP437: &str = "\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
const CP850: &str = "\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐\
    └┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";
const CP852: &str = "\
    ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐\
    └┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{ad}˝˛ˇ˘§÷¸°¨˙űŘř■\u{a0}";

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(page: CodePage, bytes: &[u8]) -> String {
        let mut out = String::new();
        page.decode(bytes, &mut out);
        out
    }

    #[test]
    fn every_page_has_a_character_for_every_byte() {
        for upper in [CP437, CP850, CP852] {
            assert_eq!(upper.chars().count(), 128);
        }
    }

    #[test]
    fn pages_are_known_by_number_and_by_character_set() {
        assert_eq!(decoded(CodePage::numbered(1251), b"\xcc\xee\xf0\xee\xe7"), "Мороз");
        assert_eq!(decoded(CodePage::numbered(850), b"Gr\x81\xe1e"), "Grüße");
        assert_eq!(decoded(CodePage::numbered(437), b"caf\x82"), "café");
        assert_eq!(decoded(CodePage::numbered(852), b"\xa5\x86\xa9"), "ąćę");
        assert_eq!(decoded(CodePage::of_charset(128).unwrap(), b"\x93\xfa\x96{"), "日本");
        assert_eq!(decoded(CodePage::of_charset(238).unwrap(), b"\xb9\xe6\xea"), "ąćę");
        assert!(CodePage::of_charset(0).is_none());
    }
}
