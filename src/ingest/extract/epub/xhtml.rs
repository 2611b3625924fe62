//! Chapters are XML, and are read as HTML, in which `<title/>` opens a title that nothing ends.

use std::borrow::Cow;

/// Elements that have no end tag in HTML either.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// `page`, with an end tag for each element that is opened and closed by one tag.
pub fn with_end_tags(page: &[u8]) -> Cow<'_, [u8]> {
    // In UTF-16 the tags are not found, and remain.
    if !page.windows(2).any(|two| two == b"/>") {
        return Cow::Borrowed(page);
    }
    let mut out = Vec::with_capacity(page.len());
    let mut rest = page;
    while let Some(end) = rest.windows(2).position(|two| two == b"/>") {
        let (before, after) = rest.split_at(end);
        rest = &after[2..];
        out.extend_from_slice(before);
        match element(before) {
            Some(name) if !VOID.iter().any(|void| void.as_bytes().eq_ignore_ascii_case(name)) => {
                out.extend_from_slice(b"></");
                out.extend_from_slice(name);
                out.push(b'>');
            }
            _ => out.extend_from_slice(b"/>"),
        }
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The name of the element whose tag `before` ends in.
fn element(before: &[u8]) -> Option<&[u8]> {
    let start = before.iter().rposition(|byte| *byte == b'<')?;
    let tag = before.get(start + 1..).filter(|tag| !tag.contains(&b'>'))?;
    let length = tag.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b":-_".contains(byte)));
    Some(&tag[..length.unwrap_or(tag.len())]).filter(|name| name.first().is_some_and(u8::is_ascii_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::with_end_tags;

    #[test]
    fn tags_that_open_and_close_get_an_end() {
        let page = b"<head><title/><script src='a/b.js' /></head><p id=\"x\"/>1 /> <b>2 /></b><br/><a name='y'/>";
        let expected: &[u8] =
            b"<head><title></title><script src='a/b.js' ></script></head><p id=\"x\"></p>1 /> <b>2 /></b><br/><a name='y'></a>";
        assert_eq!(with_end_tags(page).as_ref(), expected);
        assert_eq!(with_end_tags(b"<p>").as_ref(), b"<p>");
    }
}
