//! Drafts of the builtin generator, and verified examples that are like the question and not the same.

use super::{Proven, prove, prove_one, today, try_out};
use crate::text_to_sql::generate::builtin::{self, ResultFacts};
use crate::text_to_sql::generate::{Draft, Generated, example};
use crate::text_to_sql::journal::NotKept;
use crate::text_to_sql::query::{Generator, Query};
use crate::text_to_sql::{Ask, Target};

/// The drafts, best first, tried out where they may be.
pub async fn draft(target: &Target, ask: &Ask, query: &mut Query) -> Result<Vec<Proven>, NotKept> {
    query.attempts += 1;
    let mut drafted = match generate(target, ask) {
        Generated::Drafts(drafts) => prove(target, drafts, Generator::Builtin, query),
        Generated::Declined(missing) => {
            query.explanation = missing;
            Vec::new()
        }
    };
    if ask.execute {
        try_out(target, query.id, &mut drafted).await?;
        rank(&mut drafted);
    }
    let mut alike = alike(target, ask, query);
    if ask.execute {
        try_out(target, query.id, &mut alike).await?;
    }
    drafted.extend(alike);
    drafted.sort_by(|one, other| other.draft.confidence.total_cmp(&one.draft.confidence));
    // What cannot be run is worth less than what can, however it looked.
    drafted.sort_by_key(|drafted| drafted.failure().is_some());
    Ok(drafted)
}

/// Orders drafts by what they gave, too: the ranker learned what right answers look like.
fn rank(drafted: &mut [Proven]) {
    let facts: Vec<Option<ResultFacts>> =
        drafted.iter().map(|drafted| drafted.rows().map(|rows| ResultFacts::of(&rows.rows))).collect();
    let mut ranked: Vec<Draft> = drafted.iter().map(|drafted| drafted.draft.clone()).collect();
    builtin::rerank(&mut ranked, &facts);
    for drafted in drafted.iter_mut() {
        let known = ranked.iter().find(|draft| draft.sql == drafted.draft.sql);
        drafted.draft.confidence = known.map_or(drafted.draft.confidence, |draft| draft.confidence);
    }
}

/// The best draft alone, for whoever has better ones.
pub fn best(target: &Target, ask: &Ask, query: &Query) -> Option<Proven> {
    match generate(target, ask) {
        Generated::Drafts(drafts) => {
            drafts.into_iter().find_map(|draft| prove_one(target, draft, Generator::Builtin, query).ok())
        }
        Generated::Declined(_) => None,
    }
}

fn generate(target: &Target, ask: &Ask) -> Generated {
    builtin::generate(ask.whole_question(), target.known.catalog(), today())
}

fn alike(target: &Target, ask: &Ask, query: &Query) -> Vec<Proven> {
    let offered = ask.examples.iter().filter_map(|known| {
        let draft = example::offer(known, &target.known.schema)?;
        let proven = prove_one(target, draft, Generator::Example, query).ok()?;
        Some(Proven { example_id: Some(known.id), ..proven })
    });
    offered.collect()
}
