//! Takes a BERT's tensors out of a safetensors file, each with the shape that the configuration promises, and lays them
//! out for the forward pass: weights transposed, query, key and value side by side, the query's scale folded in.

use std::path::Path;

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::bert::{Bert, Layer, Linear, Pooling, Sizes};
use super::kernels::Norm;
use super::words::Words;
use crate::models::LoadError;

/// The model in the file at `path`, which is mapped as `map`.
pub fn read(path: &Path, map: Mmap, sizes: Sizes, epsilon: f32, pooling: Pooling) -> Result<Bert, LoadError> {
    let file = SafeTensors::deserialize(&map).map_err(|error| LoadError::malformed(path, error.to_string()))?;
    let tensors = Tensors { path, prefix: prefix(&file), file, epsilon };
    let table = tensors.table("embeddings.word_embeddings.weight", sizes.hidden)?;
    let start = table.as_ptr().addr() - map.as_ptr().addr();
    let range = start..start + table.len();
    let positions = tensors.positions(sizes)?;
    let embedding_norm = tensors.norm("embeddings.LayerNorm", sizes.hidden)?;
    let layers = (0..sizes.layers).map(|index| tensors.layer(index, sizes)).collect::<Result<_, _>>()?;
    Ok(Bert { sizes, pooling, words: Words::new(map, range, sizes.hidden), positions, embedding_norm, layers })
}

struct Tensors<'a> {
    path: &'a Path,
    prefix: &'static str,
    file: SafeTensors<'a>,
    epsilon: f32,
}

/// Models saved with a head on top have `bert.` before the encoder's names.
fn prefix(file: &SafeTensors<'_>) -> &'static str {
    if file.names().iter().any(|name| name.starts_with("bert.")) { "bert." } else { "" }
}

impl<'a> Tensors<'a> {
    fn layer(&self, index: usize, sizes: Sizes) -> Result<Layer, LoadError> {
        let Sizes { hidden, intermediate, .. } = sizes;
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        Ok(Layer {
            query_key_value: self.query_key_value(&name("attention.self"), sizes)?,
            attention_output: self.linear(&name("attention.output.dense"), hidden, hidden)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), hidden)?,
            intermediate: self.linear(&name("intermediate.dense"), hidden, intermediate)?,
            output: self.linear(&name("output.dense"), intermediate, hidden)?,
            output_norm: self.norm(&name("output.LayerNorm"), hidden)?,
        })
    }

    fn query_key_value(&self, name: &str, sizes: Sizes) -> Result<Linear, LoadError> {
        let hidden = sizes.hidden;
        let part = |part: &str| self.linear(&format!("{name}.{part}"), hidden, hidden);
        let (mut query, key, value) = (part("query")?, part("key")?, part("value")?);
        let scale = 1.0 / ((hidden / sizes.heads) as f32).sqrt();
        query.weight.iter_mut().chain(&mut query.bias).for_each(|x| *x *= scale);
        let rows = |linear: &Linear, row: usize| linear.weight[row * hidden..(row + 1) * hidden].to_vec();
        let weight = (0..hidden).flat_map(|row| [rows(&query, row), rows(&key, row), rows(&value, row)].concat());
        Ok(Linear { weight: weight.collect(), bias: [query.bias, key.bias, value.bias].concat() })
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, LoadError> {
        let stored = self.numbers(&format!("{name}.weight"), &[outputs, inputs])?;
        let mut weight = vec![0.0; stored.len()];
        for (output, row) in stored.chunks_exact(inputs).enumerate() {
            row.iter().enumerate().for_each(|(input, x)| weight[input * outputs + output] = *x);
        }
        Ok(Linear { weight, bias: self.numbers(&format!("{name}.bias"), &[outputs])? })
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, LoadError> {
        let weight = self.numbers(&format!("{name}.weight"), &[width])?;
        Ok(Norm { weight, bias: self.numbers(&format!("{name}.bias"), &[width])?, epsilon: self.epsilon })
    }

    /// The positions, with token type 0 added: all our texts are of the first type.
    fn positions(&self, sizes: Sizes) -> Result<Vec<f32>, LoadError> {
        let shape = [sizes.positions, sizes.hidden];
        let mut positions = self.numbers("embeddings.position_embeddings.weight", &shape)?;
        let types = decode(self.table("embeddings.token_type_embeddings.weight", sizes.hidden)?);
        for row in positions.chunks_exact_mut(sizes.hidden) {
            row.iter_mut().zip(&types).for_each(|(x, first_type)| *x += first_type);
        }
        Ok(positions)
    }

    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let (bytes, found) = self.tensor(name)?;
        if found == shape { Ok(decode(bytes)) } else { Err(self.misshapen(name, &found)) }
    }

    /// A table of at least one row, `width` wide.
    fn table(&self, name: &str, width: usize) -> Result<&'a [u8], LoadError> {
        match self.tensor(name)? {
            (bytes, found) if found.len() == 2 && found[0] > 0 && found[1] == width => Ok(bytes),
            (_, found) => Err(self.misshapen(name, &found)),
        }
    }

    fn tensor(&self, name: &str) -> Result<(&'a [u8], Vec<usize>), LoadError> {
        let name = format!("{}{name}", self.prefix);
        let tensor = self.file.tensor(&name).map_err(|error| LoadError::malformed(self.path, error.to_string()))?;
        match tensor.dtype() {
            Dtype::F32 => Ok((tensor.data(), tensor.shape().to_vec())),
            other => Err(LoadError::unsupported(self.path, format!("{name} is {other:?}, and only F32 is known"))),
        }
    }

    fn misshapen(&self, name: &str, found: &[usize]) -> LoadError {
        LoadError::malformed(self.path, format!("{name} is {found:?}, which does not match config.json"))
    }
}

fn decode(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
