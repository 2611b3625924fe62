//! Rows as CSV (RFC 4180), safe to open in a spreadsheet: text that would be taken for a formula gets an apostrophe.

use serde_json::Value;

use super::Rows;

impl Rows {
    /// With a header row; null is an empty field, arrays and objects are JSON.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names: Vec<String> = self.columns.iter().map(|column| harmless(&column.name)).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(field).collect::<Vec<_>>());
        for record in [names].into_iter().chain(rows) {
            writer.write_record(record).expect("writing to memory succeeds, and every row is as long as the header");
        }
        let bytes = writer.into_inner().expect("flushing to memory succeeds");
        String::from_utf8(bytes).expect("fields are UTF-8")
    }
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

/// A spreadsheet runs a cell that begins with one of these, also in the width of Chinese and Japanese type; some skip
/// what is invisible before it. See OWASP, "CSV Injection". A number is no formula, however exact.
fn harmless(text: &str) -> String {
    let visible = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control() || INVISIBLE.contains(&c));
    let is_run = visible.starts_with(FORMULA) || text.starts_with(['\t', '\r', '\n', '\0']);
    if is_run && !is_negative_number(text) { format!("'{text}") } else { text.to_owned() }
}

const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Zero-width and direction marks, and the byte order mark.
const INVISIBLE: [char; 8] =
    ['\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}', '\u{ad}'];

/// `-12345678901234567890.5`: an exact decimal that is a text because no JSON number can hold it.
fn is_negative_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('-') else { return false };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::text_to_sql::run::ResultColumn;

    #[test]
    fn fields_are_quoted_numbers_are_bare_and_formulas_are_disarmed() {
        let columns = ["a", "b"].map(|name| ResultColumn { name: name.to_owned(), type_name: "text".to_owned() });
        let rows = vec![
            vec![json!("x,\"y\"\nz"), json!(-1.5)],
            vec![json!("=cmd|' /C calc'!A0"), json!(null)],
            vec![json!("+1"), json!([1, "-2"])],
        ];
        let rows = Rows { columns: columns.to_vec(), row_count: rows.len(), rows, truncated: false };
        assert_eq!(rows.to_csv(), "a,b\n\"x,\"\"y\"\"\nz\",-1.5\n'=cmd|' /C calc'!A0,\n'+1,\"[1,\"\"-2\"\"]\"\n");
    }
    fn csv(cell: &str) -> String {
        let columns = vec![ResultColumn { name: "a".to_owned(), type_name: "text".to_owned() }];
        let rows = Rows { columns, row_count: 1, rows: vec![vec![json!(cell)]], truncated: false };
        rows.to_csv()
    }

    #[test]
    fn no_formula_hides_behind_white_space_control_or_wide_characters() {
        for formula in
            ["=1+1", "+1", "-1+1", "@SUM(1)", "＝1", "＋1", "－1", "＠SUM(1)", "-Infinity", "-", "--1", "-1e5x", "-."]
        {
            for before in ["", " ", "\t", "\r", "\n", "\r\n", "\0", "\u{a0}", "\u{3000}", "\u{feff}", "\u{200b} "] {
                let cell = format!("{before}{formula}");
                let field = csv(&cell).trim_start_matches("a\n").trim_start_matches('"').to_owned();
                assert!(field.starts_with('\''), "{cell:?} became {field:?}");
            }
        }
        for begins in ["\tx", "\rx", "\nx"] {
            assert!(csv(begins).contains(&format!("'{begins}")), "{begins:?}");
        }
    }

    #[test]
    fn numbers_and_plain_texts_stay_as_they_are() {
        for cell in ["-12345678901234567890.5", "-9007199254740993", "1-2", "a=b", "é", " x", "(-1)", "'", "2024-01-01"]
        {
            assert_eq!(csv(cell), format!("a\n{cell}\n"));
        }
    }

    #[test]
    fn a_result_without_columns_is_no_panic() {
        let rows = Rows { columns: Vec::new(), rows: vec![Vec::new()], row_count: 1, truncated: false };
        assert_eq!(rows.to_csv().lines().count(), 2);
    }
}
