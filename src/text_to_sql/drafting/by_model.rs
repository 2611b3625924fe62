//! Drafts of a language model: asked, proven, tried out; handed back with what is wrong with them; and believed by how well
//! their results agree.

use std::time::Instant;

use super::{Proven, by_rules, prove, today, try_out};
use crate::models::{ModelError, Usage};
use crate::text_to_sql::generate::model::{self, Context, Missing, Repair};
use crate::text_to_sql::guard;
use crate::text_to_sql::journal::NotKept;
use crate::text_to_sql::nearest;
use crate::text_to_sql::query::{Generator, Query};
use crate::text_to_sql::run::Rows;
use crate::text_to_sql::vote::{self, Ballot};
use crate::text_to_sql::{Ask, Modelling, Target};

/// A model gets back what the guard or the engine has against its drafts this often.
const MAX_REPAIRS: u32 = 2;

/// Proven drafts and how many answers each of them was.
type Voted = Vec<(Proven, usize)>;

/// The drafts, most credible first, with the builtin generator's best among them. An error when the model cannot be used.
pub async fn draft(
    target: &Target,
    modelling: &Modelling,
    ask: &Ask,
    query: &mut Query,
) -> Result<Result<Vec<Proven>, ModelError>, NotKept> {
    let rules = by_rules::best(target, ask, query);
    let examples = examples(target, ask);
    let previous = previous(target, ask);
    let context = context(target, modelling, ask, &examples, previous, rules.as_ref());
    let deadline = Instant::now() + modelling.deadline;
    let mut repair = None;
    let mut usage = Vec::new();
    for round in 0..=MAX_REPAIRS {
        query.attempts += 1;
        let language_model = modelling.language_model.as_ref();
        let asked = model::generate(&context, language_model, modelling.candidates, repair.as_ref(), deadline);
        let answers = match asked.await {
            Ok(answers) => answers,
            Err(error) => return Ok(Err(error)),
        };
        usage.push(answers.usage);
        query.usage = Usage::sum(usage.clone());
        repair = match answers.missing {
            Some(Missing::Declined(missing)) => {
                query.explanation = missing;
                return Ok(Ok(Vec::new()));
            }
            Some(Missing::Unreadable(problem)) => {
                query.explanation = "The language model did not answer with exactly one query.".to_owned();
                Some(problem)
            }
            None => {
                let first = answers.drafts[0].draft.sql.clone();
                let voted = proven(target, answers.drafts, ask.execute, query).await?;
                let problems = problems(&voted, query);
                if problems.is_empty() || (round == MAX_REPAIRS && !voted.is_empty()) {
                    return Ok(Ok(believed(target, voted, rules, ask.execute, query).await?));
                }
                Some(Repair { sql: first, problems })
            }
        };
    }
    Ok(Ok(Vec::new()))
}

fn context<'a>(
    target: &'a Target,
    modelling: &Modelling,
    ask: &'a Ask,
    examples: &'a [(String, String)],
    previous: Option<(&'a str, &'a str)>,
    rules: Option<&'a Proven>,
) -> Context<'a> {
    Context {
        schema: &target.known.schema,
        relevance: target.known.relevance(),
        catalog: target.known.catalog(),
        question: &ask.question,
        today: today(),
        time_zone: "UTC",
        examples,
        previous,
        draft: rules.map(|best| best.draft.sql.as_str()),
        window_tokens: modelling.window,
    }
}

/// Questions with their SQL that this caller may run too: others would tell of what is hidden.
fn examples(target: &Target, ask: &Ask) -> Vec<(String, String)> {
    let known = ask.examples.iter().filter(|known| is_open(target, &known.sql));
    known.map(|known| (known.question.clone(), known.sql.clone())).collect()
}

/// The question before and its SQL, if that may still be run.
fn previous<'a>(target: &Target, ask: &'a Ask) -> Option<(&'a str, &'a str)> {
    let previous = ask.previous.as_ref()?;
    let sql = previous.sql.as_deref().filter(|sql| is_open(target, sql))?;
    Some((previous.question.as_str(), sql))
}

fn is_open(target: &Target, sql: &str) -> bool {
    guard::check(sql, &target.known.schema, &target.policy).is_ok()
}

async fn proven(
    target: &Target,
    drafts: Vec<model::Voted>,
    execute: bool,
    query: &mut Query,
) -> Result<Voted, NotKept> {
    let votes: Vec<(String, usize)> = drafts.iter().map(|voted| (voted.draft.sql.clone(), voted.votes)).collect();
    let drafts = drafts.into_iter().map(|voted| voted.draft).collect();
    let mut proven = prove(target, drafts, Generator::Model, query);
    if execute {
        try_out(target, query.id, &mut proven).await?;
    }
    let of = |proven: &Proven| votes.iter().find(|(sql, _)| *sql == proven.draft.sql).map_or(1, |(_, votes)| *votes);
    Ok(proven
        .into_iter()
        .map(|proven| {
            let votes = of(&proven);
            (proven, votes)
        })
        .collect())
}

/// What is wrong with all of the drafts; nothing when one of them can be used.
fn problems(voted: &Voted, query: &Query) -> Vec<String> {
    if voted.is_empty() {
        return query.validation.violations.iter().map(|violation| violation.detail.clone()).collect();
    }
    let failures: Vec<String> = voted.iter().filter_map(|(proven, _)| proven.failure()).map(str::to_owned).collect();
    if failures.len() == voted.len() { failures } else { Vec::new() }
}

/// One draft for each result, the most credible first. What agrees with the builtin generator gains by it; what does not
/// loses nothing, because the model knows more.
async fn believed(
    target: &Target,
    voted: Voted,
    rules: Option<Proven>,
    execute: bool,
    query: &Query,
) -> Result<Vec<Proven>, NotKept> {
    if !execute {
        return Ok(voted.into_iter().map(|(proven, _)| proven).collect());
    }
    let mut rules: Vec<Proven> = rules.into_iter().collect();
    try_out(target, query.id, &mut rules).await?;
    let all: Voted = voted.into_iter().chain(rules.into_iter().map(|best| (best, 0))).collect();
    let ballots: Vec<Ballot> = all.iter().map(|(proven, votes)| ballot(target, proven, *votes)).collect();
    let groups = vote::vote(&ballots);
    let mut places: Vec<Option<Proven>> = all.into_iter().map(|(proven, _)| Some(proven)).collect();
    let mut believed: Vec<Proven> = Vec::new();
    for group in groups {
        if let Some(mut proven) = places[group.members[0]].take() {
            proven.draft.confidence = group.confidence;
            believed.push(proven);
        }
    }
    // Nothing could be run: the first draft shows why.
    if believed.is_empty() {
        believed.extend(places.into_iter().flatten().next());
    }
    Ok(believed)
}

fn ballot<'a>(target: &Target, proven: &'a Proven, votes: usize) -> Ballot<'a> {
    let unknown = |sql: &str| !nearest::nearest(sql, &target.known.schema).notes.is_empty();
    Ballot {
        votes,
        confidence: proven.draft.confidence,
        generator: usize::from(proven.generator == Generator::Builtin),
        rows: proven.rows(),
        misspelled: proven.rows().is_some_and(Rows::says_nothing) && unknown(&proven.draft.sql),
    }
}
