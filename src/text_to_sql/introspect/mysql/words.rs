//! What the catalog says only in SQL: the labels of an enum, and the conditions of checks.
//!
//! Read are the few forms that name a column's values. Whatever else a condition says is left to the server.

/// The labels in `enum('a','it''s')`.
pub(super) fn enum_labels(column_type: &str) -> Vec<String> {
    let list = column_type.strip_prefix("enum(").and_then(|rest| rest.strip_suffix(')'));
    // The server doubles quotes here, and means a backslash when it writes one.
    list.and_then(|list| literals(list, false)).unwrap_or_default()
}

/// The column and the values of `` `status` in ('a','b') ``, with as many parentheses as there are.
pub(super) fn value_list(condition: &str) -> Option<(String, Vec<String>)> {
    let (column, rest) = column(bare(condition))?;
    let rest = rest.trim_start();
    let list = rest.get(..2).filter(|word| word.eq_ignore_ascii_case("in")).map(|_| rest[2..].trim_start())?;
    let list = list.strip_prefix('(')?.strip_suffix(')')?;
    literals(list, true).map(|values| (column, values))
}

/// The column of ``json_valid(`column`)``, which MariaDB adds to every column that was declared `json`.
pub(super) fn json_check(condition: &str) -> Option<String> {
    let (name, rest) = column(bare(condition).strip_prefix("json_valid(")?)?;
    (rest == ")").then_some(name)
}

/// A text as it was before it was put into quotes.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    plain
}

/// Without the parentheses around all of it.
fn bare(condition: &str) -> &str {
    let mut text = condition.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        text = inner.trim();
    }
    text
}

/// A quoted name at the start, and what follows it.
fn column(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix('`')?;
    let mut from = 0;
    loop {
        let end = from + rest[from..].find('`')?;
        match rest[end + 1..].starts_with('`') {
            true => from = end + 2,
            false => return Some((rest[..end].replace("``", "`"), &rest[end + 1..])),
        }
    }
}

/// `'a','b'`, where each may name its character set: `_utf8mb4'a'`. Nothing if anything else is among them.
fn literals(list: &str, backslashes: bool) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = list.trim_start();
    loop {
        let (prefix, quoted) = rest.split_at(rest.find('\'')?);
        let is_charset = |set: &str| set.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !prefix.is_empty() && !prefix.strip_prefix('_').is_some_and(is_charset) {
            return None;
        }
        let (value, after) = literal(&quoted[1..], backslashes)?;
        values.push(value);
        rest = match after.trim_start() {
            "" => return Some(values),
            more => more.strip_prefix(',')?.trim_start(),
        };
    }
}

/// A literal after its opening quote, and what follows it.
fn literal(text: &str, backslashes: bool) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_some() => value.push('\''),
            '\'' => return Some((value, &text[at + 1..])),
            '\\' if backslashes => value.push(escaped(chars.next()?.1)),
            char => value.push(char),
        }
    }
    None
}

/// <https://dev.mysql.com/doc/refman/8.4/en/string-literals.html#character-escape-sequences>
fn escaped(char: char) -> char {
    match char {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        '0' => '\0',
        'Z' => '\u{1a}',
        char => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_quotes_and_backslashes() {
        assert_eq!(enum_labels(r"enum('a','it''s','x\y',',')"), ["a", "it's", r"x\y", ","]);
        assert!(enum_labels("set('a','b')").is_empty() && enum_labels("enum('a").is_empty());
    }

    #[test]
    fn a_list_of_values_is_read_from_both_engines() {
        let (column, values) = value_list(r"`status` in ('a','b\'c\\d')").unwrap();
        assert_eq!((column.as_str(), values), ("status", vec!["a".into(), r"b'c\d".into()]));
        let stored = unescaped(r"(`status` in (_utf8mb4\'a\',_utf8mb4\'it\\\'s\'))");
        assert_eq!(value_list(&stored).unwrap().1, ["a", "it's"]);
        assert_eq!(value_list("`odd``name` in ('a')").unwrap().0, "odd`name");
    }

    #[test]
    fn other_conditions_name_no_values() {
        for condition in [
            "",
            "`a`",
            "`a` in (1,2)",
            "`a` in ('x',lower('y'))",
            "`a` in ('x') or `b` in ('y')",
            "`a` not in ('x')",
            "`id` > 0 and `status` <> 'q'",
            "`a` in ('x",
            "`é` ïn ('x')",
        ] {
            assert_eq!(value_list(condition), None, "{condition}");
        }
    }

    #[test]
    fn a_column_that_must_be_json_is_json() {
        assert_eq!(json_check("json_valid(`doc`)").as_deref(), Some("doc"));
        assert_eq!(json_check("json_valid(`doc`) or `doc` = ''"), None);
    }
}
