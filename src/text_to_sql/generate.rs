//! From a question to drafts of SQL. Three generators share this face: [`example`] remembers verified questions, [`model`]
//! asks a language model, [`builtin`] needs nothing but the schema. A draft is a proposal: only the guard decides what runs.

pub mod builtin;
pub mod example;
pub mod model;

/// Below this confidence nothing should run unasked. On ten Spider databases that the ranker never saw, the builtin
/// generator reaches it on 59 % of 516 questions and is right in 91 of 100 of those, or on 65 % and in 92 once its
/// drafts have run; on databases that are harder than those, on 50 % and in 87. See `scripts/train-ranker.py`.
pub const DEFAULT_MIN_CONFIDENCE: f32 = 0.76;

/// The most drafts of one question.
pub const MAX_DRAFTS: usize = 16;

/// One proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub sql: String,
    /// From 0 to 1: how likely the SQL is what was asked.
    pub confidence: f32,
    /// What the SQL gives, in plain words.
    pub explanation: String,
    /// What was decided where the question left it open.
    pub assumptions: Vec<String>,
    /// Words of the question that the SQL does not reflect.
    pub unused_words: Vec<String>,
    /// Asked back where the question can be read in ways that are equally good: "Which date: order date or ship date?"
    /// The other drafts are the other ways.
    pub clarification: Option<String>,
    /// What the builtin generator's ranker knows of it; empty for others.
    pub features: Features,
}

/// What drafts of one question are ranked by, again once they have run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    pub numbers: Vec<f32>,
    /// The rules found something that nothing makes good, such as a number that went unread: never sure enough to run.
    pub doubtful: bool,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Generated {
    /// Best first, distinct SQL, at least one and at most [`MAX_DRAFTS`].
    Drafts(Vec<Draft>),
    /// A sentence that says what is missing.
    Declined(String),
}
