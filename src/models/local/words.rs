//! The word embeddings: more than half of a small model, of which a text touches a few rows, so they stay in the mapped
//! file, where processes share them and pages that are never asked for are never read.
#![expect(unsafe_code, reason = "mapping a file is unsafe: its bytes change when the file does")]

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::Mmap;

/// The rows of `[vocabulary][hidden]` little-endian `f32` somewhere in a mapped file.
pub struct Words {
    map: Mmap,
    range: Range<usize>,
    row_bytes: usize,
}

/// Maps a model's file.
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: nobody writes a model file in place: the set-up puts it there whole and an upgrade makes a new folder. If
    // somebody did, rows would hold other numbers, and a truncated file would end the process with SIGBUS; both are
    // what overwriting an installed program's files does.
    unsafe { Mmap::map(file) }
}

impl Words {
    /// `range` is where the table lies in the file, as its header says and the reader checked.
    pub fn new(map: Mmap, range: Range<usize>, hidden: usize) -> Words {
        assert!(range.end <= map.len(), "the table lies inside the file");
        Words { map, range, row_bytes: hidden * size_of::<f32>() }
    }

    /// How many ids have a row.
    pub fn count(&self) -> usize {
        self.range.len() / self.row_bytes
    }

    /// Adds the row of `id` to `row`.
    pub fn add_to(&self, id: u32, row: &mut [f32]) {
        let start = id as usize * self.row_bytes;
        let bytes = &self.map[self.range.clone()][start..start + self.row_bytes];
        let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        row.iter_mut().zip(numbers).for_each(|(sum, x)| *sum += x);
    }
}
