//! The element-wise steps between matrix products: bias, GELU, softmax, layer normalisation.
//!
//! Plain loops that the compiler vectorises; `pulp` compiles each for AVX-512, AVX2 and the baseline and picks one at
//! run time. Each step takes the bias of the product before it, so that no pass over memory is spent on a bias alone.

use pulp::{Arch, Simd, WithSimd};

/// Independent partial sums of a reduction: as many as the widest register holds.
const LANES: usize = 16;

/// Scale and shift of a layer normalisation.
pub struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub epsilon: f32,
}

/// Adds `bias` to every row.
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(AddBias { rows, bias });
}

/// Adds `bias` to every row, then takes the exact (erf) GELU of every number.
pub fn gelu(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(Gelu { rows, bias });
}

/// Makes every row of `columns` numbers positive with a sum of one.
pub fn softmax(rows: &mut [f32], columns: usize) {
    Arch::new().dispatch(Softmax { rows, columns });
}

/// Adds `update` and `bias` to every row, then normalises the row.
pub fn add_and_normalise(rows: &mut [f32], update: &[f32], bias: &[f32], norm: &Norm) {
    Arch::new().dispatch(AddAndNormalise { rows, update, bias, norm });
}

/// Normalises every row.
pub fn normalise(rows: &mut [f32], norm: &Norm) {
    Arch::new().dispatch(Normalise { rows, norm });
}

struct AddBias<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            row.iter_mut().zip(self.bias).for_each(|(x, bias)| *x += bias);
        }
    }
}

struct Gelu<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            row.iter_mut().zip(self.bias).for_each(|(x, bias)| *x = gelu_of(*x + bias));
        }
    }
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    columns: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.columns) {
            let greatest = reduce(row, f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
            row.iter_mut().for_each(|x| *x = exp_of_negative(*x - greatest));
            let scale = 1.0 / reduce(row, 0.0, |a, b| a + b);
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

struct AddAndNormalise<'a> {
    rows: &'a mut [f32],
    update: &'a [f32],
    bias: &'a [f32],
    norm: &'a Norm,
}

impl WithSimd for AddAndNormalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.bias.len();
        for (row, update) in self.rows.chunks_exact_mut(width).zip(self.update.chunks_exact(width)) {
            row.iter_mut().zip(update).zip(self.bias).for_each(|((x, update), bias)| *x += update + bias);
            normalise_row(row, self.norm);
        }
    }
}

struct Normalise<'a> {
    rows: &'a mut [f32],
    norm: &'a Norm,
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.rows.chunks_exact_mut(self.norm.weight.len()).for_each(|row| normalise_row(row, self.norm));
    }
}

#[inline(always)]
fn normalise_row(row: &mut [f32], norm: &Norm) {
    let count = row.len() as f32;
    let mean = reduce(row, 0.0, |a, b| a + b) / count;
    row.iter_mut().for_each(|x| *x -= mean);
    let variance = sum_of_squares(row) / count;
    let scale = 1.0 / (variance + norm.epsilon).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(&norm.weight).zip(&norm.bias) {
        *x = *x * scale * weight + bias;
    }
}

#[inline(always)]
fn reduce(row: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane = join(*lane, *x));
    }
    lanes.iter().chain(rest).fold(start, |a, b| join(a, *b))
}

#[inline(always)]
fn sum_of_squares(row: &[f32]) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane += x * x);
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

/// `x · Φ(x)`. With `q = 1 - erf(|x|/√2)`, both signs are `max(x, 0) - |x|·q/2`. The error function is Abramowitz and
/// Stegun 7.1.26, right to 1.5e-7.
#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    let magnitude = x.abs();
    let s = magnitude * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * s);
    let polynomial = t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152_1 + t * 1.061_405_4))));
    let positive = if x > 0.0 { x } else { 0.0 };
    positive - 0.5 * magnitude * polynomial * exp_of_negative(-s * s)
}

/// `e^x` for `x ≤ 0`, to two units in the last place: `2^n · e^r` with the polynomial of Cephes' `expf`. Adding
/// 1.5·2^23 rounds to a whole number and leaves it in the low bits, from where it is added to the exponent.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Below this the result is not a normal number; it is as good as zero.
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let power = p * r * r + r + 1.0;
    f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf by its everywhere positive series, `2/√π · e^(-x²) · Σ 2^n x^(2n+1) / (2n+1)!!`.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
    }

    fn grid() -> impl Iterator<Item = f32> {
        (-8_000..=8_000).map(|i| i as f32 / 1_000.0)
    }

    #[test]
    fn gelu_is_right_to_a_millionth() {
        for x in grid() {
            let want = 0.5 * f64::from(x) * (1.0 + erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2));
            let mut got = [x];
            gelu(&mut got, &[0.0]);
            assert!((f64::from(got[0]) - want).abs() < 1e-6, "GELU({x}) is {want}, not {}", got[0]);
        }
    }

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        for x in (0..87_000).map(|i| -(i as f32) / 1_000.0) {
            let (got, want) = (f64::from(exp_of_negative(x)), f64::from(x).exp());
            assert!((got / want - 1.0).abs() < 2.4e-7, "e^{x} is {want}, not {got}");
        }
        assert!(exp_of_negative(f32::MIN) < 1e-37);
    }

    #[test]
    fn softmax_of_any_width_sums_to_one_and_keeps_the_order() {
        for columns in [1, 2, 15, 16, 17, 256] {
            let mut rows: Vec<f32> = grid().take(columns * 3).collect();
            softmax(&mut rows, columns);
            for row in rows.chunks(columns) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                assert!(row.is_sorted());
            }
        }
    }

    #[test]
    fn softmax_survives_numbers_far_apart() {
        let mut row = [-1e30, 0.0, 1e30];
        softmax(&mut row, 3);
        assert_eq!(row[2], 1.0);
        assert!(row[0] >= 0.0 && row[0] < 1e-30);
    }

    #[test]
    fn a_normalised_row_has_the_wanted_mean_and_spread() {
        let norm = Norm { weight: vec![2.0; 100], bias: vec![3.0; 100], epsilon: 1e-12 };
        let mut row: Vec<f32> = grid().take(100).collect();
        add_and_normalise(&mut row, &[0.25; 100], &[0.5; 100], &norm);
        let mean = row.iter().sum::<f32>() / 100.0;
        let spread = (row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 100.0).sqrt();
        assert!((mean - 3.0).abs() < 1e-4 && (spread - 2.0).abs() < 1e-4, "{mean} ± {spread}");
    }
}
