use grille_sdk::{Glob, KeyKind, Treatment};

use crate::kind::{self, Kind, Table};
use crate::lists::CLEAN_JSON;
use crate::words::Words;

/// The settings.
pub(crate) struct Rules {
    pub(crate) profile: Profile,
    pub(crate) masks_providers: bool,
    pub(crate) columns: Vec<Glob>,
    pub(crate) keep: Vec<Glob>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    SafeHarbor,
    Pseudonymous,
}

/// A column as it is judged.
pub(crate) struct Named<'a> {
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    pub(crate) column: &'a str,
    pub(crate) type_name: &'a str,
    pub(crate) key: KeyKind,
    pub(crate) comment: &'a str,
}

impl Rules {
    /// What happens to the column. The operator's word counts first, then what the profile finds.
    pub(crate) fn treatment(&self, column: &Named<'_>) -> Treatment {
        let name = [column.schema, column.table, column.column];
        let is_listed = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(&name));
        if is_listed(&self.columns) || is_tagged(column.comment) {
            return self.listed(column);
        }
        if is_listed(&self.keep) || matches!(column.schema, "pg_catalog" | "information_schema") {
            return Treatment::Keep;
        }
        self.found(column)
    }

    /// A column that somebody named: masked whatever the profile thinks, as the profile would if it knows how.
    fn listed(&self, column: &Named<'_>) -> Treatment {
        let words = Words::of(column.column);
        let found = match kind::of_column(&words, &Table::of(column.table)) {
            Some(kind) => self.by_kind(kind, Family::of(column.type_name)),
            None => Treatment::Keep,
        };
        match (found, Family::of(column.type_name)) {
            (Treatment::Keep, Family::Date) => Treatment::year(),
            (Treatment::Keep, Family::Integer | Family::Uuid) if self.profile == Profile::Pseudonymous => {
                Treatment::token("listed")
            }
            (Treatment::Keep, Family::Bytes | Family::Search | Family::Place) => Treatment::null(),
            (Treatment::Keep, _) => Treatment::redact(),
            // Whoever lists a text wants it gone, not searched: a bare name is not found in it.
            (Treatment::Mask(masker), _) if masker.name == "scan" => Treatment::redact(),
            (found, _) => found,
        }
    }

    fn found(&self, column: &Named<'_>) -> Treatment {
        let family = Family::of(column.type_name);
        let table = Table::of(column.table);
        if table == Table::Reference {
            return Treatment::Keep;
        }
        let words = Words::of(column.column);
        match family {
            Family::Flag | Family::Clock => return Treatment::Keep,
            Family::Date => return Treatment::year(),
            Family::DateRange | Family::Bytes | Family::Search | Family::Place => return Treatment::null(),
            Family::Network => return Treatment::redact(),
            Family::Tree if CLEAN_JSON.iter().any(|clean| words.is(clean)) => return Treatment::Keep,
            Family::Tree => return Treatment::redact(),
            _ => {}
        }
        let by_name = kind::of_column(&words, &table);
        // A domain such as `email_address` says by its name what a column called `c1` holds.
        let by_type =
            || if family == Family::Other { kind::of_column(&Words::of(column.type_name), &table) } else { None };
        // A uuid of a person that links no rows here identifies that person somewhere else.
        let by_place = || (family == Family::Uuid && table == Table::People).then_some(Kind::OtherId);
        let Some(kind) = by_name.or_else(by_type).or_else(by_place) else { return Treatment::Keep };
        if kind == Kind::Provider && !self.masks_providers {
            return Treatment::Keep;
        }
        if column.key != KeyKind::None && is_surrogate(kind, &words, family) {
            return Treatment::Keep;
        }
        self.by_kind(kind, family)
    }

    fn by_kind(&self, kind: Kind, family: Family) -> Treatment {
        let joinable = |class: &str| match self.profile {
            Profile::SafeHarbor => Treatment::redact(),
            Profile::Pseudonymous => Treatment::token(class),
        };
        match (kind, family) {
            (_, Family::Flag | Family::Clock) => Treatment::Keep,
            (_, Family::Bytes | Family::Search | Family::Place | Family::DateRange) => Treatment::null(),
            (_, Family::Date) => Treatment::year(),
            (_, Family::Tree | Family::List | Family::Network) => Treatment::redact(),
            // A number identifies only as one of the numbers below: `email_sent`, `summary_score` stay.
            (Kind::Coordinate, _) => Treatment::redact(),
            (Kind::Age, Family::Integer) => Treatment::age90(),
            (Kind::Age, Family::Text) => Treatment::redact(),
            (Kind::Zip, Family::Text) => Treatment::zip3(),
            (Kind::FreeText, Family::Text) => Treatment::scan(),
            (Kind::Age | Kind::FreeText, _) => Treatment::Keep,
            (_, Family::Number) => Treatment::Keep,
            (
                Kind::Name | Kind::Provider | Kind::Address | Kind::Url | Kind::Email | Kind::Photo | Kind::Biometric,
                Family::Integer,
            ) => Treatment::Keep,
            (Kind::Ssn, _) => joinable("ssn"),
            (Kind::Mrn, _) => joinable("mrn"),
            (Kind::PatientId, _) => joinable("patient"),
            (Kind::Plan, _) => joinable("plan"),
            (Kind::Account, _) => joinable("account"),
            (Kind::Licence, _) => joinable("licence"),
            (Kind::Vehicle, _) => joinable("vehicle"),
            (Kind::Device, _) => joinable("device"),
            (Kind::Email, _) => joinable("email"),
            (Kind::Phone, _) => joinable("phone"),
            (Kind::OtherId, _) => joinable("id"),
            (
                Kind::Name
                | Kind::Provider
                | Kind::Address
                | Kind::Zip
                | Kind::Date
                | Kind::Url
                | Kind::Ip
                | Kind::Biometric
                | Kind::Photo,
                _,
            ) => Treatment::redact(),
        }
    }
}

/// Whether a key only links rows: an integer or uuid that is a number of the house (`account_id`), not one of the world
/// (`ssn`, `phone`).
fn is_surrogate(kind: Kind, words: &Words, family: Family) -> bool {
    matches!(family, Family::Integer | Family::Uuid)
        && (matches!(words.last(), "id" | "uuid" | "guid" | "key")
            || !matches!(kind, Kind::Ssn | Kind::Mrn | Kind::Phone | Kind::Licence | Kind::Zip))
}

/// Whether a comment says that the column identifies people: `PHI`, `pii: name`, but not `no PHI` or `non-phi`.
fn is_tagged(comment: &str) -> bool {
    let mut before = String::new();
    for word in comment.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        let is_denied = matches!(before.as_str(), "no" | "not" | "non" | "without" | "contains_no" | "never");
        if matches!(word.as_str(), "phi" | "pii") && !is_denied {
            return true;
        }
        before = word;
    }
    false
}

/// What a type can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Text,
    Integer,
    /// Numbers with fractions.
    Number,
    Flag,
    Date,
    DateRange,
    /// A time of day, or a length of time.
    Clock,
    Uuid,
    Network,
    /// JSON, XML and other things with an inside.
    Tree,
    Bytes,
    /// Words of a text, for searching.
    Search,
    /// Points and shapes.
    Place,
    /// An array of anything but dates and bytes.
    List,
    /// Enums, domains, types of extensions.
    Other,
}

impl Family {
    fn of(type_name: &str) -> Self {
        if let Some(element) = type_name.strip_prefix('_') {
            return match Self::of(element) {
                Self::Date | Self::DateRange => Self::DateRange,
                Self::Bytes => Self::Bytes,
                Self::Flag => Self::Flag,
                Self::Network => Self::Network,
                Self::Place => Self::Place,
                Self::Tree => Self::Tree,
                Self::Number => Self::Number,
                _ => Self::List,
            };
        }
        match type_name {
            "text" | "varchar" | "bpchar" | "char" | "name" | "citext" | "character varying" | "character" => {
                Self::Text
            }
            "int2" | "int4" | "int8" | "smallint" | "integer" | "bigint" | "oid" => Self::Integer,
            "numeric" | "float4" | "float8" | "money" | "real" | "double precision" => Self::Number,
            "bool" | "boolean" => Self::Flag,
            "date" | "timestamp" | "timestamptz" => Self::Date,
            _ if type_name.starts_with("timestamp ") => Self::Date,
            "daterange" | "tsrange" | "tstzrange" | "datemultirange" | "tsmultirange" | "tstzmultirange" => {
                Self::DateRange
            }
            "time" | "timetz" | "interval" => Self::Clock,
            "uuid" => Self::Uuid,
            "inet" | "cidr" | "macaddr" | "macaddr8" => Self::Network,
            "json" | "jsonb" | "xml" | "hstore" => Self::Tree,
            "bytea" => Self::Bytes,
            "tsvector" => Self::Search,
            "point" | "line" | "lseg" | "box" | "path" | "polygon" | "circle" | "geometry" | "geography" => Self::Place,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
