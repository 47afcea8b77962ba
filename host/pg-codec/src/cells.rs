//! Values behind lengths, as Bind and DataRow carry them: no copy, no allocation.

use crate::{Malformed, read::Reader};

/// A counted list of values, checked while it is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cells<'a> {
    message: &'static str,
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Cells<'a> {
    pub(crate) fn new(message: &'static str, count: u16, bytes: &'a [u8]) -> Self {
        Self { message, count, bytes }
    }

    /// How many values the message claims to have.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in order, `None` for NULL. The first broken length, or bytes behind the last value, yield one error
    /// and end the walk.
    pub fn iter(&self) -> CellIter<'a> {
        CellIter { reader: Reader::new(self.message, self.bytes), left: self.count, done: false }
    }
}

/// See [`Cells::iter`].
#[derive(Debug, Clone)]
pub struct CellIter<'a> {
    reader: Reader<'a>,
    left: u16,
    done: bool,
}

impl<'a> Iterator for CellIter<'a> {
    type Item = Result<Option<&'a [u8]>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.done = true;
            return self.reader.finish().err().map(Err);
        };
        self.left = left;
        let cell = self.reader.cell("a value");
        self.done = cell.is_err();
        Some(cell)
    }
}

impl<'a> IntoIterator for &Cells<'a> {
    type Item = Result<Option<&'a [u8]>, Malformed>;
    type IntoIter = CellIter<'a>;

    fn into_iter(self) -> CellIter<'a> {
        self.iter()
    }
}
