//! S3: Signature Version 4 and the operations on objects, by AWS's API reference.

use axum::{
    http::{Method, StatusCode, header},
    response::IntoResponse,
};
use chrono::{NaiveDateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::{
    Answer, Asked, Operation, Refusal, SECRETS, Stored, elements, etag, hmac, page, send_object, sha256_base64,
};

pub const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub const REGION: &str = "eu-central-1";
const MIN_PART: usize = 5 << 20;
/// Minutes that clocks may differ.
const SKEW: i64 = 15;
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Checks the signature and what every request must have; says what is asked for.
pub fn check(asked: &Asked) -> Result<Operation, Refusal> {
    signature(asked)?;
    let bucket = asked.path == "/bucket" || asked.path == "/bucket/";
    let has = |name| asked.query(name).is_some();
    let operation = match (asked.method.as_str(), bucket) {
        ("GET", true) if asked.query("list-type") == Some("2") => Operation::List,
        ("POST", true) if has("delete") => Operation::Delete,
        ("PUT", false) if has("partNumber") => Operation::Part,
        ("PUT", false) => Operation::Put,
        ("POST", false) if has("uploads") => Operation::Create,
        ("POST", false) if has("uploadId") => Operation::Complete,
        ("DELETE", false) if has("uploadId") => Operation::Abort,
        ("GET", false) => Operation::Get,
        ("HEAD", false) => Operation::Head,
        _ => return Err(Refusal(405, "MethodNotAllowed", String::new())),
    };
    if asked.path != "/bucket" && !asked.path.starts_with("/bucket/") {
        return Err(Refusal(404, "NoSuchBucket", String::new()));
    }
    Ok(operation)
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
fn signature(asked: &Asked) -> Result<(), Refusal> {
    let denied = |words: &str| Refusal(403, "SignatureDoesNotMatch", words.to_owned());
    let required = |name: &str| asked.header(name).ok_or_else(|| denied(&format!("{name} is missing")));
    let (date, payload, authorization) =
        (required("x-amz-date")?, required("x-amz-content-sha256")?, required("authorization")?);
    let sent = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| denied("x-amz-date"))?;
    if (Utc::now().naive_utc() - sent).num_minutes().abs() >= SKEW {
        return Err(Refusal(403, "RequestTimeTooSkewed", date.to_owned()));
    }
    if payload != hex::encode(Sha256::digest(&asked.body)) {
        return Err(Refusal(400, "XAmzContentSHA256Mismatch", payload.to_owned()));
    }
    if asked.header("x-amz-security-token") != Some(SECRETS[1]) {
        return Err(Refusal(403, "InvalidToken", String::new()));
    }
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(|| denied("another scheme"))?;
    let field = |name: &str| {
        let field = fields.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.ok_or_else(|| denied(&format!("no {name}")))
    };
    let scope = format!("{}/{REGION}/s3/aws4_request", &date[..8]);
    if field("Credential")? != format!("{KEY_ID}/{scope}") {
        return Err(Refusal(403, "InvalidAccessKeyId", field("Credential")?.to_owned()));
    }
    let signed: Vec<&str> = field("SignedHeaders")?.split(';').collect();
    // Everything of Amazon's must be signed, and so must the host.
    let must = |name: &str| name == "host" || name.starts_with("x-amz-") || name == "content-md5";
    if let Some(unsigned) = asked.headers.keys().find(|name| must(name.as_str()) && !signed.contains(&name.as_str())) {
        return Err(denied(&format!("{unsigned} is not signed")));
    }
    if !signed.is_sorted() {
        return Err(denied("SignedHeaders are not sorted"));
    }
    let mut headers = String::new();
    for name in &signed {
        headers.push_str(&format!("{name}:{}\n", asked.header(name).ok_or_else(|| denied(name))?.trim()));
    }
    let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    let mut query: Vec<_> = asked.query.iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
    query.sort();
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let canonical =
        [asked.method.as_str(), &asked.path, &query.join("&"), &headers, &signed.join(";"), payload].join("\n");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let secret = format!("AWS4{}", SECRETS[0]);
    let key = [&date[..8], REGION, "s3", "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    match field("Signature")? == hex::encode(hmac(&key, to_sign.as_bytes())) {
        true => Ok(()),
        false => Err(denied("another signature")),
    }
}

pub fn carry_out(state: &mut Stored, operation: Operation, asked: &Asked) -> Answer {
    let key = asked.path.strip_prefix("/bucket/").unwrap_or_default().to_owned();
    match operation {
        Operation::Put => {
            checksum(asked)?;
            state.objects.insert(key, asked.body.clone());
            Ok([(header::ETAG, etag(&asked.body))].into_response())
        }
        Operation::Create => create(state, asked, &key),
        Operation::Part => part(state, asked, &key),
        Operation::Complete => complete(state, asked, &key),
        Operation::Abort => {
            state.uploads.remove(&upload_id(state, asked, &key)?);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Operation::Get | Operation::Head => {
            let object = state.objects.get(&key).ok_or_else(|| Refusal(404, "NoSuchKey", key.clone()))?;
            Ok(send_object(asked, object))
        }
        Operation::List => Ok(list(state, asked)),
        Operation::Delete => delete(state, asked),
    }
}

/// Whoever asks for checksums sends one with all that is stored.
fn checksum(asked: &Asked) -> Result<String, Refusal> {
    let expected = sha256_base64(&asked.body);
    match asked.header("x-amz-checksum-sha256") {
        Some(sent) if sent == expected => Ok(expected),
        other => Err(Refusal(400, "BadDigest", format!("{other:?}"))),
    }
}

fn create(state: &mut Stored, asked: &Asked, key: &str) -> Answer {
    if asked.header("x-amz-checksum-algorithm") != Some("SHA256") {
        return Err(Refusal(400, "InvalidRequest", "no checksum algorithm".to_owned()));
    }
    state.number += 1;
    let id = format!("{key}+{}==", state.number);
    state.uploads.insert(id.clone(), Default::default());
    let xml = format!(
        "<?xml version=\"1.0\"?><InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Bucket>bucket</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    );
    Ok(xml.into_response())
}

fn upload_id(state: &Stored, asked: &Asked, key: &str) -> Result<String, Refusal> {
    let id = asked.query("uploadId").unwrap_or_default();
    match state.uploads.contains_key(id) && id.starts_with(&format!("{key}+")) {
        true => Ok(id.to_owned()),
        false => Err(Refusal(404, "NoSuchUpload", id.to_owned())),
    }
}

fn part(state: &mut Stored, asked: &Asked, key: &str) -> Answer {
    let id = upload_id(state, asked, key)?;
    let number = asked.query("partNumber").and_then(|number| number.parse::<u32>().ok());
    let number = number.filter(|number| (1..=10_000).contains(number));
    let number = number.ok_or_else(|| Refusal(400, "InvalidArgument", "partNumber".to_owned()))?;
    let sha256 = checksum(asked)?;
    state.uploads.get_mut(&id).unwrap().insert(format!("{number:05}"), asked.body.clone());
    Ok(([(header::ETAG, etag(&asked.body))], [("x-amz-checksum-sha256", sha256)]).into_response())
}

fn complete(state: &mut Stored, asked: &Asked, key: &str) -> Answer {
    let id = upload_id(state, asked, key)?;
    let parts = &state.uploads[&id];
    let xml = asked.text();
    let listed: Vec<_> = elements(xml, "PartNumber")
        .into_iter()
        .zip(elements(xml, "ETag"))
        .zip(elements(xml, "ChecksumSHA256"))
        .map(|((number, etag), sha256)| (number.parse::<u32>().unwrap(), etag.replace("&quot;", "\""), sha256))
        .collect();
    if listed.len() != elements(xml, "Part").len() || listed.is_empty() {
        return Err(Refusal(400, "MalformedXML", xml.to_owned()));
    }
    if !listed.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Refusal(400, "InvalidPartOrder", xml.to_owned()));
    }
    let mut whole = Vec::new();
    for (index, (number, tag, sha256)) in listed.iter().enumerate() {
        let part = parts.get(&format!("{number:05}"));
        let part = part.filter(|part| etag(part) == *tag && sha256_base64(part) == *sha256);
        let part = part.ok_or_else(|| Refusal(400, "InvalidPart", format!("{number} {tag} {sha256}")))?;
        if index + 1 < listed.len() && part.len() < MIN_PART {
            return Err(Refusal(400, "EntityTooSmall", number.to_string()));
        }
        whole.extend_from_slice(part);
    }
    state.uploads.remove(&id);
    let tag = etag(&whole).replace('"', "&quot;");
    state.objects.insert(key.to_owned(), whole.into());
    let xml = format!(
        "<?xml version=\"1.0\"?><CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Bucket>bucket</Bucket><Key>{key}</Key><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
    );
    Ok(xml.into_response())
}

fn list(state: &Stored, asked: &Asked) -> axum::response::Response {
    let after = asked.query("continuation-token").or_else(|| asked.query("start-after")).unwrap_or_default();
    let (page, more) = page(state, asked.query("prefix").unwrap_or_default(), after);
    let contents: String = page
        .iter()
        .map(|(key, object)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-20T12:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag>\
                 <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                object.len()
            )
        })
        .collect();
    let next =
        page.last().filter(|_| more).map(|(key, _)| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
         <IsTruncated>{more}</IsTruncated>{contents}{}</ListBucketResult>",
        next.unwrap_or_default()
    )
    .into_response()
}

/// What is not there counts as deleted.
fn delete(state: &mut Stored, asked: &Asked) -> Answer {
    assert_eq!(asked.method, Method::POST);
    checksum(asked)?;
    if asked.header("content-md5").is_none() {
        return Err(Refusal(400, "InvalidRequest", "Content-MD5 is missing".to_owned()));
    }
    let keys = elements(asked.text(), "Key");
    if keys.is_empty() || keys.len() > 1_000 {
        return Err(Refusal(400, "MalformedXML", asked.text().to_owned()));
    }
    let mut deleted = String::new();
    for key in keys {
        state.objects.remove(key);
        deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
    }
    Ok(format!("<?xml version=\"1.0\"?><DeleteResult>{deleted}</DeleteResult>").into_response())
}
