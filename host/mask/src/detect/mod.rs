//! Detectors of identifiers in text: one automaton over all patterns, then validators.

pub(crate) mod date;
mod json;

use std::fmt;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input, PatternID};

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
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detector({} patterns)", self.regex.pattern_len())
    }
}

/// The automaton could not be built.
#[derive(Debug, thiserror::Error)]
#[error("build the automaton of the detectors")]
pub struct BuildError(#[source] Box<regex_automata::meta::BuildError>);

/// Buffers that a scan uses and the next one uses again.
#[derive(Debug, Default)]
pub struct Scratch {
    hits: Vec<Hit>,
    texts: json::Texts,
}

impl Detector {
    /// Builds the automaton.
    pub fn new() -> Result<Self, BuildError> {
        let patterns: Vec<&str> = PATTERNS.iter().map(|pattern| pattern.regex).collect();
        // Bytes, not characters: a Unicode word boundary would make the automaton give up at the first `é`.
        let regex = Regex::builder()
            .syntax(regex_automata::util::syntax::Config::new().unicode(false).utf8(false))
            .configure(Regex::config().utf8_empty(false))
            .build_many(&patterns)
            .map_err(|error| BuildError(Box::new(error)))?;
        Ok(Self { regex })
    }

    /// Finds the identifiers in a text. Hits are appended in their order and do not overlap.
    pub fn scan(&self, text: &str, out: &mut Vec<Hit>) {
        self.scan_bytes(text.as_bytes(), out);
    }

    /// The text with `[SSN]` and the like in place of each identifier.
    pub fn mask(&self, text: &str, out: &mut String) {
        let mut hits = Vec::new();
        self.scan(text, &mut hits);
        let mut from = 0;
        for hit in &hits {
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
        scratch.hits.clear();
        self.scan_bytes(text, &mut scratch.hits);
        replace(text, &scratch.hits, out);
    }

    /// A JSON document with the identifiers in its strings, numbers and keys replaced. None if it is not JSON.
    pub fn mask_json(&self, document: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Option<()> {
        json::mask(self, document, scratch, out)
    }

    fn scan_bytes(&self, text: &[u8], out: &mut Vec<Hit>) {
        let mut at = 0;
        while let Some(found) = self.regex.search(&Input::new(text).range(at..)) {
            at = found.end().max(found.start() + 1);
            let hit = PATTERNS
                .get(found.pattern().as_usize())
                .and_then(|pattern| pattern.check(text, found.start(), found.end()));
            let hit = hit.or_else(|| self.other(text, found.start(), found.pattern()));
            if let Some(hit) = hit {
                at = hit.end;
                out.push(hit);
            }
        }
    }

    /// The search reports one pattern per place. Where its validator says no, the others get their turn.
    fn other(&self, text: &[u8], start: usize, tried: PatternID) -> Option<Hit> {
        PATTERNS.iter().enumerate().filter(|&(id, _)| id != tried.as_usize()).find_map(|(id, pattern)| {
            let id = PatternID::new(id).ok()?;
            let input = Input::new(text).range(start..).anchored(Anchored::Pattern(id));
            let found = self.regex.search(&input)?;
            pattern.check(text, found.start(), found.end())
        })
    }
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

struct Pattern {
    regex: &'static str,
    kind: Kind,
    score: u8,
    valid: fn(&[u8]) -> bool,
}

impl Pattern {
    fn check(&self, text: &[u8], start: usize, end: usize) -> Option<Hit> {
        let valid = text.get(start..end).is_some_and(self.valid);
        valid.then_some(Hit { start, end, kind: self.kind, score: self.score })
    }
}

const PATTERNS: &[Pattern] = &[
    Pattern { regex: r"\b[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}\b", kind: Kind::Ssn, score: 80, valid: |_| true },
    Pattern {
        regex: r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+\b",
        kind: Kind::Email,
        score: 95,
        valid: |_| true,
    },
    Pattern {
        regex: r"(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b",
        kind: Kind::Phone,
        score: 80,
        valid: |_| true,
    },
];
