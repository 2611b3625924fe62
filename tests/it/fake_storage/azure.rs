//! Azure Blob: Shared Key authorization and the operations on block blobs, by Microsoft's REST reference.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};

use super::{AZURE_KEY, Answer, Asked, Operation, Refusal, Stored, elements, etag, hmac, page, send_object};

pub const ACCOUNT: &str = "almanacs";
/// Minutes that clocks may differ.
const SKEW: i64 = 15;

/// Checks the signature and what every request must have; says what is asked for.
pub fn check(asked: &Asked) -> Result<Operation, Refusal> {
    signature(asked)?;
    let container = asked.path == "/bucket" || asked.path == "/bucket/";
    if container && asked.query("restype") != Some("container") {
        return Err(Refusal(400, "InvalidQueryParameterValue", "restype".to_owned()));
    }
    match (asked.method.as_str(), asked.query("comp"), container) {
        ("GET", Some("list"), true) => Ok(Operation::List),
        ("POST", Some("batch"), true) => Ok(Operation::Delete),
        ("PUT", None, false) => Ok(Operation::Put),
        ("PUT", Some("block"), false) => Ok(Operation::Part),
        ("PUT", Some("blocklist"), false) => Ok(Operation::Complete),
        ("GET", None, false) => Ok(Operation::Get),
        ("HEAD", None, false) => Ok(Operation::Head),
        other => Err(Refusal(405, "UnsupportedHttpVerb", format!("{other:?}"))),
    }
}

/// <https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-shared-key>
fn signature(asked: &Asked) -> Result<(), Refusal> {
    let denied = |words: &str| Refusal(403, "AuthenticationFailed", words.to_owned());
    if asked.header("x-ms-version").is_none_or(|version| version < "2015-02-21") {
        return Err(denied("x-ms-version"));
    }
    let date = asked.header("x-ms-date").or_else(|| asked.header("date")).unwrap_or_default();
    let sent = DateTime::parse_from_rfc2822(date).map_err(|_| denied("no date"))?;
    if (Utc::now() - sent.with_timezone(&Utc)).num_minutes().abs() >= SKEW {
        return Err(denied("the date is too far off"));
    }
    let header = |name: &str| asked.header(name).unwrap_or_default();
    let length = if asked.body.is_empty() { String::new() } else { asked.body.len().to_string() };
    let mut lines = vec![
        asked.method.as_str(),
        header("content-encoding"),
        header("content-language"),
        &length,
        header("content-md5"),
        header("content-type"),
        if asked.headers.contains_key("x-ms-date") { "" } else { header("date") },
        header("if-modified-since"),
        header("if-match"),
        header("if-none-match"),
        header("if-unmodified-since"),
        header("range"),
    ];
    let mut own: Vec<String> = asked
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
        .map(|(name, value)| format!("{name}:{}", value.to_str().unwrap().trim()))
        .collect();
    own.sort();
    lines.extend(own.iter().map(String::as_str));
    let resource = format!("/{ACCOUNT}{}", asked.path);
    let mut query: Vec<String> =
        asked.query.iter().map(|(name, value)| format!("{}:{value}", name.to_lowercase())).collect();
    query.sort();
    lines.push(&resource);
    lines.extend(query.iter().map(String::as_str));
    let signature =
        BASE64_STANDARD.encode(hmac(&BASE64_STANDARD.decode(AZURE_KEY).unwrap(), lines.join("\n").as_bytes()));
    match asked.header("authorization") == Some(&format!("SharedKey {ACCOUNT}:{signature}")) {
        true => Ok(()),
        false => Err(denied("another signature")),
    }
}

pub fn carry_out(state: &mut Stored, operation: Operation, asked: &Asked) -> Answer {
    let key = asked.path.strip_prefix("/bucket/").unwrap_or_default().to_owned();
    match operation {
        Operation::Put => {
            if asked.header("x-ms-blob-type") != Some("BlockBlob") {
                return Err(Refusal(400, "MissingRequiredHeader", "x-ms-blob-type".to_owned()));
            }
            state.objects.insert(key, asked.body.clone());
            Ok(created(&asked.body))
        }
        Operation::Part => block(state, asked, key),
        Operation::Complete => block_list(state, asked, key),
        Operation::Get | Operation::Head => {
            let object = state.objects.get(&key).ok_or_else(|| Refusal(404, "BlobNotFound", key.clone()))?;
            Ok(send_object(asked, object))
        }
        Operation::List => Ok(list(state, asked)),
        Operation::Delete => batch(state, asked),
        Operation::Create | Operation::Abort => Err(Refusal(405, "UnsupportedHttpVerb", String::new())),
    }
}

fn created(bytes: &[u8]) -> Response {
    (
        StatusCode::CREATED,
        [(header::ETAG, etag(bytes)), (header::LAST_MODIFIED, "Fri, 20 Nov 2026 12:00:00 GMT".to_owned())],
    )
        .into_response()
}

fn block(state: &mut Stored, asked: &Asked, key: String) -> Answer {
    let id = asked.query("blockid").unwrap_or_default();
    let decoded = BASE64_STANDARD.decode(id).map_err(|_| Refusal(400, "InvalidQueryParameterValue", id.to_owned()))?;
    let blocks = state.uploads.entry(key).or_default();
    let same_length = blocks.keys().all(|other| other.len() == id.len());
    if decoded.is_empty() || decoded.len() > 64 || !same_length || asked.body.is_empty() {
        return Err(Refusal(400, "InvalidBlobOrBlock", id.to_owned()));
    }
    blocks.insert(id.to_owned(), asked.body.clone());
    Ok(created(&asked.body))
}

fn block_list(state: &mut Stored, asked: &Asked, key: String) -> Answer {
    let unknown = |id: &str| Refusal(400, "InvalidBlockList", id.to_owned());
    let blocks = state.uploads.get(&key).ok_or_else(|| unknown("no blocks"))?;
    let mut whole = Vec::new();
    for id in elements(asked.text(), "Uncommitted") {
        whole.extend_from_slice(blocks.get(id).ok_or_else(|| unknown(id))?);
    }
    state.uploads.remove(&key);
    let answer = created(&whole);
    state.objects.insert(key, whole.into());
    Ok(answer)
}

fn list(state: &Stored, asked: &Asked) -> Response {
    let (page, more) =
        page(state, asked.query("prefix").unwrap_or_default(), asked.query("marker").unwrap_or_default());
    let blobs: String = page
        .iter()
        .map(|(key, object)| {
            format!(
                "<Blob><Name>{key}</Name><Properties><Last-Modified>Fri, 20 Nov 2026 12:00:00 GMT</Last-Modified>\
                 <Etag>0x8D</Etag><Content-Length>{}</Content-Length><Content-Type>application/octet-stream</Content-Type>\
                 <BlobType>BlockBlob</BlobType></Properties></Blob>",
                object.len()
            )
        })
        .collect();
    let next = page.last().filter(|_| more).map(|(key, _)| key.as_str()).unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"bucket\"><Blobs>{blobs}</Blobs>\
         <NextMarker>{next}</NextMarker></EnumerationResults>"
    )
    .into_response()
}

/// Deletions in one request, each signed by itself.
/// <https://learn.microsoft.com/en-us/rest/api/storageservices/blob-batch>
fn batch(state: &mut Stored, asked: &Asked) -> Answer {
    let malformed = |words: &str| Refusal(400, "InvalidInput", words.to_owned());
    let boundary = asked.header("content-type").and_then(|kind| kind.strip_prefix("multipart/mixed; boundary="));
    let boundary = boundary.ok_or_else(|| malformed("content type"))?;
    let (mark, end) = (format!("--{boundary}\r\n"), format!("--{boundary}--"));
    let inside = asked.text().split_once(&end).ok_or_else(|| malformed("no end"))?.0;
    let mut answers = String::new();
    for part in inside.split(&mark).skip(1) {
        let (about, request) = part.split_once("\r\n\r\n").ok_or_else(|| malformed("no inner request"))?;
        let about = headers(about)?;
        let id = about.get("content-id").ok_or_else(|| malformed("no Content-ID"))?.to_str().unwrap();
        if about.get("content-type").is_none_or(|kind| kind != "application/http") {
            return Err(malformed("not application/http"));
        }
        let (line, rest) = request.split_once("\r\n").ok_or_else(|| malformed("no request line"))?;
        let path = line.strip_prefix("DELETE ").and_then(|line| line.strip_suffix(" HTTP/1.1"));
        let path = path.ok_or_else(|| malformed(line))?.to_owned();
        let inner = Asked {
            method: axum::http::Method::DELETE,
            path: path.clone(),
            query: Vec::new(),
            headers: headers(rest.trim_end())?,
            body: Default::default(),
        };
        // Signed for a service whose version is that of the outer request.
        signature(&inner)?;
        let found = state.objects.remove(path.strip_prefix("/bucket/").unwrap_or_default()).is_some();
        let status = if found { "202 Accepted" } else { "404 The specified blob does not exist." };
        answers.push_str(&format!(
            "--batchresponse\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {status}\r\n\
             x-ms-version: 2023-11-03\r\n\r\n"
        ));
    }
    answers.push_str("--batchresponse--\r\n");
    Ok((StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "multipart/mixed; boundary=batchresponse")], answers)
        .into_response())
}

fn headers(lines: &str) -> Result<HeaderMap, Refusal> {
    let malformed = || Refusal(400, "InvalidInput", lines.to_owned());
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    lines.split("\r\n").map(|line| pair(line).ok_or_else(malformed)).collect()
}
