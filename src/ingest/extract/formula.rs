//! What formulas of Word and OpenDocument share once they are one line.

/// In parentheses, unless it is one number or name.
pub fn grouped(text: &str) -> String {
    match text.chars().all(char::is_alphanumeric) {
        true => text.to_owned(),
        false => format!("({text})"),
    }
}
