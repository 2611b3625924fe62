//! Examples as this server uses them: found by meaning and words, and checked again whenever the schema changes.

use std::time::Duration;

use pgvector::HalfVector;
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::App;
use crate::{
    store::{
        StoreError, Workspace,
        databases::Database,
        examples::{NearExample, SqlExample, Words},
    },
    text_to_sql::{
        generate::example::{self, Example},
        guard::{self, Policy, Violation, ViolationCode},
        schema::Schema,
    },
};

/// Near examples that are looked at for a question.
const NEAR: i64 = 8;
/// A question is embedded within this time, or found by its words alone.
const EMBED: Duration = Duration::from_secs(5);

/// What a question is found by.
pub async fn words(app: &App, workspace_id: Uuid, question: &str) -> Words {
    let embedder = app.embedders.default();
    let vector = match timeout(EMBED, app.embedders.ask(workspace_id, embedder.as_ref(), question)).await {
        Ok(Ok(vector)) => Some((embedder.name().to_owned(), HalfVector::from_f32_slice(&vector))),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a question could not be embedded, so examples are found by words alone");
            None
        }
        Err(_) => None,
    };
    Words { lexemes: example::lexemes(question), vector }
}

/// The verified examples of a database that are most like a question.
pub async fn near(workspace: &mut Workspace, database_id: Uuid, words: &Words) -> Result<Vec<Example>, StoreError> {
    let near = workspace.near_examples(database_id, words, NEAR).await?;
    let example =
        |near: NearExample| Example { id: near.id, question: near.question, sql: near.sql, likeness: near.likeness };
    Ok(near.into_iter().map(example).collect())
}

/// What the guard says of an example, whoever may ask it: attributes of a key are not missed.
pub fn violations(sql: &str, schema: &Schema, approved_functions: &[String]) -> Vec<Violation> {
    let policy = Policy { approved_functions: approved_functions.to_vec(), ..Policy::default() };
    let mut violations = guard::check(sql, schema, &policy).err().unwrap_or_default();
    violations.retain(|violation| violation.code != ViolationCode::MissingAttribute);
    violations
}

/// Flags the examples that `schema` no longer bears, and takes the flag from those that it bears again.
pub async fn recheck(workspace: &mut Workspace, database: &Database, schema: &Schema) -> Result<(), StoreError> {
    let examples = workspace.approved_examples(database.id).await?;
    judge(workspace, database, schema, examples).await
}

/// The same by the schema that is stored, which is read only where there are examples.
pub async fn recheck_stored(workspace: &mut Workspace, database: &Database) -> Result<(), StoreError> {
    let examples = workspace.approved_examples(database.id).await?;
    if examples.is_empty() {
        return Ok(());
    }
    let schema = workspace.schema(database).await?;
    judge(workspace, database, &schema, examples).await
}

async fn judge(
    workspace: &mut Workspace,
    database: &Database,
    schema: &Schema,
    examples: Vec<SqlExample>,
) -> Result<(), StoreError> {
    for example in examples {
        let violations = violations(&example.sql, schema, &database.approved_functions);
        let violations = serde_json::to_value(violations).unwrap_or(Value::Null);
        if violations != example.violations {
            workspace.judge_example(example.id, &violations).await?;
        }
    }
    Ok(())
}
