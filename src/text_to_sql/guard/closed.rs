//! A second opinion on what names mean, where a wrong one would show what is closed.
//!
//! The guard resolves names as the engine does, as far as it knows: engines differ in how they name outputs, fold case and
//! look from clause to clause. Where a name was found in one scope and another scope has a hidden or masked column of
//! that name, the engine might find that one instead; so such a name must be written in another way.

use std::borrow::Cow;

use sqlparser::ast::Ident;
use unicode_normalization::UnicodeNormalization;

use super::scope::Relation;
use super::violation::ViolationCode;
use super::walk::Walker;

impl<'a> Walker<'a> {
    /// Whether a scope other than the one at `found` has a hidden or masked column that any engine could take `name` for.
    pub(super) fn is_closed_elsewhere(&self, name: &str, found: Option<usize>) -> bool {
        let others = || self.scopes.iter().enumerate().filter(|(place, _)| Some(*place) != found);
        others().flat_map(|(_, scope)| &scope.relations).any(|relation| self.closes(relation, name))
    }

    /// The same for `qualifier.name`, which was found in `found`.
    pub(super) fn is_closed_in_namesake(&self, qualifier: &str, name: &str, found: &Relation<'a>) -> bool {
        let namesake = |relation: &&Relation<'a>| {
            !std::ptr::eq(*relation, found) && same(&relation.name, qualifier) && self.closes(relation, name)
        };
        self.scopes.iter().flat_map(|scope| &scope.relations).any(|it| namesake(&it))
    }

    /// Whether another relation in sight has this one's name, as some engine reads names, and closed columns.
    pub(super) fn has_closed_namesake(&self, found: &Relation<'a>) -> bool {
        let alike = |other: &Relation<'a>| {
            other.name == found.name && other.table == found.table && other.schema == found.schema
        };
        let others = self.scopes.iter().flat_map(|scope| &scope.relations).filter(|other| !alike(other));
        others.filter(|other| other.closes).any(|other| same(&other.name, &found.name))
    }

    fn closes(&self, relation: &Relation<'a>, name: &str) -> bool {
        if !relation.closes {
            return false;
        }
        let masked = relation.columns.iter().filter(|column| {
            column.source.is_some_and(|source| self.schema.tables[source.table].columns[source.column].masked)
        });
        relation.hidden.iter().any(|hidden| same(hidden, name))
            || masked.filter_map(|column| column.name.as_deref()).any(|masked| same(masked, name))
    }

    pub(super) fn could_be_closed(&mut self, ident: &Ident) {
        let detail = format!(
            "`{}` could be read as a column that may not be read; write table.column, or another name.",
            ident.value
        );
        self.refuse(ViolationCode::AmbiguousColumn, detail);
    }
}

/// Whether any engine could take one name for the other: by case, width, accents, spaces at the ends, or characters
/// that weigh nothing.
fn same(one: &str, other: &str) -> bool {
    one == other || loose(one) == loose(other)
}

fn loose(name: &str) -> Cow<'_, str> {
    match name.is_ascii() {
        true if !name.bytes().any(|b| b.is_ascii_uppercase()) => name.trim().into(),
        true => name.trim().to_ascii_lowercase().into(),
        false => {
            let weighs = |c: &char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '$');
            let plain: String = name.nfkd().filter(weighs).collect();
            plain.trim().to_uppercase().to_lowercase().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_if_some_engine_takes_them_for_the_same() {
        for (one, other) in [
            ("email", "EMAIL"),
            ("PRÉNOM", "prénom"),
            ("ｅｍａｉｌ", "email"),
            ("ſsn", "SSN "),
            ("marK", "mark"),
            ("emaİl", "email"),
            ("s\u{ad}sn", "ssn"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        assert!(!same("email", "e_mail"));
    }
}
