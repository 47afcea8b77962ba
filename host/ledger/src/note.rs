//! Checkpoints: C2SP tlog-checkpoint bodies in C2SP signed notes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::sha256::Hash;
use crate::{SigningKey, VerifierKey};

/// Larger notes are not ours: a body of three lines and a few signatures stay far below.
pub(crate) const NOTE_BYTES_MAX: usize = 64 << 10;
/// A signature line starts with an em dash and a space.
pub(crate) const SIGNATURE_MARK: &str = "\u{2014} ";

/// A tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: String,
    /// How many records it covers.
    pub size: u64,
    /// The root hash over them.
    pub root: [u8; 32],
}

/// Why a note is no checkpoint of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is not in the form of a signed checkpoint.
    #[error("it is not a signed checkpoint")]
    Malformed,
    /// It is another log's.
    #[error("it belongs to another log")]
    Origin,
    /// No signature of the key stands below it.
    #[error("it is not signed with this key")]
    Unsigned,
    /// The key's signature does not fit the text.
    #[error("its signature does not fit its text")]
    Forged,
}

impl Checkpoint {
    /// The signed note.
    pub(crate) fn sign(&self, key: &SigningKey, id: [u8; 4]) -> String {
        let body = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        let mut signature = id.to_vec();
        signature.extend_from_slice(&key.sign(body.as_bytes()));
        format!("{body}\n{SIGNATURE_MARK}{} {}\n", self.origin, STANDARD.encode(signature))
    }

    /// Reads a note and checks the key's signature. Signatures of others, such as witnesses, are passed over.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let (body, signatures) = split(note)?;
        let checkpoint = Self::parse_body(body)?;
        if checkpoint.origin != key.origin() {
            return Err(NoteError::Origin);
        }
        let mut outcome = NoteError::Unsigned;
        for line in signatures.lines() {
            let (name, encoded) =
                line.strip_prefix(SIGNATURE_MARK).and_then(|line| line.split_once(' ')).ok_or(NoteError::Malformed)?;
            let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
            let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
            if name == key.origin() && *id == key.id() {
                if key.verifies(body.as_bytes(), signature) {
                    return Ok(checkpoint);
                }
                outcome = NoteError::Forged;
            }
        }
        Err(outcome)
    }

    /// Reads a note without believing it.
    pub fn peek(note: &str) -> Result<Self, NoteError> {
        Self::parse_body(split(note)?.0)
    }

    fn parse_body(body: &str) -> Result<Self, NoteError> {
        let mut lines = body.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Malformed);
        };
        let is_number = size == "0" || (!size.starts_with('0') && size.bytes().all(|byte| byte.is_ascii_digit()));
        let size = size.parse().ok().filter(|_| is_number).ok_or(NoteError::Malformed)?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(NoteError::Malformed)?;
        if origin.is_empty() {
            return Err(NoteError::Malformed);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// Body with its last line end, and signature lines.
pub(crate) fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let (body, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    // Every line behind the body is a signature (C2SP signed-note); anything else was put there by somebody.
    let all_sign = !signatures.is_empty() && signatures.lines().all(|line| line.starts_with(SIGNATURE_MARK));
    let is_ours = note.len() <= NOTE_BYTES_MAX && note.ends_with('\n') && all_sign;
    let body = note.get(..body.len() + 1).filter(|_| is_ours).ok_or(NoteError::Malformed)?;
    Ok((body, signatures))
}

/// What `last_signed` holds: the newest checkpoint ever signed, and the size of the one before it. A crash between
/// signing and publishing leaves that one published.
pub(crate) struct LastSigned {
    pub(crate) note: String,
    pub(crate) previous: u64,
}

impl LastSigned {
    pub(crate) fn to_text(&self) -> String {
        format!("previous {}\n{}", self.previous, self.note)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, note) = text.split_once('\n')?;
        let previous = first.strip_prefix("previous ")?.parse().ok()?;
        Some(Self { note: note.to_owned(), previous })
    }
}

/// A root as people compare it.
pub(crate) fn show_root(root: &Hash) -> String {
    STANDARD.encode(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (VerifierKey, Checkpoint, String) {
        let key = SigningKey::generate().unwrap();
        let verifier = key.verifier_key("grille/test").unwrap();
        let checkpoint = Checkpoint { origin: "grille/test".to_owned(), size: 259, root: [7; 32] };
        let note = checkpoint.sign(&key, verifier.id());
        (verifier, checkpoint, note)
    }

    #[test]
    fn a_note_opens_with_its_key_alone() {
        let (key, checkpoint, note) = signed();
        assert_eq!(Checkpoint::open(&note, &key), Ok(checkpoint.clone()));
        assert_eq!(Checkpoint::peek(&note), Ok(checkpoint));
        let other = SigningKey::generate().unwrap();
        assert_eq!(Checkpoint::open(&note, &other.verifier_key("grille/test").unwrap()), Err(NoteError::Unsigned));
        assert_eq!(Checkpoint::open(&note, &other.verifier_key("other").unwrap()), Err(NoteError::Origin));
        let cosigned = format!("{note}\u{2014} witness.example AAAAAAAA\n");
        assert!(Checkpoint::open(&cosigned, &key).is_ok());
    }

    #[test]
    fn nothing_but_signatures_follows_the_body() {
        let (key, _, note) = signed();
        let body = note.split_once("\n\n").unwrap().0;
        for tail in ["grille/test\n", "\n", body, &format!("{body}\n")] {
            assert!(Checkpoint::open(&format!("{note}{tail}"), &key).is_err(), "{tail:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (key, _, note) = signed();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(text) = String::from_utf8(bytes) {
                    assert!(Checkpoint::open(&text, &key).is_err(), "byte {at} bit {bit}: {text}");
                }
            }
        }
    }

    /// The checkpoint of the tlog-checkpoint specification's form, signed by Go's example key.
    #[test]
    fn a_note_signed_by_go_opens() {
        let key = VerifierKey::from_text("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let body =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let bytes = STANDARD.decode(signature).unwrap();
        assert_eq!(bytes[..4], key.id());
        assert!(key.verifies(body.as_bytes(), &bytes[4..]));
    }

    #[test]
    fn last_signed_reads_back() {
        let (_, _, note) = signed();
        let last = LastSigned { note: note.clone(), previous: 12 };
        let again = LastSigned::parse(&last.to_text()).unwrap();
        assert_eq!((again.note, again.previous), (note, 12));
        assert!(LastSigned::parse("previous x\n").is_none());
    }
}
