//! The public part of a record: JSON with its fields in one fixed order, without anything of the contents.

use grille_policy::SessionId;
use serde::Deserialize;

use crate::sha256::{Hash, hash_from_base64, push_base64};

/// Larger leaves are nonsense: the longest origin and every field together stay below 1 KiB.
pub(crate) const LEAF_BYTES_MAX: usize = 4096;

/// What the session's side knows of a leaf before it has a place.
pub(crate) struct Facts<'a> {
    pub(crate) node: &'a str,
    pub(crate) sid: &'a str,
    pub(crate) seq: u64,
    pub(crate) prev: Option<&'a Hash>,
    pub(crate) kind: &'a str,
    pub(crate) actor: Option<&'a str>,
    pub(crate) target: Option<&'a str>,
    pub(crate) judged: Option<Judged<'a>>,
    pub(crate) close: Option<Span>,
    pub(crate) ciphertext: &'a Hash,
    pub(crate) commit: &'a Hash,
    pub(crate) len: u64,
    pub(crate) key: &'a str,
}

/// What decided.
#[derive(Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) verdict: &'a str,
    /// The digest of the policy set in force, as its `policy.change` names it.
    pub(crate) policy: Option<&'a str>,
    /// The digest over the policies that were asked.
    pub(crate) plugins: Option<&'a str>,
    pub(crate) epoch: u64,
}

/// What a session wrote, as its closing leaf tells it.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) count: u64,
}

/// Writes all but the end of a leaf.
pub(crate) fn begin(out: &mut Vec<u8>, facts: &Facts<'_>) {
    text(out, "{\"v\":1,\"node\":\"", facts.node);
    text(out, "\",\"sid\":\"", facts.sid);
    number(out, "\",\"seq\":", facts.seq);
    if let Some(prev) = facts.prev {
        out.extend_from_slice(b",\"prev\":\"");
        push_base64(out, prev);
        out.push(b'"');
    }
    quoted(out, ",\"kind\":\"", facts.kind);
    if let Some(actor) = facts.actor {
        quoted(out, ",\"actor\":\"", actor);
    }
    if let Some(target) = facts.target {
        quoted(out, ",\"target\":\"", target);
    }
    if let Some(judged) = facts.judged {
        quoted(out, ",\"verdict\":\"", judged.verdict);
        if let Some(policy) = judged.policy {
            quoted(out, ",\"policy\":\"", policy);
        }
        if let Some(plugins) = judged.plugins {
            quoted(out, ",\"plugins\":\"", plugins);
        }
        number(out, ",\"epoch\":", judged.epoch);
    }
    if let Some(span) = facts.close {
        number(out, ",\"first\":", span.first);
        number(out, ",\"last\":", span.last);
        number(out, ",\"count\":", span.count);
    }
    out.extend_from_slice(b",\"ct_sha256\":\"");
    push_base64(out, facts.ciphertext);
    out.extend_from_slice(b"\",\"commit\":\"");
    push_base64(out, facts.commit);
    number(out, "\",\"len\":", facts.len);
    quoted(out, ",\"key_id\":\"", facts.key);
}

/// Writes the end of a leaf, which says when and where.
pub(crate) fn finish(out: &mut Vec<u8>, log_time: u64, mono: u64, segment: u32, offset: u64) {
    number(out, ",\"log_time\":", log_time);
    number(out, ",\"mono\":", mono);
    number(out, ",\"place\":\"", u64::from(segment));
    number(out, ":", offset);
    out.extend_from_slice(b"\"}");
}

fn text(out: &mut Vec<u8>, before: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn quoted(out: &mut Vec<u8>, before: &str, value: &str) {
    text(out, before, value);
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, before: &str, mut value: u64) {
    out.extend_from_slice(before.as_bytes());
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(value % 10).expect("a digit");
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The public part of a record, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Leaf {
    /// The format, 1.
    pub v: u8,
    /// The log.
    pub node: String,
    /// The session; records of the node itself have one of their own per start.
    pub sid: SessionId,
    /// The gap-free number within the session, from 0.
    pub seq: u64,
    /// The hash of the session's previous leaf.
    #[serde(default)]
    pub prev: Option<String>,
    /// The kind of record.
    pub kind: String,
    /// A pseudonym of the subject, the same in every session.
    #[serde(default)]
    pub actor: Option<String>,
    /// A pseudonym of the target.
    #[serde(default)]
    pub target: Option<String>,
    /// `allow`, `review` or `block`, in decisions.
    #[serde(default)]
    pub verdict: Option<String>,
    /// The digest of the policy set in force.
    #[serde(default)]
    pub policy: Option<String>,
    /// The digest over the policies that were asked.
    #[serde(default)]
    pub plugins: Option<String>,
    /// The number of the policy set.
    #[serde(default)]
    pub epoch: Option<u64>,
    /// The index of the session's first record, in closing leaves.
    #[serde(default)]
    pub first: Option<u64>,
    /// The index of the session's last record before the close.
    #[serde(default)]
    pub last: Option<u64>,
    /// How many records the session has, the close included.
    #[serde(default)]
    pub count: Option<u64>,
    /// SHA-256 of the sealed contents: anybody can check the storage without keys.
    pub ct_sha256: String,
    /// SHA-256 of salt and contents: whoever holds the key can prove the contents.
    pub commit: String,
    /// The length of the sealed contents.
    pub len: u64,
    /// Which wrapped key opens them: its row in `keys/` and the start of its digest.
    pub key_id: String,
    /// The wall clock in Unix microseconds.
    pub log_time: u64,
    /// The monotonic clock in microseconds since the node started.
    pub mono: u64,
    /// The segment and the byte where the frame starts.
    pub place: String,
}

impl Leaf {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|leaf| leaf.v == 1)
    }

    pub(crate) fn prev_hash(&self) -> Option<Hash> {
        self.prev.as_deref().and_then(hash_from_base64)
    }

    pub(crate) fn ciphertext_hash(&self) -> Option<Hash> {
        hash_from_base64(&self.ct_sha256)
    }

    pub(crate) fn commit_hash(&self) -> Option<Hash> {
        hash_from_base64(&self.commit)
    }

    /// The row of the session's wrapped key.
    pub(crate) fn key_row(&self) -> Option<(u64, &str)> {
        let (row, id) = self.key_id.split_once('.')?;
        Some((row.parse().ok()?, id))
    }

    /// The segment and the byte where the frame starts.
    pub(crate) fn position(&self) -> Option<(u32, u64)> {
        let (segment, offset) = self.place.split_once(':')?;
        Some((segment.parse().ok()?, offset.parse().ok()?))
    }

    pub(crate) fn is_at(&self, segment: u32, offset: u64) -> bool {
        self.position() == Some((segment, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_reads_back_and_keeps_its_order() {
        let sid = SessionId::mint(1_795_000_000_123, 7).to_string();
        let mut out = Vec::new();
        let judged = Judged { verdict: "block", policy: Some("pp"), plugins: Some("qq"), epoch: 3 };
        let facts = Facts {
            node: "grille/test",
            sid: &sid,
            seq: 4,
            prev: Some(&[1; 32]),
            kind: "decision",
            actor: Some("aa"),
            target: Some("tt"),
            judged: Some(judged),
            close: Some(Span { first: 1, last: 9, count: 5 }),
            ciphertext: &[2; 32],
            commit: &[3; 32],
            len: 77,
            key: "12.abcd",
        };
        begin(&mut out, &facts);
        finish(&mut out, 1_795_000_000_123_456, 0, 3, u64::MAX);
        let leaf = Leaf::parse(&out).unwrap();
        assert_eq!((leaf.seq, leaf.epoch, leaf.count, leaf.mono, leaf.len), (4, Some(3), Some(5), 0, 77));
        assert_eq!(leaf.prev_hash(), Some([1; 32]));
        assert_eq!(leaf.ciphertext_hash(), Some([2; 32]));
        assert_eq!(leaf.commit_hash(), Some([3; 32]));
        assert_eq!(leaf.key_row(), Some((12, "abcd")));
        assert!(leaf.is_at(3, u64::MAX) && !leaf.is_at(3, 0));
        let expected = format!(
            "{{\"v\":1,\"node\":\"grille/test\",\"sid\":\"{sid}\",\"seq\":4,\"prev\":\"{}\",\"kind\":\"decision\",\"actor\":\"aa\",\"target\":\"tt\",\
             \"verdict\":\"block\",\"policy\":\"pp\",\"plugins\":\"qq\",\"epoch\":3,\"first\":1,\"last\":9,\"count\":5,\
             \"ct_sha256\":\"{}\",\"commit\":\"{}\",\"len\":77,\"key_id\":\"12.abcd\",\"log_time\":1795000000123456,\"mono\":0,\
             \"place\":\"3:18446744073709551615\"}}",
            crate::sha256::to_base64(&[1; 32]),
            crate::sha256::to_base64(&[2; 32]),
            crate::sha256::to_base64(&[3; 32]),
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_is_no_leaf_is_refused() {
        for bytes in [&b""[..], b"{}", b"{\"v\":2}", b"[1]", b"\xff"] {
            assert!(Leaf::parse(bytes).is_none());
        }
    }
}
