use std::io::{self, Write};

use super::dates::{Day, Moment};
use super::people::{Patient, TODAY};
use super::random::Random;
use super::words::{DEPARTMENTS, FIRST_NAMES, INSURERS, LAST_NAMES, MEDICINES, PROCEDURES};

pub(super) fn providers(count: usize, random: &mut Random, out: &mut impl Write) -> io::Result<()> {
    for id in 1..=count {
        let department = DEPARTMENTS[id % DEPARTMENTS.len()].0;
        let (first, last) = (random.pick(FIRST_NAMES), random.pick(LAST_NAMES));
        writeln!(out, "{id}\t{}\tDr. {first} {last}\t{department}", npi(random))?;
    }
    Ok(())
}

/// Ten digits with a valid check digit (Luhn over 80840 and the number).
fn npi(random: &mut Random) -> String {
    let body = format!("1{:08}", random.between(0, 99_999_999));
    let sum: u32 = format!("80840{body}")
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// What a note says about the visit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    pub(super) id: usize,
    pub(super) admitted: Moment,
    department: &'static str,
    icd10: &'static str,
    reason: &'static str,
    heart_rate: i64,
}

impl Visit {
    pub(super) fn new(id: usize, random: &mut Random) -> Self {
        let today = Day::of(TODAY.0, TODAY.1, TODAY.2);
        let (department, reasons) = DEPARTMENTS[usize::try_from(random.between(0, 7)).expect("not negative")];
        let (icd10, reason) = reasons[usize::try_from(random.between(0, 2)).expect("not negative")];
        let admitted = Moment::at(Day(today.0 - random.between(1, 1_400)), random.between(6 * 3600, 22 * 3600));
        Self { id, admitted, department, icd10, reason, heart_rate: random.between(52, 118) }
    }

    pub(super) fn row(
        &self,
        patient: &Patient,
        providers: i64,
        random: &mut Random,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let kind = random.pick(&["ambulatory", "ambulatory", "ambulatory", "inpatient", "emergency", "telehealth"]);
        let stay = if kind == "inpatient" { random.between(86_400, 9 * 86_400) } else { random.between(900, 14_400) };
        write!(
            out,
            "{}\t{}\t{}\t{}\t{kind}\t{}\t",
            self.id,
            patient.id,
            random.between(1, providers),
            self.department,
            self.admitted
        )?;
        match random.chance(2) {
            true => out.write_all(b"\\N")?,
            false => write!(out, "{}", Moment(self.admitted.0 + stay))?,
        }
        let temperature = random.between(358, 391);
        writeln!(
            out,
            "\t{}\t{}\t{}\t{}.{}",
            self.icd10,
            self.reason,
            self.heart_rate,
            temperature / 10,
            temperature % 10
        )
    }
}

/// A note in one of the forms clinics write them in: headers with labels, letters, calls, discharge summaries. Every
/// one names its patient; most carry several identifiers.
pub(super) fn note(
    id: usize,
    patient: &Patient,
    visit: Visit,
    random: &mut Random,
    out: &mut impl Write,
) -> io::Result<()> {
    let (p, day) = (patient, visit.admitted.day());
    let (first, last) = (p.first_name, p.last_name);
    let title = if p.sex == "female" { "Ms." } else { "Mr." };
    let doctor = random.pick(LAST_NAMES);
    let medicine = random.pick(MEDICINES);
    let age = (day.0 - p.birth_date.0).max(0) / 365;
    let (kind, body) = match random.between(0, 5) {
        0 => (
            "progress",
            format!(
                "Patient: {first} {last}   MRN: {}   DOB: {}\\nSeen {} in {}. {title} {last} reports improvement of {}. \
                 HR {}/min, afebrile. Continue {medicine}. Reachable at {}.\\nDr. {doctor}",
                p.mrn,
                p.birth_date.american(),
                day.american(),
                visit.department,
                visit.reason,
                visit.heart_rate,
                p.phone
            ),
        ),
        1 => (
            "intake",
            format!(
                "Name: {last}, {first}\\nDate of birth: {}\\nSSN: {}\\nAddress: {}, {}\\nPhone: {}\\nE-mail: {}\\n\
                 Presents with {} ({}).",
                p.birth_date,
                p.ssn,
                p.street,
                p.city(),
                p.phone,
                p.email,
                visit.reason,
                visit.icd10
            ),
        ),
        2 => (
            "phone call",
            format!(
                "Call on {} from {title} {first} {last}, calling from {}, about the refill of {medicine}. Identity checked \
                 by SSN {} and date of birth {}. Confirmation sent to {}.",
                day,
                p.phone,
                p.ssn,
                p.birth_date.american(),
                p.email
            ),
        ),
        3 => (
            "discharge",
            format!(
                "DISCHARGE SUMMARY\\nMRN {} admitted {} for {}. {age} y/o {}. Course uneventful, HR {} on discharge. \
                 Medication: {medicine}. Follow-up with Dr. {doctor}. Copy to {title} {last}, {}, {}.",
                p.mrn,
                day,
                visit.reason,
                p.sex,
                visit.heart_rate,
                p.street,
                p.city()
            ),
        ),
        4 => (
            "referral",
            format!(
                "Dear Dr. {doctor},\\nthank you for seeing {title} {first} {last}, born {}, medical record number {}, for {}. \
                 Current treatment: {medicine}. Please answer to {} or call {}.",
                p.birth_date.american(),
                p.mrn,
                visit.reason,
                p.email,
                p.phone
            ),
        ),
        _ => (
            "nursing",
            format!(
                "{} - pt resting, HR {}, pain 2/10. {medicine} given as charted. Wristband: {last} {} / MRN {}. No complaints.",
                day, visit.heart_rate, first, p.mrn
            ),
        ),
    };
    let written = Moment(visit.admitted.0 + random.between(600, 7_200));
    writeln!(out, "{id}\t{}\t{}\t{kind}\t{written}\t{body}", visit.id, p.id)
}

pub(super) fn bill(
    id: usize,
    patient: &Patient,
    visit: Visit,
    random: &mut Random,
    out: &mut impl Write,
) -> io::Result<()> {
    let (cpt, price) = PROCEDURES[usize::try_from(random.between(0, 9)).expect("not negative")];
    let amount = price * random.between(80, 140) / 100;
    let insurer = random.pick(INSURERS);
    let initials: String = insurer.split(' ').filter_map(|word| word.chars().next()).collect();
    let member = match insurer {
        "self-pay" => "\\N".to_owned(),
        _ => format!("{initials}{:09}", random.between(0, 999_999_999)),
    };
    writeln!(
        out,
        "{id}\t{}\t{}\t{cpt}\t{}.{:02}\t{insurer}\t{member}\t{}\t{}",
        visit.id,
        patient.id,
        amount / 100,
        amount % 100,
        Day(visit.admitted.day().0 + random.between(1, 20)),
        if random.chance(82) { "t" } else { "f" }
    )
}
