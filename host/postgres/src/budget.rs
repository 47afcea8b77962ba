//! How much of results a session may take: with one operation, in all, and its subject within an hour. A session without
//! such a limit has no budget, and nothing is counted for it.
//!
//! Counted is what the target sends: rows, and the bytes of their messages. COPY data counts as one row per message, which
//! is how PostgreSQL sends it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grille_policy::{Fault, Subject};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::respond::{Answer, sqlstate};
use crate::route::Role;

/// Subjects with an hour under way. Each costs about 1 KiB, and only people who have shown a token have one.
const SUBJECTS_MAX: usize = 65_536;
const MINUTES: usize = 60;

/// What holders of a role may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// A session in which nothing was asked for so long ends.
    pub idle: Option<Duration>,
    /// Of one operation.
    pub operation: Volume,
    /// Of one session.
    pub session: Volume,
    /// Of one subject on one target within 60 minutes, over all its sessions.
    pub hour: Volume,
}

/// Rows and bytes of results; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many rows.
    pub rows: Option<u64>,
    /// How many bytes of row messages.
    pub bytes: Option<u64>,
}

impl Limits {
    /// The limits of who holds all these roles: of each kind the most generous.
    pub(crate) fn of(roles: &[Arc<Role>]) -> Self {
        fn widest<T: Ord>(roles: &[Arc<Role>], limit: impl Fn(&Limits) -> Option<T>) -> Option<T> {
            let all: Option<Vec<T>> = roles.iter().map(|role| limit(&role.limits)).collect();
            all?.into_iter().max()
        }
        let volume = |of: fn(&Self) -> &Volume| Volume {
            rows: widest(roles, |limits| of(limits).rows),
            bytes: widest(roles, |limits| of(limits).bytes),
        };
        Self {
            idle: widest(roles, |limits| limits.idle),
            operation: volume(|limits| &limits.operation),
            session: volume(|limits| &limits.session),
            hour: volume(|limits| &limits.hour),
        }
    }
}

/// Rows and bytes that were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    rows: u64,
    bytes: u64,
}

impl Taken {
    fn add(&mut self, more: Self) {
        self.rows = self.rows.saturating_add(more.rows);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// What a session has taken, beside what it may.
pub(crate) struct Budget {
    limits: Limits,
    session: Taken,
    hour: Option<Arc<Mutex<Hour>>>,
}

/// What may still be taken with the operation at hand, and what is.
pub(crate) struct Left {
    rows: u64,
    bytes: u64,
    taken: Taken,
}

impl Left {
    /// Takes a row of so many bytes, unless that is too much.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let fits = self.taken.rows < self.rows && self.taken.bytes.saturating_add(bytes) <= self.bytes;
        if fits {
            self.taken.add(Taken { rows: 1, bytes });
        }
        fits
    }
}

impl Budget {
    /// None where nothing is limited.
    pub(crate) fn new(limits: Limits, hours: &Hours, subject: &Subject, target: &str) -> Result<Option<Self>, Answer> {
        let none = Volume::default();
        if (limits.operation, limits.session, limits.hour) == (none, none, none) {
            return Ok(None);
        }
        let hour = (limits.hour != none).then(|| hours.of(subject, target)).transpose()?;
        Ok(Some(Self { limits, session: Taken::default(), hour }))
    }

    /// What is left for an operation that has taken so much.
    pub(crate) fn left(&self, operation: Taken) -> Left {
        let (mut rows, mut bytes) = (u64::MAX, u64::MAX);
        for (limit, taken, _) in self.pairs(operation) {
            rows = rows.min(limit.rows.map_or(u64::MAX, |limit| limit.saturating_sub(taken.rows)));
            bytes = bytes.min(limit.bytes.map_or(u64::MAX, |limit| limit.saturating_sub(taken.bytes)));
        }
        Left { rows, bytes, taken: Taken::default() }
    }

    /// Writes down what was taken.
    pub(crate) fn settle(&mut self, left: &Left, operation: &mut Taken) {
        operation.add(left.taken);
        self.session.add(left.taken);
        if let Some(hour) = &self.hour {
            hour.lock().add(left.taken, Instant::now());
        }
    }

    /// What the caller reads in the place of the row that is too much.
    pub(crate) fn exceeded(&self, operation: Taken, row_bytes: usize) -> Answer {
        let over = |&(limit, taken, _): &(Volume, Taken, &str)| {
            let bytes = taken.bytes.saturating_add(row_bytes as u64);
            limit.rows.is_some_and(|limit| taken.rows >= limit) || limit.bytes.is_some_and(|limit| bytes > limit)
        };
        let most = self.pairs(operation).into_iter().find(over).map(|(limit, taken, what)| match limit {
            Volume { rows: Some(rows), .. } if taken.rows >= rows => format!("{rows} rows per {what}"),
            Volume { bytes, .. } => format!("{} bytes of rows per {what}", bytes.unwrap_or_default()),
        });
        let message = format!("the result was cut: your role gives {}", most.as_deref().unwrap_or("no more rows"));
        Answer::new(sqlstate::LIMIT, Fault::Policy, message)
            .with_hint("ask for less, for example with LIMIT or an aggregate, or ask an operator for another limit")
    }

    fn pairs(&self, operation: Taken) -> [(Volume, Taken, &'static str); 3] {
        let hour = self.hour.as_ref().map(|hour| hour.lock().sum(Instant::now())).unwrap_or_default();
        [
            (self.limits.operation, operation, "operation"),
            (self.limits.session, self.session, "session"),
            (self.limits.hour, hour, "hour"),
        ]
    }
}

/// What every subject with an hourly limit took, per target. It is forgotten when the gateway ends.
#[derive(Default)]
pub(crate) struct Hours(Mutex<HashMap<Key, Arc<Mutex<Hour>>>>);

/// Issuer, `sub` and target.
type Key = (Arc<str>, Arc<str>, Box<str>);

impl Hours {
    fn of(&self, subject: &Subject, target: &str) -> Result<Arc<Mutex<Hour>>, Answer> {
        let key = (Arc::clone(&subject.issuer), Arc::clone(&subject.sub), target.into());
        let mut hours = self.0.lock();
        if hours.len() >= SUBJECTS_MAX && !hours.contains_key(&key) {
            let now = Instant::now();
            hours.retain(|_, hour| Arc::strong_count(hour) > 1 || hour.lock().sum(now) != Taken::default());
            if hours.len() >= SUBJECTS_MAX {
                let message = "too many people with an hourly limit are here; try again later";
                return Err(Answer::new(sqlstate::FULL, Fault::Gateway, message));
            }
        }
        Ok(Arc::clone(hours.entry(key).or_insert_with(|| Arc::new(Mutex::new(Hour::new(Instant::now()))))))
    }
}

/// The last 60 minutes, minute by minute.
struct Hour {
    began: Instant,
    /// The minute that the newest entry is of.
    minute: u64,
    minutes: [Taken; MINUTES],
}

impl Hour {
    fn new(now: Instant) -> Self {
        Self { began: now, minute: 0, minutes: [Taken::default(); MINUTES] }
    }

    fn add(&mut self, taken: Taken, now: Instant) {
        self.forget(now);
        if let Some(entry) = self.minutes.get_mut(place(self.minute)) {
            entry.add(taken);
        }
    }

    fn sum(&mut self, now: Instant) -> Taken {
        self.forget(now);
        self.minutes.iter().fold(Taken::default(), |mut sum, minute| {
            sum.add(*minute);
            sum
        })
    }

    /// Empties the minutes that are more than an hour ago.
    fn forget(&mut self, now: Instant) {
        let minute = now.saturating_duration_since(self.began).as_secs() / 60;
        for passed in (self.minute + 1..=minute).take(MINUTES) {
            if let Some(entry) = self.minutes.get_mut(place(passed)) {
                *entry = Taken::default();
            }
        }
        self.minute = self.minute.max(minute);
    }
}

fn place(minute: u64) -> usize {
    usize::try_from(minute % MINUTES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limits: Limits, hours: &Hours) -> Budget {
        let subject = Subject {
            provider: "corp".into(),
            issuer: "i".into(),
            sub: "ann".into(),
            name: "ann".into(),
            groups: Vec::new(),
            actors: Vec::new(),
            expires_at: 0,
            claims: "{}".into(),
        };
        Budget::new(limits, hours, &subject, "clinic").expect("there is room").expect("something is limited")
    }

    fn rows(rows: u64) -> Volume {
        Volume { rows: Some(rows), bytes: None }
    }

    /// Takes rows of ten bytes until there is one too many; answers how many fitted.
    fn take(budget: &mut Budget, operation: &mut Taken, wanted: u64) -> u64 {
        let mut left = budget.left(*operation);
        let fitted = (0..wanted).take_while(|_| left.takes(10)).count() as u64;
        budget.settle(&left, operation);
        fitted
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_counts_for_itself() {
        let hours = Hours::default();
        let limits = Limits { operation: rows(10), session: rows(15), hour: rows(20), ..Limits::default() };
        let mut one = budget(limits, &hours);
        assert_eq!(take(&mut one, &mut Taken::default(), 100), 10);
        let mut second = Taken::default();
        assert_eq!(take(&mut one, &mut second, 100), 5);
        assert!(one.exceeded(second, 10).message.contains("15 rows per session"), "{:?}", one.exceeded(second, 10));

        let mut other = budget(limits, &hours);
        let mut third = Taken::default();
        assert_eq!(take(&mut other, &mut third, 100), 5, "the hour is the subject's, not the session's");
        assert!(other.exceeded(third, 10).message.contains("20 rows per hour"));
        tokio::time::advance(Duration::from_secs(59 * 60)).await;
        assert_eq!(take(&mut other, &mut Taken::default(), 100), 0);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(take(&mut other, &mut Taken::default(), 5), 5, "an hour later it is forgotten");
    }

    #[test]
    fn bytes_are_counted_before_they_go() {
        let bytes = Volume { rows: None, bytes: Some(35) };
        let mut budget = budget(Limits { operation: bytes, ..Limits::default() }, &Hours::default());
        let mut operation = Taken::default();
        assert_eq!(take(&mut budget, &mut operation, 100), 3);
        assert!(budget.exceeded(operation, 10).message.contains("35 bytes of rows per operation"));
        assert_eq!(operation, Taken { rows: 3, bytes: 30 });
    }
}
