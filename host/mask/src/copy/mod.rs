//! Masking of `COPY … TO STDOUT`: the stream is cut into rows and fields, masked fields are written anew.

mod csv;
mod text;

use crate::column::ColumnMask;
use crate::row::{self, RowError};

/// A row above this ends the query (SEMANTICS.md, limits), so that one row cannot take the gateway's memory.
pub const ROW_MAX: usize = 64 << 20;

/// How the statement wants its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    /// `FORMAT text`
    Text(TextOptions),
    /// `FORMAT csv`
    Csv(CsvOptions),
    /// `FORMAT binary`
    Binary,
}

/// The options of `FORMAT text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// `DELIMITER`
    pub delimiter: u8,
    /// `NULL`
    pub null: Vec<u8>,
    /// `HEADER`
    pub header: bool,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { delimiter: b'\t', null: b"\\N".to_vec(), header: false }
    }
}

/// The options of `FORMAT csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// `DELIMITER`
    pub delimiter: u8,
    /// `NULL`
    pub null: Vec<u8>,
    /// `HEADER`
    pub header: bool,
    /// `QUOTE`
    pub quote: u8,
    /// `ESCAPE`
    pub escape: u8,
    /// `FORCE_QUOTE`
    pub force_quote: ForceQuote,
}

impl Default for CsvOptions {
    fn default() -> Self {
        let quote = b'"';
        let force_quote = ForceQuote::None;
        Self { delimiter: b',', null: Vec::new(), header: false, quote, escape: quote, force_quote }
    }
}

/// Which columns are quoted even where they need not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceQuote {
    /// None of them.
    None,
    /// `FORCE_QUOTE *`
    All,
    /// The columns of these positions, from 0.
    Columns(Vec<usize>),
}

/// Masks one stream of COPY data. Rows may be cut and joined over messages at will; what comes out are whole rows.
#[derive(Debug)]
pub struct CopyMasker {
    columns: Vec<ColumnMask>,
    format: CopyFormat,
    state: State,
    /// The start of a row whose end has not arrived.
    pending: Vec<u8>,
    scratch: Scratch,
}

/// Buffers of the row before.
#[derive(Debug, Default)]
struct Scratch {
    field: Vec<u8>,
    masked: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Rows,
    /// Behind the trailer of the binary format.
    Over,
    /// After an error nothing passes any more.
    Broken,
}

/// A stream that is not what its options say. The caller must not get what was not yet passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A row exceeds [`ROW_MAX`].
    #[error("a row of the COPY data exceeds {} MiB", ROW_MAX >> 20)]
    RowTooLong,
    /// A row has another number of fields than there are columns.
    #[error("a row of the COPY data has {found} fields, the statement {expected} columns")]
    Fields {
        /// As the row says.
        found: usize,
        /// As the statement says.
        expected: usize,
    },
    /// A row that cannot be read.
    #[error("a row of the COPY data is malformed: {0}")]
    Malformed(&'static str),
    /// A binary row that cannot be read.
    #[error("a row of the COPY data is malformed")]
    Row(#[from] RowError),
    /// The data end within a row or without the trailer.
    #[error("the COPY data end within a row")]
    Unfinished,
    /// Data after an error.
    #[error("the COPY data failed before")]
    Broken,
}

impl CopyMasker {
    /// A masker for the columns of the statement, in order. For text and csv the masks are compiled with
    /// [`Format::Text`](crate::Format::Text), for binary with [`Format::Binary`](crate::Format::Binary).
    #[must_use]
    pub fn new(columns: Vec<ColumnMask>, format: CopyFormat) -> Self {
        let state = match &format {
            CopyFormat::Text(options) if !options.header => State::Rows,
            CopyFormat::Csv(options) if !options.header => State::Rows,
            _ => State::Head,
        };
        Self { columns, format, state, pending: Vec::new(), scratch: Scratch::default() }
    }

    /// Takes the body of one CopyData and appends the whole rows that it completes.
    pub fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CopyError> {
        if self.state == State::Broken {
            return Err(CopyError::Broken);
        }
        let start = out.len();
        let fed = if self.pending.is_empty() { self.rows(data, out) } else { self.resume(data, out) };
        if fed.is_err() {
            out.truncate(start);
            self.state = State::Broken;
            self.pending = Vec::new();
        }
        fed
    }

    /// Says whether the data may end here.
    pub fn finish(&mut self) -> Result<(), CopyError> {
        let over = match (&self.format, self.state) {
            (_, State::Broken) => return Err(CopyError::Broken),
            (CopyFormat::Binary, state) => state == State::Over,
            (_, state) => state == State::Rows,
        };
        if over && self.pending.is_empty() { Ok(()) } else { Err(CopyError::Unfinished) }
    }

    fn resume(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), CopyError> {
        if self.pending.len().saturating_add(data.len()) > ROW_MAX {
            return Err(CopyError::RowTooLong);
        }
        let mut joined = std::mem::take(&mut self.pending);
        joined.extend_from_slice(data);
        self.rows(&joined, out)
    }

    /// Masks the whole rows and keeps the rest for later.
    fn rows(&mut self, mut data: &[u8], out: &mut Vec<u8>) -> Result<(), CopyError> {
        while !data.is_empty() {
            match self.row(data, out)? {
                Some(rest) if data.len() - rest.len() > ROW_MAX => return Err(CopyError::RowTooLong),
                Some(rest) => data = rest,
                None => break,
            }
        }
        if data.len() > ROW_MAX {
            return Err(CopyError::RowTooLong);
        }
        self.pending.extend_from_slice(data);
        Ok(())
    }

    /// Masks one row and gives what follows; none if its end is not there.
    fn row<'a>(&mut self, data: &'a [u8], out: &mut Vec<u8>) -> Result<Option<&'a [u8]>, CopyError> {
        let Self { columns, format, state, scratch, .. } = self;
        match format {
            CopyFormat::Binary => binary(columns, state, data, out),
            CopyFormat::Text(options) => {
                let Some((line, rest)) = text::line(data) else { return Ok(None) };
                let header = std::mem::replace(state, State::Rows) == State::Head;
                text::mask(columns, options, header, line, scratch, out)?;
                Ok(Some(rest))
            }
            CopyFormat::Csv(options) => {
                let Some((line, rest)) = csv::line(data, options) else { return Ok(None) };
                let header = std::mem::replace(state, State::Rows) == State::Head;
                csv::mask(columns, options, header, line, scratch, out)?;
                Ok(Some(rest))
            }
        }
    }
}

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
const TRAILER: [u8; 2] = [0xff, 0xff];
/// Signature, flags and the length of the header's extension.
const HEAD: usize = SIGNATURE.len() + 8;

fn binary<'a>(
    columns: &[ColumnMask],
    state: &mut State,
    data: &'a [u8],
    out: &mut Vec<u8>,
) -> Result<Option<&'a [u8]>, CopyError> {
    match state {
        State::Head => {
            let Some((head, rest)) = data.split_at_checked(HEAD) else { return Ok(None) };
            // No flags are in use, and nobody has ever defined an extension: with either, fields could mean anything.
            if head.strip_prefix(SIGNATURE) != Some([0; 8].as_slice()) {
                return Err(CopyError::Malformed("its header is none of PostgreSQL's"));
            }
            out.extend_from_slice(head);
            *state = State::Rows;
            Ok(Some(rest))
        }
        State::Rows => {
            if let Some(rest) = data.strip_prefix(&TRAILER) {
                out.extend_from_slice(&TRAILER);
                *state = State::Over;
                return Ok(Some(rest));
            }
            let start = out.len();
            match row::mask_fields(columns, data, out) {
                Ok(rest) => Ok(Some(rest)),
                Err(RowError::Truncated) => {
                    out.truncate(start);
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            }
        }
        State::Over | State::Broken => Err(CopyError::Malformed("data follow the trailer")),
    }
}

#[cfg(test)]
mod tests;
