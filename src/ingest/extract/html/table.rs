//! Tables of a page, and what only uses the table to arrange it.

use dom_query::NodeRef;

use super::super::blocks::{Block, push_table};
use super::reader::{Reader, number, read};

/// As far as cells may span (HTML standard, "attributes common to td and th elements").
const MAX_SPAN: usize = 1000;

/// Cells that stand for those that others cover: a span is a number, a cell is memory.
const MAX_COVERED: usize = 100_000;

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
    let grid = Grid::of(&rows, out);
    let arranges = table.attr("role").is_some_and(|role| matches!(&*role, "presentation" | "none")) || grid.arranges();
    match arranges {
        true => out.out.extend(grid.rows.into_iter().flatten().flatten()),
        false => push_table(grid.rows, &mut out.out),
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

#[derive(Default)]
struct Grid {
    rows: Vec<Vec<Vec<Block>>>,
    /// How many cells hold text, and how many of them parts of the page: headings, tables, long texts.
    filled: usize,
    parts: usize,
    covered: usize,
}

impl Grid {
    fn of(rows: &[NodeRef], reader: &mut Reader) -> Grid {
        let mut grid = Grid::default();
        // For each column, how many of the next rows a cell above reaches into.
        let mut reaches: Vec<usize> = Vec::new();
        for row in rows {
            let mut cells = Vec::new();
            for cell in row.children_it(false).filter(|cell| cell.has_name("td") || cell.has_name("th")) {
                grid.cover(&mut cells, &mut reaches);
                grid.cell(&cell, &mut cells, &mut reaches, reader);
            }
            grid.cover(&mut cells, &mut reaches);
            grid.rows.push(cells);
        }
        grid
    }

    /// Leaves the places empty that cells above reach into.
    fn cover(&mut self, cells: &mut Vec<Vec<Block>>, reaches: &mut [usize]) {
        while let Some(reach) = reaches.get_mut(cells.len()).filter(|reach| **reach > 0) {
            *reach -= 1;
            cells.push(Vec::new());
        }
    }

    fn cell(&mut self, cell: &NodeRef, cells: &mut Vec<Vec<Block>>, reaches: &mut Vec<usize>, reader: &mut Reader) {
        let content = read(cell, reader.scope_inside());
        self.filled += usize::from(!content.blocks.is_empty());
        self.parts += usize::from(content.text > LONG_CELL_BYTES || content.blocks.iter().any(is_of_page));
        let blocks = reader.take(content);
        let span = |name| number(cell, name).unwrap_or(1usize).clamp(1, MAX_SPAN);
        let (columns, rows) = (span("colspan"), span("rowspan"));
        let covers = columns.saturating_mul(rows) - 1;
        let (columns, rows) = if self.covered + covers > MAX_COVERED { (1, 1) } else { (columns, rows) };
        self.covered += columns * rows - 1;
        let first = cells.len();
        cells.push(blocks);
        cells.resize_with(first + columns, Vec::new);
        reaches.resize(reaches.len().max(cells.len()), 0);
        reaches[first..].iter_mut().take(columns).for_each(|reach| *reach = rows - 1);
    }

    /// One column or one row is no table, and neither is what holds parts of a page.
    fn arranges(&self) -> bool {
        let is_filled = |row: &&Vec<Vec<Block>>| row.iter().any(|cell| !cell.is_empty());
        let rows = self.rows.iter().filter(is_filled).count();
        let widest = self.rows.iter().map(|row| row.iter().filter(|cell| !cell.is_empty()).count()).max();
        self.parts * CELLS_FOR_PART >= self.filled || rows < 2 || widest.unwrap_or(0) < 2
    }
}

fn is_of_page(block: &Block) -> bool {
    matches!(block, Block::Heading(..) | Block::Table(_))
}
