use crate::lists::*;
use crate::words::Words;

/// What kind of identifier a name speaks of: the eighteen of Safe Harbor, a few of them split by what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Provider,
    Address,
    Zip,
    Coordinate,
    Date,
    Age,
    Phone,
    Email,
    Ssn,
    Mrn,
    PatientId,
    Plan,
    Account,
    Licence,
    Vehicle,
    Device,
    Url,
    Ip,
    Biometric,
    Photo,
    OtherId,
    FreeText,
}

/// Consecutive words, whole names, and the kind they mean; the first that matches counts, so the narrow ones come first
/// (`ip_address` and `email_address` before `address`).
const KINDS: &[(&[&str], &[&str], Kind)] = &[
    (SSN, SSN_WHOLE, Kind::Ssn),
    (MRN, &[], Kind::Mrn),
    (EMAIL, EMAIL_WHOLE, Kind::Email),
    (IP, &[], Kind::Ip),
    (DEVICE, DEVICE_WHOLE, Kind::Device),
    (URL, URL_WHOLE, Kind::Url),
    (PHONE, PHONE_WHOLE, Kind::Phone),
    (ZIP, &[], Kind::Zip),
    (VEHICLE, VEHICLE_WHOLE, Kind::Vehicle),
    (LICENCE, LICENCE_WHOLE, Kind::Licence),
    (PLAN, &[], Kind::Plan),
    (ACCOUNT, ACCOUNT_WHOLE, Kind::Account),
    (BIOMETRIC, &[], Kind::Biometric),
    (PHOTO, PHOTO_WHOLE, Kind::Photo),
    (DATE, &[], Kind::Date),
    (PROVIDER, PROVIDER_WHOLE, Kind::Provider),
    (PATIENT_ID, &[], Kind::PatientId),
    (OTHER_ID, &[], Kind::OtherId),
    (NAME, NAME_WHOLE, Kind::Name),
    (ADDRESS, &[], Kind::Address),
    (COORDINATE, &[], Kind::Coordinate),
    (&[], AGE, Kind::Age),
    (FREE_TEXT, FREE_TEXT_WHOLE, Kind::FreeText),
];

/// The kind that a column's name speaks of.
pub(crate) fn of_column(column: &Words, table: &Table) -> Option<Kind> {
    let is_about = ABOUT.contains(&column.last()) && !ABOUT_NOT.iter().any(|value| column.holds(value));
    if is_about || matches!(column.first(), "is" | "has" | "num" | "n" | "count") {
        return None;
    }
    if column.last() == "name" && column.has_any(THING) && !column.has_any(&["patient", "member", "subscriber"]) {
        return None;
    }
    let named = |list: &[&str], whole: &[&str]| {
        list.iter().any(|pattern| column.holds(pattern)) || whole.iter().any(|pattern| column.is(pattern))
    };
    let found = KINDS.iter().find(|(list, whole, _)| named(list, whole)).map(|(_, _, kind)| *kind);
    found.or_else(|| (column.is("name") || column.is("names")).then(|| table.kind_of_name()).flatten())
}

/// What a table is about, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    People,
    Providers,
    /// The house or a terminology: no person.
    Reference,
    /// Things with names, perhaps a person's.
    Things,
    Other,
}

impl Table {
    pub(crate) fn of(name: &str) -> Self {
        let words = Words::of(name);
        let mentions = |list: &[&str]| list.iter().any(|word| is_or_plural(&words, word));
        // The last word says what the rows are: `patient_statuses` are statuses, but each of a patient.
        let are = |list: &[&str]| list.iter().any(|word| is_noun(words.last(), word));
        if mentions(PERSON_TABLE) {
            Self::People
        } else if mentions(PROVIDER_TABLE) {
            Self::Providers
        } else if are(REFERENCE_TABLE) || words.has_any(TERMINOLOGY) {
            Self::Reference
        } else if are(THING_TABLE) {
            Self::Things
        } else {
            Self::Other
        }
    }

    /// Whose name a column called `name` holds. Where nothing is known of the table, a person's.
    const fn kind_of_name(self) -> Option<Kind> {
        match self {
            Self::People | Self::Other => Some(Kind::Name),
            Self::Providers => Some(Kind::Provider),
            Self::Reference | Self::Things => None,
        }
    }
}

fn is_or_plural(words: &Words, noun: &str) -> bool {
    words.any(|word| is_noun(word, noun))
}

/// Whether a word is the noun or its plural.
fn is_noun(word: &str, noun: &str) -> bool {
    match word.strip_prefix(noun) {
        Some("" | "s" | "es") => true,
        _ => [("y", "ies"), ("is", "es")]
            .iter()
            .any(|(one, many)| noun.strip_suffix(one).is_some_and(|stem| word.strip_prefix(stem) == Some(many))),
    }
}
