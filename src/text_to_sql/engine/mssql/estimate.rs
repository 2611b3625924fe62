//! What the optimizer expects of a statement: the plan in XML, for which nothing runs.
//!
//! The plan is only told of a batch, not of a call, so here the text that the guard wrote is a batch of its own; it is
//! sent only once the server has agreed to show plans instead of running. A login without the right to see plans has no
//! estimates. <https://learn.microsoft.com/sql/t-sql/statements/set-showplan-xml-transact-sql>

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use tiberius::ColumnData;
use tiberius::error::Error;

use super::sessions::Session;
use crate::text_to_sql::engine::Estimate;

/// `SHOWPLAN permission denied`.
const NO_SHOWPLAN: u32 = 262;

pub(super) async fn estimate(session: &mut Session, sql: &str) -> Result<Option<Estimate>, Error> {
    match session.batch("set showplan_xml on").await {
        Err(error) if error.code() == Some(NO_SHOWPLAN) => return Ok(None),
        shown => shown?,
    }
    let plan = plan(session, sql).await;
    if let Ok(_) | Err(Error::Server(_)) = plan {
        session.batch("set showplan_xml off").await?;
    }
    let plan = match plan {
        // The right is asked for again, in every database that the statement names.
        Err(error) if error.code() == Some(NO_SHOWPLAN) => None,
        plan => plan?,
    };
    Ok(plan.and_then(|plan| read(&plan)))
}

async fn plan(session: &mut Session, sql: &str) -> Result<Option<String>, Error> {
    session.wire.meter.refill();
    let row = session.connection.simple_query(sql).await?.into_row().await?;
    let cell = row.and_then(|row| row.into_iter().next());
    Ok(match cell {
        Some(ColumnData::String(Some(text))) => Some(text.into_owned()),
        Some(ColumnData::Xml(Some(xml))) => Some(xml.into_owned().into_string()),
        _ => None,
    })
}

/// A plan that ends too early is read as far as it goes: the statement's own figures come first.
fn read(plan: &str) -> Option<Estimate> {
    let mut reader = Reader::from_str(plan);
    let (mut rows, mut cost) = (None, None);
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Eof => break,
            Event::Start(element) | Event::Empty(element) => match element.local_name().as_ref() {
                "StmtSimple" | "StmtCond" | "StmtCursor" => {
                    rows = larger(rows, number(&element, "StatementEstRows"));
                    cost = sum(cost, number(&element, "StatementSubTreeCost"));
                }
                "RelOp" => rows = larger(rows, number(&element, "EstimateRows")),
                _ => (),
            },
            _ => (),
        }
    }
    rows.map(|rows| Estimate { rows, cost })
}

fn number(element: &BytesStart<'_>, name: &str) -> Option<f64> {
    let mut attributes = element.attributes();
    let attribute = attributes.with_checks(false).flatten().find(|attribute| attribute.key.as_ref() == name)?;
    attribute.value.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn larger(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(|one, other| one + other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shaped after the schema at http://schemas.microsoft.com/sqlserver/2004/07/showplan.
    const PLAN: &str = r#"<ShowPlanXML xmlns="http://schemas.microsoft.com/sqlserver/2004/07/showplan" Version="1.5">
        <BatchSequence><Batch><Statements>
        <StmtSimple StatementText="select 1" StatementEstRows="12.5" StatementSubTreeCost="0.0325" StatementType="SELECT">
          <QueryPlan><RelOp NodeId="0" EstimateRows="12.5"><NestedLoops>
            <RelOp NodeId="1" EstimateRows="1e+006"/><RelOp NodeId="2" EstimateRows="3"/>
          </NestedLoops></RelOp></QueryPlan>
        </StmtSimple></Statements></Batch></BatchSequence></ShowPlanXML>"#;

    #[test]
    fn the_busiest_step_and_the_whole_cost_are_read() {
        assert_eq!(read(PLAN), Some(Estimate { rows: 1e6, cost: Some(0.0325) }));
    }

    #[test]
    fn what_is_no_plan_is_no_estimate_and_half_a_plan_is_one() {
        for text in ["", "x", "<a/>", "<StmtSimple StatementEstRows='many'/>", "<RelOp EstimateRows='NaN'/>"] {
            assert_eq!(read(text), None, "{text}");
        }
        let half = &PLAN[..PLAN.find("<NestedLoops>").unwrap()];
        assert_eq!(read(half), Some(Estimate { rows: 12.5, cost: Some(0.0325) }));
    }
}
