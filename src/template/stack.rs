//! Room for recursion.
//!
//! Templates nest: expressions, macros, variables within variables. Each kind has its limit, but together they may need more than
//! the stack of a small thread, so the evaluator takes more where little is left.

/// Runs with enough stack.
pub fn grow<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(256 << 10, 2 << 20, run)
}
