//! The forward pass of a BERT encoder (Devlin et al. 2018, arXiv:1810.04805) up to one vector a sequence.
//!
//! Sequences lie one after the other without padding, so a batch costs what its tokens cost. Query, key and value are
//! one product; the weights are kept as `[in][out]`, the order in which `gemm` reads them without a copy.

use std::ops::Range;

use super::kernels::{self, Norm};
use super::matrix::{View, ViewMut, multiply};
use super::words::Words;
use crate::models::to_unit_length;

/// The sizes of a model; everything below relies on them and the loader checked every tensor against them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub hidden: usize,
    pub heads: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub positions: usize,
}

/// How the vectors of a sequence's tokens become the vector of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    Mean,
    FirstToken,
}

/// A model that is ready to run; shared by all workers.
pub struct Bert {
    pub sizes: Sizes,
    pub pooling: Pooling,
    pub words: Words,
    /// `[position][hidden]`; the embedding of token type 0 is already added.
    pub positions: Vec<f32>,
    pub embedding_norm: Norm,
    pub layers: Vec<Layer>,
}

/// One layer of the encoder.
pub struct Layer {
    /// Query, key and value side by side; the query is already divided by the root of the head size.
    pub query_key_value: Linear,
    pub attention_output: Linear,
    pub attention_norm: Norm,
    pub intermediate: Linear,
    pub output: Linear,
    pub output_norm: Norm,
}

/// A weight as `[in][out]` and a bias as `[out]`.
pub struct Linear {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// A worker's buffers, kept from batch to batch.
#[derive(Default)]
pub struct Scratch {
    tokens: Vec<f32>,
    update: Vec<f32>,
    query_key_value: Vec<f32>,
    context: Vec<f32>,
    intermediate: Vec<f32>,
    scores: Vec<f32>,
    /// Of the large products.
    threads: usize,
}

impl Bert {
    /// The vector of each sequence, of length one, with the help of up to `threads` threads. Ids and lengths must be in
    /// range; the caller checked them.
    pub fn embed(&self, sequences: &[Vec<u32>], scratch: &mut Scratch, threads: usize) -> Vec<Vec<f32>> {
        scratch.resize(self.sizes, sequences);
        scratch.threads = threads;
        self.look_up(sequences, &mut scratch.tokens);
        for layer in &self.layers {
            self.attend(layer, sequences, scratch);
            self.feed_forward(layer, scratch);
        }
        spans(sequences).map(|span| self.pool(&scratch.tokens, span)).collect()
    }

    fn look_up(&self, sequences: &[Vec<u32>], tokens: &mut [f32]) {
        let hidden = self.sizes.hidden;
        let mut rows = tokens.chunks_exact_mut(hidden);
        for sequence in sequences {
            for ((id, position), row) in sequence.iter().zip(self.positions.chunks_exact(hidden)).zip(&mut rows) {
                row.copy_from_slice(position);
                self.words.add_to(*id, row);
            }
        }
        kernels::normalise(tokens, &self.embedding_norm);
    }

    fn attend(&self, layer: &Layer, sequences: &[Vec<u32>], scratch: &mut Scratch) {
        let hidden = self.sizes.hidden;
        layer.query_key_value.apply(&scratch.tokens, &mut scratch.query_key_value, scratch.threads);
        kernels::add_bias(&mut scratch.query_key_value, &layer.query_key_value.bias);
        for span in spans(sequences) {
            let query_key_value = &scratch.query_key_value[span.start * 3 * hidden..span.end * 3 * hidden];
            let context = &mut scratch.context[span.start * hidden..span.end * hidden];
            for head in 0..self.sizes.heads {
                self.attend_with_one_head(head, span.len(), query_key_value, context, &mut scratch.scores);
            }
        }
        layer.attention_output.apply(&scratch.context, &mut scratch.update, scratch.threads);
        let bias = &layer.attention_output.bias;
        kernels::add_and_normalise(&mut scratch.tokens, &scratch.update, bias, &layer.attention_norm);
    }

    fn attend_with_one_head(
        &self,
        head: usize,
        length: usize,
        query_key_value: &[f32],
        context: &mut [f32],
        scores: &mut [f32],
    ) {
        let hidden = self.sizes.hidden;
        let size = hidden / self.sizes.heads;
        let part = |which: usize| View::new(&query_key_value[which * hidden + head * size..], length, size, 3 * hidden);
        let scores = &mut scores[..length * length];
        multiply(ViewMut::new(scores, length, length, length), part(0), part(1).transposed(), 1);
        kernels::softmax(scores, length);
        let context = ViewMut::new(&mut context[head * size..], length, size, hidden);
        multiply(context, View::new(scores, length, length, length), part(2), 1);
    }

    fn feed_forward(&self, layer: &Layer, scratch: &mut Scratch) {
        layer.intermediate.apply(&scratch.tokens, &mut scratch.intermediate, scratch.threads);
        kernels::gelu(&mut scratch.intermediate, &layer.intermediate.bias);
        layer.output.apply(&scratch.intermediate, &mut scratch.update, scratch.threads);
        kernels::add_and_normalise(&mut scratch.tokens, &scratch.update, &layer.output.bias, &layer.output_norm);
    }

    fn pool(&self, tokens: &[f32], span: Range<usize>) -> Vec<f32> {
        let hidden = self.sizes.hidden;
        let rows = match self.pooling {
            Pooling::Mean => span,
            Pooling::FirstToken => span.start..span.start + 1,
        };
        let mut vector = vec![0.0; hidden];
        for row in tokens[rows.start * hidden..rows.end * hidden].chunks_exact(hidden) {
            vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        // The mean's divisor falls away in the normalisation.
        to_unit_length(&mut vector);
        vector
    }
}

impl Linear {
    /// Every row of `rows` times the weight; the bias is left to the step that follows.
    fn apply(&self, rows: &[f32], out: &mut [f32], threads: usize) {
        let width = self.bias.len();
        let depth = self.weight.len() / width;
        let count = out.len() / width;
        multiply(
            ViewMut::new(out, count, width, width),
            View::new(rows, count, depth, depth),
            View::new(&self.weight, depth, width, width),
            threads,
        );
    }
}

impl Scratch {
    fn resize(&mut self, sizes: Sizes, sequences: &[Vec<u32>]) {
        let tokens: usize = sequences.iter().map(Vec::len).sum();
        let longest = sequences.iter().map(Vec::len).max().unwrap_or(0);
        self.tokens.resize(tokens * sizes.hidden, 0.0);
        self.update.resize(tokens * sizes.hidden, 0.0);
        self.query_key_value.resize(tokens * 3 * sizes.hidden, 0.0);
        self.context.resize(tokens * sizes.hidden, 0.0);
        self.intermediate.resize(tokens * sizes.intermediate, 0.0);
        self.scores.resize(longest * longest, 0.0);
    }
}

/// Where each sequence's tokens lie among all tokens.
fn spans(sequences: &[Vec<u32>]) -> impl Iterator<Item = Range<usize>> {
    sequences.iter().scan(0, |end, sequence| {
        let start = *end;
        *end += sequence.len();
        Some(start..*end)
    })
}
