//! Tables. Cells that span several leave the places they cover empty.

use super::super::ExtractFailure;
use super::super::blocks::{self, Block};
use super::super::xml::Xml;
use super::body::Reader;

#[derive(Default)]
struct Row {
    cells: Vec<Vec<Block>>,
    is_deleted: bool,
}

impl Reader<'_, '_> {
    pub(super) fn table(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), ExtractFailure> {
        let mut rows = Vec::new();
        self.rows(xml, &mut rows)?;
        blocks::push_table(rows, out);
        Ok(())
    }

    fn rows(&mut self, xml: &mut Xml, rows: &mut Vec<Vec<Vec<Block>>>) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "tr" => {
                let mut row = Row::default();
                self.row(xml, &mut row)?;
                if !row.is_deleted {
                    rows.push(row.cells);
                }
                Ok(())
            }
            "tblPr" | "tblGrid" | "sdtPr" | "del" => Ok(()),
            _ => self.rows(xml, rows),
        })
    }

    fn row(&mut self, xml: &mut Xml, row: &mut Row) -> Result<(), ExtractFailure> {
        xml.each(|xml, tag| match tag.name() {
            "tc" => self.cell(xml, row),
            "trPr" => xml.each(|_, tag| {
                match tag.name() {
                    "gridBefore" => self.fill(tag.number("val").unwrap_or(0), row),
                    "del" => row.is_deleted = true,
                    _ => {}
                }
                Ok(())
            }),
            "sdtPr" | "tblPrEx" | "del" => Ok(()),
            _ => self.row(xml, row),
        })
    }

    fn cell(&mut self, xml: &mut Xml, row: &mut Row) -> Result<(), ExtractFailure> {
        let (mut span, mut is_covered, mut blocks) = (1usize, false, Vec::new());
        xml.each(|xml, tag| match tag.name() {
            "tcPr" => xml.each(|_, tag| {
                match tag.name() {
                    "gridSpan" => span = tag.number("val").unwrap_or(1),
                    // Anything but a start goes on with the cell above.
                    "vMerge" => is_covered = tag.get("val").as_deref() != Some("restart"),
                    _ => {}
                }
                Ok(())
            }),
            _ => self.block(xml, tag, &mut blocks),
        })?;
        row.cells.push(if is_covered { Vec::new() } else { blocks });
        self.fill(span.saturating_sub(1), row);
        Ok(())
    }

    fn fill(&mut self, count: usize, row: &mut Row) {
        let count = count.min(self.fillable_cells);
        self.fillable_cells -= count;
        row.cells.resize_with(row.cells.len() + count, Vec::new);
    }
}
