use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Denied;
use crate::keys::algorithm;

/// A token whose shape and header are in order; nothing of it is verified.
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) kid: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) algorithm_name: &'static str,
    /// Whether `typ` says that it is an access token (RFC 9068).
    pub(crate) is_marked: bool,
    pub(crate) payload: Vec<u8>,
}

/// `jku`, `x5u`, `jwk` and the like are not read at all: keys come from the configured issuer only.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, Denied> {
        if text.len() > TOKEN_MAX {
            return Err(Denied::TooLong(text.len()));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Denied::Malformed("it has not three parts"));
        };
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Denied::Malformed("its header is not base64url"))?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Denied::Malformed("its claims are not base64url"))?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| Denied::Malformed("its header is not usable JSON"))?;
        for (present, name) in [
            (header.crit.is_some(), "crit"),
            (header.b64.is_some(), "b64"),
            (header.zip.is_some(), "zip"),
            (header.enc.is_some(), "enc"),
        ] {
            if present {
                return Err(Denied::Extension(name));
            }
        }
        let (algorithm, algorithm_name) =
            algorithm(&header.alg).ok_or_else(|| Denied::Algorithm(short(&header.alg)))?;
        let is_marked = match header.typ.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("at+jwt" | "application/at+jwt") => true,
            None | Some("jwt") => false,
            Some(other) => return Err(Denied::Type(short(other))),
        };
        Ok(Self { text, kid: header.kid, algorithm, algorithm_name, is_marked, payload })
    }
}

/// What a stranger sent, as far as it belongs into a record.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// A token with hundreds of groups has a few KiB.
const TOKEN_MAX: usize = 64 << 10;
const SHOWN_MAX: usize = 200;
