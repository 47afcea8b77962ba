//! Which messages were said in which state of the server, and how often.

use std::collections::BTreeMap;
use std::fmt;

use super::message::Message;
use super::oracle::{Stand, Within, takes_query_in_pipeline};

/// How often each message must have been said in each state where it may be.
pub(super) const EACH: u64 = 50;

const KINDS: [&str; 14] = [
    "Query",
    "Parse",
    "Bind",
    "Describe S",
    "Describe P",
    "Execute",
    "Close S",
    "Close P",
    "Flush",
    "Sync",
    "CopyData",
    "CopyDone",
    "CopyFail",
    "FunctionCall",
];
const WITHIN: [(Within, &str); 5] = [
    (Within::Simple, "at rest"),
    (Within::Extended, "pipeline"),
    (Within::Skipped, "failed pipeline"),
    (Within::Copy, "COPY"),
    (Within::ExtendedCopy, "COPY, pipeline"),
];

/// Counts by kind of message, conversation and status; and the same of blocked messages alone.
#[derive(Default)]
pub(super) struct Coverage {
    said: BTreeMap<(&'static str, Within, u8), u64>,
    blocked: BTreeMap<(&'static str, Within, u8), u64>,
}

impl Coverage {
    pub(super) fn count(&mut self, message: &Message, stand: Stand) {
        let cell = (message.kind(), stand.within, stand.status);
        *self.said.entry(cell).or_default() += 1;
        if message.is_blocked {
            *self.blocked.entry(cell).or_default() += 1;
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (into, from) in [(&mut self.said, other.said), (&mut self.blocked, other.blocked)] {
            from.into_iter().for_each(|(cell, count)| *into.entry(cell).or_default() += count);
        }
    }

    /// What was said less often than it should be to a server of that major version.
    pub(super) fn missing(&self, version: u32) -> Vec<String> {
        let mut missing = Vec::new();
        for (kind, (within, place), status) in cells() {
            let is_left_out = matches!(kind, "Query" | "FunctionCall")
                && within == Within::Extended
                && !takes_query_in_pipeline(version);
            let may_be = may_be(kind, within, status) && !is_left_out;
            let said = self.said.get(&(kind, within, status)).copied().unwrap_or_default();
            if may_be && said < EACH {
                missing.push(format!("{kind}, {place}, {}: {said}", char::from(status)));
            }
            let blocks = may_be && !within.is_copy() && matches!(kind, "Query" | "Parse" | "Bind");
            let blocked = self.blocked.get(&(kind, within, status)).copied().unwrap_or_default();
            if blocks && blocked < EACH {
                missing.push(format!("{kind} that is blocked, {place}, {}: {blocked}", char::from(status)));
            }
        }
        missing
    }
}

/// While the server waits for COPY data only that, Flush and Sync may come; and no COPY begins in a failed transaction.
fn may_be(kind: &str, within: Within, status: u8) -> bool {
    let is_copy = matches!(kind, "Flush" | "Sync" | "CopyData" | "CopyDone" | "CopyFail");
    !within.is_copy() || (is_copy && status != b'E')
}

fn cells() -> impl Iterator<Item = (&'static str, (Within, &'static str), u8)> {
    KINDS.into_iter().flat_map(|kind| {
        WITHIN.into_iter().flat_map(move |within| [b'I', b'T', b'E'].map(|status| (kind, within, status)))
    })
}

impl fmt::Display for Coverage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<12}", "")?;
        WITHIN.iter().try_for_each(|(_, place)| write!(out, "{place:>24}"))?;
        for (title, counts) in [("all", &self.said), ("blocked", &self.blocked)] {
            write!(out, "\n{title:<12}")?;
            WITHIN.iter().try_for_each(|_| write!(out, "{:>8}{:>8}{:>8}", "I", "T", "E"))?;
            let is_counted = |kind: &&str| counts.keys().any(|(counted, ..)| counted == kind);
            for kind in KINDS.into_iter().filter(is_counted) {
                write!(out, "\n{kind:<12}")?;
                for (_, (within, _), status) in cells().filter(|(counted, ..)| *counted == kind) {
                    match counts.get(&(kind, within, status)) {
                        Some(count) => write!(out, "{count:>8}")?,
                        None => write!(out, "{:>8}", "-")?,
                    }
                }
            }
        }
        Ok(())
    }
}
