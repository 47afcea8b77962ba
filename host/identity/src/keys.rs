use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey};
use openidconnect::core::CoreJsonWebKey;

use crate::PublicKey;

/// One public key of an issuer and the algorithms it may verify.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) public: PublicKey,
    algorithms: Vec<Algorithm>,
    pub(crate) decoding: DecodingKey,
}

impl Key {
    /// Whether a token with this header may have been signed with the key. A token that names no key may be of any.
    pub(crate) fn fits(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm) && kid.is_none_or(|kid| self.public.kid.as_deref() == Some(kid))
    }
}

/// The keys of a set that we can use; the rest is not an error, for providers publish all sorts.
pub(crate) fn usable(set: &[CoreJsonWebKey]) -> Vec<Key> {
    set.iter().take(KEYS_MAX).filter_map(key).collect()
}

/// Algorithms by name. Symmetric ones and `none` have no place here.
pub(crate) fn algorithm(name: &str) -> Option<(Algorithm, &'static str)> {
    ALGORITHMS.into_iter().find(|(_, known)| *known == name)
}

fn key(key: &CoreJsonWebKey) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(serde_json::to_value(key).ok()?).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        _ => return None,
    };
    if let Some(named) = jwk.common.key_algorithm {
        let (only, _) = algorithm(&named.to_string())?;
        algorithms.retain(|one| *one == only);
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    let public = PublicKey {
        thumbprint: jwk.thumbprint(ThumbprintHash::SHA256).ok()?,
        jwk: serde_json::to_string(&jwk).ok()?,
        kid: jwk.common.key_id,
    };
    (!algorithms.is_empty()).then_some(Key { public, algorithms, decoding })
}

const ALGORITHMS: [(Algorithm, &str); 6] = [
    (Algorithm::RS256, "RS256"),
    (Algorithm::RS384, "RS384"),
    (Algorithm::RS512, "RS512"),
    (Algorithm::ES256, "ES256"),
    (Algorithm::ES384, "ES384"),
    (Algorithm::EdDSA, "EdDSA"),
];
/// A token without `kid` is tried against each that fits.
const KEYS_MAX: usize = 64;
