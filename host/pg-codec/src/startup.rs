//! The first packet of a connection, which has no type byte.
//!
//! Whoever answers an SSLRequest closes the connection when any byte follows the eight consumed here before the answer
//! is written: such a byte was sent in the clear and would be read as if it had come through TLS.

use std::fmt;

/// Largest first packet, length word included. PostgreSQL takes 10,000 as well, so that a stranger cannot make a server
/// wait for, or keep, more.
pub const PACKET_MAX: usize = 10_000;

/// Shortest first packet: a length and a code.
pub const PACKET_MIN: usize = 8;

/// Secret keys of cancel requests: 4 bytes up to protocol 3.0, at most 256 since 3.2.
pub const CANCEL_KEY_BYTES: std::ops::RangeInclusive<usize> = 4..=256;

pub(crate) const CANCEL_CODE: u32 = code(1234, 5678);
pub(crate) const SSL_CODE: u32 = code(1234, 5679);
pub(crate) const GSSENC_CODE: u32 = code(1234, 5680);

/// First byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a connection opens with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First<'a> {
    /// A TLS ClientHello without SSLRequest. Nothing is consumed. Only with ALPN `postgresql`.
    DirectTls,
    Ssl,
    GssEncryption,
    Cancel(Cancel<'a>),
    Startup(Startup<'a>),
}

/// A protocol version as PostgreSQL packs it into 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
}

impl Version {
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    pub const fn packed(self) -> u32 {
        code(self.major, self.minor)
    }

    pub(crate) const fn unpack(packed: u32) -> Self {
        let [a, b, c, d] = packed.to_be_bytes();
        Self { major: u16::from_be_bytes([a, b]), minor: u16::from_be_bytes([c, d]) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Whoever knows pid and key may cancel; the key is therefore kept out of `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cancel<'a> {
    pub pid: i32,
    pub key: &'a [u8],
}

impl fmt::Debug for Cancel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("pid", &self.pid).field("key_bytes", &self.key.len()).finish()
    }
}

/// The StartupMessage. Names are unique; the order is the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup<'a> {
    pub version: Version,
    pub params: Vec<(&'a str, &'a str)>,
}

impl<'a> Startup<'a> {
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    pub fn user(&self) -> Option<&'a str> {
        self.param("user").filter(|user| !user.is_empty())
    }

    /// The database, which defaults to the user's name.
    pub fn database(&self) -> Option<&'a str> {
        self.param("database").filter(|database| !database.is_empty()).or_else(|| self.user())
    }

    /// The protocol options, whose names begin with `_pq_.`: a server that does not know one lists it in
    /// NegotiateProtocolVersion instead of refusing.
    pub fn protocol_options(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.params.iter().map(|(name, _)| *name).filter(|name| name.starts_with("_pq_."))
    }
}

/// Reads the first packet at the start of `buf` and says how many bytes it takes; `None` while more bytes are needed.
///
/// Impossible lengths and unknown codes are refused as soon as their bytes are there, not after [`PACKET_MAX`] of them.
pub fn first_packet(buf: &[u8]) -> Result<Option<(First<'_>, usize)>, StartupError> {
    if buf.first() == Some(&TLS_HANDSHAKE) {
        return Ok(Some((First::DirectTls, 0)));
    }
    let Some((length, rest)) = split_u32(buf) else { return Ok(None) };
    let len = length as usize;
    if !(PACKET_MIN..=PACKET_MAX).contains(&len) {
        return Err(StartupError::Length { length });
    }
    let Some((code, _)) = split_u32(rest) else { return Ok(None) };
    let version = Version::unpack(code);
    match code {
        SSL_CODE | GSSENC_CODE if len == PACKET_MIN => {}
        SSL_CODE | GSSENC_CODE => return Err(StartupError::Length { length }),
        CANCEL_CODE => {
            let key = len.saturating_sub(12);
            if !CANCEL_KEY_BYTES.contains(&key) {
                return Err(StartupError::CancelKey { bytes: key });
            }
        }
        _ if version.major == 3 => {}
        _ => return Err(StartupError::Version { version }),
    }
    let Some((_, body)) = buf.get(..len).and_then(|packet| packet.split_at_checked(PACKET_MIN)) else {
        return Ok(None);
    };
    let first = match code {
        SSL_CODE => First::Ssl,
        GSSENC_CODE => First::GssEncryption,
        CANCEL_CODE => {
            let Some((pid, key)) = body.split_first_chunk::<4>() else { return Err(StartupError::Length { length }) };
            First::Cancel(Cancel { pid: i32::from_be_bytes(*pid), key })
        }
        _ => First::Startup(Startup { version, params: params(body)? }),
    };
    Ok(Some((first, len)))
}

/// Names and values, each ended by a zero byte; an empty name, as the last byte of the packet, ends the list.
fn params(mut rest: &[u8]) -> Result<Vec<(&str, &str)>, StartupError> {
    let mut params: Vec<(&str, &str)> = Vec::new();
    loop {
        let name = text(&mut rest)?;
        if name.is_empty() {
            return if rest.is_empty() { Ok(params) } else { Err(StartupError::Trailing { bytes: rest.len() }) };
        }
        let value = text(&mut rest)?;
        params.push((name, value));
        if params.len() > PARAMS_MAX {
            return Err(StartupError::TooMany);
        }
        if params.iter().rev().skip(1).any(|(known, _)| *known == name) {
            return Err(StartupError::Duplicate { name: name.to_owned() });
        }
    }
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, StartupError> {
    let end = rest.iter().position(|&byte| byte == 0).ok_or(StartupError::Unterminated)?;
    let Some((bytes, [_, tail @ ..])) = rest.split_at_checked(end) else { return Err(StartupError::Unterminated) };
    *rest = tail;
    std::str::from_utf8(bytes).map_err(|_| StartupError::NotUtf8)
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(head, rest)| (u32::from_be_bytes(*head), rest))
}

const fn code(major: u16, minor: u16) -> u32 {
    ((major as u32) << 16) | minor as u32
}

/// A duplicate is looked for by comparing with all earlier names: this bounds the square. Clients send about ten.
const PARAMS_MAX: usize = 256;

/// Why the first packet is refused; nothing of a session exists yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartupError {
    #[error("the first packet has the length {length}, allowed are {PACKET_MIN} to {PACKET_MAX}")]
    Length { length: u32 },
    #[error("protocol {version} is not supported, only 3.x is")]
    Version { version: Version },
    #[error("a cancel request has a key of {bytes} bytes, allowed are 4 to 256")]
    CancelKey { bytes: usize },
    #[error("the startup packet ends inside a name or a value")]
    Unterminated,
    #[error("the startup packet goes on for {bytes} bytes after its terminator")]
    Trailing { bytes: usize },
    #[error("the startup packet is not in UTF-8")]
    NotUtf8,
    #[error("the startup packet sets {name:?} twice")]
    Duplicate { name: String },
    #[error("the startup packet sets more than {PARAMS_MAX} parameters")]
    TooMany,
}
