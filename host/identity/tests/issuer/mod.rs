//! An issuer with real keys on a loopback port, which can be made to misbehave.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(crate) const AUDIENCE: &str = "grille";

pub(crate) enum Signer {
    Rsa(String, Box<RsaKeyPair>),
    Ec(String, EcdsaKeyPair),
    Ed(String, Ed25519KeyPair),
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with any signature.
pub(crate) fn forge(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}.{}", b64(header.to_string()), b64(claims.to_string()), b64(signature))
}

impl Signer {
    pub(crate) fn rsa(kid: &str) -> Self {
        Self::Rsa(kid.to_owned(), Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(crate) fn ec(kid: &str) -> Self {
        Self::Ec(kid.to_owned(), EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed(kid: &str) -> Self {
        Self::Ed(kid.to_owned(), Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn all() -> [Self; 3] {
        [Self::rsa("one"), Self::ec("two"), Self::ed("three")]
    }

    pub(crate) fn kid(&self) -> &str {
        match self {
            Self::Rsa(kid, _) | Self::Ec(kid, _) | Self::Ed(kid, _) => kid,
        }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(..) => "RS256",
            Self::Ec(..) => "ES256",
            Self::Ed(..) => "EdDSA",
        }
    }

    pub(crate) fn public(&self) -> Value {
        let mut jwk = match self {
            Self::Rsa(_, key) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({ "kty": "RSA", "n": b64(&public.n), "e": b64(&public.e) })
            }
            Self::Ec(_, key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y) })
            }
            Self::Ed(_, key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key()) }),
        };
        jwk["kid"] = self.kid().into();
        jwk["alg"] = self.algorithm().into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_raw(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn sign_raw(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(_, key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(_, key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(_, key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", b64(signature))
    }

    pub(crate) fn sign_hmac_with_public_key(&self, header: &Value, claims: &Value) -> String {
        let Self::Rsa(_, key) = self else { panic!("RSA only") };
        let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = AsDer::as_der(key.public_key()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_ref());
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        format!("{message}.{}", b64(hmac::sign(&key, message.as_bytes())))
    }
}

struct Inner {
    url: String,
    keys: Mutex<Vec<Value>>,
    trouble: Mutex<Option<&'static str>>,
    asked: AtomicUsize,
    failed: AtomicUsize,
}

pub(crate) struct Server(Arc<Inner>);

impl Server {
    pub(crate) async fn start(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            url,
            keys: Mutex::new(keys),
            trouble: Mutex::default(),
            asked: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self(inner)
    }

    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// How often the keys were fetched.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// How often something was refused.
    pub(crate) fn failed(&self) -> usize {
        self.0.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn publish(&self, keys: Vec<Value>) {
        *self.0.keys.lock().unwrap() = keys;
        *self.0.trouble.lock().unwrap() = None;
    }

    pub(crate) fn break_down(&self, how: &'static str) {
        *self.0.trouble.lock().unwrap() = Some(how);
    }
}

async fn discovery(State(inner): State<Arc<Inner>>) -> Response {
    let trouble = *inner.trouble.lock().unwrap();
    let mut document = json!({
        "issuer": inner.url,
        "authorization_endpoint": format!("{}/authorize", inner.url),
        "jwks_uri": format!("{}/jwks", inner.url),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    match trouble {
        Some("500") => {
            inner.failed.fetch_add(1, Ordering::SeqCst);
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        Some("redirect") => return (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Some("other issuer") => document["issuer"] = "https://id.example.org".into(),
        Some("far keys") => document["jwks_uri"] = "http://id.example.org/jwks".into(),
        Some("demo") => document["grille_demo"] = true.into(),
        _ => {}
    }
    Json(document).into_response()
}

async fn jwks(State(inner): State<Arc<Inner>>) -> Response {
    inner.asked.fetch_add(1, Ordering::SeqCst);
    let trouble = *inner.trouble.lock().unwrap();
    let keys = inner.keys.lock().unwrap().clone();
    match trouble {
        Some("html") => ([(header::CONTENT_TYPE, "application/json")], "<html>Sign in</html>").into_response(),
        Some("huge") => Json(json!({ "keys": keys, "padding": "x".repeat(2 << 20) })).into_response(),
        Some("slow") => {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Json(json!({ "keys": keys })).into_response()
        }
        Some("no keys") => Json(json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "kid": "k" }] })).into_response(),
        _ => Json(json!({ "keys": keys })).into_response(),
    }
}
