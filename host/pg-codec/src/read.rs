//! A cursor over one frame body that knows which message it reads, so that an error can say where it happened.

use crate::Malformed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self { message, rest: body }
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array(field).map(u8::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, Malformed> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Malformed::Truncated { message: self.message, field });
        };
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let Some((head, rest)) = self.rest.split_at_checked(count) else {
            return Err(Malformed::Truncated { message: self.message, field });
        };
        self.rest = rest;
        Ok(head)
    }

    /// A text up to its zero byte; the zero byte is consumed and not returned.
    pub(crate) fn cstr(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let found = self.rest.iter().position(|&byte| byte == 0);
        let Some((text, [_, rest @ ..])) = found.and_then(|at| self.rest.split_at_checked(at)) else {
            return Err(Malformed::Unterminated { message: self.message, field });
        };
        self.rest = rest;
        Ok(text)
    }

    /// `None` is the length −1, PostgreSQL's NULL; other negative lengths do not exist.
    #[inline]
    pub(crate) fn cell(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        let length = self.i32(field)?;
        match usize::try_from(length) {
            Ok(count) => self.bytes(count, field).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.bad(field, length.into())),
        }
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn peek(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(Malformed::Trailing { message: self.message, count }),
        }
    }

    pub(crate) fn bad(&self, field: &'static str, value: i64) -> Malformed {
        Malformed::BadValue { message: self.message, field, value }
    }
}
