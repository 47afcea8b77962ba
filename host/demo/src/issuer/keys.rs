use anyhow::{Context, Result, anyhow};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;

/// A signing key and what the world may know of it.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) private: EncodingKey,
    pub(super) public: Value,
}

impl Key {
    pub(super) fn rsa() -> Result<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key could be made"))?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| anyhow!("an RSA key does not encode"))?;
        // jsonwebtoken takes bare PKCS#1, or PKCS#8 inside PEM.
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        Self::new("demo-rsa", EncodingKey::from_rsa_pem(pem.as_bytes()).context("load the RSA key")?, Algorithm::RS256)
    }

    pub(super) fn ec() -> Result<Self> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no EC key could be made"))?;
        let der = pair.to_pkcs8v1().map_err(|_| anyhow!("an EC key does not encode"))?;
        Self::new("demo-ec", EncodingKey::from_ec_der(der.as_ref()), Algorithm::ES256)
    }

    fn new(id: &str, private: EncodingKey, algorithm: Algorithm) -> Result<Self> {
        let mut jwk = Jwk::from_encoding_key(&private, algorithm).context("derive the public key")?;
        jwk.common.key_id = Some(id.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = serde_json::to_value(&jwk).context("write the public key as JSON")?;
        Ok(Self { id: id.to_owned(), private, public })
    }
}
