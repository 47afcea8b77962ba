//! The body of a `p` message: a password or token, or a step of SASL. Never logged, never recorded.

use std::fmt;

use crate::{Malformed, frame::PASSWORD_MAX, read::Reader};

/// An answer in a login. Which of the three readings holds, only the conversation knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password<'a>(&'a [u8]);

impl<'a> Password<'a> {
    pub(super) fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        if body.len() > PASSWORD_MAX {
            return Err(Malformed::BadValue {
                message: "PasswordMessage",
                field: "its length",
                value: i64::try_from(body.len()).unwrap_or(i64::MAX),
            });
        }
        Ok(Self(body))
    }

    /// As answer to a request for a cleartext or md5 password.
    pub fn text(&self) -> Result<&'a [u8], Malformed> {
        super::only_text("PasswordMessage", "the password", self.0)
    }

    /// As first answer to a list of SASL mechanisms.
    pub fn sasl_initial(&self) -> Result<SaslInitial<'a>, Malformed> {
        let mut reader = Reader::new("SASLInitialResponse", self.0);
        let mechanism = reader.cstr("the mechanism")?;
        let response = reader.cell("the response")?;
        reader.finish()?;
        Ok(SaslInitial { mechanism, response })
    }

    /// As later answer in SASL, whose content is the mechanism's own.
    pub fn sasl(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Password({} bytes)", self.0.len())
    }
}

/// The mechanism a client chose and its first words, if it has any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    pub mechanism: &'a [u8],
    pub response: Option<&'a [u8]>,
}

impl fmt::Debug for SaslInitial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mechanism = self.mechanism.escape_ascii();
        write!(f, "SaslInitial({mechanism}, {} bytes)", self.response.map_or(0, <[u8]>::len))
    }
}
