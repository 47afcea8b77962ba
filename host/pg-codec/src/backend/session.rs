//! What a server says about the session itself.

use std::fmt;

use crate::{
    Malformed,
    read::Reader,
    startup::{CANCEL_KEY_BYTES, Version},
};

/// Where the session stands between commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    Idle,
    Open,
    Failed,
}

impl TransactionStatus {
    pub fn code(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }

    pub fn from_body(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("ReadyForQuery", body);
        let code = reader.u8("the transaction status")?;
        reader.finish()?;
        match code {
            b'I' => Ok(Self::Idle),
            b'T' => Ok(Self::Open),
            b'E' => Ok(Self::Failed),
            other => Err(reader.bad("the transaction status", other.into())),
        }
    }
}

/// A setting that the server reports, at login and whenever it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> ParameterStatus<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("ParameterStatus", body);
        let name = reader.cstr("the name")?;
        let value = reader.cstr("the value")?;
        reader.finish()?;
        Ok(Self { name, value })
    }
}

/// What a cancel request for this session must carry. The key stays out of `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackendKeyData<'a> {
    pub pid: i32,
    pub key: &'a [u8],
}

impl<'a> BackendKeyData<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("BackendKeyData", body);
        let pid = reader.i32("the process id")?;
        let key = reader.rest();
        if !CANCEL_KEY_BYTES.contains(&key.len()) {
            return Err(reader.bad("the length of its key", i64::try_from(key.len()).unwrap_or(i64::MAX)));
        }
        Ok(Self { pid, key })
    }
}

impl fmt::Debug for BackendKeyData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendKeyData").field("pid", &self.pid).field("key_bytes", &self.key.len()).finish()
    }
}

/// NOTIFY from some session of the same database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    pub pid: i32,
    pub channel: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Notification<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("NotificationResponse", body);
        let pid = reader.i32("the process id")?;
        let channel = reader.cstr("the channel")?;
        let payload = reader.cstr("the payload")?;
        reader.finish()?;
        Ok(Self { pid, channel, payload })
    }
}

/// The server speaks an older minor version, or does not know some protocol options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The newest version the server supports. Documentation before 18 says "minor version", the source sends both.
    pub version: Version,
    count: u32,
    options: &'a [u8],
}

impl<'a> NegotiateProtocolVersion<'a> {
    pub fn from_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("NegotiateProtocolVersion", body);
        let version = Version::unpack(reader.u32("the version")?);
        let count = reader.u32("the number of options")?;
        let options = reader.peek();
        for _ in 0..count {
            reader.cstr("an option")?;
        }
        reader.finish()?;
        Ok(Self { version, count, options })
    }

    /// How many options the server did not recognise.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The options that the server did not recognise.
    pub fn options(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.options.split_inclusive(|byte| *byte == 0).map(|name| name.strip_suffix(&[0]).unwrap_or(name))
    }
}
