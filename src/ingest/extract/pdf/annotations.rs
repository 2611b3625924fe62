//! Text that lies over a page and not in it: what was filled into a form's fields, and notes written onto the page.
//! Comments are left out: they are about the document, not of it.

use std::collections::HashMap;

use pdfboss_core::{Annotation, Document, FormField, ObjRef};

/// A line for each filled field and each note of every page, in the order of the page's annotations.
pub fn lines(document: &Document) -> Vec<Vec<String>> {
    let fields = document.form_fields();
    let by_widget: HashMap<ObjRef, &FormField> =
        fields.iter().flat_map(|field| field.widgets.iter().map(move |widget| (widget.object, field))).collect();
    let pages = (0..document.flattened_page_count()).map(|index| document.page(index));
    pages
        .map(|page| {
            let annotations = page.map(|page| document.annotations(&page)).unwrap_or_default();
            annotations.iter().filter_map(|annotation| line(annotation, &by_widget)).collect()
        })
        .collect()
}

fn line(annotation: &Annotation, fields: &HashMap<ObjRef, &FormField>) -> Option<String> {
    if annotation.flags.hidden() || annotation.flags.no_view() {
        return None;
    }
    let text = match annotation.subtype.as_str() {
        "FreeText" => annotation.contents.clone()?,
        "Widget" => filled(fields.get(&annotation.object?)?)?,
        _ => return None,
    };
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The value of a text or choice field, after the name that the form shows for it.
fn filled(field: &FormField) -> Option<String> {
    if field.flags.password() {
        return None;
    }
    let value = field.text().unwrap_or_else(|| field.selected().join(", "));
    match &field.alternate_name {
        _ if value.trim().is_empty() => None,
        Some(name) if !name.trim().is_empty() => Some(format!("{}: {value}", name.trim())),
        _ => Some(value),
    }
}
