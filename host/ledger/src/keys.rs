use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use crate::sha256::{Hash, sha256};

/// What a signing key's file starts with.
const SIGNING_PREFIX: &str = "grille-signing-key-ed25519";
/// What a seal key's file starts with.
const SEAL_PREFIX: &str = "grille-seal-key-aes256gcm";
/// The signature types of signed notes that are known here: what a key's first byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum KeyKind {
    /// A log's.
    Ed25519 = 0x01,
    /// A witness's, with the time in it.
    Cosignature = 0x04,
}
/// An origin is a part of every leaf, so it is kept short.
pub(crate) const ORIGIN_BYTES_MAX: usize = 100;

/// Why a text or file holds no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read key file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text has another form.
    #[error("not a key: expected one line `{expected}`")]
    Malformed {
        /// The form that was expected.
        expected: &'static str,
    },
    /// The verifier key's parts do not belong together.
    #[error("verifier key of `{origin}` does not match its own key id")]
    IdMismatch {
        /// The name in the key.
        origin: String,
    },
    /// An origin that cannot name a log.
    #[error(
        "`{0}` cannot name a log: 1 to {ORIGIN_BYTES_MAX} printable ASCII characters without space, `+`, `\"` and `\\`"
    )]
    Origin(String),
    /// The system gave no randomness.
    #[error("the system's random generator failed")]
    Random,
}

/// The Ed25519 key that signs checkpoints. Its file is one line: `grille-signing-key-ed25519 <base64 of the 32-byte seed>`.
#[derive(Clone)]
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Arc<Ed25519KeyPair>,
}

impl SigningKey {
    /// A new random key.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_seed(random_key()?)
    }

    /// Reads the text form.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::from_seed(parse_secret(text, SIGNING_PREFIX, "grille-signing-key-ed25519 <base64 of 32 bytes>")?)
    }

    /// Reads a file that holds the text form.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::from_text(&read_secret(path)?)
    }

    /// The text form, with a line end.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SIGNING_PREFIX} {}\n", STANDARD.encode(self.seed.as_slice())))
    }

    /// The public half, under the name of the log that it signs.
    pub fn verifier_key(&self, origin: &str) -> Result<VerifierKey, KeyError> {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        VerifierKey::new(origin, public)
    }

    /// Signs other statements of this gateway (DSSE). Signed notes cannot be confused with them: they are text that
    /// begins with the log's name.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .map_err(|_| KeyError::Malformed { expected: "a seed of 32 bytes" })?;
        Ok(Self { seed, pair: Arc::new(pair) })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// The key that wraps the keys of sessions. Its file is one line: `grille-seal-key-aes256gcm <base64 of 32 bytes>`.
/// Whoever destroys it destroys the contents of the ledger and leaves every proof valid.
#[derive(Clone)]
pub struct SealKey {
    bytes: Zeroizing<[u8; 32]>,
    wrapping: Arc<LessSafeKey>,
    pseudonyms: hmac::Key,
}

impl SealKey {
    /// A new random key.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_bytes(random_key()?)
    }

    /// Reads the text form.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(parse_secret(text, SEAL_PREFIX, "grille-seal-key-aes256gcm <base64 of 32 bytes>")?)
    }

    /// Reads a file that holds the text form.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::from_text(&read_secret(path)?)
    }

    /// The text form, with a line end.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SEAL_PREFIX} {}\n", STANDARD.encode(self.bytes.as_slice())))
    }

    /// The first eight bytes of a digest of the key: says which key wrapped a session, and nothing about the key.
    pub(crate) fn id(&self) -> [u8; 8] {
        let mut input = Zeroizing::new(b"grille seal key id v1\0".to_vec());
        input.extend_from_slice(self.bytes.as_slice());
        let mut id = [0; 8];
        id.copy_from_slice(sha256(&input).first_chunk::<8>().expect("a digest has 32 bytes"));
        id
    }

    pub(crate) fn wrapping(&self) -> &LessSafeKey {
        &self.wrapping
    }

    /// A name for `parts` that only a holder of the key can work out.
    pub(crate) fn pseudonym(&self, parts: &[&str]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.pseudonyms);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut pseudonym = [0; 16];
        pseudonym.copy_from_slice(context.sign().as_ref().first_chunk::<16>().expect("a tag has 32 bytes"));
        pseudonym
    }

    fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let unbound = UnboundKey::new(&AES_256_GCM, bytes.as_slice())
            .map_err(|_| KeyError::Malformed { expected: "a key of 32 bytes" })?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice());
        let mut derived = [0; 32];
        derived.copy_from_slice(hmac::sign(&root, b"grille ledger pseudonyms v1").as_ref());
        let pseudonyms = hmac::Key::new(hmac::HMAC_SHA256, &derived);
        derived.zeroize();
        Ok(Self { bytes, wrapping: Arc::new(LessSafeKey::new(unbound)), pseudonyms })
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// The key that checks checkpoints, in the form of signed notes: `<origin>+<key id>+<base64>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    origin: String,
    public: [u8; 32],
    kind: KeyKind,
}

impl VerifierKey {
    fn new(origin: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_origin(origin) {
            return Err(KeyError::Origin(origin.to_owned()));
        }
        Ok(Self { origin: origin.to_owned(), public, kind: KeyKind::Ed25519 })
    }

    /// The same key for other signatures.
    pub(crate) fn of_kind(self, kind: KeyKind) -> Self {
        Self { kind, ..self }
    }

    /// Whether it is a witness's.
    #[must_use]
    pub fn is_witness(&self) -> bool {
        self.kind == KeyKind::Cosignature
    }

    /// Whether both wrap one key, under whatever name.
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// Reads the text form.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed { expected: "<origin>+<8 hexadecimal digits>+<base64 of 33 bytes>" };
        let mut parts = text.trim_end_matches(['\r', '\n']).splitn(3, '+');
        let (Some(origin), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let key = STANDARD.decode(key).map_err(|_| malformed())?;
        let (kind, public) = match key.split_first() {
            Some((0x01, public)) => (KeyKind::Ed25519, public),
            Some((0x04, public)) => (KeyKind::Cosignature, public),
            _ => return Err(malformed()),
        };
        let key = Self::new(origin, public.try_into().map_err(|_| malformed())?)?.of_kind(kind);
        if u32::from_str_radix(id, 16) != Ok(u32::from_be_bytes(key.id())) || id.len() != 8 {
            return Err(KeyError::IdMismatch { origin: key.origin });
        }
        Ok(key)
    }

    /// Reads a file that holds the text form.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::from_text(&read_secret(path)?)
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The key id of signed notes: the first four bytes of SHA-256(origin ‖ LF ‖ kind ‖ public key).
    pub(crate) fn id(&self) -> [u8; 4] {
        let mut input = Vec::with_capacity(self.origin.len() + 34);
        input.extend_from_slice(self.origin.as_bytes());
        input.extend_from_slice(&[b'\n', self.kind as u8]);
        input.extend_from_slice(&self.public);
        let digest: Hash = sha256(&input);
        [digest[0], digest[1], digest[2], digest[3]]
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [self.kind as u8; 33];
        key[1..].copy_from_slice(&self.public);
        write!(f, "{}+{:08x}+{}", self.origin, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }
}

/// Whether a log may be called so: the name stands in notes, in verifier keys and, unescaped, in every leaf.
pub(crate) fn is_origin(text: &str) -> bool {
    (1..=ORIGIN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'+' | b'"' | b'\\'))
}

fn random_key() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| KeyError::Unreadable { path: path.to_owned(), source })
}

fn parse_secret(text: &str, prefix: &str, expected: &'static str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let malformed = || KeyError::Malformed { expected };
    let encoded = text.trim().strip_prefix(prefix).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(malformed)?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| malformed())?);
    let bytes: [u8; 32] = decoded.as_slice().try_into().map_err(|_| malformed())?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_what_they_show() {
        let signing = SigningKey::generate().unwrap();
        let again = SigningKey::from_text(&signing.to_text()).unwrap();
        let key = signing.verifier_key("grille/test").unwrap();
        assert_eq!(again.verifier_key("grille/test").unwrap(), key);
        assert_eq!(VerifierKey::from_text(&format!("{key}\n")).unwrap(), key);
        assert!(key.verifies(b"hello", &signing.sign(b"hello")));
        assert!(!key.verifies(b"hellO", &signing.sign(b"hello")));

        let seal = SealKey::generate().unwrap();
        let again = SealKey::from_text(&seal.to_text()).unwrap();
        assert_eq!(again.id(), seal.id());
        assert_eq!(again.pseudonym(&["a", "b"]), seal.pseudonym(&["a", "b"]));
        assert_ne!(seal.pseudonym(&["ab", ""]), seal.pseudonym(&["a", "b"]));
        assert_ne!(SealKey::generate().unwrap().pseudonym(&["a"]), seal.pseudonym(&["a"]));
    }

    /// The example of Go's `golang.org/x/mod/sumdb/note`.
    #[test]
    fn reads_the_verifier_key_of_the_go_documentation() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(VerifierKey::from_text(text).unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let signing = SigningKey::generate().unwrap();
        for text in [
            "",
            "grille-signing-key-ed25519",
            "grille-signing-key-ed25519 AAAA",
            &SealKey::generate().unwrap().to_text(),
        ] {
            assert!(SigningKey::from_text(text).is_err(), "{text}");
        }
        assert!(SealKey::from_text(&signing.to_text()).is_err());
        for origin in ["", "a b", "a+b", "é", "a\"b", &"x".repeat(101)] {
            assert!(signing.verifier_key(origin).is_err(), "{origin}");
        }
        for text in ["", "a+b", "a+00000000+AAAA", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
        {
            assert!(VerifierKey::from_text(text).is_err(), "{text}");
        }
    }
}
