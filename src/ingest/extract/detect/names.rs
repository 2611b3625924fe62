//! What a file name and a MIME type say.

use super::ContentType;

/// Endings of plain text that is not called text: source code, settings, markup that no reader is for. Without the list
/// they would be text, too, but one that begins with `To:` and `From:` would be a mail.
const PLAIN: [&str; 86] = [
    "adoc",
    "asm",
    "awk",
    "bash",
    "bat",
    "bib",
    "c",
    "cc",
    "cfg",
    "clj",
    "cmake",
    "cmd",
    "conf",
    "cpp",
    "cs",
    "css",
    "dart",
    "diff",
    "dockerfile",
    "el",
    "env",
    "erl",
    "ex",
    "exs",
    "f90",
    "fs",
    "go",
    "gradle",
    "graphql",
    "groovy",
    "h",
    "hcl",
    "hpp",
    "hs",
    "ini",
    "java",
    "jl",
    "js",
    "jsx",
    "kt",
    "kts",
    "less",
    "lisp",
    "log",
    "lua",
    "m",
    "mbox",
    "mjs",
    "ml",
    "mm",
    "nix",
    "org",
    "pas",
    "patch",
    "php",
    "pl",
    "pm",
    "properties",
    "proto",
    "ps1",
    "py",
    "r",
    "rb",
    "rs",
    "rst",
    "scala",
    "scss",
    "sh",
    "sql",
    "srt",
    "swift",
    "tcl",
    "tex",
    "text",
    "tf",
    "toml",
    "ts",
    "tsx",
    "txt",
    "vb",
    "vtt",
    "xml",
    "xsd",
    "yaml",
    "yml",
    "zsh",
];

/// By the ending of the name.
pub fn by_name(name: &str) -> Option<ContentType> {
    let (_, extension) = name.trim_end().rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    match extension.as_str() {
        "pdf" => Some(ContentType::Pdf),
        "html" | "htm" | "xhtml" | "xht" => Some(ContentType::Html),
        "md" | "markdown" | "mdown" | "mkd" => Some(ContentType::Markdown),
        "csv" | "tsv" | "tab" => Some(ContentType::Csv),
        "json" | "jsonl" | "ndjson" | "geojson" | "ipynb" => Some(ContentType::Json),
        "docx" | "docm" | "dotx" | "dotm" => Some(ContentType::Docx),
        "pptx" | "pptm" | "ppsx" | "ppsm" | "potx" | "potm" => Some(ContentType::Pptx),
        "xlsx" | "xlsm" | "xltx" | "xltm" => Some(ContentType::Xlsx),
        "xlsb" => Some(ContentType::Xlsb),
        "doc" | "dot" => Some(ContentType::Doc),
        "ppt" | "pps" | "pot" => Some(ContentType::Ppt),
        "xls" | "xlt" => Some(ContentType::Xls),
        "odt" | "ott" => Some(ContentType::Odt),
        "ods" | "ots" => Some(ContentType::Ods),
        "odp" | "otp" => Some(ContentType::Odp),
        "rtf" => Some(ContentType::Rtf),
        "epub" => Some(ContentType::Epub),
        "eml" | "mht" | "mhtml" => Some(ContentType::Email),
        _ => PLAIN.contains(&extension.as_str()).then_some(ContentType::Text),
    }
}

/// By a MIME type, under the names that clients send.
pub fn by_mime(declared: &str) -> Option<ContentType> {
    let mime = declared.split(';').next()?.trim().to_ascii_lowercase();
    let known = ContentType::ALL.into_iter().find(|known| known.as_str() == mime);
    known.or_else(|| alias(&mime)).or_else(|| office(&mime))
}

fn alias(mime: &str) -> Option<ContentType> {
    match mime {
        "application/xhtml+xml" => Some(ContentType::Html),
        "text/x-markdown" => Some(ContentType::Markdown),
        "text/tab-separated-values" | "application/csv" | "text/x-csv" => Some(ContentType::Csv),
        "application/x-ndjson" | "application/jsonl" | "text/json" => Some(ContentType::Json),
        "application/x-pdf" => Some(ContentType::Pdf),
        "application/x-rtf" | "text/rtf" | "text/richtext" => Some(ContentType::Rtf),
        "application/vnd.msword" | "application/x-msword" => Some(ContentType::Doc),
        "application/excel" | "application/x-excel" | "application/msexcel" | "application/x-msexcel" => {
            Some(ContentType::Xls)
        }
        "application/mspowerpoint" | "application/powerpoint" | "application/x-mspowerpoint" => Some(ContentType::Ppt),
        "application/x-epub+zip" => Some(ContentType::Epub),
        "multipart/related" | "application/x-mimearchive" | "application/eml" => Some(ContentType::Email),
        _ => None,
    }
}

/// Templates, shows and files with macros, which are registered apart and hold the same.
fn office(mime: &str) -> Option<ContentType> {
    let starts = |prefix: &str| mime.starts_with(prefix);
    match mime {
        _ if starts("application/vnd.openxmlformats-officedocument.wordprocessingml.") => Some(ContentType::Docx),
        _ if starts("application/vnd.openxmlformats-officedocument.presentationml.") => Some(ContentType::Pptx),
        _ if starts("application/vnd.openxmlformats-officedocument.spreadsheetml.") => Some(ContentType::Xlsx),
        _ if starts("application/vnd.ms-word.") && mime.ends_with(".macroenabled.12") => Some(ContentType::Docx),
        _ if starts("application/vnd.ms-powerpoint.") && mime.ends_with(".macroenabled.12") => Some(ContentType::Pptx),
        _ if starts("application/vnd.ms-excel.") && mime.ends_with(".macroenabled.12") => Some(ContentType::Xlsx),
        "application/vnd.oasis.opendocument.text-template" => Some(ContentType::Odt),
        "application/vnd.oasis.opendocument.spreadsheet-template" => Some(ContentType::Ods),
        "application/vnd.oasis.opendocument.presentation-template" => Some(ContentType::Odp),
        _ => None,
    }
}
