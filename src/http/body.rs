//! What comes in: JSON bodies, query parameters, path ids and pages, each refused with a problem that names the fault.

use std::{
    fmt,
    io::{self, BufRead},
};

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::{Code, Problem};

/// A JSON body of type `T`; unknown fields are refused where `T` says so, which every request body does.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        require_json(request.headers())?;
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| too_large_or_cut_off(&rejection))?;
        parse(&bytes).map(Body)
    }
}

/// Malformed JSON is a 400; JSON that is not a `T` is a 422 that names the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde reads a struct from an array too, field by field; nobody means that.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
        && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
    {
        return Err(Problem::invalid("", "must be a JSON object"));
    }
    parse_from(serde_json::Deserializer::from_slice(bytes))
}

/// The same for a body that is not in memory; `open` reads it from its start.
pub fn parse_again<T: DeserializeOwned, R: BufRead>(open: impl Fn() -> io::Result<R>) -> Result<T, Problem> {
    let mut reader = open().map_err(Problem::internal)?;
    let is_array = loop {
        let bytes = reader.fill_buf().map_err(Problem::internal)?;
        match bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
            None if !bytes.is_empty() => {
                let blank = bytes.len();
                reader.consume(blank);
            }
            first => break first.and_then(|first| bytes.get(first)) == Some(&b'['),
        }
    };
    if is_array {
        return Err(Problem::invalid("", "must be a JSON object"));
    }
    parse_from(serde_json::Deserializer::from_reader(open().map_err(Problem::internal)?))
}

fn parse_from<'de, T: Deserialize<'de>, R: serde_json::de::Read<'de>>(
    mut deserializer: serde_json::Deserializer<R>,
) -> Result<T, Problem> {
    let value: T = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = short(pointer(error.path()));
        let error = error.into_inner();
        let category = error.classify();
        let said = short(error.to_string());
        match category {
            serde_json::error::Category::Data => Problem::invalid(pointer, said),
            _ => Problem::new(Code::MalformedJson, format!("The body is not valid JSON: {said}")),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::new(Code::MalformedJson, format!("The body goes on after its JSON: {error}")))?;
    Ok(value)
}

/// What is wrong may quote what was sent, however long that is.
fn short(mut said: String) -> String {
    const MOST: usize = 500;
    if said.len() > MOST {
        said.truncate(said.floor_char_boundary(MOST));
        said.push('…');
    }
    said
}

pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    match is_json(headers) {
        true => Ok(()),
        false => Err(Problem::new(Code::UnsupportedMediaType, "Send the body as \"Content-Type: application/json\".")),
    }
}

pub fn is_json(headers: &HeaderMap) -> bool {
    let essence = content_type(headers);
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

/// The media type without its parameters, in lower case.
pub fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn too_large_or_cut_off(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        status if status == axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::TooLarge, "The body is larger than this endpoint takes.")
        }
        _ => Problem::new(Code::MalformedRequest, "The body could not be read to its end."),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}

/// Query parameters of type `T`.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Params(value))
            .map_err(|rejection| Problem::invalid("?", rejection.body_text()))
    }
}

/// The one id in a path; anything that is no UUID names nothing.
pub struct Id(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id, Problem> {
        let Path(text): Path<String> =
            Path::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("resource"))?;
        text.parse().map(Id).map_err(|_| Problem::not_found("resource"))
    }
}

/// `?limit=` and `?cursor=` of a list.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// How many to return.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: i64,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Items on a page when nobody says.
pub fn default_limit() -> i64 {
    20
}

const MAX_LIMIT: i64 = 100;

impl PageParams {
    /// One more than was asked for, so that the store's answer tells whether there is a next page.
    pub fn rows(&self) -> Result<i64, Problem> {
        if (1..=MAX_LIMIT).contains(&self.limit) {
            Ok(self.limit + 1)
        } else {
            Err(Problem::invalid("?limit", format!("must be from 1 to {MAX_LIMIT}")))
        }
    }

    /// The id after which the page begins.
    pub fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        self.cursor
            .as_deref()
            .map(|cursor| cursor.parse().map_err(|_| Problem::invalid("?cursor", "is not a next_cursor of this list")))
            .transpose()
    }

    /// The page of `rows`, of which there may be one too many.
    pub fn page<T>(&self, mut rows: Vec<T>, cursor: impl Fn(&T) -> String) -> Json<Page<T>> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = more.then(|| rows.last().map(&cursor)).flatten();
        Json(Page { data: rows, next_cursor })
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    pub next_cursor: Option<String>,
}

/// Text between 1 and `most` characters, without control characters.
pub fn check_name(pointer: &str, text: &str, most: usize) -> Result<(), Problem> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > most || text.chars().any(char::is_control) {
        return Err(Problem::invalid(pointer, format!("must be 1 to {most} characters of text")));
    }
    Ok(())
}

/// Text of a few paragraphs.
pub fn check_description(description: Option<&str>) -> Result<(), Problem> {
    const MOST: usize = 2_000;
    match description {
        Some(text) if text.chars().count() > MOST || text.contains('\0') => {
            Err(Problem::invalid("/description", format!("must be at most {MOST} characters of text")))
        }
        _ => Ok(()),
    }
}

/// A share of a whole, where one is given.
pub fn check_share<T: PartialOrd + From<u8> + Copy>(pointer: &str, share: Option<T>) -> Result<Option<T>, Problem> {
    match share {
        Some(share) if !(T::from(0)..=T::from(1)).contains(&share) => {
            Err(Problem::invalid(pointer, "must be from 0 to 1"))
        }
        share => Ok(share),
    }
}

/// Metadata and the like: an object, within bounds, without what PostgreSQL cannot keep.
pub fn check_metadata(pointer: &str, value: &Value) -> Result<(), Problem> {
    if !value.is_object() {
        return Err(Problem::invalid(pointer, "must be a JSON object"));
    }
    if value.to_string().len() > MOST_METADATA {
        return Err(Problem::invalid(pointer, format!("is larger than {MOST_METADATA} bytes")));
    }
    match unkeepable(value) {
        Some(what) => Err(Problem::invalid(pointer, what)),
        None => Ok(()),
    }
}

const MOST_METADATA: usize = 16 * 1024;

/// Metadata that comes in a large body: given up as soon as it is too large for [`check_metadata`]. As a [`Value`] it would
/// take many times the memory of its text.
pub fn bounded_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let mut left = MOST_METADATA;
    let value = Bounded { left: &mut left }.deserialize(deserializer)?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// A value whose text has at most so many bytes, counted from below.
struct Bounded<'a> {
    left: &'a mut usize,
}

impl Bounded<'_> {
    fn spend<E: de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        let left = self.left.checked_sub(bytes);
        *self.left = left.ok_or_else(|| E::custom(format_args!("is larger than {MOST_METADATA} bytes")))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_unit<E: de::Error>(mut self) -> Result<Value, E> {
        self.spend("null".len())?;
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(mut self, value: bool) -> Result<Value, E> {
        self.spend("true".len())?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(mut self, value: i64) -> Result<Value, E> {
        self.spend(1)?;
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(mut self, value: u64) -> Result<Value, E> {
        self.spend(1)?;
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(mut self, value: f64) -> Result<Value, E> {
        self.spend(1)?;
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(mut self, value: &str) -> Result<Value, E> {
        self.spend(value.len() + 2)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        self.spend(2)?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Bounded { left: self.left })? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        self.spend(2)?;
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            self.spend(name.len() + 3)?;
            object.insert(name, fields.next_value_seed(Bounded { left: self.left })?);
        }
        Ok(Value::Object(object))
    }
}

/// What PostgreSQL's jsonb cannot keep, or not give back.
fn unkeepable(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) => text.contains('\0').then_some("contains a NUL character"),
        Value::Number(number) => {
            number.as_f64().is_none_or(|number| number.abs() > 1e300).then_some("contains a number beyond 1e300")
        }
        Value::Array(items) => items.iter().find_map(unkeepable),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.contains('\0') { Some("contains a NUL character") } else { unkeepable(value) }
        }),
        Value::Null | Value::Bool(_) => None,
    }
}

/// Rows as `text/csv`, for `Accept: text/csv`.
pub fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept
        .split(',')
        .any(|part| part.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")))
}

pub fn csv_response(csv: String) -> Response {
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response()
}
