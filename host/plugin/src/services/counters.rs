use std::collections::HashMap;

use tokio::time::{Duration, Instant};

/// Names of one policy at once. Each costs some 350 bytes at most.
const NAMES_MAX: usize = 10_000;

/// Windows and buckets of one policy, by name.
#[derive(Default)]
pub(crate) struct Counters {
    windows: HashMap<String, Window>,
    buckets: HashMap<String, Bucket>,
}

/// More names than a policy may have, none of which is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

struct Window {
    count: u64,
    ends: Instant,
}

struct Bucket {
    /// In thousandths, so that slow refills are exact enough.
    level: u64,
    capacity: u32,
    per_minute: u32,
    at: Instant,
}

impl Counters {
    /// Adds to a count and answers what it is then.
    pub(crate) fn add(&mut self, name: String, amount: u64, window: Duration, now: Instant) -> Result<u64, Full> {
        if !self.windows.contains_key(&name) && self.windows.len() >= NAMES_MAX {
            self.windows.retain(|_, window| window.ends > now);
            if self.windows.len() >= NAMES_MAX {
                return Err(Full);
            }
        }
        // A century is as good as never, and fits.
        let ends = now + window.min(CENTURY);
        let entry = self.windows.entry(name).or_insert(Window { count: 0, ends });
        if entry.ends <= now {
            *entry = Window { count: 0, ends };
        }
        entry.count = entry.count.saturating_add(amount);
        Ok(entry.count)
    }

    /// Takes out of a bucket, if there is as much in it.
    pub(crate) fn take(
        &mut self,
        name: String,
        amount: u32,
        capacity: u32,
        per_minute: u32,
        now: Instant,
    ) -> Result<bool, Full> {
        if !self.buckets.contains_key(&name) && self.buckets.len() >= NAMES_MAX {
            // A full bucket is as good as a new one.
            self.buckets.retain(|_, bucket| bucket.level_at(now) < u64::from(bucket.capacity) * 1000);
            if self.buckets.len() >= NAMES_MAX {
                return Err(Full);
            }
        }
        let full = Bucket { level: u64::from(capacity) * 1000, capacity, per_minute, at: now };
        let bucket = self.buckets.entry(name).or_insert(full);
        let level = bucket.level_at(now).min(u64::from(capacity) * 1000);
        let wanted = u64::from(amount) * 1000;
        let is_taken = level >= wanted;
        let left = if is_taken { level - wanted } else { level };
        *bucket = Bucket { level: left, capacity, per_minute, at: now };
        Ok(is_taken)
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Bucket {
    fn level_at(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.at).as_millis();
        let gained = elapsed.saturating_mul(u128::from(self.per_minute)) / 60;
        let level = u128::from(self.level).saturating_add(gained).min(u128::from(self.capacity) * 1000);
        u64::try_from(level).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_starts_anew_when_it_is_over() {
        let (mut counters, start) = (Counters::default(), Instant::now());
        let mut add = |amount, after| counters.add("a".into(), amount, SECOND, start + after);
        assert_eq!(add(2, Duration::ZERO), Ok(2));
        assert_eq!(add(3, SECOND / 2), Ok(5));
        assert_eq!(add(0, SECOND), Ok(0));
        assert_eq!(add(u64::MAX, SECOND), Ok(u64::MAX));
        assert_eq!(add(1, SECOND), Ok(u64::MAX), "it does not wrap");
    }

    #[test]
    fn a_bucket_refills_evenly_and_never_beyond() {
        let (mut counters, start) = (Counters::default(), Instant::now());
        let mut take = |amount, after| counters.take("a".into(), amount, 10, 60, start + SECOND * after);
        assert_eq!(take(10, 0), Ok(true));
        assert_eq!(take(1, 0), Ok(false));
        assert_eq!(take(1, 1), Ok(true));
        assert_eq!(take(11, 1_000), Ok(false), "it holds ten");
        assert_eq!(take(10, 1_000), Ok(true));
        assert_eq!(counters.take("slow".into(), 1, 1, 1, start), Ok(true));
        assert_eq!(counters.take("slow".into(), 1, 1, 1, start + SECOND * 59), Ok(false));
        assert_eq!(
            counters.take("slow".into(), 1, 1, 1, start + SECOND * 61),
            Ok(true),
            "asking in vain loses nothing"
        );
    }

    #[test]
    fn names_are_bounded_and_those_that_are_over_make_room() {
        let (mut counters, start) = (Counters::default(), Instant::now());
        for name in 0..NAMES_MAX {
            assert!(counters.add(name.to_string(), 1, SECOND, start).is_ok());
            assert!(counters.take(name.to_string(), 1, 1, 60, start).is_ok());
        }
        assert_eq!(counters.add("more".into(), 1, SECOND, start), Err(Full));
        assert_eq!(counters.take("more".into(), 1, 1, 60, start), Err(Full));
        assert_eq!(counters.add("more".into(), 1, SECOND, start + SECOND), Ok(1));
        assert_eq!(counters.take("more".into(), 1, 1, 60, start + SECOND), Ok(true));
    }
}
