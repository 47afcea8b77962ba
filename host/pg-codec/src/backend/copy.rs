//! The answers that switch a connection into COPY.

use crate::{Format, Formats, Malformed, read::Reader};

/// How the data of a COPY is written: text and csv are both [`Format::Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyResponse<'a> {
    pub format: Format,
    /// One code for each column; there are no names and no types.
    pub columns: Formats<'a>,
}

impl<'a> CopyResponse<'a> {
    pub(super) fn from_body(message: &'static str, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message, body);
        let format = match reader.u8("its format")? {
            0 => Format::Text,
            1 => Format::Binary,
            other => return Err(reader.bad("its format", other.into())),
        };
        let columns = Formats::read(&mut reader, "the column formats")?;
        reader.finish()?;
        Ok(Self { format, columns })
    }
}
