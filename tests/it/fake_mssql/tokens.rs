//! The bytes of TDS 7.4: what a client sends, read strictly, and the tokens of answers (MS-TDS 2.2.7).

use super::transport::Encryption;

/// A column of a result.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// The types that a server sends, as far as tests need them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bit,
    /// So many bytes.
    Int(u8),
    Float(u8),
    Money(u8),
    /// Minutes in 4 bytes, or three-hundredths of seconds in 8.
    DateTime(u8),
    Decimal(u8, u8),
    Guid,
    Date,
    /// With this many digits of a second.
    Time(u8),
    DateTime2(u8),
    DateTimeOffset(u8),
    Text,
    LongText,
    /// In Windows-1252.
    NarrowText,
    Binary,
    LongBinary,
    Xml,
    Variant,
}

/// A value as its type has it, without its length; `None` is null.
pub type Cell = Option<Vec<u8>>;

pub fn columns(list: &[(&'static str, Kind)]) -> Vec<Column> {
    list.iter().map(|&(name, kind)| Column { name, kind }).collect()
}

/// A value in the bytes of its type.
pub trait IntoCell {
    fn cell(&self) -> Cell;
}

macro_rules! little_endian {
    ($($type:ty),*) => {$(
        impl IntoCell for $type {
            fn cell(&self) -> Cell {
                Some(self.to_le_bytes().to_vec())
            }
        }
    )*};
}
little_endian!(u8, i16, i32, i64, f32, f64);

impl IntoCell for bool {
    fn cell(&self) -> Cell {
        Some(vec![u8::from(*self)])
    }
}

impl IntoCell for &str {
    fn cell(&self) -> Cell {
        Some(utf16(self))
    }
}

impl IntoCell for () {
    fn cell(&self) -> Cell {
        None
    }
}

/// A row of values: `row![1, "a", ()]`.
#[macro_export]
macro_rules! row {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::fake_mssql::tokens::IntoCell::cell(&$value)),*]
    };
}

pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// What a request's bytes say.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The transaction that the request is of.
    pub fn headers(&mut self) -> Result<u64, String> {
        let (all, length, kind) = (self.u32()?, self.u32()?, self.u16()?);
        if (all, length, kind) != (22, 18, 2) {
            return Err(format!("headers of {all} and {length} bytes and the type {kind}"));
        }
        let transaction = u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| "short")?);
        match self.u32()? {
            1 => Ok(transaction),
            requests => Err(format!("{requests} requests at once")),
        }
    }

    pub fn rest_as_text(&mut self) -> Result<String, String> {
        let rest = self.take(self.0.len())?;
        text(rest)
    }

    /// A call of `sp_executesql` with a text and no parameters for it.
    pub fn execute_sql(&mut self) -> Result<String, String> {
        let (by_number, procedure, options) = (self.u16()?, self.u16()?, self.u16()?);
        if (by_number, procedure, options) != (0xffff, 10, 0) {
            return Err(format!("a call of {by_number:x} {procedure} with the options {options}"));
        }
        let (statement, parameters) = (self.parameter("stmt")?, self.parameter("params")?);
        match parameters.is_empty() && self.0.is_empty() {
            true => Ok(statement),
            false => Err(format!("parameters {parameters:?} and {} bytes more", self.0.len())),
        }
    }

    fn parameter(&mut self, name: &str) -> Result<String, String> {
        let length = usize::from(self.u8()?);
        let found = text(self.take(length * 2)?)?;
        let (status, kind, most) = (self.u8()?, self.u8()?, self.u16()?);
        if (found.as_str(), status, kind) != (name, 0, 0xe7) {
            return Err(format!("the parameter {found:?} of the type {kind:x} where {name} belongs"));
        }
        self.take(5)?;
        match most {
            0xffff => self.chunks(),
            _ => {
                let length = usize::from(self.u16()?);
                text(self.take(length)?)
            }
        }
    }

    fn chunks(&mut self) -> Result<String, String> {
        self.take(8)?;
        let mut bytes = Vec::new();
        loop {
            match self.u32()? as usize {
                0 => return text(&bytes),
                length => bytes.extend(self.take(length)?),
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a request that ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.take(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.take(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    if !bytes.len().is_multiple_of(2) {
        return Err("half a character".into());
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16(&units).map_err(|error| error.to_string())
}

/// A LOGIN7 message (2.2.6.4).
pub struct Login {
    pub user: String,
    pub password: String,
    pub application: String,
    pub database: String,
    pub only_reads: bool,
}

impl Login {
    pub fn read(bytes: &[u8]) -> Result<Login, String> {
        let mut reader = Reader::new(bytes);
        let (length, version) = (reader.u32()?, reader.u32()?);
        if (length as usize, version) != (bytes.len(), 0x7400_0004) {
            return Err(format!("a login of {length} bytes in the version {version:x}"));
        }
        let field = |at: usize| -> Result<&[u8], String> {
            let mut place = Reader::new(bytes.get(at..).ok_or("short")?);
            let (offset, length) = (usize::from(place.u16()?), usize::from(place.u16()?));
            bytes.get(offset..offset + 2 * length).ok_or_else(|| "a login that ends too early".into())
        };
        let hidden = field(44)?.iter().map(|byte| (byte ^ 0xa5).rotate_left(4)).collect::<Vec<u8>>();
        Ok(Login {
            user: text(field(40)?)?,
            password: text(&hidden)?,
            application: text(field(48)?)?,
            database: text(field(68)?)?,
            only_reads: bytes[26] & 0x20 != 0,
        })
    }
}

/// What a first message says about encryption.
pub fn wished_encryption(content: &[u8]) -> Result<Encryption, String> {
    let option = content.chunks_exact(5).take_while(|option| option[0] != 0xff).find(|option| option[0] == 1);
    let at = option.map(|option| usize::from(u16::from_be_bytes([option[1], option[2]])));
    match at.and_then(|at| content.get(at)) {
        Some(0) => Ok(Encryption::Off),
        Some(1) => Ok(Encryption::On),
        Some(2) => Ok(Encryption::NotSupported),
        other => Err(format!("the wish {other:?} for encryption")),
    }
}

/// Version 16.0, and a word on encryption.
pub fn prelogin(encryption: Encryption) -> Vec<u8> {
    let encryption = if encryption == Encryption::Strict { Encryption::Required } else { encryption };
    let table = [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff];
    [&table[..], &[16, 0, 0x10, 0x2e, 0, 0], &[encryption as u8]].concat()
}

pub fn logged_in(route: Option<(&str, u16)>) -> Vec<u8> {
    let name = utf16("Microsoft SQL Server");
    let mut content = vec![1, 0x74, 0, 0, 4, u8::try_from(name.len() / 2).expect("short")];
    content.extend(name);
    content.extend([16, 0, 0x10, 0x2e]);
    let mut answer = token(0xad, &content);
    answer.extend(change(1, &[counted(super::DATABASE), counted("master")].concat()));
    answer.extend(change(4, &[counted("4096"), counted("4096")].concat()));
    if let Some((host, port)) = route {
        let host = utf16(host);
        let length = u16::try_from(5 + host.len()).expect("short");
        let mut value = length.to_le_bytes().to_vec();
        value.push(0);
        value.extend(port.to_le_bytes());
        value.extend(u16::try_from(host.len() / 2).expect("short").to_le_bytes());
        value.extend(host);
        value.extend([0, 0]);
        answer.extend(change(20, &value));
    }
    answer.extend(done());
    answer
}

pub fn begun(transaction: u64) -> Vec<u8> {
    change(8, &[&[8][..], &transaction.to_le_bytes(), &[0]].concat())
}

pub fn rolled_back(transaction: u64) -> Vec<u8> {
    change(10, &[&[0, 8][..], &transaction.to_le_bytes()].concat())
}

pub fn reset() -> Vec<u8> {
    change(18, &[0, 0])
}

/// An error, and the end.
pub fn failed(number: u32, class: u8, words: &str) -> Vec<u8> {
    let message = utf16(words);
    let mut content = number.to_le_bytes().to_vec();
    content.extend([1, class]);
    content.extend(u16::try_from(message.len() / 2).expect("short").to_le_bytes());
    content.extend(message);
    content.extend(counted("fake"));
    content.extend(counted(""));
    content.extend(1_u32.to_le_bytes());
    let mut answer = token(0xaa, &content);
    answer.extend(finished(0xfd, 0x02, 0));
    answer
}

pub fn done() -> Vec<u8> {
    finished(0xfd, 0, 0)
}

/// Of a result: for a call with its status.
pub fn end(called: bool) -> Vec<u8> {
    match called {
        false => finished(0xfd, 0x10, 0),
        true => [finished(0xff, 0x11, 0), vec![0x79, 0, 0, 0, 0], finished(0xfe, 0, 0)].concat(),
    }
}

fn finished(kind: u8, status: u16, rows: u64) -> Vec<u8> {
    [&[kind][..], &status.to_le_bytes(), &0xc1_u16.to_le_bytes(), &rows.to_le_bytes()].concat()
}

fn change(kind: u8, value: &[u8]) -> Vec<u8> {
    token(0xe3, &[&[kind], value].concat())
}

fn token(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a token is short");
    [&[kind][..], &length.to_le_bytes(), content].concat()
}

/// A text after its length in characters.
fn counted(text: &str) -> Vec<u8> {
    let bytes = utf16(text);
    [&[u8::try_from(bytes.len() / 2).expect("short")][..], &bytes].concat()
}

/// The columns, and then the rows.
pub fn rows(columns: &[Column], rows: &[Vec<Cell>]) -> Vec<u8> {
    let mut answer = vec![0x81];
    answer.extend(u16::try_from(columns.len()).expect("few").to_le_bytes());
    for column in columns {
        answer.extend([0; 4]);
        answer.extend(0x09_u16.to_le_bytes());
        answer.extend(column.kind.declared());
        answer.extend(counted(column.name));
    }
    for cells in rows {
        answer.extend(row(columns, cells));
    }
    answer
}

pub fn row(columns: &[Column], cells: &[Cell]) -> Vec<u8> {
    assert_eq!(columns.len(), cells.len(), "a row has its columns");
    let mut answer = vec![0xd1];
    for (column, cell) in columns.iter().zip(cells) {
        answer.extend(column.kind.value(cell.as_deref()));
    }
    answer
}

/// Latin, by code page 1252.
const COLLATION: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

impl Kind {
    fn declared(self) -> Vec<u8> {
        match self {
            Kind::Bit => vec![0x68, 1],
            Kind::Int(bytes) => vec![0x26, bytes],
            Kind::Float(bytes) => vec![0x6d, bytes],
            Kind::Money(bytes) => vec![0x6e, bytes],
            Kind::DateTime(bytes) => vec![0x6f, bytes],
            Kind::Decimal(precision, scale) => vec![0x6a, 17, precision, scale],
            Kind::Guid => vec![0x24, 16],
            Kind::Date => vec![0x28],
            Kind::Time(scale) => vec![0x29, scale],
            Kind::DateTime2(scale) => vec![0x2a, scale],
            Kind::DateTimeOffset(scale) => vec![0x2b, scale],
            Kind::Text => [&[0xe7, 0x40, 0x1f][..], &COLLATION].concat(),
            Kind::LongText => [&[0xe7, 0xff, 0xff][..], &COLLATION].concat(),
            Kind::NarrowText => [&[0xa7, 0x40, 0x1f][..], &COLLATION].concat(),
            Kind::Binary => vec![0xa5, 0x40, 0x1f],
            Kind::LongBinary => vec![0xa5, 0xff, 0xff],
            Kind::Xml => vec![0xf1, 0],
            Kind::Variant => vec![0x62, 0x49, 0x1f, 0, 0],
        }
    }

    fn value(self, bytes: Option<&[u8]>) -> Vec<u8> {
        let length = bytes.map_or(0, <[u8]>::len);
        let short = |bytes: &[u8]| u16::try_from(bytes.len()).expect("a short value").to_le_bytes();
        let long = || u32::try_from(length).expect("a value").to_le_bytes();
        match (self, bytes) {
            (Kind::Text | Kind::NarrowText | Kind::Binary, None) => vec![0xff, 0xff],
            (Kind::Text | Kind::NarrowText | Kind::Binary, Some(bytes)) => [&short(bytes)[..], bytes].concat(),
            (Kind::LongText | Kind::LongBinary | Kind::Xml, None) => vec![0xff; 8],
            (Kind::LongText | Kind::LongBinary | Kind::Xml, Some([])) => [[0; 8].as_slice(), &[0; 4]].concat(),
            (Kind::LongText | Kind::LongBinary | Kind::Xml, Some(bytes)) => {
                [&(length as u64).to_le_bytes()[..], &long(), bytes, &[0; 4]].concat()
            }
            (Kind::Variant, bytes) => [&long()[..], bytes.unwrap_or_default()].concat(),
            (_, bytes) => [&[u8::try_from(length).expect("a short value")], bytes.unwrap_or_default()].concat(),
        }
    }
}

/// One row of one text, whose chunks follow.
pub fn huge_cell_begins() -> Vec<u8> {
    let mut answer = rows(&columns(&[("huge", Kind::LongText)]), &[]);
    answer.push(0xd1);
    answer.extend(0xffff_ffff_ffff_fffe_u64.to_le_bytes());
    answer
}

pub fn huge_cell_chunk(bytes: usize) -> Vec<u8> {
    let mut chunk = u32::try_from(bytes).expect("a chunk").to_le_bytes().to_vec();
    chunk.resize(bytes + 4, b'x');
    chunk
}

pub fn huge_cell_ends() -> Vec<u8> {
    vec![0; 4]
}
