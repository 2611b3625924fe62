//! Text that lies over a page and not in it: what was filled into a form's fields, and notes written onto the page. Left
//! out: what is hidden, passwords, boxes without a tick, captions of buttons, and the comments of sticky notes and marks,
//! which are not the document's own words.

use std::collections::{HashMap, HashSet};

use pdfboss_core::{Annotation, ButtonKind, Document, FormField, ObjRef};

/// A line for each filled field and each note of every page, in the order of the page's annotations.
pub fn lines(document: &Document) -> Vec<Vec<String>> {
    let fields = document.form_fields();
    let mut lines = Lines {
        by_widget: fields.iter().flat_map(|field| field.widgets.iter().map(move |each| (each.object, field))).collect(),
        told: HashSet::new(),
    };
    let pages = (0..document.flattened_page_count()).map(|index| document.page(index));
    pages
        .map(|page| {
            let annotations = page.map(|page| document.annotations(&page)).unwrap_or_default();
            // Some programs leave the same note several times.
            let mut seen = HashSet::new();
            let found = annotations.iter().filter_map(|annotation| lines.line(annotation));
            found.filter(|line| seen.insert(line.clone())).collect()
        })
        .collect()
}

struct Lines<'a> {
    by_widget: HashMap<ObjRef, &'a FormField>,
    /// Fields that have their line: the same one may be drawn in several places.
    told: HashSet<ObjRef>,
}

impl Lines<'_> {
    fn line(&mut self, annotation: &Annotation) -> Option<String> {
        if annotation.flags.hidden() || annotation.flags.no_view() {
            return None;
        }
        let text = match annotation.subtype.as_str() {
            "FreeText" => annotation.contents.clone()?,
            "Widget" => {
                let field = self.by_widget.get(&annotation.object?)?;
                filled(field).filter(|_| self.told.insert(field.object))?
            }
            _ => return None,
        };
        (!text.trim().is_empty()).then(|| text.trim().to_owned())
    }
}

/// A field's value, after the name that the form shows. A name that only programs see would be noise in the text, but a
/// tick means nothing without one.
fn filled(field: &FormField) -> Option<String> {
    let value = value(field).filter(|value| !value.trim().is_empty())?;
    let shown = field.alternate_name.as_deref().map(str::trim).unwrap_or_default();
    let name = if shown.is_empty() && field.button_kind().is_some() { last_part(&field.name) } else { shown };
    Some(if name.is_empty() { value } else { format!("{name}: {}", value.trim()) })
}

fn value(field: &FormField) -> Option<String> {
    if field.flags.password() {
        return None;
    }
    match field.button_kind() {
        Some(ButtonKind::PushButton) => None,
        Some(ButtonKind::CheckBox | ButtonKind::RadioButtons) => ticked(field),
        None => field.text().or_else(|| Some(choices(field))),
    }
}

/// What the ticked box stands for: its export value (ISO 32000-1, table 227), else the name of its state.
fn ticked(field: &FormField) -> Option<String> {
    let state = field.state().filter(|state| *state != "Off")?;
    let exported = field.on_widgets().first().and_then(|index| field.options.get(*index));
    Some(exported.map_or(state, |option| option.name.as_str()).to_owned())
}

/// The options as the form shows them, where the value is what it exports.
fn choices(field: &FormField) -> String {
    let shown = |value: String| {
        let option = field.options.iter().find(|option| option.export_value == value);
        option.map_or(value, |option| option.name.clone())
    };
    field.selected().into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// `Address.Street[0]` is `Street`.
fn last_part(name: &str) -> &str {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.split('[').next().unwrap_or_default().trim()
}
