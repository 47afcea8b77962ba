//! HL7 v2 and X12: the place in the segment says what a field is.

use memchr::{memchr, memchr_iter, memchr2, memchr3};

use super::keys;
use super::{Hit, Kind};

/// What a field of a segment holds.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// One value, in the first component.
    One(Kind),
    /// A name over several components.
    Name,
    /// Street, other designation, city, state, ZIP.
    Address,
    /// Identifier, family name, given name.
    Person,
}

const HL7: &[(&[u8; 3], usize, Field)] = &[
    (b"PID", 2, Field::One(Kind::Mrn)),
    (b"PID", 3, Field::One(Kind::Mrn)),
    (b"PID", 4, Field::One(Kind::Mrn)),
    (b"PID", 5, Field::Name),
    (b"PID", 6, Field::Name),
    (b"PID", 7, Field::One(Kind::Date)),
    (b"PID", 9, Field::Name),
    (b"PID", 11, Field::Address),
    (b"PID", 12, Field::One(Kind::County)),
    (b"PID", 13, Field::One(Kind::Phone)),
    (b"PID", 14, Field::One(Kind::Phone)),
    (b"PID", 18, Field::One(Kind::Account)),
    (b"PID", 19, Field::One(Kind::Ssn)),
    (b"PID", 20, Field::One(Kind::License)),
    (b"PID", 21, Field::One(Kind::Mrn)),
    (b"PID", 23, Field::One(Kind::City)),
    (b"PID", 29, Field::One(Kind::Date)),
    (b"NK1", 2, Field::Name),
    (b"NK1", 4, Field::Address),
    (b"NK1", 5, Field::One(Kind::Phone)),
    (b"NK1", 6, Field::One(Kind::Phone)),
    (b"GT1", 2, Field::One(Kind::Account)),
    (b"GT1", 3, Field::Name),
    (b"GT1", 4, Field::Name),
    (b"GT1", 5, Field::Address),
    (b"GT1", 6, Field::One(Kind::Phone)),
    (b"GT1", 7, Field::One(Kind::Phone)),
    (b"GT1", 8, Field::One(Kind::Date)),
    (b"GT1", 12, Field::One(Kind::Ssn)),
    (b"IN1", 16, Field::Name),
    (b"IN1", 18, Field::One(Kind::Date)),
    (b"IN1", 19, Field::Address),
    (b"IN1", 36, Field::One(Kind::HealthPlan)),
    (b"IN1", 49, Field::One(Kind::HealthPlan)),
    (b"IN2", 2, Field::One(Kind::Ssn)),
    (b"PV1", 7, Field::Person),
    (b"PV1", 8, Field::Person),
    (b"PV1", 9, Field::Person),
    (b"PV1", 17, Field::Person),
    (b"PV1", 19, Field::One(Kind::OtherId)),
    (b"PV1", 44, Field::One(Kind::Date)),
    (b"PV1", 45, Field::One(Kind::Date)),
    (b"PV1", 50, Field::One(Kind::OtherId)),
    (b"EVN", 5, Field::Person),
    (b"PD1", 4, Field::Person),
    (b"ORC", 2, Field::One(Kind::OtherId)),
    (b"ORC", 3, Field::One(Kind::OtherId)),
    (b"ORC", 12, Field::Person),
    (b"OBR", 2, Field::One(Kind::OtherId)),
    (b"OBR", 3, Field::One(Kind::OtherId)),
    (b"OBR", 16, Field::Person),
    (b"OBR", 32, Field::Person),
    (b"OBX", 16, Field::Person),
    (b"MRG", 1, Field::One(Kind::Mrn)),
    (b"MRG", 7, Field::Name),
    (b"ROL", 4, Field::Person),
];

pub(super) fn scan(text: &[u8], hits: &mut Vec<Hit>) {
    let holds = |separator: u8, segments: [&[u8; 3]; 2]| {
        let mut names = memchr_iter(separator, text).filter_map(|at| text.get(..at)?.last_chunk());
        names.any(|name| segments.contains(&name))
    };
    if holds(b'|', [b"MSH", b"PID"]) {
        for (start, end) in pieces(text, 0, text.len(), |rest| memchr2(b'\r', b'\n', rest)) {
            hl7_segment(text, start, end, hits);
        }
    }
    if holds(b'*', [b"NM1", b"ISA"]) {
        for (start, end) in pieces(text, 0, text.len(), |rest| memchr3(b'~', b'\r', b'\n', rest)) {
            x12_segment(text, start, end, hits);
        }
    }
}

/// The stretches between separators, of which `separator` finds the first.
fn pieces(
    text: &[u8],
    from: usize,
    to: usize,
    separator: impl Fn(&[u8]) -> Option<usize>,
) -> impl Iterator<Item = (usize, usize)> {
    let mut next = Some(from);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = text.get(start..to)?;
        let length = separator(rest);
        next = length.map(|length| start + length + 1);
        Some((start, start + length.unwrap_or(rest.len())))
    })
}

fn hl7_segment(text: &[u8], start: usize, end: usize, hits: &mut Vec<Hit>) {
    let Some(name) = text.get(start..).and_then(<[u8]>::first_chunk) else { return };
    if !HL7.iter().any(|(segment, ..)| *segment == name) {
        return;
    }
    for (index, (from, to)) in pieces(text, start, end, |rest| memchr(b'|', rest)).enumerate().skip(1) {
        let Some((.., field)) = HL7.iter().find(|(segment, field, _)| *segment == name && *field == index) else {
            continue;
        };
        for (from, to) in pieces(text, from, to, |rest| memchr(b'~', rest)) {
            hl7_field(text, *field, from, to, hits);
        }
    }
}

fn hl7_field(text: &[u8], field: Field, from: usize, to: usize, hits: &mut Vec<Hit>) {
    let mut components = pieces(text, from, to, |rest| memchr(b'^', rest));
    match field {
        Field::One(kind) => {
            if let Some((from, to)) = components.next() {
                push(text, kind, from, to, hits);
            }
        }
        Field::Name => {
            let last = components.take(3).filter(|(from, to)| from < to).last();
            if let Some((_, to)) = last {
                push(text, Kind::Name, from, to, hits);
            }
        }
        Field::Address => {
            for ((from, to), kind) in
                components.zip([Some(Kind::Street), Some(Kind::Street), Some(Kind::City), None, Some(Kind::Zip)])
            {
                if let Some(kind) = kind {
                    push(text, kind, from, to, hits);
                }
            }
        }
        Field::Person => {
            if let Some((from, to)) = components.next() {
                push(text, Kind::License, from, to, hits);
            }
            let mut names = components.take(3).filter(|(from, to)| from < to);
            if let Some((from, to)) = names.next() {
                let end = names.last().map_or(to, |(_, to)| to);
                push(text, Kind::Name, from, end, hits);
            }
        }
    }
}

fn x12_segment(text: &[u8], start: usize, end: usize, hits: &mut Vec<Hit>) {
    // ISA*00*… has sixteen elements and is the longest that is read.
    let mut elements = [(start, start); 18];
    for (slot, piece) in elements.iter_mut().zip(pieces(text, start, end, |rest| memchr(b'*', rest))) {
        *slot = piece;
    }
    let value = |index: usize| elements.get(index).and_then(|&(from, to)| text.get(from..to)).unwrap_or_default();
    let mut mark = |kind: Kind, index: usize| {
        if let Some(&(from, to)) = elements.get(index) {
            push(text, kind, from, to, hits);
        }
    };
    match value(0).trim_ascii() {
        b"NM1" if value(2) == b"1" => {
            (3..=5).for_each(|index| mark(Kind::Name, index));
            mark(if value(8) == b"XX" { Kind::License } else { Kind::HealthPlan }, 9);
        }
        b"N3" => (1..=2).for_each(|index| mark(Kind::Street, index)),
        b"N4" => {
            mark(Kind::City, 1);
            mark(Kind::Zip, 3);
        }
        b"DMG" => mark(Kind::Date, 2),
        b"DTP" => mark(Kind::Date, 3),
        b"REF" if value(1) == b"SY" => mark(Kind::Ssn, 2),
        b"REF" if matches!(value(1), b"EA" | b"MR") => mark(Kind::Mrn, 2),
        b"REF" if matches!(value(1), b"1L" | b"IG" | b"0F" | b"1W") => mark(Kind::HealthPlan, 2),
        b"REF" if matches!(value(1), b"D9" | b"F8" | b"G1" | b"9F") => mark(Kind::OtherId, 2),
        b"REF" if matches!(value(1), b"0B" | b"EI" | b"LU") => mark(Kind::License, 2),
        b"PER" => {
            mark(Kind::Name, 2);
            for index in [3, 5, 7] {
                match value(index) {
                    b"TE" | b"HP" | b"WP" | b"CP" => mark(Kind::Phone, index + 1),
                    b"FX" => mark(Kind::Fax, index + 1),
                    b"EM" => mark(Kind::Email, index + 1),
                    _ => {}
                }
            }
        }
        b"CLM" => mark(Kind::Account, 1),
        _ => {}
    }
}

fn push(text: &[u8], kind: Kind, start: usize, end: usize, hits: &mut Vec<Hit>) {
    let Some(value) = text.get(start..end) else { return };
    if keys::fits(kind, value.trim_ascii()) {
        hits.push(Hit { start, end, kind, score: 95 });
    }
}
