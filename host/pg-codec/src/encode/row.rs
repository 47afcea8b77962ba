//! Writing one DataRow value by value: the hot path of masking.

use bytes::{BufMut, BytesMut};

use super::{EncodeError, cell, patch_length};
use crate::tag::backend::DATA_ROW;

/// One row under way. Dropped before [`RowWriter::finish`] it takes back what it wrote.
#[derive(Debug)]
pub struct RowWriter<'b> {
    out: &'b mut BytesMut,
    start: usize,
    values: u16,
    finished: bool,
}

impl<'b> RowWriter<'b> {
    #[inline]
    pub fn begin(out: &'b mut BytesMut) -> Self {
        let start = out.len();
        out.put_slice(&[DATA_ROW, 0, 0, 0, 0, 0, 0]);
        Self { out, start, values: 0, finished: false }
    }

    /// Appends a value, `None` for NULL.
    #[inline]
    pub fn value(&mut self, value: Option<&[u8]>) -> Result<(), EncodeError> {
        self.values = self.values.checked_add(1).ok_or(EncodeError::TooLong { field: "the list of values" })?;
        cell(self.out, value)
    }

    /// Bytes of the row so far, for whoever limits its size.
    pub fn written(&self) -> usize {
        self.out.len().saturating_sub(self.start)
    }

    /// Patches length and count: from here the row is part of the buffer.
    pub fn finish(mut self) -> Result<(), EncodeError> {
        patch_count(self.out, self.start + 5, self.values)?;
        patch_length(self.out, self.start + 1)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for RowWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

pub(super) fn patch_count(out: &mut BytesMut, at: usize, count: u16) -> Result<(), EncodeError> {
    let word = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>);
    *word.ok_or(EncodeError::TooLong { field: "the message" })? = count.to_be_bytes();
    Ok(())
}
