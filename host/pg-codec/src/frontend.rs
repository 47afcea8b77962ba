//! What a client says, as borrowed views of one complete frame body.

mod bind;
mod password;

use crate::{Malformed, read::Reader, tag::frontend as tag};

pub use bind::{Bind, Values};
pub use password::{Password, SaslInitial};

/// One message of a client. Texts are bytes in the client's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    Query(Query<'a>),
    Parse(Parse<'a>),
    Bind(Bind<'a>),
    Describe(Target<'a>),
    Execute(Execute<'a>),
    Close(Target<'a>),
    Sync,
    Flush,
    CopyData(&'a [u8]),
    CopyDone,
    /// The client's reason.
    CopyFail(&'a [u8]),
    Password(Password<'a>),
    Terminate,
    /// Only recognised, so that it can be refused: it calls a function by OID, past every statement.
    FunctionCall,
}

impl<'a> Message<'a> {
    /// Reads exactly one body; bytes that are left over make it malformed.
    pub fn parse(tag: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        Ok(match tag {
            tag::QUERY => Self::Query(Query::from_body(body)?),
            tag::PARSE => Self::Parse(Parse::from_body(body)?),
            tag::BIND => Self::Bind(Bind::from_body(body)?),
            tag::DESCRIBE => Self::Describe(Target::from_body("Describe", body)?),
            tag::EXECUTE => Self::Execute(Execute::from_body(body)?),
            tag::CLOSE => Self::Close(Target::from_body("Close", body)?),
            tag::SYNC => empty("Sync", body, Self::Sync)?,
            tag::FLUSH => empty("Flush", body, Self::Flush)?,
            tag::COPY_DATA => Self::CopyData(body),
            tag::COPY_DONE => empty("CopyDone", body, Self::CopyDone)?,
            tag::COPY_FAIL => Self::CopyFail(only_text("CopyFail", "its reason", body)?),
            tag::PASSWORD => Self::Password(Password::new(body)?),
            tag::TERMINATE => empty("Terminate", body, Self::Terminate)?,
            tag::FUNCTION_CALL => Self::FunctionCall,
            tag => return Err(Malformed::UnknownType { side: "client", tag }),
        })
    }
}

/// The simple protocol: one string of any number of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    pub sql: &'a [u8],
}

impl<'a> Query<'a> {
    /// The one rule here: nothing behind the zero byte. PostgreSQL answers 08P01 and runs neither part.
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self { sql: only_text("Query", "its text", body)? })
    }
}

/// A statement to prepare. An empty name is the unnamed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    pub name: &'a [u8],
    pub sql: &'a [u8],
    oids: &'a [[u8; 4]],
}

impl<'a> Parse<'a> {
    /// The name that a body begins with; the rest need not have come.
    pub fn name(front: &'a [u8]) -> Result<&'a [u8], Malformed> {
        Reader::new("Parse", front).cstr("the statement's name")
    }

    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Parse", body);
        let name = reader.cstr("the statement's name")?;
        let sql = reader.cstr("its text")?;
        let count = usize::from(reader.u16("the number of parameter types")?);
        let (oids, _) = reader.bytes(count * 4, "the parameter types")?.as_chunks::<4>();
        reader.finish()?;
        Ok(Self { name, sql, oids })
    }

    /// The types that the client declares; 0 leaves one to the server.
    pub fn parameter_types(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.oids.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// What Describe and Close point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    Statement(&'a [u8]),
    Portal(&'a [u8]),
}

impl<'a> Target<'a> {
    fn from_body(message: &'static str, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message, body);
        let kind = reader.u8("what it is about")?;
        let name = reader.cstr("a name")?;
        reader.finish()?;
        match kind {
            b'S' => Ok(Self::Statement(name)),
            b'P' => Ok(Self::Portal(name)),
            other => Err(reader.bad("what it is about", other.into())),
        }
    }
}

/// Run a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    pub portal: &'a [u8],
    /// 0 or less is no limit, as PostgreSQL reads it.
    pub max_rows: i32,
}

impl<'a> Execute<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Execute", body);
        let portal = reader.cstr("the portal's name")?;
        let max_rows = reader.i32("the row limit")?;
        reader.finish()?;
        Ok(Self { portal, max_rows })
    }
}

fn empty<T>(message: &'static str, body: &[u8], value: T) -> Result<T, Malformed> {
    Reader::new(message, body).finish().map(|()| value)
}

fn only_text<'a>(message: &'static str, field: &'static str, body: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let mut reader = Reader::new(message, body);
    let text = reader.cstr(field)?;
    reader.finish()?;
    Ok(text)
}
