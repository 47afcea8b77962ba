use aws_lc_rs::{digest, hmac, rand};
use grille_policy::{Decision, Digest, Parameter, Subject};

use crate::ask::NoRandom;

/// SHA-256 of a list of parts, each preceded by its length, so that no two lists share their bytes.
pub(crate) struct Parts(digest::Context);

impl Parts {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut parts = Self(digest::Context::new(&digest::SHA256));
        parts.add(purpose.as_bytes());
        parts
    }

    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> Digest {
        to_digest(self.0.finish().as_ref())
    }
}

/// SHA-256 over bound parameters: their number, types, formats, and NULL apart from the empty value.
#[must_use]
pub fn digest_of_parameters(parameters: &[Parameter]) -> Digest {
    let mut parts = Parts::new("grille parameters v1");
    for parameter in parameters {
        parts.add(&parameter.type_oid.to_be_bytes());
        parts.add(&[u8::from(parameter.is_binary), u8::from(parameter.value.is_some())]);
        parts.add(parameter.value.as_deref().unwrap_or_default());
    }
    parts.finish()
}

/// SHA-256 over which components with which settings in which mode gave a decision.
#[must_use]
pub fn digest_of_policies(decision: &Decision) -> Digest {
    let mut parts = Parts::new("grille policies v1");
    for opinion in &decision.opinions {
        parts.add(opinion.policy.as_bytes());
        parts.add(&opinion.plugin.0);
        parts.add(&opinion.settings.0);
        parts.add(&[opinion.mode as u8]);
    }
    parts.finish()
}

/// SHA-256 of the exact bytes of a text.
pub(crate) fn digest_of_text(text: &str) -> Digest {
    to_digest(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// What a grant is good for, as one number under a key that lives as long as the desk.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Binding([u8; 32]);

/// The key of the desk's bindings and the salts of its commitments: 32 random bytes.
pub(crate) struct Salt(pub(crate) [u8; 32]);

impl Salt {
    pub(crate) fn new() -> Result<Self, NoRandom> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| NoRandom)?;
        Ok(Self(bytes))
    }

    /// HMAC-SHA-256 of a digest under this salt: a commitment that cannot be looked up in a dictionary.
    pub(crate) fn commit(&self, digest: &Digest) -> Digest {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        to_digest(hmac::sign(&key, &digest.0).as_ref())
    }

    /// Who (with which agents) may run what where. Any byte of difference is a different binding.
    pub(crate) fn bind(&self, subject: &Subject, target: &str, text: &Digest, parameters: &Digest) -> Binding {
        let mut parts = Parts::new("grille binding v1");
        parts.add(subject.issuer.as_bytes());
        parts.add(subject.sub.as_bytes());
        parts.add(&(subject.actors.len() as u64).to_be_bytes());
        for actor in &subject.actors {
            parts.add(actor.issuer.as_bytes());
            parts.add(actor.sub.as_bytes());
        }
        parts.add(target.as_bytes());
        parts.add(&text.0);
        parts.add(&parameters.0);
        Binding(self.commit(&parts.finish()).0)
    }
}

pub(crate) fn random_u32() -> Result<u32, NoRandom> {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(u32::from_be_bytes(bytes))
}

fn to_digest(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(bytes);
    Digest(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Option<&str>) -> Parameter {
        Parameter { type_oid: 25, is_binary: false, value: value.map(|value| value.as_bytes().into()) }
    }

    #[test]
    fn different_parameters_have_different_digests() {
        let lists = [
            vec![],
            vec![text(None)],
            vec![text(Some(""))],
            vec![text(Some("ab"))],
            vec![text(Some("a")), text(Some("b"))],
            vec![text(Some("")), text(Some("ab"))],
            vec![text(Some("ab")), text(Some(""))],
            vec![Parameter { type_oid: 1043, ..text(Some("ab")) }],
            vec![Parameter { is_binary: true, ..text(Some("ab")) }],
        ];
        for (i, one) in lists.iter().enumerate() {
            for (j, other) in lists.iter().enumerate() {
                assert_eq!(digest_of_parameters(one) == digest_of_parameters(other), i == j, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_commitment_says_nothing_without_its_salt() {
        let digest = digest_of_text("select 1");
        let (one, other) = (Salt([1; 32]), Salt([2; 32]));
        assert_eq!(one.commit(&digest), one.commit(&digest));
        assert_ne!(one.commit(&digest), other.commit(&digest));
    }
}
