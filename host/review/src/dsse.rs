//! DSSE 1.0.2 envelopes: the signature covers the payload's type and exact bytes, so nothing has to be canonical.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

pub use crate::sign::{PAYLOAD_TYPE, Payload};
use crate::sign::{Signer, Unsigned};

/// A signed payload, as other people's tools read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The payload's bytes in base64.
    pub payload: String,
    /// What the payload is.
    pub payload_type: String,
    /// One or more signatures.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// A hint which key made it. Not authenticated.
    pub keyid: String,
    /// The signature in base64.
    pub sig: String,
}

/// Why an envelope proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unproven {
    /// Another type than a review decision.
    #[error("the envelope holds `{0}`, not a review decision")]
    Type(String),
    /// Bytes that are no base64.
    #[error("the envelope is not base64")]
    Base64(#[source] base64::DecodeError),
    /// No signature by the key.
    #[error("no signature in the envelope was made by this key over this payload")]
    Signature,
    /// Signed bytes that are no decision.
    #[error("the signed payload does not read as a review decision")]
    Payload(#[source] serde_json::Error),
}

pub(crate) fn seal(payload_type: &str, payload: &[u8], signer: &dyn Signer) -> Result<Envelope, Unsigned> {
    let signature = signer.sign(&pae(payload_type, payload))?;
    Ok(Envelope {
        payload: STANDARD.encode(payload),
        payload_type: payload_type.to_owned(),
        signatures: vec![Signature { keyid: signer.key_id().to_owned(), sig: STANDARD.encode(signature) }],
    })
}

/// The decision that an envelope proves, given the gateway's public key (32 bytes).
pub fn verify(envelope: &Envelope, public_key: &[u8]) -> Result<Payload, Unproven> {
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(Unproven::Type(envelope.payload_type.clone()));
    }
    let payload = STANDARD.decode(&envelope.payload).map_err(Unproven::Base64)?;
    let signed = pae(&envelope.payload_type, &payload);
    let key = UnparsedPublicKey::new(&ED25519, public_key);
    let mut signatures = envelope.signatures.iter().filter_map(|one| STANDARD.decode(&one.sig).ok());
    if !signatures.any(|signature| key.verify(&signed, &signature).is_ok()) {
        return Err(Unproven::Signature);
    }
    serde_json::from_slice(&payload).map_err(Unproven::Payload)
}

/// DSSE's pre-authentication encoding.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let bytes = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
