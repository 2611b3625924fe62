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

/// See OWASP, "CSV Injection": a cell that starts with one of these is run by spreadsheets.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
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
}
