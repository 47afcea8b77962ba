//! What a server asks for before it lets us in.

use crate::{Malformed, read::Reader};

/// Every request that PostgreSQL knows, also those that Grille refuses, so that it can name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    Ok,
    KerberosV5,
    CleartextPassword,
    Md5Password { salt: [u8; 4] },
    ScmCredential,
    Gss,
    GssContinue(&'a [u8]),
    Sspi,
    Sasl(Mechanisms<'a>),
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
}

impl<'a> Authentication<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Authentication", body);
        let code = reader.i32("its kind")?;
        let asked = match code {
            0 => Self::Ok,
            2 => Self::KerberosV5,
            3 => Self::CleartextPassword,
            5 => Self::Md5Password { salt: reader.array("the salt")? },
            6 => Self::ScmCredential,
            7 => Self::Gss,
            8 => Self::GssContinue(reader.rest()),
            9 => Self::Sspi,
            10 => Self::Sasl(Mechanisms::read(&mut reader)?),
            11 => Self::SaslContinue(reader.rest()),
            12 => Self::SaslFinal(reader.rest()),
            other => return Err(reader.bad("its kind", other.into())),
        };
        reader.finish()?;
        Ok(asked)
    }
}

/// The SASL mechanisms a server offers, in its order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms<'a> {
    /// Names with their zero bytes, without the empty name that ends the list.
    names: &'a [u8],
}

impl<'a> Mechanisms<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = reader.peek();
        loop {
            let taken = start.len() - reader.peek().len();
            if reader.cstr("a mechanism")?.is_empty() {
                return Ok(Self { names: start.get(..taken).unwrap_or_default() });
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.names.split(|byte| *byte == 0).filter(|name| !name.is_empty())
    }

    pub fn offers(&self, mechanism: &str) -> bool {
        self.iter().any(|name| name == mechanism.as_bytes())
    }
}
