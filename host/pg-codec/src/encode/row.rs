//! Writing one DataRow: value by value, or as a copy of another one in which some values are replaced (the hot path of
//! masking).

use bytes::{BufMut, BytesMut};

use super::{EncodeError, cell, patch_length};
use crate::Malformed;
use crate::frame::HEADER_BYTES;
use crate::read::Reader;
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

/// A row that is copied with some of its values replaced. What is kept between two that are not is copied at once.
/// Dropped before [`RowCopy::finish`] it takes back what it wrote.
#[derive(Debug)]
pub struct RowCopy<'r, 'b> {
    body: &'r [u8],
    reader: Reader<'r>,
    count: u16,
    /// Where the value begins that was read last, and up to where the body is copied or replaced.
    value_at: usize,
    done_to: usize,
    out: &'b mut BytesMut,
    start: usize,
    finished: bool,
}

impl<'r, 'b> RowCopy<'r, 'b> {
    /// Begins with the body of a DataRow.
    ///
    /// # Errors
    /// When it does not even say how many values it has.
    #[inline]
    pub fn begin(body: &'r [u8], out: &'b mut BytesMut) -> Result<Self, Malformed> {
        let mut reader = Reader::new("DataRow", body);
        let count = reader.u16("the number of values")?;
        let start = out.len();
        out.reserve(HEADER_BYTES + body.len());
        out.extend_from_slice(&[DATA_ROW, 0, 0, 0, 0]);
        Ok(Self { body, reader, count, value_at: 2, done_to: 0, out, start, finished: false })
    }

    /// How many values the row claims to have.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads the next value, which is kept unless it is replaced; `None` for NULL.
    ///
    /// # Errors
    /// When the row ends within it.
    #[inline]
    pub fn read(&mut self) -> Result<Option<&'r [u8]>, Malformed> {
        self.value_at = self.read_to();
        self.reader.cell("a value")
    }

    /// Puts another value in place of the one that was read last.
    ///
    /// # Errors
    /// When it is too long for a row.
    #[inline]
    pub fn replace(&mut self, value: Option<&[u8]>) -> Result<(), EncodeError> {
        self.copy_to(self.value_at);
        self.done_to = self.read_to();
        cell(self.out, value)
    }

    /// Copies what is left: from here the row is part of the buffer.
    ///
    /// # Errors
    /// When bytes follow the last value, or the row became too long.
    pub fn finish<E: From<Malformed> + From<EncodeError>>(mut self) -> Result<(), E> {
        self.reader.finish()?;
        self.copy_to(self.body.len());
        patch_length(self.out, self.start + 1)?;
        self.finished = true;
        Ok(())
    }

    #[inline]
    fn read_to(&self) -> usize {
        self.body.len() - self.reader.peek().len()
    }

    #[inline]
    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.body.get(self.done_to..end).unwrap_or_default());
    }
}

impl Drop for RowCopy<'_, '_> {
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
