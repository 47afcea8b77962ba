//! Bind: values for a prepared statement. The values stay where they are; they may be hundreds of megabytes.

use crate::{CellIter, Cells, Formats, Malformed, read::Reader};

/// Makes a portal out of a prepared statement and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    pub formats: Formats<'a>,
    pub values: Values<'a>,
    pub result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    /// The names of portal and statement, which a body begins with; the rest need not have come.
    pub fn names(front: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Malformed> {
        let mut reader = Reader::new("Bind", front);
        Ok((reader.cstr("the portal's name")?, reader.cstr("the statement's name")?))
    }

    /// Checks every length, so that [`Values::iter`] has nothing left to refuse.
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Bind", body);
        let portal = reader.cstr("the portal's name")?;
        let statement = reader.cstr("the statement's name")?;
        let formats = Formats::read(&mut reader, "the parameter formats")?;
        let count = reader.u16("the number of values")?;
        if formats.len() > 1 && formats.len() != usize::from(count) {
            return Err(reader.bad("the number of values beside its parameter formats", count.into()));
        }
        let start = reader.peek();
        for _ in 0..count {
            reader.cell("a value")?;
        }
        let taken = start.len() - reader.peek().len();
        let values = Cells::new("Bind", count, start.get(..taken).unwrap_or_default());
        let result_formats = Formats::read(&mut reader, "the result formats")?;
        reader.finish()?;
        Ok(Self { portal, statement, formats, values: Values(values), result_formats })
    }
}

/// The values of a Bind, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values<'a>(Cells<'a>);

impl<'a> Values<'a> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `None` is NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        // Bind::from_body has walked the same bytes, so no item is an error.
        let walk: CellIter<'a> = self.0.iter();
        walk.map_while(Result::ok)
    }
}
