//! Excel's files, by `calamine`: `xlsx` and `xlsb` cell by cell.
//!
//! The library believes what files say of themselves, so that is checked before: how much parts inflate to, how many shared
//! strings there are, and how far apart the cells of an `xls` lie, of which it makes a grid.

use std::io::Cursor;

use calamine::{Data, DataRef, Reader, SheetType, Xls, XlsError, Xlsb, XlsbError, Xlsx, XlsxError};
use office_oxide::cfb::CfbReader;

use super::super::archive::Archive;
use super::units::Units;
use super::value::text;
use super::{ExtractFailure, Sheet, WHAT, Workbook, too_large};

/// A shared string is an element: `<si/>`.
const SMALLEST_STRING_BYTES: usize = 4;

/// Where the number of shared strings stands.
const SHARED_STRINGS_HEAD_BYTES: usize = 1024;

/// The cells of an `xls` with those between them, of all sheets, twice: values and formulas. A cell takes 24 bytes, so that
/// these are half of what a worker has.
const MAX_GRID_CELLS: u64 = 40_000_000;

/// Records of a sheet (MS-XLS, 2.3.1).
const BOF: u16 = 0x0809;
const FILE_PASS: u16 = 0x002f;
const DIMENSIONS: u16 = 0x0200;
const FORMULA: u16 = 0x0006;
const MULTIPLE: u16 = 0x00bd;
const VALUES: [u16; 7] = [0x0203, 0x0204, 0x00d6, 0x0205, 0x027e, 0x00fd, FORMULA];

pub fn read_xlsx(bytes: &[u8], workbook: &mut Workbook) -> Result<(), ExtractFailure> {
    check_parts(bytes)?;
    let mut file: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(of_xlsx)?;
    workbook.title = file.workbook_properties().ok().and_then(|properties| properties.title);
    let units = Units::read(bytes)?;
    for (name, kind) in sheets(&file) {
        let mut sheet = workbook.begin();
        if kind == SheetType::WorkSheet {
            match file.worksheet_cells_reader(&name) {
                Ok(mut cells) => {
                    while let Some((cell, style)) = cells.next_cell_with_style_id().map_err(of_xlsx)? {
                        put_with_unit(&mut sheet, cell.get_position(), cell.get_value(), &units, style)?;
                    }
                }
                Err(XlsxError::NotAWorksheet(_)) => {}
                Err(error) => return Err(of_xlsx(error)),
            }
        }
        workbook.end(&name, sheet)?;
    }
    Ok(())
}

pub fn read_xlsb(bytes: &[u8], workbook: &mut Workbook) -> Result<(), ExtractFailure> {
    check_parts(bytes)?;
    let mut file: Xlsb<_> = Xlsb::new(Cursor::new(bytes)).map_err(of_xlsb)?;
    workbook.title = file.workbook_properties().ok().and_then(|properties| properties.title);
    for (name, kind) in sheets(&file) {
        let mut sheet = workbook.begin();
        if kind == SheetType::WorkSheet {
            let mut cells = file.worksheet_cells_reader(&name).map_err(of_xlsb)?;
            while let Some(cell) = cells.next_cell().map_err(of_xlsb)? {
                put(&mut sheet, cell.get_position(), cell.get_value())?;
            }
        }
        workbook.end(&name, sheet)?;
    }
    Ok(())
}

pub fn read_xls(bytes: &[u8], workbook: &mut Workbook) -> Result<(), ExtractFailure> {
    check_grids(bytes)?;
    let mut file: Xls<_> = Xls::new(Cursor::new(bytes)).map_err(of_xls)?;
    workbook.title = file.workbook_properties().ok().and_then(|properties| properties.title);
    for (name, _) in sheets(&file) {
        let mut sheet = workbook.begin();
        let grid = file.worksheet_range(&name).map_err(of_xls)?;
        let (first_row, first_column) = grid.start().unwrap_or_default();
        for (row, column, value) in grid.used_cells() {
            let at = (first_row.saturating_add(small(row)), first_column.saturating_add(small(column)));
            put(&mut sheet, at, &as_ref(value))?;
        }
        workbook.end(&name, sheet)?;
    }
    Ok(())
}

fn sheets<'a, F: Reader<Cursor<&'a [u8]>>>(file: &F) -> Vec<(String, SheetType)> {
    file.sheets_metadata().iter().map(|sheet| (sheet.name.clone(), sheet.typ)).collect()
}

fn put(sheet: &mut Sheet, (row, column): (u32, u32), value: &DataRef) -> Result<(), ExtractFailure> {
    sheet.put(row, column, &text(value))
}

fn put_with_unit(
    sheet: &mut Sheet,
    (row, column): (u32, u32),
    value: &DataRef,
    units: &Units,
    style: usize,
) -> Result<(), ExtractFailure> {
    match value {
        DataRef::Float(number) => sheet.put(row, column, &units.text(*number, style)),
        value => sheet.put(row, column, &text(value)),
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn as_ref(value: &Data) -> DataRef<'_> {
    match value {
        Data::Int(number) => DataRef::Int(*number),
        Data::Float(number) => DataRef::Float(*number),
        Data::String(text) => DataRef::SharedString(text),
        Data::Bool(value) => DataRef::Bool(*value),
        Data::DateTime(value) => DataRef::DateTime(*value),
        Data::DateTimeIso(text) => DataRef::DateTimeIso(text.clone()),
        Data::DurationIso(text) => DataRef::DurationIso(text.clone()),
        Data::Error(error) => DataRef::Error(error.clone()),
        Data::Empty => DataRef::Empty,
    }
}

/// Inflates every part that the library reads, within the limits of [`Archive`], and throws it away: inflating is the
/// smallest part of the work.
fn check_parts(bytes: &[u8]) -> Result<(), ExtractFailure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    let names: Vec<String> = archive.names().map(str::to_owned).collect();
    for name in names {
        let lower = name.to_ascii_lowercase();
        if [".xml", ".bin", ".rels"].iter().any(|ending| lower.ends_with(ending)) {
            let part = archive.part(&name)?.unwrap_or_default();
            if lower.ends_with("sharedstrings.xml") {
                check_shared_strings(&part)?;
            }
        }
    }
    Ok(())
}

/// The library takes memory for as many strings as the part says it has.
fn check_shared_strings(part: &[u8]) -> Result<(), ExtractFailure> {
    let head = String::from_utf8_lossy(&part[..part.len().min(SHARED_STRINGS_HEAD_BYTES)]);
    let value = head.split_once("uniqueCount=").map_or("", |(_, value)| value);
    let digits: String = value.chars().skip(1).take_while(char::is_ascii_digit).collect();
    let count: usize = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) };
    match count <= part.len() / SMALLEST_STRING_BYTES + 1 {
        true => Ok(()),
        false => Err(ExtractFailure::broken(WHAT, "it claims more texts than it holds")),
    }
}

/// The library takes memory for the rectangle around all cells of a sheet, and for the one that the sheet claims.
fn check_grids(bytes: &[u8]) -> Result<(), ExtractFailure> {
    let mut file = CfbReader::new(Cursor::new(bytes)).map_err(|error| ExtractFailure::broken(WHAT, error))?;
    if file.has_stream("EncryptedPackage") {
        return Err(ExtractFailure::locked(WHAT));
    }
    let stream = file.open_stream("Workbook").or_else(|_| file.open_stream("Book"));
    let stream = stream.map_err(|error| ExtractFailure::broken(WHAT, error))?;
    match grid_cells(&stream)? {
        ..=MAX_GRID_CELLS => Ok(()),
        _ => Err(too_large()),
    }
}

/// The cells of all grids that the library makes of a workbook's stream.
fn grid_cells(stream: &[u8]) -> Result<u64, ExtractFailure> {
    let (mut values, mut formulas, mut total) = (Grid::default(), Grid::default(), 0u64);
    for (kind, data) in (Records { rest: stream }) {
        let number = |at: usize| data.get(at..at + 2).map_or(0, |two| u32::from(two[0]) | u32::from(two[1]) << 8);
        match kind {
            // Whatever the method: obfuscation is one, too.
            FILE_PASS => return Err(ExtractFailure::locked(WHAT)),
            BOF => {
                total = total.saturating_add(values.size()).saturating_add(formulas.size());
                (values, formulas) = (Grid::default(), Grid::default());
            }
            DIMENSIONS => total = total.saturating_add(claimed_size(data)),
            MULTIPLE => {
                values.take_in(number(0), number(2));
                values.take_in(number(0), number(data.len().saturating_sub(2)));
            }
            _ if VALUES.contains(&kind) => {
                values.take_in(number(0), number(2));
                if kind == FORMULA {
                    formulas.take_in(number(0), number(2));
                }
            }
            _ => {}
        }
    }
    Ok(total.saturating_add(values.size()).saturating_add(formulas.size()))
}

/// The rectangle that a `Dimensions` record claims: rows in four bytes each, or in two before Excel 97; both read alike.
fn claimed_size(data: &[u8]) -> u64 {
    let small = |at: usize| data.get(at..at + 2).map_or(0, |two| u64::from(two[0]) | u64::from(two[1]) << 8);
    let large = |at: usize| small(at) | small(at + 2) << 16;
    let (rows, columns) = match data.len() {
        ..=10 => ((small(0), small(2)), (small(4), small(6))),
        _ => ((large(0), large(4)), (small(8), small(10))),
    };
    let between = |(from, to): (u64, u64)| if to < from { u64::from(u32::MAX) } else { to - from };
    between(rows).saturating_mul(between(columns))
}

/// The rectangle around cells.
#[derive(Default)]
struct Grid {
    /// The first and the last row, the first and the last column.
    corners: Option<[u32; 4]>,
}

impl Grid {
    fn take_in(&mut self, row: u32, column: u32) {
        let [top, bottom, left, right] = self.corners.unwrap_or([row, row, column, column]);
        self.corners = Some([top.min(row), bottom.max(row), left.min(column), right.max(column)]);
    }

    fn size(&self) -> u64 {
        let size = |[top, bottom, left, right]: [u32; 4]| u64::from(bottom - top + 1) * u64::from(right - left + 1);
        self.corners.map_or(0, size)
    }
}

/// The records of a workbook's stream: kind, length, data.
struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        let [kind, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_le_bytes);
        let (data, rest) = rest.split_at(rest.len().min(usize::from(length)));
        self.rest = rest;
        Some((kind, data))
    }
}

fn of_xlsx(error: XlsxError) -> ExtractFailure {
    match error {
        XlsxError::Password => ExtractFailure::locked(WHAT),
        error => ExtractFailure::broken(WHAT, error),
    }
}

fn of_xlsb(error: XlsbError) -> ExtractFailure {
    match error {
        XlsbError::Password => ExtractFailure::locked(WHAT),
        error => ExtractFailure::broken(WHAT, error),
    }
}

fn of_xls(error: XlsError) -> ExtractFailure {
    match error {
        XlsError::Password => ExtractFailure::locked(WHAT),
        error => ExtractFailure::broken(WHAT, error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ExtractCode;
    use super::*;

    fn record(kind: u16, numbers: &[u16]) -> Vec<u8> {
        let data = numbers.iter().flat_map(|number| number.to_le_bytes());
        let length = u16::try_from(2 * numbers.len()).unwrap();
        kind.to_le_bytes().into_iter().chain(length.to_le_bytes()).chain(data).collect()
    }

    #[test]
    fn the_grids_of_an_old_workbook_are_measured_before_they_are_made() {
        let corners = [record(BOF, &[]), record(0x0203, &[0, 0]), record(FORMULA, &[65_535, 255])].concat();
        assert_eq!(grid_cells(&corners).unwrap(), 65_536 * 256 + 1);
        let row = [record(BOF, &[]), record(MULTIPLE, &[7, 1, 9, 9, 9, 3])].concat();
        assert_eq!(grid_cells(&[row.clone(), row].concat()).unwrap(), 6);
        let claims =
            [record(DIMENSIONS, &[0, 0, 0, 1, 0, 256, 0]), record(DIMENSIONS, &[5, 0, 0, 0, 0, 1, 0])].concat();
        assert_eq!(grid_cells(&claims).unwrap(), 65_536 * 256 + u64::from(u32::MAX));
        assert_eq!(grid_cells(&record(DIMENSIONS, &[1, 3, 1, 5])).unwrap(), 8);
        assert_eq!(grid_cells(&record(FILE_PASS, &[0])).unwrap_err().code, ExtractCode::Encrypted);
        assert_eq!(grid_cells(b"\x03\x02\xff\xff\x01").unwrap(), 1);
    }
}
