//! The walk over frame headers: one type byte, four bytes of length that count themselves but not the type byte.

/// Bytes of a frame before its body.
pub const HEADER_BYTES: usize = 5;

/// Largest value of the length word: PostgreSQL builds a message in a buffer of 1 GiB − 1, and the word counts itself.
pub const LENGTH_MAX: u32 = 0x3fff_ffff + 4;

/// Largest frame that somebody looks into, unless configured otherwise. Larger frames that nobody inspects are streamed
/// by [`Head::len`]; a statement or a row above it is refused instead of being held in memory.
pub const INSPECTED_MAX: usize = 16 << 20;

/// Largest body of a password message: PostgreSQL accepts tokens up to this size. It is checked on the head, before
/// a caller without identity can make us wait for the body.
pub const PASSWORD_MAX: usize = 65_535;

/// What the first five bytes of a frame say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub tag: u8,
    /// The whole frame, type byte included.
    pub len: usize,
}

impl Head {
    pub fn body_len(&self) -> usize {
        self.len.saturating_sub(HEADER_BYTES)
    }

    /// Refuses a frame that would have to be held in memory and is larger than `max` bytes in all.
    pub fn within(self, max: usize) -> Result<Self, FrameError> {
        if self.len > max {
            return Err(FrameError::TooLarge { tag: self.tag, len: self.len, max });
        }
        Ok(self)
    }
}

/// Reads the head at the start of `buf`; `None` while fewer than five bytes are there.
///
/// The length is checked as far as it has arrived only when it is complete, and nothing is reserved by it.
#[inline]
pub fn head(buf: &[u8]) -> Result<Option<Head>, FrameError> {
    let [tag, a, b, c, d, ..] = *buf else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]);
    if !(4..=LENGTH_MAX).contains(&length) {
        return Err(FrameError::BadLength { tag, length });
    }
    Ok(Some(Head { tag, len: length as usize + 1 }))
}

/// One complete frame inside a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub tag: u8,
    /// Header and body, as they arrived.
    pub bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

/// Walks the complete frames at the start of a buffer.
///
/// After the walk [`Frames::consumed`] bytes belong to complete frames and [`Frames::incomplete`] bytes are the
/// beginning of the next one.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
    consumed: usize,
    broken: bool,
}

impl<'a> Frames<'a> {
    pub fn new(buf: &'a [u8]) -> Self {
        Self { rest: buf, consumed: 0, broken: false }
    }

    /// Bytes of the frames that the walk has yielded.
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// Bytes that the walk has not yielded.
    pub fn incomplete(&self) -> usize {
        self.rest.len()
    }

    /// The head of the frame that is not complete, once its five bytes are there.
    pub fn pending(&self) -> Result<Option<Head>, FrameError> {
        head(self.rest)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        match head(self.rest) {
            Ok(Some(head)) => {
                let (bytes, rest) = self.rest.split_at_checked(head.len)?;
                self.rest = rest;
                self.consumed += head.len;
                Some(Ok(Frame { tag: head.tag, bytes }))
            }
            Ok(None) => None,
            Err(error) => {
                self.broken = true;
                Some(Err(error))
            }
        }
    }
}

/// A header that no PostgreSQL peer writes, or a frame too large to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    #[error("message of type {} has the impossible length {length}", tag.escape_ascii())]
    BadLength { tag: u8, length: u32 },
    #[error("message of type {} has {len} bytes, the limit is {max}", tag.escape_ascii())]
    TooLarge { tag: u8, len: usize, max: usize },
}
