//! Products of `f32` matrices: the one door to the `gemm` crate, which picks AVX-512, AVX2 or plain code at run time.
//!
//! A view proves its bounds when it is made, so a product cannot reach outside its slices; sizes that do not fit are a
//! bug of ours and panic. Views are row-major with a stride; a right or left operand may be transposed for free.
#![expect(unsafe_code, reason = "gemm takes raw pointers; the views below prove what it may touch")]

/// A matrix to read.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

/// A matrix to write: row-major, its rows `stride` numbers apart.
pub struct ViewMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

/// Writes `left · right` over `out`, with the help of up to `threads` threads.
pub fn multiply(out: ViewMut<'_>, left: View<'_>, right: View<'_>, threads: usize) {
    let ViewMut { data, rows, columns, stride } = out;
    assert!(left.columns == right.rows && rows == left.rows && columns == right.columns);
    // SAFETY: `View::new` and `ViewMut::new` checked that the last element of each matrix, at
    // (rows - 1) · row step + (columns - 1) · column step, lies inside its slice, and steps are not negative, so every
    // element does. `out` is borrowed mutably, so it overlaps neither operand, and its stride is at least its width, so
    // its elements are distinct. Slices are no longer than isize::MAX bytes, so no step exceeds isize.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            left.columns,
            data.as_mut_ptr(),
            1,
            step(stride),
            false,
            left.data.as_ptr(),
            step(left.column_step),
            step(left.row_step),
            right.data.as_ptr(),
            step(right.column_step),
            step(right.row_step),
            0.0,
            1.0,
            false,
            false,
            false,
            if threads > 1 { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None },
        );
    }
}

impl<'a> View<'a> {
    /// `rows` × `columns` numbers at the start of `data`, whose rows lie `stride` apart.
    pub fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> View<'a> {
        check(data.len(), rows, columns, stride);
        View { data, rows, columns, row_step: stride, column_step: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    pub fn transposed(self) -> View<'a> {
        View { rows: self.columns, columns: self.rows, row_step: self.column_step, column_step: self.row_step, ..self }
    }
}

impl<'a> ViewMut<'a> {
    /// As [`View::new`].
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> ViewMut<'a> {
        check(data.len(), rows, columns, stride);
        ViewMut { data, rows, columns, stride }
    }
}

fn check(length: usize, rows: usize, columns: usize, stride: usize) {
    assert!(columns <= stride, "rows of {columns} numbers overlap at a stride of {stride}");
    let Some(before_last) = rows.checked_sub(1) else { return };
    let end = before_last.checked_mul(stride).and_then(|start| start.checked_add(columns));
    assert!(end.is_some_and(|end| end <= length), "{rows} × {columns} numbers do not fit into {length}");
}

fn step(numbers: usize) -> isize {
    isize::try_from(numbers).expect("a step lies inside a slice, which is no longer than isize::MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of a product, in `f64`.
    fn expected(left: &[f32], right: &[f32], rows: usize, inner: usize, columns: usize) -> Vec<f32> {
        let cell = |r: usize, c: usize| -> f64 {
            (0..inner).map(|i| f64::from(left[r * inner + i]) * f64::from(right[i * columns + c])).sum()
        };
        (0..rows * columns).map(|at| cell(at / columns, at % columns) as f32).collect()
    }

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 8) as f32 / 8_388_608.0 - 1.0)
        };
        (0..count).scan(seed, |state, _| next(state)).collect()
    }

    #[test]
    fn a_product_of_any_shape_is_the_sum_of_products() {
        for (rows, inner, columns) in [(1, 1, 1), (1, 384, 7), (3, 5, 1), (17, 32, 33), (200, 96, 130), (0, 4, 4)] {
            let (left, right) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
            for threads in [1, 3] {
                let mut out = vec![f32::NAN; rows * columns];
                let out_view = ViewMut::new(&mut out, rows, columns, columns);
                let left_view = View::new(&left, rows, inner, inner);
                multiply(out_view, left_view, View::new(&right, inner, columns, columns), threads);
                for (got, want) in out.iter().zip(expected(&left, &right, rows, inner, columns)) {
                    assert!((got - want).abs() < 1e-4, "{rows}×{inner}×{columns}: {got} is not {want}");
                }
            }
        }
    }

    #[test]
    fn a_stride_leaves_the_numbers_between_the_rows_alone() {
        let (left, right) = (numbers(6, 3), numbers(6, 4));
        let mut out = vec![9.0; 12];
        let right_view = View::new(&right, 2, 3, 3).transposed();
        multiply(ViewMut::new(&mut out, 2, 2, 6), View::new(&left, 2, 3, 3), right_view, 1);
        assert_eq!(out[2..6], [9.0; 4]);
        assert_eq!(out[8..], [9.0; 4]);
        let dot = |a: usize, b: usize| -> f32 { (0..3).map(|i| left[a * 3 + i] * right[b * 3 + i]).sum() };
        assert!((out[7] - dot(1, 1)).abs() < 1e-6);
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn a_view_that_reaches_past_its_slice_is_refused() {
        View::new(&[0.0; 11], 3, 4, 4);
    }
}
