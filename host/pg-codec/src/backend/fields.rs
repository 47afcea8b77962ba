//! The fields of errors and notices.

use crate::{Malformed, read::Reader};

/// The field codes of an error or notice.
pub mod field {
    /// Severity in the server's language.
    pub const SEVERITY: u8 = b'S';
    /// Severity in English: ERROR, FATAL, PANIC, WARNING, NOTICE, DEBUG, INFO, LOG.
    pub const SEVERITY_PLAIN: u8 = b'V';
    pub const SQLSTATE: u8 = b'C';
    pub const MESSAGE: u8 = b'M';
    pub const DETAIL: u8 = b'D';
    pub const HINT: u8 = b'H';
    pub const POSITION: u8 = b'P';
    pub const INTERNAL_POSITION: u8 = b'p';
    pub const INTERNAL_QUERY: u8 = b'q';
    pub const WHERE: u8 = b'W';
    pub const SCHEMA: u8 = b's';
    pub const TABLE: u8 = b't';
    pub const COLUMN: u8 = b'c';
    pub const DATA_TYPE: u8 = b'd';
    pub const CONSTRAINT: u8 = b'n';
    pub const FILE: u8 = b'F';
    pub const LINE: u8 = b'L';
    pub const ROUTINE: u8 = b'R';
}

/// An error or a notice: coded texts in the server's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    message: &'static str,
    fields: &'a [u8],
}

impl<'a> Report<'a> {
    pub(super) fn from_body(message: &'static str, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message, body);
        while reader.u8("the end of its fields")? != 0 {
            reader.cstr("a field")?;
        }
        reader.finish()?;
        Ok(Self { message, fields: body })
    }

    /// Codes and texts; codes that we do not know are passed on as they are.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.message, self.fields);
        // Report::from_body has walked the same bytes: only the final zero byte ends the walk.
        std::iter::from_fn(move || {
            let code = reader.u8("a field").ok().filter(|code| *code != 0)?;
            Some((code, reader.cstr("a field").ok()?))
        })
    }

    /// The first field with this code.
    pub fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.iter().find(|(known, _)| *known == code).map(|(_, text)| text)
    }

    pub fn sqlstate(&self) -> Option<&'a [u8]> {
        self.get(field::SQLSTATE)
    }

    /// FATAL and PANIC end the session. The untranslated severity decides; servers before 9.6 lack it.
    pub fn ends_session(&self) -> bool {
        let severity = self.get(field::SEVERITY_PLAIN).or_else(|| self.get(field::SEVERITY));
        matches!(severity, Some(b"FATAL" | b"PANIC"))
    }
}
