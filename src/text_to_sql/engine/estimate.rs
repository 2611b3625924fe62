//! What an engine expects of a statement before it runs.

/// In the engine's own figures; they compare statements on one database, not one engine with another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Rows that the busiest step of the plan handles.
    pub rows: f64,
    /// The whole plan's cost, in the engine's units; not every engine tells.
    pub cost: Option<f64>,
}
