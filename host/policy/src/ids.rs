use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Crockford's base32 without the letters that are read as digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a {1} id")]
pub struct IdError(String, &'static str);

macro_rules! minted_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// An id that sorts by time: 48 bits of Unix milliseconds, then 32 random bits.
            #[must_use]
            pub const fn mint(unix_ms: u64, random: u32) -> Self {
                Self(((unix_ms as u128) & 0xffff_ffff_ffff) << 32 | random as u128)
            }

            /// The Unix time in milliseconds at which the id was minted.
            #[must_use]
            pub const fn minted_ms(self) -> u64 {
                (self.0 >> 32) as u64
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // One write: every record of the ledger shows several ids.
                let mut text = [0; $prefix.len() + 16];
                text[..$prefix.len()].copy_from_slice($prefix.as_bytes());
                for (place, letter) in text[$prefix.len()..].iter_mut().rev().enumerate() {
                    *letter = ALPHABET[((self.0 >> (place * 5)) & 31) as usize];
                }
                f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let bad = || IdError(text.to_owned(), $what);
                let digits = text.strip_prefix($prefix).ok_or_else(bad)?;
                if digits.len() != 16 {
                    return Err(bad());
                }
                let mut value = 0u128;
                for byte in digits.bytes() {
                    let digit = ALPHABET.iter().position(|&a| a == byte).ok_or_else(bad)?;
                    value = value << 5 | digit as u128;
                }
                Ok(Self(value))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

minted_id!(
    /// One authenticated connection (PostgreSQL) or one subject's stream of requests (HTTP). Shown as `s-` and 16 letters.
    SessionId, "s-", "session"
);
minted_id!(
    /// A held operation or a requested grant. Shown as `r-` and 16 letters.
    RequestId, "r-", "review request"
);

/// One decision: the session and its gap-free number there. Shown as `d-<16 letters>-<number>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId {
    /// The session that asked.
    pub session: SessionId,
    /// The number of the decision in that session, from 0.
    pub number: u64,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.session.to_string();
        write!(f, "d-{}-{}", session.trim_start_matches("s-"), self.number)
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DecisionId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError(text.to_owned(), "decision");
        let (session, number) = text.strip_prefix("d-").and_then(|rest| rest.split_once('-')).ok_or_else(bad)?;
        let session = format!("s-{session}").parse().map_err(|_| bad())?;
        Ok(Self { session, number: number.parse().map_err(|_| bad())? })
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The number of a policy set; it grows by one with each swap. (wasmtime's tick counter is the *engine epoch*.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A SHA-256 digest, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        // One write: every decision shows two digests per policy.
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).expect("the digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError(text.to_owned(), "sha256");
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_show() {
        let session = SessionId::mint(1_795_000_000_123, 0xdead_beef);
        assert_eq!(session.to_string().parse(), Ok(session));
        assert_eq!(session.minted_ms(), 1_795_000_000_123);
        let decision = DecisionId { session, number: 17 };
        assert_eq!(decision.to_string().parse(), Ok(decision));
        let digest = Digest([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn later_ids_sort_later() {
        assert!(RequestId::mint(1, u32::MAX) < RequestId::mint(2, 0));
        assert!(RequestId::mint(1, 0).to_string() < RequestId::mint(2, 0).to_string());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "s-", "r-0123456789abcdef", "s-0123456789abcde", "s-0123456789abcdeu", "s-é23456789abcdeé"] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
        assert!("sha256:é".parse::<Digest>().is_err());
    }
}
