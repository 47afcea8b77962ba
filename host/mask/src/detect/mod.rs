//! Detectors of identifiers in text.
//!
//! One automaton runs over all shapes and labels at once, a check behind each match says what of it is an identifier;
//! then come the passes that need more than a place in the text: keys, tables, messages, names, encoded tokens. All work
//! on a copy in which zero-width characters, full-width digits and the like are undone ([`shadow`]), and hits are
//! mapped back. Deliberately absent: a model. What only a reader of the sentence could tell, these do not find.

mod check;
pub(crate) mod date;
mod encoded;
mod fields;
mod json;
mod keys;
mod labels;
mod messages;
mod names;
mod patterns;
mod shadow;
mod tables;

use std::fmt;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use keys::Keys;
use names::{Names, Word};
use patterns::{Pattern, Seen, Starts};
use shadow::Shadow;

/// An identifier in a text, in bytes from `start` to before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Where it starts.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
    /// How sure it is, 0 to 100: 90 and more with a checksum or a label, 60 and more by shape.
    pub score: u8,
}

/// What an identifier is. The classes are those of 45 CFR 164.514(b)(2)(i).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The name of a person.
    Name,
    /// House number and street.
    Street,
    /// A city.
    City,
    /// A county.
    County,
    /// A ZIP code.
    Zip,
    /// Coordinates.
    Geo,
    /// A date.
    Date,
    /// An age above 89.
    Age90,
    /// A telephone number.
    Phone,
    /// A fax number.
    Fax,
    /// An e-mail address.
    Email,
    /// A social security or taxpayer number.
    Ssn,
    /// A medical record number.
    Mrn,
    /// A number of a health plan.
    HealthPlan,
    /// An account, a card, a routing number.
    Account,
    /// A licence or certificate: NPI, DEA, driving licence.
    License,
    /// A vehicle: VIN or plate.
    Vehicle,
    /// A device: UDI, serial number, IMEI, MAC address.
    Device,
    /// A URL.
    Url,
    /// An IP address.
    Ip,
    /// Biometric data.
    Biometric,
    /// A photograph.
    Photo,
    /// Any other unique number or code.
    OtherId,
}

impl Kind {
    /// The name in upper case, as in the marker.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Street => "STREET",
            Self::City => "CITY",
            Self::County => "COUNTY",
            Self::Zip => "ZIP",
            Self::Geo => "GEO",
            Self::Date => "DATE",
            Self::Age90 => "AGE90",
            Self::Phone => "PHONE",
            Self::Fax => "FAX",
            Self::Email => "EMAIL",
            Self::Ssn => "SSN",
            Self::Mrn => "MRN",
            Self::HealthPlan => "HEALTH_PLAN",
            Self::Account => "ACCOUNT",
            Self::License => "LICENSE",
            Self::Vehicle => "VEHICLE",
            Self::Device => "DEVICE",
            Self::Url => "URL",
            Self::Ip => "IP",
            Self::Biometric => "BIOMETRIC",
            Self::Photo => "PHOTO",
            Self::OtherId => "OTHER_ID",
        }
    }
}

/// The detectors. Building one takes tens of milliseconds: build it once and share it.
pub struct Detector {
    regex: Regex,
    patterns: Vec<Pattern>,
    /// Each shape alone, for the places where another pattern's check said no.
    rivals: Vec<Rival>,
    keys: Keys,
    names: Names,
}

/// What the passes know of words.
#[derive(Clone, Copy)]
struct Known<'a> {
    keys: &'a Keys,
    names: &'a Names,
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detector({} patterns)", self.patterns.len())
    }
}

struct Rival {
    /// Built when the first check said no: most are never asked, and a start should not wait for them.
    regex: OnceLock<Option<Regex>>,
    pattern: usize,
    starts: Starts,
}

/// The automaton could not be built.
#[derive(Debug, thiserror::Error)]
#[error("build the automaton of the detectors")]
pub struct BuildError(#[source] Box<regex_automata::meta::BuildError>);

/// Buffers that a scan uses and the next one uses again.
#[derive(Debug, Default)]
pub struct Scratch {
    hits: Vec<Hit>,
    words: Vec<Word>,
    shadow: Shadow,
    texts: json::Texts,
}

/// How deep an encoded token inside a decoded one is followed.
const DECODED_MAX: usize = 2;

impl Detector {
    /// Builds the automaton and the dictionary.
    pub fn new() -> Result<Self, BuildError> {
        let patterns = patterns::all();
        let texts: Vec<&str> = patterns.iter().map(|pattern| pattern.regex.as_str()).collect();
        let regex = build(&texts)?;
        let shapes =
            patterns.iter().enumerate().filter(|(_, pattern)| matches!(pattern.check, patterns::Check::Shape(_)));
        let rival = |(pattern, shape): (usize, &Pattern)| {
            let starts = Starts::of(&shape.regex);
            Rival { regex: OnceLock::new(), pattern, starts }
        };
        let rivals = shapes.map(rival).collect();
        Ok(Self { regex, patterns, rivals, keys: Keys::new(), names: Names::new() })
    }

    /// Finds the identifiers in a text. Hits are appended in their order and do not overlap.
    pub fn scan(&self, text: &str, out: &mut Vec<Hit>) {
        let mut scratch = Scratch::default();
        self.find(text.as_bytes(), 0, &mut scratch);
        out.append(&mut scratch.hits);
    }

    /// The text with `[SSN]` and the like in place of each identifier.
    pub fn mask(&self, text: &str, out: &mut String) {
        let mut scratch = Scratch::default();
        self.find(text.as_bytes(), 0, &mut scratch);
        let mut from = 0;
        for hit in &scratch.hits {
            out.push_str(text.get(from..hit.start).unwrap_or_default());
            out.push('[');
            out.push_str(hit.kind.name());
            out.push(']');
            from = hit.end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
    }

    /// The same for text of any encoding that contains ASCII.
    pub fn mask_bytes(&self, text: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
        self.find(text, 0, scratch);
        replace(text, &scratch.hits, out);
    }

    /// A JSON document with the identifiers in its strings, numbers and keys replaced. None if it is not JSON.
    pub fn mask_json(&self, document: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Option<()> {
        json::mask(self, document, scratch, out)
    }

    /// Leaves the hits in the scratch.
    fn find(&self, text: &[u8], decoded: usize, scratch: &mut Scratch) {
        scratch.hits.clear();
        let mut shadow = std::mem::take(&mut scratch.shadow);
        if shadow.cast(text) {
            self.find_plain(&shadow.text, decoded, scratch);
            scratch.hits.retain_mut(|hit| match shadow.original(hit.start, hit.end) {
                Some((start, end)) => {
                    (hit.start, hit.end) = (start, end);
                    true
                }
                None => false,
            });
        } else {
            self.find_plain(text, decoded, scratch);
        }
        scratch.shadow = shadow;
    }

    fn find_plain(&self, text: &[u8], decoded: usize, scratch: &mut Scratch) {
        let Scratch { hits, words, .. } = scratch;
        self.shapes(text, hits);
        let known = Known { keys: &self.keys, names: &self.names };
        fields::scan(text, known, hits);
        tables::scan(text, known, hits);
        messages::scan(text, hits);
        settle(hits);
        self.names.scan(text, words, hits);
        if decoded < DECODED_MAX {
            encoded::scan(self, text, decoded, hits);
        }
        settle(hits);
    }

    fn shapes(&self, text: &[u8], out: &mut Vec<Hit>) {
        let mut at = 0;
        while let Some(found) = self.regex.search(&Input::new(text).range(at..)) {
            let seen = Seen { text, start: found.start(), end: found.end() };
            let Some(pattern) = self.patterns.get(found.pattern().as_usize()) else { break };
            // Behind the words of a label, whatever of its separators was taken.
            let words = match pattern.check {
                patterns::Check::Label(_) => seen.words(),
                patterns::Check::Shape(_) => 0,
            };
            let hit = hit(pattern, seen).or_else(|| {
                // A label is the start of something else only if that goes on without a gap: `contact.us@example.org`.
                let glued = text.get(seen.start + words).is_some_and(|byte| !b" \t\r\n:=\"',;#(>".contains(byte));
                (words == 0 || glued).then(|| self.other(seen, found.pattern().as_usize())).flatten()
            });
            match hit {
                Some(hit) => {
                    at = hit.end.max(found.start() + 1);
                    out.push(hit);
                }
                None => at = found.start() + words.max(1),
            }
        }
    }

    /// The search reports one pattern per place. Where its check says no, the shapes get their turn.
    fn other(&self, seen: Seen<'_>, tried: usize) -> Option<Hit> {
        let first = *seen.text.get(seen.start)?;
        let rivals = self.rivals.iter().filter(|rival| rival.pattern != tried && rival.starts.with(first));
        rivals.into_iter().find_map(|rival| {
            let input = Input::new(seen.text).range(seen.start..).anchored(Anchored::Yes);
            let pattern = self.patterns.get(rival.pattern)?;
            let regex = rival.regex.get_or_init(|| build(&[&pattern.regex]).ok());
            let found = regex.as_ref()?.search(&input)?;
            hit(pattern, Seen { end: found.end(), ..seen })
        })
    }
}

fn build(patterns: &[&str]) -> Result<Regex, BuildError> {
    // Bytes, not characters: a Unicode word boundary would make the automaton give up at the first `é`.
    Regex::builder()
        .syntax(regex_automata::util::syntax::Config::new().unicode(false).utf8(false))
        .configure(Regex::config().utf8_empty(false).hybrid_cache_capacity(CACHE))
        .build_many(patterns)
        .map_err(|error| BuildError(Box::new(error)))
}

/// Room for the states of the lazy automaton; with the default of 2 MiB dense notes make it start over and over.
const CACHE: usize = 16 << 20;

fn hit(pattern: &Pattern, seen: Seen<'_>) -> Option<Hit> {
    let range = pattern.find(seen)?;
    Some(Hit { start: range.start, end: range.end, kind: pattern.kind, score: pattern.score })
}

/// Puts the hits in order and joins those that overlap.
fn settle(hits: &mut Vec<Hit>) {
    // Each pass found its own in order: a merge of few runs.
    hits.sort_by_key(|hit| (hit.start, std::cmp::Reverse((hit.score, hit.end)), hit.kind));
    let mut kept: usize = 0;
    for index in 0..hits.len() {
        let Some(next) = hits.get(index).copied() else { break };
        match kept.checked_sub(1).and_then(|last| hits.get_mut(last)) {
            Some(last) if next.start < last.end => {
                // Overlapping hits become one stretch under the surer kind, so that nothing of either shows.
                let surer = if next.score > last.score { next.kind } else { last.kind };
                *last = Hit { end: last.end.max(next.end), kind: surer, score: last.score.max(next.score), ..*last };
            }
            _ => {
                if let Some(slot) = hits.get_mut(kept) {
                    *slot = next;
                }
                kept += 1;
            }
        }
    }
    hits.truncate(kept);
}

/// Appends the text with markers in place of the hits.
fn replace(text: &[u8], hits: &[Hit], out: &mut Vec<u8>) {
    let mut from = 0;
    for hit in hits {
        out.extend_from_slice(text.get(from..hit.start).unwrap_or_default());
        out.push(b'[');
        out.extend_from_slice(hit.kind.name().as_bytes());
        out.push(b']');
        from = hit.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests;
