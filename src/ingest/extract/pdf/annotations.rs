//! What was filled into a form's fields, and notes written onto the page, where they show no text of their own
//! ([`super::appearance`]): a tick, a field that programs draw anew. Left out: what is hidden, passwords, boxes without a
//! tick, and the comments of sticky notes and marks, which are not the document's own words.

use std::collections::{HashMap, HashSet};

use pdfboss_core::{Annotation, ButtonKind, Document, FieldType, FormField, ObjRef, Object, Page};

/// A line for each filled field and each note of every page that is not among `shown`, in the order of the page's
/// annotations. Of a list that shows all its choices, the line tells those that were chosen.
pub fn lines(document: &Document, shown: &HashSet<ObjRef>) -> Vec<Vec<String>> {
    let pages = (0..document.flattened_page_count()).map(|index| document.page(index).ok());
    let pages: Vec<Option<Page>> = pages.map(|page| page.filter(|page| may_have_lines(document, page))).collect();
    if pages.iter().all(Option::is_none) {
        return Vec::new();
    }
    let fields = document.form_fields();
    let widgets = fields.iter().flat_map(|field| field.widgets.iter().map(move |each| (each.object, field)));
    let mut lines = Lines { by_widget: widgets.collect(), shown, told: HashSet::new() };
    pages.iter().map(|page| page.as_ref().map_or_else(Vec::new, |page| lines.of_page(document, page))).collect()
}

/// Whether there are fields or notes on the page, and not only links, which take long to read.
fn may_have_lines(document: &Document, page: &Page) -> bool {
    let annotations = page.dict().get("Annots").and_then(|named| document.resolve(named).ok());
    let annotations = annotations.as_ref().and_then(Object::as_array).unwrap_or_default();
    annotations.iter().filter_map(|annotation| document.resolve(annotation).ok()).any(|annotation| {
        let subtype = annotation.as_dict().and_then(|dict| dict.get_name("Subtype"));
        subtype.is_some_and(|subtype| matches!(subtype.0.as_str(), "Widget" | "FreeText"))
    })
}

struct Lines<'a> {
    by_widget: HashMap<ObjRef, &'a FormField>,
    shown: &'a HashSet<ObjRef>,
    /// Fields that have their line: the same one may be drawn in several places.
    told: HashSet<ObjRef>,
}

impl Lines<'_> {
    fn of_page(&mut self, document: &Document, page: &Page) -> Vec<String> {
        let annotations = document.annotations(page);
        // Some programs leave the same note several times.
        let mut seen = HashSet::new();
        let found = annotations.iter().filter_map(|annotation| self.line(annotation));
        found.filter(|line| seen.insert(line.clone())).collect()
    }

    fn line(&mut self, annotation: &Annotation) -> Option<String> {
        if annotation.flags.hidden() || annotation.flags.no_view() {
            return None;
        }
        let is_shown = annotation.object.map_or(annotation.has_appearance, |object| self.shown.contains(&object));
        let text = match annotation.subtype.as_str() {
            "FreeText" if !is_shown => annotation.contents.clone()?,
            "Widget" => {
                let field = self.by_widget.get(&annotation.object?)?;
                let is_list = field.field_type == Some(FieldType::Choice) && !field.flags.combo();
                if is_shown && !is_list {
                    return None;
                }
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
