//! Tables of a page, and what only uses the table to arrange it.

use dom_query::NodeRef;

use super::super::blocks::{Block, push_table};
use super::super::grid::Grid;
use super::reader::{Reader, number, read};

/// A cell with more text than this is a part of the page.
const LONG_CELL_BYTES: usize = 2000;

/// If one of so many cells is a part of the page, the table is its frame.
const CELLS_FOR_PART: usize = 3;

/// Reads `table` into `out`: its caption, and then its rows, or the blocks of its cells if it only arranges them.
pub fn read_into(out: &mut Reader, table: &NodeRef) {
    let (mut rows, mut captions) = (Vec::new(), Vec::new());
    collect(table, &mut rows, &mut captions);
    for caption in captions {
        let blocks = out.take(read(&caption, out.scope_inside()));
        out.out.extend(blocks);
    }
    let cells = Cells::of(&rows, out);
    let only_arranges = table.attr("role").is_some_and(|role| matches!(&*role, "presentation" | "none"));
    let only_arranges = only_arranges || cells.are_of_page();
    let rows = cells.grid.into_rows();
    match only_arranges || is_line(&rows) {
        true => out.out.extend(rows.into_iter().flatten().flatten()),
        false => push_table(rows, &mut out.out),
    }
}

/// Rows and captions, not those of tables inside.
fn collect<'a>(node: &NodeRef<'a>, rows: &mut Vec<NodeRef<'a>>, captions: &mut Vec<NodeRef<'a>>) {
    for child in node.children_it(false) {
        match child.node_name().as_deref() {
            Some("tr") => rows.push(child),
            Some("caption") => captions.push(child),
            Some("thead" | "tbody" | "tfoot" | "form") => collect(&child, rows, captions),
            _ => {}
        }
    }
}

/// What the cells of a table hold.
#[derive(Default)]
struct Cells {
    grid: Grid,
    /// How many hold text, and how many of them parts of the page: headings, tables, long texts.
    filled: usize,
    parts: usize,
}

impl Cells {
    fn of(rows: &[NodeRef], reader: &mut Reader) -> Cells {
        let mut cells = Cells::default();
        for row in rows {
            cells.grid.begin_row();
            for cell in row.children_it(false).filter(|cell| cell.has_name("td") || cell.has_name("th")) {
                cells.take(&cell, reader);
            }
            cells.grid.end_row();
        }
        cells
    }

    fn take(&mut self, cell: &NodeRef, reader: &mut Reader) {
        let content = read(cell, reader.scope_inside());
        self.filled += usize::from(!content.blocks.is_empty());
        self.parts += usize::from(content.text > LONG_CELL_BYTES || content.blocks.iter().any(is_of_page));
        let span = |name| number(cell, name).unwrap_or(1);
        self.grid.put(reader.take(content), span("colspan"), span("rowspan"));
    }

    fn are_of_page(&self) -> bool {
        self.parts * CELLS_FOR_PART >= self.filled
    }
}

/// One column or one row is no table.
fn is_line(rows: &[Vec<Vec<Block>>]) -> bool {
    let filled = || rows.iter().map(|row| row.iter().filter(|cell| !cell.is_empty()).count());
    filled().filter(|count| *count > 0).count() < 2 || filled().all(|count| count < 2)
}

fn is_of_page(block: &Block) -> bool {
    matches!(block, Block::Heading(..) | Block::Table(_))
}
