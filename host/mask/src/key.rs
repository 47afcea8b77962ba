use std::fmt;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

/// The secret behind tokens, format-preserving encryption and date shifts. Lost key: new pseudonyms; leaked key: those
/// that know it can test guesses. It never leaves this room.
#[derive(Clone)]
pub struct MaskKey(Zeroizing<[u8; Self::LEN]>);

impl MaskKey {
    /// The length of the key in bytes.
    pub const LEN: usize = 32;

    /// The key out of 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key out of a file's content: 32 raw bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        <[u8; Self::LEN]>::try_from(bytes).map(Self::new).map_err(|_| KeyError { found: bytes.len() })
    }

    /// An HMAC-SHA256 key that serves one masker and one class only.
    pub(crate) fn hmac(&self, purpose: Purpose, class: &str) -> Option<hmac::Key> {
        Some(hmac::Key::new(hmac::HMAC_SHA256, &*self.derive(purpose, class)?))
    }

    /// An AES-256 key that serves one masker and one class only.
    pub(crate) fn aes(&self, purpose: Purpose, class: &str) -> Option<EncryptingKey> {
        let key = UnboundCipherKey::new(&AES_256, &*self.derive(purpose, class)?).ok()?;
        EncryptingKey::ecb(key).ok()
    }

    /// HKDF-SHA256 with a fixed salt; masker and class go into the info, which a NUL parts unambiguously because no
    /// purpose holds one.
    fn derive(&self, purpose: Purpose, class: &str) -> Option<Zeroizing<[u8; Self::LEN]>> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"grille mask v1").extract(&*self.0);
        let mut derived = Zeroizing::new([0; Self::LEN]);
        let info = [purpose.label(), b"\0".as_slice(), class.as_bytes()];
        prk.expand(&info, hkdf::HKDF_SHA256).ok()?.fill(&mut *derived).ok()?;
        Some(derived)
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(…)")
    }
}

/// What a derived key is for; keys of different purposes are unrelated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Token,
    Fpe,
    Shift,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Token => b"token",
            Self::Fpe => b"fpe",
            Self::Shift => b"shift",
        }
    }
}

/// A masking key of the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a masking key is {} bytes long, this one has {found}: delete the file to have a new one generated",
    MaskKey::LEN
)]
pub struct KeyError {
    found: usize,
}
