use std::io::{self, Write};

use super::dates::{Day, Moment};
use super::random::Random;
use super::words::{ALLERGIES, CITIES, FIRST_NAMES, LANGUAGES, LAST_NAMES, STREETS};

/// One patient; kept in memory because the notes speak of the same person.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) id: usize,
    pub(super) mrn: String,
    pub(super) first_name: &'static str,
    pub(super) last_name: &'static str,
    pub(super) birth_date: Day,
    pub(super) sex: &'static str,
    pub(super) ssn: String,
    pub(super) phone: String,
    pub(super) email: String,
    pub(super) street: String,
    city: &'static (&'static str, &'static str, &'static str, &'static str),
    zip: String,
}

/// The day on which the clinic's books were closed; nothing is dated after it.
pub(super) const TODAY: (i64, i64, i64) = (2026, 6, 30);

/// One step through all 657,294,264 numbers that the Social Security Administration could have given out before 2011
/// with an area below 665: it shares no factor with that count, so no two patients get the same one.
const SSN_STEP: usize = 433_494_437;

impl Patient {
    pub(super) fn new(id: usize, random: &mut Random) -> Self {
        let first_name = random.pick(FIRST_NAMES);
        let last_name = random.pick(LAST_NAMES);
        let city = &CITIES[id * 7 % CITIES.len()];
        let number = (id * SSN_STEP + 104_729) % (664 * 99 * 9_999);
        let ascii: String = last_name.chars().filter(char::is_ascii_alphabetic).collect();
        Self {
            id,
            mrn: format!("{:08}", 10_000_000 + id * 48_611 % 89_999_999),
            first_name,
            last_name,
            birth_date: birth_date(random),
            sex: if random.chance(51) { "female" } else { "male" },
            ssn: format!("{:03}-{:02}-{:04}", 1 + number / (99 * 9_999), 1 + number / 9_999 % 99, 1 + number % 9_999),
            // The exchange 555 is not given to subscribers.
            phone: format!("({}) 555-{:04}", city.3, random.between(0, 9_999)),
            email: format!(
                "{}.{}{id}@example.{}",
                first_name.to_lowercase(),
                ascii.to_lowercase(),
                random.pick(&["org", "net", "com"])
            ),
            street: format!("{} {}", random.between(1, 1_899), random.pick(STREETS)),
            city,
            zip: format!("{}{:02}", city.2, random.between(1, 99)),
        }
    }

    pub(super) fn city(&self) -> String {
        format!("{}, {} {}", self.city.0, self.city.1, self.zip)
    }

    /// The row in COPY's text format.
    pub(super) fn row(&self, random: &mut Random, out: &mut impl Write) -> io::Result<()> {
        let today = Day::of(TODAY.0, TODAY.1, TODAY.2);
        let created = Moment::at(Day(today.0 - random.between(30, 1_600)), random.between(7 * 3600, 18 * 3600));
        write!(
            out,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t",
            self.id, self.mrn, self.first_name, self.last_name, self.birth_date, self.sex, self.ssn
        )?;
        match random.chance(97) {
            true => write!(out, "{}\t", self.phone)?,
            false => out.write_all(b"\\N\t")?,
        }
        write!(out, "{}\t{}\t{}\t{}\t{}\t", self.email, self.street, self.city.0, self.city.1, self.zip)?;
        if random.chance(70) {
            write!(out, "{}\t{}\t", uuid(random), address(random))?;
        } else {
            out.write_all(b"\\N\t\\N\t")?;
        }
        let kin = (random.pick(FIRST_NAMES), random.pick(LAST_NAMES));
        write!(
            out,
            "{{\"language\": \"{}\", \"emergency_contact\": {{\"name\": \"{} {}\", \"phone\": \"({}) 555-{:04}\"}}}}\t",
            random.pick(LANGUAGES),
            kin.0,
            kin.1,
            self.city.3,
            random.between(0, 9_999)
        )?;
        out.write_all(allergies(random).as_bytes())?;
        let balance = if random.chance(60) { 0 } else { random.between(500, 480_000) };
        writeln!(
            out,
            "\t{}.{:02}\t{}\t{}\t{created}",
            balance / 100,
            balance % 100,
            if random.chance(93) { "active" } else { random.pick(&["moved", "deceased", "inactive"]) },
            if random.chance(40) { "t" } else { "f" },
        )
    }
}

/// From newborn to a hundred years; never on 1 January, which is what a date masked to its year looks like.
fn birth_date(random: &mut Random) -> Day {
    let today = Day::of(TODAY.0, TODAY.1, TODAY.2);
    let day = Day(today.0 - random.between(20, 100 * 365));
    match day.parts() {
        (_, 1, 1) => Day(day.0 + 1),
        _ => day,
    }
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// Addresses set aside for documentation (RFC 5737, RFC 3849).
fn address(random: &mut Random) -> String {
    let host = random.between(1, 254);
    match random.between(0, 3) {
        0 => format!("192.0.2.{host}"),
        1 => format!("198.51.100.{host}"),
        2 => format!("203.0.113.{host}"),
        _ => format!("2001:db8:{:x}::{host:x}", random.between(1, 0xffff)),
    }
}

fn allergies(random: &mut Random) -> String {
    let count = if random.chance(65) { 0 } else { random.between(1, 3) };
    let mut chosen: Vec<&str> = (0..count).map(|_| random.pick(ALLERGIES)).collect();
    chosen.sort_unstable();
    chosen.dedup();
    let quoted: Vec<String> = chosen.iter().map(|name| format!("\"{name}\"")).collect();
    format!("{{{}}}", quoted.join(","))
}
