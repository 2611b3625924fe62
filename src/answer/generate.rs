//! Answers by a language model: the best passages that fit into its window, fenced as data, and its text as it comes.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::{
    Progress,
    checked::Checked,
    passages::{Passage, fit, merge},
    prompt::{draw_mark, overhead, prompt, room, tokens},
    search::SearchResult,
};
use crate::models::{Ending, LanguageModel, ModelError, Said, Tokenizer, Usage};

/// For the whole answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// A server that finds the prompt too long gets half of the passages, and half again.
const TRIES: u32 = 4;

/// What a model wrote.
#[derive(Debug)]
pub struct Generated<'a> {
    /// Empty when the model said that the passages do not answer.
    pub text: String,
    /// The passages that its marks name, from 1 on.
    pub shown: Vec<Passage<'a>>,
    pub usage: Option<Usage>,
}

/// Why there is no answer of the model's.
pub enum NotWritten {
    /// Nothing was handed on yet: another way of answering can take over.
    Nothing(ModelError),
    /// Part of an answer was handed on already.
    Half(ModelError),
}

/// A model and what is known of it.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    pub model: &'a dyn LanguageModel,
    /// Tokens of prompt and answer together.
    pub window: usize,
    /// Counts them, nearly.
    pub tokenizer: &'a Tokenizer,
}

/// Writes an answer, handing on its text as it comes, already checked: what a reader sees grow is what is returned.
pub async fn write<'a>(
    writer: Writer<'_>,
    question: &str,
    results: &'a [SearchResult],
    watch: &mut (dyn FnMut(Progress) + Send),
    degraded: &mut Vec<String>,
) -> Result<Generated<'a>, NotWritten> {
    let deadline = Instant::now() + DEADLINE;
    let mut room = room(writer.tokenizer, writer.window, question);
    let mut tried = 0;
    loop {
        tried += 1;
        let shown = shown(writer, results, room);
        if shown.is_empty() {
            let detail = "no passage fits beside the question; see llm_context_tokens";
            return Err(NotWritten::Nothing(ModelError::Shorten(detail.to_owned())));
        }
        let mark = draw_mark().map_err(|error| NotWritten::Nothing(ModelError::GiveUp(error.to_string())))?;
        let prompt = prompt(&mark, &shown, question, writer.window, deadline - Instant::now());
        match writer.model.stream(&prompt).await {
            Ok(stream) => return read(stream, shown, watch, degraded).await,
            Err(ModelError::Shorten(detail)) if tried < TRIES => {
                room /= 2;
                if tried == 1 {
                    degraded.push(format!("fewer passages were shown to the language model: {detail}"));
                }
            }
            Err(error) => return Err(NotWritten::Nothing(error)),
        }
    }
}

fn shown<'a>(writer: Writer<'_>, results: &'a [SearchResult], room: usize) -> Vec<Passage<'a>> {
    let tokenizer = writer.tokenizer;
    merge(fit(results, room, |chunk| overhead(tokenizer, chunk), |text| tokens(tokenizer, text)))
}

async fn read<'a>(
    mut stream: impl futures::Stream<Item = Result<Said, ModelError>> + Unpin,
    shown: Vec<Passage<'a>>,
    watch: &mut (dyn FnMut(Progress) + Send),
    degraded: &mut Vec<String>,
) -> Result<Generated<'a>, NotWritten> {
    let mut checked = Checked::new(shown.len());
    let mut hand_on = |text: String| {
        if !text.is_empty() {
            watch(Progress::Delta(text));
        }
    };
    let mut ending = Ending { usage: None, cut: false };
    while let Some(said) = stream.next().await {
        match said {
            Ok(Said::Text(piece)) => hand_on(checked.push(&piece)),
            Ok(Said::Ending(last)) => ending = last,
            Err(error) if !checked.has_text() => return Err(NotWritten::Nothing(error)),
            Err(error) => return Err(NotWritten::Half(error)),
        }
        if checked.is_full() {
            ending.cut = true;
            break;
        }
    }
    hand_on(checked.finish());
    if !checked.has_text() && !checked.is_refusal() {
        return Err(NotWritten::Nothing(ModelError::GiveUp("it said nothing".to_owned())));
    }
    if ending.cut {
        degraded.push("the answer was cut at its longest length".to_owned());
    }
    Ok(Generated { text: checked.into_text(), shown, usage: ending.usage })
}
