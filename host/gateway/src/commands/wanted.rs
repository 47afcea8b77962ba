//! Which sessions a command means: what `session search` and `ledger export` have in common.

use grille_admin::SessionSearch;

use super::table::harmless;

/// Whose sessions, where and when.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wanted {
    /// Of this person, by `sub` or name, or of this agent, by `sub`
    #[arg(long)]
    subject: Option<String>,
    /// Of this target
    #[arg(long)]
    target: Option<String>,
    /// From this time on: 2026-07-01 or 2026-07-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,
    /// Until before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<u64>,
    /// That name this relation: schema.name, or a name alone
    #[arg(long)]
    relation: Option<String>,
}

impl Wanted {
    pub(crate) const fn is_all(&self) -> bool {
        self.subject.is_none()
            && self.target.is_none()
            && self.from.is_none()
            && self.to.is_none()
            && self.relation.is_none()
    }

    /// As the API is asked.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let pairs = [
            ("subject", self.subject.clone()),
            ("target", self.target.clone()),
            ("from_us", self.from.map(|time| time.to_string())),
            ("to_us", self.to.map(|time| time.to_string())),
            ("relation", self.relation.clone()),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// As a directory is asked.
    pub(crate) fn search(&self) -> SessionSearch {
        SessionSearch {
            subject: self.subject.clone(),
            target: self.target.clone(),
            from_us: self.from,
            to_us: self.to,
            relation: self.relation.clone(),
            ..SessionSearch::default()
        }
    }
}

/// A point in time as people write it, in Unix microseconds. A day begins at midnight UTC.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    // A date of jiff's may go on with a time of day, and would forget it.
    let midnight = || {
        text.parse::<jiff::civil::Date>()
            .ok()
            .filter(|_| !text.contains(['T', ' ', ':']))?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
    };
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| midnight().map(|midnight| midnight.timestamp()));
    let micros = time.and_then(|time| u64::try_from(time.as_microsecond()).ok());
    micros.ok_or_else(|| format!("`{}` is no time, such as 2026-07-01 or 2026-07-01T08:00:00Z", harmless(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_moments() {
        for (text, expected) in [
            ("1970-01-02", Some(86_400_000_000)),
            ("1970-01-01T00:00:01Z", Some(1_000_000)),
            ("1970-01-01T01:00:01+01:00", Some(1_000_000)),
            ("1970-01-01T00:00:01", None),
            ("1969-01-01", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(time(text).ok(), expected, "{text}");
        }
    }
}
