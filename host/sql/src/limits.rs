use std::cell::Cell;

/// How much text, nesting and work one analysis may take. Beyond it the answer is [`crate::AnalyseError::Limit`], never
/// a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text in bytes. 16 MiB: a bulk INSERT of several megabytes is ordinary, a larger one is a mistake.
    pub text_bytes: usize,
    /// The deepest nesting of queries, expressions and joins. 1,000: generated SQL stays below a tenth of it.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { text_bytes: 16 << 20, depth: 1_000 }
    }
}

/// Why a walk stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Deeper than this stack is meant to carry; a walk with a larger one may succeed.
    Depth,
    /// More work than the text's length justifies.
    Work,
}

/// A walk's result.
pub(crate) type Walk<T> = Result<T, Stop>;

/// Nesting that the caller's own stack carries. A level takes at most 16 KiB, and the stack of an async worker has
/// 2 MiB, of which its own frames use some.
pub(crate) const DEPTH_ON_CALLERS_STACK: u32 = 48;

/// The stack of the thread for deeper texts: 1,000 levels of at most 64 KiB each. Only what is touched is paid for.
pub(crate) const DEEP_STACK_BYTES: usize = 64 << 20;

/// How many SQL functions may call each other before the innermost one counts as not followed.
pub(crate) const EXPANSION_DEPTH: usize = 16;

/// Steps allowed to any text, besides [`STEPS_PER_BYTE`]: views and SQL functions are walked although they are not in
/// the text.
const STEPS: u64 = 2_000_000;
const STEPS_PER_BYTE: u64 = 32;

/// What is left of the work that a text may cause.
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) fn for_text(bytes: usize) -> Self {
        Self(Cell::new(STEPS + STEPS_PER_BYTE * bytes as u64))
    }

    /// Takes steps from the rest.
    pub(crate) fn spend(&self, steps: usize) -> Walk<()> {
        let rest = self.0.get().checked_sub(steps as u64).ok_or(Stop::Work)?;
        self.0.set(rest);
        Ok(())
    }
}
