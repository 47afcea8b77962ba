//! Result shapes, rows and what a command reports at its end.

use crate::{CellIter, Cells, Format, Malformed, read::Reader};

/// The columns of the rows that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowDescription<'a> {
    count: u16,
    fields: Reader<'a>,
}

impl<'a> RowDescription<'a> {
    /// Checks every field, so that [`RowDescription::fields`] has nothing left to refuse.
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("RowDescription", body);
        let count = reader.u16("the number of columns")?;
        let fields = reader;
        for _ in 0..count {
            Field::read(&mut reader)?;
        }
        reader.finish()?;
        Ok(Self { count, fields })
    }

    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// A result without columns is legal: `SELECT FROM t`.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut reader = self.fields;
        // RowDescription::from_body has read the same bytes, so no field is an error.
        (0..self.count).map_while(move |_| Field::read(&mut reader).ok())
    }
}

/// One column of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    /// 0 where the column is not simply a column of a table.
    pub table_oid: u32,
    /// Negative for system columns.
    pub attnum: i16,
    pub type_oid: u32,
    pub type_len: i16,
    pub typmod: i32,
    /// Always text where a statement was described, since Bind has not chosen yet.
    pub format: Format,
}

impl<'a> Field<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            name: reader.cstr("a column's name")?,
            table_oid: reader.u32("a column's table")?,
            attnum: reader.i16("a column's number")?,
            type_oid: reader.u32("a column's type")?,
            type_len: reader.i16("a column's length")?,
            typmod: reader.i32("a column's type modifier")?,
            format: Format::read(reader, "a column's format")?,
        })
    }

    pub fn to_owned(self) -> OwnedField {
        let Field { name, table_oid, attnum, type_oid, type_len, typmod, format } = self;
        OwnedField { name: name.into(), table_oid, attnum, type_oid, type_len, typmod, format }
    }
}

/// A [`Field`] that outlives its frame, for the shapes that a session remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedField {
    pub name: Box<[u8]>,
    pub table_oid: u32,
    pub attnum: i16,
    pub type_oid: u32,
    pub type_len: i16,
    pub typmod: i32,
    pub format: Format,
}

impl OwnedField {
    pub fn as_field(&self) -> Field<'_> {
        let Self { ref name, table_oid, attnum, type_oid, type_len, typmod, format } = *self;
        Field { name, table_oid, attnum, type_oid, type_len, typmod, format }
    }
}

/// One row; the lengths of its values are checked while they are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRow<'a>(Cells<'a>);

impl<'a> DataRow<'a> {
    #[inline]
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("DataRow", body);
        let count = reader.u16("the number of values")?;
        Ok(Self(Cells::new("DataRow", count, reader.rest())))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `None` is NULL. Walk to the end: only then is it certain that the row is well formed.
    #[inline]
    pub fn values(&self) -> CellIter<'a> {
        self.0.iter()
    }
}

/// The types of a prepared statement's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterDescription<'a> {
    oids: &'a [[u8; 4]],
}

impl<'a> ParameterDescription<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("ParameterDescription", body);
        let count = usize::from(reader.u16("the number of parameters")?);
        let (oids, _) = reader.bytes(count * 4, "the parameter types")?.as_chunks::<4>();
        reader.finish()?;
        Ok(Self { oids })
    }

    pub fn types(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.oids.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// `SELECT 3`, `INSERT 0 1`, `CREATE TABLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandTag<'a>(&'a [u8]);

impl<'a> CommandTag<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("CommandComplete", body);
        let tag = reader.cstr("the tag")?;
        reader.finish()?;
        Ok(Self(tag))
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The tag as text; PostgreSQL's own tags are ASCII.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }

    /// The rows that the command returned or changed: the last word, where it is a number.
    pub fn rows(&self) -> Option<u64> {
        let (_, number) = self.text()?.rsplit_once(' ')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
    }
}
