//! Text or binary, per parameter and per result column.

use crate::{Malformed, read::Reader};

/// How one value is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    #[default]
    Text,
    Binary,
}

impl Format {
    pub fn code(self) -> u16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, Malformed> {
        match reader.u16(field)? {
            0 => Ok(Self::Text),
            1 => Ok(Self::Binary),
            other => Err(reader.bad(field, other.into())),
        }
    }
}

/// A list of format codes as Bind and the COPY responses carry it; every code in it is known to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats<'a> {
    codes: &'a [[u8; 2]],
}

impl<'a> Formats<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, Malformed> {
        let count = usize::from(reader.u16(field)?);
        let (codes, _) = reader.bytes(count * 2, field)?.as_chunks::<2>();
        let formats = Self { codes };
        match codes.iter().map(|code| u16::from_be_bytes(*code)).find(|code| *code > 1) {
            Some(code) => Err(reader.bad(field, code.into())),
            None => Ok(formats),
        }
    }

    /// How many codes were sent: 0 means all text, 1 means this one for all, otherwise one for each.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The format of column or parameter `index` by Bind's rule. `None` if the list has one code for each and none for
    /// this one.
    pub fn of(&self, index: usize) -> Option<Format> {
        match self.codes {
            [] => Some(Format::Text),
            [one] => Some(Self::decode(*one)),
            many => many.get(index).map(|code| Self::decode(*code)),
        }
    }

    /// The codes as they were sent.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Format> + use<'a> {
        self.codes.iter().map(|code| Self::decode(*code))
    }

    fn decode(code: [u8; 2]) -> Format {
        if u16::from_be_bytes(code) == 0 { Format::Text } else { Format::Binary }
    }
}
