//! What annotations show on a page: the text that was filled into a field, the caption of a button, a note, a stamp. Each
//! appearance stream (ISO 32000-1, 12.5.5) becomes a page of its own, placed where the annotation lies, so that its text is
//! read like the page's. Left out: what viewers hide, pop-up windows, passwords, and appearances that the form calls out
//! of date.

use std::collections::HashMap;

use pdfboss_core::{
    ButtonKind, Dict, Document, FieldType, FormField, Matrix, Name, ObjRef, Object, Page, Point, Rect, Stream,
};

/// The bits `Hidden` and `NoView` (ISO 32000-1, table 165).
const UNSEEN: i64 = 1 << 1 | 1 << 5;

/// The name of the appearance among its page's resources.
const FORM: &str = "A";

/// The fields of a document's form, by the annotations that draw them.
pub struct Fields {
    by_widget: HashMap<ObjRef, Field>,
    /// Whether values are newer than the appearances (ISO 32000-1, table 218, `NeedAppearances`).
    are_stale: bool,
}

struct Field {
    /// What the form calls it, where that says more than what it shows.
    name: Option<String>,
    holds_value: bool,
    is_password: bool,
}

pub struct Appearance {
    pub annotation: Option<ObjRef>,
    /// What the form calls the field that it shows.
    pub name: Option<String>,
    pub page: Page,
}

impl Fields {
    pub fn of(document: &Document) -> Fields {
        let Some(form) = document.interactive_form() else {
            return Fields { by_widget: HashMap::new(), are_stale: false };
        };
        let fields = document.form_fields();
        let by_widget =
            fields.iter().flat_map(|field| field.widgets.iter().map(|widget| (widget.object, Field::of(field))));
        Fields { by_widget: by_widget.collect(), are_stale: form.need_appearances }
    }

    fn is_left_out(&self, widget: ObjRef) -> bool {
        let field = self.by_widget.get(&widget);
        field.is_some_and(|field| field.is_password || self.are_stale && field.holds_value)
    }
}

impl Field {
    fn of(field: &FormField) -> Field {
        let name = field.alternate_name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let is_caption = field.button_kind() == Some(ButtonKind::PushButton);
        Field {
            name: name.filter(|_| !is_caption).map(str::to_owned),
            holds_value: matches!(field.field_type, Some(FieldType::Text | FieldType::Choice)),
            is_password: field.flags.password() && field.field_type == Some(FieldType::Text),
        }
    }
}

/// The appearances on `page`, in the order of its annotations.
pub fn on(document: &Document, page: &Page, fields: &Fields) -> Vec<Appearance> {
    let annotations = page.dict().get("Annots").and_then(|named| document.resolve(named).ok());
    let annotations = annotations.as_ref().and_then(Object::as_array).unwrap_or_default();
    annotations.iter().filter_map(|annotation| appearance(document, page, annotation, fields)).collect()
}

fn appearance(document: &Document, page: &Page, named: &Object, fields: &Fields) -> Option<Appearance> {
    let annotation = document.resolve(named).ok()?;
    let annotation = annotation.as_dict()?;
    let is_popup = annotation.get_name("Subtype").is_some_and(|name| name.0 == "Popup");
    let is_unseen = annotation.get_int("F").is_some_and(|flags| flags & UNSEEN != 0);
    if is_popup || is_unseen || named.as_ref().is_some_and(|widget| fields.is_left_out(widget)) {
        return None;
    }
    let form = normal(document, annotation)?;
    let stream = document.resolve(&form).ok()?;
    let page = page_of(page, form, placement(document, annotation, &stream.as_stream()?.dict)?);
    let field = named.as_ref().and_then(|widget| fields.by_widget.get(&widget));
    Some(Appearance { annotation: named.as_ref(), name: field.and_then(|field| field.name.clone()), page })
}

/// A page that draws nothing but the form.
fn page_of(page: &Page, form: Object, place: Matrix) -> Page {
    let Matrix { a, b, c, d, e, f } = place;
    let content = format!("q {a} {b} {c} {d} {e} {f} cm /{FORM} Do Q").into_bytes();
    let contents = Object::Stream(Stream { dict: Dict::new(), data: content });
    let resources = dict([("XObject", Object::Dict(dict([(FORM, form)])))]);
    let dict = dict([("Contents", contents)]);
    Page::from_parts(page.index, page.media_box, page.crop_box, page.rotate, resources, dict, None)
}

/// The appearance stream, or the one for the annotation's state, as it is named in the file.
fn normal(document: &Document, annotation: &Dict) -> Option<Object> {
    let appearances = document.resolve(annotation.get("AP")?).ok()?;
    let normal = appearances.as_dict()?.get("N")?;
    match document.resolve(normal).ok()? {
        Object::Stream(_) => Some(normal.clone()),
        Object::Dict(states) => states.get(&annotation.get_name("AS")?.0).cloned(),
        _ => None,
    }
}

/// What moves the appearance's box onto the annotation's rectangle (ISO 32000-1, 12.5.5, algorithm 8.1).
fn placement(document: &Document, annotation: &Dict, form: &Dict) -> Option<Matrix> {
    let place = rectangle(document, annotation, "Rect")?;
    let matrix = match numbers(document, form, "Matrix").as_deref() {
        Some(&[a, b, c, d, e, f]) => Matrix { a, b, c, d, e, f },
        _ => Matrix::identity(),
    };
    let shown = rectangle(document, form, "BBox")?.transform(matrix).normalize();
    let scale = |wanted: f32, found: f32| if found > 0.0 { wanted / found } else { 1.0 };
    let (x, y) = (scale(place.width(), shown.width()), scale(place.height(), shown.height()));
    let moved = Matrix { a: x, b: 0.0, c: 0.0, d: y, e: place.x0 - shown.x0 * x, f: place.y0 - shown.y0 * y };
    let Point { x, y } = moved.apply(Point::new(1.0, 1.0));
    (x.is_finite() && y.is_finite()).then_some(moved)
}

fn rectangle(document: &Document, dict: &Dict, key: &str) -> Option<Rect> {
    match numbers(document, dict, key)?.as_slice() {
        &[x0, y0, x1, y1] => Some(Rect::new(x0, y0, x1, y1).normalize()),
        _ => None,
    }
}

fn numbers(document: &Document, dict: &Dict, key: &str) -> Option<Vec<f32>> {
    let array = document.resolve(dict.get(key)?).ok()?;
    let number = |item| document.resolve(item).ok()?.as_f64().map(|number| number as f32);
    array.as_array()?.iter().map(number).collect()
}

fn dict<const N: usize>(entries: [(&str, Object); N]) -> Dict {
    let mut dict = Dict::new();
    for (key, value) in entries {
        dict.insert(Name(key.to_owned()), value);
    }
    dict
}
